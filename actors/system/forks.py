"""Earlier states of agents: looked at, and given to new agents."""

from __future__ import annotations

from collections.abc import Callable

from ...persistence.errors import ConfigurationError, StateUnknown, UnknownAgent
from ...persistence.records.kinds import former_kinds
from ...persistence.schema.aliases import RENAME
from ...persistence.schema.rewrite import MIGRATE
from ...persistence.secrets.moving import moved
from ...persistence.secrets.place import in_state
from ...persistence.secrets.sealer import Sealer
from ...persistence.state.state import State
from ...persistence.state.tracker import StateTracker
from ...persistence.store.store import StoreReader
from ...persistence.upkeep.states import CopyReader, StateCopy, States
from ..agent.blueprint import Catalogue


class EarlierStates:
    """Read what agents were, from what is durable."""

    def __init__(
        self, store: StoreReader, catalogue: Catalogue, settle: Callable[[], object]
    ) -> None:
        """Read ``store``, in which everything that was taken is when ``settle`` returns."""
        self._store = store
        self._catalogue = catalogue
        self._settle = settle

    def copy(self, kind: str, key: str, version: int | None) -> StateCopy:
        """Return an agent's state at a version, or the latest; StateUnknown, UnknownAgent.

        KeyMissing if its kind has had another name since, and a secret in it cannot be sealed anew.
        """
        self._settle()
        stored = self._store.load(kind, key)
        if stored is None:
            raise UnknownAgent(f"there is no agent {kind}/{key}; `perdure agents` lists them")
        latest = stored.head.version
        wanted = latest if version is None else version
        if isinstance(wanted, bool) or wanted not in range(latest + 1):
            message = f"version {version!r:.40}: {kind}/{key} has had the versions 0 to {latest}"
            raise ConfigurationError(message)
        copy, renamed = States(self._store, stored).at(wanted), False
        for entry in self._store.journal(kind, key, newest=True, limit=max(1, latest - wanted)):
            if entry.name == MIGRATE and entry.version > wanted:
                message = (
                    f"{kind}/{key} was migrated in version {entry.version}: what it was in version"
                    f" {wanted} is no state of today's class; `perdure show --at` shows it"
                )
                raise StateUnknown(message)
            renamed |= entry.name == RENAME and entry.version > wanted
        for former in former_kinds(self._store.row, kind) if renamed else ():
            move(copy, self._catalogue.vault.sealer, (former, key), (kind, key))
        return copy

    def state(self, kind: str, key: str, version: int) -> State:
        """Return such a state as its class makes it; it belongs to nobody, and saves nothing."""
        copy, blueprint = self.copy(kind, key, version), self._catalogue.of_kind(kind)
        tracker = StateTracker(
            blueprint.layout, 0, copy.fields, copy.whole_shape(), CopyReader(copy),
            owner=(kind, key), largest=2**62, watch=None,
        )  # fmt: skip
        return tracker.state


def move(copy: StateCopy, sealer: Sealer, agent: tuple[str, str], target: tuple[str, str]) -> None:
    """Seal the secrets in a copied state for the agent that it goes to: KeyMissing."""

    def text(found: str, name: str, *way: str) -> str:
        source, to = (*in_state(*agent, name), *way), (*in_state(*target, name), *way)
        return moved(found, sealer, source, to, f"state.{name} of {'/'.join(agent)}")

    copy.fields = {name: text(found, name) for name, found in copy.fields.items()}
    for name, log in copy.logs.items():
        log[:] = [text(item, name, str(position)) for position, item in enumerate(log)]
    for name, entries in copy.maps.items():
        entries.update({entry: text(found, name, str(entry)) for entry, found in entries.items()})
