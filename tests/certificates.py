"""Certificates for tests, made by openssl: new for each run, because a key in the repository is none."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


@dataclass(frozen=True)
class Pair:
    """Paths of a certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """Issues certificates into a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.certificate = folder / f"{name}.ca.pem"
        self._key = folder / f"{name}.ca.key"
        _openssl(
            "req", "-x509", *_EC, "-keyout", self._key, "-out", self.certificate,
            "-subj", f"/CN={name}", "-days", "2",
        )  # fmt: skip

    def issue(self, name: str, *, host: str = "", common_name: str = "", expired: bool = False) -> Pair:
        """Issues a certificate with the DNS name, which is also a file name. With `common_name`, without
        alternative names; with `host`, for that IP address too; valid from yesterday, unless `expired`.
        """
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        request = self._folder / f"{name}.csr"
        # openssl writes keys with mode 0600.
        _openssl(
            "req", "-new", *_EC, "-keyout", pair.key, "-out", request, "-subj", f"/CN={common_name or 'x'}",
        )  # fmt: skip
        names = f"DNS:{name}" + (f",IP:{host}" if host else "")
        extensions = self._folder / f"{name}.ext"
        extensions.write_text("basicConstraints=CA:FALSE\n" if common_name else f"subjectAltName={names}\n")
        # openssl 3.0 has no option for dates in the past, but accepts a negative number of days.
        _openssl(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial",
            "-out", pair.certificate, "-days", "-1" if expired else "2", "-extfile", extensions,
        )  # fmt: skip
        return pair


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
