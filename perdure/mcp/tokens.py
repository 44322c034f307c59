"""The token that clients of the HTTP server show: read from a file, made where there is none."""

from __future__ import annotations

import hmac
import os
import re
import secrets
import stat
from pathlib import Path
from typing import Any, Final

from ..persistence.errors import ConfigurationError

_FORM: Final = re.compile(r"[A-Za-z0-9._~+/-]{16,512}=*")
"""What may stand in an Authorization header, and is too long to be guessed."""


def token_in(path: Path) -> str:
    """Return the token in a file, which the owner alone may read; a new one where there is none.

    Raises:
        ConfigurationError: others may read the file, or own it, or no token is in it.
    """
    try:
        return _made(path)
    except FileExistsError:
        pass
    except OSError as error:
        message = f"--token-file {path}: it cannot be written ({error.strerror})"
        raise ConfigurationError(message) from None
    try:
        with path.open() as file:
            # Of the open file, not of the path: nobody can exchange it in between.
            facts, text = os.fstat(file.fileno()), file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--token-file {path}: it cannot be read ({error})") from None
    if stat.S_IMODE(facts.st_mode) & 0o077:
        message = f"--token-file {path}: others may read it; say chmod 600 {path}"
        raise ConfigurationError(message)
    if facts.st_uid != os.geteuid():  # root reads it all the same
        message = f"--token-file {path}: it is another user's, who knows the token; name your own"
        raise ConfigurationError(message)
    if _FORM.fullmatch(text) is None:
        message = (
            f"--token-file {path}: a token is 16 to 512 letters, digits and -._~+/ in one line;"
            " remove the file to have one made"
        )
        raise ConfigurationError(message)
    return text


def _made(path: Path) -> str:
    token = secrets.token_urlsafe(32)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(token + "\n")
    return token


class TokenGate:
    """Let only those through to an ASGI application who show the token."""

    def __init__(self, app: Any, token: str) -> None:  # noqa: ANN401 - as ASGI has it
        """Stand before ``app``."""
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - same
        """Answer 401 to a request without the token; hand all else on."""
        if scope["type"] == "lifespan" or self._fits(scope["headers"]):
            await self._app(scope, receive, send)
            return
        headers = [(b"www-authenticate", b"Bearer"), (b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": b"show the token: Authorization: Bearer"})

    def _fits(self, headers: list[tuple[bytes, bytes]]) -> bool:
        match [value.split() for name, value in headers if name == b"authorization"]:
            case [[scheme, token]]:
                return scheme.lower() == b"bearer" and hmac.compare_digest(token, self._token)
        return False
