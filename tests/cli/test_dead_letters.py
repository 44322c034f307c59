"""`perdure dead-letters`: what is put back is handled, what is discarded is gone, all or none."""

from pathlib import Path

import pytest

from perdure import AgentSystem
from perdure.url import open_reader
from tests.cli.commands import Running, invoke, records
from tests.cli.programs import Desk, Gatekeeper


def mail(path: Path, kind: str, key: str) -> list[tuple[str, str]]:
    """Return an agent's mail, as (method, body)."""
    reader = open_reader(path)
    try:
        return [(message.name, message.body) for message in reader.mail(kind, key)]
    finally:
        reader.close()


def test_letters_are_listed_and_shown(desk_store: Path) -> None:
    """The list is short, one letter is shown with everything it carries."""
    first, second = records("dead-letters", "--store", desk_store)
    assert (first["body"], second["body"]) == ([["first"], {}], [[], {"why": "second"}])
    assert records("dead-letters", "list", "--limit", 1, "--store", desk_store) == [first]
    assert records("dead-letters", "show", second["id"], "--store", desk_store) == [second]
    table = invoke("dead-letters", "--store", desk_store, "--limit", 1)
    assert "Desk/emea" in table.stdout
    assert "ValueError: first" in table.stdout
    assert table.stderr == f"there are more; --after {first['id']} shows them\n"
    behind = records("dead-letters", "--after", first["id"], "--store", desk_store)
    assert behind == [second]
    assert records("dead-letters", "--newest", "--store", desk_store) == [second, first]
    page = invoke("dead-letters", "show", second["id"], "--store", desk_store).stdout
    assert 'why="second"' in page
    assert "ValueError: second" in page


def test_a_requeued_letter_is_mail_and_is_handled(own_store: Path) -> None:
    """Put back, a letter is no longer dead, waits in the mail, and is handled at the next run."""
    first, second = records("dead-letters", "--store", own_store)
    (moved,) = records("dead-letters", "requeue", second["id"], "--store", own_store)
    assert (moved["action"], moved["letter"]) == ("requeued", second)
    assert records("dead-letters", "--store", own_store) == [first]
    assert mail(own_store, "Desk", "emea") == [("refuse", '[[],{"why":"second"}]')]
    with AgentSystem.open(own_store, agents=[Desk, Gatekeeper], sync="process") as system:
        assert system.idle(20)
    # It fails again, as it must, and is dead again: handled once.
    assert mail(own_store, "Desk", "emea") == []
    _, again = records("dead-letters", "--store", own_store)
    assert (again["body"], again["correlation"]) == (second["body"], second["correlation"])
    assert again["died"] > second["died"]


def test_several_letters_keep_their_order(own_store: Path) -> None:
    """Letters put back together are handled in the order they were asked for, each once."""
    first, second = [letter["id"] for letter in records("dead-letters", "--store", own_store)]
    result = invoke("dead-letters", "requeue", second, first, first, "--store", own_store)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 2
    assert [name for name, _ in mail(own_store, "Desk", "emea")] == ["refuse", "refuse"]
    assert "second" in mail(own_store, "Desk", "emea")[0][1]


def test_a_discarded_letter_is_gone_and_was_printed(own_store: Path) -> None:
    """Discarding removes the letter and prints all of it, the last chance to keep it."""
    first, second = records("dead-letters", "--store", own_store)
    (moved,) = records("dead-letters", "discard", first["id"], "--store", own_store)
    assert moved == {"action": "discarded", "message": None, "letter": first}
    assert records("dead-letters", "--store", own_store) == [second]
    assert mail(own_store, "Desk", "emea") == []
    result = invoke("dead-letters", "discard", second["id"], "--store", own_store)
    assert result.stdout == f"discarded {second['id']}: refuse of Desk/emea\n"
    assert invoke("dead-letters", "--store", own_store).stderr == "no dead letters\n"


@pytest.mark.parametrize("action", ["requeue", "discard"])
def test_one_that_is_missing_stops_all(own_store: Path, action: str) -> None:
    """When one of the letters is not there, none is moved."""
    letters = records("dead-letters", "--store", own_store)
    result = invoke("dead-letters", action, letters[0]["id"], 7, "--store", own_store)
    assert result.exit_code == 5
    assert "there is no dead letter 7" in result.stderr
    assert records("dead-letters", "--store", own_store) == letters
    assert mail(own_store, "Desk", "emea") == []


def test_a_live_owner_moves_what_it_can(own_store: Path) -> None:
    """While a process owns the store, reading works, and that process moves letters."""
    letters = records("dead-letters", "--store", own_store)
    with Running("tests.cli.programs:agents", "--store", own_store) as child:
        child.until("running")
        assert records("dead-letters", "--store", own_store) == letters
        assert len(records("agents", "--store", own_store)) == 3
        (report,) = records("doctor", "--store", own_store)
        assert report["lease"]["alive"]
        (moved,) = records("dead-letters", "discard", letters[1]["id"], "--store", own_store)
        assert (moved["action"], moved["letter"]["id"]) == ("discarded", letters[1]["id"])
        assert records("dead-letters", "--store", own_store) == letters[:1]
    # Killed, it owns nothing any more.
    done = invoke("dead-letters", "requeue", letters[0]["id"], "--store", own_store)
    assert done.exit_code == 0, done.output
