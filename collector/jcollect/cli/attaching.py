"""Compiles the BPF programs while the rest of jcollect is imported, and runs a collector with them."""

from __future__ import annotations

from jcollect.cli.attach_options import AttachOptions
from jcollect.sources.bpf.compilation import Compilation


def compile_and_attach(options: AttachOptions) -> None:
    """Attaches until the command is stopped. Raises JcollectError."""
    # Compiling takes a second the first time. Everything else is imported during that time.
    compilation = Compilation.start()
    try:
        from jcollect.cli.attach_session import run_attach

        run_attach(options, compilation)
    finally:
        compilation.close()
