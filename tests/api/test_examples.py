"""examples/: every pool is right, its workflows reach it, and the Secrets that it names are shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from controller.api.duration import seconds
from controller.api.runnerpool import RunnerPool
from controller.api.spec.pool import RunnerPoolSpec
from controller.core.labels import hosted, normalized
from controller.core.resource import GROUP, PLURAL, VERSION
from hf_runner_simulators.hub.flavors import FLAVORS

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDERS = sorted(path.parent.name for path in EXAMPLES.glob("*/pool.yaml"))
SECRETS = {
    secret["metadata"]["name"]: secret["stringData"]
    for secret in yaml.safe_load_all((EXAMPLES / "secrets.example.yaml").read_text())
}


def manifest(folder: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((EXAMPLES / folder / "pool.yaml").read_text())
    return loaded


def spec_of(folder: str) -> RunnerPoolSpec:
    return RunnerPool.parse(manifest(folder), allow_http=False).spec


def jobs_of(folder: str) -> Iterator[Mapping[str, Any]]:
    """The workflow jobs of an example that are not for GitHub's own machines."""
    for path in sorted((EXAMPLES / folder).glob("*.yml")):
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            if "uses" not in job and not hosted(labels_of(job)):
                yield job


def labels_of(job: Mapping[str, Any]) -> list[str]:
    runs_on = job["runs-on"]
    labels = runs_on["labels"] if isinstance(runs_on, dict) else runs_on
    return [labels] if isinstance(labels, str) else labels


def test_there_are_the_six_examples_that_the_index_names() -> None:
    index = (EXAMPLES / "README.md").read_text()
    assert len(FOLDERS) == 6
    assert [folder for folder in FOLDERS if f"]({folder}/README.md)" not in index] == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_an_example_names_only_secrets_that_the_example_file_shows(folder: str) -> None:
    spec = spec_of(folder)
    assert SECRETS[spec.github.credentials_secret].keys() >= {"appId", "privateKey"}
    assert SECRETS[spec.huggingface.token_secret].keys() == {"token"}
    for variable in spec.secret_env or []:
        assert variable.key in SECRETS[variable.secret]


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_jobs_of_an_example_reach_its_pool_and_no_other_one(folder: str) -> None:
    jobs = list(jobs_of(folder))
    assert jobs
    for job in jobs:
        takers = [name for name in FOLDERS if set(normalized(labels_of(job))) <= set(spec_of(name).labels)]
        assert takers == [folder]
        runs_on = job["runs-on"]
        group = runs_on.get("group") if isinstance(runs_on, dict) else None
        assert group == spec_of(folder).github.runner_group


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_job_of_an_example_ends_by_its_own_timeout_before_its_runner_does(folder: str) -> None:
    for job in jobs_of(folder):
        assert job["timeout-minutes"] * 60 < seconds(spec_of(folder).deadlines.lifetime)


@pytest.mark.parametrize("folder", FOLDERS)
def test_an_example_says_what_it_costs_per_hour_and_at_worst(folder: str) -> None:
    spec = spec_of(folder)
    prices = [FLAVORS[flavor].usd_per_hour for flavor in spec.flavors]
    text = (EXAMPLES / folder / "pool.yaml").read_text()
    for flavor, price in zip(spec.flavors, prices, strict=True):
        assert f"- {flavor} # ${price:.2f}/h" in text
    worst = spec.max_runners * seconds(spec.deadlines.lifetime) / 3600 * max(prices)
    readme = (EXAMPLES / folder / "README.md").read_text()
    assert f"${worst:.2f}" in readme.partition("Worst case:")[2].partition("\n-")[0]


@pytest.mark.parametrize("folder", FOLDERS)
def test_an_example_names_the_label_that_its_comment_tells_people_to_use(folder: str) -> None:
    comment = (EXAMPLES / folder / "pool.yaml").read_text().partition("apiVersion:")[0]
    assert "runs-on:" in comment
    assert spec_of(folder).labels[0] in comment


def test_the_example_for_forks_puts_nothing_of_worth_in_their_reach() -> None:
    spec = spec_of("fork-pull-requests")
    assert spec.github.runner_group
    assert not spec.secret_env
    assert not spec.ssh
    assert all(volume.read_only for volume in spec.volumes or [])
    others = {spec_of(name).huggingface.namespace: name for name in FOLDERS if name != "fork-pull-requests"}
    assert spec.huggingface.namespace not in others


@pytest.mark.controlplane
@pytest.mark.parametrize("folder", FOLDERS)
def test_the_api_server_accepts_an_example_whole(api_client: client.ApiClient, folder: str) -> None:
    assert client.CustomObjectsApi(api_client).create_namespaced_custom_object(
        GROUP, VERSION, "default", PLURAL, manifest(folder), dry_run="All", field_validation="Strict"
    )


@pytest.mark.controlplane
def test_the_api_server_accepts_the_secrets(api_client: client.ApiClient) -> None:
    for name, data in SECRETS.items():
        body = client.V1Secret(metadata=client.V1ObjectMeta(name=name), string_data=data)
        assert client.CoreV1Api(api_client).create_namespaced_secret("default", body, dry_run="All")
