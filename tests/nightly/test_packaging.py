"""The wheel works with exactly the oldest dependencies that it declares, and with the newest ones."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from conditions import require_bpf, wait_until
from java_target import JDKS, ORDERS, ROOT, Process, finish, run
from jcollect.commands import _VERBS
from packaging_of_wheel import built_wheel
from prime_calls import ORDERS_METHODS, hits_of, prime_calls, run_calls

DEPENDENCIES = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
VERBS = sorted(_VERBS)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_wheel(tmp_path_factory.mktemp("wheels"))


@pytest.fixture(params=["oldest", "newest"])
def jcollect(request: pytest.FixtureRequest, wheel: Path, tmp_path: Path) -> Path:
    """Installs the wheel with the oldest or the newest dependencies, bcc excepted."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    constraints = tmp_path / "constraints"
    oldest = [dependency.replace(">=", "==") for dependency in DEPENDENCIES]
    assert all("==" in dependency for dependency in oldest)
    constraints.write_text("\n".join(oldest if request.param == "oldest" else ()))
    pip = [venv / "bin/pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--constraint", constraints, wheel], check=True)
    (site,) = venv.glob("lib/python*/site-packages")
    bcc = run("/usr/bin/python3", "-c", "import bcc; print(bcc.__path__[0])").stdout.strip()
    (site / "bcc").symlink_to(bcc)
    return venv / "bin/jcollect"


def test_every_verb_works(jcollect: Path, targets: Path, tmp_path: Path) -> None:
    require_bpf()
    for verb in VERBS:
        shown = run(jcollect, verb, "--help", cwd="/")
        assert (shown.returncode, shown.stderr) == (0, ""), shown
    assert run(jcollect, cwd="/").returncode == 2

    def answer(verb: str, *arguments: str | int | Path) -> str:
        done = run(jcollect, verb, *arguments, cwd="/")
        assert done.returncode == 0, done
        return str(done.stdout)

    with prime_calls(JDKS[-1], targets) as target:
        assert answer("select", target.pid, ORDERS).splitlines()[1] == f"  {ORDERS}: {ORDERS_METHODS} methods"
        address = f"unix://{tmp_path}/socket"
        attach = [jcollect, "attach", target.pid, "--listen", address, "-o", "json", "--max-overhead", 0]
        with Process([str(part) for part in attach], cwd="/") as collector:
            collector.wait_for_line("armed ")
            observe = [jcollect, "observe", address, "-o", "json", "--max-events", 1]
            with Process([str(part) for part in observe], cwd="/") as observer:
                wait_until(
                    lambda: subscribers(answer("status", address, "--json")) == 2, "terminal and observer"
                )
                hits = hits_of(run_calls(target))
                assert observer.wait() == 0, observer.err
            assert json.loads(observer.out[0])["class"] == "PrimeCalls$Orders"
            answer("top", address, "--duration", 1)
            finish(collector)
        assert len(collector.out) == hits
        assert "PrimeCalls$Orders" in answer("probes", target.pid, "--all")
        assert str(target.pid) in answer("ps")
        answer("set", target.pid, ORDERS, "every 2")
        answer("reset", target.pid)
        answer("select", target.pid, ORDERS)
        answer("unselect", target.pid, ORDERS)


def subscribers(status: str) -> int:
    (collector,) = json.loads(status)["collectors"]
    return len(collector.get("subscribers", ()))
