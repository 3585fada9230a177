-- Mails that a mail server has yet to take, and what became of the others.

-- +goose Up

-- sealed is the message, which the store never sees open: a link in it lets somebody
-- in. It is empty once the mail is sent or given up (ended_at). due_at is when it is
-- tried next; error is what came of the last attempt.
CREATE TABLE mails (
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
CREATE INDEX mails_by_invitation ON mails (tenant_id, invitation_id, id);
CREATE INDEX mails_due ON mails (due_at) WHERE ended_at = 0;

-- +goose Down
DROP TABLE mails;
