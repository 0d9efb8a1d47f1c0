-- name: private_partner
-- One partner of an account's own, also a removed one.
SELECT partner_id, account_id, slug, title, state, live, newest, deprecation, dropped, generation, created_at, updated_at
FROM private_partners WHERE partner_id = :partner_id AND account_id = :account_id;

-- name: private_partner_by_slug
-- One partner of an account's own by its slug, also a removed one.
SELECT partner_id, account_id, slug, title, state, live, newest, deprecation, dropped, generation, created_at, updated_at
FROM private_partners WHERE account_id = :account_id AND slug = :slug;

-- name: private_partners
-- All partners of an account's own but for those that were removed.
SELECT partner_id, account_id, slug, title, state, live, newest, deprecation, dropped, generation, created_at, updated_at
FROM private_partners WHERE account_id = :account_id AND state <> 'removed' ORDER BY slug;

-- name: serving_partners
-- Every account's own partners that have a version that serves, by the content of that.
SELECT private_partners.account_id, private_partners.partner_id, private_partners.slug, private_partners.live, partner_versions.content_hash,
    private_partners.deprecation, private_partners.dropped
FROM private_partners JOIN partner_versions ON partner_versions.partner_id = private_partners.partner_id AND partner_versions.number = private_partners.live
WHERE private_partners.state IN ('live', 'deprecated') ORDER BY private_partners.partner_id;

-- name: partner_is_taken
-- Whether a partner's id belongs to some account's own partner.
SELECT 1 FROM private_partners WHERE partner_id = :partner_id;

-- name: insert_private_partner
-- A new partner of an account's own, unless the account has as many as it may have.
INSERT INTO private_partners (partner_id, account_id, slug, title, state, live, newest, deprecation, dropped, generation, created_at, updated_at)
SELECT :partner_id, :account_id, :slug, :title, :state, :live, :newest, :deprecation, :dropped, :generation, :created_at, :updated_at
WHERE (SELECT COUNT(*) FROM private_partners WHERE account_id = :account_id AND state <> 'removed') < :most;

-- name: revive_private_partner
-- A partner that was removed comes back, unless the account has as many as it may have.
UPDATE private_partners SET state = :state, live = :live, deprecation = NULL, dropped = :dropped, title = :title, newest = :newest, generation = generation + 1, updated_at = :updated_at
WHERE partner_id = :partner_id AND account_id = :account_id AND state = 'removed' AND generation = :generation
    AND (SELECT COUNT(*) FROM private_partners WHERE account_id = :account_id AND state <> 'removed') < :most;

-- name: update_private_partner
-- Another standing of a partner in place of that of this generation.
UPDATE private_partners SET title = :title, state = :state, live = :live, newest = :newest, deprecation = :deprecation, dropped = :dropped, generation = generation + 1,
    updated_at = :updated_at
WHERE partner_id = :partner_id AND account_id = :account_id AND generation = :generation;

-- name: insert_partner_version
-- A version of a partner.
INSERT INTO partner_versions (partner_id, number, account_id, import_id, digest, content_hash, source, title, api_version, counts, answers, breaks, size, made_by, made_at,
    published_by, published_at, sealed_report, sealed_folder)
VALUES (:partner_id, :number, :account_id, :import_id, :digest, :content_hash, :source, :title, :api_version, :counts, :answers, :breaks, :size, :made_by, :made_at, :published_by, :published_at, :sealed_report, :sealed_folder);

-- name: partner_version
-- One version of an account's own partner, without what is sealed.
SELECT partner_id, number, account_id, import_id, digest, content_hash, source, title, api_version, counts, answers, breaks, size, made_by, made_at,
    published_by, published_at
FROM partner_versions WHERE partner_id = :partner_id AND number = :number AND account_id = :account_id;

-- name: partner_versions
-- The versions of an account's own partner, the newest first, without what is sealed.
SELECT partner_id, number, account_id, import_id, digest, content_hash, source, title, api_version, counts, answers, breaks, size, made_by, made_at,
    published_by, published_at
FROM partner_versions WHERE partner_id = :partner_id AND account_id = :account_id ORDER BY number DESC;

-- name: partner_version_report
-- The sealed report of a version.
SELECT sealed_report FROM partner_versions WHERE partner_id = :partner_id AND number = :number AND account_id = :account_id;

-- name: partner_version_folder
-- The sealed folder of a version.
SELECT sealed_folder FROM partner_versions WHERE partner_id = :partner_id AND number = :number AND account_id = :account_id;

-- name: publish_partner_version
-- Note that a version serves from now on, and by whom.
UPDATE partner_versions SET published_by = :published_by, published_at = :published_at
WHERE partner_id = :partner_id AND number = :number AND account_id = :account_id;

-- name: delete_older_versions
-- Drop the oldest versions beyond so many that neither serve nor are those of a run that has not ended.
DELETE FROM partner_versions WHERE partner_id = :partner_id AND number IN (
    SELECT number FROM partner_versions AS held WHERE held.partner_id = :partner_id
        AND held.number <> COALESCE((SELECT live FROM private_partners WHERE partner_id = :partner_id), 0)
        AND NOT EXISTS (
            SELECT 1 FROM runs WHERE runs.account_id = :account_id AND runs.partner_id = :partner_id AND runs.partner_version = held.number
                AND runs.finished_at IS NULL AND (:only_user IS NULL OR runs.external_user_id = :only_user)
        )
    ORDER BY held.number LIMIT MAX(0, (SELECT COUNT(*) FROM partner_versions WHERE partner_id = :partner_id) - :most)
);

-- name: delete_partner_versions
-- Drop all versions of a partner.
DELETE FROM partner_versions WHERE partner_id = :partner_id AND account_id = :account_id;

-- name: uses_of_partner
-- What of an account uses a partner: connections, links that may still make one, runs that have not ended (each counted up to ten thousand).
SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM connections WHERE account_id = :account_id AND partner_id = :partner_id AND (:only_user IS NULL OR external_user_id = :only_user) LIMIT 10000)),
    (SELECT COUNT(*) FROM (SELECT 1 FROM links WHERE account_id = :account_id AND partner_id = :partner_id AND (:only_user IS NULL OR external_user_id = :only_user) AND status IN (0, 2, 3)
        AND expires_at > :now LIMIT 10000)),
    (SELECT COUNT(*) FROM (SELECT 1 FROM runs WHERE account_id = :account_id AND partner_id = :partner_id AND partner_version IS NOT NULL AND finished_at IS NULL AND (:only_user IS NULL OR external_user_id = :only_user) LIMIT 10000));

-- name: remove_private_partner
-- Remove a partner that nothing uses.
UPDATE private_partners SET state = 'removed', live = NULL, deprecation = NULL, dropped = NULL, generation = generation + 1, updated_at = :now
WHERE partner_id = :partner_id AND account_id = :account_id AND generation = :generation
    AND NOT EXISTS (SELECT 1 FROM connections WHERE account_id = :account_id AND partner_id = :partner_id AND (:only_user IS NULL OR external_user_id = :only_user))
    AND NOT EXISTS (SELECT 1 FROM links WHERE account_id = :account_id AND partner_id = :partner_id AND (:only_user IS NULL OR external_user_id = :only_user) AND status IN (0, 2, 3) AND expires_at > :now)
    AND NOT EXISTS (SELECT 1 FROM runs WHERE account_id = :account_id AND partner_id = :partner_id AND partner_version IS NOT NULL AND finished_at IS NULL AND (:only_user IS NULL OR external_user_id = :only_user));
