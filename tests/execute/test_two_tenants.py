"""What another team's services say of our runners, from the lists to the requests: which host
is asked for what, as whom.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from controller.core.memory import Memory
from controller.core.model import GitHubSource, HubAccount, Snapshot
from controller.simulate.loop import run_virtual
from tests.core.build import name_of, registration, remembering, run_plan, snapshot, started
from tests.core.test_provenance import IDLE_FOR_LONG, LIES, OURS, THEIRS, both
from tests.execute.scripted import GitHub, Hub, Script, World

Asked = dict[GitHubSource | HubAccount, list[str]]
"""Calls by the credentials that they were made with."""


class Hosts:
    """A GitHub and a Hub for each credential, which agree to everything and write down what
    they are asked.
    """

    def __init__(self) -> None:
        self.scripts: defaultdict[GitHubSource | HubAccount, Script] = defaultdict(Script)

    def github(self, source: GitHubSource) -> Any:
        return GitHub(self.scripts[source])

    def hub(self, account: HubAccount) -> Any:
        return Hub(self.scripts[account])

    def let_end(self, endings: object) -> None:
        """Not looked at."""

    def hold(self, secrets: object) -> None:
        """Nothing is taken away."""

    async def close_all_except(self, sources: object, accounts: object) -> None:
        """Nothing is closed."""


def asked(pools: Sequence[Any], view: Snapshot, memory: Memory | None) -> Asked:
    """Plan once, carry it out, and return who was asked for what."""

    async def main() -> Asked:
        hosts = Hosts()
        world = World(connections=hosts)
        world.know(*pools)
        world.executor.submit(run_plan(pools, view, memory=memory).actions)
        await world.quiet(60.0)
        await world.executor.close(0.0)
        return {who: script.calls for who, script in hosts.scripts.items()}

    return run_virtual(main())


@pytest.mark.parametrize(("ours", "theirs"), LIES.values(), ids=LIES)
def test_lies_of_another_team_send_no_request_that_would_not_be_sent_without_them(
    ours: dict[str, Any], theirs: dict[str, Any]
) -> None:
    memory = remembering(name_of(OURS), **IDLE_FOR_LONG) if ours.get("registrations") else None
    with_them = asked([OURS, THEIRS], both(**ours, **theirs), memory)
    assert with_them == asked([OURS], snapshot(**ours), memory)
    assert with_them.keys() <= {OURS.source, OURS.hub}


def test_a_runner_is_asked_for_and_ended_where_it_is_though_another_team_shows_one_of_its_name() -> None:
    ours = registration(OURS, online=True)
    view = both(
        registrations=[ours],
        hf_jobs=[started(OURS, seconds_ago=5100)],
        their_registrations=[replace(ours, id=666, online=False)],
        their_hf_jobs=[replace(started(OURS), id="evil")],
    )
    memory = remembering(name_of(OURS), **IDLE_FOR_LONG)
    assert asked([THEIRS, OURS], view, memory) == {
        OURS.source: [f"deregister {ours.id}"],
        OURS.hub: ["cancel hf-aaaa"],
    }
