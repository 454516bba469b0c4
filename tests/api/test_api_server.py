"""The CRD on a real kube-apiserver: CEL, defaults, columns and status as users meet them."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes import client

from controller.api.crd import crd
from controller.api.runnerpool import RunnerPool
from controller.api.status.model import (
    Backoff,
    Condition,
    Cost,
    Counts,
    FlavorStatus,
    Intent,
    Intents,
    Interruption,
    LaunchedPlace,
    Place,
    Runner,
    RunnerPoolStatus,
    StatusPart,
    Suspicion,
    Term,
    Waiting,
)
from controller.core.conditions import ConditionType
from controller.core.lifecycle import Phase
from controller.core.model import RerunState, SuspicionLevel
from controller.core.reasons import Reason
from controller.core.resource import GROUP, PLURAL, VERSION
from tests.api.cases import BAD, GOOD, Bad, as_stored, github, manifest
from tests.cli.mistakes import MISTAKES, Mistake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.controlplane
WHERE: dict[str, Any] = {"group": GROUP, "version": VERSION, "plural": PLURAL, "namespace": "default"}


@pytest.fixture
def pools(api_client: client.ApiClient) -> client.CustomObjectsApi:
    return client.CustomObjectsApi(api_client)


@contextmanager
def created(pools: client.CustomObjectsApi, obj: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Create an object and delete it again."""
    made: Any = pools.create_namespaced_custom_object(**WHERE, body=obj)
    yield made
    pools.delete_namespaced_custom_object(**WHERE, name=obj["metadata"]["name"])


def answer(error: client.ApiException) -> Any:
    """Return what the API server answered, instead of an object."""
    assert error.body is not None
    return json.loads(error.body)


