#!/usr/bin/env python3
"""Generates the C header, the Java classes and the Python package from the descriptions beside this file.

    python3 layout/generate.py

Needs nothing but Python 3.11: make and Gradle run it before anything else is there. Files whose content has
not changed keep their modification time.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from description import LayoutError, read_descriptions
from to_c import c_header
from to_java import PACKAGE, java_classes
from to_python import python_package

ROOT = Path(__file__).resolve().parent.parent
PROTO = "proto/jprobe/v1/probe.proto"
# bcc finds headers beside events.c, in a checkout and in an installed package.
HEADERS = ("build/layout/c/jprobe/layout.h", "bpf/include/jprobe/layout.h")
JAVA = f"build/layout/java/{PACKAGE.replace('.', '/')}"
PYTHON = "collector/jcollect/layout"


def generated_files(root: Path) -> dict[Path, str]:
    """Returns the content of all generated files. Raises LayoutError."""
    descriptions = read_descriptions(root / "layout", root / PROTO)
    header = c_header(descriptions)
    return {
        **{root / path: header for path in HEADERS},
        **{root / JAVA / name: content for name, content in java_classes(descriptions).items()},
        **{root / PYTHON / name: content for name, content in python_package(descriptions).items()},
    }


def main() -> None:
    try:
        files = generated_files(ROOT)
    except LayoutError as error:
        sys.exit(f"cannot generate the layouts: {error}")
    for file, content in files.items():
        if not file.exists() or file.read_text() != content:
            file.parent.mkdir(parents=True, exist_ok=True)
            # Replaced in one step, because a compiler may be reading it.
            unfinished = file.with_suffix(f".{os.getpid()}")
            unfinished.write_text(content)
            unfinished.replace(file)
    for folder in {ROOT / JAVA, ROOT / PYTHON}:
        for file in set(folder.glob("*.java")) | set(folder.glob("*.py")):
            if file not in files:
                file.unlink()


if __name__ == "__main__":
    main()
