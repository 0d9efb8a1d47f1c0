-- name: insert_import
-- A new import, unless the account has as many under way as it may have.
INSERT INTO partner_imports (import_id, account_id, slug, source, asked_by, status, step, done, total, owner, tries, partner_id, version, outcome, created_at, updated_at,
    finished_at, sealed_input)
SELECT :import_id, :account_id, :slug, :source, :asked_by, :status, :step, :done, :total, :owner, :tries, :partner_id, :version, :outcome, :created_at, :updated_at, :finished_at, :sealed_input
WHERE (SELECT COUNT(*) FROM partner_imports WHERE account_id = :account_id AND status IN ('queued', 'running', 'needs_answer')) < :most;

-- name: import
-- One import of an account.
SELECT import_id, account_id, slug, source, asked_by, status, step, done, total, owner, tries, partner_id, version, outcome, created_at, updated_at,
    finished_at
FROM partner_imports WHERE account_id = :account_id AND import_id = :import_id;

-- name: import_input
-- What an import was given, sealed.
SELECT sealed_input FROM partner_imports WHERE import_id = :import_id;

-- name: imports
-- A page of an account's imports, the newest first.
SELECT import_id, account_id, slug, source, asked_by, status, step, done, total, owner, tries, partner_id, version, outcome, created_at, updated_at,
    finished_at
FROM partner_imports WHERE account_id = :account_id AND (:status IS NULL OR status = :status) AND (:slug IS NULL OR slug = :slug)
    AND (:before IS NULL OR import_id < :before)
ORDER BY import_id DESC LIMIT :limit OFFSET :offset;

-- name: count_imports
-- How many imports of an account meet every filter given.
SELECT COUNT(*) FROM partner_imports
WHERE account_id = :account_id AND (:status IS NULL OR status = :status) AND (:slug IS NULL OR slug = :slug);

-- name: import_waits
-- Whether an import is queued.
SELECT 1 FROM partner_imports WHERE status = 'queued' LIMIT 1;

-- name: claim_import
-- Take the import that waits longest, of an account that has none at work, if fewer than so many are at work.
UPDATE partner_imports SET status = 'running', owner = :owner, tries = tries + 1, done = 0, total = 0, updated_at = :now
WHERE import_id = (
    SELECT import_id FROM partner_imports AS next
    WHERE status = 'queued' AND NOT EXISTS (
        SELECT 1 FROM partner_imports AS other WHERE other.status = 'running' AND other.account_id = next.account_id
    )
    ORDER BY updated_at LIMIT 1
) AND (SELECT COUNT(*) FROM partner_imports WHERE status = 'running') < :most
RETURNING import_id, account_id, slug, source, asked_by, status, step, done, total, owner, tries, partner_id, version, outcome, created_at, updated_at,
    finished_at;

-- name: advance_import
-- Note how far an import has come, by the process that works on it.
UPDATE partner_imports SET step = :step, done = :done, total = :total, updated_at = :now
WHERE import_id = :import_id AND status = 'running' AND owner = :owner;

-- name: keep_import_input
-- Put what was read in place of what was given, by the process that works on it.
UPDATE partner_imports SET sealed_input = :sealed_input, source = :source, updated_at = :now
WHERE import_id = :import_id AND status = 'running' AND owner = :owner;

-- name: settle_import
-- How an import stands after the work of the process that took it: it has ended, or waits for an answer.
UPDATE partner_imports SET status = :status, step = :step, owner = NULL, partner_id = :partner_id, version = :version, outcome = :outcome,
    updated_at = :updated_at, finished_at = :finished_at, sealed_input = CASE WHEN :finished_at IS NULL THEN sealed_input END
WHERE import_id = :import_id AND status = 'running' AND owner = :owner;

-- name: answer_import
-- Let an import go on that was waiting for an answer.
UPDATE partner_imports SET status = 'queued', tries = 0, outcome = NULL, sealed_input = :sealed_input, updated_at = :now
WHERE account_id = :account_id AND import_id = :import_id AND status = 'needs_answer' AND updated_at = :asked_at;

-- name: cancel_import
-- End an import that has not ended.
UPDATE partner_imports SET status = 'cancelled', owner = NULL, outcome = NULL, updated_at = :now, finished_at = :now, sealed_input = NULL
WHERE account_id = :account_id AND import_id = :import_id AND status IN ('queued', 'running', 'needs_answer');

-- name: import_owners
-- The processes that work on imports.
SELECT DISTINCT owner FROM partner_imports WHERE status = 'running';

-- name: recover_imports
-- Give back what a dead process worked on; what was tried so often ends.
UPDATE partner_imports SET owner = NULL, updated_at = :now, status = CASE WHEN tries < :most THEN 'queued' ELSE 'refused' END,
    outcome = CASE WHEN tries < :most THEN outcome ELSE :outcome END, finished_at = CASE WHEN tries < :most THEN NULL ELSE :now END,
    sealed_input = CASE WHEN tries < :most THEN sealed_input END
WHERE status = 'running' AND owner = :owner;

-- name: cancel_restored_imports
-- Nothing in a copy goes on by itself.
UPDATE partner_imports SET status = 'cancelled', owner = NULL, finished_at = updated_at, sealed_input = NULL
WHERE status IN ('queued', 'running', 'needs_answer');

-- name: forget_questions
-- End imports that have waited for an answer since before a time.
UPDATE partner_imports SET status = 'cancelled', updated_at = :now, finished_at = :now, sealed_input = NULL
WHERE status = 'needs_answer' AND updated_at < :before;

-- name: delete_old_imports
-- Drop imports that ended before a time.
DELETE FROM partner_imports WHERE finished_at < :before;
