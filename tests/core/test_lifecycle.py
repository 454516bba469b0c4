"""The phase that a runner is in, and what one more sighting teaches about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.core.evidence import LIST_LAG
from controller.core.lifecycle import Phase, Sighting, Track, phase_of
from controller.core.model import HFJob, Stage
from controller.core.reasons import Reason
from tests.core.build import NOW, SERVER, job, pool, registration, seen

OFFLINE = registration(pool())
ONLINE = replace(OFFLINE, online=True)
AT_WORK = replace(OFFLINE, online=True, busy=True)
SCHEDULED = HFJob(id="hf-1", stage=Stage.SCHEDULING, flavor="t4-small", created_at=SERVER - 10)
RUNNING = replace(SCHEDULED, stage=Stage.RUNNING, started_at=SERVER - 5)

THEN = NOW - 500.0
NEW = Track.begin(NOW)
KNOWN = Track(phase=Phase.STARTING, since=THEN)
WAS_ONLINE = replace(KNOWN, phase=Phase.IDLE, online_at=THEN)
HAD_A_JOB = replace(WAS_ONLINE, phase=Phase.BUSY, taken_at=THEN, workflow_job=job())
DEREGISTERED = replace(WAS_ONLINE, deregistered=True)
LACKS: dict[str, Any] = {"alone_since": THEN, "alone_at": THEN + LIST_LAG + 1}
ENDED_LONG_AGO: dict[str, Any] = {"ended_at": NOW - LIST_LAG - 10, "end": Reason.EndedUnseen}
YOUNG_LIST = seen(at=NOW - 1)


@pytest.mark.parametrize(
    ("sighting", "track", "phase"),
    [
        # Both halves show.
        (Sighting(registration=OFFLINE, hf_job=SCHEDULED), NEW, Phase.SCHEDULING),
        (Sighting(registration=OFFLINE, hf_job=RUNNING), NEW, Phase.STARTING),
        (Sighting(registration=ONLINE, hf_job=RUNNING), NEW, Phase.IDLE),
        (Sighting(registration=ONLINE, hf_job=SCHEDULED), NEW, Phase.IDLE),
        (Sighting(registration=AT_WORK, hf_job=RUNNING), NEW, Phase.BUSY),
        (Sighting(registration=OFFLINE, hf_job=RUNNING, workflow_job=job()), NEW, Phase.BUSY),
        (Sighting(registration=OFFLINE, hf_job=RUNNING), WAS_ONLINE, Phase.FINISHED),
        (Sighting(registration=ONLINE, hf_job=RUNNING), WAS_ONLINE, Phase.IDLE),
        (Sighting(registration=ONLINE, hf_job=RUNNING), HAD_A_JOB, Phase.FINISHED),
        (Sighting(registration=ONLINE, hf_job=RUNNING, served=job()), NEW, Phase.FINISHED),
        (Sighting(registration=AT_WORK, hf_job=RUNNING, served=job()), NEW, Phase.BUSY),
        (Sighting(registration=ONLINE, hf_job=RUNNING), DEREGISTERED, Phase.FINISHED),
        # Only the HF Job shows.
        (Sighting(hf_job=SCHEDULED), NEW, Phase.SCHEDULING),
        (Sighting(hf_job=RUNNING), NEW, Phase.STARTING),
        (Sighting(hf_job=RUNNING, workflow_job=job()), NEW, Phase.BUSY),
        (Sighting(hf_job=RUNNING), WAS_ONLINE, Phase.FINISHED),
        (Sighting(hf_job=RUNNING), replace(KNOWN, **LACKS), Phase.ORPHANED),
        (Sighting(hf_job=RUNNING), replace(WAS_ONLINE, **LACKS), Phase.FINISHED),
        # Only the registration shows.
        (Sighting(registration=OFFLINE), NEW, Phase.REGISTERED),
        (Sighting(registration=ONLINE), WAS_ONLINE, Phase.REGISTERED),
        (Sighting(registration=OFFLINE, other_half_absent_at=NOW), KNOWN, Phase.REGISTERED),
        (Sighting(registration=ONLINE, other_half_absent_at=NOW), KNOWN, Phase.REGISTERED),
        (Sighting(registration=OFFLINE, other_half_absent_at=NOW), WAS_ONLINE, Phase.FINISHED),
        (Sighting(registration=OFFLINE, other_half_absent_at=NOW, served=job()), KNOWN, Phase.FINISHED),
        (Sighting(registration=AT_WORK, other_half_absent_at=NOW), KNOWN, Phase.LOST),
        (Sighting(registration=OFFLINE), replace(KNOWN, **LACKS), Phase.ORPHANED),
        (Sighting(registration=AT_WORK), replace(KNOWN, **LACKS), Phase.LOST),
        (Sighting(registration=AT_WORK, launching=True), replace(KNOWN, **LACKS), Phase.REGISTERED),
        # Nothing shows.
        (Sighting(launching=True), NEW, Phase.REGISTERED),
        (Sighting(), WAS_ONLINE, Phase.REGISTERED),
        # Its HF Job has ended.
        (Sighting(registration=OFFLINE, end=Reason.JobCompleted), NEW, Phase.FINISHED),
        (Sighting(registration=AT_WORK, end=Reason.JobCompleted), NEW, Phase.FINISHED),
        (Sighting(registration=AT_WORK, end=Reason.EndedUnseen), NEW, Phase.LOST),
        (Sighting(registration=OFFLINE, end=Reason.EndedUnseen), NEW, Phase.FINISHED),
        (
            Sighting(registration=OFFLINE, listed=YOUNG_LIST),
            replace(KNOWN, **ENDED_LONG_AGO),
            Phase.ORPHANED,
        ),
        (
            Sighting(registration=AT_WORK, listed=YOUNG_LIST),
            replace(KNOWN, **{**ENDED_LONG_AGO, "end": Reason.JobCompleted}),
            Phase.LOST,
        ),
        (
            Sighting(registration=OFFLINE, listed=seen(at=NOW - 11)),
            replace(KNOWN, **ENDED_LONG_AGO),
            Phase.FINISHED,
        ),
        (Sighting(registration=OFFLINE), replace(KNOWN, **ENDED_LONG_AGO), Phase.FINISHED),
        (Sighting(registration=OFFLINE, hf_job=RUNNING), replace(KNOWN, **ENDED_LONG_AGO), Phase.STARTING),
    ],
)
def test_the_phase_follows_from_what_is_seen_and_what_was_known(
    sighting: Sighting, track: Track, phase: Phase
) -> None:
    assert phase_of(sighting, track) is phase
    assert track.advance(sighting, NOW).phase is phase


def after(track: Track, sighting: Sighting, at: float = NOW) -> dict[str, Any]:
    """What one more sighting changes."""
    advanced = track.advance(sighting, at)
    return {
        name: value for name in Track.__slots__ if (value := getattr(advanced, name)) != getattr(track, name)
    }


@pytest.mark.parametrize(
    ("track", "sighting", "changes"),
    [
        (NEW, Sighting(launching=True), {}),
        (
            KNOWN,
            Sighting(registration=ONLINE, hf_job=RUNNING),
            {"phase": Phase.IDLE, "since": NOW, "online_at": NOW, "hf_job_id": "hf-1"},
        ),
        (WAS_ONLINE, Sighting(registration=ONLINE, hf_job=replace(RUNNING, foreign=True)), {}),
        (WAS_ONLINE, Sighting(registration=ONLINE, hf_job=replace(RUNNING, foreign=None)), {}),
        (
            WAS_ONLINE,
            Sighting(registration=AT_WORK, hf_job=RUNNING, workflow_job=job()),
            {
                "phase": Phase.BUSY,
                "since": NOW,
                "taken_at": NOW,
                "workflow_job": job(),
                "hf_job_id": "hf-1",
            },
        ),
        (
            HAD_A_JOB,
            Sighting(registration=AT_WORK, workflow_job=job(2), launching=True),
            {"phase": Phase.REGISTERED, "since": NOW},
        ),
        (
            WAS_ONLINE,
            Sighting(registration=OFFLINE, served=job(), hf_job=replace(RUNNING, foreign=True)),
            {"phase": Phase.FINISHED, "since": NOW, "taken_at": NOW, "workflow_job": job(), "job_done": True},
        ),
        (
            KNOWN,
            Sighting(registration=OFFLINE, end=Reason.ImageUnsuitable),
            {"phase": Phase.FINISHED, "since": NOW, "ended_at": NOW, "end": Reason.ImageUnsuitable},
        ),
        (
            KNOWN,
            Sighting(registration=OFFLINE, end=Reason.JobCompleted),
            {
                "phase": Phase.FINISHED,
                "since": NOW,
                "ended_at": NOW,
                "end": Reason.JobCompleted,
                "taken_at": NOW,
            },
        ),
        (
            DEREGISTERED,
            Sighting(registration=OFFLINE, end=Reason.EndedUnseen),
            {"phase": Phase.FINISHED, "since": NOW, "ended_at": NOW, "end": Reason.EndedUnseen},
        ),
        (
            WAS_ONLINE,
            Sighting(registration=OFFLINE, end=Reason.EndedUnseen),
            {
                "phase": Phase.FINISHED,
                "since": NOW,
                "ended_at": NOW,
                "end": Reason.EndedUnseen,
                "taken_at": NOW,
            },
        ),
        (
            replace(KNOWN, phase=Phase.FINISHED, **ENDED_LONG_AGO),
            Sighting(registration=OFFLINE, hf_job=replace(RUNNING, foreign=True)),
            {"phase": Phase.STARTING, "since": NOW, "ended_at": None, "end": None},
        ),
        (
            replace(KNOWN, phase=Phase.FINISHED, **ENDED_LONG_AGO),
            Sighting(registration=OFFLINE, end=Reason.JobCompleted),
            {},
        ),
    ],
)
def test_a_sighting_changes_only_what_it_shows(
    track: Track, sighting: Sighting, changes: dict[str, Any]
) -> None:
    assert after(track, sighting) == changes


class TestAGap:
    """One half shows and the other does not."""

    alone = Sighting(registration=OFFLINE, other_half_absent_at=NOW - 5)

    def test_begins_with_the_first_list_that_was_asked_for_since_the_runner_is_known(self) -> None:
        assert after(replace(KNOWN, phase=Phase.REGISTERED), self.alone) == {
            "alone_since": NOW - 5,
            "alone_at": NOW - 5,
        }

    def test_is_not_proved_by_an_older_list(self) -> None:
        assert after(Track(phase=Phase.REGISTERED, since=NOW - 4), self.alone) == {}

    def test_keeps_its_beginning_and_is_gone_once_two_lists_a_lag_apart_lack_it(self) -> None:
        first = NOW - 5 - LIST_LAG
        for began, gone in ((first, None), (first - 1, NOW - 5)):
            known = Track(phase=Phase.REGISTERED, since=THEN, alone_since=began, alone_at=began)
            after_it = known.advance(self.alone, NOW)
            assert (after_it.alone_since, after_it.alone_at, after_it.gone_at) == (began, NOW - 5, gone)
            assert after_it.lacks_other_half is (gone is not None)

    def test_keeps_the_moment_that_proved_it(self) -> None:
        known = Track(phase=Phase.ORPHANED, since=THEN, gone_at=THEN, **LACKS)
        assert known.advance(self.alone, NOW).gone_at == THEN

    def test_grows_no_older_while_lists_prove_nothing(self) -> None:
        known = Track(phase=Phase.REGISTERED, since=THEN, alone_since=THEN, alone_at=THEN + 1)
        assert known.advance(replace(self.alone, other_half_absent_at=None), NOW) is known

    @pytest.mark.parametrize(
        "whole", [Sighting(registration=OFFLINE, hf_job=RUNNING), Sighting(launching=True)]
    )
    def test_ends_when_both_halves_show_or_neither(self, whole: Sighting) -> None:
        known = Track(phase=Phase.REGISTERED, since=THEN, gone_at=THEN, **LACKS)
        found = known.advance(replace(whole, other_half_absent_at=NOW), NOW)
        assert (found.alone_since, found.alone_at, found.gone_at) == (None, None, None)


class TestALaunchWithoutAnAnswer:
    """Its request may have taken effect."""

    lost = Sighting(registration=OFFLINE, launching=True, unanswered=True)

    def test_is_remembered_after_nobody_waits_for_it_any_more(self) -> None:
        known = NEW.advance(self.lost, NOW)
        assert known.launch_unanswered
        assert known.advance(Sighting(registration=OFFLINE), NOW + 60).launch_unanswered

    def test_is_forgotten_when_its_hf_job_shows(self) -> None:
        known = NEW.advance(self.lost, NOW)
        assert not known.advance(replace(self.lost, hf_job=RUNNING), NOW + 5).launch_unanswered

    @pytest.mark.parametrize(
        ("shows", "unconfirmed"),
        [
            ({}, True),
            ({"registration": None}, True),
            ({"registration": ONLINE}, False),
            ({"registration": replace(AT_WORK, online=False)}, False),
            ({"hf_job": RUNNING}, False),
            ({"unanswered": False}, False),
        ],
    )
    def test_is_unconfirmed_until_something_of_it_shows(
        self, shows: dict[str, Any], unconfirmed: bool
    ) -> None:
        assert replace(self.lost, **shows).unconfirmed is unconfirmed


def test_a_sighting_of_nothing_new_makes_no_new_track() -> None:
    sighting = Sighting(registration=ONLINE, hf_job=RUNNING)
    once = NEW.advance(sighting, NOW)
    assert once.advance(sighting, NOW + 5) is once


def test_what_our_own_actions_led_to_stays() -> None:
    ours: dict[str, Any] = {
        "unproven_end": "t4-small",
        "asked_to_end": True,
        "deregistered": True,
        "retry_at": NOW + 30,
        "refusals": 2,
    }
    found = replace(KNOWN, **ours).advance(Sighting(registration=ONLINE, hf_job=RUNNING), NOW)
    assert found.phase is Phase.FINISHED
    assert {name: getattr(found, name) for name in ours} == ours


@pytest.mark.parametrize(
    ("track", "had"),
    [
        (WAS_ONLINE, False),
        (HAD_A_JOB, True),
        (replace(WAS_ONLINE, phase=Phase.BUSY), True),
        (replace(WAS_ONLINE, phase=Phase.LOST), True),
        (replace(WAS_ONLINE, phase=Phase.FINISHED), False),
        (replace(WAS_ONLINE, phase=Phase.FINISHED, taken_at=THEN), False),
        (replace(WAS_ONLINE, phase=Phase.FINISHED, taken_at=THEN - 1), True),
    ],
)
def test_a_runner_that_went_offline_without_having_been_busy_may_never_have_had_a_job(
    track: Track, had: bool
) -> None:
    assert track.had_a_job is had
