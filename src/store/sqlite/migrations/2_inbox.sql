CREATE TABLE {inbox} (
    consumer_group TEXT    NOT NULL,
    handler        TEXT    NOT NULL,
    event_id       TEXT    NOT NULL,
    source         TEXT    NOT NULL,
    handled_at     INTEGER NOT NULL,
    PRIMARY KEY (consumer_group, handler, event_id, source)
) STRICT, WITHOUT ROWID;
CREATE INDEX {inbox_handled_at} ON {inbox} (consumer_group, handled_at);

CREATE TABLE {inbox_offsets} (
    consumer_group TEXT    NOT NULL,
    topic          TEXT    NOT NULL,
    partition      INTEGER NOT NULL,
    next           INTEGER NOT NULL,
    PRIMARY KEY (consumer_group, topic, partition)
) STRICT, WITHOUT ROWID;
