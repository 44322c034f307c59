PRAGMA application_id = 1885696612;
PRAGMA user_version = 3;
BEGIN TRANSACTION;
CREATE TABLE agents (
    agent INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL,
    sequence INTEGER NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL, crc INTEGER NOT NULL,
    shape TEXT, shape_crc INTEGER, UNIQUE (kind, key)
);
INSERT INTO "agents" VALUES(1,'Desk','emea',4,7,'active','',231614838,'{"lines":3,"owners":-1,"open":null,"@":1}',1916004689);
INSERT INTO "agents" VALUES(2,'Desk','apac',2,6,'paused','',2204494892,'{"lines":1,"owners":-1,"open":null}',3237252959);
INSERT INTO "agents" VALUES(3,'Desk','noor',2,9,'paused','',572008647,'{"lines":1,"owners":-1,"open":null,"@":1}',2972047655);
CREATE TABLE artifact_names (kind TEXT NOT NULL, id TEXT NOT NULL, part TEXT NOT NULL, name TEXT NOT NULL, last INTEGER NOT NULL, count INTEGER NOT NULL, size INTEGER NOT NULL, sequence INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (kind, id, part, name)) WITHOUT ROWID;
CREATE TABLE artifact_tags (tag TEXT NOT NULL, artifact INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (tag, artifact)) WITHOUT ROWID;
CREATE TABLE artifact_uses (sequence INTEGER NOT NULL, artifact INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (sequence, artifact)) WITHOUT ROWID;
CREATE TABLE artifacts (number INTEGER NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, part TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, content TEXT NOT NULL, size INTEGER NOT NULL, type TEXT NOT NULL, media TEXT NOT NULL, agent_kind TEXT NOT NULL, agent_key TEXT NOT NULL, session TEXT NOT NULL, correlation INTEGER NOT NULL, made REAL NOT NULL, meta TEXT NOT NULL, sequence INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (number));
CREATE TABLE attempts (kind TEXT NOT NULL, key TEXT NOT NULL, what TEXT NOT NULL, number INTEGER NOT NULL, times INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (kind, key, what, number)) WITHOUT ROWID;
CREATE TABLE audit (number INTEGER NOT NULL, sequence INTEGER NOT NULL, time REAL NOT NULL, who_kind TEXT NOT NULL, who_id TEXT NOT NULL, who_part TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, part TEXT NOT NULL, key TEXT NOT NULL, operation TEXT NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL, times INTEGER NOT NULL, correlation INTEGER NOT NULL, hash TEXT NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (number));
CREATE TABLE audit_anchor (only INTEGER NOT NULL, number INTEGER NOT NULL, hash TEXT NOT NULL, trimmed REAL NOT NULL, seal TEXT NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (only));
CREATE TABLE audit_causes (sequence INTEGER NOT NULL, cause INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (sequence));
CREATE TABLE base_fields (
    agent INTEGER NOT NULL, field TEXT NOT NULL, value TEXT NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (agent, field)
) WITHOUT ROWID;
CREATE TABLE boundaries (kind TEXT NOT NULL, key TEXT NOT NULL, boundary TEXT NOT NULL, sequence INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;
CREATE TABLE chunks (chunk TEXT NOT NULL, size INTEGER NOT NULL, packed INTEGER NOT NULL, data BLOB NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (chunk));
CREATE TABLE content_parts (content TEXT NOT NULL, position INTEGER NOT NULL, chunk TEXT NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (content, position)) WITHOUT ROWID;
CREATE TABLE contents (content TEXT NOT NULL, size INTEGER NOT NULL, chunks INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (content)) WITHOUT ROWID;
CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL,
    body TEXT NOT NULL, cause INTEGER NOT NULL, correlation INTEGER NOT NULL, sent REAL NOT NULL,
    attempts INTEGER NOT NULL, reason TEXT NOT NULL, died REAL NOT NULL,
    crc INTEGER NOT NULL
);
CREATE TABLE fields (
    agent INTEGER NOT NULL, field TEXT NOT NULL, value TEXT NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (agent, field)
) WITHOUT ROWID;
INSERT INTO "fields" VALUES(1,'open','3',3745672544);
INSERT INTO "fields" VALUES(2,'open','1',775214760);
INSERT INTO "fields" VALUES(3,'open','1',164650908);
CREATE TABLE formats (format INTEGER NOT NULL, sequence INTEGER NOT NULL, made REAL NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (format));
CREATE TABLE grants (number INTEGER NOT NULL, who_kind TEXT NOT NULL, who_id TEXT NOT NULL, who_part TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, part TEXT NOT NULL, keys TEXT NOT NULL, rights INTEGER NOT NULL, inherit INTEGER NOT NULL, expires REAL, uses INTEGER, by_kind TEXT NOT NULL, by_id TEXT NOT NULL, by_part TEXT NOT NULL, made REAL NOT NULL, sequence INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (number));
CREATE TABLE hook_pins (sequence INTEGER NOT NULL, position INTEGER NOT NULL, run TEXT NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (sequence, position)) WITHOUT ROWID;
CREATE TABLE hook_queue (sequence INTEGER NOT NULL, position INTEGER NOT NULL, time REAL NOT NULL, hook TEXT NOT NULL, point TEXT NOT NULL, details TEXT NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (sequence, position)) WITHOUT ROWID;
CREATE TABLE hook_runs (first INTEGER NOT NULL, last INTEGER NOT NULL, since REAL NOT NULL, until REAL NOT NULL, count INTEGER NOT NULL, size INTEGER NOT NULL, weight INTEGER NOT NULL, words BLOB NOT NULL, data BLOB NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (first));
CREATE TABLE hook_segments (first INTEGER NOT NULL, last INTEGER NOT NULL, since REAL NOT NULL, until REAL NOT NULL, count INTEGER NOT NULL, size INTEGER NOT NULL, weight INTEGER NOT NULL, words BLOB NOT NULL, data BLOB NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (first));
CREATE TABLE isolated (kind TEXT NOT NULL, key TEXT NOT NULL, reason TEXT NOT NULL, since REAL NOT NULL, sequence INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;
CREATE TABLE journal (
    sequence INTEGER PRIMARY KEY, agent INTEGER NOT NULL, version INTEGER NOT NULL,
    previous INTEGER NOT NULL, time REAL NOT NULL, name TEXT NOT NULL, message INTEGER NOT NULL,
    cause INTEGER NOT NULL, correlation INTEGER NOT NULL, delta TEXT NOT NULL,
    crc INTEGER NOT NULL
);
INSERT INTO "journal" VALUES(1,1,1,0,1700000000.0,'assign',1099511627776,0,1099511627776,'{"set":{"open":1},"append":{"lines":[0,["T-1 -> mira"]]},"put":{"owners":[["T-1","mira"]]}}',1355470962);
INSERT INTO "journal" VALUES(2,1,2,1,1700000000.0,'assign',1099511627777,0,1099511627777,'{"set":{"open":2},"append":{"lines":[1,["T-2 -> noor"]]},"put":{"owners":[["T-2","noor"]]}}',597188533);
INSERT INTO "journal" VALUES(3,1,3,2,1700000000.0,'remind',1099511627778,0,1099511627778,'{}',733633103);
INSERT INTO "journal" VALUES(4,0,0,0,1700000000.0,'(shared)',0,0,0,'{"rows":{"scoped":[["workflow","w","","k",1,1,4,null]]}}',146928578);
INSERT INTO "journal" VALUES(5,2,1,0,1700000000.0,'assign',1099511627779,0,1099511627779,'{"set":{"open":1},"append":{"lines":[0,["T-3 -> zoe"]]},"put":{"owners":[["T-3","zoe"]]}}',737588564);
INSERT INTO "journal" VALUES(6,2,2,5,1700000000.0,'(pause)',1099511627780,0,1099511627780,'{}',969375774);
INSERT INTO "journal" VALUES(7,1,4,3,1700000001.0,'assign',2199023255552,0,2199023255552,'{"set":{"open":3},"append":{"lines":[2,["T-9 -> mira"]]},"put":{"owners":[["T-9","mira"]]}}',1360714256);
INSERT INTO "journal" VALUES(8,3,1,0,1700000001.0,'assign',2199023255553,0,2199023255553,'{"set":{"open":1},"append":{"lines":[0,["T-10 -> noor"]]},"put":{"owners":[["T-10","noor"]]}}',1024572310);
INSERT INTO "journal" VALUES(9,3,2,8,1700000001.0,'(pause)',2199023255554,0,2199023255554,'{"status":["paused",""]}',3683836004);
CREATE TABLE lease (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    token INTEGER NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL, started TEXT NOT NULL,
    realm TEXT NOT NULL, incarnation TEXT NOT NULL, renewed REAL NOT NULL,
    released INTEGER NOT NULL, file TEXT NOT NULL
);
INSERT INTO "lease" VALUES(1,2,'host',1,'2026-11-27 08:47:02 UTC','realm','incarnation',1795769223.8,1,'');
CREATE TABLE leftovers (agent INTEGER NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, erase INTEGER NOT NULL, upto INTEGER NOT NULL, last INTEGER NOT NULL, since REAL NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (agent));
CREATE TABLE lineage (artifact INTEGER NOT NULL, source INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (artifact, source)) WITHOUT ROWID;
CREATE TABLE log_items (
    agent INTEGER NOT NULL, field TEXT NOT NULL, position INTEGER NOT NULL, value TEXT NOT NULL,
    crc INTEGER NOT NULL, PRIMARY KEY (agent, field, position)
) WITHOUT ROWID;
INSERT INTO "log_items" VALUES(1,'lines',0,'"T-1 -> mira"',203562540);
INSERT INTO "log_items" VALUES(1,'lines',1,'"T-2 -> noor"',2807972536);
INSERT INTO "log_items" VALUES(1,'lines',2,'"T-9 -> mira"',2813144271);
INSERT INTO "log_items" VALUES(2,'lines',0,'"T-3 -> zoe"',2813544078);
INSERT INTO "log_items" VALUES(3,'lines',0,'"T-10 -> noor"',2132694539);
CREATE TABLE mailbox (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL,
    body TEXT NOT NULL, cause INTEGER NOT NULL, correlation INTEGER NOT NULL, sent REAL NOT NULL,
    crc INTEGER NOT NULL
);
INSERT INTO "mailbox" VALUES(1099511627781,'Desk','apac','assign','[["T-4","zoe"],{}]',0,1099511627781,1700000000.0,426270594);
INSERT INTO "mailbox" VALUES(2199023255555,'Desk','noor','assign','[["T-11","zoe"],{}]',0,2199023255555,1700000001.0,2972853599);
CREATE TABLE map_entries (
    agent INTEGER NOT NULL, field TEXT NOT NULL, entry NOT NULL, value TEXT NOT NULL,
    crc INTEGER NOT NULL, PRIMARY KEY (agent, field, entry)
) WITHOUT ROWID;
INSERT INTO "map_entries" VALUES(1,'owners','T-1','"mira"',2697773316);
INSERT INTO "map_entries" VALUES(1,'owners','T-2','"noor"',2264829732);
INSERT INTO "map_entries" VALUES(1,'owners','T-9','"mira"',2468581219);
INSERT INTO "map_entries" VALUES(2,'owners','T-3','"zoe"',570850125);
INSERT INTO "map_entries" VALUES(3,'owners','T-10','"noor"',184599804);
CREATE TABLE owners (kind TEXT NOT NULL, id TEXT NOT NULL, part TEXT NOT NULL, who_kind TEXT NOT NULL, who_id TEXT NOT NULL, who_part TEXT NOT NULL, sequence INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (kind, id, part)) WITHOUT ROWID;
CREATE TABLE progress (name TEXT NOT NULL, value TEXT NOT NULL, sequence INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (name)) WITHOUT ROWID;
CREATE TABLE quarantine (
    agent INTEGER NOT NULL, place TEXT NOT NULL, value TEXT NOT NULL, reason TEXT NOT NULL,
    time REAL NOT NULL
);
CREATE TABLE replay_results (sequence INTEGER NOT NULL, name TEXT NOT NULL, result TEXT NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (sequence));
CREATE TABLE replay_schedules (name TEXT NOT NULL, schedule TEXT NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (name)) WITHOUT ROWID;
CREATE TABLE schemas (number INTEGER NOT NULL, kind TEXT NOT NULL, family TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, fingerprint TEXT NOT NULL, schema TEXT NOT NULL, letter INTEGER NOT NULL, made REAL NOT NULL, sequence INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (number));
INSERT INTO "schemas" VALUES(1,'Desk','state','DeskState','1.0.0','5a5a545675cf206ac06c1f290de259db77d7c045f7a41df43f5aafc84873c7d8','{"family":"state","name":"DeskState","version":"1.0.0","members":[{"name":"open","type":{"form":"int"},"default":"0"},{"name":"owners","type":{"form":"str"},"store":"map"},{"name":"lines","type":{"form":"str"},"store":"log"}]}',2199023255552,1700000001.0,7,1992769621);
INSERT INTO "schemas" VALUES(2,'Desk','messages','Desk','1.0.0','fd5d6e42589d8c104ca1954fbaa7c5e6a1915e1818083d5075520ca8b7f67021','{"family":"messages","name":"Desk","version":"1.0.0","members":[{"name":"assign","type":{"form":"call","members":[{"name":"ticket","type":{"form":"str"},"required":true},{"name":"owner","type":{"form":"str"},"required":true}]}},{"name":"pass_on","type":{"form":"call","members":[{"name":"ticket","type":{"form":"str"},"required":true},{"name":"other","type":{"form":"str"},"required":true}]}},{"name":"read","type":{"form":"call"}},{"name":"tick","type":{"form":"call"}}]}',2199023255552,1700000001.0,8,1504717278);
CREATE TABLE scoped (kind TEXT NOT NULL, id TEXT NOT NULL, part TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, version INTEGER NOT NULL, sequence INTEGER NOT NULL, expires REAL, crc INTEGER NOT NULL, PRIMARY KEY (kind, id, part, key)) WITHOUT ROWID;
INSERT INTO "scoped" VALUES('workflow','w','','k','1',1,4,NULL,3928373992);
CREATE TABLE sessions (id TEXT NOT NULL, parent TEXT NOT NULL, name TEXT NOT NULL, status TEXT NOT NULL, who_kind TEXT NOT NULL, who_id TEXT NOT NULL, who_part TEXT NOT NULL, correlation INTEGER NOT NULL, created REAL NOT NULL, changed REAL NOT NULL, ended REAL, deadline REAL, cleanup TEXT NOT NULL, limits TEXT NOT NULL, meta TEXT NOT NULL, note TEXT NOT NULL, first INTEGER NOT NULL, sequence INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (id)) WITHOUT ROWID;
CREATE TABLE timers (
    kind TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL, method TEXT NOT NULL,
    body TEXT NOT NULL, due REAL NOT NULL, interval REAL, catch_up TEXT NOT NULL,
    correlation INTEGER NOT NULL, cause INTEGER NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (kind, key, name)
) WITHOUT ROWID;
INSERT INTO "timers" VALUES('Desk','emea','tick','tick','[[],{}]',1700000060.0,NULL,'one',1099511627778,3,3027324374);
CREATE TABLE tombstones (agent INTEGER NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, time REAL NOT NULL, erased INTEGER NOT NULL, sequence INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (agent));
CREATE TABLE traces (correlation INTEGER NOT NULL, trace TEXT NOT NULL, made REAL NOT NULL, sequence INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (correlation));
CREATE INDEX journal_leads ON journal (cause)
    WHERE cause > 0 AND (correlation = message OR correlation < 0);
CREATE INDEX scoped_expires ON scoped (expires) WHERE expires IS NOT NULL;
CREATE INDEX audit_who_kind_who_id_who_part_number ON audit (who_kind, who_id, who_part, number);
CREATE INDEX audit_kind_id_part_number ON audit (kind, id, part, number);
CREATE INDEX audit_outcome_number ON audit (outcome, number);
CREATE INDEX audit_correlation_number ON audit (correlation, number);
CREATE INDEX sessions_status_changed ON sessions (status, changed);
CREATE INDEX sessions_parent ON sessions (parent);
CREATE INDEX sessions_correlation ON sessions (correlation);
CREATE INDEX sessions_who_kind_who_id_who_part_changed ON sessions (who_kind, who_id, who_part, changed);
CREATE INDEX sessions_name ON sessions (name);
CREATE INDEX sessions_created ON sessions (created);
CREATE INDEX sessions_changed ON sessions (changed);
CREATE INDEX sessions_deadline ON sessions (deadline) WHERE deadline IS NOT NULL;
CREATE UNIQUE INDEX artifacts_kind_id_part_name_version ON artifacts (kind, id, part, name, version);
CREATE INDEX artifacts_content ON artifacts (content);
CREATE INDEX artifacts_session_number ON artifacts (session, number);
CREATE INDEX artifacts_agent_kind_agent_key_number ON artifacts (agent_kind, agent_key, number);
CREATE INDEX artifacts_made ON artifacts (made);
CREATE INDEX artifacts_correlation ON artifacts (correlation);
CREATE INDEX artifacts_type_number ON artifacts (type, number);
CREATE INDEX artifact_tags_artifact ON artifact_tags (artifact);
CREATE INDEX lineage_source ON lineage (source);
CREATE INDEX artifact_uses_artifact ON artifact_uses (artifact);
CREATE INDEX content_parts_chunk ON content_parts (chunk);
CREATE INDEX tombstones_kind_key_sequence ON tombstones (kind, key, sequence);
CREATE INDEX tombstones_sequence ON tombstones (sequence);
CREATE INDEX traces_sequence ON traces (sequence);
CREATE INDEX replay_results_name_sequence ON replay_results (name, sequence);
CREATE INDEX "idx_mailbox_kind_key"
    ON "mailbox" ("kind", "key");
CREATE INDEX "idx_timers_due"
    ON "timers" ("due");
CREATE INDEX "idx_journal_correlation"
    ON "journal" ("correlation");
CREATE VIEW "state" AS SELECT kind, key, status, version, field, value FROM agents JOIN fields USING (agent);
CREATE VIEW "history" AS SELECT journal.sequence, datetime(journal.time, 'unixepoch') AS at, coalesce(agents.kind, tombstones.kind) AS kind, coalesce(agents.key, tombstones.key) AS key, journal.version, name, delta FROM journal LEFT JOIN agents ON agents.agent = journal.agent LEFT JOIN tombstones ON tombstones.agent = journal.agent;
CREATE VIEW "logs" AS SELECT kind, key, field, position, value FROM log_items LEFT JOIN agents USING (agent) WHERE agent NOT IN (SELECT agent FROM leftovers);
CREATE VIEW "maps" AS SELECT kind, key, field, entry, value FROM map_entries LEFT JOIN agents USING (agent) WHERE agent NOT IN (SELECT agent FROM leftovers);
CREATE VIEW "mail" AS SELECT id, kind, key, datetime(sent, 'unixepoch') AS sent_at, name, body FROM mailbox;
CREATE VIEW "schedule" AS SELECT kind, key, name, method, datetime(due, 'unixepoch') AS due_at, interval, body FROM timers;
CREATE VIEW "letters" AS SELECT id, kind, key, datetime(died, 'unixepoch') AS died_at, name, body, attempts, reason FROM dead_letters;
COMMIT;
