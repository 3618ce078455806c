-- The tables of the group service, for SQLite and PostgreSQL alike: numbers are BIGINT, all else is
-- TEXT. Times are seconds since 1970. Binary values are hex or base64.

-- One row: counters of the site, and how to know the master key again.
CREATE TABLE site (
    id BIGINT PRIMARY KEY,
    counter BIGINT NOT NULL,
    events BIGINT NOT NULL,
    master_key_check TEXT NOT NULL
);

-- Accounts. A closed one keeps its name, so that nobody takes it over.
CREATE TABLE users (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    email TEXT,
    password TEXT,
    oidc_issuer TEXT,
    oidc_subject TEXT,
    site_admin BIGINT NOT NULL,
    state TEXT NOT NULL,
    created BIGINT NOT NULL
);
CREATE UNIQUE INDEX users_oidc ON users (oidc_issuer, oidc_subject) WHERE oidc_subject IS NOT NULL;

-- Groups. A deleted one stays for its audit log; its name is free again.
CREATE TABLE groups (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL,
    subnet TEXT NOT NULL,
    policies TEXT NOT NULL,
    created BIGINT NOT NULL,
    deleted BIGINT,
    counter BIGINT NOT NULL,
    events BIGINT NOT NULL,
    members BIGINT NOT NULL,
    administrators BIGINT NOT NULL,
    pending BIGINT NOT NULL,
    notices BIGINT NOT NULL,
    head TEXT NOT NULL,
    next_update BIGINT NOT NULL
);
CREATE UNIQUE INDEX groups_name ON groups (name) WHERE deleted IS NULL;

-- Authorities of groups; the newest signs. Keys are sealed, and wiped when a group is deleted.
CREATE TABLE authorities (
    issuer TEXT PRIMARY KEY,
    group_id BIGINT NOT NULL REFERENCES groups (id),
    number BIGINT NOT NULL,
    certificate TEXT NOT NULL,
    sealed_key TEXT NOT NULL,
    created BIGINT NOT NULL
);
CREATE INDEX authorities_group ON authorities (group_id, number);

-- Generations of the group secret, sealed.
CREATE TABLE secrets (
    group_id BIGINT NOT NULL REFERENCES groups (id),
    generation BIGINT NOT NULL,
    sealed TEXT NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (group_id, generation)
);

CREATE TABLE requests (
    group_id BIGINT NOT NULL REFERENCES groups (id),
    id BIGINT NOT NULL,
    user_id BIGINT NOT NULL REFERENCES users (id),
    user_name TEXT NOT NULL,
    reason TEXT NOT NULL,
    state TEXT NOT NULL,
    asked BIGINT NOT NULL,
    decided BIGINT,
    decided_by TEXT,
    note TEXT NOT NULL,
    PRIMARY KEY (group_id, id)
);
CREATE UNIQUE INDEX requests_pending ON requests (group_id, user_id) WHERE state = 'pending';
CREATE INDEX requests_state ON requests (group_id, state, id);
CREATE INDEX requests_user ON requests (user_id, group_id, id);

CREATE TABLE memberships (
    group_id BIGINT NOT NULL REFERENCES groups (id),
    user_id BIGINT NOT NULL REFERENCES users (id),
    user_name TEXT NOT NULL,
    role TEXT NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (group_id, user_id)
);
CREATE UNIQUE INDEX memberships_name ON memberships (group_id, user_name);
CREATE INDEX memberships_user ON memberships (user_id);

CREATE TABLE tokens (
    group_id BIGINT NOT NULL REFERENCES groups (id),
    id BIGINT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    user_id BIGINT NOT NULL REFERENCES users (id),
    user_name TEXT NOT NULL,
    label TEXT NOT NULL,
    reusable BIGINT NOT NULL,
    ephemeral BIGINT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    last_used BIGINT,
    ended TEXT,
    PRIMARY KEY (group_id, id)
);
CREATE INDEX tokens_user ON tokens (group_id, user_id, id);
CREATE INDEX tokens_expires ON tokens (expires) WHERE ended IS NULL;

-- Nodes, with their newest certificate. Ended ones keep their salt: a key has one ID for ever.
CREATE TABLE nodes (
    group_id BIGINT NOT NULL REFERENCES groups (id),
    node_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    spki TEXT NOT NULL,
    salt TEXT NOT NULL,
    user_id BIGINT NOT NULL REFERENCES users (id),
    user_name TEXT NOT NULL,
    token_id BIGINT NOT NULL,
    ephemeral BIGINT NOT NULL,
    host TEXT,
    created BIGINT NOT NULL,
    ended TEXT,
    serial TEXT,
    issued BIGINT,
    not_after BIGINT,
    address TEXT,
    path TEXT,
    last_seen BIGINT,
    forget_at BIGINT NOT NULL,
    PRIMARY KEY (group_id, node_id)
);
CREATE UNIQUE INDEX nodes_key ON nodes (group_id, spki);
CREATE INDEX nodes_number ON nodes (group_id, number);
CREATE INDEX nodes_user ON nodes (group_id, user_id, number);
CREATE INDEX nodes_address ON nodes (group_id, address);
CREATE INDEX nodes_created ON nodes (group_id, user_id, created);
CREATE INDEX nodes_forget ON nodes (forget_at) WHERE ended IS NULL;

-- Every certificate that was signed. The key makes sure that no serial is used twice.
CREATE TABLE certificates (
    serial TEXT PRIMARY KEY,
    group_id BIGINT NOT NULL REFERENCES groups (id),
    node_id TEXT NOT NULL,
    issuer TEXT NOT NULL,
    user_name TEXT NOT NULL,
    issued BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    FOREIGN KEY (group_id, node_id) REFERENCES nodes (group_id, node_id)
);
CREATE INDEX certificates_group ON certificates (group_id, not_after);

-- The chain of notices.
CREATE TABLE notices (
    group_id BIGINT NOT NULL REFERENCES groups (id),
    number BIGINT NOT NULL,
    bytes TEXT NOT NULL,
    what TEXT NOT NULL,
    reason TEXT NOT NULL,
    by_name TEXT NOT NULL,
    victims TEXT NOT NULL,
    at BIGINT NOT NULL,
    announced BIGINT,
    PRIMARY KEY (group_id, number)
);
CREATE INDEX notices_announced ON notices (group_id, number) WHERE announced IS NULL;

-- The audit log: numbered within its group, or within the site for group 0.
CREATE TABLE events (
    group_id BIGINT NOT NULL,
    number BIGINT NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    source TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (group_id, number)
);
CREATE INDEX events_at ON events (at);
CREATE INDEX events_kind ON events (group_id, kind, number);
