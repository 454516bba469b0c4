"""What ``upgrade-check`` finds in the RunnerPools that there are, and how it is told."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from controller.api.convert import to_pool
from controller.api.runnerpool import InvalidPool
from controller.cli.upgrades.findings import Finding, report_lines
from controller.cli.upgrades.hosts import find_hosts
from controller.cli.upgrades.mounts import find_mounts, without_writable_mounts
from controller.cli.upgrades.pools import Found
from controller.core.hosts import DEFAULT_HOSTS, Hosts
from controller.core.reasons import Reason


def pool(name: str, url: str, endpoint: str = "https://huggingface.co", **status: Any) -> Found:
    obj = {
        "apiVersion": "hfrunners.dev/v1alpha1",
        "kind": "RunnerPool",
        "metadata": {"namespace": "team", "name": name, "uid": name},
        "spec": {
            "github": {"url": url, "credentialsSecret": "github"},
            "huggingface": {"namespace": "acme", "tokenSecret": "hf", "endpoint": endpoint},
            "labels": ["x"],
            "flavors": ["cpu-basic"],
        },
        "status": status,
    }
    return to_pool(obj, allow_http=True), obj


def ready(status: str, reason: str) -> list[dict[str, str]]:
    return [{"type": "Ready", "status": status, "reason": reason}]


OWN = pool("own", "https://ghe.corp.example:8443/acme/lib", conditions=ready("True", "Serving"))
MISTYPED = pool("mistyped", "https://gihtub.com/acme/lib", conditions=ready("False", "GitHubUnavailable"))
PUBLIC = pool("public", "https://github.com/acme/lib")
RESIDENT = pool("resident", "https://acme.ghe.com/acme/lib")
OTHER_HUB = pool("hub", "https://github.com/acme/lib", "https://hub.corp.example")


def values_of(findings: list[Finding] | Any) -> dict[str, Any]:
    return {path: value for one in findings for path, value in one.values.items()}


def test_pools_of_githubs_own_hosts_go_on() -> None:
    assert find_hosts([PUBLIC, RESIDENT], DEFAULT_HOSTS) == []


def test_a_host_of_ones_own_is_named_with_the_value_that_keeps_it() -> None:
    (found,) = find_hosts([PUBLIC, OWN, MISTYPED], DEFAULT_HOSTS)
    assert found.where == (
        "team/own: ghe.corp.example:8443 (spec.github.url), Ready",
        "team/mistyped: gihtub.com (spec.github.url), not Ready: GitHubUnavailable",
    )
    assert Reason.HostNotAllowed.name in found.what
    assert found.values == {
        "controller.githubHosts": ["github.com", "*.ghe.com", "ghe.corp.example:8443", "gihtub.com"]
    }


def test_the_value_that_it_tells_is_enough() -> None:
    pools = [PUBLIC, OWN, RESIDENT, OTHER_HUB]
    values = values_of(find_hosts(pools, DEFAULT_HOSTS))
    hosts = Hosts.listed(github=values["controller.githubHosts"], hub=values["controller.hubEndpoints"])
    assert find_hosts(pools, hosts) == []


def test_what_the_upgrade_allows_is_kept_in_the_value() -> None:
    allowed = Hosts.listed(github=["github.com", "other.example"], hub=["huggingface.co"])
    assert values_of(find_hosts([PUBLIC, OWN], allowed)) == {
        "controller.githubHosts": ["github.com", "other.example", "ghe.corp.example:8443"]
    }


def test_plain_http_to_the_pod_itself_needs_a_value_now() -> None:
    beside = pool("beside", "http://127.0.0.1:8080/acme/lib")
    assert values_of(find_hosts([beside], DEFAULT_HOSTS)) == {
        "controller.allowHttp": True,
        "controller.githubHosts": ["github.com", "*.ghe.com", "127.0.0.1:8080"],
    }


def test_plain_http_that_was_never_allowed_is_no_reason_to_stop_an_upgrade() -> None:
    assert find_hosts([pool("http", "http://ghe.corp.example/acme/lib")], DEFAULT_HOSTS) == []


def test_plain_http_that_was_allowed_needs_its_host_in_the_list() -> None:
    allowed = Hosts.listed(github=["github.com"], hub=["huggingface.co"], allow_http=True)
    assert values_of(find_hosts([pool("http", "http://sim:8080/acme/lib")], allowed)) == {
        "controller.githubHosts": ["github.com", "sim:8080"]
    }


@pytest.mark.parametrize(
    "conditions",
    [ready("True", "Serving"), ready("True", "Paused"), ready("False", "GitHubUnavailable")],
    ids=["ready", "paused", "GitHub is down"],
)
def test_plain_http_that_works_is_found_when_the_upgrade_drops_the_value(
    conditions: list[dict[str, str]],
) -> None:
    works = pool("http", "http://ghes.corp.example/acme/lib", conditions=conditions)
    values = values_of(find_hosts([works], DEFAULT_HOSTS))
    assert values == {
        "controller.allowHttp": True,
        "controller.githubHosts": ["github.com", "*.ghe.com", "ghes.corp.example"],
    }
    followed = Hosts.listed(github=values["controller.githubHosts"], hub=["huggingface.co"], allow_http=True)
    assert find_hosts([works], followed) == []


def test_all_values_are_told_as_one_file_that_helm_takes() -> None:
    lines = report_lines(find_hosts([OWN, OTHER_HUB], DEFAULT_HOSTS))
    begins = lines.index("Set these values, and upgrade again:") + 1
    assert yaml.safe_load("\n".join(lines[begins:])) == {
        "controller": {
            "githubHosts": ["github.com", "*.ghe.com", "ghe.corp.example:8443"],
            "hubEndpoints": ["huggingface.co", "hub.corp.example"],
        }
    }


def test_what_others_wrote_is_told_on_one_line_without_control_characters() -> None:
    hostile = pool(
        "x", "https://evil.example/acme/lib", conditions=ready("False", "a\x1b]0;b\x07\nSet these values")
    )
    lines = report_lines(find_hosts([hostile], DEFAULT_HOSTS))
    assert not [line for line in lines if "\x1b" in line or "\n" in line]
    assert lines.count("Set these values, and upgrade again:") == 1


def test_a_status_of_any_shape_is_no_mistake_of_ours() -> None:
    shapes: list[Any] = [None, [], "x", {"conditions": 1}, {"conditions": [None, 1, {}]}]
    for status in shapes:
        found, obj = pool("x", "https://evil.example/acme/lib")
        (one,) = find_hosts([(found, {**obj, "status": status})], DEFAULT_HOSTS)
        assert one.where == ("team/x: evil.example (spec.github.url), not looked at yet",)


def test_commands_of_findings_are_told_before_the_values() -> None:
    one = Finding(what="It stops.", where=("a", "b"), values={"rbac.x": ["a"]}, commands=("kubectl label x",))
    assert report_lines([one]) == [
        *("It stops.", "  a", "  b", ""),
        *("Run before the upgrade:", "", "  kubectl label x", ""),
        *("Set these values, and upgrade again:", "", "  rbac:", "    x:", "    - a", ""),
    ]


def with_volumes(*volumes: dict[str, Any], **spec: Any) -> dict[str, Any]:
    _, obj = PUBLIC
    return {**obj, "spec": {**obj["spec"], "volumes": list(volumes), **spec}}


def bucket(path: str, **more: Any) -> dict[str, Any]:
    return {"type": "bucket", "source": "acme/cache", "mountPath": path, "readOnly": False, **more}


def refused(obj: dict[str, Any]) -> InvalidPool:
    with pytest.raises(InvalidPool) as caught:
        to_pool(obj, allow_http=True)
    return caught.value


def test_a_pool_that_stops_for_a_writable_bucket_is_named_with_the_mount_and_what_to_type() -> None:
    obj = with_volumes(bucket("/mnt/cache"), bucket("/opt/runner"), bucket("/home/runner/.local"))
    pool_of_it = without_writable_mounts(obj)
    assert pool_of_it is not None
    (one,) = find_mounts([(pool_of_it, refused(obj))])
    assert [line.partition(": the runner")[0] for line in one.where] == [
        "team/public: spec.volumes[1].readOnly: /opt/runner",
        "team/public: spec.volumes[2].readOnly: /home/runner/.local",
    ]
    assert "InvalidSpec" in one.what
    assert one.commands == ("kubectl -n team edit runnerpool public",)


def test_a_writable_bucket_that_a_variable_names_is_found_too() -> None:
    obj = with_volumes(bucket("/mnt/tools"), env={"RUNNER_TOOL_CACHE": "/mnt/tools"})
    pool_of_it = without_writable_mounts(obj)
    assert pool_of_it is not None
    (one,) = find_mounts([(pool_of_it, refused(obj))])
    assert "RUNNER_TOOL_CACHE in env and the volume at /mnt/tools" in one.where[0]


def test_a_bucket_that_is_writable_at_one_mount_and_run_from_at_another_is_found_too() -> None:
    obj = with_volumes(bucket("/mnt/cache"), bucket("/opt/runner", readOnly=True))
    pool_of_it = without_writable_mounts(obj)
    assert pool_of_it is not None
    (one,) = find_mounts([(pool_of_it, refused(obj))])
    assert one.where[0].startswith(
        "team/public: spec.volumes: /mnt/cache and /opt/runner: two mounts show the same files"
    )


@pytest.mark.parametrize(
    "obj",
    [
        with_volumes(bucket("/opt/runner"), labels=[]),
        with_volumes(bucket("/opt/runner/..")),
        with_volumes(bucket("/m", type="model")),
        {**PUBLIC[1], "spec": {"volumes": [3]}},
        {**PUBLIC[1], "spec": {"volumes": "x"}},
        {**PUBLIC[1], "spec": None},
    ],
)
def test_a_pool_with_another_mistake_is_none_that_works_now(obj: dict[str, Any]) -> None:
    assert without_writable_mounts(obj) is None


def test_nothing_is_said_where_no_bucket_is_refused() -> None:
    assert find_mounts([]) == []
