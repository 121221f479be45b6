CREATE TABLE users (
    id           uuid        NOT NULL PRIMARY KEY,
    email        text        NOT NULL UNIQUE,
    full_name    text        NOT NULL,
    active       boolean     NOT NULL,
    created_at   timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    version      bigint      NOT NULL
);
