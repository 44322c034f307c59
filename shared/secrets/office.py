"""``system.secrets``: which keys are in use, and how to leave one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from blinker import Signal

from ...lifecycle.signals import rotation_done, secret_found
from ...lifecycle.supervisor import PersistenceSupervisor
from ...persistence.errors import Denied, PerdureError, StoreUnavailable
from ...persistence.names.scope import Principal
from ...persistence.records.records import Commit
from ...persistence.secrets.keys import NoKeys
from ...persistence.secrets.vault import Vault
from ...persistence.store.store import Store
from .rotation import Rotation, Rotator, remaining, signed, unfinished

logger = logging.getLogger("perdure.lifecycle")

PATIENCE: Final = 60
"""Seconds to wait for one slice to become durable before a rotation gives up for now."""


class SecretsOffice:
    """Rotate the keys of a system's secrets. Thread-safe. Denied to agents and users."""

    def __init__(
        self,
        store: Store,
        supervisor: PersistenceSupervisor,
        vault: Vault,
        tell: Callable[[Signal, str, str], None],
        now: Callable[[], float],
        *,
        who: Callable[[], Principal],
    ) -> None:
        """Look after the secrets of ``store``; ``tell(signal, place, reason)`` fires signals.

        ``who`` tells who calls.
        """
        self._who = who
        self._store = store
        self._supervisor = supervisor
        self._sealer = None if isinstance(vault.sealer.provider, NoKeys) else vault.sealer
        self._signer = vault.signer
        self._tell = tell
        self._now = now
        if vault.watch is not None:
            vault.watch.tell = lambda place, rule: tell(secret_found, place, rule)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._rotator: Rotator | None = None
        self._last: Rotation | None = None

    def __repr__(self) -> str:
        calls = "rotate(), rotation(), remaining(), signed()"
        return f"<SecretsOffice of {self._store.location}: {calls}>"

    def rotate(self, *, wait: bool = False) -> Rotation:
        """Seal every stored secret again with the provider's current key, in the background.

        Pickled objects are signed again with the current key of theirs; nothing is unpickled. New
        secrets and objects take those keys at once. What the store holds is rewritten in small
        commits, beside the agents' own. It goes on when the store is opened again if the process
        ends. A second call while one is under way joins it. With ``wait`` it returns when it is
        over.

        A secret whose key is missing stays as it is: ``remaining()`` counts it, and ``signed()``
        an object. Running agents and timers may write once more what they read before; so open the
        system again after a rotation, and take an old key away when it is named no more then.

        Raises:
            KeyMissing: the system was opened without keys, or there is no current key.
        """
        self._refuse_others()
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._rotator = self._begun()
                self._last = None
                thread = threading.Thread(
                    target=self._run, args=(self._rotator,), name="perdure-rotation", daemon=True
                )
                thread.start()
                self._thread = thread
            thread = self._thread
        if wait:
            thread.join()
        rotation = self.rotation()
        assert rotation is not None, "it has begun"
        return rotation

    def rotation(self) -> Rotation | None:
        """Return how the rotation of this process stands or ended; None if there was none."""
        rotator, last = self._rotator, self._last
        if last is not None or rotator is None:
            return last
        return rotator.standing(done=False)

    def remaining(self) -> dict[str, int]:
        """Return how many sealed secrets are stored, by the id of their key.

        Counts what is durable: states, journal, mail, timers, dead letters, shared keys. Reads the
        whole store.
        """
        self._refuse_others()
        return remaining(self._store)

    def signed(self) -> dict[str, int]:
        """Return how many signed objects are stored, by the id of their key; as ``remaining``."""
        self._refuse_others()
        return signed(self._store)

    def resume(self) -> None:
        """Go on with a rotation that another process began; called when a system is opened."""
        if unfinished(self._store):
            try:
                self.rotate()
            except PerdureError as error:
                logger.warning("an unfinished rotation of keys cannot go on: %s", error)

    def close(self) -> None:
        """End the rotation between two slices; the next process goes on with it."""
        self._stopped.set()
        thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self, rotator: Rotator) -> None:
        error, done = "", False
        try:
            done = rotator.run(self._stopped.is_set)
            if not done:
                error = "the system was closed" if self._stopped.is_set() else "agents were faster"
        except PerdureError as failure:
            error = str(failure)
            logger.warning("the rotation to key %s stopped: %s", rotator.key_id, error)
        self._last = rotator.standing(done=done, error=error)
        if done:
            self._tell(rotation_done, "", rotator.key_id or rotator.signing_key_id)

    def _refuse_others(self) -> None:
        who = self._who()
        if who != Principal.SYSTEM:
            raise Denied(f"{who} may not see to keys; the program does, outside of turns")

    def _begun(self) -> Rotator:
        if self._sealer is None and self._signer is None:
            NoKeys().current()
        return Rotator(self._store, self._sealer, self._signer, self._write, self._now)

    def _write(self, commit: Commit) -> None:
        sequence = self._supervisor.append(commit)
        committer = self._supervisor.committer
        for _second in range(PATIENCE):
            # While the system closes nobody waits: what was appended is saved with the rest.
            if committer.flush(1.0, sequence) or self._stopped.is_set():
                return
        message = "a slice of the rotation is not durable yet; rotate() again goes on"
        raise StoreUnavailable(message, location=self._store.location)
