CREATE TABLE users (
    id           BLOB    NOT NULL PRIMARY KEY,
    email        TEXT    NOT NULL UNIQUE,
    full_name    TEXT    NOT NULL,
    active       INTEGER NOT NULL,
    created_at   TEXT    NOT NULL,
    last_seen_at TEXT    NOT NULL,
    version      INTEGER NOT NULL
) STRICT;
