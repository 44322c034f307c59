PRAGMA application_id = 1885696612;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE agents (
    agent INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL,
    sequence INTEGER NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL, crc INTEGER NOT NULL,
    shape TEXT, shape_crc INTEGER, UNIQUE (kind, key)
);
INSERT INTO "agents" VALUES(1,'Desk','emea',6,12,'active','',1315842448,'{"lines":6,"owners":-1,"open":null}',3503284292);
INSERT INTO "agents" VALUES(2,'Desk','apac',3,11,'paused','',302497431,'{"lines":2,"owners":-1,"open":null}',849568423);
CREATE TABLE artifact_names (kind TEXT NOT NULL, id TEXT NOT NULL, part TEXT NOT NULL, name TEXT NOT NULL, last INTEGER NOT NULL, count INTEGER NOT NULL, size INTEGER NOT NULL, sequence INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (kind, id, part, name)) WITHOUT ROWID;
INSERT INTO "artifact_names" VALUES('','','','',1,1,5,15,590992453);
INSERT INTO "artifact_names" VALUES('global','','','',0,1,5,15,3408202002);
INSERT INTO "artifact_names" VALUES('global','','','raw',1,1,5,15,2779332716);
CREATE TABLE artifact_tags (tag TEXT NOT NULL, artifact INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (tag, artifact)) WITHOUT ROWID;
CREATE TABLE artifact_uses (sequence INTEGER NOT NULL, artifact INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (sequence, artifact)) WITHOUT ROWID;
CREATE TABLE artifacts (number INTEGER NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, part TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, content TEXT NOT NULL, size INTEGER NOT NULL, type TEXT NOT NULL, media TEXT NOT NULL, agent_kind TEXT NOT NULL, agent_key TEXT NOT NULL, session TEXT NOT NULL, correlation INTEGER NOT NULL, made REAL NOT NULL, meta TEXT NOT NULL, sequence INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (number));
INSERT INTO "artifacts" VALUES(1,'global','','','raw',1,'277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9',5,'custom','','','','',0,1.7957692241099705696e+09,'{}',15,2507432184);
CREATE TABLE audit (number INTEGER NOT NULL, sequence INTEGER NOT NULL, time REAL NOT NULL, who_kind TEXT NOT NULL, who_id TEXT NOT NULL, who_part TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, part TEXT NOT NULL, key TEXT NOT NULL, operation TEXT NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL, times INTEGER NOT NULL, correlation INTEGER NOT NULL, hash TEXT NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (number));
INSERT INTO "audit" VALUES(1,7,1.79576922382428860658e+09,'system','','','session','chat','','','create session','allowed','the system',1,0,'b4f81a84434034489677ea6f02fc1430ccc30887e7220d25ead06698eb69ccdc',3794571354);
INSERT INTO "audit" VALUES(2,16,1.79576922411106848715e+09,'system','','','workflow','w','','*','grant READ to user:mira','allowed','the system',1,0,'fa9f13fb290a9b19ccc446c8184af05940de798f53fc67515b8712cc3ebdb76c',2699454658);
CREATE TABLE audit_anchor (only INTEGER NOT NULL, number INTEGER NOT NULL, hash TEXT NOT NULL, trimmed REAL NOT NULL, seal TEXT NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (only));
CREATE TABLE base_fields (
    agent INTEGER NOT NULL, field TEXT NOT NULL, value TEXT NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (agent, field)
) WITHOUT ROWID;
CREATE TABLE boundaries (kind TEXT NOT NULL, key TEXT NOT NULL, boundary TEXT NOT NULL, sequence INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;
CREATE TABLE chunks (chunk TEXT NOT NULL, size INTEGER NOT NULL, packed INTEGER NOT NULL, data BLOB NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (chunk));
INSERT INTO "chunks" VALUES('277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9',5,0,X'6279746573',1899070987);
CREATE TABLE content_parts (content TEXT NOT NULL, position INTEGER NOT NULL, chunk TEXT NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (content, position)) WITHOUT ROWID;
INSERT INTO "content_parts" VALUES('277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9',0,'277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9',2175862236);
CREATE TABLE contents (content TEXT NOT NULL, size INTEGER NOT NULL, chunks INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (content)) WITHOUT ROWID;
INSERT INTO "contents" VALUES('277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9',5,1,2831651411);
CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL,
    body TEXT NOT NULL, cause INTEGER NOT NULL, correlation INTEGER NOT NULL, sent REAL NOT NULL,
    attempts INTEGER NOT NULL, reason TEXT NOT NULL, died REAL NOT NULL,
    crc INTEGER NOT NULL
);
INSERT INTO "dead_letters" VALUES(1099511627784,'Desk','apac','refuse','[["no"],{}]',0,1099511627784,1.79576922382576560969e+09,3,'ValueError: no',1.79576922393720555303e+09,3367976125);
CREATE TABLE fields (
    agent INTEGER NOT NULL, field TEXT NOT NULL, value TEXT NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (agent, field)
) WITHOUT ROWID;
INSERT INTO "fields" VALUES(1,'open','2',2823118326);
INSERT INTO "fields" VALUES(2,'open','2',3074262802);
CREATE TABLE grants (number INTEGER NOT NULL, who_kind TEXT NOT NULL, who_id TEXT NOT NULL, who_part TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, part TEXT NOT NULL, keys TEXT NOT NULL, rights INTEGER NOT NULL, inherit INTEGER NOT NULL, expires REAL, uses INTEGER, by_kind TEXT NOT NULL, by_id TEXT NOT NULL, by_part TEXT NOT NULL, made REAL NOT NULL, sequence INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (number));
INSERT INTO "grants" VALUES(1,'user','mira','','workflow','w','','*',1,0,NULL,NULL,'system','','',1.7957692241109929085e+09,16,830094448);
CREATE TABLE hook_pins (sequence INTEGER NOT NULL, position INTEGER NOT NULL, run TEXT NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (sequence, position)) WITHOUT ROWID;
CREATE TABLE hook_queue (sequence INTEGER NOT NULL, position INTEGER NOT NULL, time REAL NOT NULL, hook TEXT NOT NULL, point TEXT NOT NULL, details TEXT NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (sequence, position)) WITHOUT ROWID;
CREATE TABLE hook_runs (sequence INTEGER NOT NULL, time REAL NOT NULL, runs TEXT NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (sequence));
CREATE TABLE hook_segments (first INTEGER NOT NULL, last INTEGER NOT NULL, since REAL NOT NULL, until REAL NOT NULL, count INTEGER NOT NULL, size INTEGER NOT NULL, weight INTEGER NOT NULL, words BLOB NOT NULL, data BLOB NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (first));
CREATE TABLE isolated (kind TEXT NOT NULL, key TEXT NOT NULL, reason TEXT NOT NULL, since REAL NOT NULL, sequence INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;
CREATE TABLE journal (
    sequence INTEGER PRIMARY KEY, agent INTEGER NOT NULL, version INTEGER NOT NULL,
    previous INTEGER NOT NULL, time REAL NOT NULL, name TEXT NOT NULL, message INTEGER NOT NULL,
    cause INTEGER NOT NULL, correlation INTEGER NOT NULL, delta TEXT NOT NULL,
    crc INTEGER NOT NULL
);
INSERT INTO "journal" VALUES(1,1,1,0,1.79576922381962180135e+09,'assign',1099511627776,0,1099511627776,'{"set":{"open":1},"append":{"lines":[0,["T-1 -> mira"]]},"put":{"owners":[["T-1","mira"]]}}',2658846903);
INSERT INTO "journal" VALUES(2,2,1,0,1.79576922382127690319e+09,'assign',1099511627778,1,1099511627777,'{"set":{"open":1},"append":{"lines":[0,["T-2 -> emea"]]},"put":{"owners":[["T-2","emea"]]}}',84124435);
INSERT INTO "journal" VALUES(3,1,2,1,1.79576922382138109207e+09,'hand_over',1099511627777,0,1099511627777,'{"append":{"lines":[1,["hand over"]]},"rows":{"scoped":[["agent","Desk","emea","last","T-2",1,3,null]]}}',623629138);
INSERT INTO "journal" VALUES(4,1,3,3,1.79576922382256317137e+09,'pass_on',1099511627779,0,1099511627779,'{"append":{"lines":[2,["pass on"]]}}',2415198374);
INSERT INTO "journal" VALUES(5,2,2,2,1.79576922382281732558e+09,'assign',1099511627780,4,1099511627779,'{"set":{"open":2},"append":{"lines":[1,["T-3 -> emea"]]},"put":{"owners":[["T-3","emea"]]}}',1643172991);
INSERT INTO "journal" VALUES(6,1,4,4,1.79576922382358670233e+09,'remind',1099511627781,0,1099511627781,'{"append":{"lines":[3,["remind"]]}}',2330361750);
INSERT INTO "journal" VALUES(7,0,0,0,1.79576922382432818412e+09,'(session created)',0,0,-1099511627782,'{"rows":{"sessions":[["chat","","","active","system","","",-1099511627782,1795769223.8241832,1795769223.8241832,null,null,"keep",{},{},"",6,7]]}}',3262280447);
INSERT INTO "journal" VALUES(8,1,5,6,1.79576922382518553737e+09,'assign',1099511627783,0,-1099511627782,'{"set":{"open":2},"append":{"lines":[4,["T-4 -> noor"]]},"put":{"owners":[["T-4","noor"]]}}',1226309682);
INSERT INTO "journal" VALUES(11,2,3,5,1.79576922410760378835e+09,'(pause)',0,0,0,'{}',1058003670);
INSERT INTO "journal" VALUES(12,1,6,8,1.7957692241084549427e+09,'pass_on',1099511627785,0,1099511627785,'{"append":{"lines":[5,["pass on"]]}}',3745041031);
INSERT INTO "journal" VALUES(15,0,0,0,1.79576922410999321932e+09,'(shared)',0,0,0,'{"rows":{"artifact_names":[["global","","","raw",1,1,5,15],["global","","","",0,1,5,15],["","","","",1,1,5,15]],"artifacts":[[1,"global","","","raw",1,"277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9",5,"custom","","","","",0,1795769224.1099706,{},15]]}}',2050470463);
INSERT INTO "journal" VALUES(16,0,0,0,1.79576922411109447482e+09,'(shared)',0,0,0,'{"rows":{"grants":[[1,"user","mira","","workflow","w","","*",1,0,null,null,"system","","",1795769224.110993,16]],"progress":[["perdure.grants",1,16]]}}',2340341400);
CREATE TABLE lease (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    token INTEGER NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL, started TEXT NOT NULL,
    realm TEXT NOT NULL, incarnation TEXT NOT NULL, renewed REAL NOT NULL,
    released INTEGER NOT NULL, file TEXT NOT NULL
);
INSERT INTO "lease" VALUES(1,1,'host',1,'2026-11-27 08:47:02 UTC','realm','incarnation',1795769223.8,1,'');
CREATE TABLE lineage (artifact INTEGER NOT NULL, source INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (artifact, source)) WITHOUT ROWID;
CREATE TABLE log_items (
    agent INTEGER NOT NULL, field TEXT NOT NULL, position INTEGER NOT NULL, value TEXT NOT NULL,
    crc INTEGER NOT NULL, PRIMARY KEY (agent, field, position)
) WITHOUT ROWID;
INSERT INTO "log_items" VALUES(1,'lines',0,'"T-1 -> mira"',203562540);
INSERT INTO "log_items" VALUES(1,'lines',1,'"hand over"',1458722995);
INSERT INTO "log_items" VALUES(1,'lines',2,'"pass on"',3884078373);
INSERT INTO "log_items" VALUES(1,'lines',3,'"remind"',3613188658);
INSERT INTO "log_items" VALUES(1,'lines',4,'"T-4 -> noor"',1443914682);
INSERT INTO "log_items" VALUES(1,'lines',5,'"pass on"',1983251314);
INSERT INTO "log_items" VALUES(2,'lines',0,'"T-2 -> emea"',1911163944);
INSERT INTO "log_items" VALUES(2,'lines',1,'"T-3 -> emea"',3384398908);
CREATE TABLE mailbox (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL,
    body TEXT NOT NULL, cause INTEGER NOT NULL, correlation INTEGER NOT NULL, sent REAL NOT NULL,
    crc INTEGER NOT NULL
);
INSERT INTO "mailbox" VALUES(1099511627786,'Desk','apac','assign','[["T-5","emea"],{}]',12,1099511627785,1.79576922410838246343e+09,2606571027);
CREATE TABLE map_entries (
    agent INTEGER NOT NULL, field TEXT NOT NULL, entry NOT NULL, value TEXT NOT NULL,
    crc INTEGER NOT NULL, PRIMARY KEY (agent, field, entry)
) WITHOUT ROWID;
INSERT INTO "map_entries" VALUES(1,'owners','T-1','"mira"',2697773316);
INSERT INTO "map_entries" VALUES(1,'owners','T-4','"noor"',3845044766);
INSERT INTO "map_entries" VALUES(2,'owners','T-2','"emea"',985090709);
INSERT INTO "map_entries" VALUES(2,'owners','T-3','"emea"',2629845281);
CREATE TABLE owners (kind TEXT NOT NULL, id TEXT NOT NULL, part TEXT NOT NULL, who_kind TEXT NOT NULL, who_id TEXT NOT NULL, who_part TEXT NOT NULL, sequence INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (kind, id, part)) WITHOUT ROWID;
CREATE TABLE progress (name TEXT NOT NULL, value TEXT NOT NULL, sequence INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (name)) WITHOUT ROWID;
INSERT INTO "progress" VALUES('perdure.grants','1',16,3465734063);
CREATE TABLE quarantine (
    agent INTEGER NOT NULL, place TEXT NOT NULL, value TEXT NOT NULL, reason TEXT NOT NULL,
    time REAL NOT NULL
);
CREATE TABLE scoped (kind TEXT NOT NULL, id TEXT NOT NULL, part TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, version INTEGER NOT NULL, sequence INTEGER NOT NULL, expires REAL, crc INTEGER NOT NULL, PRIMARY KEY (kind, id, part, key)) WITHOUT ROWID;
INSERT INTO "scoped" VALUES('agent','Desk','emea','last','"T-2"',1,3,NULL,1679529230);
CREATE TABLE sessions (id TEXT NOT NULL, parent TEXT NOT NULL, name TEXT NOT NULL, status TEXT NOT NULL, who_kind TEXT NOT NULL, who_id TEXT NOT NULL, who_part TEXT NOT NULL, correlation INTEGER NOT NULL, created REAL NOT NULL, changed REAL NOT NULL, ended REAL, deadline REAL, cleanup TEXT NOT NULL, limits TEXT NOT NULL, meta TEXT NOT NULL, note TEXT NOT NULL, first INTEGER NOT NULL, sequence INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (id)) WITHOUT ROWID;
INSERT INTO "sessions" VALUES('chat','','','active','system','','',-1099511627782,1.79576922382418322559e+09,1.79576922382418322559e+09,NULL,NULL,'keep','{}','{}','',6,7,828620723);
CREATE TABLE timers (
    kind TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL, method TEXT NOT NULL,
    body TEXT NOT NULL, due REAL NOT NULL, interval REAL, catch_up TEXT NOT NULL,
    correlation INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (kind, key, name)
) WITHOUT ROWID;
INSERT INTO "timers" VALUES('Desk','emea','late','assign','[["T-late","timer"],{}]',1.79576932382329225541e+09,NULL,'one',0,2357148393);
INSERT INTO "timers" VALUES('Desk','emea','tick','tick','[[],{}]',1.79576927382355737688e+09,50.0,'one',0,1988366328);
CREATE TABLE tombstones (agent INTEGER NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, time REAL NOT NULL, erased INTEGER NOT NULL, sequence INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (agent));
CREATE INDEX scoped_expires ON scoped (expires) WHERE expires IS NOT NULL;
CREATE INDEX audit_who_kind_who_id_who_part_number ON audit (who_kind, who_id, who_part, number);
CREATE INDEX audit_kind_id_part_number ON audit (kind, id, part, number);
CREATE INDEX audit_outcome_number ON audit (outcome, number);
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
CREATE INDEX "idx_mailbox_kind_key"
    ON "mailbox" ("kind", "key");
CREATE INDEX "idx_timers_due"
    ON "timers" ("due");
CREATE VIEW "state" AS SELECT kind, key, status, version, field, value FROM agents JOIN fields USING (agent);
CREATE VIEW "history" AS SELECT journal.sequence, datetime(journal.time, 'unixepoch') AS at, coalesce(agents.kind, tombstones.kind) AS kind, coalesce(agents.key, tombstones.key) AS key, journal.version, name, delta FROM journal LEFT JOIN agents ON agents.agent = journal.agent LEFT JOIN tombstones ON tombstones.agent = journal.agent;
CREATE VIEW "logs" AS SELECT kind, key, field, position, value FROM log_items LEFT JOIN agents USING (agent);
CREATE VIEW "maps" AS SELECT kind, key, field, entry, value FROM map_entries LEFT JOIN agents USING (agent);
CREATE VIEW "mail" AS SELECT id, kind, key, datetime(sent, 'unixepoch') AS sent_at, name, body FROM mailbox;
CREATE VIEW "schedule" AS SELECT kind, key, name, method, datetime(due, 'unixepoch') AS due_at, interval, body FROM timers;
CREATE VIEW "letters" AS SELECT id, kind, key, datetime(died, 'unixepoch') AS died_at, name, body, attempts, reason FROM dead_letters;
COMMIT;
