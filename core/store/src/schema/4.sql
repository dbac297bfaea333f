ALTER TABLE cache ADD COLUMN made  INTEGER NOT NULL DEFAULT 0;   -- seconds since 1970
ALTER TABLE cache ADD COLUMN used  INTEGER NOT NULL DEFAULT 0;   -- the last time, or nearly
ALTER TABLE cache ADD COLUMN label TEXT NOT NULL DEFAULT '';     -- the statement that used it last
