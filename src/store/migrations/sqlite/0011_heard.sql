-- When something was last heard of a run, by our clock. A supervisor says that it is alive when there is nothing else to say.
ALTER TABLE attempts ADD COLUMN heard_us INTEGER;
