"""The command line. Each verb has a file, which parses the arguments, calls and prints."""

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
from jcollect.malloc_arenas import limit_arenas
from jcollect.procfs.apart import start_ahead
from jcollect.procfs.capabilities import SYS_PTRACE

# The module and function of each verb. A module is imported only when its verb is used, because its imports
# cost time and memory.
_VERBS = {
    "attach": ("attach", "attach"),
    "convert": ("convert", "convert"),
    "diff": ("diff", "diff"),
    "exceptions": ("exceptions", "exceptions"),
    "find": ("find", "find"),
    "flame": ("flame", "flame"),
    "hist": ("hist", "hist"),
    "jvm": ("jvm", "jvm"),
    "observe": ("observe", "observe"),
    "probes": ("probes", "probes"),
    "ps": ("ps", "ps"),
    "record": ("record", "record"),
    "replay": ("replay", "replay"),
    "reset": ("reset", "reset"),
    "run": ("run", "run"),
    "select": ("select", "select"),
    "set": ("set", "set_gates"),
    "slow": ("slow", "slow"),
    "status": ("status", "status"),
    "top": ("top", "top"),
    "tree": ("tree", "tree"),
    "unselect": ("unselect", "unselect"),
}


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_VERBS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if SYS_PTRACE in NEEDED.get(args[0], ()):
            # The reader process starts while the verb's modules are imported.
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
    if context.invoked_subcommand == "run":
        from jcollect.cli.launcher import Launcher

        # The program must not inherit what the next line does.
        context.obj = Launcher()
    if context.invoked_subcommand in _VERBS:
        keep_for(context.invoked_subcommand)


def main() -> None:
    """Runs the command line. Every error that a user can cause is printed as one line on stderr."""
    open_standard_streams()
    # gRPC would log to stderr, which is for status lines.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # jcollect does not need numpy's threads, which use memory and may fail to start.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    limit_arenas()
    _raise_on_signals()
    exit_code = _run()
    # Do not wait for threads: one may be blocked in a write to a pipe that is not read.
    os._exit(exit_code)


def _raise_on_signals() -> None:
    """Makes signals raise Interrupted, so that a verb can clean up. Some verbs install handlers of their
    own."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, interrupt)


def _run() -> int:
    """Runs a verb, flushes its output, and returns the exit code."""
    try:
        if len(sys.argv) < 2:
            # click 8.1 would print this to stdout with exit code 0, and later versions to stderr.
            write_status(cli.get_help(click.Context(cli, info_name="jcollect")))
            return 2
        result = cli(standalone_mode=False, prog_name="jcollect")
        flush_stdout()
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        return _fail(_invalid(error), error.exit_code)
    except Interrupted as error:
        return 128 + error.number
    except (click.Abort, KeyboardInterrupt):
        return 128 + signal.SIGINT
    except BrokenPipeError:
        return 0  # The reader has closed the pipe because it needs no more output.
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    except BaseException as error:
        explained = explain(error, f"run jcollect {' '.join(sys.argv[1:2])}".rstrip())
        return _fail(explained.message, explained.exit_code)


def _invalid(error: click.ClickException) -> str:
    """Returns a sentence about an invalid command line."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    has_format = context is not None and any("-o" in each.opts for each in context.command.params)
    if has_format and isinstance(error, click.NoSuchOption) and error.option_name == "--json":
        # The nearest name would be --json-strings, which only changes the numbers of -o json.
        return "there is no option --json here; use -o json"
    command = context.command_path if context else "jcollect"
    return error.format_message().rstrip(".") + f"; see {command} --help"


def _fail(message: str, exit_code: int) -> int:
    try:
        # Imported here because importing can fail for lack of memory.
        from jcollect.printable import printable

        # The message may contain text from a target.
        message = printable(message)
    except (ImportError, MemoryError, OSError):
        message = repr(message)[1:-1]
    write_status(f"jcollect: {message}")
    return exit_code
