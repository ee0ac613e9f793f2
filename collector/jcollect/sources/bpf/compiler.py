"""A program of its own: compiles the handlers with bcc, and writes them to stdout as they are kept.

    python -m jcollect.sources.bpf.compiler PARENT SOURCE FLAG...

PARENT is the PID of who waits for it, and SOURCE the folder of events.c. What goes wrong is said on
stderr, by bcc and by us. A process of its own, because bcc brings clang and LLVM with it: 190 MB, for as
long as jcollect would run.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

from jcollect.sources.bpf.program import FUNCTIONS, MAPS, Program, unlinked

_PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, source, *flags = sys.argv[1:]
    _die_with(int(parent))
    # clang and bcc print where they like; stdout is for the result alone.
    result = os.dup(1)
    os.dup2(2, 1)
    content = _compiled(Path(source), flags).encoded()
    with open(result, "wb") as output:
        output.write(content)
    sys.stderr.flush()
    # bcc would tidy up for as long as it takes to free all that.
    os._exit(0)


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _compiled(source: Path, flags: list[str]) -> Program:
    # bcc looks here for kernel headers; ours are enough for handlers of user-space probes.
    os.environ["BCC_KERNEL_SOURCE"] = str(source)
    import bcc

    try:
        # It makes the maps as well, of the smallest sizes that there can be, and for no longer than it runs.
        module = bcc.BPF(text=(source / "events.c").read_bytes(), cflags=flags)
    except Exception as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(1)
    maps = [bcc.lib.bpf_table_fd(module.module, name.encode()) for name in MAPS]
    functions = {name: unlinked(module.dump_func(name.encode()), maps) for name in FUNCTIONS}
    return Program(bcc.lib.bpf_module_license(module.module).decode(), functions)


if __name__ == "__main__":
    main()
