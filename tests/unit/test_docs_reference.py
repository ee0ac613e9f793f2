"""docs/cli.md and docs/agent-options.md list every existing option, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from jcollect.commands import cli

ROOT = Path(__file__).parents[2]
VERBS = cli.list_commands(click.Context(cli))
# Verbs that share the table of options below "Commands to the agent".
COMMANDS = {"select", "unselect", "set", "status", "reset"}


def sections(page: str) -> dict[str, str]:
    """Returns the text below each heading of a page in docs/."""
    text = (ROOT / "docs" / page).read_text()
    parts = re.split(r"^#+ +(.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def documented_options(verb: str) -> set[str]:
    """Returns the long options of a verb in the rows of its tables, and in its usage examples."""
    found = sections("cli.md")
    own = next(text for heading, text in found.items() if verb in heading.split(" and ") or heading == verb)
    options: set[str] = set()
    for row in re.findall(r"^\| (.*?) \|", own, re.MULTILINE):
        options |= set(re.findall(r"--[a-z-]+", row))
    for usage in re.findall(rf"`jcollect {verb} [^`]*`", own):
        options |= set(re.findall(r"--[a-z-]+", usage))
    if verb in COMMANDS:
        for row, verbs in re.findall(r"^\| (.*?) \| (.*?) \|", found["Commands to the agent"], re.MULTILINE):
            is_named = f"`{verb}`" in verbs
            if is_named != verbs.startswith("all"):  # "all", or "all but" followed by exceptions
                options |= set(re.findall(r"--[a-z-]+", row))
    return options


@pytest.mark.parametrize("verb", VERBS)
def test_the_options_of_a_verb_are_those_of_the_page(verb: str) -> None:
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None
    options = {
        name
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.hidden
        for name in parameter.opts
        if name.startswith("--")
    }
    assert documented_options(verb) == options


def test_every_verb_is_in_the_table() -> None:
    table = sections("cli.md")["Command line reference"]
    assert set(re.findall(r"^\| \[`([a-z]+)`\]", table, re.MULTILINE)) == set(VERBS)


def test_the_options_of_the_agent_are_those_of_the_page() -> None:
    source = (ROOT / "java-agent/src/main/java/io/jprobe/agent/Options.java").read_text()
    # Only jcollect passes these, when it loads the agent.
    accepted = set(re.findall(r'case "([a-z-]+)":', source)) - {"version", "report"}
    assert len(accepted) >= 7
    table = sections("agent-options.md")["Agent options"]
    assert set(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)) == accepted
