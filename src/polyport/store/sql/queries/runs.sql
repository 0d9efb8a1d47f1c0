-- part: run_columns
-- What a run is read from, but for what is sealed.
run_id, account_id, partner_id, operation_id, connection_id, external_user_id, mode, status, sending, repeatable, owner, attempts,
    priority, due_at, deadline_at, created_at, started_at, finished_at, cancel_at, queued_ms, waited_ms, upstream_ms, idempotency_key, replay_of,
    reconciles, probe_at, settled, partner_version, callback_url, metadata, error

-- name: insert_run
-- A new run, complete. One that waits is counted by count_waiting in the same unit.
INSERT INTO runs (run_id, account_id, partner_id, operation_id, connection_id, external_user_id, mode, status, sending, repeatable, owner, attempts,
    priority, due_at, deadline_at, created_at, started_at, finished_at, cancel_at, queued_ms, waited_ms, upstream_ms, idempotency_key, replay_of,
    reconciles, probe_at, settled, partner_version, callback_url, metadata, error,
    sealed_input, sealed_result, sealed_attempts)
VALUES (:run_id, :account_id, :partner_id, :operation_id, :connection_id, COALESCE(:only_user, :external_user_id), :mode, :status, :sending,
    :repeatable, :owner, :attempts,
    :priority, :due_at, :deadline_at, :created_at, :started_at, :finished_at, :cancel_at, :queued_ms, :waited_ms, :upstream_ms, :idempotency_key,
    :replay_of, :reconciles, :probe_at, :settled, :partner_version, :callback_url, :metadata, :error,
    :sealed_input, :sealed_result, :sealed_attempts);

-- name: count_waiting
-- Add to how many runs of an account wait for a partner. Statements of one commit that differ in how many alone are run as one.
INSERT INTO waiting_runs (account_id, partner_id, runs)
SELECT :account_id, :partner_id, :runs WHERE EXISTS (SELECT 1 FROM accounts WHERE account_id = :account_id)
ON CONFLICT (account_id, partner_id) DO UPDATE SET runs = runs + excluded.runs;

-- name: count_ended
-- Add to what an account ran on a day, from finish_run. Statements of one commit that differ in the sums alone are run as one.
INSERT INTO usage (account_id, day, partner_id, status, runs, attempts, upstream_ms)
SELECT :account_id, :day, :partner_id, :status, :runs, :attempts, :upstream_ms WHERE EXISTS (SELECT 1 FROM accounts WHERE account_id = :account_id)
ON CONFLICT (account_id, day, partner_id, status) DO UPDATE SET runs = runs + excluded.runs, attempts = attempts + excluded.attempts,
    upstream_ms = upstream_ms + excluded.upstream_ms;

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

-- name: free_key
-- Forget the key of a run of which nothing was sent and nobody was told: the same call may be made again.
DELETE FROM idempotency_keys WHERE account_id = :account_id AND external_user_id IN ('', COALESCE(:user, '')) AND key = :key AND run_id = :run_id;

-- name: delete_old_keys
-- Forget keys older than a time, the oldest first, a few at once and all of the last one's millisecond. By their age alone: a list of whole keys would be held
-- against every key of their accounts.
DELETE FROM idempotency_keys INDEXED BY idempotency_keys_by_age WHERE created_at < :before AND created_at <= (
    SELECT MAX(created_at) FROM (SELECT created_at FROM idempotency_keys WHERE created_at < :before ORDER BY created_at LIMIT :limit)
) RETURNING 1;

-- name: mark_sending
-- The mark that has to be durable before a request that may not be repeated can leave; there is none for a run that was asked to stop.
UPDATE runs SET sending = 1 WHERE account_id = :account_id AND run_id = :run_id AND status = 'running' AND owner = :owner AND cancel_at IS NULL;

