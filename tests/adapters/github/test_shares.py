"""Two Secrets of one GitHub App have one quota, one pace and one number of requests at a time;
nobody else has a part in it.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from controller.adapters.github.connection import GitHubConnection
from controller.adapters.github.limits import Pacer, Shares
from controller.adapters.github.turns import Line
from controller.core.hosts import Hosts
from controller.core.model import GitHubSource, SecretRef
from controller.core.reasons import Reason
from controller.ports import UpstreamError
from hf_runner_simulators.clock import LoopClock
from tests.adapters.github.scene import ACME, Scene, source, virtual

FOUND = "GET /orgs/{org}/actions/runners"


def of_team(name: str, **more: Any) -> GitHubSource:
    return dataclasses.replace(source(**more), secret=SecretRef(name, "github"))


def two_teams(scene: Scene, **options: Any) -> tuple[GitHubConnection, GitHubConnection]:
    """Connect two Secrets of one App: one names the installation, the other has it found."""
    shares = Shares()
    named = scene.app_secret(installationId=str(scene.installation.id))
    return (
        scene.connect(source=of_team("a"), shares=shares, **options),
        scene.connect(named, source=of_team("b"), shares=shares, **options),
    )


@virtual
async def test_two_secrets_of_one_app_stay_below_one_pace_together() -> None:
    scene = Scene(core_limit=100_000)
    teams = two_teams(scene, points_per_minute=60)
    await asyncio.gather(*(team.find(ACME, f"r-{n}") for team in teams for n in range(100)))
    sent = [entry.at for entry in scene.exchange.log if entry.route == FOUND]
    # A fixed window may hold what one minute ends with and the next begins with.
    assert all(sum(at <= other < at + 59 for other in sent) <= 60 for at in sent)
    assert len(sent) == 200


@virtual
async def test_what_one_secret_uses_up_is_not_asked_for_with_the_other() -> None:
    scene = Scene(core_limit=4)
    one, other = two_teams(scene)
    while (quota := one.quota()) is None or quota.remaining:
        await one.find(ACME, f"r-{scene.count(FOUND)}")
    asked = scene.count(FOUND)
    with pytest.raises(UpstreamError) as caught:
        await other.runs("acme/lib", "queued")
    assert caught.value.failure.reason is Reason.GitHubRateLimited
    assert scene.count(FOUND) == asked
    assert other.quota() == one.quota()


@virtual
async def test_other_installations_and_other_hosts_have_limits_of_their_own() -> None:
    scene = Scene(core_limit=4)
    scene.world.accounts.add_organization("other")
    scene.world.accounts.add_repository("other/lib")
    scene.world.accounts.install(scene.app.id, "other")
    shares = Shares()
    mine = scene.connect(shares=shares)
    theirs = scene.connect(source=of_team("b", owner="other"), shares=shares)
    # Another host may have given its App and installation the same numbers.
    host = Scene(core_limit=4, edition="enterprise-server")
    elsewhere = host.connect(
        source=of_team("c", api_url="https://ghe.example/api/v3"),
        shares=shares,
        hosts=Hosts.listed(github=["ghe.example"], hub=[]),
    )
    while (quota := mine.quota()) is None or quota.remaining:
        await mine.find(ACME, f"r-{scene.count(FOUND)}")
    assert (await theirs.runs("other/lib", "queued")).complete
    assert (await elsewhere.runs("acme/lib", "queued")).complete


@virtual
async def test_an_installation_that_a_secret_only_claims_gives_it_no_part_in_its_limits() -> None:
    scene = Scene()
    shares = Shares()
    mine = scene.connect(shares=shares)
    await mine.registrations(ACME)
    stranger = scene.world.accounts.add_app(public_key=scene.app.public_key)
    claim = scene.app_secret(appId=str(stranger.id), installationId=str(scene.installation.id))
    theirs = scene.connect(claim, source=of_team("b"), shares=shares)
    with pytest.raises(UpstreamError) as caught:
        await theirs.registrations(ACME)
    assert caught.value.failure.reason is Reason.AppNotInstalled
    assert theirs.quota() is None
    assert mine.quota() is not None


@virtual
async def test_askers_take_turns_however_much_one_of_them_asks_for() -> None:
    pacer = Pacer(
        clock=LoopClock(time=asyncio.get_running_loop().time), points_per_minute=None, max_in_flight=2
    )
    served: list[str] = []

    async def ask(who: str) -> None:
        async with pacer.turn(cost=1, effect=False, asker=who):
            await asyncio.sleep(1)
            served.append(who)

    async with asyncio.TaskGroup() as group:
        for _ in range(50):
            group.create_task(ask("much"))
        await asyncio.sleep(0)
        for _ in range(3):
            group.create_task(ask("little"))
    assert served[:7].count("little") == 3
    assert len(served) == 53


def test_a_line_keeps_each_askers_order() -> None:
    line: Line[str] = Line()
    for asker, item in [("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("b", "b2")]:
        line.add(asker, item)
    taken = []
    while line:
        assert line.first() == line.first()
        taken.append(line.take())
    assert taken == ["a1", "b1", "a2", "b2", "a3"]
