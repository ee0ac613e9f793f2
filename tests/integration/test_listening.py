"""A collector listens at exactly the named file, and alone, whatever other files exist there."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from collector_fixtures import Bench, Command, Target

from conditions import as_root, require_bpf, wait_until
from jcollect.rpc.address import parse_address
from jcollect.rpc.client import Client
from jcollect.rpc.listening import claim
from stub_image import LONG, Method, StubImage

COLLECTORS = 20
NOBODY = 65534
NUMBERS = Method("com.acme.Orders", "number", (), LONG, "()J", (2,))


def numbers(bench: Bench) -> Target:
    require_bpf()
    return bench.target(StubImage([NUMBERS]), "dnt")


def in_use(address: str) -> str:
    return (
        f"jcollect: cannot listen at {address}: the address is in use by another collector; "
        "use that collector with jcollect observe, or choose another address with --listen"
    )


def pid_at(address: str) -> int:
    """Returns the PID of the collector that answers there."""
    with Client(parse_address(address)) as client:
        return client.status(summary_only=True, seconds=10).pid


# One path, many collectors


@pytest.mark.parametrize("before", [pytest.param("nothing", marks=pytest.mark.takes_long), "a stale socket"])
def test_only_one_of_many_concurrent_collectors_serves(bench: Bench, before: str) -> None:
    target = numbers(bench)
    folder = bench.directory / "sockets"
    folder.mkdir()
    address = f"unix://{folder}/one.sock"
    if before == "a stale socket":
        killed = bench.attach(target, "--listen", address)
        killed.kill()
        assert sorted(os.listdir(folder)) == ["one.sock", "one.sock.lock"]
    racing = [bench.start("attach", target.pid, "--listen", address) for _ in range(COLLECTORS)]
    lines = [command.status() for command in racing]
    serving = [racing[number] for number, line in enumerate(lines) if line.startswith("armed 1 probe")]
    assert len(serving) == 1, lines
    assert lines.count(in_use(address)) == COLLECTORS - 1
    assert pid_at(address) == serving[0].process.pid
    assert sorted(os.listdir(folder)) == ["one.sock", "one.sock.lock"]
    assert {os.stat(folder / name).st_mode & 0o777 for name in os.listdir(folder)} == {0o600}
    serving[0].end()
    assert os.listdir(folder) == []


def test_only_one_of_many_concurrent_collectors_gets_the_port(bench: Bench) -> None:
    target = numbers(bench)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    racing = [
        bench.start("attach", target.pid, "--insecure", "--listen", address) for _ in range(COLLECTORS // 2)
    ]
    lines = [command.status() for command in racing]
    serving = [racing[number] for number, line in enumerate(lines) if line.startswith("armed 1 probe")]
    assert len(serving) == 1, lines
    refused = f"jcollect: cannot listen at {address}: the address is in use; choose another one with --listen"
    assert lines.count(refused) == len(racing) - 1
    assert pid_at(address) == serving[0].process.pid


# The file exists while the claim is held.
CLAIMED_MANY_TIMES = """
import os, sys, time
from jcollect.errors import JcollectError
from jcollect.rpc.address import parse_address
from jcollect.rpc.listening import claim

folder, done = sys.argv[1], 0
deadline = time.monotonic() + 60
while done < 60 and time.monotonic() < deadline:
    try:
        with claim(parse_address(f"unix://{folder}/one.sock")):
            os.close(os.open(f"{folder}/held", os.O_CREAT | os.O_EXCL))
            time.sleep(0.001)
            os.unlink(f"{folder}/held")
            done += 1
    except JcollectError as error:
        assert "is in use by another collector" in error.message, error.message
