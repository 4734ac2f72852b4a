"""The system call filter, read as the kernel reads it, for every processor it has a table for."""

import struct

import pytest

from acp_agent.tools.sandbox.seccomp import Sockets, filter_program, supported

ALLOWED, NOT_PERMITTED, NOT_THERE, KILLED = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# mount, ptrace, unshare, clone, socket, ioctl, read, truncate: from the kernel's own tables.
NUMBERS = {"x86_64": (165, 101, 272, 56, 41, 16, 0, 76), "aarch64": (40, 117, 97, 220, 198, 29, 63, 45)}
UNIX, INTERNET, PACKET = 1, 2, 17


def verdict(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """What the filter answers to a system call: an interpreter of the few instructions it has."""
    given = (*arguments, 0, 0)[:2]
    data = {0: number, 4: architecture, 16: given[0], 24: given[1]}
    steps = list(struct.iter_unpack("=HBBI", program))
    at = accumulator = 0
    while True:
        code, yes, no, value = steps[at]
        if code == 0x06:
            return int(value)
        if code == 0x20:
            accumulator = data[value]
        else:
            holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[code]
            at += yes if holds else no
        at += 1


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_what_leads_past_the_sandbox_is_refused_and_the_rest_is_not(machine: str) -> None:
    assert supported(machine)
    mount, trace, unshare, clone, socket, ioctl, read, truncate = NUMBERS[machine]
    program = filter_program("isolated", machine=machine)

    def asked(number: int, *arguments: int) -> int:
        return verdict(program, ARCHITECTURE[machine], number, *arguments)

    assert [asked(number) for number in (mount, trace)] == [NOT_PERMITTED, NOT_PERMITTED]
    assert [asked(number) for number in (425, 426, 427, 435)] == [NOT_THERE] * 4
    assert [asked(unshare, 0x10000000), asked(unshare, 0x80), asked(unshare, 0x200)] == [
        NOT_PERMITTED,
        NOT_PERMITTED,
        ALLOWED,
    ]
    # A new process, a new thread, and one with a user namespace of its own.
    assert [asked(clone, 17), asked(clone, 0x3D0F00), asked(clone, 0x10000011)] == [ALLOWED, ALLOWED, NOT_PERMITTED]
    assert [asked(ioctl, 0, 0x5412), asked(ioctl, 0, 0x541C), asked(ioctl, 0, 0x5401)] == [
        NOT_PERMITTED,
        NOT_PERMITTED,
        ALLOWED,
    ]
    assert [asked(read), asked(truncate)] == [ALLOWED, ALLOWED]
    assert verdict(filter_program("none", truncate=False, machine=machine), ARCHITECTURE[machine], truncate) == (
        NOT_PERMITTED
    )
    assert verdict(program, 0x40000003, read) == KILLED
    families: dict[Sockets, list[int]] = {
        "isolated": [ALLOWED, ALLOWED, NOT_PERMITTED],
        "internet": [NOT_PERMITTED, ALLOWED, NOT_PERMITTED],
        "none": [NOT_PERMITTED, NOT_PERMITTED, NOT_PERMITTED],
    }
    for sockets, expected in families.items():
        one = filter_program(sockets, machine=machine)
        found = [verdict(one, ARCHITECTURE[machine], socket, family) for family in (UNIX, INTERNET, PACKET)]
        assert found == expected


def test_the_x32_calls_of_x86_64_are_refused() -> None:
    program = filter_program("isolated", machine="x86_64")
    assert verdict(program, ARCHITECTURE["x86_64"], 0x40000000 | 59) == NOT_PERMITTED


def test_without_a_table_there_is_no_filter() -> None:
    assert not supported("riscv64")
    with pytest.raises(KeyError):
        filter_program("none", machine="riscv64")
