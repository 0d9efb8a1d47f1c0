-- name: insert_event
-- An event for one receiver; none when its endpoint is gone or disabled, or when the connection that it tells of stands so already.
INSERT INTO outbox (event_id, account_id, external_user_id, type, endpoint_id, url, lane, status, attempts, due_at, owner, last_status, last_error, created_at, ended_at,
    deliveries, sealed, subject)
SELECT :event_id, :account_id, :external_user_id, :type, :endpoint_id, :url, :lane, :status, :attempts, :due_at, :owner, :last_status, :last_error, :created_at, :ended_at,
    :deliveries, :sealed, :subject
WHERE (:endpoint_id IS NULL OR EXISTS (SELECT 1 FROM event_endpoints WHERE endpoint_id = :endpoint_id AND status <> 'disabled'))
    AND (:becomes IS NULL OR EXISTS (
        SELECT 1 FROM connections WHERE connection_id = :connection_id AND generation = :generation AND status <> :becomes));

-- name: event
-- One event of an account.
SELECT event_id, account_id, external_user_id, type, endpoint_id, url, lane, status, attempts, due_at, owner, last_status, last_error, created_at, ended_at, deliveries, sealed, subject
FROM outbox WHERE event_id = :event_id AND account_id = :account_id;

-- name: events
-- A page of an account's events, newest first, without what they tell.
SELECT event_id, account_id, external_user_id, type, endpoint_id, url, lane, status, attempts, due_at, owner, last_status, last_error, created_at, ended_at, '[]', x'', subject
FROM outbox
WHERE account_id = :account_id AND event_id < :before
    AND (:type IS NULL OR type = :type)
ORDER BY event_id DESC LIMIT :limit;

-- name: events_of_endpoint
-- A page of the events of one endpoint, newest first, without what they tell.
SELECT event_id, account_id, external_user_id, type, endpoint_id, url, lane, status, attempts, due_at, owner, last_status, last_error, created_at, ended_at, '[]', x'', subject
FROM outbox INDEXED BY outbox_by_endpoint
WHERE account_id = :account_id AND endpoint_id = :endpoint_id AND event_id < :before
    AND (:type IS NULL OR type = :type)
ORDER BY event_id DESC LIMIT :limit;

-- name: events_of_status
-- A page of an account's events that stand at one status, newest first, without what they tell.
SELECT event_id, account_id, external_user_id, type, endpoint_id, url, lane, status, attempts, due_at, owner, last_status, last_error, created_at, ended_at, '[]', x'', subject
FROM outbox
WHERE account_id = :account_id AND status = :status AND event_id < :before
    AND (:type IS NULL OR type = :type)
    AND (:endpoint_id IS NULL OR endpoint_id = :endpoint_id)
ORDER BY event_id DESC LIMIT :limit;

-- name: events_of_subject
-- The events of an account that tell of one run, in order, without what they tell. Where the account is told is nothing for who reaches one end user's things alone.
SELECT event_id, account_id, external_user_id, type, endpoint_id, url, lane, status, attempts, due_at, owner, last_status, last_error, created_at, ended_at, deliveries, x'', subject
FROM outbox INDEXED BY outbox_by_subject
WHERE account_id = :account_id AND subject = :subject AND :only_user IS NULL ORDER BY event_id LIMIT 100;

-- name: next_event_due
-- When the next event is due.
SELECT MIN(due_at) FROM outbox WHERE status = 'pending';

-- name: census_of_events
-- How many events wait, wait for a paused endpoint and are dead letters, each counted up to a limit; and since when the oldest waits.
SELECT
    (SELECT COUNT(*) FROM (SELECT 1 FROM outbox INDEXED BY outbox_waiting WHERE status = 'pending' AND due_at < 9007199254740992 LIMIT :limit)),
    (SELECT COUNT(*) FROM (SELECT 1 FROM outbox INDEXED BY outbox_due WHERE status = 'pending' AND due_at = :parked LIMIT :limit)),
    (SELECT COUNT(*) FROM (SELECT 1 FROM outbox INDEXED BY outbox_by_end WHERE status = 'dead' AND ended_at IS NOT NULL LIMIT :limit)),
    (SELECT MIN(created_at) FROM outbox INDEXED BY outbox_waiting WHERE status = 'pending' AND due_at < 9007199254740992);

-- name: lanes_due
-- The lanes that hold a due event, and since when: one step through the index for each lane, however many events wait in it.
WITH RECURSIVE lanes (lane) AS (
    SELECT MIN(lane) FROM outbox WHERE status = 'pending'
    UNION ALL
    SELECT (SELECT MIN(lane) FROM outbox WHERE status = 'pending' AND lane > lanes.lane) FROM lanes WHERE lanes.lane IS NOT NULL
),
firsts (lane, due_at) AS (
    SELECT lane, (SELECT MIN(due_at) FROM outbox WHERE status = 'pending' AND lane = lanes.lane) FROM lanes WHERE lane IS NOT NULL
)
SELECT lane FROM firsts WHERE due_at <= :now ORDER BY due_at;

-- name: claim_events
-- Take due events of one lane, oldest first: nobody else can take them until the lease is over.
UPDATE outbox SET owner = :owner, attempts = attempts + 1, due_at = :leased_until
WHERE event_id IN (SELECT event_id FROM outbox WHERE status = 'pending' AND lane = :lane AND due_at <= :now ORDER BY due_at LIMIT :limit)
RETURNING event_id, account_id, external_user_id, type, endpoint_id, url, lane, status, attempts, due_at, owner, last_status, last_error, created_at, ended_at, deliveries, sealed, subject;

