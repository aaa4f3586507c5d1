-- What killed runs left open in an environment: JSON, NULL for nothing. Nothing is deployed before it is settled.
ALTER TABLE places ADD COLUMN left_open TEXT COLLATE "C";
