-- A name that leads to an index has an image for each of its platforms that is here.
CREATE TABLE named (
    reference TEXT NOT NULL,
    image     TEXT NOT NULL REFERENCES images (id),
    via       TEXT,             -- digest of the index, the same for all images of a name
    PRIMARY KEY (reference, image)
) WITHOUT ROWID;
INSERT INTO named SELECT reference, image, NULL FROM names;
DROP TABLE names;
ALTER TABLE named RENAME TO names;
CREATE INDEX names_image ON names (image);
