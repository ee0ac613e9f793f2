"""A path that needs a class file which its loader does not provide yet is typed again until it does."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from conditions import require_bpf, wait_until
from java_target import (
    JCOLLECT,
    Jdk,
    Process,
    attach,
    finish,
    java,
    newest_jdk,
    on_newest_jdk,
    probes_of,
    run,
    wait_for_probes,
)

SELECTOR = "Bundles$*#applyAsInt(size=this.box.size)"
KINDS = ("Lacking", "Silent", "Throwing")
CALLS = 5


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


def untraceable(target: Process) -> dict[str, str]:
    """Returns the reason for each class that is listed as untraceable."""
    listing = run(JCOLLECT, "probes", target.pid, "--all", "--json")
    listed = json.loads(listing.stdout) if listing.returncode == 0 else []
    return {
        one["class"].removeprefix("Bundles$"): one["reason"]
        for one in listed
        if one.get("traceable") is False
    }


def asked(target: Process) -> int:
    """Returns how often the agent has asked a loader that throws."""
    target.send("asked")
    return int(target.wait_for_line("asked ").split()[1])


def libraries(folder: Path) -> int:
    return len(list(folder.glob("jprobe-*/*.so")))


@on_newest_jdk
def test_a_class_file_that_is_provided_later_is_used_then(jdk: Jdk, targets: Path, tmp_path: Path) -> None:
    with java(jdk, "-cp", targets, "Bundles", probes=SELECTOR, options=f"dir={tmp_path}") as target:
        target.wait_for_line("ready")
        target.send("load")
        target.wait_for_line("loaded")
        reasons = wait_until(
            lambda: (found := untraceable(target)).keys() >= set(KINDS) and found, "all reasons"
        )
        missing = "cannot find the class file of Bundles$Box"
        assert reasons["Lacking"].endswith(f"{missing}; will retry")
        assert f"{missing}: java.lang.IllegalStateException: not at attempt " in reasons["Throwing"]
        assert f"{missing}: its class loader has not answered for " in reasons["Silent"]
        assert all(reason.endswith("; will retry") for reason in reasons.values())
        files = libraries(tmp_path)
        wait_until(lambda: asked(target) >= 3, "two retries")
        # They report nothing new, although the loader words its exception differently each time.
        assert (libraries(tmp_path), untraceable(target)) == (files, reasons)
        target.send("provide")
        target.wait_for_line("provided")
        wait_for_probes(target.pid, 3 * len(KINDS))
        assert untraceable(target) == {}
        with attach(target.pid, "-o", "json") as collector:
            target.send(f"call {CALLS}")
            target.wait_for_line("called")
            finish(collector)
        sizes = Counter(
            (event["class"].removeprefix("Bundles$"), event["captures"]["size"])
            for event in map(json.loads, collector.out)
            if event["kind"] == "entry"
        )
        assert sizes == {(kind, 7): CALLS for kind in KINDS}
        assert len(target.err) == 1
        assert target.err[0].endswith("; will retry")


def test_a_refused_selection_does_not_promise_a_retry(targets: Path) -> None:
    with java(newest_jdk, "-cp", targets, "Bundles", options="control=on") as target:
        target.wait_for_line("ready")
        target.send("load")
        target.wait_for_line("loaded")
        for kind in KINDS:
            refused = run(JCOLLECT, "select", target.pid, SELECTOR.replace("*", kind))
            assert refused.returncode == 1, refused
            assert "cannot find the class file of Bundles$Box" in refused.stderr
            assert refused.stderr.endswith("; select it again when its class loader has the file\n")
            assert "retry" not in refused.stderr
        target.send("provide")
        target.wait_for_line("provided")
        assert probes_of(target.pid) == []
        wait_until(lambda: run(JCOLLECT, "select", target.pid, SELECTOR).returncode == 0, "the selection")
        wait_for_probes(target.pid, 3 * len(KINDS))
