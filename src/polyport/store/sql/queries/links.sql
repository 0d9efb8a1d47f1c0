-- name: insert_link
-- A new link; gives its id.
INSERT INTO links (account_id, partner_id, token_hash, status, connection_id, renews, title, external_user_id, redirect_url, callback_url,
    metadata, language, last_error, session_hash, created_at, expires_at, opened_at, used_at)
VALUES (:account_id, :partner_id, :token_hash, :status, :connection_id, :renews, :title, COALESCE(:only_user, :external_user_id), :redirect_url, :callback_url,
    :metadata, :language, :last_error, :session_hash, :created_at, :expires_at, :opened_at, :used_at) RETURNING link_id;

-- name: link
-- One link of an account; one whose time is over is expired.
SELECT link_id, account_id, partner_id, token_hash,
    CASE WHEN status IN (0, 2, 3) AND expires_at <= :now THEN 4 ELSE status END AS status,
    connection_id, renews, title, external_user_id, redirect_url, callback_url, metadata, language, last_error, session_hash,
    created_at, expires_at, opened_at, used_at
FROM links WHERE link_id = :link_id AND account_id = :account_id AND (:only_user IS NULL OR external_user_id = :only_user);

-- name: link_by_id
-- A link whoever it belongs to, for the page that shows its token.
SELECT link_id, account_id, partner_id, token_hash,
    CASE WHEN status IN (0, 2, 3) AND expires_at <= :now THEN 4 ELSE status END AS status,
    connection_id, renews, title, external_user_id, redirect_url, callback_url, metadata, language, last_error, session_hash,
    created_at, expires_at, opened_at, used_at
FROM links WHERE link_id = :link_id;

-- name: links
-- A page of an account's links that meet every filter given, newest first if nothing else is asked for.
SELECT link_id, account_id, partner_id, token_hash,
    CASE WHEN status IN (0, 2, 3) AND expires_at <= :now THEN 4 ELSE status END AS status,
    connection_id, renews, title, external_user_id, redirect_url, callback_url, metadata, language, last_error, session_hash,
    created_at, expires_at, opened_at, used_at
FROM links
WHERE account_id = :account_id
    AND (:only_user IS NULL OR external_user_id = :only_user)
    AND (:partner_id IS NULL OR partner_id = :partner_id)
    AND (:status IS NULL OR :status = CASE WHEN status IN (0, 2, 3) AND expires_at <= :now THEN 4 ELSE status END)
    AND (:external_user_id IS NULL OR external_user_id = :external_user_id)
    AND (:title IS NULL OR title = :title)
    AND (:title_like IS NULL OR instr(lower(title), lower(:title_like)) > 0)
    AND (:after_id IS NULL OR CASE :sort
        WHEN 'title' THEN lower(title) > lower(:after_key) OR (lower(title) = lower(:after_key) AND link_id < :after_id)
        WHEN '-title' THEN lower(title) < lower(:after_key) OR (lower(title) = lower(:after_key) AND link_id < :after_id)
        WHEN 'id' THEN link_id > :after_id
        ELSE link_id < :after_id END)
ORDER BY
    CASE WHEN :sort = 'title' THEN lower(title) END ASC,
    CASE WHEN :sort = '-title' THEN lower(title) END DESC,
    CASE WHEN :sort = 'id' THEN link_id END ASC,
    link_id DESC
LIMIT :limit OFFSET :offset;

-- name: count_links
-- How many links of an account meet every filter given.
SELECT COUNT(*) FROM links
WHERE account_id = :account_id
    AND (:only_user IS NULL OR external_user_id = :only_user)
    AND (:partner_id IS NULL OR partner_id = :partner_id)
    AND (:status IS NULL OR :status = CASE WHEN status IN (0, 2, 3) AND expires_at <= :now THEN 4 ELSE status END)
    AND (:external_user_id IS NULL OR external_user_id = :external_user_id)
    AND (:title IS NULL OR title = :title)
    AND (:title_like IS NULL OR instr(lower(title), lower(:title_like)) > 0);

-- name: regenerate_link
-- A new token for a link that was neither used nor revoked: it begins anew.
UPDATE links SET token_hash = :token_hash, status = 0, last_error = NULL, opened_at = NULL, expires_at = :expires_at
WHERE link_id = :link_id AND account_id = :account_id AND status IN (0, 2, 3)
    AND (:only_user IS NULL OR external_user_id = :only_user);

-- name: revoke_link
-- End a link that was not used.
UPDATE links SET status = 5 WHERE link_id = :link_id AND account_id = :account_id AND status IN (0, 2, 3)
    AND (:only_user IS NULL OR external_user_id = :only_user);

-- name: revoke_renewals
-- End the links by which somebody could still renew a connection that is no longer theirs.
UPDATE links SET status = 5 WHERE account_id = :account_id AND connection_id = :connection_id AND renews = 1 AND status IN (0, 2, 3)
    AND external_user_id IS NOT :external_user_id AND (:only_user IS NULL OR external_user_id = :only_user);

-- name: open_link
-- Somebody looks at the page of a link, for the first time.
UPDATE links SET status = 2, opened_at = :now WHERE link_id = :link_id AND token_hash = :token_hash AND status = 0 AND expires_at > :now;

-- name: fail_link
-- A try by a link came to nothing; there may be another.
UPDATE links SET status = 3, last_error = :last_error, opened_at = COALESCE(opened_at, :now)
WHERE link_id = :link_id AND token_hash = :token_hash AND status IN (0, 2, 3) AND expires_at > :now;

-- name: use_link
-- The one use of a link, by whoever comes first with the token that is valid now.
UPDATE links SET status = 1, connection_id = :connection_id, last_error = NULL, session_hash = :session_hash,
    opened_at = COALESCE(opened_at, :now), used_at = :now
WHERE link_id = :link_id AND token_hash = :token_hash AND status IN (0, 2, 3) AND expires_at > :now;

-- name: delete_old_links
-- Tidy up links that ended before a time, a few at once.
DELETE FROM links WHERE link_id IN (SELECT link_id FROM links WHERE expires_at < :before LIMIT 1000);

-- name: account_settings
-- What an account has set for itself.
SELECT account_id, settings, generation, updated_at FROM account_settings WHERE account_id = :account_id;

-- name: insert_account_settings
-- The first settings of an account.
INSERT INTO account_settings (account_id, settings, generation, updated_at) VALUES (:account_id, :settings, 1, :updated_at);

-- name: update_account_settings
-- New settings of an account, if nobody else changed them since they were read.
UPDATE account_settings SET settings = :settings, generation = generation + 1, updated_at = :updated_at
WHERE account_id = :account_id AND generation = :generation;
