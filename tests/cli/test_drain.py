"""``drain``, against an API server that a test scripts; tests/operator and tests/chart have
it on a real one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from controller.adapters.kube.errors import KubernetesError, kind_of
from controller.cli.drain import Drain, UnknownPools


class Api:
    """Pools by namespace; of others it says nothing, as RBAC has it, or that they do not exist."""

    def __init__(
        self, pools: dict[str, list[str]], *, refused: Sequence[str] = (), gone: Sequence[str] = ()
    ) -> None:
        self.pools, self.refused, self.gone = pools, refused, gone
        self.asked: list[str] = []

    async def request_json(self, method: str, path: str, **_: Any) -> Any:
        parts = path.split("/")
        namespace = parts[parts.index("namespaces") + 1] if "namespaces" in parts else None
        if path.startswith("/api/v1/namespaces/"):
            raise refusal(404 if namespace in self.gone else 403)
        if namespace in self.refused:
            raise refusal(403)
        if method == "PATCH":
            self.asked.append(f"{namespace}/{parts[-1]}")
            return {}
        found = [
            {
                "metadata": {"namespace": where, "name": name, "finalizers": []},
                "status": {"observedGeneration": 1},
            }
            for where, names in self.pools.items()
            for name in names
            if namespace in (None, where)
        ]
        return {"items": found, "metadata": {}}


def refusal(status: int) -> KubernetesError:
    return kind_of(status)(f"{status}", status=status)


def drain(api: Api, *names: str, namespaces: Sequence[str] = ()) -> Drain:
    return Drain(kube=api, namespaces=namespaces, names=names, timeout=60)  # type: ignore[arg-type] # what it asks of a client


async def test_a_name_that_no_pool_has_is_an_error_that_names_those_that_exist() -> None:
    api = Api({"ml": ["t4", "a10"]})
    with pytest.raises(UnknownPools, match=r"There is no RunnerPool t5; those of ml are: a10, t4\."):
        await drain(api, "t4", "t5", namespaces=["ml"]).run()
    assert api.asked == []


async def test_a_namespace_without_pools_says_so() -> None:
    with pytest.raises(UnknownPools, match=r"no RunnerPool a and no b; ml has none"):
        await drain(Api({}), "b", "a", namespaces=["ml"]).run()


async def test_only_the_pools_that_are_named_are_asked() -> None:
    api = Api({"ml": ["t4", "a10"]})
    assert await drain(api, "t4", namespaces=["ml"]).run() == []
    assert set(api.asked) == {"ml/t4"}


async def test_a_namespace_that_is_gone_and_its_rights_with_it_is_empty() -> None:
    api = Api({"ml": ["t4"]}, refused=["gone"], gone=["gone"])
    assert await drain(api, namespaces=["gone", "ml"]).run() == []
    assert set(api.asked) == {"ml/t4"}


async def test_a_namespace_that_may_be_there_and_cannot_be_read_is_an_error() -> None:
    api = Api({"ml": ["t4"]}, refused=["secret"])
    with pytest.raises(KubernetesError):
        await drain(api, namespaces=["secret", "ml"]).run()
