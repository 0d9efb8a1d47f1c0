-- name: insert_run
-- A new run, complete.
INSERT INTO runs (run_id, account_id, partner_id, operation_id, connection_id, external_user_id, mode, status, sending, repeatable, owner, attempts,
    due_at, deadline_at, created_at, started_at, finished_at, upstream_ms, idempotency_key, callback_url, metadata, error,
    sealed_input, sealed_result, sealed_attempts)
VALUES (:run_id, :account_id, :partner_id, :operation_id, :connection_id, COALESCE(:only_user, :external_user_id), :mode, :status, :sending, :repeatable, :owner, :attempts,
    :due_at, :deadline_at, :created_at, :started_at, :finished_at, :upstream_ms, :idempotency_key, :callback_url, :metadata, :error,
    :sealed_input, :sealed_result, :sealed_attempts);

-- name: insert_idempotency_key
-- Remember a key; fails when it is remembered already.
INSERT INTO idempotency_keys (account_id, external_user_id, key, digest, run_id, created_at)
VALUES (:account_id, COALESCE(:only_user, ''), :key, :digest, :run_id, :created_at);

-- name: idempotency_key
-- A remembered key.
SELECT account_id, key, digest, run_id, created_at FROM idempotency_keys
WHERE account_id = :account_id AND external_user_id = COALESCE(:only_user, '') AND key = :key;

-- name: delete_expired_key
-- Forget one key that is older than a time.
DELETE FROM idempotency_keys
WHERE account_id = :account_id AND external_user_id = COALESCE(:only_user, '') AND key = :key AND created_at < :before;

-- name: delete_old_keys
-- Forget keys older than a time, a few at once.
DELETE FROM idempotency_keys WHERE (account_id, external_user_id, key) IN
    (SELECT account_id, external_user_id, key FROM idempotency_keys WHERE created_at < :before LIMIT 1000);

-- name: mark_sending
-- The mark that has to be durable before a request that may not be repeated can leave.
UPDATE runs SET sending = 1 WHERE run_id = :run_id AND status = 'running' AND owner = :owner;

-- name: finish_run
-- The end of a run, by the process that works on it.
UPDATE runs SET status = :status, sending = 0, owner = NULL, finished_at = :finished_at, upstream_ms = :upstream_ms, error = :error,
    sealed_result = :sealed_result, sealed_attempts = :sealed_attempts, attempts = :attempts
WHERE run_id = :run_id AND status = 'running' AND owner = :owner;

-- name: reschedule_run
-- Another attempt later, by the process that worked on it.
UPDATE runs SET status = 'waiting', sending = 0, owner = NULL, due_at = :due_at, upstream_ms = :upstream_ms, error = :error,
    sealed_attempts = :sealed_attempts, attempts = :attempts
WHERE run_id = :run_id AND status = 'running' AND owner = :owner;

-- name: run
-- One run of an account.
SELECT run_id, account_id, partner_id, operation_id, connection_id, external_user_id, mode, status, sending, repeatable, owner, attempts,
    due_at, deadline_at, created_at, started_at, finished_at, upstream_ms, idempotency_key, callback_url, metadata, error,
    sealed_input, sealed_result, sealed_attempts
FROM runs WHERE run_id = :run_id AND account_id = :account_id AND (:only_user IS NULL OR external_user_id = :only_user);

-- name: runs
-- A page of an account's runs, newest first, without their payloads.
SELECT run_id, account_id, partner_id, operation_id, connection_id, external_user_id, mode, status, sending, repeatable, owner, attempts,
    due_at, deadline_at, created_at, started_at, finished_at, upstream_ms, idempotency_key, callback_url, metadata, error,
    NULL, NULL, NULL
FROM runs
WHERE account_id = :account_id
    AND (:only_user IS NULL OR external_user_id = :only_user)
    AND run_id < :before AND run_id >= :after
    AND (:status IS NULL OR status = :status)
    AND (:partner_id IS NULL OR partner_id = :partner_id)
    AND (:operation_id IS NULL OR operation_id = :operation_id)
    AND (:connection_id IS NULL OR connection_id = :connection_id)
    AND (:external_user_id IS NULL OR external_user_id = :external_user_id)
ORDER BY run_id DESC LIMIT :limit;

-- name: claim_runs
-- Take due runs, oldest first: nobody else can take them then.
UPDATE runs SET status = 'running', owner = :owner, attempts = attempts + 1, started_at = COALESCE(started_at, :now)
WHERE run_id IN (SELECT run_id FROM runs WHERE status IN ('queued', 'waiting') AND due_at <= :now ORDER BY due_at, run_id LIMIT :limit)
RETURNING run_id, account_id, partner_id, operation_id, connection_id, external_user_id, mode, status, sending, repeatable, owner, attempts,
    due_at, deadline_at, created_at, started_at, finished_at, upstream_ms, idempotency_key, callback_url, metadata, error,
    sealed_input, sealed_result, sealed_attempts;

-- name: next_due
-- When the next run is due.
SELECT MIN(due_at) FROM runs WHERE status IN ('queued', 'waiting');

-- name: queue_depth
-- How many runs wait, counted up to a limit.
SELECT COUNT(*) FROM (SELECT 1 FROM runs WHERE status IN ('queued', 'waiting') LIMIT :limit);

-- name: running_owners
-- The processes that work on runs.
SELECT DISTINCT owner FROM runs WHERE status = 'running' AND owner IS NOT NULL;

-- name: runs_of_owner
-- The runs a process works on, without their payloads.
SELECT run_id, account_id, partner_id, operation_id, connection_id, external_user_id, mode, status, sending, repeatable, owner, attempts,
    due_at, deadline_at, created_at, started_at, finished_at, upstream_ms, idempotency_key, callback_url, metadata, error,
    NULL, NULL, NULL
FROM runs WHERE status = 'running' AND owner = :owner LIMIT 1000;

-- name: requeue_run
-- Give back a run whose process died before anything that may not be repeated was sent.
UPDATE runs SET status = 'queued', sending = 0, owner = NULL, due_at = :now WHERE run_id = :run_id AND status = 'running' AND owner = :owner;

-- name: settle_run
-- End a run whose process died.
UPDATE runs SET status = :status, sending = 0, owner = NULL, finished_at = :now, error = :error
WHERE run_id = :run_id AND status = 'running' AND owner = :owner;

-- name: settle_restored_runs
-- End the runs of a restored backup that had not ended in it.
UPDATE runs SET status = :status, sending = 0, owner = NULL, finished_at = :now, error = :error
WHERE status IN ('queued', 'waiting', 'running') AND repeatable = :repeatable;

-- name: probe
-- A write that really changes a page, to see whether the database takes writes: SQLite writes nothing for a value that stays the same.
INSERT INTO sequences (name, value) VALUES ('probe', 1) ON CONFLICT (name) DO UPDATE SET value = sequences.value + 1;

-- name: counts_by_status
-- How many runs of an account stand where.
SELECT status, COUNT(*) FROM runs WHERE account_id = :account_id AND (:only_user IS NULL OR external_user_id = :only_user) GROUP BY status;
