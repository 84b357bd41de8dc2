-- A log of format 1, with one transaction that has ended and one that has not.
CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    identity BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    head INTEGER NOT NULL,
    indexed INTEGER NOT NULL
);
CREATE TABLE entries (
    place INTEGER PRIMARY KEY,
    ordinal INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    id TEXT,
    key TEXT,
    text TEXT NOT NULL
);
CREATE TABLE transactions (ordinal INTEGER PRIMARY KEY, places TEXT NOT NULL);
CREATE TABLE unsettled (ordinal INTEGER PRIMARY KEY);
CREATE TABLE keys (key TEXT PRIMARY KEY, ordinal INTEGER NOT NULL) WITHOUT ROWID;
CREATE VIEW history AS
    SELECT coalesce(first.id, recent.id) AS id, entry.sequence, entry.text
    FROM entries AS entry
    LEFT JOIN transactions ON transactions.ordinal = entry.ordinal
    LEFT JOIN entries AS first ON first.place = json_extract(transactions.places, '$[0]')
    LEFT JOIN (
        SELECT ordinal, id FROM entries
        WHERE place >= (SELECT indexed FROM meta) AND sequence = 0
    ) AS recent ON recent.ordinal = entry.ordinal;
INSERT INTO meta VALUES (1, x'0000000000000009', 3, 0, 0);
INSERT INTO entries VALUES
    (1048576, 4096, 0, 0, '00000000000170008000000000000001-0000000000000007', 'key 1', 'one'),
    (1048577, 8192, 0, 0, '00000000000270008000000000000002-0000000000000007', 'key 2', 'two'),
    (2097152, 4096, 1, 1, NULL, NULL, 'end of one');
PRAGMA application_id = 0x77686c79;
PRAGMA user_version = 1;