-- name: mend_due_events
-- Draw events near whose time was told by a clock that was ahead, a few at once; see mend_due_runs. Those that wait for their endpoint are due never.
UPDATE outbox SET due_at = MAX(:now, CASE WHEN attempts > 0 THEN due_at - :back ELSE 0 END)
WHERE event_id IN (
    SELECT event_id FROM outbox INDEXED BY outbox_due
    WHERE status = 'pending' AND due_at > :now AND due_at < :parked AND (
        (:back = 0 AND attempts = 0 AND due_at > :now + :slack AND due_at <= created_at) OR (:back > 0 AND attempts > 0 AND due_at > :now + :back - :slack)
    ) LIMIT :limit
) RETURNING 1;

-- name: settle_event
-- What came of an attempt, by the process that holds the lease of this very attempt.
UPDATE outbox SET status = :status, attempts = :attempts, due_at = :due_at, owner = NULL, last_status = :last_status, last_error = :last_error,
    ended_at = :ended_at, deliveries = :deliveries
WHERE event_id = :event_id AND status = 'pending' AND owner = :owner AND attempts = :attempt;

-- name: replay_event
-- An ended event is sent anew, from its first attempt; one that waits for another attempt is due now. What is being sent, or waits for its endpoint, is left.
UPDATE outbox SET status = 'pending', attempts = CASE status WHEN 'pending' THEN attempts ELSE 0 END, due_at = :now, owner = NULL, ended_at = NULL
WHERE event_id = :event_id AND account_id = :account_id AND (status <> 'pending' OR (owner IS NULL AND due_at < :parked));

-- name: replay_dead_events
-- Dead letters that ended before a time are sent anew, a few at once.
UPDATE outbox SET status = 'pending', attempts = 0, due_at = :now, owner = NULL, ended_at = NULL
WHERE event_id IN (
    SELECT event_id FROM outbox
    WHERE account_id = :account_id AND status = 'dead' AND ended_at <= :before
        AND (:type IS NULL OR type = :type)
        AND (:endpoint_id IS NULL OR endpoint_id = :endpoint_id)
    LIMIT 1000)
RETURNING event_id;

-- name: resume_events
-- What waited for a paused endpoint is due, a few at once.
UPDATE outbox SET due_at = :now
WHERE event_id IN (SELECT event_id FROM outbox WHERE endpoint_id = :endpoint_id AND status = 'pending' AND due_at = :parked LIMIT 1000)
RETURNING event_id;

-- name: bury_parked_events
-- What waited for a paused endpoint since before a time is dead, a few at once.
UPDATE outbox SET status = 'dead', ended_at = :now, last_error = :reason
WHERE event_id IN (SELECT event_id FROM outbox WHERE status = 'pending' AND due_at = :parked AND created_at < :before LIMIT 1000)
RETURNING event_id;

-- name: delete_old_events
-- Forget events that ended before a time, a few at once.
DELETE FROM outbox WHERE event_id IN (SELECT event_id FROM outbox WHERE status = :status AND ended_at < :before LIMIT 1000) RETURNING event_id;

-- name: insert_endpoint
-- A new endpoint, as long as the account has fewer than it may have.
INSERT INTO event_endpoints (endpoint_id, account_id, url, event_types, title, status, reason, secrets, generation, created_at, updated_at)
SELECT :endpoint_id, :account_id, :url, :event_types, :title, :status, :reason, :secrets, :generation, :created_at, :updated_at
WHERE (SELECT COUNT(*) FROM event_endpoints WHERE account_id = :account_id) < :most;

-- name: endpoint
-- One endpoint of an account.
SELECT endpoint_id, account_id, url, event_types, title, status, reason, secrets, generation, created_at, updated_at
FROM event_endpoints WHERE endpoint_id = :endpoint_id AND account_id = :account_id;

-- name: endpoints
-- All endpoints of an account.
SELECT endpoint_id, account_id, url, event_types, title, status, reason, secrets, generation, created_at, updated_at
FROM event_endpoints WHERE account_id = :account_id ORDER BY endpoint_id;

-- name: update_endpoint
-- What changes of an endpoint, if nobody else changed it since it was read.
UPDATE event_endpoints SET url = :url, event_types = :event_types, title = :title, status = :status, reason = :reason, secrets = :secrets,
    generation = generation + 1, updated_at = :updated_at
WHERE endpoint_id = :endpoint_id AND account_id = :account_id AND generation = :generation;

-- name: disable_endpoint
-- An endpoint that said it is gone gets no more events.
UPDATE event_endpoints SET status = 'disabled', reason = :reason, generation = generation + 1, updated_at = :now
WHERE endpoint_id = :endpoint_id AND status <> 'disabled';

-- name: delete_endpoint
-- Drop an endpoint with its secrets.
DELETE FROM event_endpoints WHERE endpoint_id = :endpoint_id AND account_id = :account_id;

-- name: callback_secrets
-- What signs an account's callbacks.
SELECT account_id, secrets, generation, updated_at FROM callback_secrets WHERE account_id = :account_id;

-- name: insert_callback_secrets
-- The first secret of an account's callbacks; that of another process stands if it was first.
INSERT INTO callback_secrets (account_id, secrets, generation, updated_at) VALUES (:account_id, :secrets, 1, :updated_at)
ON CONFLICT (account_id) DO NOTHING;

-- name: update_callback_secrets
-- Other secrets for an account's callbacks, if nobody else changed them since they were read.
UPDATE callback_secrets SET secrets = :secrets, generation = generation + 1, updated_at = :updated_at
WHERE account_id = :account_id AND generation = :generation;
