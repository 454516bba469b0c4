"""What `check` says about hardware whose price the Hub does not tell."""

from __future__ import annotations

from typing import Any

from controller.cli.checks.findings import Findings, Severity
from controller.cli.checks.hub import check_flavors
from controller.cli.checks.inputs import Subject
from controller.core.model import Flavor, GitHubSource, HubAccount, Pool, PoolKey, Scope, ScopeKind, SecretRef
from controller.core.reasons import Reason

POOL = Pool(
    key=PoolKey("ci", "gpu"),
    uid="u",
    generation=1,
    created_at=0.0,
    url="https://github.com/acme/lib",
    source=GitHubSource(api_url="https://api.github.com", secret=SecretRef("ci", "gh"), owner="acme"),
    scope=Scope(kind=ScopeKind.REPOSITORY, owner="acme", repository="lib"),
    labels=("gpu",),
    hub=HubAccount(endpoint="https://huggingface.co", namespace="acme", secret=SecretRef("ci", "hf")),
    flavors=("t4-small", "cpu-basic"),
    max_runners=2,
)


def said(*offered: Flavor) -> list[tuple[Any, Any, str]]:
    found = Findings()
    check_flavors(Subject(pool=POOL, written=lambda _: ""), offered, found)
    return [(one.severity, one.reason, one.message) for one in found.sorted()]


def test_a_flavor_without_a_price_is_offered_and_its_cost_is_unknown() -> None:
    unpriced, priced = said(Flavor(name="t4-small"), Flavor(name="cpu-basic", usd_per_minute=0.01))
    assert unpriced[:2] == (Severity.WARNING, Reason.Price)
    assert "t4-small" in unpriced[2]
    assert "unknown" in unpriced[2]
    assert priced[:2] == (Severity.NOTE, Reason.Price)
    assert "cpu-basic $0.60/h. 2 runners at once cost up to $1.20 an hour" in priced[2]


def test_without_any_price_only_that_is_said() -> None:
    (only,) = said(Flavor(name="t4-small"), Flavor(name="cpu-basic"))
    assert only[:2] == (Severity.WARNING, Reason.Price)
