"""Each pool is judged by the lists that its own credentials brought: what another team's
lists say changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from controller.core.actions import Launch, Retire
from controller.core.lifecycle import Phase
from controller.core.memory import Memory, PoolMemory
from controller.core.model import (
    Disposition,
    Failure,
    Footprint,
    GitHubSource,
    HFJob,
    HubAccount,
    Pool,
    PoolKey,
    Registration,
    Scope,
    ScopeKind,
    SecretRef,
    Snapshot,
    Stage,
    WorkflowJob,
)
from controller.core.naming import LABEL_RUNNER
from controller.core.plan import Plan
from controller.core.reasons import Reason

from .build import (
    ACCOUNT,
    FLAVORS,
    NOW,
    REPO,
    SERVER,
    hf_job,
    job,
    launching,
    name_of,
    pool,
    registration,
    remembering,
    run_plan,
    running,
    seen,
    snapshot,
    started,
)

OURS = pool(retry_interrupted=3)
THEIR_SOURCE = GitHubSource(
    api_url="https://evil.example/api/v3", secret=SecretRef("mallory", "any"), owner="mallory"
)
THEIR_HUB = HubAccount(
    endpoint="https://hub.evil.example", namespace="mallory", secret=SecretRef("mallory", "any")
)
THEIRS = pool(
    "evil",
    key=PoolKey("mallory", "evil"),
    source=THEIR_SOURCE,
    scope=Scope(kind=ScopeKind.REPOSITORY, owner="mallory", repository="x"),
    hub=THEIR_HUB,
    labels=("evil",),
    max_runners=0,
)
THEIRS_ON_OUR_HOSTS = replace(
    THEIRS,
    source=replace(THEIR_SOURCE, api_url=OURS.source.api_url),
    hub=replace(THEIR_HUB, endpoint=OURS.hub.endpoint),
)
"""The same team without hosts of its own: it registers runners in its own repository, and starts HF
Jobs in its own namespace."""

IDLE_FOR_LONG: dict[str, Any] = {"phase": Phase.IDLE, "since": NOW - 5000, "online_at": NOW - 5000}
CRASHED: dict[str, Any] = {
    "stage": Stage.ERROR,
    "created_at": SERVER - 60,
    "started_at": SERVER - 50,
    "finished_at": SERVER - 3,
}


def both(
    *,
    beside: Pool = THEIRS,
    their_registrations: Iterable[Registration] = (),
    their_hf_jobs: Iterable[HFJob] = (),
    their_queue: Iterable[WorkflowJob] = (),
    their_ended: Iterable[HFJob] = (),
    their_completed: Iterable[WorkflowJob] = (),
    **ours: Any,
) -> Snapshot:
    """What our lists show, and what another team's own services say."""
    base = snapshot(**ours)
    return replace(
        base,
        queues={**base.queues, (beside.source, "mallory/x"): seen(their_queue)},
        registrations={**base.registrations, beside.footprint.registrations: seen(their_registrations)},
        hf_jobs={**base.hf_jobs, beside.hub: seen(their_hf_jobs)},
        ended={**base.ended, beside.hub: tuple(their_ended)},
        completed={beside.source: tuple(their_completed)},
        flavors={**base.flavors, beside.hub.endpoint: seen(FLAVORS)},
    )


def ours_of(done: Plan) -> object:
    """Everything in a plan that is about our pool."""
    return (
        [a for a in done.actions if (a.pool_uid if isinstance(a, Retire) else a.pool.uid) == OURS.uid],
        done.reports[OURS.uid],
        [notice for notice in done.notices if notice.pool_uid == OURS.uid],
        done.memory.pools[OURS.uid],
    )


