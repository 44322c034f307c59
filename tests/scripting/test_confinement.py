"""Workers are closed in: no files, no network, no processes, and none outlives its host."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from perdure import AgentSystem
from perdure.persistence.errors import ScriptFailed
from perdure.scripting.language import Language
from perdure.scripting.options import Confinement, ScriptLimits
from perdure.scripting.process import Worker
from perdure.scripting.script import Script
from perdure.scripting.scripts import Scripts
from tests.kit.children import ROOT
from tests.kit.deadline import DEADLINE
from tests.scripting.conftest import MIRA

LUA, JAVASCRIPT, PYTHON = Language

ESCAPED: Final = """
import ctypes, json, mmap, os, resource, socket, sys
sys.path.insert(0, sys.argv[1])
from perdure.scripting.worker.confine import CLIENT, ENGINE, STARTING, confine

told, host = {}, os.getppid()
priority, cores = os.getpriority(os.PRIO_PROCESS, host), os.sched_getaffinity(host)  # as they are
walls = confine({"ENGINE": ENGINE, "CLIENT": CLIENT, "STARTING": STARTING}[sys.argv[2]])
libc = ctypes.CDLL(None, use_errno=True)

def tries(name, action):
    try:
        action()
        told[name] = "done"
    except OSError as error:
        told[name] = error.errno

tries("read a file", lambda: open("/etc/passwd").read())
tries("write a file", lambda: open(sys.argv[3], "w").write("x"))
tries("list a folder", lambda: os.listdir("/"))
tries("remove a file", lambda: os.unlink(sys.argv[4]))
tries("a socket of the network", lambda: socket.socket(socket.AF_INET))
tries("a socket of this machine", lambda: socket.socket(socket.AF_UNIX))
tries("run a program", lambda: os.execv("/bin/true", ["true"]))
tries("become a leader", os.setsid)
tries("look into another process", lambda: open(f"/proc/{host}/environ"))
tries("rights of a file", lambda: os.chmod(sys.argv[4], 0o777))
tries("owner of a file", lambda: os.chown(sys.argv[4], os.getuid(), os.getgid()))
tries("times of a file", lambda: os.utime(sys.argv[4], (1, 1)))
tries("attributes of a file", lambda: os.setxattr(sys.argv[4], "user.a", b"x"))
tries("cut a file off", lambda: os.truncate(sys.argv[4], 0))
tries("limits of another process", lambda: resource.prlimit(host, resource.RLIMIT_CORE))
tries("priority of another process", lambda: os.setpriority(os.PRIO_PROCESS, host, priority))
tries("cores of another process", lambda: os.sched_setaffinity(host, cores))
if sys.argv[2] != "CLIENT":  # it has the filter of STARTING as well
    tries("kill", lambda: os.kill(host, 0))
if sys.argv[2] != "STARTING":  # an engine that is a program starts threads, and makes pipes
    tries("a pipe", os.pipe)
    tries("fork", lambda: os.fork() or os._exit(0))
    tries("a mapping that can be run", lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_EXEC))
tries("change the owner", lambda: os.setuid(1))
tries("a file in memory", lambda: os.memfd_create("x"))
numbers = {"ptrace": 101, "bpf": 321, "io_uring": 425, "mount": 165, "clone3": 435, "unknown": 1000}
for name, number in numbers.items():
    told[name] = ctypes.get_errno() if libc.syscall(number, 0, 0, 0, 0, 0) < 0 else "done"
for bit in (17, 25, 26, 27, 28, 29, 30):  # a process with a namespace of its own, each kind
    made = libc.syscall(56, 1 << bit | 17, 0, 0, 0, 0)
    if made == 0:
        os._exit(0)
    told[f"namespace {bit}"] = ctypes.get_errno() if made < 0 else "done"
os.write(1, json.dumps([walls, told]).encode())
"""
"""What a script would do that has taken over its process."""


@pytest.mark.parametrize("which", ["ENGINE", "CLIENT", "STARTING"])
def test_a_process_that_was_taken_over_reaches_nothing(which: str, tmp_path: Path) -> None:
    """With both walls up, whatever runs in a worker opens, changes, reaches and kills nothing."""
    there = tmp_path / "there"
    there.write_text("kept")
    given = [str(ROOT), which, str(tmp_path / "new"), str(there)]
    done = subprocess.run(
        [sys.executable, "-c", ESCAPED, *given], capture_output=True, check=True, timeout=DEADLINE
    )
    walls, told = json.loads(done.stdout)
    assert walls == ["landlock", "seccomp"]
    assert {name for name, outcome in told.items() if outcome == "done"} == set()
    assert there.read_text() == "kept"
    assert list(tmp_path.iterdir()) == [there]


def below(pid: int) -> list[int]:
    """Return a process and those below it."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found = [int(child) for child in children.read_text().split()] if children.exists() else []
    return [pid, *(each for child in found for each in below(child))]


