-- name: insert_account
-- A new account under a reserved id.
INSERT INTO accounts (account_id, title, data_key, created_at) VALUES (:account_id, :title, :data_key, :created_at);

-- name: reserve_account
-- The id of an account that is about to be made; its data key is bound to it.
UPDATE sequences SET value = value + 1 WHERE name = 'account' RETURNING value;

-- name: insert_user
-- A new user of an account; gives the id.
INSERT INTO users (account_id, email, password_hash, role, created_at) VALUES (:account_id, :email, :password_hash, :role, :created_at) RETURNING user_id;

-- name: count_accounts
-- How many accounts there are.
SELECT COUNT(*) FROM accounts;

-- name: account
-- One account.
SELECT account_id, title, data_key, created_at FROM accounts WHERE account_id = :account_id;

-- name: all_accounts
-- All accounts, for key checks at start.
SELECT account_id, title, data_key, created_at FROM accounts ORDER BY account_id;

-- name: user_by_email
-- The user with this e-mail address (kept in lower case).
SELECT user_id, account_id, email, password_hash, role, created_at FROM users WHERE email = :email;

-- name: user
-- One user of an account.
SELECT user_id, account_id, email, password_hash, role, created_at FROM users WHERE user_id = :user_id AND account_id = :account_id;

-- name: set_password
-- A user's new password.
UPDATE users SET password_hash = :password_hash WHERE user_id = :user_id;

-- name: rehash_password
-- The same password of a user, hashed anew, unless it was changed meanwhile.
UPDATE users SET password_hash = :password_hash WHERE user_id = :user_id AND password_hash = :before;

-- name: insert_token
-- A new token; gives its id.
INSERT INTO tokens (token_hash, kind, account_id, user_id, family, title, prefix, scopes, created_at, expires_at, last_used_at,
    external_user_id)
VALUES (:token_hash, :kind, :account_id, :user_id, :family, :title, :prefix, :scopes, :created_at, :expires_at, NULL, :external_user_id)
RETURNING token_id;

-- name: token_by_hash
-- The token whose text has this hash.
SELECT token_id, token_hash, kind, account_id, user_id, family, title, prefix, scopes, created_at, expires_at, last_used_at, external_user_id
FROM tokens WHERE token_hash = :token_hash;

-- name: api_keys
-- A page of an account's API keys, newest first.
SELECT token_id, token_hash, kind, account_id, user_id, family, title, prefix, scopes, created_at, expires_at, last_used_at, external_user_id
FROM tokens WHERE account_id = :account_id AND kind = 'api_key' AND (:before IS NULL OR token_id < :before)
ORDER BY token_id DESC LIMIT :limit OFFSET :offset;

-- name: api_key
-- One API key of an account.
SELECT token_id, token_hash, kind, account_id, user_id, family, title, prefix, scopes, created_at, expires_at, last_used_at, external_user_id
FROM tokens WHERE token_id = :token_id AND account_id = :account_id AND kind = 'api_key';

-- name: count_api_keys
-- How many API keys an account has.
SELECT COUNT(*) FROM tokens WHERE account_id = :account_id AND kind = 'api_key';

-- name: delete_token
-- End one token by its hash.
DELETE FROM tokens WHERE token_hash = :token_hash;

-- name: delete_api_key
-- End one API key of an account.
DELETE FROM tokens WHERE token_id = :token_id AND account_id = :account_id AND kind = 'api_key';

-- name: delete_family
-- End all tokens of one sign-in.
DELETE FROM tokens WHERE family = :family;

-- name: delete_sessions_of_user
-- End all sign-ins of a user.
DELETE FROM tokens WHERE user_id = :user_id AND kind IN ('session', 'refresh');

-- name: delete_expired_tokens
-- Tidy up tokens that ended before a time, a few at once.
DELETE FROM tokens WHERE token_id IN (SELECT token_id FROM tokens WHERE expires_at < :before LIMIT 1000);

-- name: touch_token
-- When a token was last used.
UPDATE tokens SET last_used_at = :now WHERE token_id = :token_id;

-- name: hit_throttle
-- Count one try within a fixed window; gives the number of tries in it and when it began. A window that begins far ahead was told by a clock that was wrong.
INSERT INTO throttles (key, window_start, hits) VALUES (:key, :now, 1)
ON CONFLICT (key) DO UPDATE SET
    hits = CASE WHEN window_start + :window <= :now OR window_start > :now + :window THEN 1 ELSE hits + 1 END,
    window_start = CASE WHEN window_start + :window <= :now OR window_start > :now + :window THEN :now ELSE window_start END
RETURNING hits, window_start;

-- name: add_throttle
-- Count several tries within a window that begins with the clock; gives the number of tries in it.
INSERT INTO throttles (key, window_start, hits) VALUES (:key, :start, :hits)
ON CONFLICT (key) DO UPDATE SET hits = CASE WHEN window_start = :start THEN hits + :hits ELSE :hits END, window_start = :start
RETURNING hits;

-- name: clear_throttle
-- Forget the tries of a key.
DELETE FROM throttles WHERE key = :key;

-- name: delete_old_throttles
-- Tidy up windows that began before a time.
DELETE FROM throttles WHERE key IN (SELECT key FROM throttles WHERE window_start < :before LIMIT 1000);

-- name: bump_epoch
-- Tell every process that what it keeps in memory may be out of date.
UPDATE sequences SET value = value + 1 WHERE name = 'cache_epoch';

-- name: epoch
-- The present cache epoch.
SELECT value FROM sequences WHERE name = 'cache_epoch';

-- name: note_erasure
-- Something was deleted that must leave no trace in the database's files.
UPDATE sequences SET value = value + 1 WHERE name = 'erased';

-- name: erasures
-- How often something was deleted for good, and up to which of these times the database's files were scrubbed.
SELECT erased.value, scrubbed.value FROM sequences AS erased, sequences AS scrubbed WHERE erased.name = 'erased' AND scrubbed.name = 'scrubbed';

-- name: note_scrubbing
-- The database's files hold nothing any more of what was deleted so many times.
UPDATE sequences SET value = :value WHERE name = 'scrubbed' AND value < :value;

-- name: insert_file
-- Keep a file.
INSERT INTO files (file_id, account_id, name, content_type, size, created_at, external_user_id, sealed)
VALUES (:file_id, :account_id, :name, :content_type, :size, :created_at, COALESCE(:only_user, :external_user_id), :sealed);

-- name: file
-- One file of an account.
SELECT file_id, account_id, name, content_type, size, created_at, external_user_id, sealed FROM files
WHERE file_id = :file_id AND account_id = :account_id AND (:only_user IS NULL OR external_user_id = :only_user);

-- name: delete_file
-- Drop a file.
DELETE FROM files WHERE file_id = :file_id AND account_id = :account_id AND (:only_user IS NULL OR external_user_id = :only_user);