print(done)
"""


def test_a_claim_has_at_most_one_holder_at_a_time(tmp_path: Path) -> None:
    code = [sys.executable, "-c", CLAIMED_MANY_TIMES, str(tmp_path)]
    racing = [
        subprocess.Popen(code, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(6)
    ]
    assert [each.communicate() for each in racing] == [("60\n", "")] * len(racing)
    assert os.listdir(tmp_path) == []


def test_a_collector_that_ends_leaves_the_socket_of_another_alone(bench: Bench) -> None:
    """Claims an address whose file was removed by hand."""
    target = numbers(bench)
    folder = bench.directory / "sockets"
    folder.mkdir()
    address = f"unix://{folder}/one.sock"
    first = bench.attach(target, "--listen", address)
    for name in os.listdir(folder):
        (folder / name).unlink()
    second = bench.attach(target, "--listen", address)
    first.end()
    assert pid_at(address) == second.process.pid
    third = bench.start("attach", target.pid, "--listen", address)
    assert third.wait(1) == in_use(address)
    second.end()
    assert os.listdir(folder) == []


def test_two_paths_to_a_directory_share_one_lock(bench: Bench) -> None:
    target = numbers(bench)
    (bench.directory / "real").mkdir()
    (bench.directory / "link").symlink_to("real")
    bench.attach(target, "--listen", f"unix://{bench.directory}/real/one.sock")
    for path in ("link/one.sock", "real/../link/./one.sock"):
        address = f"unix://{bench.directory}/{path}"
        assert bench.start("attach", target.pid, "--listen", address).wait(1) == in_use(address)


def test_a_port_is_not_shared_by_another_of_its_names(bench: Bench) -> None:
    """gRPC would be satisfied with [::1], and clients of localhost would reach one collector or the other."""
    target = numbers(bench)
    first = bench.attach(target, "--insecure", "--listen", "127.0.0.1:0")
    port = first.status().rpartition(":")[2]
    for host in ("localhost", "127.0.0.1", "0.0.0.0"):
        refused = bench.start("attach", target.pid, "--insecure", "--listen", f"{host}:{port}")
        assert refused.wait(1) == (
            f"jcollect: cannot listen at {host}:{port}: the address is in use; "
            "choose another one with --listen"
        )


def test_a_collector_whose_address_is_refused_leaves_no_files(tmp_path: Path) -> None:
    path = tmp_path / "one.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(Exception, match="is in use by another collector"):
            claim(parse_address(f"unix://{path}"))
    assert os.listdir(tmp_path) == ["one.sock"]


def test_sockets_of_killed_collectors_are_removed(bench: Bench) -> None:
    """The lock of a live process stays: a collector may be about to serve there."""
    exited, living = numbers(bench), numbers(bench)
    for target in (exited, living):
        bench.attach(target).kill()
    exited.end()
    other = bench.attach(living, "--listen", f"unix://{bench.directory}/other.sock")
    left = [
        name for name in os.listdir("/run/jprobe") if name.startswith((f"{exited.pid}.", f"{living.pid}."))
    ]
    assert sorted(left) == [f"{living.pid}.sock", f"{living.pid}.sock.lock"]
    other.end()
    bench.attach(living).end()
    assert not [name for name in os.listdir("/run/jprobe") if name.startswith(f"{living.pid}.")]


# Files of other users at the path


def refusal(bench: Bench, address: str) -> str:
    return bench.start("attach", numbers(bench).pid, "--listen", address).wait(1)


@as_root
@pytest.mark.parametrize("kind", ["link", "of another user", "open to others", "pipe"])
def test_a_lock_file_of_another_user_is_left_alone(bench: Bench, kind: str) -> None:
    folder, lock = bench.directory, bench.directory / "one.sock.lock"
    victim = folder / "victim"
    victim.write_text("x")
    if kind == "link":
        lock.symlink_to("victim")
    elif kind == "pipe":
        os.mkfifo(lock, 0o600)
    else:
        lock.touch(0o600)
    if kind == "of another user":
        os.chown(lock, NOBODY, NOBODY)
    elif kind == "open to others":
        lock.chmod(0o644)
    reason = {
        "link": "it is not a regular file; remove it",
        "pipe": "it is not a regular file; remove it",
        "of another user": f"it belongs to user {NOBODY} instead of the user who locks it; remove it",
        "open to others": "its mode is 644, so other users could hold its lock; run chmod 600",
    }[kind]
    before = os.lstat(lock)
    assert refusal(bench, f"unix://{folder}/one.sock") == (
        f"jcollect: cannot listen at unix://{folder}/one.sock: {lock}: {reason}; "
        "choose another path with --listen"
    )
    assert os.path.samestat(os.lstat(lock), before)
    assert victim.read_text() == "x"
    assert not (folder / "one.sock").exists()


@as_root
def test_links_of_other_users_are_not_followed(bench: Bench) -> None:
    target = numbers(bench)
    victim = bench.directory / "victim"
    victim.mkdir()
    common = bench.directory / "common"
    common.mkdir()
    common.chmod(0o1777)
    for link, content in (("theirs", victim), ("ours", victim), ("nested", "theirs")):
        (common / link).symlink_to(content)
    os.chown(common / "theirs", NOBODY, NOBODY, follow_symlinks=False)
    for link, place in (("theirs", "theirs"), ("nested", "nested/theirs")):
        address = f"unix://{common}/{link}/deep/one.sock"
        assert bench.start("attach", target.pid, "--listen", address).wait(1) == (
            f"jcollect: cannot listen at {address}: {common}/{place}: "
            f"it is a link of user {NOBODY}; choose another path with --listen"
        )
    assert os.listdir(victim) == []
    bench.attach(target, "--listen", f"unix://{common}/ours/one.sock")
    assert sorted(os.listdir(victim)) == ["one.sock", "one.sock.lock"]


@as_root
@pytest.mark.parametrize("kind", ["link to a socket", "link to nothing", "file"])
def test_only_sockets_are_removed_from_the_path(bench: Bench, kind: str) -> None:
    path = bench.directory / "one.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(bench.directory / "dead"))
    if kind == "file":
        path.write_text("x")
    else:
        path.symlink_to("dead" if kind == "link to a socket" else "nothing")
    before = os.lstat(path)
    assert refusal(bench, f"unix://{path}") == (
        f"jcollect: cannot listen at unix://{path}: the path is that of another file, not a socket; "
        "choose another path with --listen"
    )
    assert os.path.samestat(os.lstat(path), before)
    assert (bench.directory / "dead").is_socket()
    assert not (bench.directory / "nothing").exists()


# Paths


def of_most_bytes(folder: Path) -> str:
    return "ä" + "x" * (107 - len(os.fsencode(folder)) - 3)


@pytest.mark.parametrize(
    "name", ["s%41.sock", "100%", "a b", "?a#b&c=d", "ärger", "\udcff\udc80.sock", "a:1", "-", "most bytes"]
)
def test_the_collector_serves_exactly_the_named_file(bench: Bench, name: str) -> None:
    target = numbers(bench)
    folder = bench.directory
    before = set(os.listdir(folder))
    name = of_most_bytes(folder) if name == "most bytes" else name
    address = f"unix://{folder}/{name}"
    collector = bench.attach(target, "--listen", address)
    assert set(os.listdir(folder)) - before == {name, f"{name}.lock"}
    assert bench.start("attach", target.pid, "--listen", address).wait(1).endswith("choose another address "
        "with --listen")  # fmt: skip
    said = json.loads(bench.run("status", address, "--json").stdout)
    (one,) = said["collectors"]
    assert (one["pid"], one["address"]) == (collector.process.pid, address)
    observer = bench.observe(address, "--max-events", 2)
    target.fire(1, 2)
    assert observer.wait() == "observed 2 events; 0 lost"
    top = bench.start("top", address, "--events", "--duration", 0.5)
    assert top.wait() == ""
    assert any("0 lost" in line for line in top.output)
    collector.end()
    assert set(os.listdir(folder)) == before


@pytest.mark.parametrize("verb", ["attach", "observe", "top", "status"])
def test_a_path_that_cannot_be_that_of_a_socket_is_rejected_with_a_fix(bench: Bench, verb: str) -> None:
    for address, reason in (
        (f"unix:///tmp/{'x' * 103}", "is too long for a Unix socket, whose path can have 107 bytes; "
         "choose a shorter path"),
        (f"unix:///tmp/{'ä' * 52}", "is too long for a Unix socket, whose path can have 107 bytes; "
         "choose a shorter path"),
        ("unix:here.sock", "is not an address: the path of a socket must be absolute, as in unix:///run/x.sock"),
        ("unix://here/x.sock", "is not an address: the path of a socket must be absolute, as in "
         "unix:///run/x.sock"),
        ("unix:///tmp/", "is not an address: it names a directory; add a file name, as in "
         "unix:///run/x.sock"),
        ("unix:///tmp/..", "is not an address: it names a directory; add a file name, as in "
         "unix:///run/x.sock"),
    ):  # fmt: skip
        arguments = (os.getpid(), "--listen", address) if verb == "attach" else (address,)
        refused = bench.run(verb, *arguments)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr == f"jcollect: '{address}' {reason}\n"


# Proxies


@contextmanager
def proxy() -> Iterator[tuple[str, list[bytes]]]:
    """Runs a proxy that rejects everything; yields its address, and the requests."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    asked.append(connection.recv(200))

        thread = threading.Thread(target=run)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", asked
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "grpc_proxy"])
def test_no_proxy_is_asked_for_this_machine(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    target = numbers(bench)
    port = bench.attach(target, "--insecure", "--listen", "127.0.0.1:0").status().rpartition(":")[2]
    bench.attach(target)
    monkeypatch.setenv("no_proxy", "example.org")
    with proxy() as (address, asked):
        monkeypatch.setenv(variable, address)
        addresses = [f"{host}:{port}" for host in ("127.0.0.1", "localhost", "0.0.0.0")] + [str(target.pid)]
        observers = [bench.observe(address, "--max-events", 1) for address in addresses]
        target.fire(1, 1)
        assert [observer.wait() for observer in observers] == ["observed 1 event; 0 lost"] * len(addresses)
        for listed in addresses[0], addresses[-1]:
            assert bench.run("status", listed).returncode == 0
        assert asked == []


def test_a_proxy_is_asked_for_other_machines(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy() as (address, asked):
        monkeypatch.setenv("http_proxy", address)
        # An address of the network for examples: RFC 5737.
        observer = bench.start("observe", "192.0.2.1:50051")
        wait_until(lambda: asked, "the proxy to be asked")
        observer.kill()
        assert asked[0].startswith(b"CONNECT 192.0.2.1:50051 ")


# Signals that were ignored before


def attach_after(bench: Bench, target: Target, *before: str) -> Command:
    collector = bench.start("attach", target.pid, before=before)
    assert collector.status().startswith("armed "), collector.errors
    return collector


@pytest.mark.parametrize(
    ("number", "before"),
    [
        (signal.SIGHUP, ("nohup",)),
        (signal.SIGINT, ("sh", "-c", 'trap "" INT; exec "$@"', "sh")),
    ],
    ids=["nohup", "trap"],
)
def test_a_signal_that_was_ignored_stays_ignored(bench: Bench, number: int, before: tuple[str, ...]) -> None:
    target = numbers(bench)
    collector = attach_after(bench, target, *before)
    collector.process.send_signal(number)
    # Target and client both notice that the collector still runs after the signal.
    observer = bench.observe(target.pid, "--max-events", 3)
    target.fire(1, 3)
    assert observer.wait() == "observed 3 events; 0 lost"
    mask = int(
        Path(f"/proc/{collector.process.pid}/status").read_text().partition("SigIgn:")[2].split()[0], 16
    )
    assert mask >> number - 1 & 1
    assert " 3 hits = 3 delivered + 0 lost" in collector.end(signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_was_not_ignored_ends_it_with_the_hit_counts(bench: Bench, number: int) -> None:
    target = numbers(bench)
    collector = attach_after(bench, target)
    assert "detached after " in collector.end(number)


def test_a_closed_terminal_does_not_end_a_trace_that_ignores_hangups(bench: Bench) -> None:
    target = numbers(bench)
    ours, theirs = os.openpty()
    address = f"unix://{bench.directory}/one.sock"
    collector = bench.start(
        "attach", target.pid, "--wait", "--listen", address,
        before=("sh", "-c", f'trap "" HUP; exec "$@" 2>/proc/{os.getpid()}/fd/{theirs}', "sh"),
    )  # fmt: skip
    os.read(ours, 100)
    os.close(ours)
    os.close(theirs)
    # Each library causes a line that cannot be written.
    for generation in (2, 3):
        target.load(StubImage([NUMBERS], generation=generation), "dnt", name=f"jprobe-1/{generation}.so")
        wait_until(lambda generation=generation: target.semaphores() == generation, "the later probes")
    collector.process.send_signal(signal.SIGTERM)
    collector.wait()
