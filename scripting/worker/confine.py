"""What keeps a worker from everything but its host: rlimits, landlock, seccomp.

Each is a wall of its own. Seccomp allows the few system calls an engine needs and refuses all
others; landlock takes away files and ports also from what might have been overlooked there;
rlimits bound memory, processor time and files. Linux on x86-64 and arm64; elsewhere the worker
says what it lacks, and its host decides.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
import sys
from collections.abc import Collection, Iterable
from typing import Final

LANDLOCK: Final = "landlock"
SECCOMP: Final = "seccomp"

_libc: Final = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_FILTER_MODE: Final = 2


def die_with(host: int) -> None:
    """Have the kernel kill this process when the thread that started it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != host:  # it ended before that was said
        os._exit(0)


def limit(memory: int, seconds: float, files: int) -> None:
    """Bound what this process may use: ``memory`` bytes beyond what it has by now."""
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - no pathlib here
        has = int(statm.read().split()[0]) * resource.getpagesize()
    for what, most in (
        (resource.RLIMIT_AS, has + memory),
        # The host kills at the deadline; this is for one that it lost, and for sessions it is long.
        (resource.RLIMIT_CPU, 60 + 10 * int(seconds)),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, files),
    ):
        resource.setrlimit(what, (most, most))


def confine(allowed: Filter, readable: Collection[str] = ()) -> list[str]:
    """Close this process in, for good, with what it starts; return the names of the walls.

    ``readable`` names files and folders that may still be read, and run.
    """
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return []
    walls = [LANDLOCK] if _landlock(readable) else []
    if _seccomp(allowed):
        walls.append(SECCOMP)
    return walls


# Landlock: the numbers of its calls are the same everywhere.

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 5: 16}
"""How many rights on files a version knows: each is a bit."""
_READ: Final = 0b1101
"""Run a file, read it, list a folder."""
_PORTS: Final = 0b11
_PORTS_SINCE: Final = 4
_SCOPES: Final = 0b11
"""Abstract sockets and signals of whoever is not closed in with us."""
_SCOPES_SINCE: Final = 6


def _landlock(readable: Iterable[str]) -> bool:
    version = _libc.syscall(_CREATE_RULESET, None, 0, 1)
    if sys.platform != "linux" or version < 1:
        return False
    rights = (1 << max(bits for since, bits in _FILE_RIGHTS.items() if since <= version)) - 1
    ports = _PORTS if version >= _PORTS_SINCE else 0
    scopes = _SCOPES if version >= _SCOPES_SINCE else 0
    size = 24 if scopes else 16 if ports else 8
    rules = _libc.syscall(
        _CREATE_RULESET, struct.pack("=QQQ", rights, ports, scopes)[:size], size, 0
    )
    if rules < 0:
        return False
    for path in readable:
        _let_read(rules, path)
    done = _libc.syscall(_RESTRICT_SELF, rules, 0)
    os.close(rules)
    return bool(done == 0)


def _let_read(rules: int, path: str) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # there is no such folder on this machine
    rights = _READ if os.path.isdir(path) else _READ & 0b101  # noqa: PTH112 - no pathlib here
    _libc.syscall(_ADD_RULE, rules, 1, struct.pack("=Qi", rights, place), 0)
    os.close(place)


# Seccomp: a program of BPF instructions looks at each system call.

_MACHINES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_LOAD, _EQUAL, _ABOVE, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050000 | 1
"""The call fails as one that is not permitted."""
_UNKNOWN: Final = 0x00050000 | 38
"""The call fails as one that this kernel does not have."""
_KILL: Final = 0x80000000
_PROTECTION: Final = 16 + 2 * 8
"""Where the third argument of a call stands: the protection of a mapping."""
_EXECUTE: Final = 4
_WHOM: Final = 16
"""Where the first argument stands: which process a call is about, or the flags of a new one."""
_NAMESPACES: Final = 0x7E020000
"""Flags that give a new process namespaces of its own, in which it might have more rights."""

