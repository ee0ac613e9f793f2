"""The packages depend downwards only, Python's and Java's."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import jcollect

ROOT = Path(jcollect.__file__).parent
LAYERS = ["procfs", "discovery", "control", "attach", "stream", "rpc", "commands"]


@pytest.mark.parametrize("layer", LAYERS)
def test_no_import_runs_upwards(layer: str) -> None:
    above = {f"jcollect.{name}" for name in LAYERS[LAYERS.index(layer) + 1 :]}
    for file in (ROOT / layer).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                package = ".".join(node.module.split(".")[:2])
                assert package not in above, f"{file.name} imports {node.module}"


JAVA_ROOT = Path(__file__).resolve().parents[2] / "java-agent/src/main/java/io/jprobe"
JAVA_LAYERS = ["stapsdt", "calls", "classfile", "select", "capture", "catalog", "weave", "control", "agent"]


@pytest.mark.parametrize("layer", JAVA_LAYERS)
def test_no_java_import_runs_upwards(layer: str) -> None:
    files = list((JAVA_ROOT / layer).glob("*.java"))
    assert files
    above = JAVA_LAYERS[JAVA_LAYERS.index(layer) + 1 :]
    for file in files:
        for package in re.findall(r"io\.jprobe\.(\w+)\.", file.read_text()):
            assert package not in above, f"{file.name} refers to io.jprobe.{package}"