@pytest.mark.parametrize("language", Language)
def test_each_process_of_a_language_is_closed_in(language: Language) -> None:
    """Every process of a worker has a filter of system calls, and can gain no privileges."""
    worker = Worker(language, ScriptLimits())
    try:
        worker.await_ready(Confinement.REQUIRED)
        pids = below(worker.pid)
        assert len(pids) == (2 if language is PYTHON else 1)
        for pid in pids:
            status = Path(f"/proc/{pid}/status").read_text()
            lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            assert (lines["Seccomp"], lines["NoNewPrivs"]) == ("2", "1")
        ends = [os.pidfd_open(pid) for pid in pids]
    finally:
        worker.end()
    ended(ends)


def ended(processes: list[int]) -> None:
    """Wait until processes have ended, given as descriptors."""
    for process in processes:
        assert select.select([process], [], [], DEADLINE)[0], "a worker goes on"
        os.close(process)


REACHES: Final = {
    LUA: ["io.open('/etc/passwd')", "os.execute('true')", "require('os')", "dofile('/etc/passwd')",
          "loadfile('/etc/passwd')()", "debug.getregistry()", "python.eval('1')",
          "package.loadlib('a', 'b')", "string.dump(print)", "os.getenv('HOME')"],
    JAVASCRIPT: ["std.open('/etc/passwd')", "os.exec(['true'])", "require('fs')",
                 "await import('os')", "fetch('http://localhost')", "process.exit()",
                 "new Worker('a')", "__host('x')",
                 "new Function('return __host')()('x')"],
    PYTHON: ["open('/etc/passwd').read()", "import socket", "import subprocess",
             "import os\nos.listdir('/')",
             "import pathlib\npathlib.Path('/etc/passwd').read_text()",
             "().__class__.__bases__[0].__subclasses__()", "eval('__import__')('os')",
             "import os\nos.environ", "import ctypes"],
}  # fmt: skip


@pytest.mark.parametrize("language", Language)
def test_what_a_language_could_reach_is_not_there(
    scripts: Scripts, language: Language, system: AgentSystem
) -> None:
    """Files, programs, modules and the engine's own doors are missing or refused."""
    for source in REACHES[language]:
        with pytest.raises(ScriptFailed) as caught:
            scripts.run(Script(language, source), principal=MIRA)
        assert caught.value.kind != "worker", source


def test_compiled_code_is_refused(scripts: Scripts) -> None:
    """Lua bytecode is loaded neither as a script nor by one, whatever mode it asks for."""
    source = r"""
        local made = {}
        for _, mode in ipairs{"b", "bt", "t"} do
            made[#made + 1] = load("\27Lua", "x", mode) == nil
            made[#made + 1] = load(function() return "\27Lua" end, "x", mode) == nil
        end
        return made"""
    assert scripts.run(Script(LUA, source), principal=MIRA).value == [True] * 6


