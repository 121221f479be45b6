CREATE TABLE {outbox} (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    shard       INTEGER NOT NULL,
    event_id    TEXT    NOT NULL,
    topic       TEXT    NOT NULL,
    key         BLOB,
    headers     BLOB    NOT NULL,
    payload     BLOB,
    made_at     INTEGER NOT NULL,
    appended_at INTEGER NOT NULL,
    publish_at  INTEGER
) STRICT;
CREATE INDEX {outbox_due} ON {outbox} (publish_at) WHERE publish_at IS NOT NULL;

CREATE TABLE {outbox_parked} (
    id          INTEGER PRIMARY KEY,
    shard       INTEGER NOT NULL,
    event_id    TEXT    NOT NULL,
    topic       TEXT    NOT NULL,
    key         BLOB,
    headers     BLOB    NOT NULL,
    payload     BLOB,
    made_at     INTEGER NOT NULL,
    appended_at INTEGER NOT NULL,
    parked_at   INTEGER NOT NULL,
    reason      TEXT
) STRICT;
CREATE INDEX {outbox_parked_key} ON {outbox_parked} (shard, topic, key);

CREATE TABLE {outbox_kept} (
    id           INTEGER PRIMARY KEY,
    event_id     TEXT    NOT NULL,
    topic        TEXT    NOT NULL,
    key          BLOB,
    headers      BLOB    NOT NULL,
    payload      BLOB,
    made_at      INTEGER NOT NULL,
    appended_at  INTEGER NOT NULL,
    published_at INTEGER NOT NULL,
    keep_until   INTEGER NOT NULL
) STRICT;
CREATE INDEX {outbox_kept_until} ON {outbox_kept} (keep_until);

CREATE TABLE {outbox_leases} (
    shard      INTEGER PRIMARY KEY,
    owner      TEXT,
    token      INTEGER NOT NULL DEFAULT 0,
    epoch      INTEGER NOT NULL DEFAULT 0,
    expires_at INTEGER NOT NULL DEFAULT 0
) STRICT;
WITH RECURSIVE shards (shard) AS (SELECT 0 UNION ALL SELECT shard + 1 FROM shards WHERE shard < 63)
INSERT INTO {outbox_leases} (shard) SELECT shard FROM shards;

CREATE TABLE {outbox_relays} (
    relay      TEXT PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT;
