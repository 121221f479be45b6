CREATE TABLE {inbox} (
    consumer_group text        NOT NULL,
    handler        text        NOT NULL,
    event_id       text        NOT NULL,
    source         text        NOT NULL,
    handled_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer_group, handler, event_id, source)
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX {=inbox_handled_at} ON {inbox} (consumer_group, handled_at);
COMMENT ON TABLE {inbox} IS 'events that a handler has handled: stored in the transaction that it wrote in';

CREATE TABLE {inbox_offsets} (
    consumer_group text    NOT NULL,
    topic          text    NOT NULL,
    partition      integer NOT NULL,
    next           bigint  NOT NULL,
    PRIMARY KEY (consumer_group, topic, partition)
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
COMMENT ON COLUMN {inbox_offsets}.next IS 'the next offset to read: everything before it is done';
