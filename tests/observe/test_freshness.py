"""When the watch of RunnerPools is called stale, and lists failing."""

from __future__ import annotations

from controller.observe.freshness import SILENT_FOR, UNREAD_FOR, Freshness
from hf_runner_simulators.clock import ManualClock


def test_a_watch_that_is_silent_because_nothing_happens_is_fresh() -> None:
    clock = ManualClock()
    freshness = Freshness(clock=clock)
    for _ in range(100):
        clock.advance(300)
        freshness.compared(0)
    assert freshness.stale() is None
    assert freshness.unread() is None


def test_a_watch_that_kept_silent_about_a_change_is_stale_unless_it_tells_of_it_soon() -> None:
    clock = ManualClock()
    freshness = Freshness(clock=clock)
    clock.advance(300)
    freshness.compared(1)
    assert freshness.stale() is None
    clock.advance(SILENT_FOR + 1)
    assert "stale" in (freshness.stale() or "")
    clock.advance(300)
    freshness.compared(0)  # the list has told it, but the watch is as dead as before
    assert freshness.stale() is not None
    freshness.message_came()
    assert freshness.stale() is None


def test_a_watch_that_has_told_something_since_the_last_list_merely_raced_with_this_one() -> None:
    clock = ManualClock()
    freshness = Freshness(clock=clock)
    clock.advance(200)
    freshness.message_came()
    clock.advance(100)
    freshness.compared(1)
    clock.advance(SILENT_FOR + 1)
    assert freshness.stale() is None


def test_lists_that_fail_are_a_problem_after_a_while_and_never_a_reason_to_restart() -> None:
    clock = ManualClock()
    freshness = Freshness(clock=clock)
    freshness.not_compared("503")
    assert freshness.unread() is None
    clock.advance(UNREAD_FOR + 1)
    freshness.not_compared("KubernetesUnavailable: 503")
    assert freshness.unread() == "RunnerPools could not be listed for 61 s: KubernetesUnavailable: 503"
    assert freshness.stale() is None
    freshness.compared(0)
    assert freshness.unread() is None
