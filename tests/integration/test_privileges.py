"""Each verb works with the capabilities that SECURITY.md lists, for a program of another user, and keeps none
besides."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jcollect.privileges import NEEDED, OPTIONAL, READING, TRACING
from jcollect.procfs import capabilities as cap
from java_target import JCOLLECT, NOBODY, ORDERS, ROOT, Process, as_user, attach, finish, java, newest_jdk, run

# Another user than root and than the target's.
USER = as_user("64022", "64022")


def with_capabilities(kept: frozenset[int]) -> list[str]:
    """Begins a command of a user who has these capabilities, and one to read this checkout if it needs that."""
    readable = as_user("64022", "64022", reads_checkout=True)
    needed = kept | ({cap.DAC_READ_SEARCH} if readable != USER else frozenset())
    plus = ",".join(f"+{cap.NAMES[each].removeprefix('CAP_').lower()}" for each in sorted(needed))
    return [*USER, f"--inh-caps=-all,{plus}", f"--ambient-caps=-all,{plus}"]


@pytest.fixture
def jvm(shared_targets: Path) -> Iterator[Process]:
    with java(newest_jdk, "-cp", shared_targets, "PrimeCalls", before=NOBODY) as started:
        started.wait_for_line("ready")
        yield started


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where that user may have a socket and a cache."""
    made = Path(tempfile.mkdtemp(prefix="jprobe-test-", dir="/var/tmp"))
    os.chown(made, 64022, 64022)
    yield made
    shutil.rmtree(made)


def test_verbs_of_an_unprivileged_user_work_with_the_listed_capabilities(jvm: Process, folder: Path) -> None:
    def jcollect(verb: str, *arguments: str | int) -> str:
        environment = {"XDG_CACHE_HOME": str(folder), "PATH": os.environ["PATH"], "JAVA_HOME": str(newest_jdk.home)}
        done = run(*with_capabilities(NEEDED[verb]), JCOLLECT, verb, *arguments, env=environment, cwd="/")
        assert done.returncode == 0, (verb, arguments, done.stderr)
        return str(done.stdout + done.stderr)

    pid = jvm.pid
    assert "selected 5 methods" in jcollect("select", pid, ORDERS)
    assert "PrimeCalls$Orders#touch" in jcollect("probes", pid)
    assert "PrimeCalls" in jcollect("ps")
    assert "5 methods" in jcollect("status", pid)
    jcollect("set", pid, "*#touch", "every 2")
    listen = ("--listen", f"unix://{folder}/x.sock", "--duration", "0.3")
    assert "armed 15 probes" in jcollect("attach", pid, *listen)
    jcollect("unselect", pid)
    jcollect("reset", pid)
    assert "armed 15 probes" in jcollect("attach", pid, "--select", ORDERS, *listen)
