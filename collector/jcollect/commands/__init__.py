"""The command line: one file per verb, each of which parses, calls and prints."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from types import FrameType

import click

from jcollect import __version__
from jcollect.cli.privileges import NEEDED, keep_for
from jcollect.console import flush_stdout, open_standard_streams, write_status
from jcollect.errors import Interrupted, explain
from jcollect.procfs.apart import start_ahead
from jcollect.procfs.capabilities import SYS_PTRACE

# The verbs, and the module and name of each where they differ. Loaded when they are asked for: what one needs
# takes another's time and memory.
_VERBS = {
    "attach": ("attach", "attach"),
    "observe": ("observe", "observe"),
    "probes": ("probes", "probes"),
    "ps": ("ps", "ps"),
    "reset": ("reset", "reset"),
    "select": ("select", "select"),
    "set": ("set", "set_gates"),
    "status": ("status", "status"),
    "top": ("top", "top"),
    "unselect": ("unselect", "unselect"),
}


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_VERBS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if SYS_PTRACE in NEEDED.get(args[0], ()):
            # It starts while the verb's modules are imported.
            start_ahead()
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        module, name = _VERBS[cmd_name]
        command = getattr(import_module(f"jcollect.commands.{module}"), name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="jcollect")
@click.pass_context
def cli(context: click.Context) -> None:
    """Trace methods of running Java programs through the probes of the jprobe agent.

    Start with `jcollect ps` and `jcollect probes PID`, then `jcollect attach PID -o compact`.
    """
    if context.invoked_subcommand in _VERBS:
        keep_for(context.invoked_subcommand)


def main() -> None:
    """The console script: every error that a user can cause is one line on stderr."""
    open_standard_streams()
    # gRPC logs on stderr, which belongs to our status lines.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # numpy's threads, which nothing here needs, take memory and may not be had.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _raise_on_signals()
    exit_code = _run()
    # Without waiting for threads: of ours, and of libraries, one may be stuck in a write that nobody reads.
    os._exit(exit_code)


def _raise_on_signals() -> None:
    """Lets a verb clean up when it is ended; those that end in order install handlers of their own."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, interrupt)


def _run() -> int:
    """The exit code; all output is written then."""
    try:
        result = cli(standalone_mode=False, prog_name="jcollect")
        flush_stdout()
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        write_status(error.format_message())
        return 2
    except click.ClickException as error:
        return _fail(error.format_message().rstrip(".") + "; see jcollect --help", error.exit_code)
    except Interrupted as error:
        return 128 + error.number
    except (click.Abort, KeyboardInterrupt):
        return 128 + signal.SIGINT
    except BrokenPipeError:
        return 0  # Who read our output has seen enough.
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    except BaseException as error:
        told = explain(error, f"go on with jcollect {' '.join(sys.argv[1:2])}".rstrip())
        return _fail(told.message, told.exit_code)


def _fail(message: str, exit_code: int) -> int:
    try:
        # Imported here, as all that only some need.
        from jcollect.printable import printable

        # Names and reasons of the traced process may be in it.
        message = printable(message)
    except (ImportError, MemoryError, OSError):
        message = repr(message)[1:-1]
    write_status(f"jcollect: {message}")
    return exit_code
