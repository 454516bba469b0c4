"""A RunnerPool's life with the operator: applied, served, edited."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.operator.cluster import Namespace, condition, count, until
from tests.operator.process import OperatorProcess, command

MISTYPED = "https://[:1]/acme/lib"
"""An address that the API server takes, and that names no host."""

pytestmark = [
    pytest.mark.controlplane,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.usefixtures("operator"),
]


async def test_an_applied_pool_becomes_ready(namespace: Namespace) -> None:
    applied = await namespace.apply()
    assert applied["status"]["observedGeneration"] == -1

    ready = await namespace.until_ready()

    pool = await namespace.pool()
    assert pool is not None
    assert ready["observedGeneration"] == pool["status"]["observedGeneration"] == 1
    assert all(known["observedGeneration"] == 1 for known in pool["status"]["conditions"])
    assert pool["metadata"]["finalizers"] == ["hfrunners.dev/drain"]
    assert "annotations" not in pool["metadata"]


async def test_a_queued_job_is_served_and_nothing_is_left(namespace: Namespace) -> None:
    account = namespace.account
    (job,) = account.queue()
    await namespace.apply(deadlines={"idle": "10s"})

    busy = await namespace.until(lambda pool: count(pool, "busy") == 1, "busy")
    (runner,) = busy["status"]["runners"]
    assert (runner["phase"], runner["flavor"]) == ("Busy", "t4-small")
    assert account.live_hf_jobs() == {runner["hfJobId"]: runner["name"]}
    assert str(job) in runner["workflowJobUrl"]

    account.finish(job)
    await until(lambda: account.nothing_left, "nothing left")
    assert account.succeeded(job)


async def test_kubectl_get_shows_flavors_queue_and_state(namespace: Namespace) -> None:
    namespace.account.queue("gpu")
    namespace.account.queue("no-such-label")
    await namespace.apply(flavors=["t4-small", "t4-medium"], maxRunners=3, paused=True)
    await namespace.until_ready()

    (row,) = await namespace.table()

    shown = {
        name: row[name] for name in ("Name", "Flavors", "Queued", "Starting", "Idle", "Busy", "Max", "Ready")
    }
    assert shown == {
        "Name": "gpu",
        "Flavors": "t4-small,t4-medium",
        "Queued": 1,
        "Starting": 0,
        "Idle": 0,
        "Busy": 0,
        "Max": 3,
        "Ready": "True",
    }
    assert row["_wide"] >= {"Reason", "GitHub URL"}
    assert row["GitHub URL"] == namespace.account.url
    assert row["Reason"] == "Paused"


@pytest.mark.parametrize(
    ("url", "reason", "says"),
    [
        (MISTYPED, "InvalidSpec", "spec.github.url"),
        ("https://ghes.internal/acme/lib", "HostNotAllowed", "--github-host ghes.internal"),
    ],
)
async def test_a_mistake_that_only_the_operator_sees_is_told_and_can_be_mended(
    namespace: Namespace, url: str, reason: str, says: str
) -> None:
    await namespace.apply(github={"url": url})

    refused = await namespace.until_condition("Ready", "False", reason)
    assert says in refused["message"]
    await namespace.until_condition("Stalled", "True", reason)

    await namespace.apply()
    await namespace.until_ready()
    await namespace.until_condition("Stalled", "False")


@pytest.mark.parametrize(
    ("url", "reason"), [(MISTYPED, "InvalidSpec"), ("https://ghes.internal/acme/lib", "HostNotAllowed")]
)
async def test_a_pool_that_was_never_followed_can_be_deleted(
    namespace: Namespace, url: str, reason: str
) -> None:
    await namespace.apply(github={"url": url})
    await namespace.until_condition("Ready", "False", reason)

    await namespace.delete()

    await namespace.until_gone()


async def test_a_pool_that_turns_invalid_goes_on_serving_what_it_was(namespace: Namespace) -> None:
    account = namespace.account
    await namespace.apply()
    await namespace.until_ready()
    await namespace.apply(github={"url": MISTYPED})
    await namespace.until_condition("Ready", "False", "InvalidSpec")

    (job,) = account.queue()
    await until(account.live_hf_jobs, "a runner for the job")

    account.finish(job)
    await namespace.delete()
    await namespace.until_gone()
    assert account.nothing_left


async def test_an_unknown_flavor_names_the_nearest(namespace: Namespace) -> None:
    namespace.account.queue()
    await namespace.apply(flavors=["t4-smal"])

    refused = await namespace.until_condition("Ready", "False", "UnknownFlavor")

    assert "'t4-smal' is not offered, did you mean t4-small" in refused["message"]
    assert namespace.account.hf_jobs() == 0


async def test_overlapping_pools_say_so_in_both_statuses(namespace: Namespace) -> None:
    await namespace.apply("cheap")
    await namespace.apply("dear", flavors=["a10g-small"])

    # Until prices are known, the older pool goes first.
    expected = {
        "cheap": f"jobs that ask for gpu go to this pool rather than to {namespace.name}/dear",
        "dear": f"jobs that ask for gpu go to {namespace.name}/cheap rather than to this pool",
    }

    def says(words: str) -> Callable[[Mapping[str, Any]], bool]:
        return lambda pool: words in str(condition(pool, "LabelsDistinct").get("message"))

    for name, words in expected.items():
        found = await namespace.until(says(words), words, name)
        assert condition(found, "LabelsDistinct")["status"] == "False"
        assert condition(found, "LabelsDistinct")["reason"] == "LabelsOverlap"
        await namespace.until_ready(name)


async def test_an_edit_leaves_busy_runners_alone_and_replaces_idle_ones(namespace: Namespace) -> None:
    account = namespace.account
    (job,) = account.queue()
    await namespace.apply(minIdle=1, maxRunners=3)
    await until(lambda: account.runs(job) and len(account.live_hf_jobs()) == 2, "one busy, one idle")
    busy = account.jobs()[job]["runner_name"]
    (idle,) = set(account.live_hf_jobs().values()) - {busy}

    await namespace.apply(minIdle=1, maxRunners=3, env={"EDITED": "yes"})

    def replaced() -> bool:
        live = account.live_hf_jobs().values()
        return idle not in live and len(live) == 2

    await until(replaced, "the idle runner replaced")
    assert busy in account.live_hf_jobs().values()
    account.finish(job)
    await until(lambda: account.succeeded(job), "the job ended well")


async def test_a_pool_that_moves_serves_the_new_repository_and_leaves_nothing_in_the_old(
    namespace: Namespace,
) -> None:
    account = namespace.account
    moved_to = f"{account.owner}/other"
    account.cloud.github.accounts.add_repository(moved_to)
    (old,) = account.queue()
    await namespace.apply()
    await until(lambda: account.runs(old), "busy")

    (new,) = account.queue(repository=moved_to)
    await namespace.apply(github={"url": f"{account.cloud.github_url}/{moved_to}"})

    await until(lambda: account.runs(new), "the new repository is served")
    assert account.runs(old)
    account.finish(old, new)
    await until(lambda: account.nothing_left, "nothing left in either")
    assert account.succeeded(old, new)


async def test_events_tell_of_transitions_only_and_repeats_are_counted(namespace: Namespace) -> None:
    await namespace.apply(flavors=["t4-smal"])
    await namespace.until_condition("Ready", "False", "UnknownFlavor")
    for _ in range(2):
        await namespace.apply()
        await namespace.until_ready()
        await namespace.apply(flavors=["t4-smal"])
        await namespace.until_condition("Ready", "False", "UnknownFlavor")

    async def told() -> list[tuple[str, str, int]]:
        found = await namespace.events("gpu")
        return sorted((e["reason"], e["type"], e.get("series", {}).get("count", 1)) for e in found)

    expected = [("Serving", "Normal", 2), ("UnknownFlavor", "Warning", 3)]

    seen: list[tuple[str, str, int]] = []

    async def all_told() -> bool:
        seen[:] = await told()
        return seen == expected

    try:
        await until(all_told, "two Events, counted up")
    except AssertionError as error:
        raise AssertionError(f"what was told: {seen}") from error
    await namespace.apply(flavors=["t4-smal"], maxRunners=3)
    await namespace.until_condition("Ready", "False", "UnknownFlavor")
    assert await told() == expected, "nothing has changed for who reads Events"
    pool = await namespace.pool()
    assert pool is not None
    assert {event["regarding"]["uid"] for event in await namespace.events("gpu")} == {pool["metadata"]["uid"]}


async def test_probes_and_metrics_answer(namespace: Namespace, operator: OperatorProcess) -> None:
    namespace.account.queue("no-such-label")
    await namespace.apply()
    await namespace.until_ready()

    assert await operator.get("/livez") == (200, "ok\n")
    assert await operator.get("/readyz") == (200, "ok\n")
    status, metrics = await operator.get("/metrics")
    waits = {
        (sample.labels["reason"], sample.value)
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == "hfrunners_queue_jobs" and sample.labels["namespace"] == namespace.name
    }
    assert (status, waits) == (200, {("NoMatchingPool", 1.0), ("RunnerStarting", 0.0)})
    assert "\nhfrunners_leader 1.0\n" in metrics

    status, plan = await operator.get("/debug/plan")
    assert status == 200
    shown = next(
        one for one in json.loads(plan)["pools"] if one["pool"]["name"].startswith(f"{namespace.name}/")
    )
    assert shown["demand"]["unmatched"]["count"] == 1
    assert [one["reason"] for one in shown["waiting"]] == ["NoMatchingPool"]
    assert namespace.account.hf_token not in plan


# ---------------------------------------------------------------------------------------------------- deleted
async def test_a_deleted_pool_ends_its_idle_runners_and_waits_for_its_running_job_and_says_so(
    namespace: Namespace,
) -> None:
    account = namespace.account
    (job,) = account.queue()
    await namespace.apply(minIdle=1)
    await until(lambda: account.runs(job), "the job runs")
    await until(lambda: len(account.live_hf_jobs()) == 2, "an idle runner beside it")

    await namespace.delete()

    await until(lambda: len(account.live_hf_jobs()) == 1, "the idle runner has ended")

    def waits(pool: dict[str, object]) -> bool:
        return "1 running workflow job is waited for" in str(condition(pool, "Reconciling").get("message"))

    draining = await namespace.until(waits, "it says that it waits")
    assert condition(draining, "Ready")["reason"] == "Draining"
    assert draining["metadata"]["finalizers"] == ["hfrunners.dev/drain"]
    assert account.runs(job)

    account.finish(job)
    await namespace.until_gone()
    assert account.nothing_left
    assert account.succeeded(job)


async def test_a_drained_pool_keeps_its_place_but_nothing_else_and_can_be_deleted_by_anybody(
    namespace: Namespace, control_plane: Path
) -> None:
    account = namespace.account
    (job,) = account.queue()
    await namespace.apply(minIdle=1)
    await until(lambda: account.runs(job), "the job runs")
    await until(lambda: len(account.live_hf_jobs()) == 2, "an idle runner beside it")

    too_short = await command(control_plane, "drain", "--namespace", namespace.name, "--timeout", "5s")
    assert too_short.code == 1
    assert "1 busy" in too_short.errors
    assert account.runs(job)

    draining = asyncio.create_task(
        command(control_plane, "drain", "--namespace", namespace.name, "--timeout", "2m")
    )
    account.finish(job)
    done = await draining
    assert (done.code, done.output.splitlines()[-1:]) == (0, ["nothing is left"])
    assert account.nothing_left
    assert account.succeeded(job)
    pool = await namespace.pool()
    assert pool is not None
    assert "finalizers" not in pool["metadata"]
    assert condition(pool, "Ready")["reason"] == "Drained"


async def test_a_pool_without_its_secrets_can_be_deleted(namespace: Namespace) -> None:
    await namespace.delete_secret("hf")
    await namespace.apply()
    await namespace.until_condition("Ready", "False", "SecretMissing")

    await namespace.delete()

    await namespace.until_gone()


async def test_a_pool_made_again_under_the_same_name_starts_afresh(namespace: Namespace) -> None:
    account = namespace.account
    await namespace.apply(flavors=["t4-smal"])
    await namespace.until_condition("Ready", "False", "UnknownFlavor")
    await namespace.delete()
    await namespace.until_gone()

    (job,) = account.queue()
    await namespace.apply()
    await until(lambda: account.runs(job), "the new pool serves")
    await namespace.until_ready()
