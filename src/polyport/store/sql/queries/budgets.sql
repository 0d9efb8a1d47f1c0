-- name: take_budgets
-- Take up to :wanted permits, each of which costs some of every budget in :quotas (JSON): as many as all of them have left, or none.
-- A quota is [key, cost, most, span, since, ahead, until, owner].
INSERT INTO budget_uses (key, span, taken, permits, remains, until, owner)
WITH asked AS (
    SELECT value ->> 0 AS key, value ->> 1 AS cost, value ->> 2 AS most, value ->> 3 AS span, value ->> 4 AS since, value ->> 5 AS ahead,
        value ->> 6 AS until, value ->> 7 AS owner
    FROM json_each(:quotas)
),
free AS (
    SELECT asked.*, most
        - COALESCE((SELECT SUM(taken) FROM budget_uses AS used WHERE used.key = asked.key AND used.span > since AND used.span <= ahead), 0)
        - COALESCE((SELECT taken FROM budget_uses AS told WHERE told.key = asked.key AND told.span = -1 AND told.until > :now), 0) AS remains
    FROM asked
),
granted AS (SELECT MIN(:wanted, MIN(remains / cost)) AS permits FROM free)
SELECT key, span, permits * cost, permits, remains - permits * cost, until, owner FROM free, granted WHERE permits > 0
ON CONFLICT (key, span) DO UPDATE
SET taken = taken + excluded.taken, permits = excluded.permits, remains = excluded.remains, until = excluded.until, owner = excluded.owner
RETURNING key, permits, remains;

-- name: budget_uses
-- What counts of budgets now, a row for each span; :quotas as in take_budgets.
SELECT used.key, used.span, used.taken, used.until
FROM json_each(:quotas) AS asked JOIN budget_uses AS used ON used.key = asked.value ->> 0
WHERE used.span > asked.value ->> 4 AND used.span <= asked.value ->> 5 AND used.taken > 0
UNION ALL
SELECT told.key, told.span, told.taken, told.until
FROM json_each(:quotas) AS asked JOIN budget_uses AS told ON told.key = asked.value ->> 0 AND told.span = -1
WHERE told.until > :now AND told.taken > 0;

-- name: add_budget_uses
-- Units count in this span too; give_budget_back took them out of another.
INSERT INTO budget_uses (key, span, taken, permits, remains, until) VALUES (:key, :span, :count, 0, 0, :until)
ON CONFLICT (key, span) DO UPDATE SET taken = taken + excluded.taken, until = excluded.until;

-- name: give_budget_back
-- Units of a span count no more.
UPDATE budget_uses SET taken = MAX(0, taken - :count) WHERE key = :key AND span = :span;

-- name: tell_budget
-- The partner told that less is left than we know of: the difference counts as if it were ours, until a moment.
INSERT INTO budget_uses (key, span, taken, permits, remains, until)
SELECT :key, -1, MAX(0, :most - :remaining - COALESCE((
    SELECT SUM(taken) FROM budget_uses WHERE key = :key AND span > :since AND span <= :ahead
), 0)), 0, 0, :until
WHERE true
ON CONFLICT (key, span) DO UPDATE SET taken = excluded.taken, until = excluded.until;

-- name: close_budget
-- The partner asked to wait: nothing is left until a moment.
INSERT INTO budget_uses (key, span, taken, permits, remains, until) VALUES (:key, -1, :most, 0, 0, :until)
ON CONFLICT (key, span) DO UPDATE SET taken = excluded.taken, until = MAX(excluded.until, until);

-- name: budget_owners
-- The processes that hold places of budgets.
SELECT DISTINCT owner FROM budget_uses WHERE owner IS NOT NULL;

-- name: release_budgets
-- Places of a dead process are free again.
DELETE FROM budget_uses WHERE owner = :owner;

-- name: delete_old_budget_uses
-- Drop what counts no more, a few at once.
DELETE FROM budget_uses WHERE (key, span) IN (SELECT key, span FROM budget_uses WHERE until < :now LIMIT 1000);

-- name: forget_budget_uses_beyond
-- Drop what counts until after a moment to which no true clock can have led; places that are held belong to their process.
DELETE FROM budget_uses WHERE until > :moment AND owner IS NULL;

-- name: budgets_in_use
-- What counts now of the budgets whose keys begin alike: those of which most was taken.
SELECT key, SUM(taken) AS used FROM budget_uses WHERE key >= :prefix AND key < :prefix || '~' AND until > :now
GROUP BY key HAVING used > 0 ORDER BY used DESC, key LIMIT :limit;
