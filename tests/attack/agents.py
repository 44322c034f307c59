"""Agents whose stored state shows whether anything was lost, doubled, torn or reordered."""

from typing import ClassVar

from perdure import Agent, AutoSave, Backoff, Durability, Log, Map, RestartPolicy, State

OPENING = 1000
"""What an account begins with."""
RELAYS = 4
"""Length of the chain of relays."""
BEAT = 0.02
"""Seconds between two beats of a clock agent."""


class AccountState(State):
    """Money, and every transfer by its number."""

    balance: int = OPENING
    came: int = 0
    went: int = 0
    outbox: Log[tuple[str, str, int]] = Log.field()
    inbox: Log[tuple[str, str, int]] = Log.field()


class Account(Agent[AccountState]):
    """Sends money in one turn and receives it in another."""

    def transfer(self, number: str, to: str, amount: int) -> int:
        """Send money; return how many transfers were sent."""
        self.state.balance -= amount
        self.state.went += amount
        self.state.outbox.append((number, to, amount))
        self.system.agent(Account, to).cast(Account.deposit, number, self.key, amount)
        return len(self.state.outbox)

    def deposit(self, number: str, sender: str, amount: int) -> None:
        """Receive money."""
        self.state.balance += amount
        self.state.came += amount
        self.state.inbox.append((number, sender, amount))


class RelayState(State):
    """The numbers that came, in the order in which they came."""

    last: int = 0
    seen: Log[int] = Log.field()


class Relay(Agent[RelayState]):
    """Passes consecutive numbers to the next relay, the last one to the digest."""

    def push(self) -> int:
        """Begin the way of the next number, and return it."""
        number = self.state.last + 1
        self.take(number)
        return number

    def take(self, number: int) -> None:
        """Note a number and pass it on."""
        self.state.last = number
        self.state.seen.append(number)
        following = int(self.key) + 1
        if following < RELAYS:
            self.system.agent(Relay, str(following)).cast(Relay.take, number)
        else:
            self.system.agent(Digest, "all").cast(Digest.note, number)


class DigestState(State):
    """Two counts that must always agree, and the numbers noted."""

    bumps: int = 0
    mirrored: int = 0
    noted: Log[int] = Log.field()


class Digest(Agent[DigestState]):
    """Saved now and then only: what it was asked may be lost, what it was sent comes again."""

    durability = Durability.SNAPSHOT
    autosave = AutoSave(every=0.01)

    def bump(self) -> int:
        """Count up in two places."""
        self.state.bumps += 1
        self.state.mirrored -= 1
        return self.state.bumps

    def note(self, number: int) -> None:
        """Note a number; every tenth is passed on, which makes the turn durable."""
        self.state.noted.append(number)
        if number % 10 == 0:
            self.system.agent(Tally, "tens").cast(Tally.add, number)


class SpoiltError(Exception):
    """Raised on purpose."""


class TallyState(State):
    """One sum kept in four ways."""

    plus: int = 0
    minus: int = 0
    parts: Map[str, int] = Map.field()
    notes: Log[int] = Log.field()


class Tally(Agent[TallyState]):
    """Changes fields of every kind in one turn."""

    restarts: ClassVar[RestartPolicy] = RestartPolicy(
        attempts=2, restarts=100_000, backoff=Backoff(first=0.001, longest=0.002)
    )

    def add(self, number: int) -> int:
        """Add a number; return how many were added."""
        part = str(number % 5)
        self.state.plus += number
        self.state.parts[part] = self.state.parts.get(part, 0) + number
        self.state.minus -= number
        self.state.notes.append(number)
        return len(self.state.notes)

    def spoil(self, number: int) -> None:
        """Add a number and send a message, then fail: nothing of it may be kept."""
        self.add(number)
        self.system.agent(Tally, "never").cast(Tally.add, number)
        raise SpoiltError(str(number))

    def poison(self, number: int) -> None:
        """Send oneself a message that always fails."""
        self.actor_ref.cast(Tally.spoil, number)


class WitnessState(State):
    """The highest count heard of each tally."""

    heard: Map[str, int] = Map.field()


class Witness(Agent[WitnessState]):
    """Asks in the middle of a turn, and keeps the answer: an effect whose cause is elsewhere."""

    def look(self, tally: str, number: int) -> int:
        """Have a tally add a number, and keep the count it answers."""
        count = self.system.agent(Tally, tally).call(Tally.add, number).get()
        self.state.heard[tally] = max(count, self.state.heard.get(tally, 0))
        return int(count)


class ClockState(State):
    """Reminders asked for and given, and beats counted."""

    beats: int = 0
    asked: Log[int] = Log.field()
    rung: Log[int] = Log.field()


class Clock(Agent[ClockState]):
    """Lives by timers."""

    def on_start(self) -> None:
        """Beat for ever; every missed beat is made up for."""
        self.every(BEAT, Clock.beat, catch_up="all")

    def beat(self) -> None:
        """Count a beat."""
        self.state.beats += 1

    def remind(self, number: int, seconds: float) -> int:
        """Set a timer of its own for a number."""
        self.state.asked.append(number)
        self.after(seconds, Clock.ring, number, name=f"reminder {number}")
        return number

    def ring(self, number: int) -> None:
        """Take note that a reminder was given."""
        self.state.rung.append(number)

    def rested(self) -> bool:
        """Tell whether every reminder was given."""
        return len(self.state.asked) == len(self.state.rung)


AGENTS = (Account, Relay, Digest, Tally, Witness, Clock)
