"""What conditions say of a pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from itertools import cycle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from controller.api.crd import crd
from controller.api.status.build import build_status, rejected_status
from controller.api.status.model import RunnerPoolStatus
from controller.api.status.stored import read_status, write_down
from controller.api.status.values import Instant, iso
from controller.core.backoff import POOL, Backoff
from controller.core.conditions import ConditionType
from controller.core.drained import ends_by
from controller.core.explain import Waiting
from controller.core.intents import Blocked, Intent, Term, Written
from controller.core.lifecycle import Phase
from controller.core.losses import Losses, Watched
from controller.core.memory import Memory, PoolMemory
from controller.core.model import (
    Disposition,
    Failure,
    Interruption,
    Observation,
    Pool,
    Registration,
    Scope,
    ScopeKind,
    Snapshot,
    SuspicionLevel,
    TokenEnd,
)
from controller.core.reasons import Reason
from controller.core.suspicion import Suspicion, Suspicions
from controller.core.text import text
from tests.api.status.healthy import built, healthy, report
from tests.core.build import (
    FLAVORS,
    NOW,
    OUTAGE,
    REFUSED,
    SERVER,
    SOURCE,
    elsewhere,
    hf_job,
    job,
    launched,
    name_of,
    pool,
    registration,
    run_plan,
    running,
    seen,
    snapshot,
    started,
)

ORGANIZATION = pool(
    scope=Scope(kind=ScopeKind.ORGANIZATION, owner="acme"), include=("acme/lib", "acme/other")
)


def conditions(of: Pool, view: Snapshot) -> dict[str, tuple[str, str]]:
    report = run_plan([of], view).reports[of.uid]
    now = Instant(mono=NOW, wall=SERVER)
    status = build_status(
        report, previous=RunnerPoolStatus(), overlaps=(), usd_per_second={}, start=now, now=now
    ).to_object()
    return {known["type"]: (known["status"], known["reason"]) for known in status["conditions"]}


DAY = 86_400.0


def told_of_the_token(
    left: float | None, *, failure: Failure | None = None, ago: float = 0.0
) -> tuple[str, str, str]:
    """What the condition says of a token that ended, or will, so many seconds after GitHub told it, ``ago`` seconds ago."""
    end = None if left is None else TokenEnd(at=SERVER + left, asked_at=NOW - ago, server_time=SERVER)
    view = snapshot(registrations=seen(failure=failure))
    view = replace(view, token_ends={} if end is None else {SOURCE: end})
    report = run_plan([pool()], view).reports[pool().uid]
    now = Instant(mono=NOW, wall=SERVER + 5 * 365 * DAY)  # our own clock may be wrong by years
    status = build_status(
        report, previous=RunnerPoolStatus(), overlaps=(), usd_per_second={}, start=now, now=now
    ).to_object()
    (known,) = [one for one in status["conditions"] if one["type"] == "CredentialsValid"]
    return known["status"], known["reason"], known["message"]


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (14 * DAY - 1, "in 13 days."),
        (1.5 * DAY, "in 1 day."),
        (7_200.0, "in 2 hours."),
        (60.0, "in less than an hour."),
        (-60.0, "ended at"),
    ],
)
def test_a_token_that_ends_within_14_days_is_told_with_its_secret_its_end_and_what_to_do(
    left: float, words: str
) -> None:
    status, reason, message = told_of_the_token(left)
    assert (status, reason) == ("False", "CredentialsExpire")
    assert f"Secret {SOURCE.secret} end" in message
    assert iso(SERVER + left) in message
    assert words in message
    assert "put it into the Secret, which needs no restart" in message


def test_the_days_are_counted_from_when_github_told_them() -> None:
    assert told_of_the_token(15 * DAY)[:2] == ("True", "CredentialsValid")
    assert told_of_the_token(15 * DAY, ago=1.5 * DAY)[:2] == ("False", "CredentialsExpire")


@pytest.mark.parametrize("left", [14 * DAY, 400 * DAY, None])
def test_a_token_with_a_later_end_or_none_is_fine(left: float | None) -> None:
    assert told_of_the_token(left)[:2] == ("True", "CredentialsValid")


def test_a_token_that_github_refuses_is_not_called_valid() -> None:
    refused = replace(REFUSED, reason=Reason.GitHubUnauthorized)
    for left in (None, 400 * DAY, -DAY):
        assert told_of_the_token(left, failure=refused)[:2] == ("False", "GitHubUnauthorized")


def test_a_pool_serves_until_its_token_ends() -> None:
    view = replace(
        snapshot(), token_ends={SOURCE: TokenEnd(at=SERVER + DAY, asked_at=NOW, server_time=SERVER)}
    )
    assert conditions(pool(), view)["Ready"] == ("True", "Serving")


def repositories(lib: Failure | None, other: Failure | None) -> Snapshot:
    queues: dict[Any, Observation[Any]] = {
        (SOURCE, "acme/lib"): seen([job()], failure=lib),
        (SOURCE, "acme/other"): seen(failure=other),
    }
    nothing: Iterable[Registration] = ()
    base = snapshot(jobs=None, registrations=None)
    return replace(base, queues=queues, registrations={ORGANIZATION.footprint.registrations: seen(nothing)})


def test_a_pool_that_can_read_none_of_its_repositories_is_not_ready() -> None:
    # Registrations of a quiet pool are listed every five minutes: their last list may be fine for that long.
    found = conditions(ORGANIZATION, repositories(REFUSED, REFUSED))
    assert found["Ready"] == ("False", "GitHubUnauthorized")
    assert found["Stalled"] == ("True", "GitHubUnauthorized")
    assert found["RepositoriesReadable"] == ("False", "GitHubUnauthorized")


@pytest.mark.parametrize("other", [None, OUTAGE])
def test_one_bad_repository_of_two_leaves_the_pool_ready(other: Failure | None) -> None:
    found = conditions(ORGANIZATION, repositories(REFUSED, other))
    assert found["Ready"] == ("True", "Serving")
    assert found["RepositoriesReadable"] == ("False", "GitHubUnauthorized")


def test_a_pool_whose_repositories_were_all_read_says_so() -> None:
    assert conditions(ORGANIZATION, repositories(None, None))["RepositoriesReadable"] == ("True", "Readable")


def test_a_pool_whose_patterns_match_no_repository_says_so() -> None:
    of = replace(ORGANIZATION, include=("acme/none-*",))
    view = replace(repositories(None, None), repositories={SOURCE: seen(["acme/lib", "acme/other"])})
    assert conditions(of, view)["RepositoriesReadable"] == ("False", "NoRepositories")


def test_an_outage_of_github_stalls_nobody() -> None:
    found = conditions(ORGANIZATION, repositories(OUTAGE, OUTAGE))
    assert found["Stalled"][0] == "False"


def test_a_pool_that_waits_for_a_person_is_not_being_reconciled() -> None:
    # Helm 4, Flux and kubectl's kstatus judge by the first of Reconciling and Stalled that is true: they would wait for ever.
    found = conditions(ORGANIZATION, replace(repositories(REFUSED, REFUSED), registrations={}))
    assert found["Stalled"] == ("True", "GitHubUnauthorized")
    assert found["Reconciling"] == ("False", "GitHubUnauthorized")


def test_a_pool_that_nothing_is_known_of_is_being_reconciled() -> None:
    found = conditions(ORGANIZATION, replace(repositories(None, None), registrations={}))
    assert found["Stalled"][0] == "False"
    assert found["Reconciling"] == ("True", "Pending")


# ---------------------------------------------------------------------------------------------- bounds, whatever was told
ODD = st.sampled_from(
    [
        "build",
        "n" * 1_100,
        "训" * 700,
        "\x1b[2J\x1b]52;c;ZXZpbA==\x07",
        "\u202egnp.exe",
        "\ud800",
        "two\nlines",
        "https://github.com/" + "x" * 2_000,
        "https://huggingface.co/jobs/a/\x1b]8;;",
    ]
) | st.text(st.characters(), max_size=80)
ODD_NUMBER = st.floats() | st.sampled_from([1e300, -1.0, 0.004])


@cache
def schema() -> Mapping[str, Any]:
    """The schema by which an API server judges a status."""
    found: Mapping[str, Any] = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][
        "status"
    ]
    return found


def texts_within(node: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    if node.get("type") == "string":
        yield path, node
    for name, inner in node.get("properties", {}).items():
        yield from texts_within(inner, f"{path}.{name}")
    if "items" in node:
        yield from texts_within(node["items"], f"{path}[]")


def texts_of(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from texts_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_of(inner)


def test_every_text_and_list_of_a_status_has_a_bound() -> None:
    unbounded = [
        path
        for path, node in texts_within(schema())
        if not ("maxLength" in node or "enum" in node or node.get("format") == "date-time")
    ]
    assert unbounded == []
    lists = [name for name, node in schema()["properties"].items() if node.get("type") == "array"]
    assert [name for name in lists if "maxItems" not in schema()["properties"][name]] == []


def odd_status(draw: st.DataObject) -> dict[str, Any]:
    """The status of a pool whose every service tells odd things."""
    return status_of_everything(
        lambda: draw.draw(ODD), lambda: draw.draw(ODD_NUMBER), outage=draw.draw(st.booleans())
    )


def status_of_everything(
    odd: Callable[[], str], number: Callable[[], float], *, outage: bool
) -> dict[str, Any]:
    """The status of a pool of which there is something to tell in every part; texts and numbers of services as given."""
    mine = launched(pool(), SERVER)
    failure = Failure(reason=Reason.HubUnavailable, message=odd(), request_id=odd())
    backoff = Backoff(failures=3, at=NOW, until=number(), failure=failure)
    lost = Interruption(
        repository=odd(),
        run_id=1,
        attempt=1,
        job_id=1,
        job_name=odd(),
        job_url=odd(),
        at=number(),
        note=odd(),
        by_hub=True,
    )
    view = snapshot(jobs=[replace(job(), name=odd(), labels=("nobody",))], hf_jobs=[hf_job(mine)])
    report = run_plan([mine], view).reports[mine.uid]
    (one,) = report.runners
    runners = [
        one._replace(
            name=f"{index}-{odd()}",
            phase=phase,
            flavor=odd(),
            hf_job=hf_job(mine, id=odd(), url=odd()),
            workflow_job=replace(running(1, "r"), name=odd(), html_url=odd()),
        )
        for index, phase in enumerate(Phase)
    ]
    report = replace(
        report,
        runners=runners,
        waiting=[
            *report.waiting,
            *(
                Waiting(reason=reason, count=1, message=odd(), until=number(), oldest_at=number())
                for reason in list(Reason)[:40]
            ),
        ],
        github=failure if outage else None,
        usd_per_hour=number(),
        worst_case_usd=number(),
        demand=replace(report.demand, unreadable=[(odd(), failure)]),
        memory=replace(
            report.memory,
            backoffs={POOL: backoff, "t4-small": backoff},
            spent_usd=number(),
            losses=Losses(watched=[Watched(lost=lost, since=NOW, due_at=NOW)]),
            suspicions=Suspicions(
                held=(
                    Suspicion(
                        level=SuspicionLevel.JOB,
                        repository=odd(),
                        job_id=1,
                        since=number(),
                        starts=(NOW,),
                        seen_at=NOW,
                    ),
                )
            ),
        ),
    )
    now = Instant(mono=NOW, wall=SERVER)
    usd = {"t4-small": number()}
    return build_status(
        report, previous=RunnerPoolStatus(), overlaps=(), usd_per_second=usd, start=now, now=now
    ).to_object()


@given(st.data())
def test_an_api_server_takes_the_status_whatever_the_services_told(draw: st.DataObject) -> None:
    status = odd_status(draw)
    assert [error.message for error in Draft7Validator(schema()).iter_errors(status)] == []
    unclean = [shown for shown in texts_of(status) if text(shown, len(shown)) != shown]
    assert unclean == []
    assert {condition["type"] for condition in status["conditions"]} == set(ConditionType)


def paths_of(value: Any, path: str = "") -> Iterator[str]:
    """Yield every field of a status, as ``queue[].reason``."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield f"{path}.{name}"
            yield from paths_of(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from paths_of(inner, f"{path}[]")


def paths_within(node: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield every field that the type has, likewise."""
    for name, inner in node.get("properties", {}).items():
        yield f"{path}.{name}"
        yield from paths_within(inner, f"{path}.{name}")
    if "items" in node:
        yield from paths_within(node["items"], f"{path}[]")


def test_every_field_of_the_types_status_is_written_and_no_other() -> None:
    status = status_of_everything(lambda: "build", lambda: 1.0, outage=True)
    one = Intent(name="t4-hfr-1", flavor="t4-small", at=SERVER, place=pool().footprint)
    status |= write_down(Written(term=Term(number=1, holder="a"), intents=(one,)))
    assert set(paths_of(status)) == set(paths_within(schema()))


def test_the_queue_tells_since_when_the_oldest_job_of_each_reason_waits() -> None:
    late, later = replace(job(1), created_at=SERVER - 90), replace(job(2), created_at=SERVER - 30)
    mine = pool(max_runners=0)
    report = run_plan([mine], snapshot(jobs=[later, late])).reports[mine.uid]
    for mono in (NOW, NOW + 0.9):  # the same at each pass: it is no age
        now = Instant(mono=mono, wall=SERVER)
        status = build_status(
            report, previous=RunnerPoolStatus(), overlaps=(), usd_per_second={}, start=now, now=now
        ).to_object()
        assert [(one["reason"], one["count"], one["oldest"]) for one in status["queue"]] == [
            ("NoneAllowed", 2, iso(SERVER - 90))
        ]


@given(ODD)
def test_a_spec_that_cannot_be_followed_is_told_within_bounds(message: str) -> None:
    status = rejected_status(
        generation=1, message=message, previous=RunnerPoolStatus(), deleting=False, wall=SERVER
    ).to_object()
    assert [error.message for error in Draft7Validator(schema()).iter_errors(status)] == []


def test_a_condition_that_stays_keeps_the_time_of_its_last_transition() -> None:
    def at(wall: float, message: str, previous: dict[str, Any]) -> dict[str, Any]:
        return rejected_status(
            generation=1, message=message, previous=read_status(previous), deleting=False, wall=wall
        ).to_object()

    first = at(SERVER, "no", {})
    assert at(SERVER + 500, "no", first) == first
    changed = at(SERVER + 500, "other words", first)
    assert {one["lastTransitionTime"] for one in changed["conditions"]} == {iso(SERVER)}
    serving = build(pool(), snapshot(), previous=first, wall=SERVER + 500)
    times = {one["type"]: one["lastTransitionTime"] for one in serving["conditions"]}
    assert (times["Ready"], times["Reconciling"]) == (iso(SERVER + 500), iso(SERVER))


def build(of: Pool, view: Snapshot, *, previous: Mapping[str, Any], wall: float) -> dict[str, Any]:
    report = run_plan([of], view).reports[of.uid]
    now = Instant(mono=NOW, wall=wall)
    return build_status(
        report, previous=read_status(previous), overlaps=(), usd_per_second={}, start=now, now=now
    ).to_object()


def test_a_busy_runner_shows_the_pages_of_its_job_and_of_its_hf_job() -> None:
    mine = pool()
    work = replace(running(7, name_of(mine)), html_url="https://github.com/acme/lib/actions/runs/1/job/7")
    view = snapshot(
        jobs=[work], registrations=[registration(mine, online=True, busy=True)], hf_jobs=[started(mine)]
    )
    (shown,) = build(mine, view, previous={}, wall=SERVER)["runners"]
    assert (shown["phase"], shown["workflowJobUrl"]) == ("Busy", work.html_url)
    assert shown["hfJobUrl"] == "https://huggingface.co/jobs/acme/hf-aaaa"


def told(of: Pool, view: Snapshot, *, leaving_for: float) -> dict[str, str]:
    """What each condition says of a pool that has been leaving for a while."""
    memory = Memory(pools={of.uid: PoolMemory(draining_since=NOW - leaving_for)})
    report = run_plan([of], view, memory=memory).reports[of.uid]
    now = Instant(mono=NOW, wall=SERVER)
    status = build_status(
        report, previous=RunnerPoolStatus(), overlaps=(), usd_per_second={}, start=now, now=now
    ).to_object()
    return {known["type"]: known["message"] for known in status["conditions"]}


def test_a_pool_that_waits_for_a_place_that_cannot_be_read_says_which_why_and_until_when() -> None:
    leaving = launched(pool(deleting=True), SERVER - 60)
    until = iso(ends_by(leaving, SERVER - 60))
    found = told(leaving, snapshot(registrations=seen(failure=REFUSED)), leaving_for=100)
    for said in (found["Ready"], found["Reconciling"]):
        assert "repos/acme/lib at https://api.github.com" in said
        assert REFUSED.message in said
        assert until in said
    assert REFUSED.message in found["Stalled"]
    assert f"The pool goes without it too, by {until} at the latest." in found["Stalled"]


def test_a_pool_whose_places_can_be_read_names_none_of_them() -> None:
    leaving = launched(pool(deleting=True), SERVER - 60)
    found = told(leaving, snapshot(registrations=[registration(leaving)]), leaving_for=100)
    assert found["Reconciling"] == Reason.Draining.meaning


def test_status_keeps_the_places_where_something_was_launched_and_no_others() -> None:
    former = elsewhere(pool())
    moved = pool(former=(former,), ends_by=((former.place, SERVER),))
    report = run_plan([moved], snapshot()).reports[moved.uid]
    now = Instant(mono=NOW, wall=SERVER)
    status = build_status(
        report, previous=RunnerPoolStatus(), overlaps=(), usd_per_second={}, start=now, now=now
    ).to_object()
    assert [(one["namespace"], one["endsBy"]) for one in status["places"]] == [("elsewhere", iso(SERVER))]


def test_a_spec_that_cannot_be_followed_keeps_what_was_launched_up_to_date() -> None:
    serving = launched(pool(deleting=True), SERVER)
    report = run_plan([serving], snapshot()).reports[serving.uid]
    old = {"lastLaunchAt": iso(SERVER - 9_000), "places": [], "counts": {"queued": 1}}
    status = rejected_status(
        generation=2, message="bad", previous=read_status(old), deleting=True, wall=SERVER, report=report
    ).to_object()
    assert status["lastLaunchAt"] == iso(SERVER)
    assert [one["endsBy"] for one in status["places"]] == [iso(ends_by(serving, SERVER))]
    assert status["counts"] == {"queued": 1}
    assert Draft7Validator(schema()).is_valid(status)


def test_an_address_that_is_too_long_is_left_out_and_not_cut() -> None:
    mine = pool()
    view = snapshot(
        jobs=[], registrations=[], hf_jobs=[hf_job(mine, url="https://huggingface.co/" + "x" * 1_024)]
    )
    report = run_plan([mine], view).reports[mine.uid]
    now = Instant(mono=NOW, wall=SERVER)
    (shown,) = build_status(
        report, previous=RunnerPoolStatus(), overlaps=(), usd_per_second={}, start=now, now=now
    ).to_object()["runners"]
    assert "hfJobUrl" not in shown
    assert shown["hfJobId"] == "hf-aaaa"


def test_the_services_own_id_of_a_request_is_told_where_the_service_failed_and_not_where_a_person_must_act() -> (
    None
):
    for failure, told in ((OUTAGE, True), (REFUSED, False)):
        view = snapshot(registrations=seen(failure=replace(failure, request_id="4711")))
        report = run_plan([pool()], view).reports[pool().uid]
        now = Instant(mono=NOW, wall=SERVER)
        status = build_status(
            report, previous=RunnerPoolStatus(), overlaps=(), usd_per_second={}, start=now, now=now
        ).to_object()
        said = next(c["message"] for c in status["conditions"] if c["type"] == "GitHubReachable")
        assert ("4711" in said) is told


# ------------------------------------------------------------------------------------------------ each named as what it is
def test_a_pool_that_may_have_no_runner_is_not_said_to_serve() -> None:
    assert conditions(pool(max_runners=0), snapshot(jobs=[job()]))["Ready"] == ("True", "NoneAllowed")


def without(flavor: str) -> Snapshot:
    return replace(
        snapshot(), flavors={pool().hub.endpoint: seen([one for one in FLAVORS if one.name != flavor])}
    )


def test_a_flavor_that_left_the_list_is_named_and_the_pool_serves_with_the_others() -> None:
    told = conditions(pool(flavors=("t4-small", "t4-medium")), without("t4-small"))
    assert (told["Ready"], told["Stalled"][0]) == (("True", "Serving"), "False")
    assert told["FlavorsOffered"] == ("False", "UnknownFlavor")


def test_a_pool_whose_only_flavor_left_the_list_is_not_ready() -> None:
    told = conditions(pool(flavors=("t4-small",)), without("t4-small"))
    assert told["Ready"] == told["FlavorsOffered"] == ("False", "UnknownFlavor")


def test_the_cost_of_a_pool_stays_while_one_of_its_flavors_is_not_offered() -> None:
    of = pool(flavors=("t4-small", "t4-medium"))
    report = run_plan([of], without("t4-small")).reports[of.uid]
    now = Instant(mono=NOW, wall=SERVER)
    usd = {"t4-medium": 0.01 / 60}
    status = build_status(
        report, previous=RunnerPoolStatus(), overlaps=(), usd_per_second=usd, start=now, now=now
    ).to_object()
    assert status["cost"]["maxUsdPerHour"] == "2.40"


def test_an_api_server_takes_every_reason_wherever_a_failure_is_told() -> None:
    judge = Draft7Validator(schema())
    for reason, disposition in zip(Reason, cycle(Disposition), strict=False):
        failure = Failure(reason=reason, message="Why.", disposition=disposition, request_id="1")
        known = Backoff(failures=9, until=NOW, at=NOW, failure=failure)
        told = report(
            pool=replace(healthy().pool, refused=failure),
            failures=[failure],
            github=failure,
            hub=failure,
            unknown_flavor=failure,
            unwritten=Blocked(failure=failure, since=0.0, until=NOW),
            waiting=[Waiting(reason=reason, count=1, message="Why.")],
            demand=replace(healthy().demand, unreadable=[("acme/lib", failure)], reach=("acme/lib",)),
            memory=replace(healthy().memory, backoffs={POOL: known, "t4-small": known}),
        )
        status = built(told).to_object()
        assert [error.message for error in judge.iter_errors(status)] == []
        assert read_status(status) == built(told)
