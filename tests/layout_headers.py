"""Where the C programs of the tests find the generated layouts (layout/README.md)."""

from __future__ import annotations

from pathlib import Path

# An option of gcc.
INCLUDE_LAYOUTS = f"-I{Path(__file__).resolve().parents[1]}/build/layout/c"