LIES = {
    "idle runners with our digest": (
        {"jobs": [job()]},
        {
            "their_registrations": [
                Registration(
                    id=n, name=name_of(OURS, f"fake{n}"), online=True, busy=False, labels=OURS.labels
                )
                for n in range(4)
            ]
        },
    ),
    "HF Jobs with our labels": (
        {"jobs": [job()]},
        {"their_hf_jobs": [replace(hf_job(OURS, f"f{n}"), id=f"evil-{n}") for n in range(4)]},
    ),
    "a busy runner of ours that is free, with other labels": (
        {"registrations": [registration(OURS, online=True, busy=True)], "hf_jobs": [started(OURS)]},
        {"their_registrations": [replace(registration(OURS, online=True), id=666, labels=("nonsense",))]},
    ),
    "a booting runner of ours with other labels": (
        {"jobs": [job()], "registrations": [registration(OURS)], "hf_jobs": [started(OURS)]},
        {"their_registrations": [replace(registration(OURS), id=667, labels=("nonsense",))]},
    ),
    "an HF Job of ours that ended with a code that makes a pool back off": (
        {"jobs": [job()]},
        {"their_ended": [hf_job(OURS, "e", **CRASHED, message="Job failed with exit code: 73")]},
    ),
    "the end of the HF Job under our busy runner": (
        {
            "jobs": [running(1, name_of(OURS))],
            "registrations": [registration(OURS, online=True, busy=True)],
            "hf_jobs": [started(OURS)],
        },
        {"their_ended": [hf_job(OURS, **CRASHED, message="Job failed with exit code: 137")]},
    ),
    "a job that runs on our idle runner": (
        {"registrations": [registration(OURS, online=True)], "hf_jobs": [started(OURS, seconds_ago=5100)]},
        {"their_queue": [replace(running(9, name_of(OURS)), repository="mallory/x")]},
    ),
    "a job that our idle runner has completed": (
        {"registrations": [registration(OURS, online=True)], "hf_jobs": [started(OURS)]},
        {"their_completed": [replace(running(9, name_of(OURS)), repository="mallory/x")]},
    ),
}


@pytest.mark.parametrize("beside", [THEIRS, THEIRS_ON_OUR_HOSTS], ids=["hosts of its own", "our hosts"])
@pytest.mark.parametrize(("ours", "theirs"), LIES.values(), ids=LIES)
def test_what_another_teams_services_say_of_our_runners_changes_nothing(
    ours: dict[str, Any], theirs: dict[str, Any], beside: Pool
) -> None:
    memory = remembering(name_of(OURS), **IDLE_FOR_LONG) if ours.get("registrations") else None
    alone = run_plan([OURS], snapshot(**ours), memory=memory)
    together = run_plan([OURS, beside], both(beside=beside, **ours, **theirs), memory=memory)
    assert ours_of(together) == ours_of(alone)


def test_a_stray_is_never_joined_with_what_another_namespace_shows_under_its_name() -> None:
    gone = pool("gone")
    key = ("mallory", name_of(gone))
    view = both(
        their_registrations=[replace(registration(gone), id=666)],
        hf_jobs=[started(gone)],
    )
    first = run_plan([OURS, THEIRS], view)
    assert first.memory.strays.keys() == {key}
    (action,) = run_plan([OURS, THEIRS], view, memory=first.memory, now=NOW + 400).actions
    assert isinstance(action, Retire)
    assert (action.scope.source, action.account, action.hf_job_id) == (THEIR_SOURCE, None, None)


