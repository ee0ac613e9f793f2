"""The rights of clients: certificates, tokens, the access file, and the audit log, with real servers and
clients."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import grpc
import pyarrow as pa
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from certificates import Authority, Pair
from conditions import wait_until
from jcollect.cli.written_file import open_to_append
from jcollect.errors import JcollectError
from jcollect.hub.items import Events
from jcollect.hub.stream_options import MASKABLE, StreamOptions
from jcollect.rpc.access_file import read_access_file
from jcollect.rpc.address import Address
from jcollect.rpc.admission import Admission
from jcollect.rpc.audit import Audit
from jcollect.rpc.callers import PRIVATE_SOCKET, Callers
from jcollect.rpc.client import Client, RejectedError
from jcollect.rpc.client_access import NO_ACCESS, ClientAccess, read_access
from jcollect.rpc.names import SUBSCRIBE
from jcollect.rpc.reloaded import Reloaded
from jcollect.rpc.server_tls import ServerTls, TlsPaths
from jcollect.rpc.subscriber import Subscriber
from jprobe.v1 import collector_pb2, collector_pb2_grpc
from served import StillSource, described, one_event, serving, stub_at

TOKEN = "correct-horse-battery-staple"
HASH = hashlib.sha256(TOKEN.encode()).hexdigest()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "main")


@pytest.fixture(scope="module")
def server_pair(authority: Authority) -> Pair:
    return authority.issue("localhost", host="127.0.0.1")


@pytest.fixture(scope="module")
def reader(authority: Authority) -> Pair:
    return authority.issue("reader.example")


@pytest.fixture
def tls(authority: Authority, server_pair: Pair) -> ServerTls:
    return ServerTls(paths_of(server_pair, authority))


def paths_of(pair: Pair, authority: Authority) -> TlsPaths:
    return TlsPaths(str(pair.certificate), str(pair.key), str(authority.certificate))


def access_of(authority: Authority, pair: Pair | None = None, token: Path | None = None) -> ClientAccess:
    return read_access(
        str(authority.certificate),
        str(pair.certificate) if pair else None,
        str(pair.key) if pair else None,
        str(token) if token else None,
    )


def access_file(folder: Path, text: str) -> Path:
    path = folder / "access.toml"
    path.write_text(text)
    path.chmod(0o644)
    return path


def token_file(folder: Path, token: str = TOKEN) -> Path:
    path = folder / "token"
    path.write_text(f"{token}\n")
    path.chmod(0o600)
    return path


def with_token(token: str = TOKEN) -> ClientAccess:
    return ClientAccess(token=token)


def source() -> StillSource:
    return StillSource(described(1))


def refusal(address: Address, access: ClientAccess = NO_ACCESS) -> str:
    """Returns the error of a client that is not admitted."""
    with Client(address, access) as client, pytest.raises(JcollectError) as caught:
        client.list_probes()
    return caught.value.message


# TLS.


def test_a_client_with_a_certificate_is_served(
    tmp_path: Path, tls: ServerTls, authority: Authority, reader: Pair
) -> None:
    with (
        serving(source(), tmp_path, "127.0.0.1:0", tls=tls) as address,
        Client(address, access_of(authority, reader)) as client,
    ):
        assert len(client.list_probes()) == 1


def test_what_is_wrong_with_certificates_is_explained(
    tmp_path: Path, tls: ServerTls, authority: Authority, reader: Pair
) -> None:
    other = Authority(tmp_path, "other")
    foreign = other.issue("foreign")
    expired = authority.issue("expired", expired=True)
    with serving(source(), tmp_path, "127.0.0.1:0", tls=tls) as address:
        nothing = access_of(authority)
        assert "requires a certificate of its clients; add --tls-cert" in refusal(address, nothing)
        unknown = access_of(authority, foreign)
        assert "use a --tls-cert of an authority in its --tls-client-ca" in refusal(address, unknown)
        # The client would not even try one that has expired.
        late = ClientAccess(
            authority.certificate.read_bytes(), expired.certificate.read_bytes(), expired.key.read_bytes()
        )
        assert "use a --tls-cert of an authority in its --tls-client-ca" in refusal(address, late)
        with pytest.raises(JcollectError, match="it has expired; issue a new one"):
            access_of(authority, expired)
        stranger = access_of(other, reader)
        assert "no authority of --tls-ca has issued its certificate" in refusal(address, stranger)
        assert "it uses TLS; add --tls-ca" in refusal(address)
    known = access_of(authority, reader)
    with serving(source(), tmp_path, "127.0.0.2:0", tls=tls) as renamed:
        assert "its certificate is not for the name 127.0.0.2" in refusal(renamed, known)
    with serving(source(), tmp_path, "127.0.0.1:0", insecure=True) as plain:
        assert "it does not use TLS; leave out --tls-ca" in refusal(plain, known)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
@pytest.mark.parametrize(
    ("version", "is_accepted"), [("TLSv1_1", False), ("TLSv1_2", True), ("TLSv1_3", True)]
)
def test_tls_1_2_is_the_oldest_version(
    tmp_path: Path, tls: ServerTls, authority: Authority, reader: Pair, version: str, is_accepted: bool
) -> None:
    context = ssl.create_default_context(cafile=authority.certificate)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(reader.certificate, reader.key)
    context.set_alpn_protocols(["h2"])
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    with serving(source(), tmp_path, "127.0.0.1:0", tls=tls) as address:
        connection = socket.create_connection((address.host, address.port), 5)
        with contextlib.ExitStack() as stack:
            if not is_accepted:
                stack.enter_context(pytest.raises(ssl.SSLError))
            with context.wrap_socket(connection, server_hostname="127.0.0.1") as secured:
                assert secured.recv(1)


def test_bad_files_of_the_server_are_explained(
    tmp_path: Path, authority: Authority, server_pair: Pair, reader: Pair
) -> None:
    def problem(certificate: Path, key: Path, ca: Path = authority.certificate) -> str:
        with pytest.raises(JcollectError) as caught:
            ServerTls(TlsPaths(str(certificate), str(key), str(ca)))
        return caught.value.message

    pair = server_pair
    assert "No such file" in problem(tmp_path / "none.pem", pair.key)
    assert "the key is not that of the certificate" in problem(pair.certificate, reader.key)
    assert "not in PEM format" in problem(Path(__file__), pair.key)
    assert "it has none in PEM format" in problem(pair.certificate, pair.key, pair.key)
    expired = authority.issue("expired-server", expired=True)
    assert "it has expired; issue a new one" in problem(expired.certificate, expired.key)
    shown = tmp_path / "shown.key"
    shown.write_bytes(pair.key.read_bytes())
    shown.chmod(0o644)
    assert "other users can read it, and it is a secret; run chmod 600" in problem(pair.certificate, shown)
    shown.chmod(0o666)
    assert "other users can write to it" in problem(pair.certificate, shown)
    assert "it is not a regular file" in problem(tmp_path, pair.key)
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "pkey", "-in", pair.key, "-aes256", "-passout", "pass:secret", "-out", locked], check=True
    )
    locked.chmod(0o600)
    assert "the key is encrypted" in problem(pair.certificate, locked)
    if os.geteuid() == 0:
        os.chown(shown, 65534, 0)
        shown.chmod(0o600)
        assert "it belongs to user 65534" in problem(pair.certificate, shown)


def test_certificates_are_read_again(
    tmp_path: Path,
    authority: Authority,
    reader: Pair,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("jcollect.rpc.reloaded._CHECK_SECONDS", 0.0)
    first = Authority(tmp_path / "a", "first").issue("localhost", host="127.0.0.1")
    second = authority.issue("localhost-2", host="127.0.0.1")
    monkeypatch.setattr("jcollect.rpc.reloaded.Reloaded.__init__.__defaults__", (0.0,))
    tls = ServerTls(paths_of(first, authority))
    with serving(source(), tmp_path, "127.0.0.1:0", tls=tls) as address:
        access = access_of(authority, reader)
        assert "no authority of --tls-ca" in refusal(address, access)
        content = first.key.read_bytes()
        first.key.write_text("broken")
        assert "no authority of --tls-ca" in refusal(address, access)
        assert "as read before still holds" in capfd.readouterr().err
        first.key.write_bytes(second.key.read_bytes())
        first.certificate.write_bytes(second.certificate.read_bytes())
        with Client(address, access) as client:
            assert len(client.list_probes()) == 1
        assert content != first.key.read_bytes()


# Rights.


def test_rights_follow_from_the_way_in_which_a_client_connects(
    tmp_path: Path, tls: ServerTls, authority: Authority, reader: Pair
) -> None:
    command = collector_pb2.SetProbesRequest(pid=1, unselect=collector_pb2.UnselectCommand(all=True))

    def refused(channel: Any) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.RpcError) as caught:
            collector_pb2_grpc.CollectorServiceStub(channel).SetProbes(command, timeout=10)
        return caught.value.code(), caught.value.details()

    with serving(source(), tmp_path, "127.0.0.1:0", insecure=True) as address:
        with Client(address) as client:
            assert client.list_probes()
            code, details = refused(client.channel)
        assert code == grpc.StatusCode.PERMISSION_DENIED
        assert details == (
            "the call needs the right 'command'; the caller counts as a client over unprotected "
            "TCP, with the "
            "rights: values, view"
        )
    with (
        serving(source(), tmp_path, "127.0.0.1:0", tls=tls) as address,
        Client(address, access_of(authority, reader)) as client,
    ):
        assert client.list_probes()
        code, details = refused(client.channel)
        assert code == grpc.StatusCode.PERMISSION_DENIED
        assert "counts as certificate reader.example" in details
    with serving(source(), tmp_path) as address, Client(address) as client:
        # The owner's own socket: the call is executed, and there is no such process.
        assert refused(client.channel)[0] == grpc.StatusCode.NOT_FOUND


def test_a_token_identifies_a_client(tmp_path: Path) -> None:
    rules = f"""
        [[client]]
        name = "job"
        token_sha256 = "{HASH}"
        rights = ["view"]
        [anyone]
        rights = []
    """
    with serving(source(), tmp_path, access=access_file(tmp_path, rules)) as address:
        with Client(address, read_access(None, None, None, str(token_file(tmp_path)))) as client:
            assert client.list_probes()
        wrong = refusal(address, with_token("wrong"))
        assert "rejects the call: the collector does not know this token" in wrong
        none = refusal(address)
        expected = "needs the right 'view'; the caller counts as the socket's owner, with the rights: none"
        assert expected in none
        request = collector_pb2.ListProbesRequest()
        with stub_at(address) as stub, pytest.raises(grpc.RpcError) as caught:
            stub.ListProbes(request, timeout=10, metadata=[("authorization", "Basic eDp5")])
        assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED


def test_a_certificate_identifies_a_client_by_its_names(
    tmp_path: Path, tls: ServerTls, authority: Authority, reader: Pair
) -> None:
    common = authority.issue("by-common-name", common_name="old.example")
    # The alternative name counts, and not the common name, which is that of the other client.
    disguised = authority.issue("disguised.example")
    rules = access_file(
        tmp_path,
        '[[client]]\nname = "a"\ncertificate = "reader.example"\nrights = ["view"]\n'
        '[[client]]\nname = "b"\ncertificate = "old.example"\nrights = ["values"]\n'
        '[[client]]\nname = "c"\ncertificate = "x"\nrights = ["values"]\n',
    )
    with serving(source(), tmp_path, "127.0.0.1:0", access=rules, tls=tls) as address:
        for pair in (reader, common):
            with Client(address, access_of(authority, pair)) as client:
                assert client.list_probes()
        assert "has no client with the certificate disguised.example" in refusal(
            address, access_of(authority, disguised)
        )


def test_health_is_open_and_reflection_needs_a_right(tmp_path: Path) -> None:
    rules = access_file(tmp_path, "[anyone]\nrights = []\n")
    with (
        serving(source(), tmp_path, access=rules) as address,
        grpc.insecure_channel(address.target) as channel,
    ):
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        request = reflection_pb2.ServerReflectionRequest(list_services="*")
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            next(stub.ServerReflectionInfo(iter([request]), timeout=10))
        assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED


def test_captured_values_need_a_right(tmp_path: Path) -> None:
    job = f'[[client]]\nname = "job"\ntoken_sha256 = "{HASH}"\nrights = ["values"]\n'
    rules = access_file(tmp_path, f'{job}[anyone]\nrights = ["view"]\n')
    events = source()
    bearer = [("authorization", f"Bearer {TOKEN}")]
    with serving(events, tmp_path, access=rules) as address:
        for columns in ([], [collector_pb2.EVENT_COLUMN_VALUES], [collector_pb2.EVENT_COLUMN_TID, 77]):
            request = collector_pb2.SubscribeRequest(columns=columns)
            batch = received(events, address, request, [])
            assert list(batch.probe) == [0]
            assert list(batch.values) == []
        whole = received(events, address, collector_pb2.SubscribeRequest(), bearer)
        assert list(whole.values) == [42]
        request = collector_pb2.SubscribeRequest(where="args[0] == 42")
        with stub_at(address) as stub, pytest.raises(grpc.RpcError) as caught:
            next(stub.Subscribe(request, timeout=10))
        assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED
        assert "a condition needs the right 'values'" in caught.value.details()


@pytest.mark.parametrize(
    "encoding", [collector_pb2.ENCODING_COLUMNS, collector_pb2.ENCODING_ARROW_IPC], ids=["columns", "arrow"]
)
def test_the_history_has_no_values_either(tmp_path: Path, encoding: collector_pb2.Encoding) -> None:
    rules = access_file(tmp_path, '[anyone]\nrights = ["view"]\n')
    events = source()
    events.hub.publish(one_event(0))
    request = collector_pb2.SubscribeRequest(encoding=encoding, only_history=True)
    with serving(events, tmp_path, access=rules) as address, stub_at(address) as stub:
        messages = list(stub.Subscribe(request, timeout=20))
    described = [probe for message in messages for probe in message.schema.probes]
    assert [list(probe.values) for probe in described] == [[]]
    if encoding == collector_pb2.ENCODING_COLUMNS:
        (batch,) = [message.batch for message in messages if message.HasField("batch")]
        assert list(batch.seq) == [1]
        assert list(batch.values) == []
        return
    (arrow,) = [message.arrow for message in messages if message.HasField("arrow")]
    table = pa.ipc.open_stream(arrow.ipc).read_all()
    assert table["seq"].to_pylist() == [1]
    # The name of its only value.
    assert "duration_nanos" in table.column_names
    assert "id" not in table.column_names


def received(
    events: StillSource, address: Address, request: collector_pb2.SubscribeRequest, metadata: Any
) -> collector_pb2.EventBatch:
    with stub_at(address) as stub:
        stream = stub.Subscribe(request, timeout=20, metadata=metadata)
        assert len(next(stream).schema.probes) == 1
        events.hub.publish(one_event(0))
        batch: collector_pb2.EventBatch = next(each.batch for each in stream if each.HasField("batch"))
        stream.cancel()
        return batch


def test_a_changed_access_file_holds_at_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = access_file(tmp_path, '[anyone]\nrights = ["view"]\n')
    with serving(source(), tmp_path, access=rules) as address, stub_at(address) as stub:
        stream = stub.Subscribe(collector_pb2.SubscribeRequest(), timeout=20)
        assert len(next(stream).schema.probes) == 1
        rules.write_text('[anyone]\nrights = ["viewing"]\n')
        wait_until(lambda: "has the right 'viewing'" in capfd.readouterr().err, "the warning")
        with Client(address) as client:
            assert client.list_probes()
        rules.write_text("[anyone]\nrights = []\n")
        # The stream of a client that has lost its right ends.
        with pytest.raises(grpc.RpcError) as caught:
            list(stream)
        assert caught.value.code() == grpc.StatusCode.CANCELLED
        assert "needs the right 'view'" in refusal(address)


def test_rights_that_change_while_a_stream_begins_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = access_file(tmp_path, '[anyone]\nrights = ["view"]\n')
    monkeypatch.setattr("jcollect.rpc.reloaded.Reloaded.__init__.__defaults__", (0.0,))
    callers = Callers(PRIVATE_SOCKET, Reloaded([str(rules)], lambda: read_access_file(str(rules)), "it"))
    admission = Admission(callers, Audit())
    opened = Admission._open

    def late(self: Admission, *arguments: Any) -> Any:
        """Withdraws the right between the check and the registration."""
        rules.write_text("[anyone]\nrights = []\n")
        admission.end_withdrawn()
        return opened(self, *arguments)

    monkeypatch.setattr(Admission, "_open", late)
    ended = grpc.RpcError("ended")
    context = Mock(
        spec=grpc.ServicerContext, abort=Mock(side_effect=ended), is_active=Mock(return_value=True)
    )
    context.auth_context.return_value = {}
    context.invocation_metadata.return_value = ()
    context.peer.return_value = "unix:"
    run = Mock()
    handler = admission.intercept_service(
        lambda details: grpc.unary_stream_rpc_method_handler(run), Mock(method=SUBSCRIBE)
    )
    with pytest.raises(grpc.RpcError, match="ended"):
        next(handler.unary_stream(collector_pb2.SubscribeRequest(), context))
    assert context.abort.call_args.args[0] == grpc.StatusCode.PERMISSION_DENIED
    assert not run.called
    assert not admission._streams


@pytest.mark.parametrize("columns", [frozenset({"values"}), frozenset({"values", "tid"}), MASKABLE])
def test_a_client_that_asks_for_values_only_gets_others(tmp_path: Path, columns: frozenset[str]) -> None:
    rules = access_file(tmp_path, '[anyone]\nrights = ["view"]\n')
    events = source()
    with serving(events, tmp_path, access=rules) as address, Subscriber(address) as client:
        for _ in range(2):
            events.hub.publish(one_event(0))
        items = client.subscribe(options=StreamOptions(columns=columns, only_history=True))
        batches = [each.columns for each in items if isinstance(each, Events)]
    assert sum(len(each.probe) for each in batches) == 2
    assert all(len(each.values) == 0 for each in batches)
    if columns == {"values"}:
        assert all(len(each.time_unix_nanos) == len(each.probe) for each in batches)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("client = 3", "'client' is not a list"),
        ("[client]\nname = 'x'", "'client' is not a list"),
        ("[[clients]]", "it has 'clients'"),
        ("[[client]]\nname = 'a b'\nrights = []", "client 1 needs a name"),
        ("[[client]]\nname = 'a'\nrights = ['view']", "client 'a' needs certificate"),
        ("[[client]]\nname = 'a'\ncertificate = 'c'\nright = ['view']", "client 'a' has 'right'"),
        ("[[client]]\nname = 'a'\ncertificate = 'c'\nrights = 'view'", "client 'a' needs rights"),
        ("[[client]]\nname = 'a'\ncertificate = 'c'\nrights = ['all']", "client 'a' has the right 'all'"),
        ("[[client]]\nname = 'a'\ntoken_sha256 = 'secret'\nrights = []", "not 64 hexadecimal digits"),
        ("[anyone]\nright = []", "[anyone] has 'right'"),
        ("anyone = 1", "'anyone' is not a table"),
        ("[[client]", "it is not TOML"),
        ("a = " + "[" * 5000, "it is not TOML"),
        ("\0", "it is not TOML"),
    ],
)
def test_mistakes_in_an_access_file_are_explained(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(JcollectError) as caught:
        read_access_file(str(access_file(tmp_path, text)))
    assert problem in caught.value.message


@pytest.mark.parametrize(
    "client",
    [
        "name = 'a'\ncertificate = 'c{}'",
        "name = 'a{}'\ncertificate = 'c'",
        f"name = 'a{{}}'\ntoken_sha256 = '{HASH}'",
    ],
)
def test_clients_of_an_access_file_are_distinct(tmp_path: Path, client: str) -> None:
    text = "".join(f"[[client]]\n{client.format(number)}\nrights = []\n" for number in range(2))
    with pytest.raises(JcollectError, match=r"two clients with the name|of another client"):
        read_access_file(str(access_file(tmp_path, text)))


# What a client sends.


def test_a_token_is_not_sent_without_protection(tmp_path: Path) -> None:
    with (
        serving(source(), tmp_path, "127.0.0.1:0", insecure=True) as address,
        pytest.raises(JcollectError, match=r"cannot send the token to .* TCP without TLS"),
    ):
        Client(address, with_token())


@pytest.mark.parametrize("token", ["", "two words", "a\nb", "x" * 5000, "ä"])
def test_a_bad_token_is_explained(tmp_path: Path, token: str) -> None:
    with pytest.raises(JcollectError, match="must be one line"):
        read_access(None, None, None, str(token_file(tmp_path, token)))


def test_a_token_that_others_can_read_is_rejected(tmp_path: Path) -> None:
    path = token_file(tmp_path)
    path.chmod(0o644)
    with pytest.raises(JcollectError, match="other users can read it"):
        read_access(None, None, None, str(path))


def test_a_rejected_subscriber_is_told_why(tmp_path: Path) -> None:
    rules = access_file(tmp_path, "[anyone]\nrights = []\n")
    with (
        serving(source(), tmp_path, access=rules) as address,
        Subscriber(address) as client,
        pytest.raises(RejectedError, match="needs the right 'view'"),
    ):
        list(client.subscribe())


# The audit log.


def lines_of(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_audit_log_has_streams_rejections_and_commands(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    rules = access_file(
        tmp_path,
        f'[[client]]\nname = "job"\ntoken_sha256 = "{HASH}"\nrights = ["command"]\n[anyone]\nrights = []\n',
    )
    command = collector_pb2.SetProbesRequest(
        pid=1, select=collector_pb2.SelectCommand(selectors=["a.B#c\n\x1b[31m"])
    )
    audit = Audit(str(log), open_to_append)
    bearer = [("authorization", f"Bearer {TOKEN}")]
    with serving(source(), tmp_path, access=rules, audit=audit) as address, stub_at(address) as stub:
        for metadata in (bearer, []):
            with pytest.raises(grpc.RpcError):
                stub.SetProbes(command, timeout=10, metadata=metadata)
        stream = stub.Subscribe(collector_pb2.SubscribeRequest(globs=["*"]), timeout=10, metadata=bearer)
        next(stream)
        stream.cancel()
        wait_until(lambda: len(lines_of(log)) == 4, "four lines")
    audit.close()
    found = lines_of(log)
    assert [(each["event"], each["client"], each["verb"]) for each in found] == [
        # It has reached no agent: there is no such process.
        ("rejected", "job", "SetProbes"),
        ("rejected", "the socket's owner", "SetProbes"),
        ("begin", "job", "Subscribe"),
        ("end", "job", "Subscribe"),
    ]
    assert "NOT_FOUND" in found[0]["result"]
    assert "PERMISSION_DENIED" in found[1]["result"]
    assert all(each["peer"].startswith("unix:") for each in found)
    text = log.read_text()
    assert "\x1b" not in text
    assert TOKEN not in text
    assert oct(log.stat().st_mode & 0o777) == "0o600"


def test_the_audit_log_follows_rotation(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    audit = Audit(str(log), open_to_append)
    audit.record("command", "a", "unix:", "SetProbes", "first", "ok")
    log.rename(tmp_path / "audit.log.1")
    audit.record("command", "a", "unix:", "SetProbes", "second", "ok")
    assert [each["arguments"] for each in lines_of(log)] == ["second"]
    assert [each["arguments"] for each in lines_of(tmp_path / "audit.log.1")] == ["first"]
    # One that cannot be opened again keeps its descriptor.
    log.rename(tmp_path / "audit.log.2")
    log.symlink_to(tmp_path / "elsewhere")
    audit.record("command", "a", "unix:", "SetProbes", "third", "ok")
    assert not (tmp_path / "elsewhere").exists()
    assert [each["arguments"] for each in lines_of(tmp_path / "audit.log.2")] == ["second", "third"]
    audit.close()


@pytest.mark.parametrize("lost", ["a file in its path", "no directory", "a loop"])
def test_a_lost_audit_log_is_reported_once(
    tmp_path: Path, lost: str, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, moved = tmp_path / "log", tmp_path / "moved"
    folder.mkdir()
    log = folder / "audit.log"
    audit = Audit(str(log), open_to_append)
    folder.rename(moved)
    if lost == "a file in its path":
        folder.touch()
    elif lost == "a loop":
        folder.symlink_to(folder)
    for number in range(3):
        audit.record("command", "a", "unix:", "SetProbes", str(number), "ok")
    assert capfd.readouterr().err.count("cannot open the audit file") == 1
    assert [each["arguments"] for each in lines_of(moved / "audit.log")] == ["0", "1", "2"]
    if lost != "no directory":
        folder.unlink()
    moved.rename(folder)
    audit.record("command", "a", "unix:", "SetProbes", "3", "ok")
    assert capfd.readouterr().err == ""
    # The next loss is reported again.
    folder.rename(moved)
    audit.record("command", "a", "unix:", "SetProbes", "4", "ok")
    assert capfd.readouterr().err.count("cannot open the audit file") == 1
    assert [each["arguments"] for each in lines_of(moved / "audit.log")] == ["0", "1", "2", "3", "4"]
    audit.close()


def test_calls_go_on_without_an_audit_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    audit = Audit(str(folder / "audit.log"), open_to_append)
    folder.rename(tmp_path / "moved")
    folder.touch()
    command = collector_pb2.SetProbesRequest(pid=1, select=collector_pb2.SelectCommand(selectors=["a.B#c"]))
    with serving(source(), tmp_path, audit=audit) as address, stub_at(address) as stub:
        for _ in range(3):
            with pytest.raises(grpc.RpcError) as caught:
                stub.SetProbes(command, timeout=10)
            assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    audit.close()
    assert capfd.readouterr().err.count("cannot open the audit file") == 1


def test_a_flood_of_rejected_calls_is_counted_and_not_written(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    audit = Audit(str(log), open_to_append)
    for _ in range(2_003):
        audit.record("rejected", "x" * 5_000, "unix:", "ListProbes", "", "no")
    audit.record("command", "a", "unix:", "SetProbes", "", "ok")
    audit.close()
    found: list[dict[str, Any]] = list(lines_of(log))
    assert len(found) <= 210
    assert found[-1]["event"] == "command"
    assert (
        len(found)
        - 1
        + found[-1]["omitted_before"]
        + sum(each.get("omitted_before", 0) for each in found[:-1])
        == 2_003
    )
    assert len(found[0]["client"]) <= 1_000


@pytest.mark.parametrize("kind", ["link", "pipe", "hard link"])
def test_the_audit_log_is_a_regular_file_of_its_own(tmp_path: Path, kind: str) -> None:
    log, other = tmp_path / "audit.log", tmp_path / "other"
    other.touch()
    if kind == "link":
        log.symlink_to(other)
    elif kind == "pipe":
        os.mkfifo(log)
    else:
        log.hardlink_to(other)
    with pytest.raises(OSError):  # noqa: PT011
        Audit(str(log), open_to_append)
