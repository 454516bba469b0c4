"""Credentials that are missing, wrong, weak, rotated: each told apart, none ever shown,
none in another pool's way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.operator.cloud import PUBLIC_KEY, Account
from tests.operator.cluster import Namespace, until
from tests.operator.process import OperatorProcess

pytestmark = [
    pytest.mark.controlplane,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.usefixtures("operator"),
]

EC_KEY = (
    ec.generate_private_key(ec.SECP256R1())
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)
RIGHTS: dict[str, Literal["read", "write"]] = {
    "actions": "read",
    "metadata": "read",
    "administration": "write",
    "organization_self_hosted_runners": "write",
}


@pytest.mark.parametrize(
    ("contents", "says"),
    [
        ({}, "it has neither appId and privateKey (a GitHub App) nor token"),
        ({"appId": "1"}, "key privateKey is missing or empty"),
        ({"appId": "1", "privateKey": "nonsense"}, "key privateKey is not a PEM private key"),
        ({"appId": "1", "privateKey": PUBLIC_KEY}, "holds a public key or certificate"),
        ({"appId": "1", "privateKey": EC_KEY}, "is not an RSA key"),
        ({"token": "two words"}, "key token holds white space"),
    ],
    ids=["empty", "no key", "no PEM", "public key", "EC key", "no token"],
)
async def test_a_malformed_github_secret_names_the_key(
    namespace: Namespace, contents: Mapping[str, str], says: str
) -> None:
    await namespace.secret("github", contents)
    await namespace.apply()

    refused = await namespace.until_condition("Ready", "False", "SecretMalformed")

    assert f"Secret {namespace.name}/github" in refused["message"]
    assert says in refused["message"]
    await namespace.until_condition("Stalled", "True", "SecretMalformed")
    await namespace.until_condition("GitHubReachable", "False", "SecretMalformed")


async def test_a_malformed_hub_secret_names_the_key(namespace: Namespace) -> None:
    await namespace.secret("hf", {"apiKey": namespace.account.hf_token})
    await namespace.apply()

    refused = await namespace.until_condition("Ready", "False", "SecretMalformed")

    assert f"Secret {namespace.name}/hf has no key 'token'" in refused["message"]
    await namespace.until_condition("HubReachable", "False", "SecretMalformed")


@pytest.mark.parametrize("name", ["github", "hf"])
async def test_a_missing_secret_is_named_and_taken_up_once_it_is_there(
    namespace: Namespace, name: str
) -> None:
    account = namespace.account
    await namespace.delete_secret(name)
    await namespace.apply()
    missing = await namespace.until_condition("Ready", "False", "SecretMissing")
    assert f"There is no Secret {name} in namespace {namespace.name}" in missing["message"]

    await namespace.secret(name, account.github_secret if name == "github" else account.hub_secret)

    await namespace.until_ready()


async def test_an_app_that_is_not_installed_is_told(namespace: Namespace) -> None:
    account = namespace.account
    account.cloud.github.accounts.uninstall(account.installation_id)
    await namespace.apply()

    refused = await namespace.until_condition("Ready", "False", "AppNotInstalled")
    assert f"The App is not installed on {account.owner}" in refused["message"]

    account.cloud.github.accounts.install(account.app_id, account.owner)
    await namespace.until_ready()


async def test_a_missing_permission_is_named(namespace: Namespace) -> None:
    account = namespace.account
    less = {name: level for name, level in RIGHTS.items() if name != "administration"}
    account.cloud.github.accounts.change_installation(account.installation_id, permissions=less)
    await namespace.apply()

    refused = await namespace.until_condition("Ready", "False", "PermissionMissing")
    assert "administration=read" in refused["message"]

    account.cloud.github.accounts.change_installation(account.installation_id, permissions=RIGHTS)
    await namespace.until_ready()


async def test_a_token_that_may_not_write_jobs_is_told(namespace: Namespace) -> None:
    account = namespace.account
    account.cloud.hub.setup(
        {"tokens": {account.hf_token: {"user": "robot", "namespaces": {account.owner: "read"}}}}
    )
    account.queue()
    await namespace.apply()

    refused = await namespace.until_condition("Ready", "False", "HubForbidden")

    assert "job.write" in refused["message"]
    await until(lambda: not account.registrations(), "the launch was undone at GitHub")


def github_token(account: Account, name: str) -> dict[str, str]:
    """Make a personal access token, and return the Secret's contents."""
    token = account.cloud.secret(f"github_pat_{account.owner}_{name}")
    access = account.cloud.github.access
    access.add_user_token(token, account.owner, permissions=RIGHTS, account=account.owner)
    return {"token": token}