class TestTwoSecretsForOnePlace:
    """Two teams of one organization, each with a Secret of its own for the same GitHub
    owner and Hub namespace.
    """

    mine = pool("mine")
    second_source = replace(OURS.source, secret=SecretRef("team-b", "github-app"))
    second_hub = replace(ACCOUNT, secret=SecretRef("team-b", "hf-token"))
    other = pool("other", key=PoolKey("team-b", "other"), source=second_source, hub=second_hub)

    def view(self, **lists: Any) -> Snapshot:
        """Both Secrets show the same lists."""
        base = snapshot(**lists)
        (queue,), (registrations,) = base.queues.values(), base.registrations.values()
        return replace(
            base,
            queues={**base.queues, (self.second_source, REPO): queue},
            registrations={**base.registrations, self.other.footprint.registrations: registrations},
            hf_jobs={**base.hf_jobs, self.second_hub: base.hf_jobs[ACCOUNT]},
        )

    def test_both_keep_their_runners(self) -> None:
        pools = [self.mine, self.other]
        view = self.view(
            jobs=[job(1)],
            registrations=[registration(p, online=True) for p in pools],
            hf_jobs=[started(p) for p in pools],
        )
        done = run_plan(pools, view)
        assert not done.actions
        assert [[runner.name for runner in done.reports[p.uid].runners] for p in pools] == [
            [name_of(p)] for p in pools
        ]

    def test_both_serve_the_job_that_both_credentials_show(self) -> None:
        done = run_plan([self.mine, self.other], self.view(jobs=[job(1)]))
        assert {action.pool.uid for action in done.actions if isinstance(action, Launch)} == {
            self.mine.uid,
            self.other.uid,
        }

    def test_a_pool_whose_secret_changes_keeps_its_runners(self) -> None:
        renamed = replace(self.mine, source=self.second_source, hub=self.second_hub)
        view = self.view(registrations=[registration(renamed)], hf_jobs=[hf_job(self.mine)], jobs=[job(1)])
        assert not run_plan([renamed], view).actions


class TestDemandOfOthers:
    """A pool of another namespace that would like our jobs."""

    source = replace(OURS.source, secret=SecretRef("mallory", "some-pat"))
    thief = pool(
        "thief",
        key=PoolKey("mallory", "thief"),
        source=source,
        hub=replace(ACCOUNT, namespace="mallory", secret=SecretRef("mallory", "hf")),
        flavors=("cpu-basic",),
        max_runners=0,
    )

    def done(self, queue: Any, registrations: Any = None) -> Plan:
        base = snapshot(jobs=[job(1), job(2)])
        view = replace(
            base,
            queues={**base.queues, (self.source, REPO): queue},
            registrations={**base.registrations, self.thief.footprint.registrations: registrations or seen()},
            hf_jobs={**base.hf_jobs, self.thief.hub: seen()},
        )
        return run_plan([OURS, self.thief], view)

    gone = Failure(reason=Reason.GitHubNotFound, message="404", disposition=Disposition.GONE)
    denied = Failure(reason=Reason.PermissionMissing, message="403", disposition=Disposition.PERSON)

    @pytest.mark.parametrize("refused", [None, gone, denied], ids=["lists runners", "404", "403"])
    @pytest.mark.parametrize("shown", [True, False], ids=["reads the queue", "gets 404"])
    def test_it_takes_no_job_away_although_it_is_cheaper(self, shown: bool, refused: Failure | None) -> None:
        queue = seen([job(1), job(2)]) if shown else replace(seen(failure=self.gone), answered=False)
        done = self.done(queue, replace(seen(failure=refused), answered=False) if refused else seen())
        assert [action.pool.uid for action in done.actions if isinstance(action, Launch)] == [OURS.uid] * 2
        assert len(done.reports[self.thief.uid].demand.queued) == (2 if shown else 0)

    def test_its_status_names_no_job_that_its_credentials_did_not_show(self) -> None:
        secret = replace(job(1), name="rotate prod signing key", labels=("gpu-prod-vault",))
        base = snapshot(jobs=[secret])
        gone = Failure(reason=Reason.GitHubNotFound, message="404", disposition=Disposition.GONE)
        view = replace(
            base, queues={**base.queues, (self.source, REPO): replace(seen(failure=gone), answered=False)}
        )
        report = run_plan([OURS, self.thief], view).reports[self.thief.uid]
        assert not [one for one in report.waiting if "rotate" in one.message or "gpu-prod" in one.message]


