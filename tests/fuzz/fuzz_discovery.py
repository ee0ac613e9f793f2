"""Fuzzes a reader of a target's data, or of the kernel's types, guided by coverage. Not part of the tests.

    python3 -m venv /tmp/fuzz && /tmp/fuzz/bin/pip install atheris && mkdir /tmp/found
    PYTHONPATH=collector:tests:.venv/lib/python3.11/site-packages \\
        /tmp/fuzz/bin/python tests/fuzz/fuzz_discovery.py library /tmp/found tests/corpus/library

tests/hostile.py has the readers. An input that breaks a reader is left as crash-*. It belongs in
tests/corpus/<reader>, under a name that states its fault, where a unit test replays it.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["jcollect.probes", "jcollect.sources.bpf.btf"]):
    import hostile


def main() -> None:
    reader = hostile.READERS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, reader)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
