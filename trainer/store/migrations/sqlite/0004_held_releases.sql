-- Releases that the gate holds back until an operator decides.
CREATE TABLE held_releases (
    group_name TEXT NOT NULL, version INTEGER NOT NULL, made_s INTEGER NOT NULL, file TEXT NOT NULL,
    reason TEXT NOT NULL, findings TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'approved', 'published', 'rejected', 'superseded')),
    who TEXT, when_s INTEGER, PRIMARY KEY (group_name, version)
) WITHOUT ROWID;
