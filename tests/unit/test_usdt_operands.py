"""The arguments of USDT notes: every form of operand, on both machines, and whatever else a note may say."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jcollect.layout.usdt import (
    OPERAND_KIND_CONSTANT,
    OPERAND_KIND_MEMORY,
    OPERAND_KIND_REGISTER,
    OPERAND_LIMITS_MOST,
    OPERAND_LIMITS_NONE,
)
from jcollect.probes.known_usdt import known_arguments
from jcollect.probes.usdt_operands import Operand, OperandError, parse_operand, split_arguments

NONE = OPERAND_LIMITS_NONE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8@%rdi", Operand(OPERAND_KIND_REGISTER, 8, False, 0, 112)),
        ("-4@%eax", Operand(OPERAND_KIND_REGISTER, 4, True, 0, 80)),
        ("1@%dil", Operand(OPERAND_KIND_REGISTER, 1, False, 0, 112)),
        ("-2@%r13w", Operand(OPERAND_KIND_REGISTER, 2, True, 0, 16)),
        ("-4@%r9d", Operand(OPERAND_KIND_REGISTER, 4, True, 0, 64)),
        ("1@$1", Operand(OPERAND_KIND_CONSTANT, 1, False, 1)),
        ("-8@$-0x10", Operand(OPERAND_KIND_CONSTANT, 8, True, -16)),
        ("8@$18446744073709551615", Operand(OPERAND_KIND_CONSTANT, 8, False, -1)),
        ("1@37(%r14)", Operand(OPERAND_KIND_MEMORY, 1, False, 37, 8)),
        ("-4@-144(%rbp)", Operand(OPERAND_KIND_MEMORY, 4, True, -144, 32)),
        ("8@(%rsp)", Operand(OPERAND_KIND_MEMORY, 8, False, 0, 152)),
        ("8@16(%rax,%rcx,8)", Operand(OPERAND_KIND_MEMORY, 8, False, 16, 80, 88, 8)),
        ("8@(%rax,%rcx)", Operand(OPERAND_KIND_MEMORY, 8, False, 0, 80, 88, 1)),
    ],
)
def test_operands_of_x86_64(text: str, expected: Operand) -> None:
    assert parse_operand(text, "x86_64") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8@x0", Operand(OPERAND_KIND_REGISTER, 8, False, 0, 0)),
        ("-4@w21", Operand(OPERAND_KIND_REGISTER, 4, True, 0, 168)),
        ("8@sp", Operand(OPERAND_KIND_REGISTER, 8, False, 0, 248)),
        ("8@[x29, -24]", Operand(OPERAND_KIND_MEMORY, 8, False, -24, 232)),
        ("8@[sp,16]", Operand(OPERAND_KIND_MEMORY, 8, False, 16, 248)),
        ("4@[x1]", Operand(OPERAND_KIND_MEMORY, 4, False, 0, 8)),
        ("-4@-1", Operand(OPERAND_KIND_CONSTANT, 4, True, -1)),
    ],
)
def test_operands_of_aarch64(text: str, expected: Operand) -> None:
    assert parse_operand(text, "aarch64") == expected


@pytest.mark.parametrize(
    ("text", "machine", "reason"),
    [
        ("8f@%xmm0", "x86_64", "floating-point"),
        ("8@%xmm0", "x86_64", "does not see the register xmm0"),
        ("8@symbol(%rip)", "x86_64", "before the program is linked"),
        ("8@8(%rip)", "x86_64", "where the program is loaded"),
        ("8@$symbol", "x86_64", "before the program is linked"),
        ("8@$99999999999999999999", "x86_64", "more than 64 bits"),
        ("3@%rdi", "x86_64", "no argument of a note"),
        ("8@x31", "aarch64", "does not see the register x31"),
        ("8@[x1, x2]", "aarch64", "does not see the register"),
        ("8@%r3", "s390x", "is not known"),
    ],
)
def test_what_a_uprobe_cannot_see_is_refused(text: str, machine: str, reason: str) -> None:
    with pytest.raises(OperandError, match=re.escape(reason)):
        parse_operand(text, machine)


def test_arguments_are_divided_outside_of_brackets() -> None:
    assert split_arguments("") == []
    assert split_arguments("8@x0 -4@[sp, 16] 8@[x1]") == ["8@x0", "-4@[sp, 16]", "8@[x1]"]
    assert split_arguments("-8@%rax 8@(%rdx,%rcx,4)") == ["-8@%rax", "8@(%rdx,%rcx,4)"]


@pytest.mark.parametrize("text", ["8@[" * 30_000, "[" * 30_000, "8@%rax " * 30_000, "8@[x] " * 30_000])
def test_so_many_arguments_are_found_and_no_more(text: str) -> None:
    assert len(split_arguments(text)) == OPERAND_LIMITS_MOST
    assert split_arguments("1@a 2@b 3@c", most=2) == ["1@a", "2@b"]


@given(
    st.text(st.sampled_from("0123456789abcdefrxwsp%$()[],-@ f#") | st.characters(), max_size=60),
    st.sampled_from(["x86_64", "aarch64", "riscv64"]),
)
def test_any_text_is_an_operand_or_refused(text: str, machine: str) -> None:
    for part in split_arguments(text):
        try:
            operand = parse_operand(part, machine)
        except OperandError:
            continue
        assert operand.width in (1, 2, 4, 8)
        assert -(1 << 63) <= operand.value < 1 << 63
        assert 0 <= operand.base <= 256
        assert operand.other == NONE or 0 <= operand.other <= 160
        assert operand.scale in (1, 2, 4, 8)


def test_known_probes_are_described_only_if_their_notes_agree() -> None:
    known = known_arguments("hotspot", "monitor__contended__enter", 4)
    assert known is not None
    assert [argument.name for argument in known] == ["thread_id", "monitor_id", "class"]
    assert known_arguments("hotspot", "monitor__contended__enter", 3) is None
    assert known_arguments("other", "monitor__contended__enter", 4) is None