async def test_a_rotated_github_token_is_used_and_the_old_one_no_more(
    namespace: Namespace,
) -> None:
    account = namespace.account
    await namespace.secret("github", old := github_token(account, "old"))
    await namespace.apply()
    await namespace.until_ready()

    await namespace.secret("github", github_token(account, "new"))
    account.cloud.github.access.revoke_token(old["token"])
    (job,) = account.queue()

    await until(lambda: account.runs(job), "served with the new token")
    await namespace.until_ready()


async def test_a_revoked_github_token_is_told_at_once(namespace: Namespace) -> None:
    account = namespace.account
    await namespace.secret("github", old := github_token(account, "old"))
    await namespace.apply()
    await namespace.until_ready()

    account.cloud.github.access.revoke_token(old["token"])
    refused = await namespace.until_condition("Ready", "False", "GitHubUnauthorized")
    assert "rotate the token or the App's key in the Secret" in refused["message"]
    assert "request id" not in refused["message"], "it is noise where a person has to act"


async def test_a_rotated_hub_token_is_used_and_the_old_one_no_more(namespace: Namespace) -> None:
    account = namespace.account
    await namespace.apply()
    await namespace.until_ready()

    account.cloud.hub_token(new := f"hf_{account.owner}_cm90YXRlZA", account.owner)
    await namespace.secret("hf", {"token": new})
    account.cloud.revoke_hub_token(account.hf_token)
    (job,) = account.queue()

    await until(lambda: account.runs(job), "served with the new token")
    await namespace.until_ready()


async def test_one_bad_credential_is_in_no_other_pools_way(namespace: Namespace) -> None:
    account = namespace.account
    for place, spec in enumerate(
        ({"huggingface": {"tokenSecret": "none"}}, {"github": {"credentialsSecret": "none"}})
    ):
        await namespace.apply(f"bad-{place}", labels=[f"other-{place}"], **spec)
        await namespace.until_condition("Ready", "False", "SecretMissing", name=f"bad-{place}")

    (job,) = account.queue("gpu")
    await namespace.apply("good")

    await until(lambda: account.runs(job), "served all the same")
    good = await namespace.until(lambda pool: "cost" in pool["status"], "prices are known", name="good")
    assert good["status"]["cost"]["maxUsdPerHour"] == "4.00"


async def test_no_secret_is_ever_shown(namespace: Namespace, operator: OperatorProcess) -> None:
    account = namespace.account
    api_key = account.cloud.secret(f"wandb-{account.owner}-c2VjcmV0")
    await namespace.secret("wandb", {"apiKey": api_key}, labels={"hfrunners.dev/runner-env": "true"})
    jobs = account.queue("gpu", count=2)
    wanted = [{"name": "WANDB_API_KEY", "secret": "wandb", "key": "apiKey"}]
    # Two launches are refused, and the next ones succeed: refusals that quote the request back
    # are where secrets leak.
    account.cloud.hub_exchange.rules.add(
        {
            "route": "POST /api/jobs/{namespace}",
            "match": {"path": {"namespace": account.hub_namespace}},
            "times": 2,
            "kind": "status",
            "status": 400,
            "body": {"error": f"cannot pass WANDB_API_KEY={api_key}, token {account.hf_token}"},
        }
    )
    await namespace.apply(secretEnv=wanted)
    refused = await namespace.until_condition("LaunchesSucceed", "False")
    assert "cannot pass WANDB_API_KEY=" in refused["message"]
    await until(lambda: any(account.runs(job) for job in jobs), "a later launch succeeds")

    secrets = account.cloud.secrets()
    started = [job for job in account.cloud.hub.platform.jobs.values() if job.owner.name == account.owner]
    assert started[0].spec.secrets["WANDB_API_KEY"] == api_key
    assert len(secrets) > 20
    shown = {
        "log": operator.log,
        "pools": json.dumps(await namespace.pool()),
        "Events": json.dumps(list(await namespace.events())),
        "metrics": (await operator.get("/metrics"))[1],
        "HF Jobs": json.dumps([{**job.spec.environment, **(job.labels or {})} for job in started]),
    }
    leaks = {where: [secret for secret in secrets if secret in text] for where, text in shown.items()}
    assert not any(leaks.values())
    account.finish(*jobs)
