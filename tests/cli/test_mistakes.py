"""Each mistake that people make in a manifest is refused, or named, with a sentence that
says what to write.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from controller.api.convert import to_pool
from controller.cli import main
from controller.core.contradictions import contradictions
from tests.cli.mistakes import MISTAKES, Mistake
from tests.cli.services import Services, manifests


def told(services: Services, mistake: Mistake) -> list[dict[str, Any]]:
    pool = mistake.applied_to(services.pool())
    # Plain http is a mistake where it was not asked for, as the simulated services need it.
    flags = [] if mistake.says == "write https" else services.flags
    text = manifests(pool, *services.secrets())
    result = CliRunner().invoke(main, ["check", "-", "--json", *flags], input=text)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return [one for one in json.loads(result.stdout)["findings"] if one["severity"] != "note"]


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_check_says_what_to_write(services: Services, mistake: Mistake) -> None:
    found = told(services, mistake)
    assert [one for one in found if mistake.says in one["message"]], found


def test_a_manifest_without_a_mistake_says_nothing(services: Services) -> None:
    assert told(services, Mistake("spec.maxRunners", 10, "")) == []
    assert contradictions(to_pool(services.pool(), allow_http=True)) == []
