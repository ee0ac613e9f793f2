"""The packages depend downwards only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import jcollect

ROOT = Path(jcollect.__file__).parent
LAYERS = ["discovery", "attach", "stream", "rpc", "commands"]


@pytest.mark.parametrize("layer", LAYERS)
def test_no_import_runs_upwards(layer: str) -> None:
    above = {f"jcollect.{name}" for name in LAYERS[LAYERS.index(layer) + 1 :]}
    for file in (ROOT / layer).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                package = ".".join(node.module.split(".")[:2])
                assert package not in above, f"{file.name} imports {node.module}"
