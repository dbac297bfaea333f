CREATE TABLE attachments (
    image      TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    media_type TEXT NOT NULL,
    digest     TEXT NOT NULL,
    size       INTEGER NOT NULL,
    owner      TEXT NOT NULL,   -- the hook that attached it
    PRIMARY KEY (image, name)
) WITHOUT ROWID;
