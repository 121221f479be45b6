-- `event_id` is not unique: that a mail is there once is the inbox's doing, and would show if it were not.
CREATE TABLE mails (
    number       bigint      NOT NULL PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    event_id     text        NOT NULL,
    kind         text        NOT NULL,
    user_id      uuid        NOT NULL,
    recipient    text        NOT NULL,
    domain       text        NOT NULL,
    subject      text        NOT NULL,
    body         text        NOT NULL,
    attempt      bigint      NOT NULL,
    occurred_at  timestamptz NOT NULL,
    delivered_at timestamptz,
    -- Unix milliseconds from which on it may be taken to SMTP; null when it need not be.
    try_at       bigint,
    tries        bigint      NOT NULL DEFAULT 0,
    error        text
);

CREATE INDEX mails_user ON mails (user_id);
CREATE INDEX mails_domain ON mails (domain, number);
CREATE INDEX mails_unsent ON mails (try_at) WHERE try_at IS NOT NULL;

CREATE TABLE mail_tries (
    number    bigint      NOT NULL PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    kind      text        NOT NULL,
    user_id   uuid        NOT NULL,
    recipient text        NOT NULL,
    domain    text        NOT NULL,
    attempt   bigint      NOT NULL,
    error     text        NOT NULL,
    failed_at timestamptz NOT NULL
);

CREATE INDEX mail_tries_domain ON mail_tries (domain, number);
