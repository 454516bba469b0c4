"""Labels, names, money, back-off, overlaps: the small pure pieces."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.status.values import dollars, iso
from controller.core.backoff import POOL, STALLED_AFTER, Backoff, after_failure, choose_flavors, key_of
from controller.core.labels import covered, full_pattern, hosted, nearest, normalized
from controller.core.model import Deadlines, Disposition, Failure, Pool, PoolKey, Stage
from controller.core.money import booked_seconds, cheapest, timeout_seconds, worst_case
from controller.core.naming import (
    controller_digest,
    digest,
    fresh_names,
    hf_labels,
    label_value,
    origin,
    runner_name,
)
from controller.core.outcomes import ended_because
from controller.core.overlap import COMMON, find_overlaps
from controller.core.reasons import Reason

from .build import OUTAGE, SERVER, hf_job, pool, seen, started

WORDS = st.text(st.characters(codec="ascii", min_codepoint=33), min_size=1, max_size=20)


def test_a_failure_lasts_that_ends_only_when_a_person_does_something() -> None:
    lasting = {one for one in Disposition if replace(OUTAGE, disposition=one).lasting}
    assert lasting == {Disposition.PERSON, Disposition.GONE}


@given(st.lists(WORDS))
def test_normalized_labels_are_sorted_unique_and_lower_case(labels: list[str]) -> None:
    found = normalized(labels)
    assert list(found) == sorted(set(found))
    assert all(label == label.lower() for label in found)
    assert normalized(found) == found


@pytest.mark.parametrize(
    "label",
    [
        "ubuntu-latest",
        "ubuntu-24.04",
        "ubuntu-24.04-arm",
        "windows-2025",
        "macos-15-xlarge",
        "macos-latest-large",
        "ubuntu-slim",
        "windows-11-arm",
        "windows-2025-vs2026",
        "macos-26-intel",
    ],
)
def test_githubs_own_images_are_known(label: str) -> None:
    assert hosted([label])


@pytest.mark.parametrize(
    "label",
    [
        "hf-ubuntu",
        "self-hosted",
        "linux",
        "gpu",
        "ubuntu",
        "t4-ubuntu-24",
        "ubuntu-22.04-gpu",
        "ubuntu-latest-8-cores",
        "macos-14-mlx",
        "windows-gpu",
        "ubuntu-22",
    ],
)
def test_other_labels_are_not_githubs(label: str) -> None:
    assert not hosted([label])


def test_a_job_that_asks_for_self_hosted_is_never_githubs_own() -> None:
    assert not hosted(["gpu", "linux", "self-hosted", "ubuntu-22.04", "x64"])


def test_a_job_is_classified_by_all_its_labels() -> None:
    assert not hosted(["gpu", "ubuntu-22.04"])
    assert not hosted([])
    assert hosted(["ubuntu-24.04", "ubuntu-latest"])


def test_repositories_are_chosen_by_globs_and_exact_names_need_no_list() -> None:
    seen = ("acme/lib", "acme/lib-docs", "acme/web", "other/lib")
    assert covered(("acme/lib*",), ("*-docs",), seen) == ("acme/lib",)
    assert covered(("acme/hidden",), (), ()) == ("acme/hidden",)
    assert covered(("acme/*",), ("acme/web",), seen) == ("acme/lib", "acme/lib-docs")
    assert full_pattern("Lib-*", "Acme") == "acme/lib-*"


def test_near_misses_are_named_best_first() -> None:
    assert nearest("t4-smal", ["t4-small", "t4-medium", "h200"])[0] == "t4-small"


@given(st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,60}[a-z0-9])?", fullmatch=True), st.uuids(), WORDS)
def test_a_runner_name_fits_both_services_and_tells_who_made_it(
    name: str, uid: object, controller: str
) -> None:
    p = pool(uid=str(uid), key=PoolKey("ns", name))
    found = runner_name(p, controller, "0123456789")
    made_by = origin(found)
    assert len(found) <= 64
    assert made_by is not None
    assert made_by.controller == controller_digest(controller)
    assert made_by.pool == digest(str(uid))


@given(st.text(max_size=30), st.text(max_size=30))
def test_names_differ_within_a_pass_between_passes_and_between_pools(one: str, other: str) -> None:
    def names(of: Pool, entropy: str) -> list[str]:
        return list(islice(fresh_names(of, "c", entropy), 20))

    a, b = pool("a"), pool("b")
    entropies = {one, other}
    found = [name for of in (a, b) for entropy in sorted(entropies) for name in names(of, entropy)]
    assert len(set(found)) == len(found) == 40 * len(entropies)
    assert all(origin(name) is not None for name in found)
    assert names(a, one) == names(a, one)


@pytest.mark.parametrize(
    "name", ["runner-1", "t4-hfr-1-2-3", "T4-hfr-abcdef-01234567-aa", "x-hfr-abcdef-01234567-"]
)
def test_other_names_are_nobodys(name: str) -> None:
    assert origin(name) is None


def test_labels_of_an_hf_job_are_fit_for_the_hub() -> None:
    p = pool(key=PoolKey("team.a", "t4.large"))
    for value in hf_labels(p, "id", runner_name(p, "id", "aaaa")).values():
        assert value == label_value(value)


def test_deadlines_that_a_spec_leaves_out_are_those_of_the_reference() -> None:
    assert Deadlines() == Deadlines(scheduling=600, registration=300, idle=120, lifetime=21_600)


def test_the_server_side_timeout_leaves_room_for_the_lifetime_however_the_hub_counts() -> None:
    deadlines = Deadlines(scheduling=600, lifetime=3600)
    assert timeout_seconds(deadlines) >= 600 + 3600


def test_pools_are_compared_by_the_price_of_the_flavor_that_they_name_first() -> None:
    usd = {"t4-small": 1.0, "a10g-small": 2.0}
    assert cheapest(("a10g-small", "t4-small"), usd) == 2.0
    assert cheapest(("h100", "t4-small"), usd) == cheapest((), usd) == float("inf")


def test_the_worst_case_shrinks_while_a_job_runs_and_never_goes_below_nothing() -> None:
    job = started(pool(), seconds_ago=100)
    assert worst_case(job, SERVER, 0.01, 0) == pytest.approx((4260 - 100) * 0.01)
    assert worst_case(job, SERVER + 90_000, 0.01, 0) == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"stage": Stage.COMPLETED}, Reason.JobCompleted),
        ({"stage": Stage.ERROR, "message": "Job timeout"}, Reason.TimedOut),
        (
            {"stage": Stage.ERROR, "message": "Job failed with exit code: 65. Reason: Error"},
            Reason.ImageUnsuitable,
        ),
        (
            {"stage": Stage.ERROR, "message": "Job failed with exit code: 137. Reason: OOMKilled"},
            Reason.RunnerFailed,
        ),
        ({"stage": Stage.ERROR}, Reason.RunnerFailed),
        ({"stage": Stage.CANCELED}, Reason.EndedUnseen),
        ({"stage": Stage.CANCELED, "cancel_reason": "NO_CREDITS"}, Reason.PlatformCancelled),
        ({"stage": Stage.DELETED}, Reason.EndedUnseen),
        ({"stage": Stage.UNKNOWN}, Reason.EndedUnseen),
    ],
)
def test_an_end_is_read_from_what_the_hub_tells(changes: dict[str, object], reason: Reason) -> None:
    assert ended_because(replace(hf_job(pool()), **changes)) is reason  # type: ignore[arg-type]


class TestBackoff:
    def test_waits_grow_with_failures_in_a_row_and_stop_growing(self) -> None:
        known, waits = None, []
        now = 0.0
        for _ in range(8):
            known = after_failure(known, OUTAGE, now)
            waits.append(known.until - now)
            now = known.until
        assert waits == [5, 15, 60, 180, 600, 600, 600, 600]

    def test_what_the_server_asks_for_is_waited_for(self) -> None:
        told = replace(OUTAGE, disposition=Disposition.WAIT, retry_after=1234.0)
        assert after_failure(None, told, 10.0).until == 1244.0

    def test_a_lack_of_hardware_concerns_the_flavor_and_a_bad_image_the_pool(self) -> None:
        assert key_of(Failure(reason=Reason.FlavorOutOfCapacity, message=""), "h200") == "h200"
        assert key_of(Failure(reason=Reason.ImageUnsuitable, message=""), "h200") == POOL

    @given(st.integers(0, 20), st.integers(0, 3), st.booleans())
    def test_no_more_is_chosen_than_wanted_and_only_what_may_be_tried(
        self, wanted: int, unproven: int, held: bool
    ) -> None:
        flavors = ("a", "b")
        backoffs = {"a": Backoff(failures=1, until=100.0, at=0.0, failure=OUTAGE)} if held else {}
        choice = choose_flavors(wanted, flavors, backoffs, {"b": unproven}, 50.0)
        assert len(choice.flavors) == wanted
        assert set(choice.flavors) <= ({"b"} if held else {"a"})


class TestOverlaps:
    def reach(self, *pools: object) -> dict[str, tuple[str, ...]]:
        return {p.uid: ("acme/lib",) for p in pools}  # type: ignore[attr-defined]

    def test_pools_that_share_a_label_and_a_repository_overlap(self) -> None:
        a, b = pool("a", created_at=1.0), pool("b", created_at=2.0)
        found = find_overlaps([a, b], self.reach(a, b), {}, {})
        assert [(o.other, o.goes_first) for o in found[b.uid]] == [(a.key, True)]
        assert [(o.other, o.goes_first) for o in found[a.uid]] == [(b.key, False)]

    def test_sharing_only_what_every_runner_is_called_is_no_overlap(self) -> None:
        a, b = pool("a", labels=("linux", "x")), pool("b", labels=("linux", "y"))
        assert find_overlaps([a, b], self.reach(a, b), {}, {}) == {}

    def test_other_repositories_are_no_overlap(self) -> None:
        a, b = pool("a"), pool("b")
        assert find_overlaps([a, b], {a.uid: ("acme/x",), b.uid: ("acme/y",)}, {}, {}) == {}

    def test_a_pool_of_another_namespace_is_not_named(self) -> None:
        a, b = pool("a"), pool("b", key=PoolKey("other", "b"))
        found = find_overlaps([a, b], self.reach(a, b), self.reach(a, b), {})
        assert [(o.other, o.labels, o.goes_first) for o in found[a.uid]] == [(None, ("hf-t4",), False)]

    def test_a_pool_of_another_namespace_counts_only_where_its_credentials_show_the_repository(self) -> None:
        a, b = pool("a"), pool("b", key=PoolKey("other", "b"))
        assert find_overlaps([a, b], self.reach(a, b), self.reach(a), {}) == {}

    @given(
        st.lists(
            st.builds(
                lambda namespace, labels: {"key": PoolKey(namespace, "p"), "labels": tuple(sorted(labels))},
                st.sampled_from(["ci", "other"]),
                st.sets(st.sampled_from(["linux", "a", "b"]), min_size=1),
            ),
            max_size=5,
        ),
        st.lists(st.sets(st.sampled_from(["acme/x", "acme/y", "acme/z"])), min_size=5, max_size=5),
    )
    def test_they_are_what_comparing_each_pool_with_each_other_one_finds(
        self, changes: list[dict[str, Any]], read: list[set[str]]
    ) -> None:
        pools = [pool(f"p{n}", created_at=float(n), **each) for n, each in enumerate(changes)]
        shown = {p.uid: tuple(sorted(names)) for p, names in zip(pools, read, strict=False)}
        found = find_overlaps(pools, shown, shown, {})
        for mine in pools:
            alike = [
                other
                for other in pools
                if other is not mine
                and set(shown[mine.uid]) & set(shown[other.uid])
                and any(x not in COMMON or other.labels == (x,) for x in set(mine.labels) & set(other.labels))
            ]
            near = [other.key for other in alike if other.key.namespace == mine.key.namespace]
            told = found.get(mine.uid, ())
            assert [o.other for o in told if o.other is not None] == near
            assert any(o.other is None for o in told) == (len(alike) > len(near))


def test_small_amounts_keep_their_digits() -> None:
    assert [dollars(0), dollars(0.0042), dollars(12.345)] == ["0.00", "0.0042", "12.35"]


def test_times_are_written_as_kubernetes_writes_them() -> None:
    assert iso(0.9) == "1970-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("stage", "finished", "ended"),
    [
        (Stage.RUNNING, None, False),
        (Stage.COMPLETED, None, True),
        (Stage.UNKNOWN, None, False),
        (Stage.UNKNOWN, 10.0, True),
    ],
)
def test_an_hf_job_in_a_stage_that_no_release_knows_has_ended_when_it_says_when(
    stage: Stage, finished: float | None, ended: bool
) -> None:
    assert replace(hf_job(pool()), stage=stage, finished_at=finished).ended is ended


def test_a_pool_asks_for_a_person_after_four_failures_in_a_row() -> None:
    assert STALLED_AFTER == 4


@pytest.mark.parametrize(
    ("times", "listed", "seconds"),
    [
        ({"started_at": SERVER - 60, "finished_at": SERVER - 20}, True, 40),
        ({"started_at": SERVER - 60, "finished_at": SERVER - 20}, False, 40),
        ({"started_at": SERVER - 60}, True, 60),
        ({"started_at": SERVER - 60}, False, 0),
        ({"finished_at": SERVER - 20}, True, 0),
    ],
    ids=[
        "both times are known",
        "also without a list",
        "no end: it was gone at the newest list",
        "no end and no list",
        "it never ran",
    ],
)
def test_an_hf_job_that_ended_was_billed_for(times: dict[str, float], listed: bool, seconds: float) -> None:
    ended = replace(hf_job(pool()), stage=Stage.CANCELED, **times)  # type: ignore[arg-type]
    assert booked_seconds(ended, seen() if listed else None) == seconds
