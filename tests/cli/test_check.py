"""The command ``check`` against both simulated services: what it finds, how it says so, and
that it changes nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from click.testing import CliRunner, Result

from controller.api.convert import to_pool
from controller.api.crd import crd
from controller.cli import main
from controller.cli.checks.cluster import check_crd
from controller.cli.checks.findings import Findings, Severity
from controller.cli.checks.inputs import Subject
from controller.cli.checks.pools import check_image
from controller.core.reasons import Reason
from hf_runner_simulators.github.keys import private_key
from tests.cli.services import (
    CLASSIC,
    FINE,
    FOR_RUNNERS,
    HF_TOKEN,
    Services,
    allowing,
    manifests,
    secret,
)

EXAMPLES = Path(__file__).parents[2] / "examples"


def check(text: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["check", "-", *allowing(text), *arguments], input=text)


def found(text: str, *arguments: str) -> list[dict[str, Any]]:
    result = check(text, "--json", *arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    findings: list[dict[str, Any]] = json.loads(result.stdout)["findings"]
    return findings


def bad(text: str) -> set[tuple[str, str, str]]:
    """Return severity, reason and subject of all but notes."""
    return {
        (one["severity"], one["reason"], one["subject"]) for one in found(text) if one["severity"] != "note"
    }


def message(text: str, reason: str) -> str:
    (one,) = [one for one in found(text) if one["reason"] == reason]
    return str(one["message"])


# ------------------------------------------------------------------------------------------------------ whole
def test_a_pool_that_will_work_has_no_errors_and_its_price_and_polling_are_told(services: Services) -> None:
    result = check(manifests(services.pool(), *services.secrets()))
    assert result.exit_code == 0, result.output
    assert "1 pool checked: 0 errors, 0 warnings, 2 notes" in result.stdout
    assert "t4-small $0.40/h. 10 runners at once cost up to $4.00 an hour" in result.stdout
    assert "Polling 1 repository of acme sends about 375 requests an hour" in result.stdout


def test_every_problem_is_told_at_once_each_where_it_is_written(services: Services) -> None:
    services.grant(actions="read", metadata="read")
    pools = [
        services.pool(flavors=["t4-smal"], labels=["gpu"]),
        services.pool(
            "b",
            labels=["GPU", "b"],
            image="alpine:3",
            secretEnv=[{"name": "K", "secret": "env", "key": "no"}],
        ),
        services.pool("c", labels=["c"], secretEnv=[{"name": "K", "secret": "hf", "key": "token"}]),
    ]
    variables = secret("env", {"yes": "x"}, FOR_RUNNERS)
    text = manifests(*pools, variables, *services.secrets(hf="hf_reader_0123456789"))
    assert bad(text) == {
        ("error", "PermissionMissing", "Secret ci/github"),
        ("error", "HubForbidden", "Secret ci/hf"),
        ("error", "UnknownFlavor", "ci/t4"),
        ("error", "SecretMalformed", "ci/b"),
        ("error", "SecretNotLabelled", "ci/c"),
        ("warning", "ImageUnsuitable", "ci/b"),
        ("warning", "LabelsOverlap", "ci/b"),
    }
    lines = text.splitlines()
    wanted = {
        "UnknownFlavor": "- t4-smal",
        "ImageUnsuitable": "image: alpine:3",
        "SecretMalformed": "- name: K",
    }
    for one in found(text):
        if one["reason"] in wanted:
            name, _, number = one["where"].rpartition(":")
            assert (name, lines[int(number) - 1].strip()) == ("stdin", wanted[one["reason"]])
    assert check(text).exit_code == 1


def test_nothing_is_changed_whatever_the_credentials(services: Services) -> None:
    for github in (None, {"token": CLASSIC}, {"token": FINE}):
        check(
            manifests(services.pool(), services.pool("r", owner_url=False), *services.secrets(github=github))
        )
    report, hub = services.ask("report"), services.ask("report", hub=True)
    assert report["registrations"] == report["jobs"] == []
    assert hub["jobs"] == []
    changing = {
        route
        for world in (report, hub)
        for route in world["requests"]["routes"]
        if not route.startswith("GET ")
    }
    assert changing == {
        "POST /app/installations/{installation_id}/access_tokens",
        "POST /orgs/{org}/actions/runners/generate-jitconfig",
        "POST /repos/{owner}/{repo}/actions/runners/generate-jitconfig",
        "POST /api/jobs/{namespace}/auth-check/{permission}",
    }
    refusals = report["requests"]["routes"]["POST /orgs/{org}/actions/runners/generate-jitconfig"]
    assert set(refusals) == {"403"}


def test_no_secret_is_ever_printed(services: Services) -> None:
    wrong = {"appId": "77", "privateKey": private_key()}
    for github in (None, wrong, {"token": CLASSIC}, {"token": "ghp_unknown0123456789"}):
        output = check(
            manifests(services.pool(), *services.secrets(github=github, hf="hf_unknown_987654321"))
        ).output
        for hidden in (CLASSIC, "ghp_unknown", "hf_unknown", private_key().splitlines()[1]):
            assert hidden not in output


# ------------------------------------------------------------------------------------------------------ input
def test_mistakes_in_manifests_end_with_2_and_the_other_pools_are_checked_all_the_same(
    services: Services,
) -> None:
    broken = services.pool("broken", labels=[], maxRunners="many")
    text = manifests(broken, services.pool(), *services.secrets())
    result = check(text)
    assert result.exit_code == 2
    line = text.splitlines().index("  labels: []") + 1
    assert f"ci/broken (stdin:{line}) InvalidSpec: spec.labels: name at least one label" in result.stdout
    assert "spec.maxRunners: write a whole number without quotes" in result.stdout
    assert "1 pool checked: 2 errors" in result.stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "is not YAML"),
        ("- 1\n", "write an object"),
        ("kind: Service\n", "there is no RunnerPool"),
        ("kind: RunnerPool\nkind: RunnerPool\n", "is here twice"),
        ("kind: Secret\nmetadata: {name: x}\ndata: {token: '%%%'}\n", "is not base64"),
    ],
)
def test_what_is_no_manifest_ends_with_2_and_says_where(text: str, words: str) -> None:
    result = check(text)
    assert result.exit_code == 2
    assert words in result.stdout


def test_a_file_that_cannot_be_read_is_named() -> None:
    result = CliRunner().invoke(main, ["check", "/no/such/file.yaml"])
    assert result.exit_code == 2
    assert "/no/such/file.yaml" in result.stdout


@pytest.mark.parametrize(
    "arguments", [[], ["x.yaml", "--all"], ["--pool", "t4"], ["--all", "--service-account", "a/b/c"]]
)
def test_arguments_that_say_nothing_or_two_things_are_refused(arguments: list[str]) -> None:
    assert CliRunner().invoke(main, ["check", *arguments]).exit_code == 2


def test_a_list_as_kubectl_prints_it_is_read_too(services: Services) -> None:
    listed = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [services.pool(flavors=["x"]), *services.secrets()],
    }
    text = manifests(listed)
    assert bad(text) == {("error", "UnknownFlavor", "ci/t4")}


def test_secrets_that_are_in_no_file_are_warned_of_and_the_rest_is_checked(services: Services) -> None:
    text = manifests(services.pool())
    assert bad(text) == {
        ("warning", "SecretMissing", "Secret ci/github"),
        ("warning", "SecretMissing", "Secret ci/hf"),
    }
    assert (check(text).exit_code, check(text, "--strict").exit_code) == (0, 1)


# ----------------------------------------------------------------------------------------------------- GitHub
@pytest.mark.parametrize(
    ("data", "reason", "words"),
    [
        ({"appId": "1"}, "SecretMalformed", "privateKey is missing"),
        ({"appId": "100001", "privateKey": "x"}, "SecretMalformed", "not a PEM private key"),
        ({"appId": "77", "privateKey": private_key()}, "GitHubUnauthorized", "knows no App 77"),
        ({"token": "ghp_nobody0123456789"}, "GitHubUnauthorized", "Bad credentials"),
    ],
)
def test_credentials_that_are_worth_nothing_are_one_error(
    services: Services, data: dict[str, str], reason: str, words: str
) -> None:
    text = manifests(services.pool(), *services.secrets(github=data))
    assert bad(text) == {("error", reason, "Secret ci/github")}
    assert words in message(text, reason)


def test_an_app_that_is_installed_elsewhere_is_told_so(services: Services) -> None:
    services.change(
        "setup", {"organizations": [{"login": "other"}], "repositories": [{"full_name": "other/x"}]}
    )
    pool = services.pool(github={"url": f"{services.github}/other", "repositories": {"include": ["x"]}})
    assert bad(manifests(pool, *services.secrets())) == {("error", "AppNotInstalled", "Secret ci/github")}


def test_each_permission_that_an_app_lacks_is_named(services: Services) -> None:
    services.grant(metadata="read", organization_self_hosted_runners="read")
    text = manifests(services.pool(retry={"interrupted": 1}), *services.secrets())
    messages = [one["message"] for one in found(text) if one["reason"] == "PermissionMissing"]
    assert sum("lacks Actions (repository): write (spec.retry.interrupted" in one for one in messages) == 1
    assert (
        sum(
            "lacks Self-hosted runners (organization): write" in one and "only read" in one
            for one in messages
        )
        == 1
    )


def test_permissions_that_no_pool_needs_are_noted(services: Services) -> None:
    services.grant(
        actions="write",
        metadata="read",
        organization_self_hosted_runners="write",
        administration="write",
        checks="write",
    )
    text = manifests(services.pool(), *services.secrets())
    assert "may write Actions (repository) and Administration (repository)." in message(
        text, "PermissionExcessive"
    )
    assert bad(text) == set()


def test_a_classic_token_is_judged_by_its_scopes(services: Services) -> None:
    text = manifests(services.pool(), *services.secrets(github={"token": CLASSIC}))
    assert "lacks the scope admin:org," in message(text, "PermissionMissing")
    assert "it has repo" in message(text, "PermissionMissing")
    of_repository = manifests(services.pool(owner_url=False), *services.secrets(github={"token": CLASSIC}))
    assert bad(of_repository) == set()


def test_a_fine_grained_token_is_tried_since_nothing_tells_what_it_may_do(services: Services) -> None:
    text = manifests(services.pool(), *services.secrets(github={"token": FINE}))
    assert "organization_self_hosted_runners=write" in message(text, "PermissionMissing")
    granted = {"actions": "read", "metadata": "read", "organization_self_hosted_runners": "write"}
    token = {
        "token": "github_pat_able0123456789",
        "login": "octocat",
        "account": "acme",
        "permissions": granted,
    }
    services.change("setup", {"tokens": [token]})
    able = manifests(services.pool(), *services.secrets(github={"token": token["token"]}))  # type: ignore[dict-item]
    assert bad(able) == set()
    assert services.ask("report")["registrations"] == []


def test_one_repository_of_many_that_cannot_be_read_is_named(services: Services) -> None:
    services.change(
        "repositories/acme/web", {"blocked_status": 403, "blocked_message": "Repository access blocked"}
    )
    pool = services.pool(github={"repositories": {"include": ["lib", "web", "gone"]}})
    text = manifests(pool, *services.secrets())
    messages = [one["message"] for one in found(text) if one["severity"] == "error"]
    assert [("acme/web" in one, "acme/gone" in one) for one in sorted(messages)] == [
        (False, True),
        (True, False),
    ]


def test_patterns_that_match_nothing_are_an_error(services: Services) -> None:
    pool = services.pool(github={"repositories": {"include": ["nothing-*"]}})
    assert bad(manifests(pool, *services.secrets())) == {("error", "NoRepositories", "ci/t4")}


def test_a_quota_that_is_nearly_gone_is_a_warning(services: Services) -> None:
    # On a socket the simulated GitHub is an Enterprise Server, which has no limits unless told.
    services.change("knobs", {"ghes_rate_limits": True, "core_limit": 100})
    token = {"token": "ghp_able0123456789", "login": "octocat", "scopes": ["repo", "admin:org"]}
    services.change("setup", {"tokens": [token]})
    text = manifests(services.pool(), *services.secrets(github={"token": "ghp_able0123456789"}))
    assert "requests are left until" in message(text, "PollingLoad")
    with httpx.Client(headers={"Authorization": "Bearer ghp_able0123456789"}) as client:
        for _ in range(84):
            client.get(f"{services.github}/api/v3/meta").raise_for_status()
    assert bad(text) == {("warning", "GitHubRateLimited", "Secret ci/github")}
    assert "that is too little" in message(text, "GitHubRateLimited")


# --------------------------------------------------------------------------------------------- who may use it
SITE = {"repositories": {"include": ["acme/site"]}}


def group(services: Services, name: str, **more: Any) -> dict[str, Any]:
    services.change("setup", {"groups": [{"organization": "acme", "name": name, **more}]})
    return {**SITE, "runnerGroup": name}


def test_a_group_that_refuses_public_repositories_leaves_their_jobs_waiting(services: Services) -> None:
    named = manifests(services.pool(github=SITE), *services.secrets())
    assert bad(named) == {("error", "GroupExcludesRepository", "ci/t4")}
    assert "acme/site is public" in message(named, "GroupExcludesRepository")
    caught = manifests(services.pool(github={"repositories": {"include": ["*"]}}), *services.secrets())
    assert bad(caught) == {("warning", "GroupExcludesRepository", "ci/t4")}


def test_a_group_of_selected_repositories_leaves_the_others_out(services: Services) -> None:
    chosen = group(services, "gpu", visibility="selected", selected=["acme/web"])
    pool = services.pool(github={**chosen, "repositories": {"include": ["lib", "web"]}})
    text = manifests(pool, *services.secrets())
    assert bad(text) == {("error", "GroupExcludesRepository", "ci/t4")}
    assert "acme/lib is not among them" in message(text, "GroupExcludesRepository")


def test_a_group_that_does_not_exist_is_named_beside_those_that_do(services: Services) -> None:
    pool = services.pool(github={"runnerGroup": "gpus"})
    text = manifests(pool, *services.secrets())
    assert "'gpus'" in message(text, "RunnerGroupMissing")
    assert "Default" in message(text, "RunnerGroupMissing")


def test_a_public_repository_that_may_use_the_runners_is_called_dangerous(services: Services) -> None:
    open_to_all = group(services, "gpu", allows_public_repositories=True)
    bucket = {"type": "bucket", "source": "acme/cache", "mountPath": "/c", "readOnly": False}
    services.grant(
        actions="read", metadata="read", organization_self_hosted_runners="write", administration="read"
    )
    text = manifests(services.pool(github=open_to_all, volumes=[bucket]), *services.secrets())
    assert bad(text) == {("warning", "PublicRepository", "ci/t4"), ("warning", "ForkApprovalWeak", "ci/t4")}
    assert "anybody's pull request" in message(text, "PublicRepository")
    assert "write access to acme/cache" in message(text, "PublicRepository")
    assert "the approval policy is first_time_contributors." in message(text, "ForkApprovalWeak")
    services.change("repositories/acme/site", {"fork_approval": "all_external_contributors"})
    assert bad(text) == {("warning", "PublicRepository", "ci/t4")}


def test_a_group_for_one_workflow_on_main_is_safe_enough_to_be_a_note(services: Services) -> None:
    workflow = "acme/lib/.github/workflows/gpu.yml@refs/heads/main"
    only = group(services, "gpu", allows_public_repositories=True, workflows=[workflow])
    text = manifests(services.pool(github=only), *services.secrets())
    assert bad(text) == set()
    assert workflow in message(text, "PublicRepository")


def test_an_approval_policy_that_may_not_be_read_is_said_with_where_to_look(services: Services) -> None:
    open_to_all = group(services, "gpu", allows_public_repositories=True)
    text = manifests(services.pool(github=open_to_all), *services.secrets())
    assert bad(text) == {("warning", "PublicRepository", "ci/t4")}
    assert "Administration: read" in message(text, "NotChecked")


def test_a_public_repositorys_own_runners_serve_whatever_is_in_it(services: Services) -> None:
    services.change(
        "setup", {"tokens": [{"token": "ghp_repo0123456789", "login": "octocat", "scopes": ["repo"]}]}
    )
    pool = services.pool(github={"url": f"{services.github}/acme/site"})
    del pool["spec"]["github"]["repositories"]
    text = manifests(pool, *services.secrets(github={"token": "ghp_repo0123456789"}))
    assert bad(text) == {("warning", "PublicRepository", "ci/t4"), ("warning", "ForkApprovalWeak", "ci/t4")}


def test_an_owner_that_is_a_person_has_no_runners(services: Services) -> None:
    services.change("setup", {"repositories": [{"full_name": "octocat/dotfiles"}]})
    token = {"token": "ghp_all0123456789", "login": "octocat", "scopes": ["repo", "admin:org"]}
    services.change("setup", {"tokens": [token]})
    pool = services.pool(
        github={"url": f"{services.github}/octocat", "repositories": {"include": ["dotfiles"]}}
    )
    text = manifests(pool, *services.secrets(github={"token": "ghp_all0123456789"}))
    assert ("error", "PersonalAccount", "Secret ci/github") in bad(text)


# -------------------------------------------------------------------------------------------------------- Hub
def test_a_token_of_somebody_else_is_told_apart_from_one_with_too_little(services: Services) -> None:
    text = manifests(services.pool(huggingface={"namespace": "nobodys"}), *services.secrets())
    assert "robot's" in message(text, "HubForbidden")
    assert "not a member of nobodys, but of acme and robot" in message(text, "HubForbidden")
    reader = manifests(services.pool(), *services.secrets(hf="hf_reader_0123456789"))
    assert "Give it job.write there" in message(reader, "HubForbidden")


def test_a_namespace_without_credit_is_a_warning(services: Services) -> None:
    services.change("setup", {"namespaces": {"acme": {"type": "org", "credits": 0}}}, hub=True)
    text = manifests(services.pool(), *services.secrets())
    assert bad(text) == {("warning", "HubPaymentRequired", "Secret ci/hf")}


def test_a_hub_that_cannot_be_asked_about_rights_leaves_a_note(services: Services) -> None:
    route = "POST /api/jobs/{namespace}/auth-check/{permission}"
    services.change("faults", {"route": route, "kind": "status", "status": 404, "times": None}, hub=True)
    text = manifests(services.pool(), *services.secrets())
    assert bad(text) == set()
    assert "cannot be asked on this Hub" in message(text, "NotChecked")


def test_a_secret_without_the_key_says_which_it_has(services: Services) -> None:
    text = manifests(services.pool(), services.secrets()[0], secret("hf", {"tokn": HF_TOKEN}))
    assert "no key 'token'" in message(text, "SecretMalformed")
    assert "tokn" in message(text, "SecretMalformed")


def test_what_warm_runners_cost_is_said(services: Services) -> None:
    text = manifests(services.pool(minIdle=2, flavors=["t4-small", "l4x1"]), *services.secrets())
    price = message(text, "Price")
    assert "minIdle 2 costs $1.60 an hour day and night; each is replaced after 3h without a job" in price
    assert "16 starts a day" in price
    assert "no room" not in price


def test_warm_runners_whose_replacement_has_no_room_are_named(services: Services) -> None:
    text = manifests(services.pool(minIdle=2, maxRunners=2), *services.secrets())
    assert "maxRunners leaves no room for the next one" in message(text, "Price")


# ------------------------------------------------------------------------------------------------------ image
@pytest.mark.parametrize(
    ("image", "reasons"),
    [
        ("ubuntu:24.04", set()),
        ("ghcr.io/acme/ci@sha256:" + "0" * 64, set()),
        ("ghcr.io/acme/ci", {"ImageUnpinned"}),
        ("localhost:5000/ci:latest", {"ImageUnpinned"}),
        ("python:3.12-alpine", {"ImageUnsuitable"}),
        ("gcr.io/distroless/python3:debug", {"ImageUnsuitable"}),
        ("ghcr.io/acme/scratchpad:1", set()),
    ],
)
def test_an_image_is_judged_by_its_name(image: str, reasons: set[str]) -> None:
    pool = {
        "apiVersion": "hfrunners.dev/v1alpha1",
        "kind": "RunnerPool",
        "metadata": {"name": "t4"},
        "spec": {
            "github": {"url": "https://github.com/acme/lib", "credentialsSecret": "github"},
            "huggingface": {"namespace": "acme", "tokenSecret": "hf"},
            "labels": ["x"],
            "flavors": ["t4-small"],
            "image": image,
        },
    }
    judged = Findings()
    check_image(Subject(pool=to_pool(pool, allow_http=False), written=lambda _: ""), judged)
    assert {str(one.reason) for one in judged.sorted()} == reasons


@pytest.mark.parametrize(
    ("path", "read_only", "warned"),
    [
        ("/app/cache", False, True),
        ("/home/runner/.cargo", False, True),
        ("/app", True, False),
        ("/mnt/app", False, False),
    ],
)
def test_a_writable_bucket_where_images_often_have_programs_is_warned_of(
    services: Services, path: str, read_only: bool, warned: bool
) -> None:
    bucket = {"type": "bucket", "source": "acme/cache", "mountPath": path, "readOnly": read_only}
    text = manifests(services.pool(volumes=[bucket]), *services.secrets())
    assert bad(text) == ({("warning", "WritableMountOdd", "ci/t4")} if warned else set())
    if warned:
        assert f"acme/cache is writable at {path}." in message(text, "WritableMountOdd")


@pytest.mark.parametrize(
    ("reader", "env", "writer", "warned"),
    [
        ({"mountPath": "/opt/runner"}, {}, {}, True),
        ({"mountPath": "/app"}, {}, {}, True),
        ({"mountPath": "/mnt/tools"}, {"PATH": "/mnt/tools/bin:/bin"}, {}, True),
        ({"mountPath": "/opt/runner", "path": "a"}, {}, {"path": "a/b"}, True),
        ({"mountPath": "/opt/runner", "path": "a"}, {}, {"path": "b"}, False),
        ({"mountPath": "/opt/runner"}, {}, {"source": "acme/other"}, False),
        ({"mountPath": "/opt/runner"}, {}, {"readOnly": True}, False),
        ({"mountPath": "/mnt/tools"}, {}, {}, False),
    ],
)
def test_a_read_only_volume_with_programs_that_jobs_of_another_pool_can_write_is_warned_of(
    services: Services, reader: dict[str, Any], env: dict[str, str], writer: dict[str, Any], warned: bool
) -> None:
    bucket = {"type": "bucket", "source": "acme/cache", "mountPath": "/mnt/c"}
    text = manifests(
        services.pool("reads", volumes=[{**bucket, **reader}], env=env),
        services.pool("writes", volumes=[{**bucket, "readOnly": False, **writer}]),
        *services.secrets(),
    )
    assert bad(text) == ({("warning", "VolumeWrittenElsewhere", "ci/reads")} if warned else set())
    if warned:
        said = message(text, "VolumeWrittenElsewhere")
        assert (
            f"acme/cache is read at {reader['mountPath']}, and jobs of ci/writes can write it at /mnt/c."
            in said
        )


def test_a_bucket_that_a_pool_writes_and_reads_where_images_often_have_programs_is_warned_of(
    services: Services,
) -> None:
    bucket = {"type": "bucket", "source": "acme/cache", "mountPath": "/mnt/c", "readOnly": False}
    text = manifests(
        services.pool(volumes=[bucket, {**bucket, "mountPath": "/app", "readOnly": True}]),
        *services.secrets(),
    )
    assert bad(text) == {("warning", "VolumeWrittenElsewhere", "ci/t4")}


class StandInServer:
    """An API server that publishes one schema of RunnerPool."""

    def __init__(self, schema: dict[str, Any]) -> None:
        kind = [{"group": "hfrunners.dev", "version": "v1alpha1", "kind": "RunnerPool"}]
        self._document = {
            "components": {"schemas": {"pool": {**schema, "x-kubernetes-group-version-kind": kind}}}
        }

    async def request_json(self, method: str, path: str) -> Any:
        return self._document


async def test_a_crd_that_is_older_than_the_program_is_an_error() -> None:
    schema = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    current, older = Findings(), Findings()
    await check_crd(StandInServer(schema), current)  # type: ignore[arg-type]
    del schema["properties"]["spec"]["properties"]["retry"]
    await check_crd(StandInServer(schema), older)  # type: ignore[arg-type]
    assert current.sorted() == []
    (one,) = older.sorted()
    assert (one.severity, one.reason) == (Severity.ERROR, Reason.CRDOutdated)
    assert "spec.retry" in one.message


def test_the_examples_are_manifests_without_mistakes_and_their_placeholders_are_noticed() -> None:
    files = [*EXAMPLES.glob("*/pool.yaml"), EXAMPLES / "secrets.example.yaml"]
    objects = [one for path in sorted(files) for one in yaml.safe_load_all(path.read_text())]
    assert sum(one["kind"] == "RunnerPool" for one in objects) >= 6
    for one in objects:
        if one["kind"] == "RunnerPool":  # nobody listens there
            one["spec"]["github"]["url"] = one["spec"]["github"]["url"].replace(
                "https://github.com", "http://127.0.0.1:9"
            )
            one["spec"]["huggingface"]["endpoint"] = "http://127.0.0.1:9"
    reasons = {one["reason"] for one in found(manifests(*objects))}
    assert "SecretMalformed" in reasons
    assert "InvalidSpec" not in reasons


# ------------------------------------------------------------------------------------------------------ hosts
def test_a_host_that_is_not_allowed_is_told_where_it_is_written_and_gets_nothing(services: Services) -> None:
    text = manifests(services.pool(), *services.secrets())
    asked = len(services.ask("log")), len(services.ask("log", hub=True))
    result = CliRunner().invoke(main, ["check", "-", "--json", "--allow-http"], input=text)
    told = [one for one in json.loads(result.stdout)["findings"] if one["severity"] == "error"]
    assert {one["reason"] for one in told} == {"HostNotAllowed"}
    assert [one["where"].partition(":")[0] for one in told] == ["stdin", "stdin"]
    said = " ".join(one["message"] for one in told)
    assert "--github-host" in said
    assert "--hub-endpoint" in said
    assert result.exit_code == 1
    assert (len(services.ask("log")), len(services.ask("log", hub=True))) == asked


def test_one_service_that_is_allowed_is_checked_beside_one_that_is_not(services: Services) -> None:
    text = manifests(services.pool(), *services.secrets())
    flags = ["--hub-endpoint", services.hub, "--allow-http"]
    result = CliRunner().invoke(main, ["check", "-", "--json", *flags], input=text)
    findings = json.loads(result.stdout)["findings"]
    assert [one["reason"] for one in findings if one["severity"] == "error"] == ["HostNotAllowed"]
    assert "Price" in {one["reason"] for one in findings}
