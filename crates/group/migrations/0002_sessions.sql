-- Who is logged in, which programs act for whom, and which devices wait for their user's word. None
-- of it is of the model: losing it logs everybody out and takes nobody's rights.

CREATE TABLE sessions (
    hash TEXT PRIMARY KEY,
    user_id BIGINT NOT NULL REFERENCES users (id),
    created BIGINT NOT NULL,
    seen BIGINT NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_seen ON sessions (seen);

CREATE TABLE api_tokens (
    hash TEXT PRIMARY KEY,
    user_id BIGINT NOT NULL REFERENCES users (id),
    number BIGINT NOT NULL,
    label TEXT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    last_used BIGINT
);
CREATE UNIQUE INDEX api_tokens_user ON api_tokens (user_id, number);
CREATE INDEX api_tokens_expires ON api_tokens (expires);

CREATE TABLE devices (
    hash TEXT PRIMARY KEY,
    user_code TEXT NOT NULL UNIQUE,
    group_name TEXT NOT NULL,
    host TEXT,
    state TEXT NOT NULL,
    user_id BIGINT REFERENCES users (id),
    expires BIGINT NOT NULL
);
CREATE INDEX devices_expires ON devices (expires);
