-- name: oauth_app
-- The OAuth app of an account for a partner; without an account, that of the installation.
SELECT app_id, account_id, partner_id, auth, client_id, shown, scopes, scope_choices, data_key, sealed, generation, created_at, updated_at
FROM oauth_apps WHERE COALESCE(account_id, 0) = COALESCE(:account_id, 0) AND partner_id = :partner_id;

-- name: serving_oauth_app
-- The OAuth app that serves an account's connections of a partner by one of its choices: the account's own before the installation's.
SELECT app_id, account_id, partner_id, auth, client_id, shown, scopes, scope_choices, data_key, sealed, generation, created_at, updated_at
FROM oauth_apps
WHERE COALESCE(account_id, 0) IN (0, :account_id) AND partner_id = :partner_id AND (auth IS NULL OR auth = :auth)
ORDER BY COALESCE(account_id, 0) DESC LIMIT 1;

-- name: oauth_apps
-- The OAuth apps that an account sees: its own and the installation's; without an account, the installation's alone.
SELECT app_id, account_id, partner_id, auth, client_id, shown, scopes, scope_choices, data_key, sealed, generation, created_at, updated_at
FROM oauth_apps WHERE COALESCE(account_id, 0) IN (0, COALESCE(:account_id, 0)) ORDER BY partner_id, COALESCE(account_id, 0);

-- name: insert_oauth_app
-- The first OAuth app of an account (or the installation) for a partner.
INSERT INTO oauth_apps (account_id, partner_id, auth, client_id, shown, scopes, scope_choices, data_key, sealed, generation, created_at, updated_at)
VALUES (:account_id, :partner_id, :auth, :client_id, :shown, :scopes, :scope_choices, :data_key, :sealed, 1, :created_at, :updated_at);

-- name: update_oauth_app
-- Another OAuth app in place of the one of this generation.
UPDATE oauth_apps SET auth = :auth, client_id = :client_id, shown = :shown, scopes = :scopes, scope_choices = :scope_choices, data_key = :data_key,
    sealed = :sealed, generation = generation + 1, updated_at = :updated_at
WHERE COALESCE(account_id, 0) = COALESCE(:account_id, 0) AND partner_id = :partner_id AND generation = :generation;

-- name: delete_oauth_app
-- Drop the OAuth app of an account, or of the installation.
DELETE FROM oauth_apps WHERE COALESCE(account_id, 0) = COALESCE(:account_id, 0) AND partner_id = :partner_id;
