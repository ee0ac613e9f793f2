"""Compiles the BPF programs while the rest of jcollect is imported, and runs a collector with them."""

from __future__ import annotations

from jcollect.cli.attach_options import AttachOptions
from jcollect.probes.permission import can_place_uprobes
from jcollect.sources.bpf.compilation import Compilation


def begin_compilation() -> Compilation:
    """Begins to compile the BPF programs, unless this process may not load them."""
    return Compilation.start() if can_place_uprobes() else Compilation.without_rights()


def compile_and_attach(options: AttachOptions) -> None:
    """Attaches until the command is stopped. Raises JcollectError."""
    # Compiling takes a second the first time. Everything else is imported during that time.
    compilation = begin_compilation()
    try:
        from jcollect.cli.attach_session import run_attach

        run_attach(options, compilation)
    finally:
        compilation.close()