-- name: finish_run
-- The end of a run, by the process that works on it. It is counted by count_ended in the same unit.
UPDATE runs SET status = :status, sending = 0, owner = NULL, finished_at = :finished_at, waited_ms = :waited_ms, upstream_ms = :upstream_ms,
    error = :error, sealed_result = :sealed_result, sealed_attempts = :sealed_attempts, attempts = :attempts, probe_at = :probe_at
WHERE account_id = :account_id AND run_id = :run_id AND status = 'running' AND owner = :owner;

-- name: reschedule_run
-- Another attempt later, by the process that worked on it; there is none for a run that was asked to stop.
UPDATE runs SET status = 'waiting', counting = counting, sending = 0, owner = NULL, due_at = :due_at, queued_ms = :queued_ms, waited_ms = :waited_ms,
    upstream_ms = :upstream_ms, error = :error, sealed_attempts = :sealed_attempts, attempts = :attempts
WHERE account_id = :account_id AND run_id = :run_id AND status = 'running' AND owner = :owner AND cancel_at IS NULL;

-- name: hold_lane
-- Say of the runs of a lane that are next why they do not go on yet; of those behind them nothing is known.
UPDATE runs SET status = 'waiting', counting = counting, error = :error
WHERE rowid IN (
    SELECT rowid FROM runs
    WHERE status IN ('queued', 'waiting') AND account_id = :account_id AND place = :place AND operation_id = :operation_id
        AND priority = :priority AND due_at <= :now
    ORDER BY due_at, run_id LIMIT :limit
);

-- name: run
-- One run of an account.
SELECT {run_columns},
    sealed_input, sealed_result, sealed_attempts
FROM runs WHERE account_id = :account_id AND run_id = :run_id AND (:only_user IS NULL OR external_user_id = :only_user);

-- name: places_of_runs
-- Where an account's runs are, newest first; read from the index alone. For who reaches one end user's things alone, places_by_user leads.
SELECT rowid, run_id FROM runs
WHERE account_id = :account_id AND :only_user IS NULL AND run_id < :before AND run_id >= :after
ORDER BY run_id DESC LIMIT :limit;

-- name: places_by_connection
-- Where an account's runs of a connection are, newest first; read from the index alone.
SELECT rowid, run_id FROM runs
WHERE account_id = :account_id AND connection_id = :connection_id AND :only_user IS NULL AND run_id < :before AND run_id >= :after
ORDER BY run_id DESC LIMIT :limit;

-- name: places_by_user
-- Where an account's runs for a user of its own are, newest first; read from the index alone.
SELECT rowid, run_id FROM runs
WHERE account_id = :account_id AND external_user_id = :external_user_id AND (:only_user IS NULL OR :only_user = :external_user_id) AND run_id < :before AND run_id >= :after
ORDER BY run_id DESC LIMIT :limit;

-- name: places_by_status
-- Where an account's runs with a status are, newest first; read from the index alone.
SELECT rowid, run_id FROM runs
WHERE account_id = :account_id AND status = :status AND :only_user IS NULL AND run_id < :before AND run_id >= :after
ORDER BY run_id DESC LIMIT :limit;

-- name: places_by_operation
-- Where an account's runs of an operation are, newest first; read from the index alone.
SELECT rowid, run_id FROM runs
WHERE account_id = :account_id AND operation_id = :operation_id AND :only_user IS NULL AND run_id < :before AND run_id >= :after
ORDER BY run_id DESC LIMIT :limit;

-- name: places_by_partner
-- Where an account's runs of a partner are, newest first; read from the index alone.
SELECT rowid, run_id FROM runs
WHERE account_id = :account_id AND partner_id = :partner_id AND :only_user IS NULL AND run_id < :before AND run_id >= :after
ORDER BY run_id DESC LIMIT :limit;

-- name: places_by_error
-- Where an account's runs are that met an error with a code, newest first; read from the index alone.
SELECT rowid, run_id FROM runs
WHERE account_id = :account_id AND error_code = :error AND :only_user IS NULL AND run_id < :before AND run_id >= :after
ORDER BY run_id DESC LIMIT :limit;

