"""A collector behind TLS, with whatever may knock at its port: an honest client never notices."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from collector_fixtures import Bench, Target

from certificates import Authority, Pair
from conditions import require_bpf, wait_until
from java_target import as_user
from jcollect.errors import JcollectError
from jcollect.hub.items import Events
from jcollect.rpc.address import Address, parse_address
from jcollect.rpc.client import Client
from jcollect.rpc.client_access import ClientAccess
from jcollect.rpc.subscriber import Subscriber
from stub_image import LONG, Method, StubImage

TOKEN = "honest"
NUMBERS = Method("com.acme.Orders", "number", (), LONG, "()J", (2,))
ROUND = 50
HALF_OPEN = 40


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


def pem(pair: Pair, authority: Authority, token: str = "") -> ClientAccess:
    return ClientAccess(
        authority.certificate.read_bytes(), pair.certificate.read_bytes(), pair.key.read_bytes(), token
    )


class Honest:
    """A client that counts the events of its stream in a thread."""

    def __init__(self, address: Address, access: ClientAccess) -> None:
        self.events = 0
        self.error: BaseException | None = None
        self._client = Subscriber(address, access)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        wait_until(lambda: self._client.subscribed, "the honest client to subscribe")

    def _run(self) -> None:
        try:
            for item in self._client.subscribe():
                if isinstance(item, Events):
                    self.events += len(item.columns.seq)
        except JcollectError as error:
            self.error = error

    def end(self) -> None:
        self._client.close_stream()
        self._thread.join(20)
        self._client.__exit__(None, None, None)
        assert self.error is None, self.error


def knock(address: Address, content: bytes, seconds: float = 0.2) -> None:
    """Sends bytes that are no TLS, and waits a moment for an answer."""
    with (
        contextlib.suppress(OSError),
        socket.create_connection((address.host, address.port), 5) as connection,
    ):
        connection.settimeout(seconds)
        connection.sendall(content)
        connection.recv(100)


def drop(address: Address, count: int) -> None:
    """Opens connections and drops them at once, none of which the kernel rejects."""
    for _ in range(count):
        socket.create_connection((address.host, address.port), 5).close()


@contextlib.contextmanager
def half_open(address: Address, count: int) -> Iterator[None]:
    """Holds connections that begin a handshake, or nothing at all."""
    with contextlib.ExitStack() as stack:
        for number in range(count):
            with contextlib.suppress(OSError):
                made = stack.enter_context(socket.create_connection((address.host, address.port), 5))
                made.sendall(b"\x16\x03\x01\x02\x00\x01" if number % 2 else b"")
        yield


def failing(address: Address, access: ClientAccess) -> str:
    """Returns the error of a client that must not be served."""
    with Client(address, access) as client, pytest.raises(JcollectError) as caught:
        client.list_probes()
    return caught.value.message


@pytest.mark.parametrize(
    "connections", [300, pytest.param(10_000, marks=pytest.mark.takes_long)], ids=["few", "many"]
)
def test_an_honest_stream_survives_all_others(bench: Bench, tmp_path: Path, connections: int) -> None:
    authority, others = Authority(tmp_path / "ca", "main"), Authority(tmp_path / "ca", "others")
    server = authority.issue("localhost", host="127.0.0.1")
    honest, expired = authority.issue("honest.example"), authority.issue("late.example", expired=True)
    foreign = others.issue("foreign.example")
    rules = tmp_path / "access.toml"
    rules.write_text(
        '[[client]]\nname = "honest"\ncertificate = "honest.example"\nrights = ["values"]\n'
        f'[[client]]\nname = "token"\ntoken_sha256 = "{hashlib.sha256(b"x").hexdigest()}"\nrights = []\n'
    )
    rules.chmod(0o600)
    log = tmp_path / "audit.log"
    target = bench.target(StubImage([NUMBERS]), "dnt")
    collector = bench.attach(
        target, "--listen", "127.0.0.1:0", "--tls-cert", server.certificate, "--tls-key", server.key,
        "--tls-client-ca", authority.certificate, "--access", rules, "--audit", log,
    )  # fmt: skip
    address = parse_address(collector.status().rpartition("serving ")[2])
    access = pem(honest, authority)
    client = Honest(address, access)
    attacks: list[Callable[[], object]] = [
        lambda: drop(address, connections),
        lambda: [knock(address, os.urandom(1 + 97 * number)) for number in range(20)],
        lambda: [knock(address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(64)) for _ in range(5)],
        lambda: [failing(address, pem(foreign, authority)) for _ in range(3)],
        lambda: [failing(address, pem(expired, authority)) for _ in range(3)],
        lambda: [failing(address, ClientAccess(authority.certificate.read_bytes())) for _ in range(3)],
        lambda: [failing(address, ClientAccess()) for _ in range(3)],
    ]
    fired = 0
    with half_open(address, HALF_OPEN):
        errors: list[BaseException] = []
        threads = [threading.Thread(target=collecting(attack, errors)) for attack in attacks]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads) or fired < 10 * ROUND:
            fired += fire(target)
            wait_until(lambda sum=fired: client.events == sum, f"{fired} events while others knock")
        assert errors == []
        # The collector takes no further connection before it has closed those that were dropped.
        wrong = pem(honest, authority, "wrong")
        wait_until(lambda: "does not know this token" in failing(address, wrong), "a rejected token")
    fired += fire(target)
    wait_until(lambda: client.events == fired, "the last events")
    # A new client is served as well.
    with Client(address, access) as again:
        wait_until(lambda: lists(again), "a new client to be served")
    client.end()
    collector.end()
    text = log.read_text()
    assert '"event": "begin", "client": "honest"' in text
    assert "UNAUTHENTICATED" in text
    assert "wrong" not in text


def collecting(attack: Callable[[], object], errors: list[BaseException]) -> Callable[[], None]:
    def run() -> None:
        try:
            attack()
        except BaseException as error:
            errors.append(error)

    return run


def lists(client: Client) -> bool:
    with contextlib.suppress(JcollectError):
        return len(client.list_probes()) > 0
    return False


def fire(target: Target) -> int:
    """Fires some events; returns their number."""
    target.fire(1, ROUND)
    time.sleep(0.01)
    return ROUND


def test_the_command_line_uses_tls_and_tokens(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path / "ca", "main")
    server, reader = authority.issue("localhost", host="127.0.0.1"), authority.issue("reader.example")
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    rules = tmp_path / "access.toml"
    rules.write_text(
        f'[[client]]\nname = "job"\ntoken_sha256 = "{hashlib.sha256(TOKEN.encode()).hexdigest()}"\n'
        'rights = ["view"]\n'
    )
    target = bench.target(StubImage([NUMBERS]), "dnt")
    tls = [
        "--tls-cert",
        server.certificate,
        "--tls-key",
        server.key,
        "--tls-client-ca",
        authority.certificate,
    ]
    collector = bench.attach(target, "--listen", "127.0.0.1:0", *tls, "--access", rules)
    address = collector.status().rpartition("serving ")[2]
    refused = bench.run("status", address)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "it uses TLS; add --tls-ca" in refused.stderr
    options = ["--tls-ca", authority.certificate, "--tls-cert", reader.certificate, "--tls-key", reader.key]
    refused = bench.run("status", address, *options)
    assert "has no client with the certificate reader.example" in refused.stderr
    assert bench.run("status", address, *options, "--token-file", token).returncode == 0
    for name, path in (
        ("TLS_CA", authority.certificate), ("TLS_CERT", reader.certificate), ("TLS_KEY", reader.key),
        ("TOKEN_FILE", token),
    ):  # fmt: skip
        monkeypatch.setenv(f"JPROBE_{name}", str(path))
    observer = bench.observe(address, "--max-events", 2, "-o", "json")
    target.fire(1, 2)
    assert observer.wait() == "observed 2 events; 0 lost"
    assert "values" not in observer.output[0]
    collector.end()
    assert any("audit: rejected" in line for line in collector.errors), collector.errors


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--tls-cert", "{c}"], "TLS needs all of --tls-cert, --tls-key and --tls-client-ca"),
        (["--tls-cert", "{c}", "--tls-key", "{k}", "--tls-client-ca", "{a}"], "TLS is for TCP"),
        (
            ["--tls-cert", "{c}", "--tls-key", "{k}", "--tls-client-ca", "{a}", "--insecure",
             "--listen", "127.0.0.1:0"],
            "leave out either --insecure or --tls-cert",
        ),
        (["--tls-cert", "/none", "--tls-key", "{k}", "--tls-client-ca", "{a}", "--listen", "127.0.0.1:0"],
         "cannot read the TLS certificate /none: No such file"),
        (["--access", "/none"], "cannot read the access file /none: No such file"),
        (["--audit", "/none/audit.log"], "cannot write the audit file /none/audit.log: No such file"),
    ],
)  # fmt: skip
def test_mistakes_end_the_command_before_it_attaches(
    bench: Bench, tmp_path: Path, options: list[str], problem: str
) -> None:
    authority = Authority(tmp_path / "ca", "main")
    pair = authority.issue("localhost")
    target = bench.target(StubImage([NUMBERS]), "dnt")
    given = [each.format(c=pair.certificate, k=pair.key, a=authority.certificate) for each in options]
    result = bench.run("attach", target.pid, *given)
    assert result.returncode in (1, 2), result
    (line,) = result.stderr.splitlines()
    assert problem in line


def test_members_of_a_group_find_the_collector_by_its_address(bench: Bench, tmp_path: Path) -> None:
    target = bench.target(StubImage([NUMBERS]), "dnt")
    folder = Path(f"/run/jprobe-test-{os.getpid()}")
    folder.mkdir(mode=0o711)
    try:
        address = f"unix://{folder}/c.sock"
        collector = bench.attach(target, "--listen", address, "--group", "adm")
        for group, code in (("adm", 0), ("mail", 1)):
            before = as_user("nobody", group, reads_checkout=True)
            # CAP_DAC_READ_SEARCH, with which it can read the checkout, does not open sockets.
            result = bench.run("status", address, before=before)
            assert result.returncode == code, result
        assert "cannot connect to the collector" in result.stderr
        collector.end()
    finally:
        bench.end()
        shutil.rmtree(folder)
