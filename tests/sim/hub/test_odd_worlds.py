"""Worlds beside the usual one: what a client of the Hub sees with a knob turned, and without."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from huggingface_hub.errors import HfHubHTTPError

from hf_runner_simulators.hub.errors import HubError
from hf_runner_simulators.hub.flavors import FLAVORS
from hf_runner_simulators.hub.machines import Outcome
from tests.sim.hub.conftest import TOKEN
from tests.sim.hub.lab import READER, Lab
from tests.sim.hub.lab import TOKEN as WRITER
from tests.sim.hub.test_hub_routes import Client, play

if TYPE_CHECKING:
    from tests.sim.hub.conftest import ServedHub

SPEC: dict[str, Any] = {
    "dockerImage": "ubuntu",
    "command": ["run"],
    "flavor": "cpu-basic",
    "environment": {"POOL": "gpu"},
    "secrets": {"JIT": "s"},
    "labels": {"runner": "r1", "managed-by": "us"},
}


def others(lab: Lab) -> list[Any]:
    """What an inspect shows of every job that is a copy."""
    jobs = [job for job in lab.world.platform.jobs.values() if job.copy_of is not None]
    return [lab.shown(job) for job in jobs]


# -- copies
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_somebody_may_duplicate_a_running_job(share: float) -> None:
    lab = Lab(duplicates=share, copy_after_seconds=20.0)
    job = lab.start(**SPEC)
    lab.after(54)
    assert others(lab) == []
    lab.after(300)
    copies = others(lab)
    assert len(copies) == share
    for copy in copies:
        original = lab.shown(job)
        for same in ("labels", "environment", "command", "secrets", "flavor", "dockerImage"):
            assert copy[same] == original[same], same
        assert copy["createdBy"]["name"] != original["createdBy"]["name"]
        assert copy["initiator"] == {"type": "duplicated-job", "id": job.id}
        assert lab.listed(labels=[("runner", "r1")]) == [copy["id"], job.id]
    assert {line["copyOf"] for line in lab.world.report()["jobs"]} == ({None, job.id} if share else {None})


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_copy_by_hand_differs_in_its_creator_alone(share: float) -> None:
    lab = Lab(copies=share)
    job = lab.start(**SPEC)
    lab.after(300)
    assert len(others(lab)) == share
    for copy in others(lab):
        assert copy["labels"] == lab.shown(job)["labels"]
        assert copy["createdBy"]["name"] != "bot"
        assert copy["initiator"]["type"] == "user"
        assert copy["initiator"]["id"] == copy["createdBy"]["id"]


def test_a_job_that_ended_in_time_is_not_copied_and_nobody_copies_without_credit() -> None:
    lab = Lab(duplicates=1.0, copies=1.0)
    lab.start(Outcome(seconds=10))
    lab.after(300)
    assert others(lab) == []
    lab = Lab(duplicates=1.0, exhausted_credit_cancels=False, dollars=0.0001)
    lab.start(flavor="h200")
    lab.after(300)
    assert others(lab) == []


def test_some_jobs_are_copied_and_the_same_ones_each_time() -> None:
    def copied() -> list[str | None]:
        lab = Lab(duplicates=0.5)
        for _ in range(30):
            lab.start()
        lab.after(200)
        return [line["copyOf"] for line in lab.world.report()["jobs"]]

    first = copied()
    assert 5 < len([one for one in first if one]) < 25
    assert copied() == first


# -- cancels, stages
# ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [1.5, 60.0])
def test_a_cancel_takes_its_time(seconds: float) -> None:
    lab = Lab(cancel_seconds=seconds)
    job = lab.start()
    lab.after(100)
    lab.world.cancel(WRITER, "acme", job.id)
    lab.after(100 + seconds - 0.5)
    assert lab.stage(job) == "RUNNING"
    lab.after(100 + seconds)
    assert lab.stage(job) == "CANCELED"


@pytest.mark.parametrize("word", ["", "STOPPED"])
def test_a_job_may_end_in_a_stage_that_nobody_knows(word: str) -> None:
    lab = Lab(new_stage=word)
    done, failed, cancelled = (
        lab.start(Outcome(seconds=5)),
        lab.start(Outcome(seconds=5, code=3)),
        lab.start(),
    )
    lab.after(60)
    lab.world.cancel(WRITER, "acme", cancelled.id)
    lab.after(120)
    assert [lab.stage(job) for job in (done, failed, cancelled)] == [
        word or "COMPLETED",
        word or "ERROR",
        "CANCELED",
    ]
    for job in (done, failed):
        assert lab.shown(job)["finishedAt"]
    assert (lab.shown(failed)["status"]["message"] is None) == bool(word)
    assert lab.listed(stages=["COMPLETED", "ERROR"]) == ([] if word else [failed.id, done.id])
    assert len(lab.listed()) == 3


# -- hardware
# -----------------------------------------------------------------------------------------------------------


def test_the_list_of_hardware_may_fail_now_and_then_or_always() -> None:
    def failures(share: float) -> int:
        lab, failed = Lab(hardware_fails=share), 0
        for _ in range(40):
            try:
                lab.world.hardware()
            except HubError as error:
                failed += error.status == 503
        return failed

    assert failures(0.0) == 0
    assert 8 < failures(0.5) < 32
    assert failures(1.0) == 40


def test_the_real_client_sees_no_hardware_where_there_is_none(hub: ServedHub) -> None:
    hub.sim("knobs", {"hardware_fails": 1.0})
    with pytest.raises(HfHubHTTPError, match="503"):
        hub.api.list_jobs_hardware()


@pytest.mark.parametrize("seconds", [0.0, 20.0, 90.0])
def test_the_list_of_hardware_may_come_late(seconds: float) -> None:
    async def scenario(client: Client) -> None:
        await client.answer("POST", "/_sim/knobs", json={"hardware_seconds": seconds})
        loop = asyncio.get_running_loop()
        began = loop.time()
        if seconds > 60:  # the client's patience
            with pytest.raises(httpx2.ReadTimeout):
                await client.answer("GET", "/api/jobs/hardware")
            return
        assert len(await client.answer("GET", "/api/jobs/hardware")) == len(FLAVORS)
        assert loop.time() - began == seconds

    play(scenario)


@pytest.mark.parametrize(
    ("prices", "micro", "dollars", "unit"),
    [
        ("usd", 6_667, 0.006667, "minute"),
        ("null", None, None, "minute"),
        ("text", "6667", "$0.006667", "minute"),
        ("per-hour", 400_000, 0.4, "hour"),
    ],
)
def test_prices_may_be_missing_or_told_otherwise(
    hub: ServedHub, prices: str, micro: object, dollars: object, unit: str
) -> None:
    hub.sim("knobs", {"hardware_prices": prices})
    rows = hub.http.get("/api/jobs/hardware").json()
    row = next(row for row in rows if row["name"] == "t4-small")
    assert (row["unitCostMicroUSD"], row["unitCostUSD"], row["unitLabel"]) == (micro, dollars, unit)
    assert next(one for one in hub.api.list_jobs_hardware() if one.name == "t4-small").unit_label == unit


# -- odd words
# ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_words_may_be_odd_while_ids_stages_and_times_stay_true(hub: ServedHub, share: float) -> None:
    hub.sim("knobs", {"odd_words": share, "page_size": 1})
    hub.api.run_job(
        image="ubuntu", command=["work", "0", "3"], namespace="acme", labels={"runner": "r1"}, name="n1"
    )
    made = hub.http.post(
        "/api/jobs/acme",
        json={"dockerImage": "ubuntu", "command": ["work", "0", "7"], "flavor": "cpu-basic"},
    ).json()
    ended = hub.api.wait_for_job(made["id"], namespace="acme", timeout=150, poll_interval=0.05)
    assert ended.status.stage == "ERROR"
    answer = hub.http.get(f"/api/jobs/acme/{made['id']}")
    shown = json.loads(answer.text)
    assert (len(shown["status"]["message"]) > 5_000) == bool(share)
    assert ("1e400" in answer.text) == bool(share)
    assert ("labels" in shown) == bool(share)
    assert shown.get("labels") is None
    assert shown["createdAt"] == made["createdAt"]
    page = hub.http.get("/api/jobs/acme")
    assert ("elsewhere.example" in page.headers["Link"]) == bool(share)
    (other,) = hub.http.get("/api/jobs/acme", params={"label": "runner=r1"}).json()
    assert other["labels"] == {"runner": "r1", "name": "n1"}


# -- several tenants
# ----------------------------------------------------------------------------------------------------


def test_several_tokens_see_one_namespace_each_as_far_as_its_rights_go() -> None:
    lab = Lab()
    lab.world.setup(
        {
            "tokens": {
                "hf_other": {"user": "ann", "namespaces": {"acme": "write"}},
                "hf_beta": {"user": "ann", "namespaces": {"beta": "write"}},
            }
        }
    )
    job = lab.start(labels={"runner": "r1"})
    spec = {"dockerImage": "ubuntu", "flavor": "cpu-basic"}
    hers = lab.world.create("hf_other", "acme", spec)
    for token in (WRITER, "hf_other", READER):
        assert [row["id"] for row in lab.world.list_jobs(token, "acme").jobs] == [hers.id, job.id]
    assert [lab.shown(one)["createdBy"]["name"] for one in (job, hers)] == ["bot", "ann"]
    assert lab.shown(hers)["initiator"]["avatarUrl"].startswith("https://hub.example/avatars/")
    lab.world.cancel("hf_other", "acme", job.id)
    for token, namespace in ((READER, "acme"), ("hf_beta", "acme"), (WRITER, "beta")):
        with pytest.raises(HubError) as refused:
            lab.world.create(token, namespace, spec)
        assert refused.value.status == 403
    with pytest.raises(HubError):
        lab.world.list_jobs("hf_beta", "acme")


def test_each_token_has_a_request_quota_of_its_own() -> None:
    lab = Lab(rate_limits={"anonymous": 9, "free": 2, "pro": 9, "team": 9, "enterprise": 9})
    for expected in (1, 0):
        assert lab.world.charge(WRITER).remaining == expected
    assert lab.world.charge(WRITER).exceeded
    assert lab.world.charge(READER).remaining == 1


def test_the_real_client_sees_who_made_a_job(hub: ServedHub) -> None:
    hub.sim("setup", {"tokens": {"hf_ann": {"user": "ann", "namespaces": {"acme": "write"}}}})
    mine = hub.api.run_job(image="ubuntu", command=["run"], namespace="acme", token=TOKEN)
    hers = hub.api.run_job(image="ubuntu", command=["run"], namespace="acme", token="hf_ann")
    seen = {job.id: job.initiator.name for job in hub.api.list_jobs(namespace="acme") if job.initiator}
    assert seen == {mine.id: "bot", hers.id: "ann"}
