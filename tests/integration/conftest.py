"""What integration tests share: see collector_fixtures.py, java_target.py and second_agent.py."""

from pathlib import Path

import pytest

pytest.register_assert_rewrite("collector_fixtures", "java_target", "second_agent")

from collector_fixtures import bench, target_binary  # noqa: E402

from java_target import compile_targets  # noqa: E402
from second_agent import digest_agent  # noqa: E402

__all__ = ["bench", "digest_agent", "target_binary", "targets"]


@pytest.fixture(scope="session")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the compiled programs of tests/targets."""
    return compile_targets(tmp_path_factory.mktemp("targets"))
