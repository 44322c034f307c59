"""Values that hold no secret, although some look like one."""

from tests.secrets.corpus import Case, made

SENTENCES = (
    "The flight to Denver left the gate nine minutes late.",
    "Please reset your password before Friday.",
    "Passwords must have twelve characters and are changed every 90 days.",
    "The secretary of the committee has the key to the meeting room.",
    "Our token economy rewards authors by the word.",
    "Press any key on the keyboard to go on.",
    "He was the bearer of bad news, again and again and again.",
    "See https://example.com/docs/authentication?page=2#tokens for more.",
    "Write to mira.okoye@example.com or noor@example.org.",
    "git clone git@github.com:team/application.git",
    "ssh://git@example.com:22/team/application.git",
    "Die Kundin hat ihr Passwort vergessen und ruft zurück.",
    "パスワードを忘れた場合は、ここをクリックしてください。",
    "The skeleton key opens 20 doors; task-force-seventeen-members-agreed-on-it.",
    "sk-fading-circle sk-cube-grid sk-folding-cube sk-three-bounce",
    "pip install scikit-learn npm_config_registry_defaults_to_the_public_one",
    "export PATH=$HOME/.local/bin:$PATH:/usr/local/sbin:/opt/tools/bin",
    "SELECT count(*) FROM tokens WHERE expires_at < now() AND user_id = 17",
    "BEGIN; UPDATE accounts SET balance = balance - 100; COMMIT; -- ordinary",
    "-----BEGIN CERTIFICATE----- is not what you think it is",
    "Set postgresql://user:<password>@host/db and go on.",
    "Set postgresql://user:${PASSWORD}@host/db and go on.",
    "Set postgresql://user:****@host/db and go on.",
    "http://localhost:8080/health and http://[::1]:9000/metrics@now",
    "Basic understanding of authorization is required for this role.",
    "Bearer tokens are explained in RFC 6750, which everybody should read.",
    "xoxo, see you at the airport in Newark at seven",
    "AKIA is the prefix, followed by sixteen characters",
    "ghp_ is how they begin; glpat- is the other one",
    "eyJ is what base64 makes of an opening brace and a quote",
)
"""What people and programs write."""

SHAPES = (
    "{H:8}-{H:4}-4{H:3}-a{H:3}-{H:12}",
    "{H:40}",
    "{H:64}",
    "sha256:{H:64}",
    'W/"{H:16}"',
    "data:image/png;base64,iVBORw0KGgo{b:120}==",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{b:43} mira@laptop",
    "{D:16}",
    "DE{D:20}",
    "978-{D:10}",
    "T-{D:6} -> mira",
    "order-{D:8}-{L:12}",
    "s3://bucket-{D:6}/exports/2013/01/{H:32}.parquet",
    "/var/lib/app/{H:32}/state.db",
    "https://example.com/a/{H:24}/b?cursor={A:24}&limit=50",
    "https://cdn.example.com/{A:32}/{A:12}.js",
    "arn:aws:iam::{D:12}:role/reader-{L:10}",
    "registry.example.com/team/app@sha256:{H:64}",
    "{L:24}_{L:18}_{L:12}",
    "{L:9}-{L:11}-{L:8}-{L:14}-{L:6}",
)
"""Long runs that are names, sums or pictures."""

NAMES: tuple[tuple[str, object], ...] = (
    ("author", "mira okoye-lindqvist"), ("max_tokens", 4096), ("tokens_used", 812),
    ("token_count", "1,204,113 in all"), ("secretary", "noor van der berg"),
    ("keyboard", "us-international"), ("primary_key", "customer_number"), ("key", "emea-north-2"),
    ("monkey", "capuchin in the zoo"), ("password_hint", "the name of your dog"),
    ("password_policy", "twelve characters"), ("password_changed_at", "2013-01-01T05:15:00Z"),
    ("secret_santa", "mira draws noor"), ("api_key_id", "key-number-17-of-20"),
    ("token_type", "urlsafe-bearer-kind"), ("next_token", "{A:32}"), ("page_token", "{A:24}"),
    ("token", "flight"), ("token", "two words and more"), ("api_key", None), ("password", ""),
    ("password", "***"), ("password", "${DB_PASSWORD}"), ("secret", "<your secret here>"),
    ("api_key", "{{ vault.api_key }}"), ("password", "required"), ("credentials", []),
    ("secret", True), ("password", 12345678), ("compass", "north by northwest"),
    ("tokenizer", "byte-pair-encoding"), ("public_key", "{b:44}"), ("key_name", "front door"),
    ("passenger", "mira okoye-lindqvist"), ("bypass", "allowed for staff"),
    ("access", "granted to everybody"), ("private", "yes, invited guests only"),
    ("pass_count", "two hundred of them"), ("secret", "env://DB_SECRET_NAME"),
    ("eos_token", "<|endoftext|>"),
)  # fmt: skip
"""Names close to those of secrets, and values that are none."""

AMBIGUOUS = (
    ("password", "ask mira in room four"),
    ("token", "gate-change-2013-01-01"),
    ("secret", "the cake is in the fridge"),
    ("api_key", "see the page about keys"),
    ("credentials", "passport and boarding pass"),
)
"""Texts that tell about a secret under the name of one: the detector takes them for it."""

ROUTES = (
    ("UA", "EWR", "IAH"), ("AA", "JFK", "MIA"), ("B6", "JFK", "BQN"), ("DL", "LGA", "ATL"),
    ("EV", "EWR", "IAD"), ("MQ", "LGA", "ORD"),
)  # fmt: skip
NOTES = ("gate changed twice", "crew on time; no further entries", "")

FLIGHTS = tuple(
    {
        "carrier": carrier, "flight": 1000 + day, "origin": origin, "dest": dest,
        "sched": f"2013-01-{day:02}T{hour:02}:15:00-05:00", "delay": day - 4,
        "tail": f"N{day:03}{carrier}", "note": note,
    }
    for carrier, origin, dest in ROUTES
    for day, hour in ((1, 5), (2, 6), (3, 7), (4, 18), (5, 23), (6, 12))
    for note in NOTES
)  # fmt: skip
"""What agents really store."""


def negatives() -> list[Case]:
    """Return every case."""
    cases = [made(sentence) for sentence in SENTENCES]
    cases += [made({"text": sentence, "by": "mira"}) for sentence in SENTENCES]
    cases += [made([sentence, sentence.upper()]) for sentence in SENTENCES]
    cases += [made(shape) for shape in SHAPES]
    cases += [made(f"saw {shape} at {{D:2}}:{{D:2}}") for shape in SHAPES]
    cases += [made({"id": shape, "seen": 3}) for shape in SHAPES]
    cases += [made(shape, name) for shape in SHAPES for name in ("digest", "cursor", "path")]
    cases += [made({name: value, "other": "a text beside it"}) for name, value in NAMES]
    cases += [made(value, name) for name, value in NAMES]
    cases += [made(value, name) for name, value in AMBIGUOUS]
    return cases + [made(flight) for flight in FLIGHTS]