-- name: places_that_fit
-- Those of some places, each a pair of row and run, that further filters fit too: told from the index of each filter, in a stretch of it that lies together.
-- To read rows that lie anywhere in a large table costs ten times as much.
SELECT value ->> 0, value ->> 1 FROM json_each(:places) AS place
WHERE (:external_user_id IS NULL OR EXISTS (
        SELECT 1 FROM runs INDEXED BY runs_by_user
        WHERE account_id = :account_id AND external_user_id = :external_user_id AND (:only_user IS NULL OR :only_user = :external_user_id) AND run_id = place.value ->> 1))
    AND (:status IS NULL OR EXISTS (
        SELECT 1 FROM runs INDEXED BY runs_by_status WHERE account_id = :account_id AND status = :status AND run_id = place.value ->> 1))
    AND (:operation_id IS NULL OR EXISTS (
        SELECT 1 FROM runs INDEXED BY runs_by_operation WHERE account_id = :account_id AND operation_id = :operation_id AND run_id = place.value ->> 1))
    AND (:error IS NULL OR EXISTS (
        SELECT 1 FROM runs INDEXED BY runs_by_error WHERE account_id = :account_id AND error_code = :error AND run_id = place.value ->> 1))
    AND (:partner_id IS NULL OR EXISTS (
        SELECT 1 FROM runs INDEXED BY runs_by_partner WHERE account_id = :account_id AND partner_id = :partner_id AND run_id = place.value ->> 1));

-- name: runs_at
-- Those of the runs at some places that fit, newest first, without their payloads. The plus keeps the account's index out of it: the places are the narrower way.
SELECT {run_columns},
    NULL, NULL, NULL
FROM runs
WHERE rowid IN (SELECT value FROM json_each(:places))
    AND +account_id = :account_id
    AND (:only_user IS NULL OR external_user_id = :only_user)
    AND (:status IS NULL OR status = :status)
    AND (:partner_id IS NULL OR partner_id = :partner_id)
    AND (:operation_id IS NULL OR operation_id = :operation_id)
    AND (:connection_id IS NULL OR connection_id = :connection_id)
    AND (:external_user_id IS NULL OR external_user_id = :external_user_id)
    AND (:error IS NULL OR error_code = :error)
ORDER BY run_id DESC LIMIT :limit;

-- name: why_a_lane_waits
-- Why the first runs of a lane wait that are due, one of each priority, if they were told.
SELECT (SELECT error FROM runs INDEXED BY runs_by_lane
    WHERE status IN ('queued', 'waiting') AND account_id = :account_id AND place = :place AND operation_id = :operation_id
        AND priority = told.value AND due_at <= :now ORDER BY due_at, run_id LIMIT 1)
FROM json_each('[0, 1, 2]') AS told;

-- name: standings_of_runs
-- How some runs stand; each is named as [account, run].
SELECT runs.account_id, runs.run_id, attempts, status, cancel_at, probe_at FROM json_each(:watched) AS watched
CROSS JOIN runs ON runs.account_id = json_extract(watched.value, '$[0]') AND runs.run_id = json_extract(watched.value, '$[1]');

-- name: count_claimed
-- The runs of the claim just before, in the same unit, wait no more. A claim changes rows of one lane alone; to count each by a trigger cost a fifth of it.
UPDATE waiting_runs SET runs = runs - changes() WHERE account_id = :account_id AND partner_id = :partner_id AND changes() > 0;

-- name: claim_lane
-- Take due runs of one lane: nobody else can take them then. They are counted by count_claimed. Those of high priority go as if they had been due :lead milliseconds earlier, those of low
-- priority as if that much later, so that a priority leads and nothing starves. Each is looked for in its own stretch of the index. :sends marks those that
-- may not be repeated as mark_sending does: they are sent at once.
UPDATE runs SET status = 'running', owner = :owner, attempts = attempts + 1, started_at = COALESCE(started_at, :now),
    queued_ms = queued_ms + MAX(0, :now - due_at), sending = :sends AND NOT repeatable
