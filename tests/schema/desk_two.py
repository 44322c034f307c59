"""The desk as its second release declares it, and one who migrates a store and tells how far."""

from __future__ import annotations

import sys

from perdure import Agent, AgentSystem, Log, State, migration, transforms


class DeskState(State):
    schema_version = "2.0.0"
    count: int = 0
    lines: list[str] = []  # noqa: RUF012 - msgspec copies it
    owners: Log[tuple[str, int]] = Log.field()


migration(
    DeskState, "1.0.0", "2.0.0",
    transforms.rename("open", "count"),
    transforms.convert("lines", list, list),
    transforms.convert("owners", lambda owners: [*owners.items()], dict),
)  # fmt: skip


class Desk(Agent[DeskState]):
    def assign(self, ticket: str, owner: str, urgent: bool) -> int:  # noqa: FBT001 - a call's
        self.state.count += 1
        self.state.lines.append(ticket)
        self.state.owners.append((owner, int(urgent)))
        return self.state.count

    def read(self) -> tuple[int, list[str], list[tuple[str, int]]]:
        return self.state.count, self.state.lines, list(self.state.owners)


def tell(done: int, total: int, kind: str) -> None:
    """Say on stdout how far it is."""
    sys.stdout.write(f"{done} of {total} {kind}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with AgentSystem.open(sys.argv[1], agents=[Desk], sync="process") as system:
        assert system.migrate(tell=tell).complete
