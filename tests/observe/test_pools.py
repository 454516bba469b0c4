"""The registry of RunnerPools, fed late, twice, or in any order."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from controller.api.status.build import build_status
from controller.api.status.model import RunnerPoolStatus
from controller.api.status.stored import write_down
from controller.api.status.values import Instant
from controller.core.drained import ends_by
from controller.core.evidence import LIST_LAG
from controller.core.hosts import DEFAULT_HOSTS, Hosts
from controller.core.intents import Intent, Term, Written
from controller.core.model import Footprint, Pool, PoolKey
from controller.core.money import timeout_seconds
from controller.core.resource import DRAIN_ANNOTATION
from controller.pools import PoolRegistry
from tests.core.build import NOW, SERVER, run_plan, snapshot

BODY: dict[str, Any] = {
    "apiVersion": "hfrunners.dev/v1alpha1",
    "kind": "RunnerPool",
    "metadata": {
        "namespace": "ci",
        "name": "t4",
        "uid": "uid-1",
        "generation": 1,
        "creationTimestamp": "2026-11-21T08:00:00Z",
    },
    "spec": {
        "github": {"url": "https://github.com/acme/lib", "credentialsSecret": "github-app"},
        "huggingface": {"namespace": "acme", "tokenSecret": "hf-token"},
        "labels": ["hf-t4"],
        "flavors": ["t4-small"],
    },
}
KEY = PoolKey("ci", "t4")


def body(**changes: Any) -> dict[str, Any]:
    found = copy.deepcopy(BODY)
    for path, value in changes.items():
        *parents, last = path.split("__")
        at = found
        for parent in parents:
            at = at.setdefault(parent, {})
        at[last] = value
    return found


def status_of(of: Pool) -> dict[str, Any]:
    """The status of a pool, as a process would write it."""
    moment = Instant(mono=NOW, wall=SERVER)
    report = run_plan([of], snapshot()).reports[of.uid]
    return build_status(
        report, previous=RunnerPoolStatus(), overlaps=(), usd_per_second={}, start=moment, now=moment
    ).to_object()


class Registry(PoolRegistry):
    def __init__(self) -> None:
        self.wakes = 0
        super().__init__(hosts=DEFAULT_HOSTS, changed=self._count)

    def _count(self) -> None:
        self.wakes += 1


def test_the_same_object_twice_wakes_once() -> None:
    registry = Registry()
    registry.upsert(body())
    registry.upsert(body(status__counts={"queued": 3}))
    assert registry.wakes == 1
    assert [pool.key for pool in registry.pools] == [KEY]


def test_a_spec_that_turns_bad_is_told_while_the_last_good_one_goes_on() -> None:
    registry = Registry()
    registry.upsert(body())
    registry.upsert(body(spec__github__url="http://ghe.example/acme", metadata__generation=2))
    (rejected,) = registry.rejected
    assert "https" in rejected.message
    assert [pool.generation for pool in registry.pools] == [1]
    registry.upsert(body(metadata__generation=3))
    assert list(registry.rejected) == []
    assert [pool.generation for pool in registry.pools] == [3]


def test_a_bad_pool_that_is_deleted_drains_by_its_last_good_spec() -> None:
    registry = Registry()
    registry.upsert(body())
    bad = body(
        spec__github__url="http://ghe.example/acme", metadata__deletionTimestamp="2026-11-21T09:00:00Z"
    )
    registry.upsert(bad)
    assert [pool.deleting for pool in registry.pools] == [True]
    assert not registry.may_go(KEY, "uid-1")
    registry.mark_drained("uid-1", drained=True)
    assert registry.may_go(KEY, "uid-1")


def test_a_pool_that_never_had_a_good_spec_may_go_at_once() -> None:
    registry = Registry()
    registry.upsert(body(spec__github__url="http://ghe.example/acme"))
    assert registry.may_go(KEY, "uid-1")


def test_a_list_shows_what_the_watch_never_said() -> None:
    registry = Registry()
    registry.upsert(body())
    registry.replace_all([], before=registry.uids())
    assert list(registry.pools) == []
    assert registry.synced


def test_a_namespace_that_could_not_be_listed_keeps_its_pools_and_nobody_is_called_a_stray() -> None:
    registry = Registry()
    registry.replace_all([body()])
    assert registry.complete
    registry.replace_all([], before=registry.uids(), unlisted=["ci"])
    assert [pool.key for pool in registry.pools] == [KEY]
    assert not registry.complete
    registry.replace_all([], before=registry.uids())
    assert list(registry.pools) == []
    assert registry.complete


def test_a_list_that_was_asked_for_before_a_pool_was_made_does_not_end_it() -> None:
    registry = Registry()
    before = registry.uids()
    registry.upsert(body())
    registry.replace_all([], before=before)
    assert [pool.key for pool in registry.pools] == [KEY]


def test_a_list_that_was_asked_for_before_a_pool_went_does_not_bring_it_back() -> None:
    registry = Registry()
    registry.upsert(body())
    before = registry.uids()
    registry.remove(KEY, "uid-1")
    registry.replace_all([body()], before=before)
    assert list(registry.pools) == []


def test_a_list_tells_how_many_objects_the_watch_had_not_shown_as_they_are() -> None:
    registry = Registry()
    assert registry.replace_all([body()]) == 1
    assert registry.replace_all([body()], before=registry.uids()) == 0
    edited = body()
    edited["metadata"] = {**edited["metadata"], "generation": edited["metadata"]["generation"] + 1}
    assert registry.replace_all([edited], before=registry.uids()) == 1
    going = {**edited, "metadata": {**edited["metadata"], "deletionTimestamp": "2026-11-21T09:00:00Z"}}
    assert registry.replace_all([going], before=registry.uids()) == 1
    wrong = {**going, "metadata": {**going["metadata"], "generation": 99}, "spec": {}}
    assert registry.replace_all([wrong], before=registry.uids()) == 1
    assert registry.replace_all([wrong], before=registry.uids()) == 0
    assert registry.replace_all([], before=registry.uids()) == 1
    gone = body()
    registry.remove(KEY, "uid-1")
    assert registry.replace_all([gone], before=()) == 0


LATE = {
    "its end": lambda registry, going: registry.remove(KEY, "uid-1"),
    "its last change": lambda registry, going: registry.upsert(going),
    "both": lambda registry, going: (registry.upsert(going), registry.remove(KEY, "uid-1")),
    "both, swapped": lambda registry, going: (registry.remove(KEY, "uid-1"), registry.upsert(going)),
}


@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
@pytest.mark.parametrize("made", ["2026-11-21T08:00:00Z", "2026-11-21T09:00:01Z"], ids=["at once", "later"])
def test_late_words_of_the_pool_that_had_the_name_before_change_nothing(
    late: Callable[[PoolRegistry, dict[str, Any]], object], made: str
) -> None:
    going = body(metadata__deletionTimestamp="2026-11-21T09:00:00Z")
    registry = Registry()
    registry.upsert(body())
    registry.upsert(going)
    registry.upsert(body(metadata__uid="uid-2", metadata__creationTimestamp=made))

    late(registry, going)

    assert [(pool.uid, pool.deleting) for pool in registry.pools] == [("uid-2", False)]


def test_a_pool_made_again_under_its_name_is_another_pool() -> None:
    registry = Registry()
    registry.upsert(body())
    registry.mark_drained("uid-1", drained=True)
    registry.upsert(body(metadata__uid="uid-2"))
    assert [pool.uid for pool in registry.pools] == ["uid-2"]
    assert not registry.may_go(KEY, "uid-2")


def test_a_pool_that_moves_keeps_its_former_place_until_it_is_left() -> None:
    registry = Registry()
    registry.upsert(body())
    old = registry.pools[0].footprint
    registry.note_launch("uid-1", 5.0)
    registry.upsert(body(spec__github__url="https://github.com/acme/other", metadata__generation=2))
    assert registry.pools[0].former == (old,)
    registry.note_launch("uid-1", 6.0)
    registry.upsert(body(metadata__generation=3))  # and back again: where it is now is no former place
    (pool,) = registry.pools
    assert pool.footprint == old
    assert [place.registrations.scope.repository for place in pool.former] == ["other"]
    registry.leave_footprint("uid-1", pool.former[0])
    assert registry.pools[0].former == ()


def test_a_place_where_nothing_was_launched_is_forgotten_by_the_edit_that_corrects_it() -> None:
    registry = Registry()
    registry.upsert(body(spec__github__url="https://gihub.com/acme/lib"))
    registry.upsert(body(metadata__generation=2))
    assert registry.pools[0].former == ()


def test_a_place_where_something_was_seen_alive_is_kept_though_nobody_knows_of_a_launch() -> None:
    registry = Registry()
    registry.upsert(body())
    old = registry.pools[0].footprint
    registry.note_life("uid-1", old, 5.0)
    registry.upsert(body(spec__github__url="https://github.com/acme/other", metadata__generation=2))
    assert registry.pools[0].former == (old,)


def test_what_the_status_says_at_first_sight_is_what_an_earlier_process_intended() -> None:
    registry = Registry()
    registry.upsert(body())
    (pool,) = registry.pools
    there = replace(pool.footprint, account=replace(pool.footprint.account, namespace="other"))
    one = Intent(name="t4-hfr-1", flavor="t4-small", at=5.0, place=there)
    said = Written(term=Term(number=4, holder="a"), intents=(one,))
    again = Registry()
    again.upsert(body(status=write_down(said)))
    again.upsert(body(metadata__generation=2, status=write_down(Written())))
    assert again.written_at_first_sight("uid-1") == said
    assert again.terms() == [said.term]
    assert again.pools[0].former == (there,)
    assert again.written_at_first_sight("uid-2") == Written()


def test_the_term_of_a_pool_with_a_bad_spec_counts_too() -> None:
    registry = Registry()
    registry.upsert(body(spec__flavors=[], status=write_down(Written(term=Term(number=4, holder="a")))))
    assert registry.pools == []
    assert registry.terms() == [Term(number=4, holder="a")]


def test_former_places_and_the_last_launch_come_back_from_the_status_after_a_restart() -> None:
    first = Registry()
    first.upsert(body())
    old: Footprint = first.pools[0].footprint
    place = {
        "apiUrl": old.registrations.source.api_url,
        "scope": old.registrations.scope.path,
        "credentialsSecret": "github-app",
        "endpoint": old.account.endpoint,
        "namespace": "acme",
        "tokenSecret": "hf-token",
    }
    second = Registry()
    status = {"places": [place], "lastLaunchAt": "2026-11-21T08:30:00Z"}
    second.upsert({**body(spec__github__url="https://github.com/acme/other"), "status": status})
    (pool,) = second.pools
    assert pool.former == (old,)
    assert pool.last_launch_at is not None


def test_by_when_everything_has_ended_comes_back_from_the_status_place_by_place() -> None:
    first = Registry()
    first.upsert(body())
    first.note_launch("uid-1", 1_795_255_200.0)
    old = first.pools[0]
    told = status_of(old)
    second = Registry()
    second.upsert(body(spec__github__url="https://github.com/acme/other", status=told))
    (pool,) = second.pools
    assert pool.former == (old.footprint,)
    assert pool.bound(old.footprint.place) == 1_795_255_200.0 + timeout_seconds(old.deadlines) + LIST_LAG
    assert pool.bound(pool.footprint.place) is None


def test_an_intent_counts_as_a_launch_to_its_place() -> None:
    registry = Registry()
    registry.upsert(body())
    (pool,) = registry.pools
    one = Intent(name="t4-hfr-1", flavor="t4-small", at=5.0, place=pool.footprint)
    again = Registry()
    again.upsert(body(status=write_down(Written(term=Term(number=4, holder="a"), intents=(one,)))))
    assert again.pools[0].bound(pool.footprint.place) == ends_by(pool, 5.0)


class TestABadSpecAfterARestart:
    """The spec turned bad, and then the process began anew: it has never seen a good one."""

    bad: ClassVar = {"spec__flavors": [], "metadata__generation": 2}
    going: ClassVar = {**bad, "metadata__deletionTimestamp": "2026-11-21T09:00:00Z"}

    @staticmethod
    def status() -> dict[str, Any]:
        before = Registry()
        before.upsert(body())
        before.note_launch("uid-1", 1_795_255_200.0)
        return status_of(before.pools[0])

    def test_its_finalizer_stays_as_its_status_tells_of_launches(self) -> None:
        registry = Registry()
        registry.upsert(body(status=self.status(), **self.bad))
        assert registry.pools == []
        assert not registry.may_go(KEY, "uid-1")

    @pytest.mark.parametrize("asked", ["deletion", "drain"])
    def test_what_its_status_tells_of_is_drained_when_it_is_to_go(self, asked: str) -> None:
        drain = {**self.bad, "metadata__annotations": {DRAIN_ANNOTATION: "1"}}
        registry = Registry()
        registry.upsert(body(status=self.status(), **(self.going if asked == "deletion" else drain)))
        (pool,) = registry.pools
        good = Registry()
        good.upsert(body())
        assert pool.footprint == good.pools[0].footprint
        assert (pool.deleting, pool.paused, pool.max_runners) == (asked == "deletion", True, 0)
        assert pool.bound(pool.footprint.place) is not None
        assert not registry.may_go(KEY, "uid-1")
        registry.mark_drained("uid-1", drained=True)
        assert registry.may_go(KEY, "uid-1")

    def test_one_of_which_only_an_intent_was_written_is_drained_too(self) -> None:
        good = Registry()
        good.upsert(body())
        one = Intent(name="t4-hfr-1", flavor="t4-small", at=5.0, place=good.pools[0].footprint)
        said = write_down(Written(term=Term(number=4, holder="a"), intents=(one,)))
        registry = Registry()
        registry.upsert(body(status=said, **self.going))
        assert [pool.footprint for pool in registry.pools] == [one.place]
        assert not registry.may_go(KEY, "uid-1")

    def test_one_that_never_launched_may_go_at_once(self) -> None:
        registry = Registry()
        registry.upsert(body(status={"observedGeneration": 1, "places": []}, **self.going))
        assert registry.may_go(KEY, "uid-1")


@pytest.mark.parametrize(
    "odd",
    [
        {"lastLaunchAt": "2026-12-31T23:59:60Z"},
        {"lastLaunchAt": "0000-01-01T00:00:00Z"},
        {"interruptions": [{"repository": "acme/lib", "runId": 7, "attempt": 1, "jobId": 7, "at": "x"}]},
        {"places": [{"apiUrl": "https://api.github.com", "scope": "nothing"}]},
        {"places": "nothing", "interruptions": {"a": 1}, "lastLaunchAt": 5},
    ],
)
def test_a_status_that_somebody_has_made_unreadable_keeps_no_pool_from_being_served(
    odd: dict[str, Any],
) -> None:
    """Whoever administers a namespace may patch statuses there, and an API server takes
    more than we can read.
    """
    registry = Registry()
    other = body(metadata__name="other", metadata__uid="uid-2")
    registry.replace_all([{**body(), "status": odd}, other])
    assert registry.synced
    assert [pool.uid for pool in registry.pools] == ["uid-2", "uid-1"]


def test_lost_jobs_are_as_the_newest_status_tells_and_wake_nobody() -> None:
    registry = Registry()
    registry.upsert(body())
    lost = {
        "repository": "acme/lib",
        "runId": 7,
        "attempt": 1,
        "jobId": 70,
        "at": "2026-11-21T08:30:00Z",
        "rerun": "Pending",
    }
    registry.upsert({**body(), "status": {"interruptions": [lost]}})
    assert [one.run_id for one in registry.pools[0].interruptions] == [7]
    assert registry.wakes == 1


@pytest.mark.parametrize(
    "status", [7, [1], {"conditions": 7}, {"conditions": [7, {"type": "Ready"}]}, {"interruptions": 7}]
)
def test_a_status_that_makes_no_sense_is_read_as_far_as_it_does(status: object) -> None:
    registry = Registry()
    registry.upsert(body(status=status))
    (known,) = registry.pools
    said = registry.status_at_first_sight(known.uid)
    assert not said.conditions
    assert known.interruptions == ()


# ------------------------------------------------------------------------------------------------------ hosts
OWN_HOST = "https://ghe.example/acme/lib"


def at_own_host(**changes: Any) -> dict[str, Any]:
    return body(spec__github={"url": OWN_HOST, "credentialsSecret": "github-app"}, **changes)


def launched_at_own_host() -> dict[str, Any]:
    """The status of a pool that has launched at a host while it was allowed."""
    registry = PoolRegistry(
        hosts=Hosts.listed(github=["ghe.example"], hub=["huggingface.co"]), changed=lambda: None
    )
    registry.upsert(at_own_host())
    registry.note_launch("uid-1", SERVER)
    (pool,) = registry.pools
    return status_of(pool)


def test_a_pool_at_a_host_that_is_not_allowed_is_known_with_why_and_has_no_place() -> None:
    registry = Registry()
    registry.upsert(at_own_host())
    (pool,) = registry.pools
    assert pool.refused is not None
    assert "ghe.example" in pool.refused.message
    assert pool.footprints == ()
    assert registry.rejected == []


def test_a_pool_that_is_mended_is_followed_again() -> None:
    registry = Registry()
    registry.upsert(at_own_host())
    registry.upsert(body(metadata__generation=2))
    (pool,) = registry.pools
    assert pool.refused is None
    assert pool.footprints == (pool.footprint,)


def test_a_pool_that_moves_to_a_host_that_is_not_allowed_keeps_the_place_that_it_comes_from() -> None:
    registry = Registry()
    registry.upsert(body())
    registry.note_launch("uid-1", SERVER)
    before = registry.pools[0].footprint
    registry.upsert(at_own_host(metadata__generation=2))
    (pool,) = registry.pools
    assert pool.refused is not None
    assert pool.footprints == (before,)


def test_at_a_host_that_was_taken_away_only_the_secrets_of_then_are_used_whatever_the_spec_names_now() -> (
    None
):
    registry = Registry()
    status = launched_at_own_host()
    registry.upsert(at_own_host(status=status))
    (then,) = registry.pools
    assert then.footprints == (then.footprint,)
    for other in (
        at_own_host(metadata__generation=2, spec__github__credentialsSecret="other"),
        at_own_host(metadata__generation=3, spec__huggingface__tokenSecret="other"),
    ):
        registry.upsert(other)
        assert registry.pools[0].footprints == then.footprints
    anew = Registry()
    anew.upsert(at_own_host(status=status, spec__github__credentialsSecret="other"))
    assert anew.pools[0].footprints == then.footprints


def test_a_pool_with_a_bad_spec_that_is_deleted_is_ended_where_its_status_tells_and_launches_nothing() -> (
    None
):
    registry = Registry()
    registry.upsert(
        at_own_host(
            status=launched_at_own_host(),
            spec__flavors=[],
            metadata__deletionTimestamp="2026-11-21T09:00:00Z",
        )
    )
    (pool,) = registry.pools
    assert pool.refused is not None
    assert [place.place.api_url for place in pool.footprints] == ["https://ghe.example/api/v3"]
