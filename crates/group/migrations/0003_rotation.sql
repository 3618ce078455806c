-- How far a group is on its way from one authority to the next: 'next' is pinned and does not sign yet,
-- 'signs' signs, 'former' is pinned for what it has signed.
ALTER TABLE authorities ADD COLUMN stage TEXT NOT NULL DEFAULT 'signs';
-- When 'next' signs, and 'former' is forgotten.
ALTER TABLE authorities ADD COLUMN due BIGINT NOT NULL DEFAULT 0;