REFUSING: Final = """
import struct, sys
sys.path.insert(0, sys.argv[1])
from perdure import AgentSystem, Principal
from perdure.persistence.errors import NotConfined
from perdure.scripting.script import Script
from perdure.scripting.scripts import Scripts
from perdure.scripting.worker import confine

class Refusing:
    def program(self, machine):
        number = {"prctl": 157, "landlock": 444}[sys.argv[2]]
        steps = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (6, 0, 0, 0x50001), (6, 0, 0, 0x7FFF0000)]
        return b"".join(struct.pack("=HBBI", *step) for step in steps)

assert confine._libc.prctl(38, 1, 0, 0, 0) == 0
assert confine._seccomp(Refusing())
with AgentSystem.open("memory://", agents=[]) as system:
    with Scripts(system, warm=0) as scripts:
        try:
            scripts.run(Script(sys.argv[3], ""), principal=Principal.SYSTEM)
            print("it ran")
        except NotConfined as error:
            print(error.missing)
    with Scripts(system, warm=0, confinement="available") as scripts:
        scripts.run(Script(sys.argv[3], ""), principal=Principal.SYSTEM)
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of its system calls")
@pytest.mark.parametrize(
    ("lost", "language", "told"),
    [
        ("prctl", "lua", "seccomp"),
        ("prctl", "javascript", "seccomp"),
        ("prctl", "python", "landlock and seccomp"),
        ("landlock", "lua", "it ran"),
        ("landlock", "python", "landlock"),
    ],
)
def test_a_machine_that_cannot_close_scripts_in_runs_none(
    lost: str, language: str, told: str
) -> None:
    """Where what a language needs is missing, a run is refused; for trusted scripts it is not."""
    done = subprocess.run(
        [sys.executable, "-c", REFUSING, str(ROOT), lost, language],
        capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    assert done.stdout == f"{told}\n", done.stderr


HOSTED: Final = """
import sys, threading
sys.path.insert(0, sys.argv[1])
from perdure import AgentSystem, Principal
from perdure.scripting.process import Worker
from perdure.scripting.script import Script
from perdure.scripting.scripts import Scripts

sources = {
    "lua": "print('on') while true do end", "javascript": "log('on'); for (;;) {}",
    "python": "print('on')\\nlog('on')\\nwhile True:\\n    pass",
}
send, lock = Worker.send, threading.Lock()

def told(self, frame, deadline):
    send(self, frame, deadline)
    with lock:
        print(self.pid, flush=True)

Worker.send = told
with AgentSystem.open("memory://", agents=[]) as system, Scripts(system, warm=0) as scripts:
    def run(language, source):
        try:
            scripts.run(Script(language, source), principal=Principal.SYSTEM)
        except BaseException as error:
            print(error, flush=True)

    for each in sources.items():
        threading.Thread(target=run, args=each).start()
    threading.Event().wait()
"""


def test_no_worker_survives_its_host() -> None:
    """A host killed in the middle takes all its workers along, whatever they compute."""
    host = subprocess.Popen(
        [sys.executable, "-c", HOSTED, str(ROOT)], stdout=subprocess.PIPE, text=True
    )
    assert host.stdout is not None
    try:
        seen: dict[int, int] = {}
        while len(seen) < 3 or min(seen.values()) < 2:  # its task, and the answer to its log
            line = host.stdout.readline()
            assert line.strip().isdigit(), f"a script did not go on: {line}"
            pid = int(line)
            seen[pid] = seen.get(pid, 0) + 1
        pids = [each for pid in seen for each in below(pid)]
        assert len(pids) == 4
        ends = [os.pidfd_open(pid) for pid in pids]
    finally:
        host.kill()
        host.wait()
        host.stdout.close()
    ended(ends)


def test_a_worker_that_says_nonsense_is_ended(
    system: AgentSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a worker sends that no script sends, the run fails and the host goes on."""
    frames: list[list[object]] = [
        [1], ["call"], ["call", 1, []], ["call", "log", [[1, 2]]], ["call", "log", 1], ["other"],
        ["failed"], ["failed", 7], ["failed", {"line": "x"}],
    ]  # fmt: skip
    receive: Callable[..., list[object]] = Worker.receive
    for frame in frames:
        said: list[list[object]] = [frame]

        def hostile(self: Worker, deadline: float, said: list[list[object]] = said) -> list[object]:
            found = receive(self, deadline)
            return found if found[0] == "ready" else said[0]

        with monkeypatch.context() as patch:
            patch.setattr(Worker, "receive", hostile)
            with Scripts(system, warm=0) as scripts, pytest.raises(ScriptFailed):
                scripts.run(Script(LUA, 'log("x")'), principal=MIRA)


def test_a_killed_worker_is_an_error(system: AgentSystem, scripts: Scripts) -> None:
    """A worker that is killed from outside fails its run, and the next run has another."""
    send = Worker.send

    def killing(self: Worker, frame: bytes, deadline: float) -> None:
        send(self, frame, deadline)
        os.kill(self.pid, signal.SIGKILL)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Worker, "send", killing)
        with pytest.raises(ScriptFailed, match="its worker was lost"):
            scripts.run(Script(LUA, "while true do end"), principal=MIRA)
    assert scripts.run(Script(LUA, "return 1"), principal=MIRA).value == 1
