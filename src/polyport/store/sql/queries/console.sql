-- name: users_of_account
-- The people who sign in for an account.
SELECT user_id, account_id, email, password_hash, role, created_at FROM users WHERE account_id = :account_id ORDER BY user_id;

-- name: set_role
-- Another role for a user; the last owner of an account who can sign in stays one. Who never came in has no password.
UPDATE users SET role = :role WHERE user_id = :user_id AND account_id = :account_id
    AND (:role = 'owner' OR EXISTS (SELECT 1 FROM users AS other WHERE other.account_id = :account_id AND other.role = 'owner' AND other.password_hash <> '' AND other.user_id <> :user_id));

-- name: delete_user
-- Drop a user with all sign-ins; the last owner of an account who can sign in stays.
DELETE FROM users WHERE user_id = :user_id AND account_id = :account_id
    AND EXISTS (SELECT 1 FROM users AS other WHERE other.account_id = :account_id AND other.role = 'owner' AND other.password_hash <> '' AND other.user_id <> :user_id);

-- name: keep_keys_of_user
-- The API keys that a user made stay when the user goes: what runs with them is the account's.
UPDATE tokens SET user_id = NULL WHERE user_id = :user_id AND account_id = :account_id AND kind = 'api_key';

-- name: set_email
-- Another e-mail address for a user.
UPDATE users SET email = :email WHERE user_id = :user_id;

-- name: insert_console_session
-- A browser signs in.
INSERT INTO console_sessions (session_hash, account_id, user_id, address, browser, created_at, seen_at, expires_at)
VALUES (:session_hash, :account_id, :user_id, :address, :browser, :created_at, :seen_at, :expires_at);

-- name: console_session
-- A browser that is signed in, and for whom; one that was not seen since idle_before, or whose time is over, is not.
SELECT session_hash, account_id, user_id, address, browser, created_at, seen_at, expires_at FROM console_sessions
WHERE session_hash = :session_hash AND expires_at > :now AND seen_at > :idle_before;

-- name: console_sessions_of_user
-- A page of the browsers in which a user is signed in, the latest first.
SELECT session_hash, account_id, user_id, address, browser, created_at, seen_at, expires_at FROM console_sessions
WHERE user_id = :user_id AND expires_at > :now AND seen_at > :idle_before
    AND (:before IS NULL OR created_at < :before OR (created_at = :before AND substr(session_hash, 1, 12) < :before_id))
ORDER BY created_at DESC, session_hash DESC LIMIT :limit OFFSET :offset;

-- name: count_console_sessions_of_user
-- In how many browsers a user is signed in.
SELECT COUNT(*) FROM console_sessions WHERE user_id = :user_id AND expires_at > :now AND seen_at > :idle_before;

-- name: see_console_session
-- A browser was seen.
UPDATE console_sessions SET seen_at = :now WHERE session_hash = :session_hash;

-- name: delete_console_session
-- A browser is signed out.
DELETE FROM console_sessions WHERE session_hash = :session_hash;

-- name: delete_console_session_of_user
-- A browser of a user is signed out, by the beginning of its hash.
DELETE FROM console_sessions WHERE user_id = :user_id AND substr(session_hash, 1, 12) = :session_id;

-- name: delete_console_sessions_of_user
-- All browsers of a user are signed out.
DELETE FROM console_sessions WHERE user_id = :user_id;

-- name: delete_old_console_sessions
-- Tidy up sessions whose time is over, a few at once.
DELETE FROM console_sessions WHERE session_hash IN (SELECT session_hash FROM console_sessions WHERE expires_at < :before LIMIT 1000);

-- name: put_console_link
-- A link by which a user sets a password; an older one ends.
INSERT INTO console_links (user_id, link_hash, created_at, expires_at) VALUES (:user_id, :link_hash, :created_at, :expires_at)
ON CONFLICT (user_id) DO UPDATE SET link_hash = excluded.link_hash, created_at = excluded.created_at, expires_at = excluded.expires_at;

-- name: console_link
-- The user whom a link is for, while it can be used.
SELECT users.user_id, users.account_id, users.email, users.password_hash, users.role, users.created_at
FROM console_links JOIN users ON users.user_id = console_links.user_id WHERE console_links.link_hash = :link_hash AND console_links.expires_at > :now;

-- name: use_console_link
-- A link is used: it ends.
DELETE FROM console_links WHERE link_hash = :link_hash AND expires_at > :now;

-- name: last_audit_entry
-- The end of an account's chain.
SELECT account_id, sequence, at, via, actor, actor_name, action, target, target_name, change, status, address, request_id, prior, hash FROM audit_entries
WHERE account_id = :account_id ORDER BY sequence DESC LIMIT 1;

-- name: insert_audit_entry
-- The next entry of a chain.
INSERT INTO audit_entries (account_id, sequence, at, via, actor, actor_name, action, target, target_name, change, status, address, request_id, prior, hash)
VALUES (:account_id, :sequence, :at, :via, :actor, :actor_name, :action, :target, :target_name, :change, :status, :address, :request_id, :prior, :hash);

-- part: fits
-- What entries are looked for by, beside the thing.
(:actor IS NULL OR actor = :actor) AND (:action IS NULL OR action = :action OR substr(action, 1, length(:action) + 2) = :action || ' (') AND (:since IS NULL OR at >= :since) AND (:until IS NULL OR at < :until)
    AND (:refused IS NULL OR (status >= 400) = :refused)

-- name: audit_entries
-- Entries of one stretch of a chain that fit, the latest first.
SELECT account_id, sequence, at, via, actor, actor_name, action, target, target_name, change, status, address, request_id, prior, hash FROM audit_entries
WHERE account_id = :account_id AND sequence < :before AND sequence >= :floor AND {fits} ORDER BY sequence DESC LIMIT :limit;

-- name: audit_entries_of_target
-- Entries about one thing and what is below it that fit, before one of them, the latest first.
SELECT account_id, sequence, at, via, actor, actor_name, action, target, target_name, change, status, address, request_id, prior, hash FROM audit_entries
WHERE account_id = :account_id AND sequence < :before AND {fits} AND sequence IN (
    SELECT sequence FROM audit_entries INDEXED BY audit_entries_by_target WHERE account_id = :account_id AND target = :target
    UNION ALL
    SELECT sequence FROM audit_entries INDEXED BY audit_entries_by_target WHERE account_id = :account_id AND target > :low AND target < :high
) ORDER BY sequence DESC LIMIT :limit;

-- name: audit_entries_from
-- Entries of a chain after one of them, in order: to verify and to export.
SELECT account_id, sequence, at, via, actor, actor_name, action, target, target_name, change, status, address, request_id, prior, hash FROM audit_entries
WHERE account_id = :account_id AND sequence > :after ORDER BY sequence LIMIT :limit;
