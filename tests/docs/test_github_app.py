"""docs/github-app/: the permissions of the ready App are enough for all that the controller
does, and none is too many.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from controller.ports import Removal, UpstreamError
from hf_runner_simulators.github.model import JobSpec
from tests.adapters.github.scene import ACME, LABELS, LIB, Scene, virtual
from tests.docs.pages import ROOT

FOLDER = ROOT / "docs" / "github-app"
PAGE = ROOT / "docs" / "github-app.md"
SCOPES = {"organization": ACME, "repository": LIB}


def manifest(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return read


def granted(name: str, **other: str) -> dict[str, str]:
    return {**manifest(name)["default_permissions"], **other}


async def serve_a_job(permissions: Mapping[str, str], kind: str) -> None:
    """Do once what the controller does at GitHub, with an App that may do just this."""
    scene, scope = Scene(), SCOPES[kind]
    scene.world.accounts.change_installation(scene.installation.id, permissions=dict(permissions))
    scene.world.workflows.queue_run("acme/lib", [JobSpec(name="test", labels=LABELS)])
    github = scene.connect()
    (repository,) = (await github.repositories("acme")).items
    (run,) = (await github.runs(repository.full_name, "queued")).items
    assert (await github.jobs(repository.full_name, run)).items
    made = await github.register(
        scope, name="r-1", labels=LABELS, group="Default" if kind == "organization" else None
    )
    assert (await github.registrations(scope)).items
    assert await github.find(scope, "r-1") is not None
    assert await github.runner_version(scope)
    assert await github.deregister(scope, made.registration.id) is Removal.DONE


@pytest.mark.parametrize("kind", SCOPES)
@virtual
async def test_the_manifests_permissions_are_enough(kind: str) -> None:
    await serve_a_job(granted(kind), kind)


@pytest.mark.parametrize("kind", SCOPES)
@pytest.mark.parametrize("weaker", [0, 1])
@virtual
async def test_each_of_them_is_needed(kind: str, weaker: int) -> None:
    held = {
        name: level for name, level in granted(kind).items() if name != "metadata"
    }  # GitHub adds that one itself
    name, level = list(held.items())[weaker]
    less = (
        {**granted(kind), name: "read"}
        if level == "write"
        else {k: v for k, v in granted(kind).items() if k != name}
    )
    with pytest.raises(UpstreamError) as caught:
        await serve_a_job(less, kind)
    assert name in caught.value.failure.message


@virtual
async def test_running_failed_jobs_again_takes_the_right_that_the_form_offers() -> None:
    assert 'default_permissions.actions = "write"' in (FOLDER / "index.html").read_text()
    for actions in ("read", "write"):
        scene = Scene()
        change = scene.world.accounts.change_installation
        change(scene.installation.id, permissions=granted("organization", actions=actions))
        run = scene.world.workflows.queue_run("acme/lib", [JobSpec(name="test", labels=LABELS)])
        if actions == "read":
            with pytest.raises(UpstreamError) as caught:
                await scene.connect().rerun_failed("acme/lib", run.id)
            assert "actions=write" in caught.value.failure.message
        else:
            assert not await scene.connect().rerun_failed("acme/lib", run.id)  # it has not ended yet


def test_the_link_on_the_page_asks_for_what_the_manifest_asks_for() -> None:
    (link,) = re.findall(r"https://github\.com/organizations/ACME\S+", PAGE.read_text())
    asked = dict(parse_qsl(urlsplit(link).query))
    rest = {k: v for k, v in asked.items() if k not in ("name", "url", "public", "webhook_active")}
    assert rest == granted("organization")
    assert (asked["public"], asked["webhook_active"]) == ("false", "false")
    for kind in SCOPES:
        assert manifest(kind)["public"] is False
        assert manifest(kind)["hook_attributes"]["active"] is False
        assert f'"{kind}.json"' in (FOLDER / "index.html").read_text()
