"""A clerk to talk to: counts, keeps notes, passes things on."""

from perdure import Agent, Log, Map, State


class ClerkState(State):
    count: int = 0
    notes: list[str] = []  # noqa: RUF012 -- msgspec copies it for every instance
    seen: Log[str] = Log.field()
    owners: Map[str, int] = Map.field()


class Clerk(Agent[ClerkState]):
    """Count, keep notes, and pass things on."""

    label: str = "plain"

    def add(self, amount: int = 1) -> int:
        self.state.count += amount
        return self.state.count

    def note(self, text: str) -> list[str]:
        self.state.notes.append(text)
        return self.state.notes

    def file(self, item: str) -> None:
        self.state.seen.append(item)
        self.state.owners[item] = len(self.state.seen)

    def read(self) -> dict[str, object]:
        return {
            "count": self.state.count,
            "notes": self.state.notes,
            "seen": list(self.state.seen),
            "owners": dict(self.state.owners),
        }

    def spoil(self, error: str = "spoilt") -> None:
        self.state.count += 100
        self.state.notes.append("spoilt")
        self.state.seen.append("spoilt")
        self.state.owners["spoilt"] = 1
        self.system.agent(Clerk, "other").cast(Clerk.add, 1)
        self.after(1.0, "add", 1000)
        raise ValueError(error)

    def forward(self, to: str, amount: int) -> None:
        self.system.agent(Clerk, to).cast(Clerk.add, amount)

    def relay(self, path: list[str]) -> int:
        """Ask along a path of keys, each waiting for the next."""
        if not path:
            return 0
        onward = self.system.agent(type(self), path[0])
        return 1 + int(onward.proxy().relay(path[1:]).get())

    def on_receive(self, message: object) -> object:
        self.file(repr(message))
        return message
