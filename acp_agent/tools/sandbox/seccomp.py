"""A system call filter, assembled here: classic BPF needs no library, and none is on every machine.

What is refused are doors that no build or test needs and that lead past the namespaces or Landlock: mounts, new
namespaces, tracing, kernel keys and modules, io_uring (its operations pass no filter), injected terminal input, odd
socket families. Numbers are those of the kernel's tables (asm/unistd_64.h and asm-generic/unistd.h).
"""

import os
import platform
import struct
from functools import cache
from typing import Literal

Sockets = Literal["isolated", "internet", "none"]
"""`isolated`: the usual families, for a network namespace of its own. `internet`: no unix sockets. `none`: no sockets
but pairs."""

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_EPERM, _ENOSYS = 1, 38
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_AT, _SECOND_AT = 0, 4, 16, 24
_X32 = 0x40000000
# New namespaces: cgroup, uts, ipc, user, pid, net, mount.
_NAMESPACES = 0x7E020000
_NEW_TIME = 0x80
_TERMINAL_INPUT = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX
_FAMILIES: dict[Sockets, tuple[int, ...]] = {"isolated": (1, 2, 10, 16), "internet": (2, 10, 16), "none": ()}

# The same number on every architecture.
_COMMON = {
    "pidfd_getfd": 438, "process_madvise": 440, "quotactl_fd": 443, "open_tree": 428, "move_mount": 429, "fsopen": 430,
    "fsconfig": 431, "fsmount": 432, "fspick": 433, "mount_setattr": 442, "open_tree_attr": 467,
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "clone3": 435,
}  # fmt: skip
_TABLES: dict[str, dict[str, int]] = {
    "x86_64": {
        "architecture": 0xC000003E, "socket": 41, "clone": 56, "unshare": 272, "ioctl": 16, "truncate": 76,
        "ptrace": 101, "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "setns": 308, "keyctl": 250,
        "add_key": 248, "request_key": 249, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "init_module": 175,
        "finit_module": 313, "delete_module": 176, "kexec_load": 246, "kexec_file_load": 320, "reboot": 169,
        "swapon": 167, "swapoff": 168, "process_vm_readv": 310, "process_vm_writev": 311, "open_by_handle_at": 304,
        "name_to_handle_at": 303, "kcmp": 312, "acct": 163, "quotactl": 179, "syslog": 103, "settimeofday": 164,
        "clock_settime": 227, "clock_adjtime": 305, "adjtimex": 159, "sethostname": 170, "setdomainname": 171,
        "fanotify_init": 300, "vhangup": 153, "iopl": 172, "ioperm": 173,
    },
    "aarch64": {
        "architecture": 0xC00000B7, "socket": 198, "clone": 220, "unshare": 97, "ioctl": 29, "truncate": 45,
        "ptrace": 117, "mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51, "setns": 268, "keyctl": 219,
        "add_key": 217, "request_key": 218, "bpf": 280, "perf_event_open": 241, "userfaultfd": 282, "init_module": 105,
        "finit_module": 273, "delete_module": 106, "kexec_load": 104, "kexec_file_load": 294, "reboot": 142,
        "swapon": 224, "swapoff": 225, "process_vm_readv": 270, "process_vm_writev": 271, "open_by_handle_at": 265,
        "name_to_handle_at": 264, "kcmp": 272, "acct": 89, "quotactl": 60, "syslog": 116, "settimeofday": 170,
        "clock_settime": 112, "clock_adjtime": 266, "adjtimex": 171, "sethostname": 161, "setdomainname": 162,
        "fanotify_init": 262, "vhangup": 58,
    },
}  # fmt: skip
# Programs ask for these and go on without them where the kernel is too old to have them.
_ABSENT = ("io_uring_setup", "io_uring_enter", "io_uring_register", "clone3")
_HANDLED = frozenset({"architecture", "socket", "clone", "unshare", "ioctl", "truncate", *_ABSENT})

_Instruction = tuple[int, int, int, int]


def supported(machine: str | None = None) -> bool:
    """Whether there is a table for the machine; without one no level holds."""
    return (machine or platform.machine()) in _TABLES


def filter_program(sockets: Sockets, *, truncate: bool = True, machine: str | None = None) -> bytes:
    """The filter as the kernel takes it (struct sock_filter[]). `truncate` False also refuses it by path.

    Raises KeyError for a machine without a table.
    """
    table = {**_COMMON, **_TABLES[machine or platform.machine()]}
    program: list[_Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, table["architecture"]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    if (machine or platform.machine()) == "x86_64":
        program += [(_AT_LEAST, 0, 1, _X32), _refuse(_EPERM)]
    refused = [name for name in table if name not in _HANDLED] + ([] if truncate else ["truncate"])
    program += [one for name in refused for one in _if_number(table[name], [_refuse(_EPERM)])]
    program += [one for name in _ABSENT for one in _if_number(table[name], [_refuse(_ENOSYS)])]
    program += _if_number(table["clone"], _if_bits(_FIRST_AT, _NAMESPACES))
    program += _if_number(table["unshare"], _if_bits(_FIRST_AT, _NAMESPACES | _NEW_TIME))
    program += _if_number(table["ioctl"], _if_one_of(_SECOND_AT, _TERMINAL_INPUT))
    program += _if_number(table["socket"], _unless_one_of(_FIRST_AT, _FAMILIES[sockets]))
    program.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *one) for one in program)


def _refuse(error: int) -> _Instruction:
    return (_RETURN, 0, 0, _ERRNO | error)


def _if_number(number: int, then: list[_Instruction]) -> list[_Instruction]:
    """`then` must end in a return: what it loads is not the number any more."""
    return [(_EQUAL, 0, len(then), number), *then]


def _if_bits(offset: int, bits: int) -> list[_Instruction]:
    return [(_LOAD, 0, 0, offset), (_ANY_BIT, 0, 1, bits), _refuse(_EPERM), (_RETURN, 0, 0, _ALLOW)]


def _if_one_of(offset: int, values: tuple[int, ...]) -> list[_Instruction]:
    tests = [(_EQUAL, len(values) - place, 0, value) for place, value in enumerate(values)]
    return [(_LOAD, 0, 0, offset), *tests, (_RETURN, 0, 0, _ALLOW), _refuse(_EPERM)]


def _unless_one_of(offset: int, values: tuple[int, ...]) -> list[_Instruction]:
    tests = [(_EQUAL, len(values) - place, 0, value) for place, value in enumerate(values)]
    return [(_LOAD, 0, 0, offset), *tests, _refuse(_EPERM), (_RETURN, 0, 0, _ALLOW)]


def filter_path(sockets: Sockets, *, truncate: bool = True) -> str:
    """A file to read the filter from, as long as this process lives: in memory, so that nobody else can change it."""
    return f"/proc/{os.getpid()}/fd/{_in_memory(sockets, truncate)}"


@cache
def _in_memory(sockets: Sockets, truncate: bool) -> int:
    descriptor = os.memfd_create("acp-filter", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(descriptor, filter_program(sockets, truncate=truncate))
    return descriptor
