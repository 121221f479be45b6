CREATE SEQUENCE {outbox_id} AS bigint CACHE 1;

-- An id is taken after its transaction's xid: so whoever has seen an id, and takes an xid of his own
-- then, knows that a lower id can only come from a transaction with a lower xid.
CREATE TABLE {outbox} (
    id          bigint PRIMARY KEY
                DEFAULT CASE WHEN pg_current_xact_id() IS NOT NULL THEN nextval('{outbox_id}') END,
    shard       smallint    NOT NULL,
    event_id    text        NOT NULL,
    topic       text        NOT NULL,
    key         bytea,
    headers     bytea       NOT NULL,
    payload     bytea,
    made_at     bigint      NOT NULL,
    appended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    publish_at  timestamptz
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);
CREATE INDEX {=outbox_due} ON {outbox} (publish_at) WHERE publish_at IS NOT NULL;
ALTER SEQUENCE {outbox_id} OWNED BY {outbox}.id;
COMMENT ON COLUMN {outbox}.publish_at IS 'not before; NULL is at once';

CREATE TABLE {outbox_parked} (
    id          bigint PRIMARY KEY,
    shard       smallint    NOT NULL,
    event_id    text        NOT NULL,
    topic       text        NOT NULL,
    key         bytea,
    headers     bytea       NOT NULL,
    payload     bytea,
    made_at     bigint      NOT NULL,
    appended_at timestamptz NOT NULL,
    parked_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    reason      text
);
CREATE INDEX {=outbox_parked_key} ON {outbox_parked} (shard, topic, key);
COMMENT ON COLUMN {outbox_parked}.reason IS 'why it failed; NULL waits behind one that did';

CREATE TABLE {outbox_kept} (
    id           bigint PRIMARY KEY,
    event_id     text        NOT NULL,
    topic        text        NOT NULL,
    key          bytea,
    headers      bytea       NOT NULL,
    payload      bytea,
    made_at      bigint      NOT NULL,
    appended_at  timestamptz NOT NULL,
    published_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    keep_until   timestamptz NOT NULL
);
CREATE INDEX {=outbox_kept_until} ON {outbox_kept} (keep_until);

CREATE TABLE {outbox_leases} (
    shard      smallint PRIMARY KEY,
    owner      text,
    token      bigint      NOT NULL DEFAULT 0,
    epoch      bigint      NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50);
INSERT INTO {outbox_leases} (shard) SELECT generate_series(0, 63);
COMMENT ON COLUMN {outbox_leases}.token IS 'rises with each owner: the fencing token';
COMMENT ON COLUMN {outbox_leases}.epoch IS 'rises when parked events are put back';

CREATE TABLE {outbox_relays} (
    relay      text PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
