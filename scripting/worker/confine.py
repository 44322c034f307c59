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
_KILL: Final = 0x80000000
_PROTECTION: Final = 16 + 2 * 8
"""Where the third argument of a call stands: the protection of a mapping."""
_EXECUTE: Final = 4
_WHOM: Final = 16
"""Where the first argument stands: which process a call is about."""

_X86: Final = {
    "read": 0, "write": 1, "close": 3, "fstat": 5, "poll": 7, "lseek": 8, "mmap": 9,
    "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14,
    "rt_sigreturn": 15, "ioctl": 16, "readv": 19, "writev": 20, "sched_yield": 24, "mremap": 25,
    "madvise": 28, "nanosleep": 35, "getpid": 39, "sendto": 44, "recvfrom": 45, "socket": 41,
    "connect": 42, "accept": 43, "bind": 49, "listen": 50, "exit": 60, "kill": 62, "fcntl": 72,
    "ptrace": 101, "setpgid": 109, "setsid": 112, "sigaltstack": 131, "mount": 165, "gettid": 186,
    "futex": 202, "epoll_wait": 232, "clock_gettime": 228, "clock_nanosleep": 230,
    "exit_group": 231, "epoll_ctl": 233, "tgkill": 234, "unshare": 272, "ppoll": 271,
    "set_robust_list": 273, "accept4": 288, "epoll_pwait": 281, "process_vm_readv": 310,
    "process_vm_writev": 311, "setns": 308, "getrandom": 318, "bpf": 321, "userfaultfd": 323,
    "perf_event_open": 298, "keyctl": 250, "add_key": 248, "request_key": 249,
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "tkill": 200,
    "restart_syscall": 219, "rseq": 334, "pidfd_getfd": 438, "memfd_create": 319, "wait4": 61,
    "execve": 59, "execveat": 322,
    "chmod": 90, "fchmod": 91, "chown": 92, "fchown": 93, "lchown": 94, "truncate": 76,
    "utime": 132, "setpriority": 141, "sched_setparam": 142, "sched_setscheduler": 144,
    "chroot": 161, "settimeofday": 164, "umount2": 166, "reboot": 169, "sethostname": 170,
    "setdomainname": 171, "init_module": 175, "delete_module": 176, "setxattr": 188,
    "lsetxattr": 189, "fsetxattr": 190, "removexattr": 197, "lremovexattr": 198,
    "fremovexattr": 199, "sched_setaffinity": 203, "clock_settime": 227, "mq_open": 240,
    "mq_unlink": 241, "kexec_load": 246, "utimes": 235, "rt_sigqueueinfo": 129, "shmget": 29,
    "shmat": 30, "shmctl": 31, "semget": 64, "semop": 65, "semctl": 66, "msgget": 68, "msgsnd": 69,
    "msgrcv": 70, "msgctl": 71, "semtimedop": 220, "pivot_root": 155, "fchownat": 260,
    "futimesat": 261, "fchmodat": 268, "utimensat": 280, "rt_tgsigqueueinfo": 297, "prlimit64": 302,
    "open_by_handle_at": 304, "finit_module": 313, "sched_setattr": 314, "kexec_file_load": 320,
    "pidfd_send_signal": 424, "fchmodat2": 452,
}  # fmt: skip
_ARM: Final = {
    "read": 63, "write": 64, "close": 57, "fstat": 80, "ppoll": 73, "lseek": 62, "mmap": 222,
    "mprotect": 226, "munmap": 215, "brk": 214, "rt_sigaction": 134, "rt_sigprocmask": 135,
    "rt_sigreturn": 139, "ioctl": 29, "readv": 65, "writev": 66, "sched_yield": 124,
    "mremap": 216, "madvise": 233, "nanosleep": 101, "getpid": 172, "sendto": 206,
    "recvfrom": 207, "socket": 198, "connect": 203, "accept": 202, "bind": 200, "listen": 201,
    "exit": 93, "kill": 129, "fcntl": 25, "ptrace": 117, "setpgid": 154, "setsid": 157,
    "sigaltstack": 132, "mount": 40, "gettid": 178, "futex": 98, "epoll_pwait": 22,
    "clock_gettime": 113, "clock_nanosleep": 115, "exit_group": 94, "epoll_ctl": 21,
    "tgkill": 131, "unshare": 97, "set_robust_list": 99, "accept4": 242,
    "process_vm_readv": 270, "process_vm_writev": 271, "setns": 268, "getrandom": 278,
    "bpf": 280, "userfaultfd": 282, "perf_event_open": 241, "keyctl": 219, "add_key": 217,
    "request_key": 218, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
    "tkill": 130, "restart_syscall": 128, "rseq": 293, "pidfd_getfd": 438, "memfd_create": 279,
    "wait4": 260, "execve": 221, "execveat": 281,
    "truncate": 45, "fchmod": 52, "fchmodat": 53, "fchownat": 54, "fchown": 55, "setxattr": 5,
    "lsetxattr": 6, "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15, "fremovexattr": 16,
    "utimensat": 88, "kexec_load": 104, "init_module": 105, "delete_module": 106,
    "clock_settime": 112, "sched_setparam": 118, "sched_setscheduler": 119,
    "sched_setaffinity": 122, "rt_sigqueueinfo": 138, "setpriority": 140, "reboot": 142,
    "sethostname": 161, "setdomainname": 162, "settimeofday": 170, "mq_open": 180, "mq_unlink": 181,
    "msgget": 186, "msgctl": 187, "msgrcv": 188, "msgsnd": 189, "semget": 190, "semctl": 191,
    "semtimedop": 192, "semop": 193, "shmget": 194, "shmctl": 195, "shmat": 196, "umount2": 39,
    "pivot_root": 41, "chroot": 51, "rt_tgsigqueueinfo": 240, "prlimit64": 261,
    "open_by_handle_at": 265, "finit_module": 273, "sched_setattr": 274, "kexec_file_load": 294,
    "pidfd_send_signal": 424, "fchmodat2": 452,
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
_FORBIDDEN: Final = frozenset(
    {
        "socket", "connect", "bind", "listen", "accept", "accept4", "ptrace", "mount", "unshare",
        "setns", "process_vm_readv", "process_vm_writev", "bpf", "userfaultfd", "perf_event_open",
        "keyctl", "add_key", "request_key", "io_uring_setup", "io_uring_enter",
        "io_uring_register", "pidfd_getfd", "setpgid", "setsid", "memfd_create", "execveat",
        "tkill",
        "tgkill", "chmod", "fchmod", "chown", "fchown", "lchown", "truncate", "utime",
        "setpriority", "sched_setparam", "sched_setscheduler", "chroot", "settimeofday", "umount2",
        "reboot", "sethostname", "setdomainname", "init_module", "delete_module", "setxattr",
        "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr",
        "sched_setaffinity", "clock_settime", "mq_open", "mq_unlink", "kexec_load", "utimes",
        "rt_sigqueueinfo", "shmget", "shmat", "shmctl", "semget", "semop", "semctl", "msgget",
        "msgsnd", "msgrcv", "msgctl", "semtimedop", "pivot_root", "fchownat", "futimesat",
        "fchmodat", "utimensat", "rt_tgsigqueueinfo", "open_by_handle_at", "finit_module",
        "sched_setattr", "kexec_file_load", "pidfd_send_signal", "fchmodat2",
    }
)  # fmt: skip


class Filter:
    """Say which system calls go through."""

    __slots__ = ("_allow", "_names", "_own")

    def __init__(self, names: Collection[str], *, allow: bool, own: Collection[str] = ()) -> None:
        """``allow`` those of ``names`` alone, or all but those.

        Those of ``own`` are about a process: they go through if that is this one, or its group.
        """
        self._names = names
        self._allow = allow
        self._own = own

    def program(self, machine: str) -> bytes:
        """Return the filter as the kernel takes it."""
        numbers = _NUMBERS[machine]
        listed, rest = (_ALLOW, _REFUSE) if self._allow else (_REFUSE, _ALLOW)
        steps = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, _MACHINES[machine]), (_RETURN, 0, 0, _KILL)]
        steps.append((_LOAD, 0, 0, 0))
        if machine == "x86_64":
            steps += [(_ABOVE, 0, 1, _X32), (_RETURN, 0, 0, _KILL)]
        if self._allow:  # no mapping that can be run: an engine makes no machine code
            for name in ("mmap", "mprotect"):
                steps += [
                    (_EQUAL, 0, 5, numbers[name]), (_LOAD, 0, 0, _PROTECTION),
                    (_ANY_BIT, 0, 1, _EXECUTE), (_RETURN, 0, 0, _REFUSE),
                    (_RETURN, 0, 0, _ALLOW), (_LOAD, 0, 0, 0),
                ]  # fmt: skip
        for name in self._own:
            steps += [
                (_EQUAL, 0, 4, numbers[name]), (_LOAD, 0, 0, _WHOM), (_EQUAL, 0, 1, 0),
                (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE),
            ]  # fmt: skip
        for number in sorted(numbers[name] for name in self._names if name in numbers):
            steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, listed)]
        steps.append((_RETURN, 0, 0, rest))
        return b"".join(struct.pack("=HBBI", *step) for step in steps)


ENGINE: Final = Filter(_ENGINE, allow=True)
"""What an engine in this process needs."""
CLIENT: Final = Filter(_CLIENT, allow=True)
"""What is needed to talk to an engine in a process of its own."""
STARTING: Final = Filter(_FORBIDDEN, allow=False, own=("kill", "prlimit64"))
"""What such a process may do: run, but reach nobody."""


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
