CREATE TABLE layers (
    chain_id   TEXT PRIMARY KEY,
    diff_id    TEXT NOT NULL,
    parent     TEXT REFERENCES layers (chain_id),
    size       INTEGER NOT NULL,
    tar_size   INTEGER NOT NULL,
    blob       TEXT,
    media_type TEXT,
    driver     TEXT NOT NULL,
    boot       TEXT              -- NULL: synced; else counts during this boot only
) WITHOUT ROWID;
CREATE INDEX layers_parent ON layers (parent);

CREATE TABLE images (
    id       TEXT PRIMARY KEY,
    manifest TEXT NOT NULL,
    config   TEXT NOT NULL,
    top      TEXT REFERENCES layers (chain_id),
    added    INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX images_top ON images (top);

CREATE TABLE names (
    reference TEXT PRIMARY KEY,
    image     TEXT NOT NULL REFERENCES images (id)
) WITHOUT ROWID;
CREATE INDEX names_image ON names (image);

CREATE TABLE containers (
    id    TEXT PRIMARY KEY,
    name  TEXT NOT NULL UNIQUE,
    json  TEXT NOT NULL,
    layer TEXT REFERENCES layers (chain_id)
) WITHOUT ROWID;
CREATE INDEX containers_layer ON containers (layer);

CREATE TABLE networks (
    id   TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    json TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE leases (
    network   TEXT NOT NULL,
    address   TEXT NOT NULL,
    container TEXT NOT NULL,
    PRIMARY KEY (network, address)
) WITHOUT ROWID;
CREATE INDEX leases_container ON leases (container);

CREATE TABLE volumes (
    name      TEXT PRIMARY KEY,
    driver    TEXT NOT NULL,
    anonymous INTEGER NOT NULL,
    labels    TEXT NOT NULL,
    created   TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE volume_users (
    volume    TEXT NOT NULL REFERENCES volumes (name),
    container TEXT NOT NULL,
    PRIMARY KEY (volume, container)
) WITHOUT ROWID;
CREATE INDEX volume_users_container ON volume_users (container);

CREATE TABLE driver_state (
    plugin TEXT NOT NULL,
    key    TEXT NOT NULL,
    value  BLOB NOT NULL,
    PRIMARY KEY (plugin, key)
) WITHOUT ROWID;

CREATE TABLE cache (
    key   TEXT PRIMARY KEY,
    layer TEXT REFERENCES layers (chain_id),
    value BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX cache_layer ON cache (layer);

CREATE TABLE downloads (
    url           TEXT PRIMARY KEY,
    digest        TEXT NOT NULL,
    size          INTEGER NOT NULL,
    etag          TEXT,
    last_modified INTEGER
) WITHOUT ROWID;
