"""What may be ended at hosts to which no credentials may be sent any more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.core.drained import LONGEST
from controller.core.endings import NO_ENDINGS, endings
from controller.core.hosts import DEFAULT_HOSTS
from controller.core.model import Footprint, Pool, RegistrationScope
from tests.core.build import ACCOUNT, SOURCE, pool

BEGAN = 1_800_000_000.0
GONE_GITHUB = replace(SOURCE, api_url="https://ghe.example/api/v3")
GONE_HUB = replace(ACCOUNT, endpoint="https://hub.example")


def refused(made: Pool) -> Pool:
    return replace(made, refused=DEFAULT_HOSTS.refuses_pool(made))


def launched(made: Pool, ends_by: float = BEGAN + 3_600.0) -> Pool:
    """A pool whose status tells of launches where its spec says."""
    return refused(replace(made, ends_by=((made.footprint.place, ends_by),)))


@pytest.mark.parametrize(
    ("made", "sources", "accounts"),
    [
        (pool(), set(), set()),
        (pool(source=GONE_GITHUB), {GONE_GITHUB}, set()),
        (pool(hub=GONE_HUB), set(), {GONE_HUB}),
        (pool(source=GONE_GITHUB, hub=GONE_HUB), {GONE_GITHUB}, {GONE_HUB}),
    ],
)
def test_the_credentials_of_places_where_something_was_launched_may_end_it(
    made: Pool, sources: set[object], accounts: set[object]
) -> None:
    found = endings([launched(made)], DEFAULT_HOSTS, began=BEGAN, wall=BEGAN)
    assert (found.sources, found.accounts) == (sources, accounts)


def test_where_nothing_was_launched_nothing_may_be_asked() -> None:
    made = refused(pool(source=GONE_GITHUB, hub=GONE_HUB))
    assert made.footprints == ()
    assert endings([made], DEFAULT_HOSTS, began=BEGAN, wall=BEGAN) == NO_ENDINGS


def test_a_former_place_counts_with_the_credentials_of_then() -> None:
    former = Footprint(RegistrationScope(GONE_GITHUB, pool().scope), ACCOUNT)
    made = refused(pool(former=(former,), ends_by=((former.place, BEGAN + 60.0),)))
    assert made.refused is None
    assert endings([made], DEFAULT_HOSTS, began=BEGAN, wall=BEGAN).sources == {GONE_GITHUB}
    assert endings([made], DEFAULT_HOSTS, began=BEGAN, wall=BEGAN + 61.0) == NO_ENDINGS


def test_nothing_may_be_asked_for_longer_than_a_launch_can_last_whatever_a_status_says() -> None:
    made = launched(pool(source=GONE_GITHUB), ends_by=BEGAN + 10 * LONGEST)
    assert endings([made], DEFAULT_HOSTS, began=BEGAN, wall=BEGAN + LONGEST).sources
    assert endings([made], DEFAULT_HOSTS, began=BEGAN, wall=BEGAN + LONGEST + 1.0) == NO_ENDINGS
