-- name: summed_until
-- Up to which moment the runs that ended are in the sums.
SELECT value FROM sequences WHERE name = 'runs_summed';

-- name: next_end
-- When the first run ended from a moment on; the ends of runs with their payloads lie apart from those without.
SELECT MIN(finished_at) FROM (
    SELECT MIN(finished_at) AS finished_at FROM runs INDEXED BY runs_ended
    WHERE (sealed_input IS NULL) = 0 AND finished_at >= :after AND finished_at IS NOT NULL
    UNION ALL
    SELECT MIN(finished_at) FROM runs INDEXED BY runs_ended WHERE (sealed_input IS NULL) = 1 AND finished_at >= :after AND finished_at IS NOT NULL
);

-- part: end
-- What is summed of a run that ended.
account_id, partner_id, finished_at / 60000 * 60 AS slot, status, CASE WHEN status IN ('failed', 'uncertain') THEN error ->> 'code' END AS code,
        upstream_ms, queued_ms, finished_at - created_at - waited_ms - queued_ms - upstream_ms AS own_ms

-- part: summed
-- Of the runs "ended", by minute: how they ended, with which errors, and how long they took. A time is the lower edge of its bin, a tenth wide at most.
timed AS (
    SELECT account_id, partner_id, slot, 'own' AS what, MAX(0, own_ms) AS ms, COUNT(*) AS n FROM ended WHERE upstream_ms IS NOT NULL GROUP BY 1, 2, 3, 5
    UNION ALL
    SELECT account_id, partner_id, slot, 'queue', queued_ms, COUNT(*) FROM ended WHERE upstream_ms IS NOT NULL GROUP BY 1, 2, 3, 5
    UNION ALL
    SELECT account_id, partner_id, slot, 'partner', upstream_ms, COUNT(*) FROM ended WHERE upstream_ms > 0 GROUP BY 1, 2, 3, 5
)
SELECT account_id, partner_id, slot, 'status' AS what, status AS key, COUNT(*) AS n FROM ended GROUP BY 1, 2, 3, 5
UNION ALL
SELECT account_id, partner_id, slot, 'error', code, COUNT(*) FROM ended WHERE code IS NOT NULL GROUP BY 1, 2, 3, 5
UNION ALL
SELECT account_id, partner_id, slot, what, CASE
    WHEN ms < 20 THEN ms WHEN ms < 50 THEN ms / 2 * 2 WHEN ms < 100 THEN ms / 5 * 5
    WHEN ms < 200 THEN ms / 10 * 10 WHEN ms < 500 THEN ms / 20 * 20 WHEN ms < 1000 THEN ms / 50 * 50
    WHEN ms < 2000 THEN ms / 100 * 100 WHEN ms < 5000 THEN ms / 200 * 200 WHEN ms < 10000 THEN ms / 500 * 500
    WHEN ms < 20000 THEN ms / 1000 * 1000 WHEN ms < 50000 THEN ms / 2000 * 2000 WHEN ms < 100000 THEN ms / 5000 * 5000
    WHEN ms < 200000 THEN ms / 10000 * 10000 WHEN ms < 500000 THEN ms / 20000 * 20000 WHEN ms < 1000000 THEN ms / 50000 * 50000
    ELSE 1000000 END, SUM(n) FROM timed GROUP BY 1, 2, 3, 4, 5

-- part: stood
-- Of the runs "found", by minute: how many were accepted and how many ended, whenever; and how all of them stand.
UNION ALL
SELECT account_id, partner_id, created_at / 60000 * 60, 'came', '', COUNT(*) FROM found GROUP BY 1, 2, 3
UNION ALL
SELECT account_id, partner_id, finished_at / 60000 * 60, 'went', '', COUNT(*) FROM found WHERE finished_at IS NOT NULL GROUP BY 1, 2, 3
UNION ALL
SELECT account_id, partner_id, 0, 'stands', CASE WHEN status = 'queued' AND due_at > :now THEN 'scheduled' ELSE status END, COUNT(*) FROM found GROUP BY 1, 2, 5

-- part: latest
-- What is read of the latest runs, whose ends are summed when somebody asks.
account_id, partner_id, status, created_at, due_at, finished_at, upstream_ms, queued_ms, waited_ms, error

-- part: busiest
-- Of the runs "found", those that ended from a moment on, by connection: the connections with the most runs.
SELECT connection_id, partner_id, COUNT(*) AS runs, SUM(status = 'succeeded'), SUM(status IN ('failed', 'uncertain')) FROM found
WHERE connection_id IS NOT NULL AND finished_at >= :after AND (:partner_id IS NULL OR partner_id = :partner_id)
GROUP BY connection_id, partner_id ORDER BY runs DESC, connection_id LIMIT :most

-- name: sums_of_ends
-- What is summed of the runs that ended in a stretch of time, of one account or of all. Told for a whole account only.
WITH ended AS (
    SELECT {end}
    FROM runs INDEXED BY runs_ended
    WHERE (sealed_input IS NULL) IN (0, 1) AND finished_at >= :after AND finished_at < :before AND finished_at IS NOT NULL
        AND (:account_id IS NULL OR account_id = :account_id) AND :only_user IS NULL
    LIMIT :limit
),
{summed};

-- name: sums_of_connection
-- The same of the latest runs with one connection, and how they stand.
WITH found AS MATERIALIZED (
    SELECT {latest} FROM runs INDEXED BY runs_by_connection
    WHERE account_id = :account_id AND connection_id = :connection_id AND run_id >= :from_id AND (:only_user IS NULL OR external_user_id = :only_user)
    ORDER BY run_id DESC LIMIT :limit
),
ended AS (SELECT {end} FROM found WHERE finished_at >= :after),
{summed}
{stood};

