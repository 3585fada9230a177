-- Mails about reviews: to whom one was given, and some days before it is due.

-- +goose Up

ALTER TABLE mails ALTER COLUMN invitation_id DROP NOT NULL;
ALTER TABLE mails ADD COLUMN review_id uuid;
ALTER TABLE mails ADD FOREIGN KEY (tenant_id, review_id) REFERENCES reviews (tenant_id, id);
CREATE INDEX mails_by_review ON mails (tenant_id, review_id) WHERE review_id IS NOT NULL;

-- When the reviewer was reminded; 0 for not yet.
ALTER TABLE reviews ADD COLUMN reminded_at bigint NOT NULL DEFAULT 0;
CREATE INDEX reviews_unreminded ON reviews (due_at) WHERE reminded_at = 0 AND finished_at = 0 AND withdrawn_at = 0;

-- +goose Down
DROP INDEX reviews_unreminded;
ALTER TABLE reviews DROP COLUMN reminded_at;
DELETE FROM mails WHERE invitation_id IS NULL;
ALTER TABLE mails DROP COLUMN review_id;
ALTER TABLE mails ALTER COLUMN invitation_id SET NOT NULL;
