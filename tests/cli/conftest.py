from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.services import Services, serve_services


@pytest.fixture
def services() -> Iterator[Services]:
    """Both services, each test's own."""
    with serve_services() as served:
        yield served


@pytest.fixture(autouse=True)
def _no_public_authorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust no public certificate authority: all that is asked here is served on the loopback interface
    without TLS, and to read the public authorities takes 0.04 s of each HTTP client.
    """
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "no-authorities"))
    (tmp_path / "no-authorities").mkdir()
