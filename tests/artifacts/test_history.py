"""Any history of saving, deleting, tagging, sweeping and restarting, against a dictionary."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import AgentSystem, Scope
from perdure.shared.artifacts.chunking import CHUNK, digest
from perdure.shared.artifacts.records import Artifact
from tests.artifacts.agents import opened
from tests.artifacts.looks import W, counts, dangling, give_up, noise, orphans

CONTENTS = [
    b"", b"a", noise(CHUNK), noise(CHUNK) + b"a", bytes(2 * CHUNK), b"a" * CHUNK + noise(CHUNK),
]  # fmt: skip
SCOPES = [Scope.GLOBAL, W]

steps = st.lists(
    st.one_of(
        st.tuples(st.just("save"), st.integers(0, len(CONTENTS) - 1), st.integers(0, 3)),
        st.tuples(st.just("give up"), st.integers(0, len(CONTENTS) - 1), st.just(0)),
        st.tuples(st.just("delete"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("sweep"), st.just(0), st.just(0)),
        st.tuples(st.just("reopen"), st.just(0), st.just(0)),
    ),
    max_size=14,
)


@dataclass
class Model:
    """What must be there."""

    there: dict[int, tuple[Artifact, int]] = field(default_factory=dict)

    def chunks(self) -> set[str]:
        """Return the names of the chunks that are needed."""
        data = [CONTENTS[content] for _, content in self.there.values()]
        return {digest(d[n : n + CHUNK]) for d in data for n in range(0, len(d), CHUNK)}

    def check(self, system: AgentSystem) -> None:
        """Hold the system against the model."""
        assert system.artifacts.list() == [artifact for artifact, _ in self.there.values()]
        for artifact, content in self.there.values():
            assert system.artifacts.read(artifact) == CONTENTS[content]
        for scope in SCOPES:
            sizes = [a.size for a, _ in self.there.values() if a.scope == scope]
            assert system.artifacts.usage(scope) == (len(sizes), sum(sizes))


def _save(system: AgentSystem, model: Model, content: int, place: int) -> None:
    scope, name = SCOPES[place % 2], f"n{place // 2}"
    last = [a.version for a, _ in model.there.values() if (a.scope, a.name) == (scope, name)]
    artifact = system.artifacts.save(name, CONTENTS[content], scope=scope)
    assert artifact.version > max(last, default=0)
    model.there[artifact.number] = artifact, content


def _give_up(system: AgentSystem, content: int) -> None:
    sink = system.artifacts.create("never")
    with pytest.raises(ZeroDivisionError):
        give_up(sink, CONTENTS[content])


@settings(max_examples=30)
@given(steps)
def test_any_history_is_as_the_model_says(history: list[tuple[str, int, int]]) -> None:
    """Whatever was done, what is there is what the model has, and after a sweep nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.db"
        model = Model()
        system = opened(path, sync="process")
        try:
            for what, number, place in history:
                if what == "save":
                    _save(system, model, number, place)
                elif what == "give up":
                    _give_up(system, number)
                elif what == "delete" and model.there:
                    chosen = Random(number).choice(list(model.there))
                    system.artifacts.delete(model.there.pop(chosen)[0])
                elif what == "sweep":
                    system.artifacts.sweep()
                elif what == "reopen":
                    system.close()
                    system = opened(path, sync="process")
                model.check(system)
            system.artifacts.sweep()
            model.check(system)
            assert counts(path)["chunks"] == len(model.chunks())
            assert dangling(path) == orphans(path) == []
        finally:
            system.close()
