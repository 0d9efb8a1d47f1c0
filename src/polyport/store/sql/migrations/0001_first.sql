-- The first schema. Times are unix milliseconds; JSON is text; sealed columns hold ciphertext.

CREATE TABLE sequences (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO sequences (name, value) VALUES ('account', 0), ('connection', 1000), ('cache_epoch', 0), ('erased', 0), ('scrubbed', 0), ('fence', 0), ('runs_summed', 0);

CREATE TABLE accounts (
    account_id INTEGER PRIMARY KEY,
    title      TEXT    NOT NULL,
    data_key   BLOB    NOT NULL,
    created_at INTEGER NOT NULL
);

-- Master keys by id: the keys themselves are nowhere in here. The one with the highest place that is not retired seals.
CREATE TABLE master_keys (
    key_id     BLOB    NOT NULL PRIMARY KEY,
    place      INTEGER NOT NULL UNIQUE,
    since      INTEGER NOT NULL,
    retired_at INTEGER
) WITHOUT ROWID;

-- The people who sign in for an account. Who has no password yet has an empty hash, which no password leads to.
CREATE TABLE users (
    user_id       INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id    INTEGER NOT NULL REFERENCES accounts (account_id) ON DELETE CASCADE,
    email         TEXT    NOT NULL UNIQUE,
    password_hash TEXT    NOT NULL,
    role          TEXT    NOT NULL CHECK (role IN ('owner', 'developer', 'viewer')),
    created_at    INTEGER NOT NULL
);
CREATE INDEX users_by_account ON users (account_id, user_id);

-- Browsers that are signed in to the console; of the secret in their cookie only the hash is kept. seen_at is when one was seen last, to the minute.
CREATE TABLE console_sessions (
    session_hash BLOB    NOT NULL PRIMARY KEY,
    account_id   INTEGER NOT NULL REFERENCES accounts (account_id) ON DELETE CASCADE,
    user_id      INTEGER NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    address      TEXT    NOT NULL,
    browser      TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    seen_at      INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX console_sessions_by_user ON console_sessions (user_id);
CREATE INDEX console_sessions_by_end ON console_sessions (expires_at);

-- Links by which a user sets a password, once; each user has one at most.
CREATE TABLE console_links (
    user_id    INTEGER NOT NULL PRIMARY KEY REFERENCES users (user_id) ON DELETE CASCADE,
    link_hash  BLOB    NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
);

-- Who did what, one chain for each account (target_name is what that was called, change what became of it where that is told): hash is the SHA-256 of the entry with the hash of the entry before it (prior) in it.
CREATE TABLE audit_entries (
    account_id INTEGER NOT NULL REFERENCES accounts (account_id) ON DELETE CASCADE,
    sequence   INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    via        TEXT    NOT NULL CHECK (via IN ('api', 'console', 'command')),
    actor      TEXT    NOT NULL,
    actor_name TEXT    NOT NULL,
    action     TEXT    NOT NULL,
    target     TEXT    NOT NULL,
    target_name TEXT   NOT NULL,
    change     TEXT    NOT NULL,
    status     INTEGER NOT NULL,
    address    TEXT    NOT NULL,
    request_id TEXT    NOT NULL,
    prior      BLOB    NOT NULL,
    hash       BLOB    NOT NULL,
    PRIMARY KEY (account_id, sequence)
) WITHOUT ROWID;
CREATE INDEX audit_entries_by_target ON audit_entries (account_id, target, sequence);

CREATE TABLE tokens (
    token_id     INTEGER PRIMARY KEY AUTOINCREMENT,
    token_hash   BLOB    NOT NULL UNIQUE,
    kind         TEXT    NOT NULL CHECK (kind IN ('session', 'refresh', 'api_key', 'end_user')),
    account_id   INTEGER NOT NULL REFERENCES accounts (account_id) ON DELETE CASCADE,
    user_id      INTEGER REFERENCES users (user_id) ON DELETE CASCADE,
    family       TEXT    NOT NULL,
    title        TEXT    NOT NULL,
    prefix       TEXT    NOT NULL,
    scopes       TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER,
    external_user_id TEXT CHECK ((external_user_id IS NOT NULL) = (kind = 'end_user'))
);
CREATE INDEX tokens_by_account ON tokens (account_id, kind, token_id);
CREATE INDEX tokens_by_family ON tokens (family);
CREATE INDEX tokens_by_user ON tokens (account_id, external_user_id) WHERE external_user_id IS NOT NULL;
CREATE INDEX tokens_by_expiry ON tokens (expires_at) WHERE expires_at IS NOT NULL;

-- The customer's own users, by the customer's own ids. Connections, links, files and runs name them by external_user_id; what names somebody who
-- is not in here yet belongs to them all the same. mark is what stands in the place of the id in the runs of a user who is being deleted.
CREATE TABLE end_users (
    end_user_id INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id  INTEGER NOT NULL REFERENCES accounts (account_id) ON DELETE CASCADE,
    external_id TEXT    NOT NULL,
    title       TEXT,
    email       TEXT,
    metadata    TEXT    NOT NULL,
    status      TEXT    NOT NULL CHECK (status IN ('active', 'deleting')),
    mark        TEXT,
    generation  INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    UNIQUE (account_id, external_id)
);
CREATE INDEX end_users_deleting ON end_users (end_user_id) WHERE status = 'deleting';

CREATE TABLE throttles (
    key          TEXT PRIMARY KEY,
    window_start INTEGER NOT NULL,
    hits         INTEGER NOT NULL
) WITHOUT ROWID;

-- title_key is the title in small letters, of any script: lists are sorted by it and searched in it.
-- simulated: it talks to the partner's simulator in the server's process, never to the partner.
-- check_at is when the connection is to be proved again, refusals how often in a row the partner has refused it.
-- data_at is when its lists are to be read again, data_owner the process that reads them, data_tries how often that failed.
CREATE TABLE connections (
    connection_id    INTEGER PRIMARY KEY,
    account_id       INTEGER NOT NULL REFERENCES accounts (account_id) ON DELETE CASCADE,
    partner_id       INTEGER NOT NULL,
    title            TEXT    NOT NULL,
    title_key        TEXT    NOT NULL,
    status           TEXT    NOT NULL CHECK (status IN ('active', 'invalid', 'expired', 'pending')),
    auth             TEXT    NOT NULL,
    account_label    TEXT,
    external_user_id TEXT,
    metadata         TEXT    NOT NULL,
    shown            TEXT    NOT NULL,
    data_key         BLOB    NOT NULL,
    sealed           BLOB    NOT NULL,
    generation       INTEGER NOT NULL,
    data_status      INTEGER NOT NULL,
    data_at          INTEGER,
    data_owner       TEXT,
    data_tries       INTEGER NOT NULL DEFAULT 0,
    last_error       TEXT,
    last_used_at     INTEGER,
    last_verified_at INTEGER,
    check_at         INTEGER,
    refusals         INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    simulated        INTEGER NOT NULL
);
CREATE INDEX connections_by_account ON connections (account_id, connection_id);
CREATE INDEX connections_by_partner ON connections (account_id, partner_id, connection_id);
CREATE INDEX connections_by_title ON connections (account_id, title_key, connection_id, account_label, external_user_id);
CREATE INDEX connections_by_status ON connections (account_id, status, partner_id, external_user_id);
CREATE INDEX connections_by_user ON connections (account_id, external_user_id, connection_id) WHERE external_user_id IS NOT NULL;
CREATE INDEX connections_by_check ON connections (partner_id, check_at) WHERE check_at IS NOT NULL;
CREATE INDEX connections_by_data ON connections (data_at) WHERE data_at IS NOT NULL;
CREATE INDEX connections_unverified ON connections (account_id, status, partner_id, external_user_id, last_verified_at) WHERE last_verified_at IS NULL;

-- Each time that a connection came to stand otherwise than before, with what was said of it; the last fifty of each are kept.
CREATE TABLE connection_changes (
    change_id     INTEGER PRIMARY KEY AUTOINCREMENT,
    connection_id INTEGER NOT NULL REFERENCES connections (connection_id) ON DELETE CASCADE,
    at            INTEGER NOT NULL,
    status        TEXT    NOT NULL,
    reason        TEXT
);
CREATE INDEX connection_changes_by_connection ON connection_changes (connection_id, change_id);
CREATE TRIGGER connections_changed AFTER UPDATE OF status ON connections WHEN NEW.status <> OLD.status
BEGIN
    INSERT INTO connection_changes (connection_id, at, status, reason) VALUES (NEW.connection_id, NEW.updated_at, NEW.status, NEW.last_error);
    DELETE FROM connection_changes WHERE connection_id = NEW.connection_id AND change_id <=
        (SELECT change_id FROM connection_changes WHERE connection_id = NEW.connection_id ORDER BY change_id DESC LIMIT 1 OFFSET 50);
END;

-- What Polyport is at a partner for customers who sign in there. Without an account it serves all of them; one that an account has wins over it.
CREATE TABLE oauth_apps (
    app_id        INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id    INTEGER REFERENCES accounts (account_id) ON DELETE CASCADE,
    partner_id    INTEGER NOT NULL,
    auth          TEXT,
    client_id     TEXT    NOT NULL,
    shown         TEXT    NOT NULL,
    scopes        TEXT,
    scope_choices TEXT,
    data_key      BLOB    NOT NULL,
    sealed        BLOB    NOT NULL,
    generation    INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL
);
CREATE UNIQUE INDEX oauth_apps_by_owner ON oauth_apps (COALESCE(account_id, 0), partner_id);

-- Which partners an account is limited to, by who says so: the operator of the installation, or the account itself. What is in every list is seen.
CREATE TABLE allow_lists (
    account_id INTEGER NOT NULL REFERENCES accounts (account_id) ON DELETE CASCADE,
    setter     TEXT    NOT NULL CHECK (setter IN ('operator', 'account')),
    partners   TEXT    NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, setter)
) WITHOUT ROWID;

CREATE TABLE account_settings (
    account_id INTEGER PRIMARY KEY REFERENCES accounts (account_id) ON DELETE CASCADE,
    settings   TEXT    NOT NULL,
    generation INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);

-- connection_id is the connection that a finished link made, or the one that a link is to renew (renews).
-- session_hash is of the browser that finished the link: it may see the end once more, nobody else may.
CREATE TABLE links (
    link_id          INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id       INTEGER NOT NULL REFERENCES accounts (account_id) ON DELETE CASCADE,
    partner_id       INTEGER NOT NULL,
    token_hash       BLOB    NOT NULL,
    status           INTEGER NOT NULL CHECK (status IN (0, 1, 2, 3, 5)),
    connection_id    INTEGER,
    renews           INTEGER NOT NULL,
    title            TEXT    NOT NULL,
    external_user_id TEXT,
    redirect_url     TEXT,
    callback_url     TEXT,
    metadata         TEXT    NOT NULL,
    language         TEXT,
    last_error       TEXT,
    session_hash     BLOB,
    created_at       INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    opened_at        INTEGER,
    used_at          INTEGER
);
CREATE INDEX links_by_account ON links (account_id, link_id);
CREATE INDEX links_by_user ON links (account_id, external_user_id, link_id) WHERE external_user_id IS NOT NULL;
CREATE INDEX links_by_expiry ON links (expires_at);

-- Customers who are at a partner's sign-in right now; of the state that brings them back only the hash is kept. What goes on with it is sealed under the account's key.
CREATE TABLE sign_ins (
    state_hash   BLOB    PRIMARY KEY,
    link_id      INTEGER NOT NULL REFERENCES links (link_id) ON DELETE CASCADE,
    account_id   INTEGER NOT NULL REFERENCES accounts (account_id) ON DELETE CASCADE,
    token_hash   BLOB    NOT NULL,
    session_hash BLOB    NOT NULL,
    sealed       BLOB    NOT NULL,
    used_at      INTEGER,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX sign_ins_by_expiry ON sign_ins (expires_at);
CREATE INDEX sign_ins_by_link ON sign_ins (link_id);

CREATE TABLE cached_lists (
    connection_id INTEGER NOT NULL REFERENCES connections (connection_id) ON DELETE CASCADE,
    name          TEXT    NOT NULL,
    sealed        BLOB    NOT NULL,
    read_at       INTEGER NOT NULL,
    stale_at      INTEGER NOT NULL,
    PRIMARY KEY (connection_id, name)
) WITHOUT ROWID;

-- What a partner granted to a connection, and what becomes of it: a table of its own, because a new token must not make the connection another one.
-- generation counts the grants, fence is that of the last lease under which one was asked for. Without refresh_at nothing can be renewed, or nobody knows when.
-- exchange_until: a new grant was asked for (by the process exchange_by) and nobody has written down what came of it; until then the partner may act on that.
CREATE TABLE grants (
    connection_id  INTEGER PRIMARY KEY REFERENCES connections (connection_id) ON DELETE CASCADE,
    sealed         BLOB    NOT NULL,
    generation     INTEGER NOT NULL,
    expires_at     INTEGER,
    refresh_at     INTEGER,
    exchange_until INTEGER,
    exchange_by    TEXT,
    failures       INTEGER NOT NULL,
    fence          INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL
);
CREATE INDEX grants_by_refresh ON grants (refresh_at) WHERE refresh_at IS NOT NULL;

-- Who may do what only one may do at a time, and until when; fences only ever grow.
CREATE TABLE leases (
    name  TEXT PRIMARY KEY,
    owner TEXT    NOT NULL,
    fence INTEGER NOT NULL,
    until INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX leases_by_end ON leases (until);

CREATE TABLE files (
    file_id      TEXT PRIMARY KEY,
    account_id   INTEGER NOT NULL REFERENCES accounts (account_id) ON DELETE CASCADE,
    name         TEXT    NOT NULL,
    content_type TEXT    NOT NULL,
    size         INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    external_user_id TEXT,
    sealed       BLOB    NOT NULL
);
CREATE INDEX files_by_account ON files (account_id, file_id);
CREATE INDEX files_by_user ON files (account_id, external_user_id, file_id) WHERE external_user_id IS NOT NULL;

-- One row a run, attempts included: blobs come last, so that reading a list of runs never touches their pages. The key begins with the account: one index
-- finds a run, and gives an account's runs in the order of time (run ids have it).
-- counting means nothing: a statement that sets it (to itself) has what it did to waiting and ended runs counted by triggers. A trigger makes each statement that
-- it could follow dearer by a quarter, so those of the hot path leave counting out, and count for a whole commit at once (count_waiting, count_ended).
CREATE TABLE runs (
    run_id           TEXT    NOT NULL,
    account_id       INTEGER NOT NULL REFERENCES accounts (account_id) ON DELETE CASCADE,
    partner_id       INTEGER NOT NULL,
    operation_id     INTEGER NOT NULL,
    connection_id    INTEGER,
    external_user_id TEXT,
    mode             TEXT    NOT NULL CHECK (mode IN ('sync', 'async')),
    status           TEXT    NOT NULL CHECK (status = 'succeeded' OR status = 'running' OR status = 'queued' OR status = 'failed' OR status = 'waiting' OR status = 'uncertain' OR status = 'cancelled'),
    sending          INTEGER NOT NULL,
    repeatable       INTEGER NOT NULL,
    owner            TEXT,
    attempts         INTEGER NOT NULL,
    priority         INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 2),
    due_at           INTEGER NOT NULL,
    deadline_at      INTEGER,
    created_at       INTEGER NOT NULL,
    started_at       INTEGER,
    finished_at      INTEGER,
    cancel_at        INTEGER,
    queued_ms        INTEGER NOT NULL,
    waited_ms        INTEGER NOT NULL,
    upstream_ms      INTEGER,
    idempotency_key  TEXT,
    replay_of        TEXT,
    reconciles       INTEGER NOT NULL,
    probe_at         INTEGER,
    settled          TEXT,
    partner_version  INTEGER,
    callback_url     TEXT,
    metadata         TEXT    NOT NULL,
    error            TEXT,
    error_code       TEXT GENERATED ALWAYS AS (error ->> '$.code') VIRTUAL,
    counting         INTEGER NOT NULL DEFAULT 0,
    sealed_input     BLOB,
    sealed_result    BLOB,
    sealed_attempts  BLOB,
    place            INTEGER NOT NULL GENERATED ALWAYS AS (COALESCE(connection_id, -partner_id)) VIRTUAL,
    PRIMARY KEY (account_id, run_id)
);
CREATE INDEX runs_by_connection ON runs (account_id, connection_id, run_id) WHERE connection_id IS NOT NULL;
CREATE INDEX runs_by_user ON runs (account_id, external_user_id, run_id) WHERE external_user_id IS NOT NULL;
CREATE INDEX runs_by_status ON runs (account_id, status, run_id);
CREATE INDEX runs_by_operation ON runs (account_id, operation_id, run_id);
CREATE INDEX runs_by_partner ON runs (account_id, partner_id, run_id);
-- Those with an error alone: a run that succeeds has no entry here.
CREATE INDEX runs_by_error ON runs (account_id, error_code, run_id) WHERE error_code IS NOT NULL;
-- Runs that ended, those with their payloads apart from those without, in the order of their end: what retention goes by.
CREATE INDEX runs_ended ON runs ((sealed_input IS NULL), finished_at) WHERE finished_at IS NOT NULL;
-- Runs that wait, by lane: what one account waits for with one connection (place) and one operation. Claims take turns over the lanes.
CREATE INDEX runs_by_lane ON runs (account_id, place, operation_id, priority, due_at, run_id) WHERE status IN ('queued', 'waiting');
CREATE INDEX runs_due ON runs (priority, due_at) WHERE status IN ('queued', 'waiting');
CREATE INDEX runs_by_deadline ON runs (deadline_at) WHERE deadline_at IS NOT NULL AND status IN ('queued', 'waiting');
CREATE INDEX runs_to_probe ON runs (probe_at) WHERE probe_at IS NOT NULL;
-- Runs of accounts' own partners that have not ended, by the version that they were accepted with.
CREATE INDEX runs_of_versions ON runs (account_id, partner_id, partner_version) WHERE partner_version IS NOT NULL AND finished_at IS NULL;
CREATE INDEX runs_by_owner ON runs (owner) WHERE status = 'running';
CREATE INDEX runs_to_stop ON runs (owner) WHERE status = 'running' AND cancel_at IS NOT NULL;

-- How many runs of an account wait for a partner, counted here as they come and go: to count them when somebody asks takes the longer the more there are.
CREATE TABLE waiting_runs (
    account_id INTEGER NOT NULL REFERENCES accounts (account_id) ON DELETE CASCADE,
    partner_id INTEGER NOT NULL,
    runs       INTEGER NOT NULL,
    PRIMARY KEY (account_id, partner_id)
) WITHOUT ROWID;
CREATE TRIGGER runs_wait_again AFTER UPDATE OF counting ON runs WHEN NEW.status IN ('queued', 'waiting') AND OLD.status NOT IN ('queued', 'waiting')
BEGIN
    INSERT INTO waiting_runs (account_id, partner_id, runs) VALUES (NEW.account_id, NEW.partner_id, 1)
    ON CONFLICT (account_id, partner_id) DO UPDATE SET runs = runs + 1;
END;
CREATE TRIGGER runs_wait_no_more AFTER UPDATE OF counting ON runs WHEN OLD.status IN ('queued', 'waiting') AND NEW.status NOT IN ('queued', 'waiting')
BEGIN
    UPDATE waiting_runs SET runs = runs - 1 WHERE account_id = NEW.account_id AND partner_id = NEW.partner_id;
END;
CREATE TRIGGER runs_waited AFTER DELETE ON runs WHEN OLD.status IN ('queued', 'waiting')
BEGIN
    UPDATE waiting_runs SET runs = runs - 1 WHERE account_id = OLD.account_id AND partner_id = OLD.partner_id;
END;

-- external_user_id is the end user whose token the key came with; '' for the account's own keys.
CREATE TABLE usage (
    account_id  INTEGER NOT NULL REFERENCES accounts (account_id) ON DELETE CASCADE,
    day         INTEGER NOT NULL,
    partner_id  INTEGER NOT NULL,
    status      TEXT    NOT NULL,
    runs        INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    upstream_ms INTEGER NOT NULL,
    PRIMARY KEY (account_id, day, partner_id, status)
) WITHOUT ROWID;

-- What the pictures of an account are made of: sums over slots of a minute, a quarter of an hour and six hours (grain and slot in seconds), of all partners
-- together (0) and of each. what is status (key: the status), error (key: the code), own, queue or partner (key: milliseconds, the lower edge of a bin), or
-- waiting: the most runs that waited at a time. They are written some seconds after runs end; the sequence runs_summed says up to which end.
CREATE TABLE run_sums (
    account_id INTEGER NOT NULL REFERENCES accounts (account_id) ON DELETE CASCADE,
    grain      INTEGER NOT NULL,
    what       TEXT    NOT NULL,
    partner_id INTEGER NOT NULL,
    slot       INTEGER NOT NULL,
    key        TEXT    NOT NULL,
    n          INTEGER NOT NULL,
    PRIMARY KEY (account_id, grain, what, partner_id, slot, key)
) WITHOUT ROWID;
CREATE INDEX run_sums_by_age ON run_sums (grain, slot);

-- A run that ended any other way than by finish_run is counted here; day is that of the end, counted from 1970.
CREATE TRIGGER runs_counted AFTER UPDATE OF counting ON runs WHEN NEW.finished_at IS NOT NULL AND OLD.finished_at IS NULL
BEGIN
    INSERT INTO usage (account_id, day, partner_id, status, runs, attempts, upstream_ms)
    VALUES (NEW.account_id, NEW.finished_at / 86400000, NEW.partner_id, NEW.status, 1, NEW.attempts, COALESCE(NEW.upstream_ms, 0))
    ON CONFLICT (account_id, day, partner_id, status) DO UPDATE SET runs = runs + 1, attempts = attempts + excluded.attempts,
        upstream_ms = upstream_ms + excluded.upstream_ms;
END;

-- A doubt that was settled later counts as what it was settled to.
CREATE TRIGGER runs_recounted AFTER UPDATE OF counting ON runs WHEN OLD.finished_at IS NOT NULL AND NEW.status <> OLD.status
BEGIN
    UPDATE usage SET runs = runs - 1, attempts = attempts - NEW.attempts, upstream_ms = upstream_ms - COALESCE(NEW.upstream_ms, 0)
    WHERE account_id = NEW.account_id AND day = NEW.finished_at / 86400000 AND partner_id = NEW.partner_id AND status = OLD.status;
    INSERT INTO usage (account_id, day, partner_id, status, runs, attempts, upstream_ms)
    VALUES (NEW.account_id, NEW.finished_at / 86400000, NEW.partner_id, NEW.status, 1, NEW.attempts, COALESCE(NEW.upstream_ms, 0))
    ON CONFLICT (account_id, day, partner_id, status) DO UPDATE SET runs = runs + 1, attempts = attempts + excluded.attempts,
        upstream_ms = upstream_ms + excluded.upstream_ms;
    UPDATE run_sums SET n = n - 1
    WHERE account_id = NEW.account_id AND what = 'status' AND partner_id IN (0, NEW.partner_id) AND key = OLD.status
        AND (grain, slot) IN (VALUES (60, NEW.finished_at / 60000 * 60), (900, NEW.finished_at / 900000 * 900), (21600, NEW.finished_at / 21600000 * 21600))
        AND NEW.finished_at < (SELECT value FROM sequences WHERE name = 'runs_summed');
    INSERT INTO run_sums (account_id, grain, what, partner_id, slot, key, n)
    SELECT NEW.account_id, grains.value, 'status', partners.value, NEW.finished_at / 1000 / grains.value * grains.value, NEW.status, 1
    FROM json_each('[60, 900, 21600]') AS grains, json_each(json_array(0, NEW.partner_id)) AS partners
    WHERE NEW.finished_at < (SELECT value FROM sequences WHERE name = 'runs_summed')
    ON CONFLICT (account_id, grain, what, partner_id, slot, key) DO UPDATE SET n = n + 1;
END;

CREATE TABLE idempotency_keys (
    account_id       INTEGER NOT NULL REFERENCES accounts (account_id) ON DELETE CASCADE,
    external_user_id TEXT    NOT NULL,
    key              TEXT    NOT NULL,
    digest           BLOB    NOT NULL,
    run_id           TEXT    NOT NULL,
    created_at       INTEGER NOT NULL,
    PRIMARY KEY (account_id, external_user_id, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

-- Every wrapped data key there is, by the table that holds it. A new table with a data key joins both views, gets an index and two triggers, and a
-- statement rewrap_<table>; a test looks for those that did not.
CREATE INDEX accounts_by_master_key ON accounts (substr(data_key, 2, 8));
CREATE INDEX connections_by_master_key ON connections (substr(data_key, 2, 8));
CREATE INDEX oauth_apps_by_master_key ON oauth_apps (substr(data_key, 2, 8));
CREATE VIEW data_keys (holder, id, account_id, partner_id, data_key, key_id) AS
SELECT 'accounts', account_id, account_id, NULL, data_key, substr(data_key, 2, 8) FROM accounts
UNION ALL
SELECT 'connections', connection_id, account_id, partner_id, data_key, substr(data_key, 2, 8) FROM connections
UNION ALL
SELECT 'oauth_apps', app_id, account_id, partner_id, data_key, substr(data_key, 2, 8) FROM oauth_apps;
CREATE VIEW data_key_census (holder, key_id, count) AS
SELECT 'accounts', substr(data_key, 2, 8), COUNT(*) FROM accounts GROUP BY substr(data_key, 2, 8)
UNION ALL
SELECT 'connections', substr(data_key, 2, 8), COUNT(*) FROM connections GROUP BY substr(data_key, 2, 8)
UNION ALL
SELECT 'oauth_apps', substr(data_key, 2, 8), COUNT(*) FROM oauth_apps GROUP BY substr(data_key, 2, 8);

-- Nothing is sealed under a retired master key, however long a process slept that still holds it.
CREATE TRIGGER accounts_key_inserted BEFORE INSERT ON accounts
WHEN EXISTS (SELECT 1 FROM master_keys WHERE key_id = substr(NEW.data_key, 2, 8) AND retired_at IS NOT NULL)
BEGIN
    SELECT RAISE(ABORT, 'the master key is retired');
END;
CREATE TRIGGER accounts_key_updated BEFORE UPDATE OF data_key ON accounts
WHEN EXISTS (SELECT 1 FROM master_keys WHERE key_id = substr(NEW.data_key, 2, 8) AND retired_at IS NOT NULL)
BEGIN
    SELECT RAISE(ABORT, 'the master key is retired');
END;
CREATE TRIGGER connections_key_inserted BEFORE INSERT ON connections
WHEN EXISTS (SELECT 1 FROM master_keys WHERE key_id = substr(NEW.data_key, 2, 8) AND retired_at IS NOT NULL)
BEGIN
    SELECT RAISE(ABORT, 'the master key is retired');
END;
CREATE TRIGGER connections_key_updated BEFORE UPDATE OF data_key ON connections
WHEN EXISTS (SELECT 1 FROM master_keys WHERE key_id = substr(NEW.data_key, 2, 8) AND retired_at IS NOT NULL)
BEGIN
    SELECT RAISE(ABORT, 'the master key is retired');
END;
CREATE TRIGGER oauth_apps_key_inserted BEFORE INSERT ON oauth_apps
WHEN EXISTS (SELECT 1 FROM master_keys WHERE key_id = substr(NEW.data_key, 2, 8) AND retired_at IS NOT NULL)
BEGIN
    SELECT RAISE(ABORT, 'the master key is retired');
END;
CREATE TRIGGER oauth_apps_key_updated BEFORE UPDATE OF data_key ON oauth_apps
WHEN EXISTS (SELECT 1 FROM master_keys WHERE key_id = substr(NEW.data_key, 2, 8) AND retired_at IS NOT NULL)
BEGIN
    SELECT RAISE(ABORT, 'the master key is retired');
END;

-- Who wants to be told what. secrets is the sealed JSON of the signing secrets, the newest first, older ones with their end.
CREATE TABLE event_endpoints (
    endpoint_id TEXT    NOT NULL PRIMARY KEY,
    account_id  INTEGER NOT NULL REFERENCES accounts (account_id) ON DELETE CASCADE,
    url         TEXT    NOT NULL,
    event_types TEXT    NOT NULL,
    title       TEXT    NOT NULL,
    status      TEXT    NOT NULL CHECK (status IN ('active', 'paused', 'disabled')),
    reason      TEXT,
    secrets     BLOB    NOT NULL,
    generation  INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
);
CREATE INDEX event_endpoints_by_account ON event_endpoints (account_id, endpoint_id);

-- What signs events that go to a callback address that is no endpoint's: one set of secrets an account.
CREATE TABLE callback_secrets (
    account_id INTEGER NOT NULL PRIMARY KEY REFERENCES accounts (account_id) ON DELETE CASCADE,
    secrets    BLOB    NOT NULL,
    generation INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);

-- subject is the id of the run that an event tells of, if it does. deliveries is the JSON of its last ten attempts.
-- One row for each event and each receiver, written in the unit of the change that it tells. A row that a process sends has its owner and is due again
-- when the lease is over. lane is what shares a bound: the account and the receiver's origin. An endpoint's rows outlive it: they say what was not told.
CREATE TABLE outbox (
    event_id    TEXT    NOT NULL PRIMARY KEY,
    account_id  INTEGER NOT NULL REFERENCES accounts (account_id) ON DELETE CASCADE,
    external_user_id TEXT,
    type        TEXT    NOT NULL,
    endpoint_id TEXT,
    url         TEXT    NOT NULL,
    lane        TEXT    NOT NULL,
    status      TEXT    NOT NULL CHECK (status IN ('pending', 'delivered', 'dead')),
    attempts    INTEGER NOT NULL,
    due_at      INTEGER NOT NULL,
    owner       TEXT,
    last_status INTEGER,
    last_error  TEXT,
    created_at  INTEGER NOT NULL,
    ended_at    INTEGER,
    deliveries  TEXT    NOT NULL DEFAULT '[]',
    sealed      BLOB    NOT NULL,
    subject     TEXT
);
CREATE INDEX outbox_by_subject ON outbox (account_id, subject, event_id) WHERE subject IS NOT NULL;
CREATE INDEX outbox_by_account ON outbox (account_id, event_id);
CREATE INDEX outbox_by_status ON outbox (account_id, status, event_id);
CREATE INDEX outbox_by_endpoint ON outbox (account_id, endpoint_id, event_id) WHERE endpoint_id IS NOT NULL;
CREATE INDEX outbox_by_end ON outbox (status, ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX outbox_by_lane ON outbox (lane, due_at) WHERE status = 'pending';
CREATE INDEX outbox_of_user ON outbox (account_id, external_user_id) WHERE external_user_id IS NOT NULL;
CREATE INDEX outbox_due ON outbox (due_at) WHERE status = 'pending';
-- What waits for an attempt, in the order in which it happened; what waits for a paused endpoint (due never) does not count.
CREATE INDEX outbox_waiting ON outbox (created_at) WHERE status = 'pending' AND due_at < 9007199254740992;
CREATE INDEX outbox_waiting_for ON outbox (endpoint_id, due_at) WHERE status = 'pending' AND endpoint_id IS NOT NULL;

-- What was taken of partners' budgets: units in spans of time, each of which counts until a moment; places for requests at a time, by process (owner);
-- and under the span -1 what the partner itself told. permits and remains are what the last statement found.
CREATE TABLE budget_uses (
    key     TEXT    NOT NULL,
    span    INTEGER NOT NULL,
    taken   INTEGER NOT NULL,
    permits INTEGER NOT NULL,
    remains INTEGER NOT NULL,
    until   INTEGER NOT NULL,
    owner   TEXT,
    PRIMARY KEY (key, span)
) WITHOUT ROWID;
CREATE INDEX budget_uses_by_end ON budget_uses (until);
CREATE INDEX budget_uses_by_owner ON budget_uses (owner) WHERE owner IS NOT NULL;

-- Partners that accounts imported for themselves: nobody else sees them. live is the version that serves, newest the last number that was given out. A
-- removed one keeps its row: under the same slug it comes back with the same ids. deprecation is the JSON of what its users are told, dropped that of operations
-- which earlier versions had and this one has not.
CREATE TABLE private_partners (
    partner_id  INTEGER PRIMARY KEY,
    account_id  INTEGER NOT NULL REFERENCES accounts (account_id) ON DELETE CASCADE,
    slug        TEXT    NOT NULL,
    title       TEXT    NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('draft', 'live', 'deprecated', 'removed')),
    live        INTEGER,
    newest      INTEGER NOT NULL,
    deprecation TEXT,
    dropped     TEXT,
    generation  INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    UNIQUE (account_id, slug)
);

-- What each import made of them, sealed under the account's key: folder is the archive of the partner's folder, report what the importer says of it and
-- what differs from the version that was live. digest is that of everything that went in: the same again is no new version.
CREATE TABLE partner_versions (
    partner_id    INTEGER NOT NULL REFERENCES private_partners (partner_id) ON DELETE CASCADE,
    number        INTEGER NOT NULL,
    account_id    INTEGER NOT NULL REFERENCES accounts (account_id) ON DELETE CASCADE,
    import_id     TEXT    NOT NULL,
    digest        TEXT    NOT NULL,
    content_hash  TEXT    NOT NULL,
    source        TEXT    NOT NULL,
    title         TEXT    NOT NULL,
    api_version   TEXT    NOT NULL,
    counts        TEXT    NOT NULL,
    answers       TEXT    NOT NULL,
    breaks        INTEGER NOT NULL,
    size          INTEGER NOT NULL,
    made_by       TEXT    NOT NULL,
    made_at       INTEGER NOT NULL,
    published_by  TEXT,
    published_at  INTEGER,
    sealed_report BLOB    NOT NULL,
    sealed_folder BLOB    NOT NULL,
    PRIMARY KEY (partner_id, number)
);

-- Imports under way and those that ended lately. One that waits for an answer keeps what it has read (sealed_input): the answer is about just that.
CREATE TABLE partner_imports (
    import_id    TEXT    NOT NULL PRIMARY KEY,
    account_id   INTEGER NOT NULL REFERENCES accounts (account_id) ON DELETE CASCADE,
    slug         TEXT    NOT NULL,
    source       TEXT    NOT NULL,
    asked_by     TEXT    NOT NULL,
    status       TEXT    NOT NULL CHECK (status IN ('queued', 'running', 'needs_answer', 'done', 'refused', 'cancelled')),
    step         TEXT    NOT NULL,
    done         INTEGER NOT NULL,
    total        INTEGER NOT NULL,
    owner        TEXT,
    tries        INTEGER NOT NULL,
    partner_id   INTEGER,
    version      INTEGER,
    outcome      TEXT,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    finished_at  INTEGER,
    sealed_input BLOB
);
CREATE INDEX partner_imports_by_account ON partner_imports (account_id, import_id);
CREATE UNIQUE INDEX partner_imports_of_slug ON partner_imports (account_id, slug) WHERE status IN ('queued', 'running', 'needs_answer');
CREATE INDEX partner_imports_open ON partner_imports (status, updated_at) WHERE status IN ('queued', 'running', 'needs_answer');
CREATE INDEX partner_imports_ended ON partner_imports (finished_at) WHERE finished_at IS NOT NULL;
