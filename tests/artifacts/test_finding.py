"""Finding artifacts: the same as looking at all of them, page by page, and in turns."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import Agent, AgentSystem, MemoryStore, Scope, State, VirtualClock
from perdure.persistence.errors import LineageCircle, UnknownArtifact
from perdure.shared.artifacts.records import Artifact
from tests.artifacts.agents import Maker, opened
from tests.artifacts.looks import W, named, stores
from tests.kit.deadline import DEADLINE

SCOPES = [Scope.GLOBAL, W, W.step("parse"), Scope.user("mira")]
TYPES = ["custom", "tool-result", "system"]
TAGS = ["red", "green", "blue"]


class Finder(Agent[State]):
    """Saves, deletes and looks in one turn."""

    boundary = Maker.boundary

    def look(self, first: str) -> list[list[str]]:
        artifacts = self.system.artifacts
        seen = [artifacts.list(tag="t")]
        new = artifacts.save("new", b"n", tags=["t"])
        seen.append(artifacts.list(tag="t"))
        artifacts.tag(seen[0][0], "u")
        seen.append(artifacts.list(tag="u"))
        artifacts.delete(artifacts.get(first, scope=Scope.GLOBAL))
        seen.append(artifacts.list(tag="t"))
        artifacts.untag(new, "t")
        seen.append(artifacts.list(tag="t"))
        seen.append(artifacts.list(scope=self.scopes.own))
        return [[artifact.name for artifact in found] for found in seen]


saves = st.tuples(
    st.sampled_from(SCOPES), st.sampled_from("abc"), st.sampled_from(TYPES),
    st.sets(st.sampled_from(TAGS)), st.integers(0, 3), st.floats(0, 5),
)  # fmt: skip
wishes = st.fixed_dictionaries(
    {},
    optional={
        "scope": st.sampled_from(SCOPES), "name": st.sampled_from("abc"),
        "type": st.sampled_from(TYPES), "tag": st.sampled_from(TAGS),
        "since": st.floats(0, 40), "until": st.floats(0, 40), "content": st.integers(0, 3),
    },
)  # fmt: skip


@settings(max_examples=60)
@given(st.lists(saves, max_size=12), st.lists(wishes, max_size=5), st.sets(st.integers(0, 11)))
def test_found_is_what_fits(
    saved: list[tuple[Scope, str, str, set[str], int, float]],
    wanted: list[dict[str, Any]],
    deleted: set[int],
) -> None:
    """Whatever is asked for, exactly the artifacts that fit are found, in the order of making."""
    clock = VirtualClock(0.0)
    with AgentSystem.open(MemoryStore(), agents=[], clock=clock) as system:
        made: list[tuple[Artifact, set[str]]] = []
        for scope, name, type_, tags, byte, seconds in saved:
            clock.advance(seconds)
            data = b"%d" % byte
            made.append(
                (system.artifacts.save(name, data, scope=scope, type=type_, tags=tags), tags)
            )
        contents = {byte: a.content for (a, _), (*_, byte, _) in zip(made, saved, strict=True)}
        for number in deleted & set(range(len(made))):
            system.artifacts.delete(made[number][0])
        left = [pair for number, pair in enumerate(made) if number not in deleted]
        for wish in wanted:
            if "content" in wish:
                wish["content"] = contents.get(int(str(wish["content"])), "none")
            fits = [
                artifact
                for artifact, tags in left
                if all(
                    getattr(artifact, what) == value
                    for what, value in wish.items()
                    if what not in ("tag", "since", "until")
                )
                and wish.get("tag", "") in {"", *tags}
                and artifact.made >= float(str(wish.get("since", 0)))
                and artifact.made < float(str(wish.get("until", 1e9)))
            ]
            assert system.artifacts.list(**wish) == fits
            assert system.artifacts.count(**wish) == len(fits)
            pages: list[Artifact] = []
            while page := system.artifacts.list(
                **wish,
                after=pages[-1] if pages else 0,
                limit=2,
            ):
                pages += page
            assert pages == fits


def test_a_turn_finds_what_it_has_done(tmp_path: Path) -> None:
    """In a turn, finding sees what the turn has saved, tagged and deleted."""
    for store in stores(tmp_path):
        with AgentSystem.open(store, agents=[Finder]) as system:
            system.artifacts.save("one", b"1", tags=["t"])
            system.artifacts.save("two", b"2", tags=["t"])
            assert system.agent(Finder, "f").proxy().look("one").get() == [
                ["one", "two"], ["one", "two", "new"], ["one"], ["two", "new"], ["two"], ["new"],
            ]  # fmt: skip
            assert named(system.artifacts.list()) == [("two", 1), ("new", 1)]


def test_correlation_and_agent(tmp_path: Path) -> None:
    """What one chain of messages has made is found by its correlation."""
    for store in stores(tmp_path):
        with opened(store) as system:
            for number in range(3):
                system.agent(Maker, f"m{number}").proxy().make("a", str(number)).get()
            one, two, _ = system.artifacts.list(type="agent-output")
            assert one.correlation != two.correlation
            assert system.artifacts.list(correlation=two.correlation) == [two]
            assert system.artifacts.list(agent=("Maker", "m1")) == [two]
            assert system.artifacts.list(agent=("Maker", "none")) == []
            wishes: list[dict[str, Any]] = [
                {"correlation": two.correlation}, {"agent": ("Maker", "m1")}, {},
            ]  # fmt: skip
            for wish in wishes:
                found = list(system.artifacts.each(**wish))
                assert system.artifacts.count(**wish) == len(found)


def test_tags_come_and_go(tmp_path: Path) -> None:
    """Tagging twice is tagging once; what it has not is passed over; a deleted one takes none."""
    for store in stores(tmp_path):
        with opened(store) as system:
            artifact = system.artifacts.save("a", b"", tags=["x"])
            system.artifacts.tag(artifact, "x", "y")
            system.artifacts.tag(artifact, "y")
            assert system.artifacts.tags(artifact) == ["x", "y"]
            system.artifacts.untag(artifact, "x", "z")
            assert system.artifacts.tags(artifact) == ["y"]
            system.artifacts.delete(artifact)
            for use in (system.artifacts.tag, system.artifacts.untag):
                with pytest.raises(UnknownArtifact, match="it was deleted"):
                    use(artifact, "x")
            assert system.artifacts.list(tag="y") == []


def test_lineage_both_ways(tmp_path: Path) -> None:
    """Sources and results are found directly and through others, each once."""
    for store in stores(tmp_path):
        with opened(store) as system:
            save = system.artifacts.save
            raw = save("raw", b"0")
            left, right = save("l", b"1", sources=[raw]), save("r", b"2", sources=[raw])
            end = save("end", b"3", sources=[left, right, left])
            artifacts = system.artifacts
            assert artifacts.sources(end) == [left, right]
            assert artifacts.sources(end, deep=True) == [left, right, raw]
            assert artifacts.results(raw) == [left, right]
            artifacts.delete(left)
            assert artifacts.sources(end, deep=True) == [right, raw]
            with pytest.raises(UnknownArtifact):
                artifacts.sources(left)
            with pytest.raises(UnknownArtifact):
                save("more", b"4", sources=[left])


def test_nothing_comes_from_itself(tmp_path: Path) -> None:
    """A link that would close a circle is refused, however long the way round."""
    for store in stores(tmp_path):
        with opened(store) as system:
            chain = [system.artifacts.save("0", b"")]
            for number in range(1, 5):
                chain.append(system.artifacts.save(str(number), b"", sources=chain[-1:]))
            for later in chain:
                with pytest.raises(LineageCircle, match="cannot be a source"):
                    system.artifacts.link(chain[0], later)
            other = system.artifacts.save("other", b"")
            system.artifacts.link(chain[0], other)
            assert system.artifacts.sources(chain[4], deep=True)[-1] == other
            with pytest.raises(LineageCircle):
                system.artifacts.link(other, chain[4])
            with system.state.transaction():
                one, two = system.artifacts.save("x", b""), system.artifacts.save("y", b"")
                system.artifacts.link(one, two)
                with pytest.raises(LineageCircle):
                    system.artifacts.link(two, one)
            assert named(system.artifacts.sources(one)) == [("y", 1)]
            assert system.artifacts.sources(two) == []


def test_two_links_close_no_circle(tmp_path: Path) -> None:
    """Of two links that would close a circle together, made at once, one is refused."""
    with opened(tmp_path / "a.db", sync="process") as system:
        for round_ in range(10):
            one = system.artifacts.save(f"one{round_}", b"")
            two = system.artifacts.save(f"two{round_}", b"")
            start = threading.Barrier(2)

            def link(first: Artifact, second: Artifact, start: threading.Barrier = start) -> bool:
                start.wait(DEADLINE)
                try:
                    system.artifacts.link(first, second)
                except LineageCircle:
                    return False
                return True

            with ThreadPoolExecutor(2) as pool:
                done = [pool.submit(link, one, two), pool.submit(link, two, one)]
                assert sorted(future.result(DEADLINE) for future in done) == [False, True]
