"""Tests that take too long for every change: `make nightly`. They share the fixtures of tests/integration."""

import pytest

pytest.register_assert_rewrite("java_target", "orders_client", "second_agent")

from pathlib import Path  # noqa: E402

from java_target import compile_targets, deselect_nightly  # noqa: E402
from second_agent import digest_agent  # noqa: E402

__all__ = ["digest_agent", "targets"]

pytest_collection_modifyitems = deselect_nightly


@pytest.fixture(scope="session")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of the compiled programs of tests/targets."""
    return compile_targets(tmp_path_factory.mktemp("targets"))
