"""What the controller may need to do in Kubernetes (docs/reference/rbac.md), and whether somebody may."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from controller.adapters.kube.client import Client, path_of
from controller.adapters.kube.stop_switch import OF_VALUES
from controller.api.status.values import MOST_MESSAGE
from controller.core.model import SecretRef
from controller.core.resource import GROUP, PLURAL
from controller.core.text import text
from controller.ports import UpstreamError

MOST_WORDS = 300
"""Characters of the API server's words, so that the command behind them has room in a condition's 1,024."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """One verb on one kind of object.

    Attributes:
        group: API group, empty for the core's.
        resource: Plural, with the subresource after a slash.
        verb: What is done.
        name: Of the one object; empty for any.
        namespace: Where; empty for objects of the cluster, or where it depends on the pools.
        optional: What makes the right unnecessary, for people; empty if nothing does.
    """

    group: str
    resource: str
    verb: str
    name: str = ""
    namespace: str = ""
    optional: str = ""

    def __str__(self) -> str:
        """``patch runnerpools/status.hfrunners.dev``."""
        kind = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {kind}{f' {self.name}' if self.name else ''}"


def _verbs(
    group: str, resource: str, *verbs: str, name: str = "", namespace: str = "", optional: str = ""
) -> Iterator[Right]:
    for verb in verbs:
        yield Right(
            group=group, resource=resource, verb=verb, name=name, namespace=namespace, optional=optional
        )


IN_EACH_NAMESPACE: Sequence[Right] = (
    *_verbs(GROUP, PLURAL, "get", "list", "watch", "patch"),
    *_verbs(GROUP, f"{PLURAL}/status", "patch"),
    *_verbs("events.k8s.io", "events", "create", "patch"),
)
"""Rights in every namespace that has pools, beside those to read Secrets."""


def to_read(name: str = "") -> Right:
    """Return the right to read one Secret of a namespace, or any if none is named."""
    return Right(group="", resource="secrets", verb="get", name=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretAccess:
    """How somebody lets the controller read the Secrets of one namespace.

    Attributes:
        role: A ClusterRole with ``get`` on Secrets, which RoleBindings bind; empty where none was named.
        account: Namespace and name of the controller's ServiceAccount; None where it was not told.
    """

    role: str = ""
    account: tuple[str, str] | None = None

    def command(self, namespace: str) -> str:
        """Return the command that grants it, empty where the role or the account is not known.

        The RoleBinding is not named as the chart names its own: Helm takes over no object that it did not
        make.
        """
        if not self.role or self.account is None:
            return ""
        binding, account = f"{self.role}-by-hand", ":".join(self.account)
        return (
            f"kubectl create rolebinding {shlex.quote(binding)} --namespace {shlex.quote(namespace)} "
            f"--clusterrole={shlex.quote(self.role)} --serviceaccount={shlex.quote(account)}"
        )

    def step(self, namespace: str) -> str:
        """Return what to do, as the end of a sentence."""
        if command := self.command(namespace):
            return f"run: {command}"
        who = f"ServiceAccount {'/'.join(self.account)}" if self.account else "its ServiceAccount"
        return f"bind a Role or ClusterRole with get on secrets to {who} there (docs/reference/rbac.md has the rules)"

    def refused(self, ref: SecretRef, words: str) -> str:
        """Return what is said where the API server answered 403, with its own words; the command is the end
        of it.

        Conditions have an end (:data:`controller.api.status.values.MOST_MESSAGE`): of long names, the API
        server's words are left out.
        """
        begins = f"The controller may not read Secret {ref.name} in namespace {ref.namespace}"
        ends = (
            "If rbac.secrets.names is set in the chart's values, that Secret must be in it. To let the controller read it, "
            f"{self.step(ref.namespace)}"
        )
        said = f" (the API server: {text(words, MOST_WORDS)})"
        return f"{begins}{said if len(begins) + len(said) + len(ends) < MOST_MESSAGE - 2 else ''}. {ends}"


ROLE_LABELS = {"app.kubernetes.io/part-of": "hf-runner-controller", "app.kubernetes.io/component": "secrets"}
ROLE_ANNOTATION = "hfrunners.dev/service-account"
"""How the chart marks the ClusterRole that RoleBindings bind, and for which ServiceAccount it is
(``NAMESPACE/NAME``)."""


async def secret_access(client: Client, account: tuple[str, str] | None) -> SecretAccess:
    """Return how a ServiceAccount is let read Secrets, as far as the cluster tells; asking has no effect.

    Args:
        client: Needs ``list`` on ClusterRoles; without it the role is not known.
        account: Namespace and name; None where it is not known.
    """
    if account is None:
        return SecretAccess()
    path = path_of("apis", "rbac.authorization.k8s.io", "v1", "clusterroles")
    selector = ",".join(f"{name}={value}" for name, value in ROLE_LABELS.items())
    try:
        found = await client.request_json("GET", path, query=[("labelSelector", selector)])
    except UpstreamError:
        return SecretAccess(account=account)
    for role in found["items"]:
        metadata = role["metadata"]
        if (metadata.get("annotations") or {}).get(ROLE_ANNOTATION) == "/".join(account):
            return SecretAccess(role=str(metadata["name"]), account=account)
    return SecretAccess(account=account)


IN_CLUSTER: Sequence[Right] = tuple(
    _verbs("", "namespaces", "get", name="kube-system", optional="it runs with --controller-id")
)
"""Rights beside namespaces."""


def for_leases(namespace: str, name: str) -> Sequence[Right]:
    """Return the rights of one of several replicas."""
    optional = "it runs without --leader-elect, or with another --lease-name"
    lease = "coordination.k8s.io", "leases"
    return (
        *_verbs(*lease, "create", namespace=namespace, optional=optional),
        *_verbs(*lease, "get", "update", name=name, namespace=namespace, optional=optional),
    )


def for_switch(namespace: str, name: str) -> Sequence[Right]:
    """Return the rights to read a stop switch (``run --stop-switch``)."""
    optional = "it runs without --stop-switch, or with another one"
    return tuple(
        right
        for one in (name, f"{name}{OF_VALUES}")
        for right in _verbs("", "configmaps", "get", name=one, namespace=namespace, optional=optional)
    )


async def may(client: Client, right: Right, *, namespace: str, account: tuple[str, str] | None) -> bool:
    """Ask the API server whether somebody has a right; asking has no effect.

    Args:
        client: Anybody may ask for themselves; for others it takes ``create`` on ``subjectaccessreviews``.
        right: The right.
        namespace: Where, if the right names no namespace.
        account: A ServiceAccount's namespace and name; None for who asks.

    Raises:
        KubernetesError: As any call.
    """
    resource, _, subresource = right.resource.partition("/")
    spec: dict[str, object] = {
        "resourceAttributes": {
            "group": right.group,
            "resource": resource,
            "subresource": subresource,
            "verb": right.verb,
            "name": right.name,
            "namespace": right.namespace or namespace,
        }
    }
    kind = "selfsubjectaccessreviews"
    if account is not None:
        kind = "subjectaccessreviews"
        spec["user"] = f"system:serviceaccount:{account[0]}:{account[1]}"
        spec["groups"] = [
            "system:serviceaccounts",
            f"system:serviceaccounts:{account[0]}",
            "system:authenticated",
        ]
    answer = await client.request_json("POST", f"/apis/authorization.k8s.io/v1/{kind}", body={"spec": spec})
    return bool(answer["status"].get("allowed"))
