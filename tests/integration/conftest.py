"""Fixtures of all integration tests: see collector_fixtures.py, java_target.py and second_agent.py."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("collector_fixtures", "java_target", "orders_client", "second_agent")

from collector_fixtures import bench, target_binary  # noqa: E402

from java_target import compile_targets, deselect_nightly  # noqa: E402
from second_agent import digest_agent  # noqa: E402

__all__ = ["bench", "digest_agent", "shared_targets", "target_binary", "targets"]

pytest_collection_modifyitems = deselect_nightly


@pytest.fixture(scope="session")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of the compiled programs of tests/targets."""
    return compile_targets(tmp_path_factory.mktemp("targets"))


@pytest.fixture(scope="session")
def shared_targets(targets: Path) -> Iterator[Path]:
    """Returns the folder of the compiled programs, outside /tmp: every user can read them, and no test's
    private /tmp hides them.
    """
    folder = Path(tempfile.mkdtemp(prefix="targets-", dir="/var/tmp"))
    shutil.copytree(targets, folder, dirs_exist_ok=True)
    subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
    yield folder
    shutil.rmtree(folder)
