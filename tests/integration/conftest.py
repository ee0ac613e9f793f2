"""Fixtures of the collector's tests: see collector_fixtures.py."""

import pytest

pytest.register_assert_rewrite("collector_fixtures")

from collector_fixtures import bench, target_binary  # noqa: E402

__all__ = ["bench", "target_binary"]
