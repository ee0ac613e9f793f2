"""Building and reading the wheel."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from java_target import ROOT, run


def build_wheel(folder: Path, source: Path = ROOT) -> Any:
    """Builds the wheel of a checkout into a folder. Returns the finished process."""
    return run(
        sys.executable, "-m", "pip", "wheel", source, "--no-deps", "--no-build-isolation", "-q", "-w", folder
    )


def built_wheel(folder: Path) -> Path:
    built = build_wheel(folder)
    assert built.returncode == 0, built
    (wheel,) = folder.glob("jprobe-*.whl")
    return wheel
