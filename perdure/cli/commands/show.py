"""``perdure show``: one agent, with everything that is its own."""

from __future__ import annotations

from contextlib import closing
from typing import Any, Final, TypeAlias

from ...persistence.errors import CorruptState, StoreError
from ...persistence.records.checksums import intact, of_field
from ...persistence.records.records import AgentRow, Message, StoredAgent, Timer
from ...persistence.store.store import StoreReader
from ...url import open_reader
from ..terminal.exits import ExitCode, NotFound
from ..terminal.screen import Screen, print_json
from ..terminal.text import count, moment
from ..terminal.values import call, changes, parse, short
from . import agents, journal
from .census import dead_letters, everybody, newcomer
from .tallies import CallRow, calls_of, print_calls

Picture: TypeAlias = dict[str, Any]
"""An agent as ``--json`` prints it."""

MOST_NAMES: Final = 3
"""Agents named when there is none of the name that was asked for."""


def show_agent(store: str, kind: str, key: str, *, items: int, json: bool) -> ExitCode:
    """Print one agent; PROBLEMS if a part of it cannot be read."""
    with closing(open_reader(store)) as reader:
        stored = reader.load(kind, key) or StoredAgent(newcomer(kind, key), {}, {}, [])
        picture = _Painter(reader, stored, items).picture
        if not (picture["version"] or picture["mail"]["count"] or picture["dead_letters"]):
            raise NotFound(missing(reader, kind, key))
    if json:
        print_json(picture)
    else:
        _print(picture, Screen())
    return ExitCode.PROBLEMS if picture["problems"] else ExitCode.DONE


def missing(reader: StoreReader, kind: str, key: str) -> str:
    """Say that there is no such agent, and which there are."""
    close = [
        row.key for row, _ in zip(everybody(reader, kind), range(MOST_NAMES + 1), strict=False)
    ]
    names = ", ".join(repr(name) for name in close[:MOST_NAMES])
    if not close:
        return f"there is no agent of kind {kind!r}; `perdure agents` lists those there are"
    names += ", ..." if len(close) > MOST_NAMES else ""
    return f"there is no {kind}/{key}; of that kind there are {names}"


class _Painter:
    """Collect a picture; what cannot be read becomes a problem and the rest is still shown."""

    def __init__(self, reader: StoreReader, stored: StoredAgent, items: int) -> None:
        self._reader = reader
        self._agent = stored.head.agent
        self._items = items
        self._problems: list[str] = []
        kind, key = stored.head.kind, stored.head.key
        inbox = reader.inbox(kind, key)
        mail = inbox.messages
        bad = [*stored.damaged, *(row for _, row in stored.bad_timers)]
        self._problems += [f"{row.place}: {row.reason}" for row in bad]
        self._problems += [f"message {m.id}: its checksum does not match" for m in inbox.spoilt]
        self._problems += [
            f"state.{name}: its row is missing"
            for name, length in stored.shape.items()
            if length is None and name not in stored.fields
        ]
        self.picture: Picture = {
            **agents.record(stored.head),
            "fields": self._fields(stored),
            "logs": {name: self._log(name, n) for name, n in sorted(stored.log_lengths.items())},
            "maps": {name: self._map(name) for name in reader.map_fields(self._agent)},
            "calls": self._calls(stored.head),
            "mail": {"count": len(mail), "first": [self._message(m) for m in mail[:items]]},
            "timers": [self._timer(timer) for timer in sorted(stored.timers, key=_due)],
            "dead_letters": sum((d.kind, d.key) == (kind, key) for d in dead_letters(reader)),
            "commits": self._commits(kind, key),
            "problems": self._problems,
        }

    def _fields(self, stored: StoredAgent) -> dict[str, Any]:
        found = {}
        for name, (text, crc) in stored.fields.items():
            if intact(of_field, self._agent, name, text, crc):
                found[name] = self._value(text, f"state.{name}")
            else:
                found[name] = None
                self._problems.append(f"state.{name}: its checksum does not match")
        return found

    def _log(self, name: str, length: int) -> dict[str, Any]:
        start = max(0, length - self._items)
        texts: list[str] = []
        try:
            texts = self._reader.log_items(self._agent, name, start, length)
        except StoreError as error:
            self._problems.append(str(error))
        last = [
            {"position": position, "value": self._value(text, f"state.{name}[{position}]")}
            for position, text in enumerate(texts, start)
        ]
        return {"length": length, "last": last}

    def _map(self, name: str) -> dict[str, Any]:
        page: list[tuple[str | int, str]] = []
        try:
            page = self._reader.map_page(self._agent, name, None, self._items)
        except StoreError as error:
            self._problems.append(str(error))
        first = [
            {"entry": entry, "value": self._value(text, f"state.{name}[{entry!r}]")}
            for entry, text in page
        ]
        return {"count": self._reader.map_count(self._agent, name), "first": first}

    def _calls(self, head: AgentRow) -> list[CallRow]:
        try:
            return list(calls_of(self._reader, head))
        except StoreError as error:
            self._problems.append(str(error))
            return []

    def _message(self, message: Message) -> dict[str, Any]:
        body = self._value(message.body, f"message {message.id}")
        return {
            "id": message.id, "name": message.name, "body": body, "cause": message.cause,
            "correlation": message.correlation, "sent": message.sent,
        }  # fmt: skip

    def _timer(self, timer: Timer) -> dict[str, Any]:
        body = self._value(timer.body, f"timer {timer.name}")
        return {
            "name": timer.name, "method": timer.method, "body": body, "due": timer.due,
            "interval": timer.interval, "catch_up": timer.catch_up,
        }  # fmt: skip

    def _commits(self, kind: str, key: str) -> list[dict[str, Any]]:
        try:
            return [
                journal.record(entry)
                for entry in reversed(
                    self._reader.journal(kind, key, limit=self._items, newest=True)
                )
            ]
        except StoreError as error:
            self._problems.append(str(error))
            return []

    def _value(self, text: str, where: str) -> object:
        try:
            return parse(text, where)
        except CorruptState as error:
            self._problems.append(str(error))
            return None


