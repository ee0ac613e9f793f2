"""Fixtures of the recipes. `--write-page` writes docs/recipes.md with the output of this run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("java_target")

from conditions import require_bpf  # noqa: E402
from recipes.page import PAGE, Outputs, outputs_of, render  # noqa: E402
from recipes.prepare import check_jars  # noqa: E402
from recipes.programs import PROGRAMS  # noqa: E402
from recipes.stage import Stage  # noqa: E402


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-page", action="store_true", help="write docs/recipes.md")


@pytest.fixture(scope="session")
def outputs(request: pytest.FixtureRequest) -> Iterator[Outputs]:
    """Collects the output of each recipe for the page."""
    collected = outputs_of(PAGE.read_text()) if PAGE.exists() else {}
    yield collected
    if request.config.getoption("--write-page"):
        PAGE.write_text(render(PROGRAMS, collected))


@pytest.fixture(scope="session")
def jars() -> None:
    require_bpf()
    check_jars()


@pytest.fixture(scope="session")
def stage(jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory)
    yield stage
    stage.close()
