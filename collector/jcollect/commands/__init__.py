"""The command line: one file per verb, each of which parses, calls and prints."""

from __future__ import annotations

import os
import signal
import sys

import click

from jcollect import __version__
from jcollect.commands.attach import attach
from jcollect.commands.observe import observe
from jcollect.commands.probes import probes
from jcollect.commands.reset import reset
from jcollect.commands.select import select
from jcollect.commands.set import set_gates
from jcollect.commands.status import status
from jcollect.commands.top import top
from jcollect.commands.unselect import unselect
from jcollect.errors import JcollectError
from jcollect.stream.escape import escape


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="jcollect")
def cli() -> None:
    """Trace methods of running Java programs through the probes of the jprobe agent.

    Start with `jcollect probes PID`, then `jcollect attach PID -o compact`.
    """


for _command in (attach, observe, probes, reset, select, set_gates, status, top, unselect):
    cli.add_command(_command)


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
    # Names and reasons of the traced process may be in it.
    print(f"jcollect: {escape(message)}", file=sys.stderr)
    sys.exit(exit_code)