class TestDemandWithinANamespace:
    cheap = pool("cheap", flavors=("cpu-basic",))
    dear = pool("dear", flavors=("t4-small",))

    def queued(self, *pools: Any, memory: Memory | None = None, **lists: Any) -> dict[str, int]:
        done = run_plan(pools, snapshot(**lists), memory=memory)
        return {uid: len(report.demand.queued) for uid, report in done.reports.items()}

    def test_the_cheaper_pool_wins(self) -> None:
        assert self.queued(self.dear, self.cheap, jobs=[job(1)]) == {"uid-cheap": 1, "uid-dear": 0}

    def test_one_that_reached_its_cap_loses_to_one_that_can_launch(self) -> None:
        full = replace(self.cheap, max_runners=1)
        jobs = [job(1), job(2)]
        assert self.queued(full, self.dear, jobs=jobs) == {"uid-cheap": 1, "uid-dear": 1}

    def test_one_that_may_launch_nothing_at_all_loses_every_job(self) -> None:
        none = replace(self.cheap, max_runners=0)
        assert self.queued(none, self.dear, jobs=[job(1), job(2)]) == {"uid-cheap": 0, "uid-dear": 2}

    def test_where_nobody_can_launch_the_cheapest_says_why(self) -> None:
        none = [replace(p, max_runners=0) for p in (self.cheap, self.dear)]
        assert self.queued(*none, jobs=[job(1)]) == {"uid-cheap": 1, "uid-dear": 0}

    def test_one_that_backs_off_loses_until_it_may_try_again(self) -> None:
        from controller.core.backoff import POOL, Backoff

        failure = Failure(reason=Reason.ImageUnsuitable, message="")
        held = Backoff(failures=2, until=NOW + 60, at=NOW - 6, failure=failure)
        memory = Memory(pools={self.cheap.uid: PoolMemory(backoffs={POOL: held})})
        queued = self.queued(self.cheap, self.dear, memory=memory, jobs=[job(1)])
        assert queued == {"uid-cheap": 0, "uid-dear": 1}

    def test_a_job_stays_with_the_pool_whose_runner_is_on_its_way(self) -> None:
        queued = self.queued(
            self.cheap,
            self.dear,
            jobs=[job(1)],
            registrations=[registration(self.dear)],
            hf_jobs=[hf_job(self.dear)],
        )
        assert queued == {"uid-cheap": 0, "uid-dear": 1}

    def test_a_job_that_a_runner_may_have_taken_since_the_queue_was_read_goes_to_no_other_pool(self) -> None:
        full = replace(self.cheap, max_runners=1)
        memory = remembering(name_of(full), of=full, phase=Phase.IDLE, since=NOW - 30, online_at=NOW - 30)
        queued = self.queued(
            full,
            self.dear,
            memory=memory,
            jobs=seen([job(1)], at=NOW - 10),
            registrations=[registration(full, online=True, busy=True)],
            hf_jobs=[started(full)],
        )
        assert queued == {"uid-cheap": 1, "uid-dear": 0}

    def test_the_free_runner_of_a_pool_that_leaves_keeps_no_job_from_one_that_stays(self) -> None:
        going = replace(self.cheap, deleting=True)
        queued = self.queued(
            going,
            self.dear,
            jobs=[job(1)],
            registrations=[registration(going, online=True)],
            hf_jobs=[started(going)],
        )
        assert queued == {"uid-cheap": 0, "uid-dear": 1}

    def test_a_pool_whose_whole_demand_goes_to_another_one_says_so(self) -> None:
        done = run_plan([self.cheap, self.dear], snapshot(jobs=[job(1), job(2)]))
        (waiting,) = done.reports[self.dear.uid].waiting
        assert (waiting.reason, waiting.count) == (Reason.ServedByAnotherPool, 2)

    def test_a_job_that_a_renamed_repository_shows_under_both_names_counts_once(self) -> None:
        where = Scope(kind=ScopeKind.ORGANIZATION, owner="acme")
        p = pool(scope=where, include=("acme/old", "acme/new"))
        base = snapshot(jobs=None)
        view = replace(
            base,
            queues={
                (p.source, "acme/old"): seen([replace(job(1), repository="acme/old")]),
                (p.source, "acme/new"): seen([replace(job(1), repository="acme/new")]),
            },
            registrations={p.footprint.registrations: seen()},
        )
        assert len([a for a in run_plan([p], view).actions if isinstance(a, Launch)]) == 1


