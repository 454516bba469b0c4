"""Accounts and Secrets of a plan's pools: each Secret has tokens of its own, so one place can be seen
with several credentials.
"""

from __future__ import annotations

from dataclasses import dataclass

from controller.simulate.engine import NAMESPACE, SCOPES, Simulation
from tests.seeds.plan import Plan

USUAL = (("github", "github-app"), ("hub", "hf-token"))
"""The Secrets that :meth:`Simulation.set_up` makes in the usual namespace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Secret:
    kind: str
    namespace: str
    name: str
    account: str
    """What the token is for: an owner at GitHub, or a namespace at the Hub."""


def set_up(sim: Simulation, plan: Plan) -> frozenset[str]:
    """Make what a plan's pools and jobs need beside the usual scene, and return the new tokens,
    which must appear nowhere.

    Every Secret beside the usual two gets a personal access token, or a Hub token, of a
    user of its own. Idempotent.
    """
    tokens = set()
    there = {row.full_name for row in sim.github.store.repositories.values()}
    owned = {pool.url for pool in plan.pools if "/" in pool.url} | {job.repository for job in plan.jobs}
    for name in sorted(owned - there):
        sim.github.accounts.add_repository(name)
    for pool in plan.pools:
        github, hub = pool.spec.get("github", {}), pool.spec.get("huggingface", {})
        owner = pool.url.partition("/")[0]
        secrets = (
            _Secret(
                kind="github",
                namespace=pool.namespace,
                name=github.get("credentialsSecret", "github-app"),
                account=owner,
            ),
            _Secret(
                kind="hub",
                namespace=pool.namespace,
                name=hub.get("tokenSecret", "hf-token"),
                account=hub.get("namespace", "acme"),
            ),
        )
        for secret in secrets:
            if secret.namespace != NAMESPACE or (secret.kind, secret.name) not in USUAL:
                tokens.add(_open(sim, secret))
    return frozenset(tokens)


def robot(namespace: str, secret: str) -> str:
    """Return the name of the user whose token a Secret holds."""
    return "robot" if (namespace, secret) == (NAMESPACE, "hf-token") else f"robot-{namespace}-{secret}"


def _open(sim: Simulation, secret: _Secret) -> str:
    user = robot(secret.namespace, secret.name)
    if secret.kind == "github":
        token = f"ghp_{secret.namespace}{secret.name}".replace("-", "").ljust(40, "0")
        if user.lower() not in sim.github.store.owners:
            sim.github.accounts.add_user(user)
        sim.github.access.add_user_token(token, user, scopes=SCOPES)
    else:
        token = f"hf_{secret.namespace}{secret.name}".replace("-", "")
        access = {"user": user, "namespaces": {secret.account: "write"}, "plan": "team"}
        credit = {secret.account: {"type": "org", "credits": 1_000.0}}
        sim.hub.setup({"tokens": {token: access}, "namespaces": credit})
    sim.cluster.set_secret(secret.namespace, secret.name, {"token": token})
    return token
