"""Why queued jobs wait: each has one reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from controller.core.actions import Launch
from controller.core.backoff import Backoff, Limit
from controller.core.demand import Demand
from controller.core.explain import explain, with_times
from controller.core.explain import waiting as because
from controller.core.intents import MOST_INTENTS, Blocked, PoolIntents
from controller.core.launch import Decisions, Launches
from controller.core.lifecycle import Phase
from controller.core.model import Disposition, Failure, Pool, Snapshot, SuspicionLevel, WorkflowJob
from controller.core.reasons import Reason
from controller.core.retire.choose import Retirements
from controller.core.retire.consequences import Consequences
from controller.core.retire.surplus import Surplus
from controller.core.runners import Runner
from controller.core.suspect import Suspected
from controller.core.suspicion import Suspicion, Suspicions, divide
from tests.core.build import NOW, OUTAGE, REFUSED, SERVER, job, name_of, pool, seen, snapshot
from tests.core.stages import having, runner, view_of

P = pool()
ONE, TWO = job(1), job(2)
HELD = Backoff(failures=1, until=NOW + 30, at=NOW, failure=OUTAGE)
STOPPED = Failure(reason=Reason.StopSwitchOn, message="stopped", disposition=Disposition.PERSON)
FULL = PoolIntents(open=frozenset(name_of(P, f"x{number}") for number in range(MOST_INTENTS)))
SUSPICION = Suspicion(
    level=SuspicionLevel.JOB, repository=ONE.repository, job_id=ONE.id, since=NOW, seen_at=NOW
)


def why(
    demand: Demand | Sequence[WorkflowJob],
    *,
    of: Pool = P,
    view: Snapshot | None = None,
    runners: Sequence[Runner] = (),
    launches: int = 0,
    taken: int = 0,
    held_by: Backoff | None = None,
    limit: Limit | None = None,
    intents: PoolIntents | None = None,
    failures: Sequence[Failure] = (),
    known: Suspicions | None = None,
) -> dict[Reason, int]:
    """Return how many jobs wait for each reason."""
    if not isinstance(demand, Demand):
        demand = Demand(queued=list(demand))
    known = known or Suspicions()
    divided = divide(known, demand.queued)
    actions = [Launch(of, "t4-small", f"new-{number}") for number in range(launches)]
    decided = Decisions(
        demand,
        Suspected(suspicions=known, divided=divided),
        Retirements(
            actions=(),
            left=having(runners),
            after=Consequences(backoffs={}, tracks={}, limit=limit),
            surplus=Surplus(),
        ),
        Launches(
            actions=actions,
            trusted=max(0, len(divided.trusted) - taken),
            taken=taken,
            held_by=held_by,
            suspicions=known,
        ),
    )
    known_of = view_of(view or snapshot(), of=of, intents={of.uid: intents or PoolIntents()})
    # The stop switch is asked for each pass; a table says what it answered.
    known_of = replace(known_of, pool=of)
    return {one.reason: one.count for one in explain(known_of, decided, failures)}


FULL_HOUSE = [runner(f"aaa{number}", Phase.BUSY) for number in range(4)]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"runners": [runner("aaaa", Phase.IDLE)]}, {Reason.RunnerStarting: 1}),
        ({"launches": 1}, {Reason.RunnerStarting: 1}),
        ({"of": pool(deleting=True)}, {Reason.Draining: 1}),
        ({"of": pool(refused=STOPPED)}, {Reason.StopSwitchOn: 1}),
        ({"of": pool(stopped=STOPPED)}, {Reason.StopSwitchOn: 1}),
        ({"of": pool(paused=True)}, {Reason.Paused: 1}),
        ({"failures": [REFUSED]}, {REFUSED.reason: 1}),
        ({"view": snapshot(hf_jobs=seen(failure=OUTAGE))}, {OUTAGE.reason: 1}),
        ({"view": snapshot(registrations=seen(failure=REFUSED))}, {REFUSED.reason: 1}),
        ({"view": snapshot(hf_jobs=None)}, {Reason.Pending: 1}),
        ({"intents": PoolIntents(lists_after=NOW)}, {Reason.Pending: 1}),
        (
            {"intents": PoolIntents(blocked=Blocked(failure=OUTAGE, since=NOW, until=NOW + 5))},
            {Reason.IntentsBlocked: 1},
        ),
        ({"held_by": HELD}, {Reason.BackingOff: 1}),
        ({"intents": FULL}, {Reason.Pending: 1}),
        ({"of": pool(max_runners=0)}, {Reason.NoneAllowed: 1}),
        ({"limit": Limit(running=0, extra=0, at=NOW)}, {Reason.AtHubLimit: 1}),
        ({"runners": FULL_HOUSE}, {Reason.AtMaxRunners: 1}),
        ({"runners": FULL_HOUSE, "limit": Limit(running=4, extra=0, at=NOW)}, {Reason.AtMaxRunners: 1}),
    ],
    ids=[
        "a runner idles",
        "a runner is launched",
        "the pool is deleted",
        "its host is refused",
        "the stop switch is on",
        "it is paused",
        "its spec has a mistake",
        "the Hub cannot be read",
        "GitHub cannot be read",
        "HF Jobs were never listed",
        "a launch need not show yet",
        "no launch can be written down",
        "launches back off",
        "too many launches are not confirmed",
        "maxRunners is 0",
        "the Hub runs no more",
        "maxRunners is met",
        "maxRunners is met before the Hub's limit",
    ],
)
def test_one_job_waits_because(given: dict[str, Any], expected: dict[Reason, int]) -> None:
    assert why([ONE], **given) == expected


def test_the_oldest_jobs_get_the_runners_and_the_others_a_reason() -> None:
    found = why([ONE, TWO], runners=[runner("aaaa", Phase.IDLE)], held_by=HELD)
    assert found == {Reason.RunnerStarting: 1, Reason.BackingOff: 1}


def test_a_job_that_seems_taken_by_now_waits_no_more() -> None:
    assert why([ONE], taken=1) == {}


def test_a_job_under_suspicion_has_a_reason_of_its_own_unless_the_pool_is_stopped() -> None:
    known = Suspicions(held=(SUSPICION,))
    assert why([ONE, TWO], known=known, launches=1) == {Reason.NotPickedUp: 1, Reason.RunnerStarting: 1}
    assert why([ONE], known=known, of=pool(paused=True)) == {Reason.Paused: 1}


def test_jobs_that_the_pool_does_not_serve_are_named_too() -> None:
    demand = Demand(
        group_only=[ONE],
        unmatched=[ONE, TWO],
        too_old=[TWO],
        lent=[ONE],
        unreadable=[("acme/lib", OUTAGE)],
    )
    assert why(demand) == {
        Reason.GroupOnly: 1,
        Reason.ServedByAnotherPool: 1,
        Reason.NoMatchingPool: 2,
        Reason.TooOldForGitHub: 1,
        Reason.QueueUnknown: 0,
    }


def test_jobs_of_another_pool_are_not_named_where_this_one_serves_some() -> None:
    assert Reason.ServedByAnotherPool not in why(Demand(queued=[ONE], lent=[TWO]))


def test_no_job_needs_no_reason() -> None:
    assert why([]) == {}


def test_a_reason_says_for_how_long_the_oldest_job_has_waited() -> None:
    demand = Demand(server_ahead=SERVER - NOW)
    one = with_times(because(Reason.Paused, 2), [ONE, TWO], demand, NOW)
    assert one.oldest_at == ONE.waits_since
    assert one.oldest_wait == pytest.approx(SERVER - ONE.waits_since)
