-- `event_id` is not unique: that a mail is there once is the inbox's doing, and would show if it were not.
CREATE TABLE mails (
    number       INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    event_id     TEXT    NOT NULL,
    kind         TEXT    NOT NULL,
    user_id      BLOB    NOT NULL,
    recipient    TEXT    NOT NULL,
    domain       TEXT    NOT NULL,
    subject      TEXT    NOT NULL,
    body         TEXT    NOT NULL,
    attempt      INTEGER NOT NULL,
    occurred_at  TEXT    NOT NULL,
    delivered_at TEXT,
    -- Unix milliseconds from which on it may be taken to SMTP; null when it need not be.
    try_at       INTEGER,
    tries        INTEGER NOT NULL DEFAULT 0,
    error        TEXT
) STRICT;

CREATE INDEX mails_user ON mails (user_id);
CREATE INDEX mails_domain ON mails (domain, number);
CREATE INDEX mails_unsent ON mails (try_at) WHERE try_at IS NOT NULL;

CREATE TABLE mail_tries (
    number    INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    kind      TEXT    NOT NULL,
    user_id   BLOB    NOT NULL,
    recipient TEXT    NOT NULL,
    domain    TEXT    NOT NULL,
    attempt   INTEGER NOT NULL,
    error     TEXT    NOT NULL,
    failed_at TEXT    NOT NULL
) STRICT;

CREATE INDEX mail_tries_domain ON mail_tries (domain, number);
