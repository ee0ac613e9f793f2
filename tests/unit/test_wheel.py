"""The wheel has everything that jcollect needs, or is not built."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from java_target import JAR, ROOT
from packaging_of_wheel import build_wheel, built_wheel

MESSAGES = Path("collector/jprobe/v1")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Copies what a wheel is made of."""
    source = tmp_path / "source"
    skipped = shutil.ignore_patterns(
        *(".*", "tests", "bench", "docs", "__pycache__", "classes", "tmp", "test-results"),
        # Folders below build/ that other tests install.
        *("jdks", "protoc", "aarch64", "prometheus", "clients"),
    )
    shutil.copytree(ROOT, source, ignore=skipped)
    return source


def test_a_wheel_has_the_agent_the_messages_and_the_licenses(tmp_path: Path) -> None:
    with zipfile.ZipFile(built_wheel(tmp_path)) as archive:
        assert archive.read("jcollect/_agent/jprobe.jar") == JAR.read_bytes()
        names = archive.namelist()
    assert "jcollect/py.typed" in names
    for proto in (ROOT / "proto").rglob("*.proto"):
        for suffix in ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py"):
            assert f"jprobe/v1/{proto.stem}{suffix}" in names
    for license_file in ("LICENSE", "bpf/LICENSE.BSD-2-Clause", "java-agent/licenses/asm.txt"):
        assert any(name.endswith(f".dist-info/licenses/{license_file}") for name in names)


@pytest.mark.parametrize(
    "missing",
    [
        "java-agent/build/libs/jprobe.jar",
        "collector/jprobe/v1/collector_pb2.py",
        "collector/jprobe/v1/control_pb2.pyi",
        "collector/jcollect/layout/__init__.py",
    ],
)
def test_a_wheel_without_a_built_file_is_not_built(checkout: Path, missing: str) -> None:
    (checkout / missing).unlink()
    built = build_wheel(checkout / "dist", checkout)
    assert built.returncode != 0
    assert f"there is no {missing}; run make build first" in built.stderr
    assert list(checkout.rglob("*.whl")) == []


def test_a_wheel_with_messages_that_need_a_newer_protobuf_than_declared_is_not_built(checkout: Path) -> None:
    messages = checkout / MESSAGES / "control_pb2.py"
    messages.write_text("_runtime_version.ValidateProtobufRuntimeVersion(7, 35, 1)\n" + messages.read_text())
    built = build_wheel(checkout / "dist", checkout)
    assert built.returncode != 0
    assert f"{MESSAGES}/control_pb2.py requires a newer protobuf than pyproject.toml declares" in built.stderr