-- name: sums_of_user
-- The same of the latest runs of one external user, and how they stand.
WITH found AS MATERIALIZED (
    SELECT {latest} FROM runs INDEXED BY runs_by_user
    WHERE account_id = :account_id AND external_user_id = :external_user_id AND run_id >= :from_id AND (:only_user IS NULL OR external_user_id = :only_user)
    ORDER BY run_id DESC LIMIT :limit
),
ended AS (SELECT {end} FROM found WHERE finished_at >= :after),
{summed}
{stood};

-- name: busiest_connections
-- The connections with the most of an account's latest runs.
WITH found AS MATERIALIZED (
    SELECT connection_id, partner_id, status, finished_at FROM runs
    WHERE account_id = :account_id AND run_id >= :from_id AND (:only_user IS NULL OR external_user_id = :only_user)
    ORDER BY run_id DESC LIMIT :limit
)
{busiest};

-- name: busiest_connections_of_partner
-- The same of the latest runs of one partner.
WITH found AS MATERIALIZED (
    SELECT connection_id, partner_id, status, finished_at FROM runs INDEXED BY runs_by_partner
    WHERE account_id = :account_id AND partner_id = :partner_id AND run_id >= :from_id AND (:only_user IS NULL OR external_user_id = :only_user)
    ORDER BY run_id DESC LIMIT :limit
)
{busiest};

-- name: busiest_connections_of_user
-- The same of the latest runs of one external user.
WITH found AS MATERIALIZED (
    SELECT connection_id, partner_id, status, finished_at FROM runs INDEXED BY runs_by_user
    WHERE account_id = :account_id AND external_user_id = :external_user_id AND run_id >= :from_id AND (:only_user IS NULL OR external_user_id = :only_user)
    ORDER BY run_id DESC LIMIT :limit
)
{busiest};

-- name: waiting_by_partner
-- How many runs of each account wait for each partner.
SELECT account_id, partner_id, runs FROM waiting_runs WHERE runs > 0;

-- name: standing_runs
-- How an account's runs that have not ended stand, or those of one partner: of each status the latest are looked at; scheduled are those that are to start later.
-- Besides, how many wait in all. Told for a whole account only.
SELECT CASE WHEN status = 'queued' AND due_at > :now THEN 'scheduled' ELSE status END AS stands, COUNT(*)
FROM json_each('["queued", "waiting", "running"]') AS wanted
CROSS JOIN runs ON runs.rowid IN (
    SELECT rowid FROM runs INDEXED BY runs_by_status WHERE account_id = :account_id AND status = wanted.value ORDER BY run_id DESC LIMIT :limit
)
WHERE (:partner_id IS NULL OR partner_id = :partner_id) AND :only_user IS NULL
GROUP BY 1
UNION ALL
SELECT 'wait', COALESCE(SUM(runs), 0) FROM waiting_runs
WHERE account_id = :account_id AND (:partner_id IS NULL OR partner_id = :partner_id) AND :only_user IS NULL;

-- name: move_summed
-- The sums reach further now: of the processes that add to them, one does so.
UPDATE sequences SET value = :until WHERE name = 'runs_summed' AND value = :seen;

-- name: add_sums
-- Add to sums, :rows as JSON: [account, grain, what, partner, slot, key, n]. What waits is no sum: the most there was is kept.
INSERT INTO run_sums (account_id, grain, what, partner_id, slot, key, n)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6 FROM json_each(:rows)
WHERE EXISTS (SELECT 1 FROM accounts WHERE account_id = value ->> 0)
ON CONFLICT (account_id, grain, what, partner_id, slot, key) DO UPDATE SET n = CASE what WHEN 'waiting' THEN MAX(n, excluded.n) ELSE n + excluded.n END;

-- name: run_sums
-- The sums of an account, or of a partner within it (0: all together), from a moment on, those of one slot together as JSON: a day has many thousands. They are the
-- whole account's: who reaches one end user's things alone gets none.
SELECT slot, what, json_group_object(run_sums.key, n)
FROM json_each('["status", "error", "own", "queue", "partner", "waiting"]') AS wanted CROSS JOIN run_sums
WHERE account_id = :account_id AND grain = :grain AND what = wanted.value AND partner_id = :partner_id AND slot >= :first AND n > 0
    AND :only_user IS NULL
GROUP BY what, slot;

-- name: sums_by_partner
-- How the runs of each of an account's partners ended, from a moment on: how many, how many well and how many badly; those with the most runs. Told for a whole account only.
SELECT partner_id, SUM(n) AS runs, SUM(CASE key WHEN 'succeeded' THEN n ELSE 0 END), SUM(CASE WHEN key IN ('failed', 'uncertain') THEN n ELSE 0 END) FROM run_sums
WHERE account_id = :account_id AND grain = :grain AND what = 'status' AND partner_id > 0 AND slot >= :first AND :only_user IS NULL
GROUP BY partner_id HAVING runs > 0 ORDER BY runs DESC, partner_id LIMIT :limit;

-- name: delete_old_sums
-- Drop sums of a grain that are older than a moment, a few at once.
DELETE FROM run_sums WHERE (account_id, grain, what, partner_id, slot, key) IN (
    SELECT account_id, grain, what, partner_id, slot, key FROM run_sums WHERE grain = :grain AND slot < :before LIMIT :limit
) RETURNING 1;

-- name: delete_sums_from
-- Drop the sums of a moment and what comes after it: they are summed anew.
DELETE FROM run_sums WHERE grain IN (60, 900, 21600) AND slot >= :first;