WHERE rowid IN (
    SELECT row_number FROM (
        SELECT * FROM (SELECT rowid AS row_number, due_at - :lead AS turn, run_id FROM runs INDEXED BY runs_by_lane
            WHERE status IN ('queued', 'waiting') AND account_id = :account_id AND place = :place AND operation_id = :operation_id
                AND priority = 2 AND due_at <= :now ORDER BY due_at, run_id LIMIT :limit)
        UNION ALL
        SELECT * FROM (SELECT rowid AS row_number, due_at AS turn, run_id FROM runs INDEXED BY runs_by_lane
            WHERE status IN ('queued', 'waiting') AND account_id = :account_id AND place = :place AND operation_id = :operation_id
                AND priority = 1 AND due_at <= :now ORDER BY due_at, run_id LIMIT :limit)
        UNION ALL
        SELECT * FROM (SELECT rowid AS row_number, due_at + :lead AS turn, run_id FROM runs INDEXED BY runs_by_lane
            WHERE status IN ('queued', 'waiting') AND account_id = :account_id AND place = :place AND operation_id = :operation_id
                AND priority = 0 AND due_at <= :now ORDER BY due_at, run_id LIMIT :limit)
    ) ORDER BY turn, run_id LIMIT :limit
)
RETURNING {run_columns},
    sealed_input, sealed_result, sealed_attempts;

-- name: claim_one
-- claim_lane for a single run, counted by count_claimed: without a list of rows it costs a tenth.
UPDATE runs SET status = 'running', owner = :owner, attempts = attempts + 1, started_at = COALESCE(started_at, :now),
    queued_ms = queued_ms + MAX(0, :now - due_at), sending = :sends AND NOT repeatable
WHERE rowid = (
    SELECT row_number FROM (
        SELECT * FROM (SELECT rowid AS row_number, due_at - :lead AS turn, run_id FROM runs INDEXED BY runs_by_lane
            WHERE status IN ('queued', 'waiting') AND account_id = :account_id AND place = :place AND operation_id = :operation_id
                AND priority = 2 AND due_at <= :now ORDER BY due_at, run_id LIMIT 1)
        UNION ALL
        SELECT * FROM (SELECT rowid AS row_number, due_at AS turn, run_id FROM runs INDEXED BY runs_by_lane
            WHERE status IN ('queued', 'waiting') AND account_id = :account_id AND place = :place AND operation_id = :operation_id
                AND priority = 1 AND due_at <= :now ORDER BY due_at, run_id LIMIT 1)
        UNION ALL
        SELECT * FROM (SELECT rowid AS row_number, due_at + :lead AS turn, run_id FROM runs INDEXED BY runs_by_lane
            WHERE status IN ('queued', 'waiting') AND account_id = :account_id AND place = :place AND operation_id = :operation_id
                AND priority = 0 AND due_at <= :now ORDER BY due_at, run_id LIMIT 1)
    ) ORDER BY turn, run_id LIMIT 1
)
RETURNING {run_columns},
    sealed_input, sealed_result, sealed_attempts;

