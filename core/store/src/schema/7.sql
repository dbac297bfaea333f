-- What `manifest create` puts together, before it is in a registry.
CREATE TABLE manifest_lists (
    reference TEXT PRIMARY KEY,
    members   TEXT NOT NULL     -- JSON: what each entry is called, and its descriptor
) WITHOUT ROWID;
