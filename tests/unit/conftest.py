"""Leaves the unit tests that take long to `make test-long`."""

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("markexpr"):
        chosen = [test for test in items if not test.get_closest_marker("takes_long")]
        config.hook.pytest_deselected(items=[test for test in items if test not in chosen])
        items[:] = chosen
