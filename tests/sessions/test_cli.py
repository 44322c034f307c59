"""`perdure sessions`: what is stored is shown, moved and put away; nothing else happens."""

import json
from pathlib import Path

import pytest

from perdure import Principal
from perdure.shared.sessions.records import SessionLimits
from tests.cli.commands import invoke, records
from tests.sessions.agents import Desk, opened


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Give a store with three sessions."""
    path = tmp_path / "a.db"
    with opened(path) as system:
        chat = system.sessions.create(
            "chat-7", name="Chat 7", limits=SessionLimits(artifacts=3), meta={"topic": "wings"}
        )
        chat.agent(Desk, "emea").call(Desk.note, "hello").get()
        system.sessions.create("inner", parent=chat, owner=Principal.user("mira")).suspend("later")
        system.sessions.create("old", name="red").fail("no\nway \x1b[31m")
    return path


def test_sessions_are_listed(store: Path) -> None:
    """The list has filters, an order and pages."""
    assert [info["id"] for info in records("sessions", "--store", store)] == [
        "old", "inner", "chat-7",
    ]  # fmt: skip
    cases = {
        ("--status", "suspended"): ["inner"],
        ("--owner", "user:mira"): ["inner"],
        ("--parent", "chat-7"): ["inner"],
        ("--after", "inner"): ["chat-7"],
        ("--sort", "name", "--limit", "1"): ["old"],
    }
    for options, expected in cases.items():
        found = records("sessions", "list", *options, "--store", store)
        assert [info["id"] for info in found] == expected, options
    table = invoke("sessions", "--limit", 1, "--store", store)
    assert "\x1b" not in table.stdout
    assert "there are more; --after" in table.stderr
    assert invoke("sessions", "--status", "archived", "--store", store).stderr == (
        "no such sessions\n"
    )


def test_one_is_shown_with_its_history(store: Path) -> None:
    """A session is shown with its limits and counts, and its commits in order and in pages."""
    (info,) = records("sessions", "show", "chat-7", "--store", store)
    assert (info["keys"], info["artifacts"], info["meta"]) == (1, 0, {"topic": "wings"})
    assert info["limits"] == {"duration": None, "artifacts": 3, "bytes": None, "keep": None}
    page = invoke("sessions", "show", "chat-7", "--store", store).stdout
    assert '{"artifacts":3}' in page
    history = records("sessions", "history", "chat-7", "--store", store)
    assert [entry["name"] for entry in history] == ["(session created)", "note"]
    rest = records(
        "sessions", "history", "chat-7", "--after", history[0]["sequence"], "--store", store
    )
    assert rest == history[1:]
    shown = invoke("sessions", "history", "chat-7", "--limit", 1, "--store", store)
    assert f"--after {history[0]['sequence']} shows them" in shown.stderr


def test_a_session_moves_from_store_to_store(store: Path, tmp_path: Path) -> None:
    """What was exported is imported under any free id, and an ended one is archived."""
    file = tmp_path / "chat.perdure"
    (report,) = records("sessions", "export", "chat-7", file, "--store", store)
    assert (report["keys"], report["bytes"]) == (1, file.stat().st_size)
    assert (
        "exported chat-7 to"
        in invoke("sessions", "export", "chat-7", file, "--store", store).stdout
    )
    taken = invoke("sessions", "import", file, "--store", store)
    assert (taken.exit_code, taken.stderr) == (
        1, "perdure: there is a session chat-7 already; give another id\n",
    )  # fmt: skip
    (copy,) = records("sessions", "import", file, "--as", "copy", "--store", store)
    assert (copy["id"], copy["name"]) == ("copy", "Chat 7")
    assert invoke("sessions", "archive", "copy", "--store", store).exit_code == 1
    (old,) = records("sessions", "archive", "old", "--store", store)
    assert old["status"] == "archived"
    with opened(store) as system:
        copied = system.sessions.get("copy")
        assert copied.agent(Desk, "emea").call(Desk.note, "again").get() == "copy"
        assert system.state.get(copied.scope, "words") == ["hello", "again"]


def test_a_damaged_file_is_one_sentence(store: Path, tmp_path: Path) -> None:
    """A file that is refused is named with its line, and exit code 1."""
    file = tmp_path / "chat.perdure"
    file.write_text(json.dumps({"t": "begin"}) + "\n")
    result = invoke("sessions", "import", file, "--store", store)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"perdure: {file}, line 1: ")
    assert "nothing was imported" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("list", "chat-7"), 2, "takes no ID"),
        (("show",), 2, "needs the ID of a session"),
        (("import",), 2, "needs a FILE"),
        (("export", "chat-7"), 2, "needs the ID of a session and a FILE"),
        (("show", "chat-7", "x"), 2, "takes one argument less"),
        (("show", "nobody"), 5, "there is no session nobody"),
        (("archive", "nobody"), 5, "there is no session nobody"),
        (("history", "chat-7", "--after", "x"), 2, "takes a number that a page has named"),
        (("list", "--status", "asleep"), 2, "is no status of a session; use active"),
        (("list", "--sort", "size"), 2, "sort='size' is unknown"),
        (("list", "--owner", "root"), 2, "is no principal"),
        (("list", "--after", "nobody"), 5, "there is no session nobody"),
        (("export", "chat-7", "/nowhere/x"), 2, "cannot be written: No such file"),
        (("import", "/"), 2, "cannot be read: Is a directory"),
        (("import", "/nowhere/x"), 2, "cannot be read: No such file"),
    ],
)
def test_mistakes_are_one_sentence(
    store: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    """Each mistake has its exit code and a sentence that says what to do."""
    result = invoke("sessions", *arguments, "--store", store)
    assert result.exit_code == code, result.output
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_owner_of_a_store_is_named(store: Path) -> None:
    """Reading goes on beside a live owner; writing is refused with its name."""
    with opened(store):
        assert len(records("sessions", "--store", store)) == 3
        result = invoke("sessions", "archive", "old", "--store", store)
        assert result.exit_code == 4
