"""examples/: every pool is right, and the Secrets that it names are shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from controller.api.runnerpool import GROUP, PLURAL, VERSION, RunnerPool

EXAMPLES = Path(__file__).parents[2] / "examples"
POOLS = {"t4.yaml", "a10g.yaml", "h200.yaml"}
SECRETS = {
    secret["metadata"]["name"]: secret["stringData"]
    for secret in yaml.safe_load_all((EXAMPLES / "secrets.example.yaml").read_text())
}


def manifest(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((EXAMPLES / name).read_text())
    return loaded


@pytest.mark.parametrize("name", sorted(POOLS))
def test_an_example_names_only_secrets_that_the_example_file_shows(name: str) -> None:
    spec = RunnerPool.parse(manifest(name), allow_http=False).spec
    assert SECRETS[spec.github.credentials_secret].keys() >= {"appId", "privateKey"}
    assert SECRETS[spec.huggingface.token_secret].keys() == {"token"}
    for variable in spec.secret_env or []:
        assert variable.key in SECRETS[variable.secret]


@pytest.mark.parametrize("name", sorted(POOLS))
def test_an_example_names_the_label_that_its_comment_tells_people_to_use(name: str) -> None:
    spec = RunnerPool.parse(manifest(name), allow_http=False).spec
    first_line = (EXAMPLES / name).read_text().splitlines()[0]
    assert "runs-on:" in first_line
    assert spec.labels[0] in first_line


@pytest.mark.controlplane
@pytest.mark.parametrize("name", sorted(POOLS))
def test_the_api_server_accepts_an_example_whole(api_client: client.ApiClient, name: str) -> None:
    assert client.CustomObjectsApi(api_client).create_namespaced_custom_object(
        GROUP, VERSION, "default", PLURAL, manifest(name), dry_run="All", field_validation="Strict"
    )


@pytest.mark.controlplane
def test_the_api_server_accepts_the_secrets(api_client: client.ApiClient) -> None:
    for name, data in SECRETS.items():
        body = client.V1Secret(metadata=client.V1ObjectMeta(name=name), string_data=data)
        assert client.CoreV1Api(api_client).create_namespaced_secret("default", body, dry_run="All")
