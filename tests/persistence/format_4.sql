PRAGMA application_id = 1885696612;
PRAGMA user_version = 4;
BEGIN TRANSACTION;
CREATE TABLE agents (
    agent INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL,
    sequence INTEGER NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL, crc INTEGER NOT NULL,
    shape TEXT, shape_crc INTEGER, UNIQUE (kind, key)
);
INSERT INTO "agents" VALUES(1,'Desk','emea',2,4,'active','',574514505,'{"lines":2,"owners":-1,"open":null,"@":1}',2213145851);
INSERT INTO "agents" VALUES(2,'Desk','noor',2,3,'paused','',32897014,'{"lines":1,"owners":-1,"open":null,"@":1}',3139188933);
CREATE TABLE artifact_names (kind TEXT NOT NULL, id TEXT NOT NULL, part TEXT NOT NULL, name TEXT NOT NULL, last INTEGER NOT NULL, count INTEGER NOT NULL, size INTEGER NOT NULL, sequence INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (kind, id, part, name)) WITHOUT ROWID;
INSERT INTO "artifact_names" VALUES('','','','',2,2,10262,6,2218550057);
INSERT INTO "artifact_names" VALUES('workflow','w','','',0,2,10262,6,2585775539);
INSERT INTO "artifact_names" VALUES('workflow','w','','long',1,1,10240,6,1470346380);
INSERT INTO "artifact_names" VALUES('workflow','w','','note',1,1,22,5,3977672122);
CREATE TABLE artifact_tags (tag TEXT NOT NULL, artifact INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (tag, artifact)) WITHOUT ROWID;
CREATE TABLE artifact_uses (sequence INTEGER NOT NULL, artifact INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (sequence, artifact)) WITHOUT ROWID;
CREATE TABLE artifacts (number INTEGER NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, part TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, content TEXT NOT NULL, size INTEGER NOT NULL, type TEXT NOT NULL, media TEXT NOT NULL, agent_kind TEXT NOT NULL, agent_key TEXT NOT NULL, session TEXT NOT NULL, correlation INTEGER NOT NULL, made REAL NOT NULL, meta TEXT NOT NULL, sequence INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (number));
INSERT INTO "artifacts" VALUES(1,'workflow','w','','note',1,'8d41880dcb5909a36bf12a9a92c54fe999234b8a6f4a127a61a9924c08cf3431',22,'custom','','','','',0,1700000000.0,'{}',5,884866560);
INSERT INTO "artifacts" VALUES(2,'workflow','w','','long',1,'e96760a87768717bcebcfd25ddc7d46b4dbc95a4b0014def080c08539f7d90d0',10240,'custom','','','','',0,1700000000.0,'{}',6,3365040731);
CREATE TABLE attempts (kind TEXT NOT NULL, key TEXT NOT NULL, what TEXT NOT NULL, number INTEGER NOT NULL, times INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (kind, key, what, number)) WITHOUT ROWID;
CREATE TABLE audit (number INTEGER NOT NULL, sequence INTEGER NOT NULL, time REAL NOT NULL, who_kind TEXT NOT NULL, who_id TEXT NOT NULL, who_part TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, part TEXT NOT NULL, key TEXT NOT NULL, operation TEXT NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL, times INTEGER NOT NULL, correlation INTEGER NOT NULL, hash TEXT NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (number));
CREATE TABLE audit_anchor (only INTEGER NOT NULL, number INTEGER NOT NULL, hash TEXT NOT NULL, trimmed REAL NOT NULL, seal TEXT NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (only));
CREATE TABLE audit_causes (sequence INTEGER NOT NULL, cause INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (sequence));
CREATE TABLE backup_schedules (folder TEXT NOT NULL, schedule TEXT NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (folder)) WITHOUT ROWID;
CREATE TABLE base_fields (
    agent INTEGER NOT NULL, field TEXT NOT NULL, value TEXT NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (agent, field)
) WITHOUT ROWID;
CREATE TABLE boundaries (kind TEXT NOT NULL, key TEXT NOT NULL, boundary TEXT NOT NULL, sequence INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;
CREATE TABLE chunks (chunk TEXT NOT NULL, size INTEGER NOT NULL, packed INTEGER NOT NULL, data BLOB NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (chunk));
INSERT INTO "chunks" VALUES('8d41880dcb5909a36bf12a9a92c54fe999234b8a6f4a127a61a9924c08cf3431',22,0,X'6120636F6E74656E74206F66206F6E65206368756E6B',1546578620);
INSERT INTO "chunks" VALUES('e96760a87768717bcebcfd25ddc7d46b4dbc95a4b0014def080c08539f7d90d0',10240,1,X'78016360646266616563E7E0E4E2E6E1E5E3171014121611151397909492969195935750545256515553D7D0D4D2D6D1D5D33730343236313533B7B0B4B2B6B1B5B37770747276717573F7F0F4F2F6F1F5F30F080C0A0E090D0B8F888C8A8E898D8B4F484C4A4E494D4BCFC8CCCACEC9CDCB2F282C2A2E292D2BAFA8ACAAAEA9ADAB6F686C6A6E696D6BEFE8ECEAEEE9EDEB9F3071D2E42953A74D9F3173D6EC3973E7CD5FB070D1E2254B972D5FB172D5EA356BD7ADDFB071D3E62D5BB76DDFB173D7EE3D7BF7ED3F70F0D0E123478F1D3F71F2D4E93367CF9DBF70F1D2E52B57AF5DBF71F3D6ED3B77EFDD7FF0F0D1E3274F9F3D7FF1F2D5EB376FDFBDFFF0F1D3E72F5FBF7DFFF1F3D7EF3F7FFFFD6718F5FF68FC8FA6FFD1FC3F5AFE8D96FFA3F5DF68FD3FDAFE196DFF8DB67F47DBFFA3FD9FD1FEDF68FF77B4FF3F3AFE313AFE333AFE353AFE373AFE393AFE3B3AFE3D3AFE3F3AFF313AFF333AFF353AFF373AFF393AFF3B3AFF3D3AFF3FBAFE6174FDC7E8FA97D1F53FA3EB9F46D77F0DC1F56F00F475ED1E',487582790);
CREATE TABLE content_parts (content TEXT NOT NULL, position INTEGER NOT NULL, chunk TEXT NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (content, position)) WITHOUT ROWID;
INSERT INTO "content_parts" VALUES('8d41880dcb5909a36bf12a9a92c54fe999234b8a6f4a127a61a9924c08cf3431',0,'8d41880dcb5909a36bf12a9a92c54fe999234b8a6f4a127a61a9924c08cf3431',2999855750);
INSERT INTO "content_parts" VALUES('e96760a87768717bcebcfd25ddc7d46b4dbc95a4b0014def080c08539f7d90d0',0,'e96760a87768717bcebcfd25ddc7d46b4dbc95a4b0014def080c08539f7d90d0',2527978198);
CREATE TABLE contents (content TEXT NOT NULL, size INTEGER NOT NULL, chunks INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (content)) WITHOUT ROWID;
INSERT INTO "contents" VALUES('8d41880dcb5909a36bf12a9a92c54fe999234b8a6f4a127a61a9924c08cf3431',22,1,1473623647);
INSERT INTO "contents" VALUES('e96760a87768717bcebcfd25ddc7d46b4dbc95a4b0014def080c08539f7d90d0',10240,1,1412130435);
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
INSERT INTO "fields" VALUES(1,'open','1',827067468);
INSERT INTO "fields" VALUES(2,'open','1',775214760);
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
INSERT INTO "journal" VALUES(2,2,1,0,1700000000.0,'assign',1099511627777,0,1099511627777,'{"set":{"open":1},"append":{"lines":[0,["T-2 -> zoe"]]},"put":{"owners":[["T-2","zoe"]]}}',415981570);
INSERT INTO "journal" VALUES(3,2,2,2,1700000000.0,'(pause)',1099511627778,0,1099511627778,'{"status":["paused",""]}',1733520555);
INSERT INTO "journal" VALUES(4,1,2,1,1700000000.0,'pass_on',1099511627779,0,1099511627779,'{"append":{"lines":[1,["pass on"]]}}',3921053647);
INSERT INTO "journal" VALUES(5,0,0,0,1700000000.0,'(shared)',0,0,0,'{"rows":{"artifact_names":[["workflow","w","","note",1,1,22,5],["workflow","w","","",0,1,22,5],["","","","",1,1,22,5]],"artifacts":[[1,"workflow","w","","note",1,"8d41880dcb5909a36bf12a9a92c54fe999234b8a6f4a127a61a9924c08cf3431",22,"custom","","","","",0,1700000000.0,{},5]]}}',3289525317);
INSERT INTO "journal" VALUES(6,0,0,0,1700000000.0,'(shared)',0,0,0,'{"rows":{"artifact_names":[["workflow","w","","long",1,1,10240,6],["workflow","w","","",0,2,10262,6],["","","","",2,2,10262,6]],"artifacts":[[2,"workflow","w","","long",1,"e96760a87768717bcebcfd25ddc7d46b4dbc95a4b0014def080c08539f7d90d0",10240,"custom","","","","",0,1700000000.0,{},6]]}}',3089602717);
CREATE TABLE lease (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    token INTEGER NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL, started TEXT NOT NULL,
    realm TEXT NOT NULL, incarnation TEXT NOT NULL, renewed REAL NOT NULL,
    released INTEGER NOT NULL, file TEXT NOT NULL
);
INSERT INTO "lease" VALUES(1,1,'vm',7427,'2026-11-28 01:27:31 UTC','d55cc809-241d-4cdf-bd04-4e7ff3c86bc7 pid:[4026531836]','9347346',1.79582925374646329872e+09,1,'65024:2165466');
CREATE TABLE leftovers (agent INTEGER NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, erase INTEGER NOT NULL, upto INTEGER NOT NULL, last INTEGER NOT NULL, since REAL NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (agent));
CREATE TABLE lineage (artifact INTEGER NOT NULL, source INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (artifact, source)) WITHOUT ROWID;
CREATE TABLE log_items (
    agent INTEGER NOT NULL, field TEXT NOT NULL, position INTEGER NOT NULL, value TEXT NOT NULL,
    crc INTEGER NOT NULL, PRIMARY KEY (agent, field, position)
) WITHOUT ROWID;
INSERT INTO "log_items" VALUES(1,'lines',0,'"T-1 -> mira"',203562540);
INSERT INTO "log_items" VALUES(1,'lines',1,'"pass on"',1434200469);
INSERT INTO "log_items" VALUES(2,'lines',0,'"T-2 -> zoe"',2965918413);
CREATE TABLE mailbox (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL,
    body TEXT NOT NULL, cause INTEGER NOT NULL, correlation INTEGER NOT NULL, sent REAL NOT NULL,
    crc INTEGER NOT NULL
);
INSERT INTO "mailbox" VALUES(1099511627780,'Desk','noor','assign','[["T-3","emea"],{}]',4,1099511627779,1700000000.0,268068494);
CREATE TABLE map_entries (
    agent INTEGER NOT NULL, field TEXT NOT NULL, entry NOT NULL, value TEXT NOT NULL,
    crc INTEGER NOT NULL, PRIMARY KEY (agent, field, entry)
) WITHOUT ROWID;
INSERT INTO "map_entries" VALUES(1,'owners','T-1','"mira"',2697773316);
INSERT INTO "map_entries" VALUES(2,'owners','T-2','"zoe"',3915032808);
CREATE TABLE owners (kind TEXT NOT NULL, id TEXT NOT NULL, part TEXT NOT NULL, who_kind TEXT NOT NULL, who_id TEXT NOT NULL, who_part TEXT NOT NULL, sequence INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (kind, id, part)) WITHOUT ROWID;
CREATE TABLE postings (sequence INTEGER NOT NULL, first INTEGER NOT NULL, data BLOB NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (sequence));
INSERT INTO "postings" VALUES(4,4,X'5B5B342C222B222C313039393531313632373738302C224465736B222C226E6F6F72222C2261737369676E222C225B5B5C22542D335C222C5C22656D65615C225D2C7B7D5D222C342C313039393531313632373737392C313730303030303030302E305D5D',2824446258);
CREATE TABLE progress (name TEXT NOT NULL, value TEXT NOT NULL, sequence INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (name)) WITHOUT ROWID;
CREATE TABLE quarantine (
    agent INTEGER NOT NULL, place TEXT NOT NULL, value TEXT NOT NULL, reason TEXT NOT NULL,
    time REAL NOT NULL
);
CREATE TABLE replay_results (sequence INTEGER NOT NULL, name TEXT NOT NULL, result TEXT NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (sequence));
CREATE TABLE replay_schedules (name TEXT NOT NULL, schedule TEXT NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (name)) WITHOUT ROWID;
CREATE TABLE schemas (number INTEGER NOT NULL, kind TEXT NOT NULL, family TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, fingerprint TEXT NOT NULL, schema TEXT NOT NULL, letter INTEGER NOT NULL, made REAL NOT NULL, sequence INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (number));
INSERT INTO "schemas" VALUES(1,'Desk','state','DeskState','1.0.0','5a5a545675cf206ac06c1f290de259db77d7c045f7a41df43f5aafc84873c7d8','{"family":"state","name":"DeskState","version":"1.0.0","members":[{"name":"open","type":{"form":"int"},"default":"0"},{"name":"owners","type":{"form":"str"},"store":"map"},{"name":"lines","type":{"form":"str"},"store":"log"}]}',1099511627776,1700000000.0,1,1495411546);
INSERT INTO "schemas" VALUES(2,'Desk','messages','Desk','1.0.0','fd5d6e42589d8c104ca1954fbaa7c5e6a1915e1818083d5075520ca8b7f67021','{"family":"messages","name":"Desk","version":"1.0.0","members":[{"name":"assign","type":{"form":"call","members":[{"name":"ticket","type":{"form":"str"},"required":true},{"name":"owner","type":{"form":"str"},"required":true}]}},{"name":"pass_on","type":{"form":"call","members":[{"name":"ticket","type":{"form":"str"},"required":true},{"name":"other","type":{"form":"str"},"required":true}]}},{"name":"read","type":{"form":"call"}},{"name":"tick","type":{"form":"call"}}],"since":1}',1099511627776,1700000000.0,4,2145709915);
CREATE TABLE scoped (kind TEXT NOT NULL, id TEXT NOT NULL, part TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, version INTEGER NOT NULL, sequence INTEGER NOT NULL, expires REAL, crc INTEGER NOT NULL, PRIMARY KEY (kind, id, part, key)) WITHOUT ROWID;
CREATE TABLE sessions (id TEXT NOT NULL, parent TEXT NOT NULL, name TEXT NOT NULL, status TEXT NOT NULL, who_kind TEXT NOT NULL, who_id TEXT NOT NULL, who_part TEXT NOT NULL, correlation INTEGER NOT NULL, created REAL NOT NULL, changed REAL NOT NULL, ended REAL, deadline REAL, cleanup TEXT NOT NULL, limits TEXT NOT NULL, meta TEXT NOT NULL, note TEXT NOT NULL, first INTEGER NOT NULL, sequence INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (id)) WITHOUT ROWID;
CREATE TABLE timers (
    kind TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL, method TEXT NOT NULL,
    body TEXT NOT NULL, due REAL NOT NULL, interval REAL, catch_up TEXT NOT NULL,
    correlation INTEGER NOT NULL, cause INTEGER NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (kind, key, name)
) WITHOUT ROWID;
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
