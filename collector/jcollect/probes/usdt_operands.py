"""Parses the arguments of a USDT note: "-4@%eax 8@152(%rdi) 1@$1" says where each is when the probe fires.

Format: https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation. A probe's arguments are operands
of the machine's assembler: registers, memory, constants.
"""

from __future__ import annotations

import platform
import re
from typing import NamedTuple

from jcollect.layout.usdt import (
    OPERAND_KIND_CONSTANT,
    OPERAND_KIND_MEMORY,
    OPERAND_KIND_REGISTER,
    OPERAND_LIMITS_MOST,
    OPERAND_LIMITS_NONE,
)


class OperandError(ValueError):
    """An argument cannot be read at a uprobe. The message is a clause that says why."""


class Operand(NamedTuple):
    """Where one argument is. See layout/usdt.toml: registers by their offsets in struct pt_regs."""

    kind: int
    width: int
    is_signed: bool
    value: int = 0
    base: int = 0
    other: int = OPERAND_LIMITS_NONE
    scale: int = 1


# struct pt_regs of arch/x86, and the names of the parts of its registers.
_X86_OFFSETS = {
    "r15": 0, "r14": 8, "r13": 16, "r12": 24, "rbp": 32, "rbx": 40, "r11": 48, "r10": 56, "r9": 64, "r8": 72,
    "rax": 80, "rcx": 88, "rdx": 96, "rsi": 104, "rdi": 112, "rip": 128, "rsp": 152,
}  # fmt: skip
_X86_PARTS = {
    **{name: name for name in _X86_OFFSETS if name != "rip"},
    **{f"e{name}": f"r{name}" for name in ("ax", "bx", "cx", "dx", "si", "di", "bp", "sp")},
    **{name: f"r{name}" for name in ("ax", "bx", "cx", "dx", "si", "di", "bp", "sp")},
    **{f"{name}l": f"r{name}x" for name in "abcd"},
    **{f"{name}l": f"r{name}" for name in ("si", "di", "bp", "sp")},
    **{f"r{number}{part}": f"r{number}" for number in range(8, 16) for part in "dwb"},
}
_X86_MEMORY = re.compile(r"(-?(?:0x[0-9a-f]+|\d+))?\(%(\w+)(?:,%(\w+)(?:,([1248]))?)?\)", re.ASCII)
# struct user_pt_regs of arch/arm64: x0 to x30, sp, pc.
_ARM_SP = 248
_ARM_MEMORY = re.compile(r"\[(\w+)(?:, ?#?(-?\d+))?\]", re.ASCII)
_NUMBER = re.compile(r"-?(?:0x[0-9a-f]+|\d+)", re.ASCII | re.IGNORECASE)
_ARGUMENT = re.compile(r"(-?)([1248])(f?)@(.+)", re.ASCII)
# An argument; brackets may have a space in them.
_NEXT = re.compile(r"[^ \[]*(?:\[[^\]]{0,64}\][^ \[]*)?", re.ASCII)


def split_arguments(arguments: str, most: int = OPERAND_LIMITS_MOST) -> list[str]:
    """Returns the arguments of a note one by one, at most so many."""
    found: list[str] = []
    at = 0
    while at < len(arguments) and len(found) < most:
        end = _NEXT.match(arguments, at)
        assert end is not None
        # Brackets that are not closed belong to no argument.
        stop = max(end.end(), at + 1)
        found.append(arguments[at:stop])
        at = stop + 1 if arguments[stop : stop + 1] == " " else stop
    return found


def parse_operand(argument: str, machine: str = platform.machine()) -> Operand:
    """Returns where an argument is: "-4@%eax". Raises OperandError."""
    match = _ARGUMENT.fullmatch(argument)
    if match is None:
        raise OperandError(f"{argument!r} is no argument of a note")
    sign, size, is_float, place = match.groups()
    if is_float:
        raise OperandError("it is in a register for floating-point numbers, which a uprobe does not see")
    of_size = int(size), bool(sign)
    if machine == "x86_64":
        return _x86_operand(place, *of_size)
    if machine == "aarch64":
        return _arm_operand(place, *of_size)
    raise OperandError(f"its place on {machine} is not known")


def _x86_operand(place: str, size: int, is_signed: bool) -> Operand:
    if place.startswith("$"):
        return Operand(OPERAND_KIND_CONSTANT, size, is_signed, _number(place[1:]))
    if place.startswith("%"):
        return Operand(OPERAND_KIND_REGISTER, size, is_signed, base=_x86_register(place[1:]))
    match = _X86_MEMORY.fullmatch(place)
    if match is None:
        raise OperandError(f"its place {place} is not known before the program is linked")
    offset, base, index, scale = match.groups()
    if base == "rip":
        raise OperandError(f"its place {place} depends on where the program is loaded")
    return Operand(
        OPERAND_KIND_MEMORY,
        size,
        is_signed,
        _number(offset) if offset else 0,
        _x86_register(base),
        _x86_register(index) if index else OPERAND_LIMITS_NONE,
        int(scale or 1),
    )


def _x86_register(name: str) -> int:
    whole = _X86_PARTS.get(name)
    if whole is None:
        raise OperandError(f"a uprobe does not see the register {name}")
    return _X86_OFFSETS[whole]


def _arm_operand(place: str, size: int, is_signed: bool) -> Operand:
    if _NUMBER.fullmatch(place):
        return Operand(OPERAND_KIND_CONSTANT, size, is_signed, _number(place))
    match = _ARM_MEMORY.fullmatch(place)
    if match is None:
        return Operand(OPERAND_KIND_REGISTER, size, is_signed, base=_arm_register(place))
    base, offset = match.groups()
    return Operand(OPERAND_KIND_MEMORY, size, is_signed, int(offset or 0), _arm_register(base))


def _arm_register(name: str) -> int:
    if name == "sp":
        return _ARM_SP
    number = re.fullmatch(r"[xw](\d{1,2})", name, re.ASCII)
    if number is None or int(number[1]) > 30:
        raise OperandError(f"a uprobe does not see the register {name}")
    return 8 * int(number[1])


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise OperandError(f"{text} is not known before the program is linked")
    number = int(text, 0) if "x" in text.lower() else int(text)
    if not -(1 << 63) <= number < 1 << 64:
        raise OperandError(f"{text} has more than 64 bits")
    return number - (1 << 64) if number >= 1 << 63 else number
