-- What registries call an image that came from one or went to one.
CREATE TABLE remotes (
    repository TEXT NOT NULL,   -- host and path
    digest     TEXT NOT NULL,   -- what a tag of it leads to: an index, or the manifest itself
    manifest   TEXT NOT NULL,   -- the image's own manifest there
    image      TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    PRIMARY KEY (repository, digest, image)
) WITHOUT ROWID;
CREATE INDEX remotes_image ON remotes (image);

-- Where a registry is known to hold a blob, so that it can be mounted into another repository.
CREATE TABLE held (
    blob       TEXT NOT NULL,
    repository TEXT NOT NULL,
    PRIMARY KEY (blob, repository)
) WITHOUT ROWID;

-- What the tar of a layer that was built here is when it is compressed for a registry.
CREATE TABLE packed (
    diff_id TEXT PRIMARY KEY,
    digest  TEXT NOT NULL,
    size    INTEGER NOT NULL
) WITHOUT ROWID;

-- Layers of a pull that was broken off: the next one goes on from there.
CREATE TABLE arrived (
    layer TEXT PRIMARY KEY REFERENCES layers (chain_id) ON DELETE CASCADE,
    at    INTEGER NOT NULL      -- seconds since 1970
) WITHOUT ROWID;