-- name: lanes_after
-- The next lanes with runs that wait, after one, and whether a run is due there. The first run of each lane is found by a seek, so a long backlog costs no more than a short one;
-- that there are very many lanes is met by taking a few at once.
WITH RECURSIVE lanes (account_id, place, operation_id, partner_id) AS (
    SELECT :account_id, :place, :operation_id, 0
    UNION ALL
    SELECT following.account_id, following.place, following.operation_id, following.partner_id
    FROM lanes JOIN runs AS following ON following.rowid = COALESCE(
        (
            SELECT rowid FROM runs INDEXED BY runs_by_lane
            WHERE status IN ('queued', 'waiting') AND account_id = lanes.account_id AND place = lanes.place AND operation_id > lanes.operation_id
            ORDER BY operation_id, priority, due_at, run_id LIMIT 1
        ),
        (
            SELECT rowid FROM runs INDEXED BY runs_by_lane WHERE status IN ('queued', 'waiting') AND account_id = lanes.account_id AND place > lanes.place
            ORDER BY place, operation_id, priority, due_at, run_id LIMIT 1
        ),
        (
            SELECT rowid FROM runs INDEXED BY runs_by_lane WHERE status IN ('queued', 'waiting') AND account_id > lanes.account_id
            ORDER BY account_id, place, operation_id, priority, due_at, run_id LIMIT 1
        )
    )
    LIMIT :limit + 1
)
SELECT account_id, place, operation_id, partner_id, EXISTS (
    SELECT 1 FROM runs INDEXED BY runs_by_lane WHERE status IN ('queued', 'waiting') AND account_id = lanes.account_id AND place = lanes.place
        AND operation_id = lanes.operation_id AND priority = 1 AND due_at <= :now
) OR EXISTS (
    SELECT 1 FROM runs INDEXED BY runs_by_lane WHERE status IN ('queued', 'waiting') AND account_id = lanes.account_id AND place = lanes.place
        AND operation_id = lanes.operation_id AND priority = 0 AND due_at <= :now
) OR EXISTS (
    SELECT 1 FROM runs INDEXED BY runs_by_lane WHERE status IN ('queued', 'waiting') AND account_id = lanes.account_id AND place = lanes.place
        AND operation_id = lanes.operation_id AND priority = 2 AND due_at <= :now
) AS due
FROM lanes WHERE (account_id, place, operation_id) <> (:account_id, :place, :operation_id);

-- name: next_due
-- When the next run is due.
SELECT MIN(due_at) FROM (
    SELECT MIN(due_at) AS due_at FROM runs INDEXED BY runs_due WHERE status IN ('queued', 'waiting') AND priority = 0
    UNION ALL SELECT MIN(due_at) FROM runs INDEXED BY runs_due WHERE status IN ('queued', 'waiting') AND priority = 1
    UNION ALL SELECT MIN(due_at) FROM runs INDEXED BY runs_due WHERE status IN ('queued', 'waiting') AND priority = 2
);

-- name: mend_due_runs
-- Draw runs near whose time was told by a clock that was ahead, a few at once. Without a step :back they are the queued ones that nobody delayed, or that had
-- begun: due now. With it, those that wait and whose time lies beyond the step. What somebody asked to be delayed stays: that is a date. What is due within the
-- :slack is left alone: runs that are accepted meanwhile are, and there may be thousands a second.
UPDATE runs SET due_at = MAX(:now, CASE status WHEN 'waiting' THEN due_at - :back ELSE 0 END)
WHERE rowid IN (
    SELECT rowid FROM runs INDEXED BY runs_due
    WHERE status IN ('queued', 'waiting') AND priority IN (0, 1, 2) AND due_at > :now AND (
        (:back = 0 AND status = 'queued' AND due_at > :now + :slack AND (attempts > 0 OR due_at <= created_at))
        OR (:back > 0 AND status = 'waiting' AND due_at > :now + :back - :slack)
    ) LIMIT :limit
) RETURNING 1;

-- name: mend_keys
-- Keys of a time that has not come, a few at once as in delete_old_keys: a clock that was ahead told it. They are as old as can be known: made now.
UPDATE idempotency_keys INDEXED BY idempotency_keys_by_age SET created_at = :now WHERE created_at > :now + :slack AND created_at <= (
    SELECT MAX(created_at) FROM (SELECT created_at FROM idempotency_keys WHERE created_at > :now + :slack ORDER BY created_at LIMIT :limit)
) RETURNING 1;

