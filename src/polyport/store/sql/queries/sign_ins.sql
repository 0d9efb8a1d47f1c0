-- name: insert_sign_in
-- A customer goes to a partner's sign-in.
INSERT INTO sign_ins (state_hash, link_id, account_id, token_hash, session_hash, sealed, used_at, created_at, expires_at)
VALUES (:state_hash, :link_id, :account_id, :token_hash, :session_hash, :sealed, :used_at, :created_at, :expires_at);

-- name: sign_in
-- What a state belongs to.
SELECT state_hash, link_id, account_id, token_hash, session_hash, sealed, used_at, created_at, expires_at
FROM sign_ins WHERE state_hash = :state_hash;

-- name: use_sign_in
-- The one use of a state.
UPDATE sign_ins SET used_at = :now WHERE state_hash = :state_hash AND used_at IS NULL AND expires_at > :now;

-- name: delete_old_sign_ins
-- Tidy up sign-ins that ended before a time, a few at once.
DELETE FROM sign_ins WHERE state_hash IN (SELECT state_hash FROM sign_ins WHERE expires_at < :before LIMIT 1000);
