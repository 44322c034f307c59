"""Agents that keep a secret in every place there is."""

import msgspec

from perdure import Agent, Log, Map, Secret, State


class Account(msgspec.Struct):
    name: str
    password: Secret[str]


class Vaulted(State):
    plain: Secret[str] | None = None
    several: list[Secret[str]] = msgspec.field(default_factory=list)
    named: dict[str, Secret[str]] = msgspec.field(default_factory=dict)
    account: Account | None = None
    pair: tuple[Secret[str], int] | None = None
    items: Log[Secret[str]] = Log.field()
    accounts: Map[str, Account] = Map.field()
    turns: int = 0


class Keeper(Agent[Vaulted]):
    """Takes a secret over a message and puts it everywhere."""

    def keep(self, word: Secret[str]) -> str:
        state = self.state
        state.plain = word
        state.several = [word, Secret(word.reveal())]
        state.named["a"] = word
        state.account = Account("mira", word)
        state.pair = (word, 1)
        state.items.append(word)
        state.accounts["m"] = Account("mira", Secret(word.reveal()))
        self.after(3600.0, Keeper.keep, word)
        return f"{word} {word!r} {state.account}"

    def words(self) -> set[str]:
        state = self.state
        assert state.plain is not None
        assert state.account is not None
        assert state.pair is not None
        return {
            state.plain.reveal(),
            *(each.reveal() for each in state.several),
            state.named["a"].reveal(),
            state.account.password.reveal(),
            state.pair[0].reveal(),
            *(each.reveal() for each in state.items),
            state.accounts["m"].password.reveal(),
        }

    def refuse(self, word: Secret[str]) -> None:
        message = f"{word} is not welcome"
        raise ValueError(message)

    def misplace(self, word: Secret[str]) -> None:
        self.state.turns = word  # type: ignore[assignment]

    def touch(self) -> int:
        self.state.turns += 1
        return self.state.turns
