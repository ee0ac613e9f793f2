"""Files that decide who may do what, broken in any way, are explained. While a collector serves, the version
before them holds."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from certificates import Authority, Pair
from jcollect.errors import JcollectError
from jcollect.rpc.access_file import read_access_file
from jcollect.rpc.client import Client
from jcollect.rpc.client_access import read_access
from jcollect.rpc.reloaded import Reloaded
from jcollect.rpc.server_tls import ServerTls, TlsPaths, check_authorities, check_pair
from served import StillSource, described, serving

RULES = b"""[[client]]
name = "job"
certificate = "job.example"
token_sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
rights = ["view", "values"]
[anyone]
rights = []
"""
PIECES = (
    b"-----BEGIN CERTIFICATE-----\n",
    b"-----END CERTIFICATE-----\n",
    b"-----BEGIN TRUSTED CERTIFICATE-----\n",
    b"CERTIFICATE",
    b"PRIVATE KEY",
    b"\xff\xfe",
    b"\0",
    b"\n",
    b"=",
    "ä".encode(),
    b"Proc-Type: 4,",
)
MUTATIONS = 400


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "main")


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.issue("localhost", host="127.0.0.1")


def mutated(content: bytes, random_: random.Random) -> bytes:
    """Returns PEM text with some pieces cut out, replaced, repeated or added."""
    text = bytearray(content)
    for _ in range(random_.randint(1, 3)):
        at = random_.randrange(len(text) + 1)
        size = random_.choice([0, 1, 1, 4, 40, len(text)])
        text[at : at + size] = random_.choice([b"", bytes(text[at // 2 : at]), *PIECES, random_.randbytes(3)])
    return bytes(text)


def problem_of(check: Callable[[], object], *paths: str) -> str:
    """Returns the error of a check, which names one of the files; empty if it accepts them."""
    problem = ""
    try:
        check()
    except JcollectError as error:
        problem = error.message
    assert not problem or any(path in problem for path in paths)
    return problem


def test_mutated_certificates_are_explained(authority: Authority, pair: Pair) -> None:
    random_ = random.Random(4711)
    certificate, key = pair.certificate.read_bytes(), pair.key.read_bytes()
    ca = authority.certificate.read_bytes()
    problems = []
    for number in range(MUTATIONS):
        of_server = number % 2 == 0
        broken, broken_key = mutated(certificate, random_), mutated(key, random_)
        broken_ca = mutated(ca, random_)
        problems += [
            problem_of(lambda: check_authorities(broken_ca, "ca.pem"), "ca.pem"),  # noqa: B023
            problem_of(lambda: check_pair(broken, key, "a.pem", "a.key", of_server=of_server), "a.pem"),  # noqa: B023
            problem_of(
                lambda: check_pair(certificate, broken_key, "a.pem", "a.key", of_server=of_server),  # noqa: B023
                "a.key",
            ),
        ]
    assert len([each for each in problems if each]) > MUTATIONS


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(b"CERTIFICATE", b"CERTIFICATES"),
        lambda text: text[:200],
        lambda text: text[:200] + text[201:],
        lambda text: text[:200] + b"\xc3\xa4" + text[202:],
        lambda text: b"",
        lambda text: b"\xff" * 100,
    ],
    ids=["wrong label", "cut", "a character less", "not ASCII", "empty", "binary"],
)
def test_broken_pem_files_are_explained(
    authority: Authority, pair: Pair, change: Callable[[bytes], bytes]
) -> None:
    certificate, key = pair.certificate.read_bytes(), pair.key.read_bytes()
    assert problem_of(lambda: check_pair(change(certificate), key, "a.pem", "a.key", of_server=True), "a.pem")
    ca = change(authority.certificate.read_bytes())
    assert problem_of(lambda: check_authorities(ca, "ca.pem"), "ca.pem")


def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets files be looked at whenever their value is used."""
    monkeypatch.setattr("jcollect.rpc.reloaded.Reloaded.__init__.__defaults__", (0.0,))


