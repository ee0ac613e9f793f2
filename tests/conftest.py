"""Gives every test run the same environment, whether from a terminal, nohup, a script or a CI runner."""

import os
import signal


def pytest_configure() -> None:
    """Sets the signals and the umask of a login shell, which the programs under test inherit."""
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.umask(0o022)
    # gRPC would start threads in the children of the tests, which then could not make user namespaces.
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
