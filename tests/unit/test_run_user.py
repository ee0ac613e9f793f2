"""The user as whom `jcollect run` starts a program."""

from __future__ import annotations

import pytest

from conditions import as_root
from jcollect.cli.run_session import _account
from jcollect.errors import InvalidCommandError


@as_root
@pytest.mark.parametrize("caller", [None, "", "0", "x"])
def test_root_without_a_caller_has_to_name_a_user(
    monkeypatch: pytest.MonkeyPatch, caller: str | None
) -> None:
    monkeypatch.delenv("SUDO_UID", raising=False)
    if caller is not None:
        monkeypatch.setenv("SUDO_UID", caller)
    with pytest.raises(InvalidCommandError, match="name one with --user NAME") as rejected:
        _account(None, "java")
    assert rejected.value.exit_code == 2
