-- Mails about reviews: to whom one was given, and some days before it is due.

-- +goose Up

CREATE TABLE mails_new (
    tenant_id     text NOT NULL,
    id            text NOT NULL,
    invitation_id text,
    address       text NOT NULL,
    sealed        text NOT NULL,
    attempts      integer NOT NULL,
    error         text NOT NULL,
    created_at    integer NOT NULL,
    due_at        integer NOT NULL,
    ended_at      integer NOT NULL,
    review_id     text,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, invitation_id) REFERENCES invitations (tenant_id, id),
    FOREIGN KEY (tenant_id, review_id) REFERENCES reviews (tenant_id, id)
);
INSERT INTO mails_new (tenant_id, id, invitation_id, address, sealed, attempts, error, created_at, due_at, ended_at)
SELECT tenant_id, id, invitation_id, address, sealed, attempts, error, created_at, due_at, ended_at FROM mails;
DROP TABLE mails;
ALTER TABLE mails_new RENAME TO mails;
CREATE INDEX mails_by_invitation ON mails (tenant_id, invitation_id, id);
CREATE INDEX mails_by_review ON mails (tenant_id, review_id) WHERE review_id IS NOT NULL;
CREATE INDEX mails_due ON mails (due_at) WHERE ended_at = 0;

-- When the reviewer was reminded; 0 for not yet.
ALTER TABLE reviews ADD COLUMN reminded_at integer NOT NULL DEFAULT 0;
CREATE INDEX reviews_unreminded ON reviews (due_at) WHERE reminded_at = 0 AND finished_at = 0 AND withdrawn_at = 0;

-- +goose Down
DROP INDEX reviews_unreminded;
ALTER TABLE reviews DROP COLUMN reminded_at;
CREATE TABLE mails_old (
    tenant_id     text NOT NULL,
    id            text NOT NULL,
    invitation_id text NOT NULL,
    address       text NOT NULL,
    sealed        text NOT NULL,
    attempts      integer NOT NULL,
    error         text NOT NULL,
    created_at    integer NOT NULL,
    due_at        integer NOT NULL,
    ended_at      integer NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, invitation_id) REFERENCES invitations (tenant_id, id)
);
INSERT INTO mails_old SELECT tenant_id, id, invitation_id, address, sealed, attempts, error, created_at, due_at, ended_at FROM mails WHERE invitation_id IS NOT NULL;
DROP TABLE mails;
ALTER TABLE mails_old RENAME TO mails;
CREATE INDEX mails_by_invitation ON mails (tenant_id, invitation_id, id);
CREATE INDEX mails_due ON mails (due_at) WHERE ended_at = 0;
