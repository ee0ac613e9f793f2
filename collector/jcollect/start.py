"""The program `jcollect`. Importing this module makes Ctrl-C end the process at once and without a traceback,
until `main` handles signals: the other imports take a while."""

from __future__ import annotations

import gc
import signal

# Reading 60,000 probes makes a million objects that stay, and none in a cycle. With the default of 700, the
# garbage collector takes half of that time.
COLLECT_AFTER_OBJECTS = 50_000

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def main() -> None:
    """Runs the command line."""
    gc.set_threshold(COLLECT_AFTER_OBJECTS)
    from jcollect.commands import main as run

    run()
