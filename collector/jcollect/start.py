"""The program `jcollect`. Importing this module makes Ctrl-C end the process at once and without a traceback,
until `main` handles signals: the other imports take a while."""

from __future__ import annotations

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def main() -> None:
    """Runs the command line."""
    from jcollect.commands import main as run

    run()
