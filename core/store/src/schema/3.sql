-- Plans of Dockerfile statements. Not WITHOUT ROWID: the lowest rows are the oldest.
CREATE TABLE plans (
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL
);
