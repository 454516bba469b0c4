"""The examples, checked by ``check`` as somebody would before applying them, against both
simulated services.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from controller.cli import main
from tests.cli.services import FOR_RUNNERS, HF_TOKEN, Services, manifests, secret

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDERS = sorted(path.parent.name for path in EXAMPLES.glob("*/pool.yaml"))


@pytest.mark.parametrize("folder", FOLDERS)
def test_an_example_passes_the_check(services: Services, folder: str) -> None:
    services.grant(
        actions="read", metadata="read", organization_self_hosted_runners="write", administration="write"
    )
    names = ("dashboard", "kernels", "train")
    groups = [
        {"organization": "acme", "name": "hf-nightly"},
        {"organization": "acme", "name": "hf-forks", "allows_public_repositories": True},
    ]
    services.change("setup", {"repositories": [{"full_name": f"acme/{n}"} for n in names], "groups": groups})
    granted = {"user": "robot", "namespaces": {"acme": "write", "acme-forks": "write"}}
    services.change("setup", {"tokens": {HF_TOKEN: granted}}, hub=True)

    pool = yaml.safe_load((EXAMPLES / folder / "pool.yaml").read_text())
    pool["metadata"]["namespace"] = "ci"
    spec = pool["spec"]
    spec["github"]["url"] = spec["github"]["url"].replace("https://github.com", services.github)
    spec["huggingface"]["endpoint"] = services.hub
    (github, _) = services.secrets()
    needed = [
        secret(spec["github"]["credentialsSecret"], github["stringData"]),
        secret(spec["huggingface"]["tokenSecret"], {"token": HF_TOKEN}),
        *(secret(one["secret"], {one["key"]: "x"}, FOR_RUNNERS) for one in spec.get("secretEnv", [])),
    ]
    result = CliRunner().invoke(
        main, ["check", "-", "--json", *services.flags], input=manifests(pool, *needed)
    )
    findings = json.loads(result.stdout)["findings"]
    assert [one for one in findings if one["severity"] == "error"] == []
    assert "Price" in {one["reason"] for one in findings}