def causes(pools: client.CustomObjectsApi, obj: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the fields and messages with which the API server refuses an object."""
    with pytest.raises(client.ApiException) as caught:
        pools.create_namespaced_custom_object(**WHERE, body=obj, dry_run="All")
    assert caught.value.status == 422
    return [(cause["field"], cause["message"]) for cause in answer(caught.value)["details"]["causes"]]


@pytest.mark.parametrize("changes", GOOD.values(), ids=GOOD)
def test_the_api_server_accepts_what_the_models_accept(
    pools: client.CustomObjectsApi, changes: dict[str, Any]
) -> None:
    stored: Any = pools.create_namespaced_custom_object(
        **WHERE, body=manifest(changes), dry_run="All", field_validation="Strict"
    )
    # Nothing was pruned, and what the API server filled in is what the models fill in.
    assert (
        RunnerPool.parse(stored, allow_http=True).spec
        == RunnerPool.parse(manifest(changes), allow_http=True).spec
    )


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_the_api_server_refuses_what_the_models_refuse_at_the_same_place(
    pools: client.CustomObjectsApi, bad: Bad
) -> None:
    found = [
        (field, message)
        for field, message in causes(pools, manifest(bad.changes))
        if "some validation rules were not checked" not in message
    ]
    assert [field for field, _ in found] == [bad.server_at or bad.at]
    assert (bad.server_says or bad.says) in found[0][1]


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_the_api_server_refuses_a_mistake_with_a_sentence_or_leaves_it_to_a_condition(
    pools: client.CustomObjectsApi, mistake: Mistake
) -> None:
    """What it takes is named by ``check``, and by a condition of the pool."""
    right = manifest({"github": github(repositories={"include": ["acme/lib"]})})
    obj = mistake.applied_to(right)
    options: dict[str, Any] = {"dry_run": "All", "field_validation": "Strict"}
    if not mistake.server:
        pools.create_namespaced_custom_object(**WHERE, body=obj, **options)
        return
    with pytest.raises(client.ApiException) as caught:
        pools.create_namespaced_custom_object(**WHERE, body=obj, **options)
    assert caught.value.status in (400, 422)
    assert mistake.server in answer(caught.value)["message"]


def test_a_misspelt_field_is_refused_under_strict_validation(pools: client.CustomObjectsApi) -> None:
    with pytest.raises(client.ApiException, match=r'unknown field \\"spec.maxRuners\\"'):
        pools.create_namespaced_custom_object(
            **WHERE, body=manifest({"maxRuners": 3}), dry_run="All", field_validation="Strict"
        )


def test_several_mistakes_are_shown_at_once(pools: client.CustomObjectsApi) -> None:
    found = causes(
        pools, manifest({"labels": ["ubuntu-latest"], "flavors": [], "minIdle": 20, "image": "a b"})
    )
    assert {field for field, _ in found} == {"spec.labels[0]", "spec.flavors", "spec.minIdle", "spec.image"}


def test_plain_http_is_left_to_the_controller(pools: client.CustomObjectsApi) -> None:
    changes = {
        "github.url": "http://sim.default.svc:8080/acme/lib",
        "huggingface.endpoint": "http://sim:8081",
    }
    assert pools.create_namespaced_custom_object(**WHERE, body=manifest(changes), dry_run="All")


def test_defaults_are_stored_with_the_object(pools: client.CustomObjectsApi) -> None:
    with created(pools, manifest(name="defaults")) as stored:
        spec = stored["spec"]
    assert spec["deadlines"] == {"scheduling": "10m", "registration": "5m", "idle": "2m", "lifetime": "6h"}
    assert (spec["maxRunners"], spec["minIdle"], spec["ssh"], spec["paused"]) == (10, 0, False, False)
    assert spec["github"]["groupOnlyJobs"] == "Ignore"
    assert spec["huggingface"]["endpoint"] == "https://huggingface.co"


def test_one_deadline_keeps_the_defaults_of_the_others(pools: client.CustomObjectsApi) -> None:
    stored: Any = pools.create_namespaced_custom_object(
        **WHERE, body=manifest({"deadlines.lifetime": "45m"}), dry_run="All"
    )
    assert stored["spec"]["deadlines"] == {
        "scheduling": "10m",
        "registration": "5m",
        "idle": "2m",
        "lifetime": "45m",
    }


def test_a_pool_that_nobody_has_looked_at_says_so(pools: client.CustomObjectsApi) -> None:
    """Else `helm --wait` and `kubectl wait` take it for healthy."""
    with created(pools, manifest(name="unseen")):
        stored: Any = pools.get_namespaced_custom_object(**WHERE, name="unseen")
    assert stored["status"] == {"observedGeneration": -1}


def test_a_pool_may_be_pointed_at_another_repository(pools: client.CustomObjectsApi) -> None:
    with created(pools, manifest(name="moved")):
        changed: Any = pools.patch_namespaced_custom_object(
            **WHERE, name="moved", body={"spec": {"github": {"url": "https://github.com/acme/other"}}}
        )
    assert changed["metadata"]["generation"] == 2


NOW = "2026-11-21T10:00:00Z"
BACKOFF = Backoff(
    failures=2, until=NOW, reason=Reason.HubPaymentRequired, message="Add credits.", request_id="Root=1-x"
)
FULL_STATUS = RunnerPoolStatus(
    observed_generation=1,
    conditions=[
        Condition(
            type=ConditionType.READY,
            status="False",
            observed_generation=1,
            last_transition_time=NOW,
            reason=Reason.HubPaymentRequired,
            message="Add credits.",
        ),
    ],
    flavor_names="t4-small,l4x1",
    counts=Counts(
        queued=3,
        group_only=1,
        unservable=2,
        starting=3,
        registered=1,
        scheduling=1,
        booting=1,
        idle=1,
        busy=4,
        ending=1,
        live=7,
    ),
    queue=[Waiting(reason=Reason.AtMaxRunners, count=3, message="Raise maxRunners.", oldest=NOW)],
    runners=[
        Runner(
            name="t4-hfr-0a1b2c-01234567-aaaa",
            phase=Phase.BUSY,
            flavor="t4-small",
            hf_job_id="6920a0",
            hf_job_url="https://huggingface.co/jobs/acme/6920a0",
            workflow_job_url="https://github.com/acme/lib/actions/runs/1/job/2",
            since=NOW,
        )
    ],
    flavors=[FlavorStatus(name="t4-small", usd_per_hour="0.40", live=7, backoff=BACKOFF)],
    backoff=BACKOFF,
    last_launch_at=NOW,
    places=[
        LaunchedPlace(
            api_url="https://api.github.com",
            scope="repos/acme/lib",
            credentials_secret="github-app",
            endpoint="https://huggingface.co",
            namespace="acme",
            token_secret="hf-token",
            ends_by=NOW,
        )
    ],
    interruptions=[
        Interruption(
            repository="acme/lib",
            run_id=7,
            attempt=1,
            job_id=70,
            job_name="train",
            job_url="https://github.com/acme/lib/actions/runs/7/job/70",
            at=NOW,
            rerun=RerunState.PENDING,
            note="GitHub does not tell who cancelled one of its jobs",
            by_hub=True,
        )
    ],
    intents=[
        Intents(
            place=Place(
                api_url="https://api.github.com",
                scope="repos/acme/lib",
                credentials_secret="github-app",
                endpoint="https://huggingface.co",
                namespace="acme",
                token_secret="hf-token",
            ),
            launches=[Intent(name="t4-hfr-0a0b0c-0a0b0c0d-abcdefghij", flavor="t4-small", at=NOW)],
        )
    ],
    suspicions=[
        Suspicion(
            level=SuspicionLevel.JOB,
            repository="acme/lib",
            job_id=70,
            since=NOW,
            starts=[NOW],
            rises_to=SuspicionLevel.REPOSITORY,
        )
    ],
    term=Term(number=3, holder="controller_1"),
    cost=Cost(usd_per_hour="2.80", max_usd_per_hour="8.00", worst_case_usd="17.20", spent_usd="1.5012"),
)


def unset(part: StatusPart) -> Iterator[str]:
    for name in type(part).model_fields:
        value = getattr(part, name)
        if value is None or name not in part.model_fields_set:
            yield f"{type(part).__name__}.{name}"
        for below in value if isinstance(value, list) else [value]:
            if isinstance(below, StatusPart):
                yield from unset(below)


def test_a_full_status_is_stored_whole(pools: client.CustomObjectsApi) -> None:
    """Nothing is pruned, whatever field a model has."""
    assert list(unset(FULL_STATUS)) == []
    with created(pools, manifest(name="status")):
        stored: Any = pools.patch_namespaced_custom_object_status(
            **WHERE, name="status", body={"status": as_stored(FULL_STATUS)}
        )
    assert stored["status"] == as_stored(FULL_STATUS)


def test_status_of_the_object_itself_is_not_writable(pools: client.CustomObjectsApi) -> None:
    with created(pools, manifest(name="status-by-user")):
        stored: Any = pools.patch_namespaced_custom_object(
            **WHERE, name="status-by-user", body={"status": {"observedGeneration": 7}}
        )
    assert stored["status"] == {"observedGeneration": -1}


def get(api_client: client.ApiClient, path: str, accept: str = "application/json") -> Any:
    request = api_client.param_serialize(
        "GET", path, header_params={"Accept": accept}, auth_settings=["BearerToken"]
    )
    response: Any = api_client.call_api(*request)
    response.read()
    assert response.status == 200
    return json.loads(response.data)


def test_kubectl_get_tells_the_story_in_one_line(
    api_client: client.ApiClient, pools: client.CustomObjectsApi
) -> None:
    with created(pools, manifest({"maxRunners": 20}, name="columns")):
        pools.patch_namespaced_custom_object_status(
            **WHERE, name="columns", body={"status": as_stored(FULL_STATUS)}
        )
        path = "/apis/hfrunners.dev/v1alpha1/namespaces/default/runnerpools"
        table = get(api_client, path, "application/json;as=Table;v=v1;g=meta.k8s.io")
    columns = table["columnDefinitions"]
    names = [column["name"] for column in columns if column["priority"] == 0]
    assert names == ["Name", "Flavors", "Queued", "Starting", "Idle", "Busy", "Max", "Ready", "Age"]
    shown = {
        column["name"]: cell
        for row in table["rows"]
        if row["cells"][0] == "columns"
        for column, cell in zip(columns, row["cells"], strict=True)
    }
    assert shown.pop("Age")
    assert shown == {
        "Name": "columns",
        "Flavors": "t4-small,l4x1",
        "Queued": 3,
        "Starting": 3,
        "Idle": 1,
        "Busy": 4,
        "Max": 20,
        "Ready": "False",
        "Reason": "HubPaymentRequired",
        "HF namespace": "acme",
        "GitHub URL": "https://github.com/acme/lib",
        "Lifetime": "6h",
        "USD/h": "2.80",
    }


def test_rp_is_the_short_name(api_client: client.ApiClient) -> None:
    answer = get(api_client, "/apis/hfrunners.dev/v1alpha1")
    (resource,) = [item for item in answer["resources"] if item["name"] == "runnerpools"]
    assert resource["shortNames"] == ["rp"]
    assert resource["namespaced"]


def explained(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for name, child in schema.get("properties", {}).items():
        yield f"{path}.{name}", child.get("description", "")
        yield from explained(child.get("items", child), f"{path}.{name}")


def test_kubectl_explain_has_a_sentence_for_every_field(api_client: client.ApiClient) -> None:
    document = get(api_client, "/openapi/v3/apis/hfrunners.dev/v1alpha1")
    pool = document["components"]["schemas"]["dev.hfrunners.v1alpha1.RunnerPool"]
    sentences = {
        path: text
        for part in ("spec", "status")
        for path, text in explained({"properties": {part: pool["properties"][part]}})
    }
    assert len(sentences) > 60
    assert {path for path, text in sentences.items() if not text.endswith(".")} == set()


def test_a_stored_pool_is_not_judged_by_what_it_does_not_say(pools: client.CustomObjectsApi) -> None:
    """Null is how `kubectl apply` and Helm leave a field out."""
    stored: Any = pools.create_namespaced_custom_object(
        **WHERE, body=manifest({"image": None, "deadlines": None, "maxRunners": None}), dry_run="All"
    )
    assert "image" not in stored["spec"]
    assert stored["spec"]["maxRunners"] == 10
    assert stored["spec"]["deadlines"]["idle"] == "2m"


def test_programs_from_a_writable_mount_by_way_of_a_variable_are_left_to_the_controller(
    pools: client.CustomObjectsApi,
) -> None:
    bucket = {"type": "bucket", "source": "acme/cache", "mountPath": "/mnt/tools", "readOnly": False}
    changes = {"env": {"RUNNER_TOOL_CACHE": "/mnt/tools"}, "volumes": [bucket]}
    assert pools.create_namespaced_custom_object(**WHERE, body=manifest(changes), dry_run="All")


def without_rules_for_writable_mounts(definition: dict[str, Any]) -> dict[str, Any]:
    older = deepcopy(definition)
    schema = older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    volume = schema["properties"]["spec"]["properties"]["volumes"]["items"]
    before = volume["x-kubernetes-validations"]
    volume["x-kubernetes-validations"] = [rule for rule in before if "messageExpression" not in rule]
    assert len(before) == len(volume["x-kubernetes-validations"]) + 2
    return older


def test_a_pool_that_was_stored_before_a_rule_can_be_told_so_edited_and_deleted(
    api_client: client.ApiClient, pools: client.CustomObjectsApi
) -> None:
    """Kubernetes 1.30 and newer leave what did not change alone."""
    group = "before.hfrunners.dev"
    newer = crd()
    newer["metadata"]["name"] = f"{PLURAL}.{group}"
    newer["spec"]["group"] = group
    extensions = client.ApiextensionsV1Api(api_client)
    definition: Any = without_rules_for_writable_mounts(newer)
    extensions.create_custom_resource_definition(definition)
    where = {**WHERE, "group": group}
    bucket = {"type": "bucket", "source": "acme/cache", "mountPath": "/opt/runner", "readOnly": False}
    stored = {**manifest({"volumes": [bucket]}, name="stored"), "apiVersion": f"{group}/{VERSION}"}
    stored["metadata"]["finalizers"] = ["hfrunners.dev/test"]
    try:
        assert within_seconds(lambda: created_once(pools, where, stored))
        extensions.patch_custom_resource_definition(newer["metadata"]["name"], newer)
        second = {**stored, "metadata": {"name": "second", "namespace": "default"}}
        assert within_seconds(lambda: is_refused(pools, where, second))
        pools.patch_namespaced_custom_object_status(
            **where, name="stored", body={"status": {"observedGeneration": 1}}
        )
        pools.patch_namespaced_custom_object(**where, name="stored", body={"spec": {"maxRunners": 1}})
        pools.delete_namespaced_custom_object(**where, name="stored")
        pools.patch_namespaced_custom_object(**where, name="stored", body={"metadata": {"finalizers": None}})
        with pytest.raises(client.ApiException, match="404"):
            pools.get_namespaced_custom_object(**where, name="stored")
    finally:
        extensions.delete_custom_resource_definition(newer["metadata"]["name"])


def within_seconds(met: Callable[[], bool]) -> bool:
    """Return whether something becomes so; an API server takes a moment to serve a type that it was given."""
    for _ in range(100):
        if met():
            return True
        time.sleep(0.1)
    return False


def created_once(pools: client.CustomObjectsApi, where: dict[str, Any], obj: dict[str, Any]) -> bool:
    try:
        pools.create_namespaced_custom_object(**where, body=obj)
    except client.ApiException as error:
        if error.status != 404:
            raise
        return False
    return True


def is_refused(pools: client.CustomObjectsApi, where: dict[str, Any], obj: dict[str, Any]) -> bool:
    try:
        pools.create_namespaced_custom_object(**where, body=obj, dry_run="All")
    except client.ApiException as error:
        return "/opt/runner: the runner, its tools" in answer(error)["message"]
    return False