def _due(timer: Timer) -> float:
    return timer.due


def _print(picture: Picture, screen: Screen) -> None:
    screen.say(f"{picture['kind']}/{picture['key']}", "bold")
    head = [("status", picture["status"])]
    head += [("reason", picture["reason"])] if picture["reason"] else []
    if picture["version"]:
        head += [("version", picture["version"]), ("last commit", picture["sequence"])]
    else:
        head.append(("version", "none: it has never committed"))
    if picture["dead_letters"]:
        head.append(("dead letters", f"{picture['dead_letters']:,}, see `perdure dead-letters`"))
    print_pairs(screen, head)
    print_state(picture, screen)
    print_calls(picture["calls"], screen)
    _print_mail(picture["mail"], screen)
    _print_timers(picture["timers"], screen)
    print_commits(picture["commits"], screen)
    for problem in picture["problems"]:
        Screen(error=True).say(f"problem: {problem}", "red")


def print_state(picture: Picture, screen: Screen) -> None:
    """Print fields, logs and maps."""
    if picture["fields"]:
        screen.title("fields")
        print_pairs(screen, [(name, short(value)) for name, value in picture["fields"].items()])
    for name, log in picture["logs"].items():
        screen.title(
            f"log {name}",
            count(log["length"], "item", "items") + _part(log["last"], log["length"], "last"),
        )
        print_pairs(screen, [(item["position"], short(item["value"])) for item in log["last"]])
    for name, found in picture["maps"].items():
        part = _part(found["first"], found["count"], "first")
        screen.title(f"map {name}", count(found["count"], "entry", "entries") + part)
        print_pairs(screen, [(short(e["entry"]), short(e["value"])) for e in found["first"]])


def _part(shown: list[Any], whole: int, which: str) -> str:
    return f", the {which} {len(shown)}:" if 0 < len(shown) < whole else ""


def print_pairs(screen: Screen, pairs: list[tuple[Any, Any]]) -> None:
    """Print names and values."""
    if pairs:
        screen.table([("", "name"), ("", "value")], pairs, head=False, indent=2)


def _print_mail(mail: Picture, screen: Screen) -> None:
    if mail["count"]:
        part = _part(mail["first"], mail["count"], "first")
        screen.title("mail", f"{mail['count']:,} waiting{part}")
        rows = [
            (m["id"], moment(m["sent"]), m["name"] or "on_receive", call(m["name"], m["body"]))
            for m in mail["first"]
        ]
        screen.table(
            [("ID", "number"), ("SENT (UTC)", "word"), ("FOR", "name"), ("ARGUMENTS", "value")],
            rows,
        )


def _print_timers(timers: list[Picture], screen: Screen) -> None:
    if timers:
        screen.title("timers", len(timers))
        rows = [
            (
                t["name"],
                t["method"],
                moment(t["due"]),
                t["interval"] or "once",
                call(t["method"], t["body"]),
            )
            for t in timers
        ]
        screen.table(
            [
                ("NAME", "name"), ("CALLS", "name"), ("DUE (UTC)", "word"),
                ("EVERY (S)", "number"), ("ARGUMENTS", "value"),
            ],
            rows,
        )  # fmt: skip


def print_commits(commits: list[Picture], screen: Screen) -> None:
    """Print commits, the newest last."""
    if commits:
        screen.title("last commits")
        screen.table(
            [
                ("SEQUENCE", "number"), ("TIME (UTC)", "word"), ("HANDLED", "name"),
                ("CHANGES", "value"),
            ],
            [
                (c["sequence"], moment(c["time"]), c["name"] or "on_receive",
                 changes(c["delta"]))
                for c in commits
            ],
        )  # fmt: skip
