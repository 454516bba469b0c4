"""What the adapter sends, and how it reads lists, jobs and hardware."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from controller.adapters.huggingface.errors import HubError
from controller.adapters.huggingface.flavors import HubHardware
from controller.adapters.huggingface.jobs import MOST_PAGES, HubJobs, job_spec
from controller.core.model import Stage, Volume
from controller.core.reasons import Reason
from controller.ports import LaunchSpec
from tests.adapters.huggingface.scripted import TOKEN, Reply, ScriptedHub, job, raw, reply

OURS = {"managed-by": "us"}
SPEC = LaunchSpec(
    image="ghcr.io/acme/runner@sha256:0123",
    command=("/bin/sh", "-c", "run"),
    flavor="t4-small",
    labels={"managed-by": "us", "runner": "r1", "name": "r1"},
    environment={"POOL": "gpu"},
    secrets={"JIT": "c2VjcmV0"},
    timeout=21_600,
    volumes=(
        Volume(type="bucket", source="acme/cache", mount_path="/cache", read_only=False),
        Volume(type="model", source="acme/m", mount_path="/m", revision="main", path="sub"),
    ),
    ssh=True,
)


def page(entries: list[Any], next_url: str | None = None, **headers: Any) -> Reply:
    link: dict[str, Any] = {"Link": f'<{next_url}>; rel="next"'} if next_url else {}
    return reply(entries, **link, **headers)


# ----------------------------------------------------------------------------------------------------- launch
async def test_a_launch_sends_exactly_the_documented_specification(hub: ScriptedHub, jobs: HubJobs) -> None:
    hub.answer(reply(job(stage="SCHEDULING", timeout=21600, createdBy={"id": "u", "name": "bot"})))
    launched = await jobs.launch(SPEC)
    request = hub.requests[0]
    assert (request.method, str(request.url)) == ("POST", "https://hub.example/api/jobs/acme")
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert hub.body() == {
        "dockerImage": "ghcr.io/acme/runner@sha256:0123",
        "command": ["/bin/sh", "-c", "run"],
        "arguments": [],
        "environment": {"POOL": "gpu"},
        "secrets": {"JIT": "c2VjcmV0"},
        "flavor": "t4-small",
        "timeoutSeconds": 21600,
        "attempts": 1,
        "labels": {"managed-by": "us", "runner": "r1", "name": "r1"},
        "volumes": [
            {"type": "bucket", "source": "acme/cache", "mountPath": "/cache", "readOnly": False},
            {
                "type": "model",
                "source": "acme/m",
                "mountPath": "/m",
                "readOnly": True,
                "revision": "main",
                "path": "sub",
            },
        ],
        "ssh": {"enabled": True},
    }
    assert launched.stage is Stage.SCHEDULING
    assert launched.timeout == 21_600
    assert launched.creator == "bot"
    assert launched.url == "https://hub.example/jobs/acme/6920000000000000000000aa"


@pytest.mark.parametrize(
    "image",
    [
        "https://huggingface.co/spaces/acme/runner",
        "https://hf.co/spaces/acme/runner",
        "huggingface.co/spaces/acme/runner",
        "hf.co/spaces/acme/runner",
    ],
)
def test_the_address_of_a_space_becomes_its_id(image: str) -> None:
    spec = LaunchSpec(
        image=image, command=("x",), flavor="f", labels={}, environment={}, secrets={}, timeout=60
    )
    body = job_spec(spec)
    assert body["spaceId"] == "acme/runner"
    assert not {"dockerImage", "secrets", "volumes", "ssh"} & set(body)


# ------------------------------------------------------------------------------------------------------ lists
async def test_a_list_asks_for_live_stages_and_our_labels_and_follows_every_page(
    hub: ScriptedHub, jobs: HubJobs
) -> None:
    following = "https://internal.example/api/jobs/acme?stage=RUNNING&cursor=a%2Bb%3D"
    hub.answer(
        page([job("a")], following, Date="Sat, 21 Nov 2026 10:00:00 GMT"),
        page([job("b")], None, Date="Sat, 21 Nov 2026 10:00:09 GMT"),
    )
    asked_at = hub.clock.mono()
    observed = await jobs.live({"managed-by": "us", "runner": "r1"})
    assert str(hub.requests[0].url) == (
        "https://hub.example/api/jobs/acme?stage=SCHEDULING&stage=RUNNING&label=managed-by%3Dus&label=runner%3Dr1"
    )
    assert str(hub.requests[1].url) == "https://hub.example/api/jobs/acme?stage=RUNNING&cursor=a%2Bb%3D", (
        "the token goes to our endpoint alone, whatever the link says"
    )
    assert [j.id for j in observed.items] == ["a", "b"]
    assert observed.complete
    assert observed.asked_at == asked_at
    assert observed.server_time == 1_795_255_200.0, "the first answer's date"


async def test_a_list_without_a_date_falls_back_to_our_clock(hub: ScriptedHub, jobs: HubJobs) -> None:
    hub.answer(page([]))
    assert (await jobs.live(OURS)).server_time == hub.clock.wall()


async def test_a_failed_page_fails_the_list(hub: ScriptedHub, jobs: HubJobs) -> None:
    hub.answer(page([job("a")], "https://hub.example/api/jobs/acme?cursor=2"), reply(status=403))
    with pytest.raises(HubError):
        await jobs.live(OURS)


async def test_pages_that_go_round_in_circles_end(hub: ScriptedHub, jobs: HubJobs) -> None:
    hub.answer(page([job("a")], "https://hub.example/api/jobs/acme?cursor=again"))
    with pytest.raises(HubError, match="pages do not end"):
        await jobs.live(OURS)
    assert len(hub.requests) == 2


async def test_pages_without_end_end(hub: ScriptedHub, jobs: HubJobs) -> None:
    hub.answer(*(page([], f"https://hub.example/api/jobs/acme?cursor={n}") for n in range(MOST_PAGES + 5)))
    with pytest.raises(HubError, match="pages do not end"):
        await jobs.live(OURS)
    assert len(hub.requests) == MOST_PAGES


async def test_a_link_that_is_no_url_fails_the_list(hub: ScriptedHub, jobs: HubJobs) -> None:
    hub.answer(page([job("a")], "https://hub.example:port/?cursor=2"))
    with pytest.raises(HubError, match="link to the next page"):
        await jobs.live(OURS)


async def test_jobs_of_others_are_dropped_even_if_the_hub_lists_them(hub: ScriptedHub, jobs: HubJobs) -> None:
    others: list[Any] = [
        job("foreign", labels={"managed-by": "them"}),
        job("bare", labels={}),
        {"id": "no labels at all"},
        {"id": None, "labels": {"managed-by": "them"}},
    ]
    hub.answer(page([*others, job("ours")]))
    observed = await jobs.live(OURS)
    assert [j.id for j in observed.items] == ["ours"]
    assert observed.complete


async def test_a_job_on_two_pages_counts_once_with_its_newer_state(hub: ScriptedHub, jobs: HubJobs) -> None:
    hub.answer(
        page([job("a", "SCHEDULING")], "https://hub.example/api/jobs/acme?cursor=2"),
        page([job("a", "RUNNING")]),
    )
    observed = await jobs.live(OURS)
    assert [(j.id, j.stage) for j in observed.items] == [("a", Stage.RUNNING)]


async def test_ended_jobs_in_a_live_list_are_left_out(hub: ScriptedHub, jobs: HubJobs) -> None:
    hub.answer(page([job("a", "COMPLETED"), job("b", "RUNNING")]))
    assert [j.id for j in (await jobs.live(OURS)).items] == ["b"]


@pytest.mark.parametrize("stage", ["STARTING", None, 7, ["RUNNING"]])
async def test_an_unknown_stage_is_live_and_no_error(hub: ScriptedHub, jobs: HubJobs, stage: Any) -> None:
    hub.answer(page([job("a", stage)]))
    observed = await jobs.live(OURS)
    assert [j.stage for j in observed.items] == [Stage.UNKNOWN]
    assert observed.complete


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        (job("broken-one", createdAt="yesterday"), "broken-one"),
        (job("broken-one", labels="managed-by=us"), "broken-one"),
        ({"labels": OURS}, "no id"),
        ("text", "not an object"),
        (None, "not an object"),
    ],
)
async def test_one_unreadable_entry_makes_the_list_incomplete_and_is_named(
    hub: ScriptedHub, jobs: HubJobs, entry: Any, named: str
) -> None:
    hub.answer(page([entry, job("good")]))
    observed = await jobs.live(OURS)
    assert [j.id for j in observed.items] == ["good"]
    assert observed.failure is not None
    assert observed.failure.reason is Reason.HubMalformed
    assert named in observed.failure.message


@pytest.mark.parametrize("payload", [{}, {"error": "odd"}, None, "text"])
async def test_an_answer_that_is_no_list_is_not_an_empty_list(
    hub: ScriptedHub, jobs: HubJobs, payload: Any
) -> None:
    hub.answer(reply(payload))
    with pytest.raises(HubError) as caught:
        await jobs.live(OURS)
    assert caught.value.failure.reason is Reason.HubMalformed


async def test_a_job_is_read_in_full(hub: ScriptedHub, jobs: HubJobs) -> None:
    hub.answer(
        reply(
            job(
                "x",
                "CANCELED",
                status={"stage": "CANCELED", "message": "stopped", "cancelReason": "NO_CREDITS"},
                startedAt="2026-11-21T10:01:00Z",
                finishedAt="2026-11-21T10:03:00+00:00",
                timeout=3600,
                initiator={"id": "u", "name": "octo", "type": "user"},
            )
        )
    )
    found = await jobs.inspect("x")
    assert found is not None
    assert (found.stage, found.message, found.cancel_reason) == (Stage.CANCELED, "stopped", "NO_CREDITS")
    assert found.created_at == 1_795_255_200.5
    assert found.billed_seconds == 120
    assert (found.timeout, found.creator, found.flavor) == (3600, "octo", "t4-small")
    assert found.labels["runner"] == "r1"


async def test_a_missing_creation_time_is_taken_from_the_id(hub: ScriptedHub, jobs: HubJobs) -> None:
    entry = job("6920000000000000000000aa")
    del entry["createdAt"]
    hub.answer(page([entry]))
    assert (await jobs.live(OURS)).items[0].created_at == 0x69200000


@pytest.mark.parametrize(
    "labels", [None, {}, {"managed-by": None}, {"managed-by": "us\x1b"}, {"managed-by": ["us"]}]
)
async def test_a_job_without_our_labels_is_not_ours_however_they_are_missing(
    hub: ScriptedHub, jobs: HubJobs, labels: Any
) -> None:
    absent = job("absent")
    del absent["labels"]
    hub.answer(page([job("odd", labels=labels), absent, job("good")]))
    observed = await jobs.live(OURS)
    assert [j.id for j in observed.items] == ["good"]
    assert observed.complete


async def test_a_job_whose_labels_are_null_is_shown_to_who_asks_for_it(
    hub: ScriptedHub, jobs: HubJobs
) -> None:
    hub.answer(reply(job("x", labels=None)))
    found = await jobs.inspect("x")
    assert found is not None
    assert found.labels == {}


@pytest.mark.parametrize(
    ("initiator", "kind"),
    [
        ({"id": "u", "name": "octo", "type": "user"}, "user"),
        ({"id": "j", "type": "Duplicated-Job"}, "duplicated-job"),
        ({"type": ["x"]}, ""),
        ({"type": "x" * 100}, "x" * 63 + "…"),
        (None, ""),
    ],
)
async def test_what_started_a_job_is_told(hub: ScriptedHub, jobs: HubJobs, initiator: Any, kind: str) -> None:
    hub.answer(reply(job("x", initiator=initiator, createdBy={"id": "u", "name": "bot"})))
    found = await jobs.inspect("x")
    assert found is not None
    assert (found.initiator, found.creator) == (kind, "bot")


@pytest.mark.parametrize("job_id", ["", "..", "a/b", "x" * 65, "x\x1b", "é", 5, None])
async def test_an_id_that_fits_no_path_is_no_id(hub: ScriptedHub, jobs: HubJobs, job_id: Any) -> None:
    hub.answer(page([job(job_id), job("good")]))
    observed = await jobs.live(OURS)
    assert [j.id for j in observed.items] == ["good"]
    assert not observed.complete


@pytest.mark.parametrize("cursor", ["x" * 2_000, "a b\x1b"])
async def test_a_link_that_cannot_be_followed_is_not_the_end_of_the_list(
    hub: ScriptedHub, jobs: HubJobs, cursor: str
) -> None:
    hub.answer(page([job("a")], f"https://hub.example/api/jobs/acme?cursor={cursor}"))
    with pytest.raises(HubError, match="link to the next page"):
        await jobs.live(OURS)


# ------------------------------------------------------------------------------------------------------- find
async def test_a_launch_in_doubt_is_found_in_any_stage_newest_first(hub: ScriptedHub, jobs: HubJobs) -> None:
    hub.answer(
        page(
            [
                job("old", "ERROR", createdAt="2026-11-21T09:00:00Z"),
                job("new", "COMPLETED", createdAt="2026-11-21T10:00:00Z"),
                job("other", labels={"runner": "r2"}),
            ],
            Date="Sat, 21 Nov 2026 10:00:10 GMT",
        )
    )
    found = await jobs.find({"runner": "r1"})
    assert [j.id for j in found] == ["new", "old"]
    assert str(hub.requests[0].url) == "https://hub.example/api/jobs/acme?label=runner%3Dr1"


@pytest.mark.parametrize(("user", "foreign"), [("bot", False), ("somebody", True), (None, None)])
async def test_who_made_what_is_found_is_told(
    hub: ScriptedHub, jobs: HubJobs, user: str | None, foreign: bool | None
) -> None:
    made = job("a", "COMPLETED", createdBy={"id": "u", "name": "bot"})
    whose = reply({"name": user}) if user else reply({"error": "down"}, status=400)
    hub.answer(page([made]), whose)
    (found,) = await jobs.find({"runner": "r1"})
    assert found.foreign is foreign


async def test_only_the_last_label_is_asked_for_and_the_others_are_checked_here(
    hub: ScriptedHub, jobs: HubJobs
) -> None:
    foreign = job("foreign", labels={"managed-by": "them", "runner": "r1"})
    hub.answer(page([foreign, job("ours")]))
    assert [j.id for j in await jobs.find({"managed-by": "us", "runner": "r1"})] == ["ours"]
    assert str(hub.requests[0].url) == "https://hub.example/api/jobs/acme?label=runner%3Dr1"


async def test_a_search_is_as_long_as_its_pages_whatever_their_order(hub: ScriptedHub, jobs: HubJobs) -> None:
    hub.answer(
        page([job("old", createdAt="2020-01-01T00:00:00Z")], "https://hub.example/api/jobs/acme?cursor=2"),
        page([job("new")]),
    )
    assert [j.id for j in await jobs.find(OURS)] == ["new", "old"]


async def test_a_search_with_an_unreadable_entry_proves_nothing(hub: ScriptedHub, jobs: HubJobs) -> None:
    hub.answer(page([job("broken", createdAt=None)]))
    with pytest.raises(HubError, match="broken"):
        await jobs.find(OURS)


# ----------------------------------------------------------------------------------------- inspect and cancel
async def test_a_job_that_the_hub_forgot_is_none(hub: ScriptedHub, jobs: HubJobs) -> None:
    hub.answer(reply({"error": "Job not found"}, status=404))
    assert await jobs.inspect("gone") is None


async def test_an_id_cannot_leave_its_place_in_the_path(hub: ScriptedHub, jobs: HubJobs) -> None:
    hub.answer(reply(status=404))
    await jobs.inspect("../../whoami-v2?x=1")
    assert hub.requests[0].url.raw_path == b"/api/jobs/acme/..%2F..%2Fwhoami-v2%3Fx%3D1"


async def test_cancelling_is_one_post(hub: ScriptedHub, jobs: HubJobs) -> None:
    hub.answer(reply(job("x", "CANCELED")))
    await jobs.cancel("x")
    assert [(r.method, r.url.path) for r in hub.requests] == [("POST", "/api/jobs/acme/x/cancel")]


@pytest.mark.parametrize("status", [400, 409, 422])
@pytest.mark.parametrize(
    "now", [reply(job("x", "COMPLETED")), reply(job("x", "CANCELED")), reply(status=404)]
)
async def test_cancelling_what_has_ended_is_no_error_however_the_hub_refuses(
    hub: ScriptedHub, jobs: HubJobs, status: int, now: Reply
) -> None:
    hub.answer(reply({"error": "cannot"}, status=status), now)
    await jobs.cancel("x")
    assert [r.method for r in hub.requests] == ["POST", "GET"]


async def test_cancelling_what_is_unknown_is_no_error(hub: ScriptedHub, jobs: HubJobs) -> None:
    hub.answer(reply(status=404))
    await jobs.cancel("x")
    assert len(hub.requests) == 1


async def test_a_refusal_to_cancel_a_live_job_is_an_error(hub: ScriptedHub, jobs: HubJobs) -> None:
    hub.answer(reply({"error": "cannot"}, status=409), reply(job("x", "RUNNING")))
    with pytest.raises(HubError) as caught:
        await jobs.cancel("x")
    assert caught.value.failure.reason is Reason.HubRefused


@pytest.mark.parametrize("status", [401, 403, 429])
async def test_a_refusal_that_is_not_about_the_job_is_an_error_at_once(
    hub: ScriptedHub, jobs: HubJobs, status: int
) -> None:
    hub.answer(reply(status=status))
    with pytest.raises(HubError):
        await jobs.cancel("x")
    assert len(hub.requests) == 1


async def test_a_cancel_is_repeated_after_a_quick_failure(hub: ScriptedHub, jobs: HubJobs) -> None:
    hub.answer(reply(status=500), reply(job("x", "CANCELED")))
    await jobs.cancel("x")
    assert len(hub.requests) == 2


# --------------------------------------------------------------------------------------------------- hardware
T4 = {
    "name": "t4-small",
    "prettyName": "Nvidia T4 - small",
    "accelerator": {"type": "gpu", "model": "T4", "quantity": "1", "vram": "16 GB"},
    "unitCostMicroUSD": 6667,
    "unitCostUSD": 0.0067,
    "unitLabel": "minute",
}


async def test_hardware_is_listed_without_the_token(hub: ScriptedHub, hardware: HubHardware) -> None:
    cpu = {"name": "cpu-basic", "prettyName": "CPU Basic", "accelerator": None, "unitCostUSD": 0.000167}
    hub.answer(reply([cpu, T4]))
    observed = await hardware.flavors()
    assert "authorization" not in hub.requests[0].headers
    assert hub.requests[0].url.path == "/api/jobs/hardware"
    assert [(f.name, f.usd_per_minute, f.accelerator) for f in observed.items] == [
        ("cpu-basic", 0.000167, ""),
        ("t4-small", 0.0067, "T4"),
    ]
    assert observed.complete


@pytest.fixture
def somebody_elses_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.setenv(name, "hf_of_somebody_else")
    monkeypatch.setenv("HF_ENDPOINT", "https://elsewhere.example")


@pytest.mark.usefixtures("somebody_elses_environment")
async def test_the_controllers_own_environment_gives_a_pool_neither_a_token_nor_a_host(
    hub: ScriptedHub, jobs: HubJobs, hardware: HubHardware
) -> None:
    hub.answer(reply([T4]), reply([]))
    await hardware.flavors()
    await jobs.live({})
    assert [request.headers.get("authorization") for request in hub.requests] == [None, f"Bearer {TOKEN}"]
    assert {request.url.host for request in hub.requests} == {"hub.example"}


@pytest.mark.parametrize(("unit", "per_minute"), [("hour", 0.01), ("minute", 0.6), ("second", 36.0)])
async def test_prices_are_per_minute_whatever_the_unit(
    hub: ScriptedHub, hardware: HubHardware, unit: str, per_minute: float
) -> None:
    hub.answer(reply([{**T4, "unitCostUSD": 0.6, "unitLabel": unit}]))
    assert (await hardware.flavors()).items[0].usd_per_minute == pytest.approx(per_minute)


@pytest.mark.parametrize(
    "price",
    [
        {"unitCostUSD": None},
        {"unitCostUSD": "0.0067"},
        {"unitCostUSD": -1},
        {"unitCostUSD": True},
        {"unitCostUSD": 1e300},
        {"unitLabel": "fortnight"},
        {"unitLabel": ["minute"]},
    ],
)
async def test_hardware_without_a_clear_price_is_on_offer_at_an_unknown_price(
    hub: ScriptedHub, hardware: HubHardware, price: dict[str, Any]
) -> None:
    hub.answer(reply([{**T4, **price}]))
    observed = await hardware.flavors()
    assert [(f.name, f.usd_per_minute, f.accelerator) for f in observed.items] == [("t4-small", None, "T4")]
    assert observed.complete


@pytest.mark.parametrize(
    "entry", [{"prettyName": "odd"}, "odd", {**T4, "name": "x" * 64}, {**T4, "name": "x\x1b[2J"}]
)
async def test_hardware_without_a_name_makes_the_list_incomplete(
    hub: ScriptedHub, hardware: HubHardware, entry: Any
) -> None:
    hub.answer(reply([entry, T4]))
    observed = await hardware.flavors()
    assert [f.name for f in observed.items] == ["t4-small"]
    assert observed.failure is not None
    assert observed.failure.reason is Reason.HubMalformed


@pytest.mark.parametrize("answer", [reply([]), reply({}), reply([{"name": ""}]), raw(b"<html>")])
async def test_no_hardware_at_all_is_a_failure(
    hub: ScriptedHub, hardware: HubHardware, answer: Reply
) -> None:
    hub.answer(answer)
    with pytest.raises(HubError) as caught:
        await hardware.flavors()
    assert caught.value.failure.reason is Reason.HubMalformed


# ------------------------------------------------------------------------------------------------ environment
def test_importing_the_adapter_switches_telemetry_and_body_logging_off_and_loads_no_api_client() -> None:
    program = (
        "import sys; import controller.adapters.huggingface.jobs;"
        "from huggingface_hub import constants;"
        "assert constants.HF_HUB_DISABLE_TELEMETRY and not constants.HF_DEBUG;"
        "assert 'huggingface_hub.hf_api' not in sys.modules"
    )
    env = {**os.environ, "HF_DEBUG": "1", "HF_HUB_DISABLE_TELEMETRY": "0"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