-- name: queue_depth
-- How many runs wait.
SELECT COALESCE(SUM(runs), 0) FROM waiting_runs;

-- name: queue_depth_of_account
-- How many runs of an account wait.
SELECT COALESCE(SUM(runs), 0) FROM waiting_runs WHERE account_id = :account_id;

-- name: running_owners
-- The processes that work on runs.
SELECT DISTINCT owner FROM runs INDEXED BY runs_by_owner WHERE status = 'running' AND owner IS NOT NULL;

-- name: runs_of_owner
-- The runs a process works on, without their payloads.
SELECT {run_columns},
    NULL, NULL, NULL
FROM runs INDEXED BY runs_by_owner WHERE status = 'running' AND owner = :owner LIMIT 1000;

-- name: requeue_run
-- Give back a run whose process died before anything that may not be repeated was sent.
UPDATE runs SET status = 'queued', counting = counting, sending = 0, owner = NULL, due_at = :now WHERE account_id = :account_id AND run_id = :run_id AND status = 'running' AND owner = :owner;

-- name: settle_run
-- End a run whose process died; where its operation can be looked for at the partner, a doubt is looked into soon.
UPDATE runs SET status = :status, counting = counting, sending = 0, owner = NULL, finished_at = :now, error = :error,
    probe_at = CASE WHEN :status = 'uncertain' AND reconciles = 1 THEN :now + :look END
WHERE account_id = :account_id AND run_id = :run_id AND status = 'running' AND owner = :owner;

-- name: runs_to_probe
-- Runs in doubt that are to be looked for at the partner now.
SELECT {run_columns},
    sealed_input, sealed_result, sealed_attempts
FROM runs INDEXED BY runs_to_probe WHERE probe_at IS NOT NULL AND probe_at <= :now ORDER BY probe_at LIMIT :limit;

-- name: take_probe
-- Take the next look for a run in doubt; should this process die, it is due again later.
UPDATE runs SET probe_at = :until WHERE account_id = :account_id AND run_id = :run_id AND status = 'uncertain' AND probe_at = :seen
    AND (:only_user IS NULL OR external_user_id = :only_user);

-- name: settle_doubt
-- What a look at the partner found about a run in doubt; or when to look again.
UPDATE runs SET status = :status, counting = counting, error = :error, sealed_result = :sealed_result, sealed_attempts = :sealed_attempts, settled = :settled, probe_at = :probe_at
WHERE account_id = :account_id AND run_id = :run_id AND status = 'uncertain' AND probe_at = :seen
    AND (:only_user IS NULL OR external_user_id = :only_user);

-- name: cancel_run
-- End a run that has not begun, or waits for another attempt.
UPDATE runs SET status = 'cancelled', counting = counting, finished_at = :now, cancel_at = :now, error = :error
WHERE account_id = :account_id AND run_id = :run_id AND status IN ('queued', 'waiting')
    AND (:only_user IS NULL OR external_user_id = :only_user);

-- name: runs_past_deadline
-- Runs, of all accounts, that wait although their time is over, without their payloads.
SELECT {run_columns},
    NULL, NULL, NULL
FROM runs INDEXED BY runs_by_deadline WHERE deadline_at IS NOT NULL AND status IN ('queued', 'waiting') AND deadline_at <= :now
ORDER BY deadline_at LIMIT :limit;

-- name: expire_run
-- End a run whose time is over while it waits.
UPDATE runs SET status = 'failed', counting = counting, finished_at = :now, error = :error
WHERE account_id = :account_id AND run_id = :run_id AND status IN ('queued', 'waiting') AND deadline_at <= :now;

-- name: ask_run_to_stop
-- Ask the process that works on a run to stop before its next request.
UPDATE runs SET cancel_at = COALESCE(cancel_at, :now) WHERE account_id = :account_id AND run_id = :run_id AND status = 'running'
    AND (:only_user IS NULL OR external_user_id = :only_user);

