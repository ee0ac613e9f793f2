"""The include path of the generated layouts (layout/README.md) for the C programs of the tests."""

from __future__ import annotations

from pathlib import Path

# An option for gcc.
INCLUDE_LAYOUTS = f"-I{Path(__file__).resolve().parents[1]}/build/layout/c"
