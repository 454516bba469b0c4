"""huggingface_hub's own client, unpatched, against the simulator on a socket."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from huggingface_hub import HfApi, JobHardware, JobInfo, Volume
from huggingface_hub.errors import BadRequestError, HfHubHTTPError, JobNotFoundError
from huggingface_hub.utils._http import parse_ratelimit_headers

from tests.sim.hub.conftest import TOKEN

if TYPE_CHECKING:
    from tests.sim.hub.conftest import ServedHub


def run(hub: ServedHub, *command: str, **options: Any) -> JobInfo:
    return hub.api.run_job(
        **{"image": "ubuntu:24.04", "command": list(command), "namespace": "acme", "timeout": "10m"} | options
    )


def ended(hub: ServedHub, job: JobInfo) -> JobInfo:
    return hub.api.wait_for_job(job.id, namespace="acme", timeout=150, poll_interval=0.05)


def test_a_job_is_started_with_everything_that_can_be_asked_for(hub: ServedHub) -> None:
    job = hub.api.run_job(
        image="ghcr.io/acme/runner:1",
        command=["/bin/sh", "-c", "run"],
        env={"POOL": "gpu"},
        secrets={"JIT": "c2VjcmV0"},
        flavor=JobHardware.T4_SMALL,
        timeout="1.5h",
        attempts=2,
        name="runner-1",
        labels={"managed-by": "us"},
        volumes=[Volume(type="bucket", source="acme/cache", mount_path="/cache")],
        expose=[8000],
        expose_public=[9000],
        ssh=True,
        network_group="train",
        network_aliases=["master"],
        namespace="acme",
    )
    assert job.url == f"{hub.origin}/jobs/acme/{job.id}"
    assert (job.docker_image, job.command, job.flavor) == (
        "ghcr.io/acme/runner:1",
        ["/bin/sh", "-c", "run"],
        "t4-small",
    )
    assert (job.environment, job.secrets) == ({"POOL": "gpu"}, ["JIT"])
    assert job.labels == {"managed-by": "us", "name": "runner-1"}
    assert (job.status.stage, job.status.message, job.retry) == ("SCHEDULING", None, 1)
    assert job.status.ssh_url == f"ssh://{job.id}@ssh.hf.jobs"
    assert job.status.expose_urls == [f"https://{job.id}--8000.hf.jobs", f"https://{job.id}--9000.hf.jobs"]
    assert (job.expose, job.expose_public) == ([8000, 9000], [9000])
    assert job.network is not None
    assert (job.network.group, job.network.aliases) == ("train", ["master"])
    assert job.volumes is not None
    assert job.volumes[0].mount_path == "/cache"
    assert (job.owner.name, job.owner.type) == ("acme", "org")
    assert job.initiator is not None
    assert (job.initiator.type, job.initiator.name) == ("user", "bot")
    assert job.created_at is not None
    assert int(job.id[:8], 16) == int(job.created_at.timestamp())
    assert (job.started_at, job.finished_at) == (None, None)
    assert job.durations is not None
    assert job.durations.scheduling_secs is None


def test_a_space_can_be_the_image(hub: ServedHub) -> None:
    job = run(hub, "true", image="hf.co/spaces/acme/tool")
    assert (job.space_id, job.docker_image) == ("acme/tool", None)


def test_the_name_that_the_client_makes_up_is_accepted(hub: ServedHub) -> None:
    job = run(hub, "true", image="pytorch/pytorch:2.6.0-cuda12.4-cudnn9-devel")
    assert job.labels is not None
    assert job.labels["name"].startswith("pytorch-2-6-0-cuda12-4")


def test_success_and_failure_are_told_apart(hub: ServedHub) -> None:
    good, bad = run(hub, "work", "0", "0"), run(hub, "work", "0", "3")
    done = ended(hub, good)
    assert (done.status.stage, done.status.message) == ("COMPLETED", None)
    assert done.started_at is not None
    assert done.finished_at is not None
    assert done.durations is not None
    assert done.durations.running_secs == 0
    failed = ended(hub, bad)
    assert failed.status.stage == "ERROR"
    assert failed.status.message == "Job failed with exit code: 3. Reason: Error"


def test_a_list_walks_over_three_pages_newest_first(hub: ServedHub) -> None:
    hub.sim("knobs", {"page_size": 3})
    started = [run(hub, "for-ever", str(n)).id for n in range(7)]
    assert [job.id for job in hub.api.list_jobs(namespace="acme", timeout=150)] == started[::-1]
    assert hub.report()["requests"]["routes"]["GET /api/jobs/{namespace}"] == {"200": 3}


def test_a_list_is_filtered_by_stage_and_by_all_its_labels(hub: ServedHub) -> None:
    cpu = run(hub, "for-ever", labels={"managed-by": "us", "pool": "cpu"})
    gpu = run(hub, "for-ever", labels={"managed-by": "us", "pool": "gpu"})
    other = run(hub, "work", "0", "0", labels={"pool": "gpu"})
    ended(hub, other)

    def listed(**filters: Any) -> list[str]:
        return [job.id for job in hub.api.list_jobs(namespace="acme", timeout=150, **filters)]

    assert listed(labels={"managed-by": "us"}) == [gpu.id, cpu.id]
    assert listed(labels={"managed-by": "us", "pool": "gpu"}) == [gpu.id]
    assert listed(status="COMPLETED") == [other.id]
    assert listed(status=["SCHEDULING", "RUNNING"]) == [gpu.id, cpu.id]
    assert listed(status=["RUNNING", "COMPLETED"], labels={"pool": "gpu"}) == [other.id, gpu.id]


def test_a_cancelled_job_ends_without_saying_when(hub: ServedHub) -> None:
    job = run(hub, "for-ever")
    hub.api.cancel_job(job_id=job.id, namespace="acme")
    gone = ended(hub, job)
    assert (gone.status.stage, gone.finished_at) == ("CANCELED", None)
    with pytest.raises(HfHubHTTPError, match="already finished") as refused:
        hub.api.cancel_job(job_id=job.id, namespace="acme")
    assert refused.value.response.status_code == 409


def test_labels_are_replaced(hub: ServedHub) -> None:
    job = run(hub, "for-ever", name="a")
    assert hub.api.update_job_labels(job_id=job.id, labels={"x": "1"}, namespace="acme").labels == {"x": "1"}
    assert hub.api.inspect_job(job_id=job.id, namespace="acme").labels == {"x": "1"}


def test_ports_are_opened_and_closed(hub: ServedHub) -> None:
    job = run(hub, "for-ever")
    opened = hub.api.update_job_expose(job_id=job.id, expose=[80], namespace="acme")
    assert opened.status.expose_urls == [f"https://{job.id}--80.hf.jobs"]
    closed = hub.api.update_job_expose(job_id=job.id, namespace="acme")
    assert not closed.status.expose_urls


def test_a_job_is_run_again_with_its_secrets(hub: ServedHub) -> None:
    job = run(hub, "for-ever", secrets={"JIT": "x"}, labels={"pool": "gpu"})
    again = hub.api.rerun_job(job_id=job.id, namespace="acme")
    assert again.id != job.id
    assert (again.labels, again.secrets, again.command) == (job.labels, ["JIT"], job.command)
    assert again.initiator is not None
    assert (again.initiator.type, again.initiator.id) == ("duplicated-job", job.id)


def test_the_log_of_a_finished_job_is_whole_or_its_tail(hub: ServedHub) -> None:
    job = run(hub, "work", "0", "0", "one", "two", "three")
    ended(hub, job)

    def lines(**options: Any) -> list[str]:
        return list(hub.api.fetch_job_logs(job_id=job.id, namespace="acme", **options))

    assert lines() == ["one", "two", "three", "===== Job finished: status=COMPLETED ====="]
    assert lines(tail=2) == ["three", "===== Job finished: status=COMPLETED ====="]
    assert lines(follow=True)[:3] == ["one", "two", "three"]


def test_a_log_is_followed_to_the_end_of_its_job(hub: ServedHub) -> None:
    job = run(hub, "work", "0.5", "0", "one", "two")
    followed = list(hub.api.fetch_job_logs(job_id=job.id, namespace="acme", follow=True))
    assert followed == ["one", "two", "===== Job finished: status=COMPLETED ====="]
    assert hub.api.inspect_job(job_id=job.id, namespace="acme").status.stage == "COMPLETED"


def test_the_log_of_a_running_job_is_read_without_following(hub: ServedHub) -> None:
    job = run(hub, "for-ever")
    hub.api.wait_for_job(job.id, namespace="acme", stages=["RUNNING"], timeout=150, poll_interval=0.05)  # type: ignore[list-item]
    assert list(hub.api.fetch_job_logs(job_id=job.id, namespace="acme")) == ["working"]


def test_metrics_of_a_running_job_and_none_of_a_finished_one(hub: ServedHub) -> None:
    job = run(hub, "for-ever", flavor="a10g-largex2")
    samples = list(islice(hub.api.fetch_job_metrics(job_id=job.id, namespace="acme", follow=True), 2))
    assert len(samples) == 2
    assert len(samples[0]["gpus"]) == 2
    assert samples[0]["memory_total_bytes"] == 92_000_000_000
    hub.api.cancel_job(job_id=job.id, namespace="acme")
    ended(hub, job)
    assert list(hub.api.fetch_job_metrics(job_id=job.id, namespace="acme")) == []
    assert hub.report()["requests"]["routes"]["GET /api/jobs/{namespace}/{job_id}/metrics"] == {
        "200": 1,
        "406": 1,
    }


def test_the_hardware_is_exactly_what_the_client_knows_and_needs_no_token(hub: ServedHub) -> None:
    hardware = HfApi(endpoint=hub.origin, token=False).list_jobs_hardware()
    assert {entry.name for entry in hardware} == {flavor.value for flavor in JobHardware}
    first = hardware[0]
    assert (first.name, first.pretty_name, first.cpu, first.ram) == (
        "cpu-basic",
        "CPU Basic",
        "2 vCPU",
        "16 GB",
    )
    assert (first.unit_cost_micro_usd, first.unit_cost_usd, first.unit_label) == (167, 0.000167, "minute")
    assert first.accelerator is None
    biggest = next(entry for entry in hardware if entry.name == "h200x8")
    assert biggest.accelerator is not None
    assert (biggest.accelerator.model, biggest.accelerator.quantity, biggest.accelerator.vram) == (
        "H200",
        "8",
        "1128 GB",
    )
    assert biggest.unit_cost_usd * 60 == pytest.approx(40, rel=1e-4)


def test_who_the_token_is(hub: ServedHub) -> None:
    me = hub.api.whoami()
    assert (me["name"], me["type"], me["canPay"]) == ("bot", "user", True)
    assert [(org["name"], org["roleInOrg"]) for org in me["orgs"]] == [("acme", "write")]
    assert run(hub, "true", namespace=None).owner.name == "bot"


def status_of(error: pytest.ExceptionInfo[HfHubHTTPError]) -> int:
    answer = error.value.response
    assert answer.headers["X-Request-Id"].startswith("Root=1-")
    assert answer.headers["X-Error-Message"] == answer.json()["error"]
    assert answer.headers["X-Request-Id"] in str(error.value)
    return int(answer.status_code)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"labels": {"gh-repo": "llama.cpp"}}, "labels"),
        ({"labels": {"x": "y" * 101}}, "labels"),
        ({"name": "a.b"}, "labels.name"),
        ({"flavor": "a10g"}, "a10g-small"),
        ({"attempts": 0}, "attempts"),
        ({"env": {"A": 1}}, "environment.A"),
    ],
)
def test_a_bad_specification_is_a_bad_request(hub: ServedHub, wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadRequestError, match=sentence) as refused:
        run(hub, "true", **wrong)
    assert status_of(refused) == 400
    assert hub.report()["jobs"] == []


def test_a_bad_token_is_refused(hub: ServedHub) -> None:
    with pytest.raises(HfHubHTTPError, match="Invalid credentials in Authorization header") as refused:
        run(hub, "true", token="hf_wrong")
    assert status_of(refused) == 401


def test_no_credit_no_job(hub: ServedHub) -> None:
    hub.sim("setup", {"namespaces": {"acme": {"credits": 0}}})
    with pytest.raises(HfHubHTTPError, match="Pre-paid credit balance is insufficient") as refused:
        run(hub, "true")
    assert status_of(refused) == 402
    assert hub.report()["jobs"] == []


def test_a_token_acts_only_where_and_as_far_as_it_may(hub: ServedHub) -> None:
    run(hub, "for-ever")
    assert len(list(hub.api.list_jobs(namespace="acme", token="hf_reader", timeout=150))) == 1
    with pytest.raises(HfHubHTTPError) as refused:
        run(hub, "true", token="hf_reader")
    assert status_of(refused) == 403
    with pytest.raises(HfHubHTTPError) as refused:
        run(hub, "true", namespace="others")
    assert status_of(refused) == 403


def test_an_unknown_job_has_its_own_error(hub: ServedHub) -> None:
    missing = "6a2aa7cec4f53f9fc5aa4cff"
    with pytest.raises(JobNotFoundError) as refused:
        hub.api.inspect_job(job_id=missing, namespace="acme")
    assert status_of(refused) == 404
    assert refused.value.job_id == missing
    job = run(hub, "true")
    with pytest.raises(JobNotFoundError):
        hub.api.inspect_job(job_id=job.id, namespace="bot")


def test_too_many_requests_are_refused_with_the_quota(hub: ServedHub) -> None:
    hub.sim("knobs", {"rate_limits": {"anonymous": 500, "free": 500, "pro": 2}})
    run(hub, "true")
    answer = hub.http.get("/api/jobs/acme")
    assert answer.headers["RateLimit"].startswith('"api";r=0;t=')
    with pytest.raises(HfHubHTTPError, match="you have reached your 'api' rate limit") as refused:
        run(hub, "true")
    assert status_of(refused) == 429
    quota = parse_ratelimit_headers(refused.value.response.headers)
    assert quota is not None
    assert (quota.remaining, quota.limit, quota.window_seconds) == (0, 2, 300)
    assert 0 < quota.reset_in_seconds <= 300


def test_an_error_after_the_effect_leaves_a_job_that_its_label_finds(hub: ServedHub) -> None:
    hub.sim(
        "faults", {"route": "POST /api/jobs/{namespace}", "kind": "status", "status": 500, "when": "after"}
    )
    with pytest.raises(HfHubHTTPError) as failed:
        run(hub, "for-ever", labels={"claim": "c1"})
    assert failed.value.response.status_code == 500
    assert len(list(hub.api.list_jobs(namespace="acme", labels={"claim": "c1"}, timeout=150))) == 1


def test_a_list_survives_a_page_that_fails_once(hub: ServedHub) -> None:
    hub.sim("knobs", {"page_size": 1})
    for _ in range(2):
        run(hub, "for-ever")
    rule = {
        "route": "GET /api/jobs/{namespace}",
        "match": {"query": {"cursor": "*"}},
        "kind": "status",
        "status": 502,
    }
    hub.sim("faults", rule)
    assert len(list(hub.api.list_jobs(namespace="acme", timeout=150))) == 2


def test_the_command_line_client_works_through_hf_endpoint(hub: ServedHub, tmp_path: Path) -> None:
    """As users point it: by the environment, with its telemetry on, which asks for the agent harnesses."""
    job = run(hub, "work", "0", "0", "hello")
    ended(hub, job)
    environment = {
        "PATH": os.environ["PATH"],
        "HF_ENDPOINT": hub.origin,
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(tmp_path),
    }
    done = subprocess.run(
        [Path(sys.executable).parent / "hf", "jobs", "logs", f"acme/{job.id}"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert "hello" in done.stdout, done.stderr
    assert hub.report()["requests"]["routes"]["GET /api/agent-harnesses"] == {"404": 1}