-- name: runs_to_stop
-- The runs of a process that were asked to stop.
SELECT run_id FROM runs INDEXED BY runs_to_stop WHERE owner = :owner AND status = 'running' AND cancel_at IS NOT NULL;

-- name: hold_restored_queue
-- Take the runs of a restored backup that waited in it away from those who would send them.
UPDATE runs SET status = 'running', counting = counting, sending = 0, owner = :owner WHERE status IN ('queued', 'waiting');

-- name: hold_restored_running
-- Let the runs of a restored backup that were worked on in it belong to nobody who lives.
UPDATE runs SET sending = 0, owner = :owner WHERE status = 'running';

-- name: probe
-- A write that really changes a page, to see whether the database takes writes: SQLite writes nothing for a value that stays the same.
INSERT INTO sequences (name, value) VALUES ('probe', 1) ON CONFLICT (name) DO UPDATE SET value = sequences.value + 1;

-- name: strip_ended_runs
-- Drop the input and the attempts of a few runs that ended before a time, the oldest first.
UPDATE runs SET sealed_input = NULL, sealed_attempts = NULL
WHERE rowid IN (
    SELECT rowid FROM runs INDEXED BY runs_ended WHERE (sealed_input IS NULL) = 0 AND finished_at < :before AND finished_at IS NOT NULL
    ORDER BY finished_at LIMIT :limit
) RETURNING 1;

-- name: delete_ended_runs
-- Delete a few runs that ended before a time and whose key nobody remembers: those without payloads first, then the oldest.
DELETE FROM runs WHERE rowid IN (
    SELECT rowid FROM runs INDEXED BY runs_ended WHERE (sealed_input IS NULL) = 1 AND finished_at < :before AND finished_at IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM idempotency_keys AS held WHERE runs.idempotency_key IS NOT NULL AND held.account_id = runs.account_id
        AND held.external_user_id IN ('', COALESCE(runs.external_user_id, '')) AND held.key = runs.idempotency_key AND held.run_id = runs.run_id)
    UNION ALL
    SELECT rowid FROM runs INDEXED BY runs_ended WHERE (sealed_input IS NULL) = 0 AND finished_at < :before AND finished_at IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM idempotency_keys AS held WHERE runs.idempotency_key IS NOT NULL AND held.account_id = runs.account_id
        AND held.external_user_id IN ('', COALESCE(runs.external_user_id, '')) AND held.key = runs.idempotency_key AND held.run_id = runs.run_id)
    LIMIT :limit
) RETURNING 1;

-- name: bytes_used
-- What the database holds, without the pages that are free.
SELECT (pages.page_count - free.freelist_count) * size.page_size
FROM pragma_page_count() AS pages, pragma_freelist_count() AS free, pragma_page_size() AS size;

-- name: usage_of_user
-- What one end user ran, as far as the runs are still kept, by day, partner and status.
SELECT account_id, finished_at / 86400000 AS day, partner_id, status, COUNT(*), SUM(attempts), SUM(COALESCE(upstream_ms, 0))
FROM runs INDEXED BY runs_by_user
WHERE account_id = :account_id AND external_user_id = :external_user_id AND (:only_user IS NULL OR external_user_id = :only_user)
    AND finished_at >= :first * 86400000 AND finished_at < (:last + 1) * 86400000 AND (:partner_id IS NULL OR partner_id = :partner_id)
GROUP BY day, partner_id, status ORDER BY day, partner_id, status;

-- name: usage
-- What an account ran, by day, partner and status. It is the whole account's: nothing of it is told to who reaches one end user's things alone.
SELECT account_id, day, partner_id, status, runs, attempts, upstream_ms FROM usage
WHERE account_id = :account_id AND :only_user IS NULL AND day >= :first AND day <= :last AND runs > 0 AND (:partner_id IS NULL OR partner_id = :partner_id)
ORDER BY day, partner_id, status;