_X86: Final = {
    "read": 0, "write": 1, "open": 2, "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "poll": 7,
    "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13,
    "rt_sigprocmask": 14, "rt_sigreturn": 15, "pread64": 17, "pwrite64": 18, "readv": 19,
    "writev": 20, "access": 21, "pipe": 22, "select": 23, "sched_yield": 24, "mremap": 25,
    "msync": 26, "mincore": 27, "madvise": 28, "dup": 32, "dup2": 33, "nanosleep": 35,
    "getpid": 39, "sendto": 44, "recvfrom": 45, "sendmsg": 46, "recvmsg": 47, "shutdown": 48,
    "getsockname": 51, "getpeername": 52, "socketpair": 53, "setsockopt": 54, "getsockopt": 55,
    "clone": 56, "fork": 57, "vfork": 58, "execve": 59, "exit": 60, "wait4": 61, "kill": 62,
    "uname": 63, "fcntl": 72, "getcwd": 79, "readlink": 89, "umask": 95, "gettimeofday": 96,
    "getrlimit": 97, "getrusage": 98, "sysinfo": 99, "times": 100, "getuid": 102, "getgid": 104,
    "geteuid": 107, "getegid": 108, "getppid": 110, "getpgrp": 111, "getgroups": 115,
    "getresuid": 118, "getresgid": 120, "getpgid": 121, "getsid": 124, "capget": 125,
    "rt_sigtimedwait": 128, "sigaltstack": 131, "statfs": 137, "fstatfs": 138, "getpriority": 140,
    "sched_getparam": 143, "sched_getscheduler": 145, "prctl": 157, "arch_prctl": 158,
    "gettid": 186, "futex": 202, "sched_getaffinity": 204, "getdents64": 217,
    "set_tid_address": 218, "restart_syscall": 219, "fadvise64": 221, "clock_gettime": 228,
    "clock_getres": 229, "clock_nanosleep": 230, "exit_group": 231, "epoll_wait": 232,
    "epoll_ctl": 233, "waitid": 247, "openat": 257, "newfstatat": 262, "readlinkat": 267,
    "faccessat": 269, "pselect6": 270, "ppoll": 271, "set_robust_list": 273,
    "get_robust_list": 274, "epoll_pwait": 281, "eventfd2": 290, "epoll_create1": 291, "dup3": 292,
    "pipe2": 293, "prlimit64": 302, "seccomp": 317, "getrandom": 318, "membarrier": 324,
    "statx": 332, "rseq": 334, "pidfd_open": 434, "close_range": 436, "faccessat2": 439,
    "landlock_create_ruleset": 444, "landlock_add_rule": 445, "landlock_restrict_self": 446,
    "futex_waitv": 449,
}  # fmt: skip
_ARM: Final = {
    "getcwd": 17, "eventfd2": 19, "epoll_create1": 20, "epoll_ctl": 21, "epoll_pwait": 22,
    "dup": 23, "dup3": 24, "fcntl": 25, "statfs": 43, "fstatfs": 44, "faccessat": 48, "openat": 56,
    "close": 57, "pipe2": 59, "getdents64": 61, "lseek": 62, "read": 63, "write": 64, "readv": 65,
    "writev": 66, "pread64": 67, "pwrite64": 68, "pselect6": 72, "ppoll": 73, "readlinkat": 78,
    "newfstatat": 79, "fstat": 80, "capget": 90, "exit": 93, "exit_group": 94, "waitid": 95,
    "set_tid_address": 96, "futex": 98, "set_robust_list": 99, "get_robust_list": 100,
    "nanosleep": 101, "clock_gettime": 113, "clock_getres": 114, "clock_nanosleep": 115,
    "sched_getscheduler": 120, "sched_getparam": 121, "sched_getaffinity": 123, "sched_yield": 124,
    "restart_syscall": 128, "kill": 129, "sigaltstack": 132, "rt_sigaction": 134,
    "rt_sigprocmask": 135, "rt_sigtimedwait": 137, "rt_sigreturn": 139, "getpriority": 141,
    "getresuid": 148, "getresgid": 150, "times": 153, "getpgid": 155, "getsid": 156,
    "getgroups": 158, "uname": 160, "getrlimit": 163, "getrusage": 165, "umask": 166, "prctl": 167,
    "gettimeofday": 169, "getpid": 172, "getppid": 173, "getuid": 174, "geteuid": 175,
    "getgid": 176, "getegid": 177, "gettid": 178, "sysinfo": 179, "socketpair": 199,
    "getsockname": 204, "getpeername": 205, "sendto": 206, "recvfrom": 207, "setsockopt": 208,
    "getsockopt": 209, "shutdown": 210, "sendmsg": 211, "recvmsg": 212, "brk": 214, "munmap": 215,
    "mremap": 216, "clone": 220, "execve": 221, "mmap": 222, "fadvise64": 223, "mprotect": 226,
    "msync": 227, "mincore": 232, "madvise": 233, "wait4": 260, "prlimit64": 261, "seccomp": 277,
    "getrandom": 278, "membarrier": 283, "statx": 291, "rseq": 293, "pidfd_open": 434,
    "close_range": 436, "faccessat2": 439, "landlock_create_ruleset": 444,
    "landlock_add_rule": 445, "landlock_restrict_self": 446, "futex_waitv": 449,
}  # fmt: skip
_NUMBERS: Final = {"x86_64": _X86, "aarch64": _ARM}
_X32: Final = 0x40000000
"""Calls of another way to call on x86-64, which has numbers of its own."""

