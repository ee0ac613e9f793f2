"""A separate program: compiles the BPF programs with bcc, and writes them to stdout as the cache stores them.

    python -m jcollect.sources.bpf.compiler PARENT FOLDER FILE FLAG...

PARENT is the PID of the process that waits for it, and FOLDER that of the FILE to compile. Errors go to
stderr. It is a separate process because bcc loads clang and LLVM, 190 MB, which would stay in memory as long
as jcollect runs.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

from jcollect.sources.bpf.program import SOURCES, Program, unlinked

_PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, folder, file, *flags = sys.argv[1:]
    _die_with(int(parent))
    # clang and bcc print to stdout as well; it is reserved for the result.
    result = os.dup(1)
    os.dup2(2, 1)
    content = _compiled(Path(folder), file, flags).encoded()
    with open(result, "wb") as output:
        output.write(content)
    sys.stderr.flush()
    # A regular exit would wait for bcc to free all its memory.
    os._exit(0)


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _compiled(folder: Path, file: str, flags: list[str]) -> Program:
    # Folder with the kernel headers that bcc uses. Those of jcollect suffice for user-space probes.
    os.environ["BCC_KERNEL_SOURCE"] = str(folder)
    import bcc

    try:
        # This creates the maps as well, with the smallest possible sizes, and only until this process ends.
        module = bcc.BPF(text=(folder / file).read_bytes(), cflags=flags)
    except Exception as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(1)
    maps = [bcc.lib.bpf_table_fd(module.module, name.encode()) for name in SOURCES[file].maps]
    functions = {name: unlinked(module.dump_func(name.encode()), maps) for name in SOURCES[file].functions}
    return Program(bcc.lib.bpf_module_license(module.module).decode(), functions)


if __name__ == "__main__":
    main()
