"""Hosts that the controller may send no credentials to, in the whole controller: judged by
what reaches the services.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from controller.core.hosts import Hosts
from controller.core.model import PoolKey
from controller.simulate.engine import GITHUB, HUB, NAMESPACE
from tests.system.test_whole import CREATE_HF_JOB, REGISTER, Scene, play, t4

ANOTHER = "http://127.0.0.1:9"
"""Where the simulated GitHub answers too: the transports do not look at the host."""

MINUTE = 60.0

ENDING = {
    "GET /repos/{owner}/{repo}/actions/runners",
    "DELETE /repos/{owner}/{repo}/actions/runners/{runner_id}",
    "GET /repos/{owner}/{repo}/installation",
    "GET /orgs/{org}/installation",
    "GET /users/{username}/installation",
    "GET /app/installations/{installation_id}",
    "POST /app/installations/{installation_id}/access_tokens",
}


def hosts(github: str = GITHUB, hub: str = HUB) -> Hosts:
    return Hosts.listed(github=[github], hub=[hub], allow_http=True)


ELSEWHERE: Mapping[str, Hosts] = {
    "GitHub": hosts(github="github.com"),
    "the Hub": hosts(hub="huggingface.co"),
    "both": hosts(github="github.com", hub="huggingface.co"),
}


def asked(scene: Scene) -> list[str]:
    """Routes that GitHub was asked for, and then the Hub."""
    return [
        entry.route
        for exchange in (scene.sim.github_exchange, scene.sim.hub_exchange)
        for entry in exchange.log
    ]


def forget_requests(scene: Scene) -> None:
    for exchange in (scene.sim.github_exchange, scene.sim.hub_exchange):
        exchange.log.clear()


def gone(scene: Scene, name: str = "t4") -> bool:
    return PoolKey(NAMESPACE, name) not in scene.sim.cluster.pools


@pytest.mark.parametrize("lists", ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_pool_whose_host_is_not_allowed_has_nothing_sent_and_can_be_deleted_at_once(lists: Hosts) -> None:
    async def act(scene: Scene) -> None:
        scene.sim.hosts = lists
        key = t4(scene, minIdle=1)
        scene.queue()
        scene.sim.start()
        await scene.until(lambda: scene.condition("Ready").get("reason") == "HostNotAllowed", within=10)
        assert scene.condition("Stalled")["status"] == "True"
        assert "controller." in scene.condition("Ready")["message"]
        await scene.pass_time(10 * MINUTE)
        assert asked(scene) == []
        for kind in ("CredentialsValid", "FlavorsOffered", "GitHubReachable", "HubReachable"):
            told = scene.condition(kind)
            assert (told["status"], told["reason"]) == ("Unknown", "HostNotAllowed"), "nobody was asked"
        scene.sim.delete(key)
        await scene.until(lambda: gone(scene), within=15)

    play(act)


def test_a_pool_whose_host_is_not_allowed_costs_the_others_nothing() -> None:
    async def act(scene: Scene) -> None:
        evil = {"url": "https://evil.example/acme/lib"}
        scene.sim.pool("evil", url="acme/lib", labels=["hf-t4"], github=evil)
        scene.sim.pool(
            "evil-hub", url="acme/lib", labels=["hf-t4"], huggingface={"endpoint": "https://evil.example"}
        )
        t4(scene)
        scene.queue(count=2)
        scene.sim.start()
        await scene.until(lambda: scene.conclusions()["success"] == 2, within=300)
        assert scene.condition("Ready")["status"] == "True"
        for name in ("evil", "evil-hub"):
            assert scene.condition("Ready", name)["reason"] == "HostNotAllowed"
            assert scene.status(name).get("places", []) == []

    play(act)


@pytest.mark.parametrize("lists", ELSEWHERE.values(), ids=ELSEWHERE)
def test_what_was_launched_at_a_host_that_was_taken_away_is_ended_and_nothing_else_is_done_there(
    lists: Hosts,
) -> None:
    async def act(scene: Scene) -> None:
        key = t4(scene, minIdle=1, maxRunners=4)
        scene.sim.start()
        scene.queue(count=2, seconds=300)
        await scene.until(lambda: scene.status().get("counts", {}).get("busy") == 2, within=300)
        await scene.until(lambda: scene.status()["counts"]["idle"] == 1, within=300)
        await scene.sim.stop()
        launched = len(scene.hf_jobs())
        scene.sim.hosts = lists
        forget_requests(scene)
        scene.sim.start()

        await scene.until(lambda: scene.condition("Ready").get("reason") == "HostNotAllowed", within=15)
        await scene.until(
            lambda: scene.live() == 2, within=120, what="the idle one is ended, busy ones are not"
        )
        scene.queue(count=3)
        await scene.until_quiet(within=600)
        await scene.pass_time(10 * MINUTE)

        assert scene.conclusions() == {"success": 2, None: 3}
        assert len(scene.hf_jobs()) == launched
        assert REGISTER not in asked(scene)
        assert CREATE_HF_JOB not in asked(scene)
        if lists.github == ELSEWHERE["GitHub"].github:
            assert {entry.route for entry in scene.sim.github_exchange.log} <= ENDING
        assert scene.status()["places"] == []
        forget_requests(scene)
        await scene.pass_time(10 * MINUTE)
        assert asked(scene) == [], "what is proved to be empty is asked no more"
        scene.sim.delete(key)
        await scene.until(lambda: gone(scene), within=MINUTE)

    play(act)


def test_a_former_place_at_a_host_that_was_taken_away_is_emptied_while_the_pool_is_served_elsewhere() -> None:
    async def act(scene: Scene) -> None:
        scene.sim.hosts = Hosts.listed(github=[GITHUB, ANOTHER], hub=[HUB], allow_http=True)
        t4(scene)
        scene.sim.start()
        scene.queue(seconds=400)
        await scene.until(lambda: scene.status().get("counts", {}).get("busy") == 1, within=300)
        t4(scene, github={"url": f"{ANOTHER}/acme/kernels"})
        await scene.until(lambda: len(scene.status()["places"]) == 1, within=30)
        await scene.sim.stop()
        scene.sim.hosts = hosts(github=ANOTHER)
        forget_requests(scene)
        scene.sim.start()

        scene.queue("acme/kernels", seconds=20)
        scene.queue("acme/lib", seconds=20)
        await scene.until(lambda: scene.conclusions()["success"] == 2, within=600)
        await scene.until_quiet(within=300)
        await scene.pass_time(2 * MINUTE)
        assert scene.conclusions() == {"success": 2, None: 1}
        of_lib = {
            e.route for e in scene.sim.github_exchange.log if e.path.startswith("/api/v3/repos/acme/lib/")
        }
        assert of_lib <= ENDING
        assert [place["scope"] for place in scene.status()["places"]] == ["repos/acme/kernels"]

    play(act)


def test_a_place_that_somebody_wrote_into_a_status_is_read_at_a_start_alone_and_not_for_ever() -> None:
    async def act(scene: Scene) -> None:
        key = t4(scene)
        scene.sim.hosts = hosts(github="github.com", hub="huggingface.co")
        scene.sim.start()
        await scene.until(lambda: scene.condition("Ready").get("reason") == "HostNotAllowed", within=15)
        place = {
            "apiUrl": f"{GITHUB}/api/v3",
            "scope": "repos/acme/lib",
            "credentialsSecret": "github-app",
            "endpoint": HUB,
            "namespace": "acme",
            "tokenSecret": "hf-token",
            "endsBy": "2190-01-01T00:00:00Z",
        }
        scene.sim.cluster.pools[key]["status"]["places"] = [place]
        scene.sim.cluster.touch(key)
        scene.sim.process.controller.registry.upsert(scene.sim.cluster.pools[key])  # type: ignore[union-attr]
        await scene.pass_time(2 * MINUTE)
        assert asked(scene) == []

    play(act)


def test_of_such_a_place_only_what_ends_something_is_asked_after_a_start_and_that_ends_soon() -> None:
    async def act(scene: Scene) -> None:
        key = t4(scene, minIdle=1)
        scene.sim.hosts = hosts(github="github.com")
        scene.sim.cluster.pools[key]["status"]["places"] = [
            {
                "apiUrl": f"{GITHUB}/api/v3",
                "scope": "repos/acme/lib",
                "credentialsSecret": "github-app",
                "endpoint": HUB,
                "namespace": "acme",
                "tokenSecret": "hf-token",
                "endsBy": "2190-01-01T00:00:00Z",
            }
        ]
        scene.queue()
        scene.sim.start()
        await scene.until(lambda: scene.condition("Ready").get("reason") == "HostNotAllowed", within=15)
        await scene.until(lambda: scene.status()["places"] == [], within=5 * MINUTE)
        assert {entry.route for entry in scene.sim.github_exchange.log} <= ENDING
        forget_requests(scene)
        await scene.pass_time(5 * MINUTE)
        assert asked(scene) == []
        assert scene.hf_jobs() == []

    play(act)
