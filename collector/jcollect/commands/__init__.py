"""The command line: one file per verb, each of which parses, calls and prints."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module

import click

from jcollect import __version__
from jcollect.errors import JcollectError

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

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        module, name = _VERBS[cmd_name]
        command = getattr(import_module(f"jcollect.commands.{module}"), name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="jcollect")
def cli() -> None:
    """Trace methods of running Java programs through the probes of the jprobe agent.

    Start with `jcollect ps` and `jcollect probes PID`, then `jcollect attach PID -o compact`.
    """


def main() -> None:
    """The console script: every error that a user can cause is one line on stderr."""
    # gRPC logs on stderr, which belongs to our status lines.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        cli(standalone_mode=False, prog_name="jcollect")
    except JcollectError as error:
        _fail(error.message, error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(2)
    except click.ClickException as error:
        _fail(error.format_message().rstrip(".") + "; see jcollect --help", error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:
        # Who read our output has seen enough. Keeps the interpreter from complaining at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, exit_code: int) -> None:
    # Imported here, as all that only some need.
    from jcollect.stream.escape import escape

    # Names and reasons of the traced process may be in it.
    print(f"jcollect: {escape(message)}", file=sys.stderr)
    sys.exit(exit_code)
