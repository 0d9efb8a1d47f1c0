-- name: put_end_user
-- A user by the customer's own id: made, or changed in what is given; none while it is being deleted. A generation of 1 says that it was made.
INSERT INTO end_users (account_id, external_id, title, email, metadata, status, mark, generation, created_at, updated_at)
VALUES (:account_id, :external_id, :title, :email, COALESCE(:metadata, '{}'), 'active', NULL, 1, :now, :now)
ON CONFLICT (account_id, external_id) DO UPDATE SET title = CASE WHEN :has_title THEN excluded.title ELSE title END,
    email = CASE WHEN :has_email THEN excluded.email ELSE email END, metadata = COALESCE(:metadata, metadata),
    generation = generation + 1, updated_at = :now
WHERE status = 'active'
RETURNING end_user_id, account_id, external_id, title, email, metadata, status, mark, generation, created_at, updated_at;

-- name: patch_end_user
-- What the customer says about a user.
UPDATE end_users SET title = CASE WHEN :has_title THEN :title ELSE title END, email = CASE WHEN :has_email THEN :email ELSE email END,
    metadata = COALESCE(:metadata, metadata), generation = generation + 1, updated_at = :now
WHERE end_user_id = :end_user_id AND account_id = :account_id AND status = 'active'
RETURNING end_user_id, account_id, external_id, title, email, metadata, status, mark, generation, created_at, updated_at;

-- name: end_user
-- One end user of an account.
SELECT end_user_id, account_id, external_id, title, email, metadata, status, mark, generation, created_at, updated_at
FROM end_users WHERE end_user_id = :end_user_id AND account_id = :account_id;

-- name: end_users
-- A page of an account's end users that meet every filter given.
SELECT end_user_id, account_id, external_id, title, email, metadata, status, mark, generation, created_at, updated_at
FROM end_users
WHERE account_id = :account_id
    AND (:external_id IS NULL OR external_id = :external_id)
    AND (:external_id_like IS NULL OR instr(lower(external_id), lower(:external_id_like)) > 0)
    AND (:title IS NULL OR title = :title)
    AND (:title_like IS NULL OR instr(lower(title), lower(:title_like)) > 0)
    AND (:status IS NULL OR status = :status)
    AND (:after_id IS NULL OR CASE :sort
        WHEN 'title' THEN lower(COALESCE(title, '')) > lower(:after_key) OR (lower(COALESCE(title, '')) = lower(:after_key) AND end_user_id > :after_id)
        WHEN '-title' THEN lower(COALESCE(title, '')) < lower(:after_key) OR (lower(COALESCE(title, '')) = lower(:after_key) AND end_user_id > :after_id)
        WHEN 'externalId' THEN external_id > :after_key OR (external_id = :after_key AND end_user_id > :after_id)
        WHEN '-externalId' THEN external_id < :after_key OR (external_id = :after_key AND end_user_id > :after_id)
        WHEN '-id' THEN end_user_id < :after_id
        ELSE end_user_id > :after_id END)
ORDER BY
    CASE WHEN :sort = 'title' THEN lower(COALESCE(title, '')) END ASC,
    CASE WHEN :sort = '-title' THEN lower(COALESCE(title, '')) END DESC,
    CASE WHEN :sort = 'externalId' THEN external_id END ASC,
    CASE WHEN :sort = '-externalId' THEN external_id END DESC,
    CASE WHEN :sort = '-id' THEN end_user_id END DESC,
    end_user_id ASC
LIMIT :limit OFFSET :offset;

-- name: count_end_users
-- How many end users of an account meet every filter given.
SELECT COUNT(*) FROM end_users
WHERE account_id = :account_id
    AND (:external_id IS NULL OR external_id = :external_id)
    AND (:external_id_like IS NULL OR instr(lower(external_id), lower(:external_id_like)) > 0)
    AND (:title IS NULL OR title = :title)
    AND (:title_like IS NULL OR instr(lower(title), lower(:title_like)) > 0)
    AND (:status IS NULL OR status = :status);

-- name: hold_end_user
-- See within a unit that a user is not being deleted: what the unit makes is made before a deletion begins, or not at all.
UPDATE end_users SET updated_at = updated_at WHERE end_user_id = :end_user_id AND account_id = :account_id AND status = 'active';

-- name: begin_deletion
-- A user is being deleted from here on; what was known of it but its id goes at once.
UPDATE end_users SET status = 'deleting', mark = :mark, title = NULL, email = NULL, metadata = '{}', generation = generation + 1, updated_at = :now
WHERE end_user_id = :end_user_id AND account_id = :account_id AND status = 'active';

-- name: delete_tokens_of_user
-- End all tokens of an end user.
DELETE FROM tokens WHERE account_id = :account_id AND external_user_id = :external_id;

-- name: users_being_deleted
-- Users whose deletion was begun, of all accounts, the oldest first.
SELECT end_user_id, account_id, external_id, title, email, metadata, status, mark, generation, created_at, updated_at
FROM end_users WHERE status = 'deleting' ORDER BY end_user_id LIMIT 100;