class TestAnotherRunnerOfOurName:
    def test_a_job_on_another_registration_of_our_name_keeps_no_runner_busy(self) -> None:
        """A repository may register a runner under the name of one of its organization's:
        ids tell them apart.
        """
        mine = registration(OURS, online=True)
        theirs = replace(running(9, mine.name), runner_id=mine.id + 1)
        memory = remembering(mine.name, **IDLE_FOR_LONG)
        view = snapshot(jobs=[theirs], registrations=[mine], hf_jobs=[started(OURS, seconds_ago=5100)])
        (runner,) = run_plan([OURS], view, memory=memory).reports[OURS.uid].runners
        assert runner.phase is Phase.IDLE

    def test_a_job_on_our_registration_does(self) -> None:
        mine = registration(OURS, online=True)
        view = snapshot(
            jobs=[replace(running(9, mine.name), runner_id=mine.id)],
            registrations=[mine],
            hf_jobs=[started(OURS)],
        )
        (runner,) = run_plan([OURS], view).reports[OURS.uid].runners
        assert runner.phase is Phase.BUSY


class TestCopies:
    """HF Jobs that carry a runner's labels and are not the one that was launched for it."""

    ours = replace(started(OURS), creator="bot")
    copy = replace(
        started(OURS), id="copy", created_at=SERVER - 2, started_at=SERVER - 1, creator="eve", foreign=True
    )
    duplicate = replace(copy, initiator="duplicated-job", creator="bot", foreign=False)

    def done(
        self, *hf_jobs: HFJob, memory: Memory | None = None, ended: Iterable[HFJob] = (), **more: Any
    ) -> Plan:
        lists: dict[str, Any] = {"jobs": [job(1)], "registrations": [registration(OURS, online=True)], **more}
        return run_plan([OURS], snapshot(hf_jobs=hf_jobs, ended=ended, **lists), memory=memory)

    @pytest.mark.parametrize("order", [1, -1])
    @pytest.mark.parametrize(
        "other", [copy, duplicate], ids=["by another user", "by the Hub's own duplicate"]
    )
    def test_the_older_one_is_ours_and_the_copy_is_named_and_left_alone(
        self, other: HFJob, order: int
    ) -> None:
        done = self.done(*[self.ours, other][::order])
        (runner,) = done.reports[OURS.uid].runners
        assert runner.hf_job == self.ours
        assert not done.actions
        assert [(notice.reason, notice.hf_job) for notice in done.notices] == [(Reason.HFJobCopied, None)]
        assert "HF Job copy" in done.notices[0].message

    def test_it_is_told_once(self) -> None:
        first = self.done(self.ours, self.copy)
        assert not self.done(self.ours, self.copy, memory=first.memory).notices

    def test_a_thousand_of_them_are_one_notice(self) -> None:
        many = [replace(self.copy, id=f"copy-{n:03}") for n in range(1000)]
        (notice,) = self.done(self.ours, *many).notices
        assert "HF Job copy-000 by eve" in notice.message
        assert "999 more" in notice.message

    def test_one_of_a_runner_without_a_pool_is_left_alone_too(self) -> None:
        gone = pool("gone")
        view = snapshot(
            registrations=[registration(gone)], hf_jobs=[replace(started(gone), initiator="duplicated-job")]
        )
        first = run_plan([OURS], view)
        (action,) = run_plan([OURS], view, memory=first.memory, now=NOW + 400).actions
        assert isinstance(action, Retire)
        assert action.hf_job_id is None

    def test_the_one_that_our_launch_was_answered_with_is_ours_whatever_its_age(self) -> None:
        in_flight = launching(OURS, finished_at=NOW - 1, hf_job=self.ours)
        older = replace(self.copy, created_at=SERVER - 500)
        view = snapshot(jobs=[job(1)], registrations=[registration(OURS)], hf_jobs=[older, self.ours])
        (runner,) = run_plan([OURS], view, in_flight=in_flight).reports[OURS.uid].runners
        assert runner.hf_job == self.ours

    def test_after_the_end_of_ours_the_copy_is_no_runner(self) -> None:
        first = self.done(self.ours)
        over = replace(self.ours, stage=Stage.COMPLETED, finished_at=SERVER)
        done = self.done(self.copy, memory=first.memory, ended=[over], jobs=[], registrations=[])
        again = self.done(self.copy, memory=done.memory, jobs=[], registrations=[])
        for each in (done, again):
            assert not each.reports[OURS.uid].runners
            assert not each.actions

    @pytest.mark.parametrize(
        "other", [copy, duplicate], ids=["by another user", "by the Hub's own duplicate"]
    )
    def test_after_a_restart_a_copy_alone_is_no_runner(self, other: HFJob) -> None:
        assert not self.done(other, registrations=[]).reports[OURS.uid].runners

    def test_one_beside_a_registration_is_ours_although_the_token_is_another_users_now(self) -> None:
        (runner,) = self.done(self.copy).reports[OURS.uid].runners
        assert runner.hf_job == self.copy

    def test_one_whose_maker_was_not_known_is_ours_no_more_once_it_is_another_user(self) -> None:
        """After a restart the Hub does not tell at once whose token we have."""
        unknown = replace(self.copy, foreign=None)
        before = self.done(unknown, jobs=[], registrations=[])
        assert len(before.reports[OURS.uid].runners) == 1
        done = self.done(self.copy, memory=before.memory, jobs=[], registrations=[])
        assert not done.reports[OURS.uid].runners

    def test_what_another_user_made_is_deregistered_and_never_cancelled(self) -> None:
        leaving = replace(OURS, deleting=True)
        view = snapshot(registrations=[registration(OURS, online=True)], hf_jobs=[self.copy])
        (action,) = run_plan([leaving], view).actions
        assert isinstance(action, Retire)
        assert (action.registration_id, action.hf_job_id) == (registration(OURS).id, None)

    def test_it_is_ours_no_more_once_the_registration_is_gone(self) -> None:
        """After a restart the copy alone is listed, beside the record of a runner that has just ended."""
        before = self.done(self.copy, jobs=[])
        done = self.done(self.copy, memory=before.memory, jobs=[], registrations=[])
        assert not done.reports[OURS.uid].runners

    def test_the_end_of_a_copy_is_not_the_end_of_the_runner(self) -> None:
        first = self.done(self.ours, self.copy, jobs=[running(1, name_of(OURS))])
        died = replace(
            self.copy, stage=Stage.ERROR, message="Job failed with exit code: 137", finished_at=SERVER
        )
        done = self.done(self.ours, memory=first.memory, ended=[died], jobs=[running(1, name_of(OURS))])
        assert not done.notices
        assert done.memory.pools[OURS.uid].spent_usd == 0.0


def test_a_place_is_the_same_whoever_looks() -> None:
    other = Footprint(
        replace(OURS.footprint.registrations, source=replace(OURS.source, secret=SecretRef("b", "c"))),
        replace(OURS.hub, secret=SecretRef("b", "d")),
    )
    assert other != OURS.footprint
    assert other.place == OURS.footprint.place


def test_an_hf_job_whose_labels_name_one_pool_and_whose_runner_name_another_is_of_neither() -> None:
    mine, other = pool("t4"), pool("a10g", labels=("hf-a10g",))
    forged = hf_job(mine)
    forged = replace(forged, labels={**forged.labels, LABEL_RUNNER: name_of(other)})
    done = run_plan([mine, other], snapshot(hf_jobs=[forged]))
    assert [list(report.runners) for report in done.reports.values()] == [[], []]
    assert list(done.actions) == []
