"""What is said where a Secret cannot be read, over scripted answers; the same on a real server is beside it."""

from __future__ import annotations

import json
import shlex
from base64 import b64encode
from typing import Any

import pytest

from controller.adapters.kube.errors import refusal
from controller.adapters.kube.rights import SecretAccess
from controller.adapters.kube.secrets import KubernetesSecrets
from controller.core.model import Disposition, Failure, SecretRef
from controller.core.reasons import Reason
from controller.ports import UpstreamError

REF = SecretRef("team-a", "github-app")
KNOWN = SecretAccess(role="ci-hfrc-secrets", account=("ci", "hfrc"))
WORDS = (
    'secrets "github-app" is forbidden: User "system:serviceaccount:ci:hfrc" cannot get resource "secrets"'
)


class Server:
    """Answers each request alike."""

    def __init__(self, status: int, answer: dict[str, Any], ref: SecretRef = REF) -> None:
        self.status, self.answer, self.ref = status, answer, ref

    async def request_json(self, method: str, path: str) -> Any:
        assert (method, path) == ("GET", f"/api/v1/namespaces/{self.ref.namespace}/secrets/{self.ref.name}")
        if self.status != 200:
            raise refusal(f"{method} {path}", self.status, {}, json.dumps(self.answer).encode())
        return self.answer


async def refused(
    status: int, access: SecretAccess | None = KNOWN, words: str = WORDS, ref: SecretRef = REF
) -> Failure:
    client = Server(status, {"message": words}, ref)
    with pytest.raises(UpstreamError) as caught:
        await KubernetesSecrets(client=client, access=access).read(ref)  # type: ignore[arg-type]
    return caught.value.failure


async def test_a_secret_that_may_not_be_read_is_told_with_the_command_that_grants_it() -> None:
    failure = await refused(403)
    assert failure.reason is Reason.SecretForbidden
    assert failure.disposition is Disposition.PERSON
    assert "Secret github-app in namespace team-a" in failure.message
    assert WORDS in failure.message
    assert failure.message.endswith(
        "run: kubectl create rolebinding ci-hfrc-secrets-by-hand --namespace team-a --clusterrole=ci-hfrc-secrets "
        "--serviceaccount=ci:hfrc"
    )


async def test_the_command_is_whole_where_the_api_server_has_much_to_say() -> None:
    failure = await refused(403, words=WORDS * 20)
    assert failure.message.endswith("--serviceaccount=ci:hfrc")
    assert len(failure.message) < 1024


async def test_the_command_is_whole_where_all_names_are_as_long_as_kubernetes_lets_them_be() -> None:
    long = SecretAccess(role=f"{'n' * 63}-{'r' * 45}-secrets", account=("n" * 63, "a" * 63))
    failure = await refused(403, long, ref=SecretRef("t" * 63, "s" * 253))
    assert failure.message.endswith(f"--serviceaccount={'n' * 63}:{'a' * 63}")
    assert "s" * 253 in failure.message
    assert len(failure.message) <= 1024


@pytest.mark.parametrize(
    ("access", "said"),
    [
        (SecretAccess(), "get on secrets to its ServiceAccount there"),
        (SecretAccess(role="reads"), "get on secrets to its ServiceAccount there"),
        (SecretAccess(account=("ci", "hfrc")), "get on secrets to ServiceAccount ci/hfrc there"),
    ],
)
async def test_without_a_known_role_what_to_do_is_said_in_words(access: SecretAccess, said: str) -> None:
    message = (await refused(403, access)).message
    assert said in message
    assert "kubectl" not in message


async def test_a_person_who_may_not_read_it_is_not_taken_for_the_controller() -> None:
    failure = await refused(403, access=None)
    assert failure.reason is Reason.KubernetesForbidden
    assert WORDS in failure.message
    assert "The controller may not" not in failure.message


def test_names_in_the_command_are_words_and_no_more_for_a_shell() -> None:
    odd = SecretAccess(role="a b;c", account=("ci", "x$(id)"))
    parts = shlex.split(odd.command("team-a"))
    assert parts[3:] == [
        "a b;c-by-hand",
        "--namespace",
        "team-a",
        "--clusterrole=a b;c",
        "--serviceaccount=ci:x$(id)",
    ]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, Reason.KubernetesForbidden),
        (404, Reason.SecretMissing),
        (429, Reason.KubernetesUnavailable),
        (500, Reason.KubernetesUnavailable),
    ],
)
async def test_other_refusals_are_no_missing_rolebinding(status: int, reason: Reason) -> None:
    failure = await refused(status)
    assert failure.reason is reason
    assert "rolebinding" not in failure.message


async def test_labels_come_with_the_values() -> None:
    answer = {
        "metadata": {"labels": {"hfrunners.dev/runner-env": "true"}},
        "data": {"token": b64encode(b"x").decode()},
    }
    found = await KubernetesSecrets(client=Server(200, answer)).read(REF)  # type: ignore[arg-type]
    assert (dict(found.data), found.labels) == ({"token": "x"}, {"hfrunners.dev/runner-env": "true"})
