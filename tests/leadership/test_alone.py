"""A process without an election takes it for granted that it is alone, until a pool proves the opposite."""

from __future__ import annotations

import asyncio

import pytest

from controller.adapters.kube.election import LeadershipLost
from controller.app.term import PresumedAlone, Term


async def test_it_leads_until_it_finds_somebody_else_and_then_ends_with_the_reason() -> None:
    alone = PresumedAlone("pod_1")
    kept = asyncio.create_task(alone.renew_until_lost())
    await asyncio.sleep(0)
    assert alone.holds()
    assert not kept.done()
    alone.lose("ci/t4 was written by pod_2")
    alone.lose("something later")
    assert not alone.holds()
    with pytest.raises(LeadershipLost, match="pod_2"):
        await kept


async def test_each_process_is_somebody_else_and_has_no_lease_to_count_from() -> None:
    terms = [Term(), Term()]
    identities = {term.leadership.identity for term in terms}
    assert len(identities) == 2
    assert [term.leadership.transitions for term in terms] == [0, 0]
    for term in terms:
        await term.end()
