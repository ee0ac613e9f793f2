"""The packages depend downwards only, Python's and Java's."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import jcollect

ROOT = Path(jcollect.__file__).parent
LAYERS = [
    "layout", "procfs", "probes", "control", "sources", "hub", "view", "session", "metrics", "sinks", "rpc",
    "web", "otlp", "recordings", "convert", "cli", "commands",
]  # fmt: skip
# Modules at the top of jcollect are below all layers, except the two that start it.
STARTS = ["__init__", "__main__", "start"]


def imports_of(file: Path) -> set[str]:
    """Returns the modules and packages of jcollect that a file imports, as dotted names below jcollect."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("jcollect"):
            package = ROOT.parent / Path(*node.module.split("."))
            for alias in node.names:
                is_module = (package / f"{alias.name}.py").exists() or (package / alias.name).is_dir()
                found.add(f"{node.module}.{alias.name}" if is_module else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("jcollect")}
    return {name.removeprefix("jcollect").removeprefix(".") for name in found} - {""}


def name_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_every_package_is_a_layer() -> None:
    assert {file.parent.name for file in ROOT.glob("*/__init__.py")} == set(LAYERS)


@pytest.mark.parametrize("layer", LAYERS)
def test_no_import_runs_upwards(layer: str) -> None:
    above = LAYERS[LAYERS.index(layer) + 1 :]
    files = list((ROOT / layer).rglob("*.py"))
    assert files
    for file in files:
        for name in imports_of(file):
            assert name.split(".")[0] not in above, f"{file.name} imports {name}"


def test_the_foundation_imports_no_layer() -> None:
    for file in ROOT.glob("*.py"):
        if file.stem not in STARTS:
            assert not {name.split(".")[0] for name in imports_of(file)} & set(LAYERS), file.name


def test_above_sources_only_their_interface_is_known() -> None:
    """The session opens the sources, and the command line sets them up; nothing else knows their kinds."""
    known = {
        f"sources.{name}" for name in ("base", "columns", "explanation", "loss_stage", "recorder", "stacks")
    }
    found = {}
    for layer in LAYERS[LAYERS.index("sources") + 1 :]:
        for file in (ROOT / layer).rglob("*.py"):
            others = {name for name in imports_of(file) if name.startswith("sources")} - known
            if others:
                found[name_of(file)] = others
    assert found == {
        "session.open_sources": {
            "sources.bpf.compilation",
            "sources.records.library",
            "sources.bpf.links",
            "sources.bpf.source",
            "sources.threads.explainer",
            "sources.direct.activation",
            "sources.direct.source",
        },
        "cli.attach_session": {"sources.bpf.compilation"},
        "cli.attaching": {"sources.bpf.compilation"},
        "cli.run_session": {"sources.bpf.compilation"},
    }


def test_no_module_imports_itself_through_others() -> None:
    graph = {name_of(file): imports_of(file) for file in ROOT.rglob("*.py")}
    TopologicalSorter(graph).prepare()


JAVA_ROOT = Path(__file__).resolve().parents[2] / "java-agent/src/main/java/io/jprobe"
# From the bottom up.
JAVA_LAYERS = [
    "stub",
    "stapsdt",
    "calls",
    "classfile",
    "select",
    "capture",
    "catalog",
    "find",
    "weave",
    "guard",
    "watch",
    "control",
    "agent",
]
MAX_JAVA_LINES = 400


def test_no_java_file_is_long() -> None:
    lengths = {file.name: len(file.read_text().splitlines()) for file in JAVA_ROOT.rglob("*.java")}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_JAVA_LINES} == {}


def test_every_java_package_has_a_layer() -> None:
    assert {file.parent.name for file in JAVA_ROOT.rglob("*.java")} == set(JAVA_LAYERS)


@pytest.mark.parametrize("layer", JAVA_LAYERS)
def test_no_java_import_runs_upwards(layer: str) -> None:
    files = list((JAVA_ROOT / layer).glob("*.java"))
    assert files
    above = JAVA_LAYERS[JAVA_LAYERS.index(layer) + 1 :]
    for file in files:
        for package in re.findall(r"io\.jprobe\.(\w+)\.", file.read_text()):
            assert package not in above, f"{file.name} refers to io.jprobe.{package}"


def test_the_agent_depends_on_no_locale_and_no_default_charset() -> None:
    """A Turkish or Arabic locale would change letters and digits of messages and names."""
    dependent = re.compile(
        r"String\.format\(\s*(?!\s|Locale\.ROOT)"
        r"|\.(toUpperCase|toLowerCase|getBytes)\(\)|\.formatted\(|\.printf\("
        r"|new (Formatter|Scanner|FileReader|FileWriter)\(|Charset\.defaultCharset"
    )
    found = [
        f"{file.name}: {match[0]}"
        for folder in ("main", "boot")
        for file in (ROOT.parents[1] / "java-agent/src" / folder).rglob("*.java")
        for match in dependent.finditer(file.read_text())
    ]
    assert found == []
