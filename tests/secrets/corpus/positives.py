"""Values that hold a secret."""

from tests.secrets.corpus import Case, made

TOKENS = (
    "AKIA{U:16}",
    "ASIA{U:16}",
    "ghp_{A:36}",
    "gho_{A:36}",
    "ghs_{A:36}",
    "github_pat_{A:22}_{A:59}",
    "glpat-{B:20}",
    "xoxb-{D:12}-{D:13}-{A:24}",
    "xoxp-{D:12}-{D:12}-{H:32}",
    "https://hooks.slack.com/services/T{U:8}/B{U:8}/{A:24}",
    "sk_live_{A:24}",
    "rk_test_{A:24}",
    "sk-{A:48}",
    "sk-proj-{A:24}{B:40}",
    "sk-ant-api03-{B:80}",
    "AIza{B:35}",
    "ya29.{B:60}",
    "GOCSPX-{B:28}",
    "SG.{B:22}.{B:43}",
    "npm_{A:36}",
    "pypi-AgEIcHlwaS5vcmc{B:80}",
    "hf_{A:34}",
    "eyJ{B:33}.eyJ{B:60}.{B:43}",
    "-----BEGIN RSA PRIVATE KEY-----\n{b:64}\n{b:64}\n-----END RSA PRIVATE KEY-----\n",
    "-----BEGIN PRIVATE KEY-----\n{b:64}\n{b:30}==\n-----END PRIVATE KEY-----",
    "-----BEGIN OPENSSH PRIVATE KEY-----\n{b:70}\n{b:70}\n-----END OPENSSH PRIVATE KEY-----",
    "postgresql://app:{A:14}@db.example.com:5432/app",
    "redis://:{A:20}@cache:6379/0",
    "https://deploy:{A:10}@git.example.com/team/app.git",
)
"""Shapes that services hand out."""

CONTEXTS = (
    "%s",
    "Please use %s for the tests.",
    "curl -H 'X-Auth: %s' https://api.example.com/v1",
    "line one\n%s\nline three",
)

NAMED = (
    "password", "db_password", "adminPassword", "PASSWORD", "passwd", "user.pwd", "passphrase",
    "secret", "clientSecret", "client-secret", "SECRET_KEY", "api_key", "apiKey", "x-api-key",
    "STRIPE_API_KEY", "privateKey", "aws_secret_access_key", "signing_key", "auth_token",
    "accessToken", "refresh_token", "bearer", "credentials", "slack_token", "token",
)  # fmt: skip
"""Names of places."""

HIDDEN = (
    "the password is {L:6}{D:2}, change it soon",
    "login mira / {A:12}",
    "{A:40}",
    "{b:40}",
    "PASSWORD={A:16} ./run.sh",
    "mysql -u root -p{A:12}",
    "Authorization: Token {H:40}",
    "pin {D:6}",
)
"""Secrets without a shape and without a name: nothing but a reader finds them."""


def positives() -> list[Case]:
    """Return every case."""
    cases = [made(context % token) for token in TOKENS for context in CONTEXTS]
    for name in NAMED:
        cases.append(made("{A:16}", name))
        cases.append(made({"service": "mail", name: "{A:8}-{A:8}"}))
        cases.append(made([{"config": {name: "{A:20}", "retries": 3}}]))
    cases += [
        made("Authorization: Bearer {A:20}{D:2}{A:20}"),
        made("Authorization: Basic {b:28}=="),
        made({"headers": {"Authorization": "Bearer {A:40}{D:1}"}}),
        made({"password": ["{A:10}", "{A:12}"]}),
        made({"credentials": {"user": "mira.okoye", "code": "{A:14}"}}),
        made("correct horse battery", "passphrase"),
    ]
    return cases + [made(hidden) for hidden in HIDDEN]