-- name: connections_of_user
-- Some connections of an end user.
SELECT connection_id FROM connections
WHERE account_id = :account_id AND external_user_id = :external_id AND (:only_user IS NULL OR external_user_id = :only_user)
ORDER BY connection_id LIMIT :limit;

-- name: delete_links_of_user
-- Drop some links of an end user.
DELETE FROM links WHERE link_id IN (
    SELECT link_id FROM links
    WHERE account_id = :account_id AND external_user_id = :external_id AND (:only_user IS NULL OR external_user_id = :only_user)
    ORDER BY link_id LIMIT :limit)
RETURNING link_id;

-- name: delete_events_of_user
-- What was told, or is still to be told, of a user, a few at once; that a connection was deleted is still told.
DELETE FROM outbox WHERE event_id IN (
    SELECT event_id FROM outbox
    WHERE account_id = :account_id AND external_user_id = :external_id AND type <> 'connection.deleted'
    LIMIT :limit)
RETURNING event_id;

-- name: delete_files_of_user
-- Drop some files of an end user.
DELETE FROM files WHERE file_id IN (
    SELECT file_id FROM files
    WHERE account_id = :account_id AND external_user_id = :external_id AND (:only_user IS NULL OR external_user_id = :only_user)
    ORDER BY file_id LIMIT :limit)
RETURNING file_id;

-- name: stop_runs_of_user
-- Ask the processes that work on runs of an end user to stop before their next request.
UPDATE runs SET cancel_at = :now
WHERE rowid IN (
    SELECT rowid FROM runs INDEXED BY runs_by_user
    WHERE account_id = :account_id AND external_user_id = :external_id AND (:only_user IS NULL OR external_user_id = :only_user)
        AND status = 'running' AND cancel_at IS NULL
    ORDER BY run_id LIMIT :limit)
RETURNING run_id;

-- name: cancel_runs_of_user
-- End some runs of an end user that nobody works on.
UPDATE runs SET status = 'cancelled', counting = counting, cancel_at = COALESCE(cancel_at, :now), finished_at = :now, error = :error
WHERE rowid IN (
    SELECT rowid FROM runs INDEXED BY runs_by_user
    WHERE account_id = :account_id AND external_user_id = :external_id AND (:only_user IS NULL OR external_user_id = :only_user)
        AND status IN ('queued', 'waiting')
    ORDER BY run_id LIMIT :limit)
RETURNING run_id;

-- name: forget_keys_of_user
-- Forget the keys that the first ended runs of an end user were started under.
DELETE FROM idempotency_keys
WHERE account_id = :account_id AND external_user_id IN ('', :external_id) AND (:only_user IS NULL OR external_user_id = :only_user)
    AND (key, run_id) IN (
        SELECT idempotency_key, run_id FROM runs INDEXED BY runs_by_user
        WHERE account_id = :account_id AND external_user_id = :external_id AND (:only_user IS NULL OR external_user_id = :only_user)
            AND status IN ('succeeded', 'failed', 'uncertain', 'cancelled')
        ORDER BY run_id LIMIT :limit);

-- name: redact_runs_of_user
-- Of the first ended runs of an end user nothing stays but that they were, and how they ended: the mark stands in the place of the user.
UPDATE runs SET external_user_id = :mark, metadata = '{}', callback_url = NULL, idempotency_key = NULL,
    sealed_input = NULL, sealed_result = NULL, sealed_attempts = NULL
WHERE rowid IN (
    SELECT rowid FROM runs INDEXED BY runs_by_user
    WHERE account_id = :account_id AND external_user_id = :external_id AND (:only_user IS NULL OR external_user_id = :only_user)
        AND status IN ('succeeded', 'failed', 'uncertain', 'cancelled')
    ORDER BY run_id LIMIT :limit)
RETURNING run_id;

-- name: forget_end_user
-- The end of a deletion: nothing of the user is left, nor has anything been made meanwhile.
DELETE FROM end_users WHERE end_user_id = :end_user_id AND account_id = :account_id AND status = 'deleting'
    AND NOT EXISTS (SELECT 1 FROM connections WHERE account_id = :account_id AND external_user_id = :external_id AND (:only_user IS NULL OR external_user_id = :only_user))
    AND NOT EXISTS (SELECT 1 FROM links WHERE account_id = :account_id AND external_user_id = :external_id AND (:only_user IS NULL OR external_user_id = :only_user))
    AND NOT EXISTS (SELECT 1 FROM files WHERE account_id = :account_id AND external_user_id = :external_id AND (:only_user IS NULL OR external_user_id = :only_user))
    AND NOT EXISTS (SELECT 1 FROM runs WHERE account_id = :account_id AND external_user_id = :external_id AND (:only_user IS NULL OR external_user_id = :only_user))
    AND NOT EXISTS (SELECT 1 FROM outbox WHERE account_id = :account_id AND external_user_id = :external_id AND type <> 'connection.deleted');
