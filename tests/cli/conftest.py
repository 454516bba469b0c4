from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.services import Services, serve_services


@pytest.fixture
def services() -> Iterator[Services]:
    """Both services, each test's own."""
    with serve_services() as served:
        yield served
