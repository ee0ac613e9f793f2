"""The program of `jcollect run` has its user's rights and environment, and nothing of jcollect's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jcollect.cli import run_session
from jcollect.errors import JcollectError

PROGRAM = """
import json, os, signal, sys
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
keys = ("Uid", "Gid", "Groups", "CapEff", "CapPrm", "CapInh", "CapAmb", "NoNewPrivs", "Seccomp", "SigIgn")
print(json.dumps({"status": {key: status[key].split() for key in keys}, "env": dict(os.environ)}))
"""
LAUNCH = """
import os, sys
from jcollect.cli.launcher import Launcher
from jcollect.cli.privileges import keep_for
from jcollect.procfs.identity import Account
account, jar, *command = sys.argv[1:]
launcher = Launcher()
keep_for("run")
user = Account(65534, 65534, [65534], "nobody", "/nonexistent", "/bin/sh") if account == "nobody" else None
try:
    is_java = launcher.start(command, user, jar, "hold=1")
except Exception as error:
    sys.exit(f"{error.exit_code} {error.message}")
os.waitpid(launcher.pid, 0)
"""


def launch(account: str, jar: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LAUNCH, account, str(jar), *command],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", **environment},
        timeout=60,
    )


@pytest.fixture
def jar() -> Path:
    return Path("/etc/passwd")  # Every user can read it.


def seen_by_program(account: str, jar: Path, **environment: str) -> dict[str, Any]:
    done = launch(account, jar, "/usr/bin/python3", "-c", PROGRAM, **environment)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def test_the_program_has_the_rights_of_its_user(jar: Path) -> None:
    sudo = {"SUDO_UID": "65534", "SUDO_USER": "nobody", "HOME": "/root", "MAIL": "/var/mail/root"}
    seen = seen_by_program("nobody", jar, **sudo, JDK_JAVA_OPTIONS="-Xmx1g")
    status, environment = seen["status"], seen["env"]
    assert status["Uid"] == status["Gid"] == ["65534"] * 4
    assert status["Groups"] == ["65534"]
    for name in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
        assert int(status[name][0], 16) == 0, name
    # It may run setuid programs, and make every system call.
    assert status["NoNewPrivs"] == ["0"]
    assert status["Seccomp"] == ["0"]
    assert environment["HOME"] == "/nonexistent"
    assert environment["USER"] == environment["LOGNAME"] == "nobody"
    assert not [name for name in environment if name.startswith(("SUDO_", "GRPC_", "MAIL"))]
    assert environment["JDK_JAVA_OPTIONS"] == f'-Xmx1g "-javaagent:{jar}=hold=1"'


def test_a_program_of_ones_own_keeps_the_environment(jar: Path) -> None:
    seen = seen_by_program("", jar, HOME="/here", SUDO_USER="x")
    assert seen["env"]["HOME"] == "/here"
    assert seen["env"]["SUDO_USER"] == "x"


def test_a_program_of_another_user_gets_no_descriptors_but_its_streams(jar: Path) -> None:
    """Those that jcollect was started with are root's."""
    program = (
        "import os\n"
        "for name in os.listdir('/proc/self/fd'):\n"
        "    path = f'/proc/self/fd/{name}'\n"
        "    print(os.readlink(path) if os.path.lexists(path) else '')\n"
    )
    with open("/etc/shadow") as secret:
        os.set_inheritable(secret.fileno(), True)
        for account, is_inherited in (("nobody", False), ("", True)):
            done = subprocess.run(
                [sys.executable, "-c", LAUNCH, account, str(jar), "/usr/bin/python3", "-c", program],
                capture_output=True,
                text=True,
                check=False,
                close_fds=False,
                timeout=60,
            )
            assert ("/etc/shadow" in done.stdout) == is_inherited, done.stdout + done.stderr


@pytest.mark.parametrize("number", ["9" * 5000, "4294967295"])
def test_a_number_that_is_no_user(number: str) -> None:
    with pytest.raises(JcollectError, match="there is no user"):
        run_session._account(number, "true")


def test_why_a_program_cannot_be_run(jar: Path, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("x")
    assert launch("", jar, "no-such").stderr == "127 cannot run 'no-such': there is no such program\n"
    assert launch("", jar, str(text)).stderr == f"126 cannot run '{text}': it is not executable\n"
    secret = tmp_path / "secret.jar"
    secret.write_text("x")
    secret.chmod(0o600)
    assert "its user cannot read the agent" in launch("nobody", secret, "true").stderr