_ENGINE: Final = frozenset(
    {
        "read", "write", "close", "fstat", "poll", "ppoll", "lseek", "mmap", "mprotect", "munmap",
        "brk", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sched_yield", "mremap",
        "madvise", "nanosleep", "getpid", "sendto", "recvfrom", "exit", "sigaltstack", "gettid",
        "futex", "clock_gettime", "clock_nanosleep", "exit_group", "set_robust_list", "getrandom",
        "restart_syscall", "rseq", "readv", "writev",
    }
)  # fmt: skip
_CLIENT: Final = _ENGINE | {"epoll_wait", "epoll_pwait", "epoll_ctl", "wait4", "fcntl", "kill"}
_STARTING: Final = _CLIENT | {
    # Programs are started, and threads.
    "clone", "fork", "vfork", "execve", "waitid", "pidfd_open", "set_tid_address", "arch_prctl",
    "prctl", "seccomp", "prlimit64", "landlock_create_ruleset", "landlock_add_rule",
    "landlock_restrict_self", "sched_getaffinity", "membarrier", "get_robust_list",
    # Landlock says which files those are.
    "open", "openat", "stat", "lstat", "newfstatat", "statx", "statfs", "fstatfs", "access",
    "faccessat", "faccessat2", "readlink", "readlinkat", "getdents64", "getcwd", "pread64",
    "pwrite64", "fadvise64", "msync", "mincore",
    # They talk by pipes and pairs of sockets.
    "pipe", "pipe2", "dup", "dup2", "dup3", "close_range", "eventfd2", "epoll_create1", "select",
    "pselect6", "socketpair", "shutdown", "sendmsg", "recvmsg", "getsockname", "getpeername",
    "setsockopt", "getsockopt",
    # And look at what they are.
    "uname", "getuid", "geteuid", "getgid", "getegid", "getppid", "getpgid", "getpgrp", "getsid",
    "getresuid", "getresgid", "getgroups", "getrlimit", "getrusage", "getpriority", "times",
    "gettimeofday", "clock_getres", "sysinfo", "umask", "rt_sigtimedwait", "sched_getparam",
    "sched_getscheduler", "capget", "futex_waitv",
}  # fmt: skip


class Filter:
    """Say which system calls go through."""

    __slots__ = ("_names", "_own", "_starts")

    def __init__(
        self, names: Collection[str], *, own: Collection[str] = (), starts: bool = False
    ) -> None:
        """Allow those of ``names`` alone.

        Those of ``own`` are about a process: they go through if that is this one, or its group.
        With ``starts`` programs and threads may be started, in the namespaces that there are; else
        nothing may be mapped that can be run, as an engine makes no machine code.
        """
        self._names = names
        self._own = own
        self._starts = starts

    def program(self, machine: str) -> bytes:
        """Return the filter as the kernel takes it."""
        numbers = _NUMBERS[machine]
        steps = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, _MACHINES[machine]), (_RETURN, 0, 0, _KILL)]
        steps.append((_LOAD, 0, 0, 0))
        if machine == "x86_64":
            steps += [(_ABOVE, 0, 1, _X32), (_RETURN, 0, 0, _KILL)]
        looked = [("clone", _WHOM, _NAMESPACES)]
        if not self._starts:
            looked = [("mmap", _PROTECTION, _EXECUTE), ("mprotect", _PROTECTION, _EXECUTE)]
        for name, place, bits in looked:
            steps += [
                (_EQUAL, 0, 4, numbers[name]), (_LOAD, 0, 0, place), (_ANY_BIT, 0, 1, bits),
                (_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW),
            ]  # fmt: skip
        for name in self._own:
            steps += [
                (_EQUAL, 0, 4, numbers[name]), (_LOAD, 0, 0, _WHOM), (_EQUAL, 0, 1, 0),
                (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE),
            ]  # fmt: skip
        for number in sorted(numbers[name] for name in self._names if name in numbers):
            steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
        # A library goes on without a call that there is not, as clone3, whose flags are in memory.
        steps.append((_RETURN, 0, 0, _UNKNOWN if self._starts else _REFUSE))
        return b"".join(struct.pack("=HBBI", *step) for step in steps)


ENGINE: Final = Filter(_ENGINE)
"""What an engine in this process needs."""
CLIENT: Final = Filter(_CLIENT)
"""What is needed to talk to an engine in a process of its own."""
STARTING: Final = Filter(_STARTING, own=("kill", "prlimit64"), starts=True)
"""What such a process needs: it starts and runs, and reaches nobody."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


def _seccomp(allowed: Filter) -> bool:
    machine = os.uname().machine
    if sys.platform != "linux" or machine not in _MACHINES or sys.maxsize < 2**32:
        return False
    steps = allowed.program(machine)
    program = _Program(len(steps) // 8, steps)
    done = _libc.prctl(_PR_SET_SECCOMP, _FILTER_MODE, ctypes.byref(program), 0, 0)
    return bool(done == 0)
