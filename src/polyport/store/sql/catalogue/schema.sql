-- The index of the catalogue: a cache over the sources of partners, which may be deleted at any time. See docs/adr on the catalogue's index.
CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO facts (name, value) VALUES ('generation', 0);
-- What each source offers and what came of it. A clash is an offer that stands back behind another one: it is tried again when anything changes.
CREATE TABLE offers (
  source TEXT NOT NULL,
  key TEXT NOT NULL,
  position INTEGER NOT NULL,
  stamp TEXT NOT NULL,
  digest TEXT NOT NULL,
  owner INTEGER,
  partner_id INTEGER UNIQUE,
  clash INTEGER NOT NULL,
  problems TEXT NOT NULL,
  PRIMARY KEY (source, key)
) WITHOUT ROWID;
CREATE TABLE partners (
  number INTEGER PRIMARY KEY,
  partner_id INTEGER NOT NULL UNIQUE,
  owner INTEGER,
  slug TEXT NOT NULL,
  title_key TEXT NOT NULL,
  deprecated INTEGER NOT NULL,
  signs_in INTEGER NOT NULL,
  facets TEXT NOT NULL,
  digest TEXT NOT NULL,
  words TEXT NOT NULL,
  item BLOB NOT NULL
);
CREATE INDEX partners_by_slug ON partners (slug);
CREATE TABLE operations (
  number INTEGER PRIMARY KEY,
  operation_id INTEGER NOT NULL UNIQUE,
  partner_id INTEGER NOT NULL,
  owner INTEGER,
  is_action INTEGER NOT NULL,
  deprecated INTEGER NOT NULL,
  kind TEXT NOT NULL,
  title_key TEXT NOT NULL,
  document TEXT NOT NULL,
  words TEXT NOT NULL
);
CREATE INDEX operations_in_order ON operations (partner_id, operation_id, owner, is_action, deprecated, kind, number);
CREATE INDEX operations_by_title ON operations (title_key, partner_id, operation_id, owner, is_action, deprecated, kind, number);
CREATE TABLE operation_items (number INTEGER PRIMARY KEY, item BLOB NOT NULL);
-- The files of partners as data: what was checked is what is served, whatever becomes of the files.
CREATE TABLE documents (
  partner_id INTEGER NOT NULL,
  name TEXT NOT NULL,
  content BLOB NOT NULL,
  PRIMARY KEY (partner_id, name)
);
-- detail=column: which words stand in which column is all that ranking asks; marks are the filters.
CREATE VIRTUAL TABLE partner_words USING fts5(
  title, name, partner, description, marks, content='', detail=column, prefix='1 2 3', tokenize='unicode61 remove_diacritics 0 categories ''L* N* Co Cn'''
);
CREATE VIRTUAL TABLE operation_words USING fts5(
  title, name, partner, description, marks, content='', detail=column, prefix='1 2 3', tokenize='unicode61 remove_diacritics 0 categories ''L* N* Co Cn'''
);
CREATE VIRTUAL TABLE partner_vocabulary USING fts5vocab(partner_words, col);
CREATE VIRTUAL TABLE operation_vocabulary USING fts5vocab(operation_words, col);
