"""The one exception for what a user can cause, and what the program makes of it."""

from __future__ import annotations


class JcollectError(Exception):
    """Says in one sentence what was tried, on what, why it failed and what to do next.

    `main` prints it as `jcollect: <message>` on stderr and exits with `exit_code`.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code


# Of commands that were told to --fail-on-loss.
LOSS_EXIT_CODE = 3