@pytest.mark.parametrize("label", [b"CERTIFICATE", b"X509 CERTIFICATE"])
def test_a_comment_in_any_language_and_the_old_label_are_no_problem(
    tmp_path: Path, authority: Authority, pair: Pair, label: bytes
) -> None:
    comment = "# für Jürgen\n".encode()
    paths = [tmp_path / name for name in ("a.pem", "a.key", "ca.pem")]
    for path, source in zip(paths, (pair.certificate, pair.key, authority.certificate), strict=True):
        path.write_bytes(comment + source.read_bytes().replace(b"CERTIFICATE", label))
        path.chmod(0o600)
    certificate, key, ca = map(str, paths)
    with (
        serving(
            StillSource(described(1)), tmp_path, "127.0.0.1:0", tls=ServerTls(TlsPaths(certificate, key, ca))
        ) as address,
        Client(address, read_access(ca, certificate, key, None)) as client,
    ):
        assert len(client.list_probes()) == 1


def test_the_authorities_before_broken_ones_hold(
    tmp_path: Path,
    authority: Authority,
    pair: Pair,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    at_once(monkeypatch)
    ca = tmp_path / "ca.pem"
    sound = authority.certificate.read_bytes()
    ca.write_bytes(sound)
    ca.chmod(0o644)
    tls = ServerTls(TlsPaths(str(pair.certificate), str(pair.key), str(ca)))
    access = read_access(str(authority.certificate), str(pair.certificate), str(pair.key), None)
    with serving(StillSource(described(1)), tmp_path, "127.0.0.1:0", tls=tls) as address:
        for broken in (b"\xff" * 50, sound[:300], sound.replace(b"CERTIFICATE", b"KEY"), b""):
            ca.write_bytes(broken)
            for _ in range(3):
                with Client(address, access) as client:
                    assert len(client.list_probes()) == 1
            warnings = capfd.readouterr().err
            assert warnings.count("as read before still holds") == 1
            assert str(ca) in warnings


@pytest.mark.parametrize("text", ["a = " + "1" * 6_000, "a = 1979-05-27T07:32:00+99:99", "a = 1e999999999"])
def test_numbers_that_python_rejects_are_explained(tmp_path: Path, text: str) -> None:
    path = tmp_path / "access.toml"
    path.write_text(text)
    path.chmod(0o644)
    with pytest.raises(JcollectError, match="cannot use the access file"):
        read_access_file(str(path))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    at=st.integers(0, len(RULES)),
    cut=st.integers(0, 40),
    piece=st.binary(max_size=8) | st.text().map(str.encode),
)
def test_mutated_access_files_are_explained(tmp_path: Path, at: int, cut: int, piece: bytes) -> None:
    path = tmp_path / "access.toml"
    path.write_bytes(RULES[:at] + piece + RULES[at + cut :])
    path.chmod(0o644)
    problem_of(lambda: read_access_file(str(path)), str(path))


@pytest.mark.parametrize(
    "error",
    [ValueError("digits"), TypeError("str"), UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), MemoryError()],
    ids=repr,
)
def test_a_reload_never_raises(tmp_path: Path, error: Exception, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "file"
    path.write_text("good")

    def load() -> str:
        text = path.read_text()
        if text == "broken":
            raise error
        return text

    value = Reloaded([str(path)], load, "the file", seconds=0)
    path.write_text("broken")
    assert [value.current() for _ in range(5)] == ["good"] * 5
    warnings = capfd.readouterr().err
    assert warnings.count("the file as read before still holds") == 1
    assert "cannot read the file again" in warnings
    path.write_text("better")
    assert value.current() == "better"


def test_a_broken_access_file_does_not_end_the_collector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    rules = tmp_path / "access.toml"
    rules.write_text('[anyone]\nrights = ["view"]\n')
    rules.chmod(0o644)
    at_once(monkeypatch)
    with serving(StillSource(described(1)), tmp_path, access=rules) as address:
        rules.write_text("a = " + "1" * 6_000)
        warnings = ""
        deadline = time.monotonic() + 10
        while "still holds" not in warnings and time.monotonic() < deadline:
            with Client(address) as client:
                assert len(client.list_probes()) == 1
            warnings += capfd.readouterr().err
        assert f"cannot use the access file {rules}" in warnings
