"""RunnerPools that are right, and ones with one mistake each, for the models and for a real
API server alike.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from controller.api.status.model import StatusPart

ABSENT: Any = object()
"""In changes: leave the field out."""

ORGANIZATION = {"url": "https://github.com/acme", "credentialsSecret": "github-app"}


def manifest(changes: dict[str, Any] | None = None, *, name: str = "t4") -> dict[str, Any]:
    """Return the smallest right RunnerPool for a repository, with dotted spec fields changed."""
    spec: dict[str, Any] = {
        "github": {"url": "https://github.com/acme/lib", "credentialsSecret": "github-app"},
        "huggingface": {"namespace": "acme", "tokenSecret": "hf-token"},
        "labels": ["hf-t4"],
        "flavors": ["t4-small"],
    }
    for path, value in (changes or {}).items():
        *parents, last = path.split(".")
        at = spec
        for step in parents:
            at = at.setdefault(step, {})
        if value is ABSENT:
            at.pop(last)
        else:
            at[last] = deepcopy(value)
    return {
        "apiVersion": "hfrunners.dev/v1alpha1",
        "kind": "RunnerPool",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


def as_stored(status: StatusPart) -> dict[str, Any]:
    """Return a status as an object holds it: JSON types, names as in manifests, absent fields left out."""
    return status.model_dump(by_alias=True, exclude_none=True)


def volume(**changes: Any) -> dict[str, Any]:
    return {"type": "model", "source": "acme/tiny", "mountPath": "/models", **changes}


def github(**changes: Any) -> dict[str, Any]:
    return {**ORGANIZATION, "repositories": {"include": ["*"]}, **changes}


@dataclass(frozen=True)
class Bad:
    """One mistake.

    ``at`` is the path both must name; ``says`` is part of the sentence of both, or of ours alone
    where the API server has its own words for the mistake (``server_says``), and perhaps a more
    exact place (``server_at``).
    """

    changes: dict[str, Any]
    at: str
    says: str
    server_says: str = ""
    server_at: str = ""


GOOD: dict[str, dict[str, Any]] = {
    "least": {},
    "organization": {"github": github()},
    "organization with names": {
        "github": github(
            repositories={"include": ["acme/lib", "ACME/lib-*", "tool?"], "exclude": ["acme/*-public", "x"]}
        )
    },
    "enterprise": {
        "github": {
            "url": "https://github.com/enterprises/big",
            "credentialsSecret": "pat",
            "repositories": {"include": ["acme/*", "*"]},
            "runnerGroup": "gpu",
        }
    },
    "trailing slash": {"github.url": "https://github.com/acme/lib/"},
    "own host with port": {"github.url": "https://git.example.com:8443/acme/lib"},
    "data residency": {"github.url": "https://octo.ghe.com/acme/.github"},
    "managed user": {"github.url": "https://github.com/mona_acme/lib.js"},
    "simulators on loopback": {
        "github.url": "http://127.0.0.1:8080/acme/lib",
        "huggingface.endpoint": "http://localhost:8081",
    },
    "simulator on IPv6 loopback": {"github.url": "http://[::1]:8080/acme/lib"},
    "groups": {"github": github(runnerGroup="GPU machines", groupOnlyJobs="Serve")},
    "colon in a label": {"labels": ["hf-jobs-t4-small:cuda13", "self-hosted", "Linux", "gpu x2"]},
    "longest label": {"labels": ["x" * 256]},
    "almost a hosted label": {"labels": ["ubuntu", "windowsy", "my-ubuntu-latest"]},
    "beginning like a hosted label": {
        "labels": ["self-hosted", "ubuntu-22.04-gpu", "macos-14-mlx", "ubuntu-latest-8-cores"]
    },
    "hundred labels": {"labels": [f"label-{i}" for i in range(100)]},
    "flavors": {"flavors": ["rtx-pro-6000x2", "h200x8", "cpu-basic"]},
    "image by digest": {"image": f"ghcr.io/acme/CI_image@sha256:{'0' * 64}"},
    "image by tag and digest": {"image": f"localhost:5000/a/b:v1.2-rc_1@sha256:{'a' * 64}"},
    "image with port": {"image": "registry.example.com:5000/ci:24.04"},
    "plain image": {"image": "ubuntu"},
    "env": {"env": {"HF_HOME": "/cache", "_x": "", "RUNNER_TOOL_CACHE": "/t"}},
    "secret env": {
        "env": {"A": "1"},
        "secretEnv": [
            {"name": "B", "secret": "wandb", "key": "api.key"},
            {"name": "C", "secret": "wandb", "key": "api.key"},
        ],
    },
    "volumes": {
        "volumes": [
            volume(revision="main", path="a/.b/..c", readOnly=True),
            volume(type="bucket", mountPath="/home/runner/.cache/huggingface", readOnly=False),
            volume(type="dataset", mountPath="/.data"),
            volume(type="space", mountPath="/..x/y"),
        ]
    },
    "writable where no programs are": {
        "volumes": [
            volume(type="bucket", mountPath=path, readOnly=False)
            for path in (
                "/mnt",
                "/data/bin",
                "/cache",
                "/checkpoints",
                "/home/runner/.ccache",
                "/usr2",
                "/srv/etc",
            )
        ]
    },
    "read-only where programs are": {
        "volumes": [
            volume(type="bucket", mountPath=path)
            for path in ("/opt/runner", "/opt/hostedtoolcache", "/usr/local/bin", "/actions-runner")
        ]
    },
    "read-only where programs are, of what no job writes": {
        "volumes": [
            volume(type="bucket", mountPath="/mnt", path="a", readOnly=False),
            volume(type="bucket", mountPath="/opt/runner", path="ab"),
            volume(type="bucket", mountPath="/usr/local", source="acme/other"),
            volume(type="dataset", mountPath="/usr/bin"),
            volume(type="bucket", mountPath="/data"),
        ]
    },
    "everything warm": {"maxRunners": 4, "minIdle": 4},
    "nothing": {"maxRunners": 0},
    "durations": {
        "deadlines": {"scheduling": "1d", "registration": "1h30m", "idle": "10s", "lifetime": "5d"}
    },
    "more durations": {
        "deadlines": {"scheduling": "1.5h", "registration": "90s", "idle": "1m", "lifetime": "120h"}
    },
    "switches": {"ssh": True, "paused": True},
}

_URL, _REPOSITORIES = "write the address of an owner", "spec.github.repositories"
_DURATION = "write a duration such as 90s, 10m, 1h30m or 2d, from 10s to "

BAD: dict[str, Bad] = {
    # --- github
    "url without scheme": Bad({"github.url": "github.com/acme/lib"}, "spec.github.url", _URL),
    "url of a host": Bad({"github.url": "https://github.com/"}, "spec.github.url", _URL),
    "clone url": Bad({"github.url": "https://github.com/acme/lib.git"}, "spec.github.url", _URL),
    "ssh url": Bad({"github.url": "git@github.com:acme/lib"}, "spec.github.url", _URL),
    "deep url": Bad({"github.url": "https://github.com/acme/lib/actions"}, "spec.github.url", _URL),
    "page of an organization": Bad({"github.url": "https://github.com/orgs/acme"}, "spec.github.url", _URL),
    "nameless enterprise": Bad(
        {"github": {**github(), "url": "https://github.com/enterprises"}}, "spec.github.url", _URL
    ),
    "api url": Bad({"github.url": "https://api.github.com/repos/acme"}, "spec.github.url", _URL),
    "url with query": Bad({"github.url": "https://github.com/acme/lib?tab=x"}, "spec.github.url", _URL),
    "url with credentials": Bad({"github.url": "https://u:p@github.com/acme/lib"}, "spec.github.url", _URL),
    "url with dots": Bad({"github.url": "https://github.com/acme/.."}, "spec.github.url", _URL),
    "url with newline": Bad({"github.url": "https://github.com/acme/lib\n"}, "spec.github.url", _URL),
    "no url": Bad({"github.url": ABSENT}, "spec.github.url", "is required", "Required value"),
    "no secret": Bad(
        {"github.credentialsSecret": ABSENT}, "spec.github.credentialsSecret", "is required", "Required value"
    ),
    "secret with namespace": Bad(
        {"github.credentialsSecret": "ns/app"},
        "spec.github.credentialsSecret",
        "name of a Secret in the pool's namespace",
    ),
    "group of a repository": Bad(
        {"github.runnerGroup": "gpu"}, "spec.github.runnerGroup", "only organizations and enterprises"
    ),
    "empty group": Bad(
        {"github": github(runnerGroup="")}, "spec.github.runnerGroup", "at least 1", "at least 1"
    ),
    "serve without group": Bad(
        {"github": github(groupOnlyJobs="Serve")}, "spec.github.groupOnlyJobs", "Serve needs a runnerGroup"
    ),
    "serve misspelt": Bad(
        {"github": github(groupOnlyJobs="serve")},
        "spec.github.groupOnlyJobs",
        "write 'Ignore' or 'Serve'",
        'supported values: "Ignore", "Serve"',
    ),
    "owner without repositories": Bad({"github": ORGANIZATION}, _REPOSITORIES, 'or write include: ["*"]'),
    "enterprise without repositories": Bad(
        {"github": {**ORGANIZATION, "url": "https://github.com/enterprises/big"}},
        _REPOSITORIES,
        'or write include: ["*"]',
    ),
    "nothing included": Bad(
        {"github": github(repositories={"include": []})},
        f"{_REPOSITORIES}.include",
        "name at least one repository",
    ),
    "only excluded": Bad(
        {"github": github(repositories={"exclude": ["acme/x"]})},
        f"{_REPOSITORIES}.include",
        "is required",
        "Required value",
    ),
    "repositories of a repository": Bad(
        {"github.repositories": {"include": ["acme/lib"]}}, _REPOSITORIES, "already names the one repository"
    ),
    "glob with three parts": Bad(
        {"github": github(repositories={"include": ["acme/lib", "acme/b/c"]})},
        f"{_REPOSITORIES}.include[1]",
        "write REPOSITORY or OWNER/REPOSITORY",
    ),
    "glob of another owner": Bad(
        {"github": github(repositories={"include": ["other/lib"]})}, _REPOSITORIES, "begin with the owner"
    ),
    "exclusion of another owner": Bad(
        {"github": github(repositories={"include": ["lib"], "exclude": ["*/lib"]})},
        _REPOSITORIES,
        "begin with the owner",
    ),
    "bare name in an enterprise": Bad(
        {"github": github(url="https://github.com/enterprises/big", repositories={"include": ["lib-*"]})},
        _REPOSITORIES,
        "every name needs its owner",
    ),
    # --- labels
    "no labels": Bad({"labels": []}, "spec.labels", "name at least one label"),
    "labels absent": Bad({"labels": ABSENT}, "spec.labels", "is required", "Required value"),
    "empty label": Bad({"labels": ["a", ""]}, "spec.labels[1]", "printable ASCII without commas"),
    "same label twice": Bad({"labels": ["gpu", "x", "GPU"]}, "spec.labels", "GitHub ignores case in labels"),
    "labels in one string": Bad(
        {"labels": ["gpu,linux"]}, "spec.labels[0]", "printable ASCII without commas"
    ),
    "label with space at its end": Bad(
        {"labels": ["gpu "]}, "spec.labels[0]", "printable ASCII without commas"
    ),
    "label beyond ASCII": Bad({"labels": ["größe"]}, "spec.labels[0]", "printable ASCII without commas"),
    "label with newline": Bad({"labels": ["gpu\n"]}, "spec.labels[0]", "printable ASCII without commas"),
    "long label": Bad(
        {"labels": ["x" * 257]}, "spec.labels[0]", "at most 256 characters", "may not be more than 256 bytes"
    ),
    **{
        f"hosted label {label}": Bad({"labels": ["gpu", label]}, "spec.labels[1]", "GitHub's own machines")
        for label in (
            "ubuntu-latest",
            "Ubuntu-24.04",
            "ubuntu-24.04-arm",
            "windows-2025",
            "macos-15-xlarge",
            "macos-26-intel",
        )
    },
    "too many labels": Bad(
        {"labels": [f"label-{i}" for i in range(101)]},
        "spec.labels",
        "at most 100 items",
        "at most 100 items",
    ),
    # --- huggingface
    "no namespace": Bad(
        {"huggingface.namespace": ABSENT}, "spec.huggingface.namespace", "is required", "Required value"
    ),
    "namespace with path": Bad(
        {"huggingface.namespace": "acme/x"}, "spec.huggingface.namespace", "user or organization name"
    ),
    "empty token secret": Bad(
        {"huggingface.tokenSecret": ""},
        "spec.huggingface.tokenSecret",
        "name of a Secret in the pool's namespace",
    ),
    "endpoint without scheme": Bad(
        {"huggingface.endpoint": "hf.co"}, "spec.huggingface.endpoint", "the Hub's base address"
    ),
    # --- flavors
    "no flavors": Bad({"flavors": []}, "spec.flavors", "name at least one flavor"),
    "flavors absent": Bad({"flavors": ABSENT}, "spec.flavors", "is required", "Required value"),
    "one flavor twice": Bad(
        {"flavors": ["t4-small", "l4x1", "t4-small"]}, "spec.flavors", "write each flavor once"
    ),
    "flavor in capitals": Bad({"flavors": ["T4 small"]}, "spec.flavors[0]", "as `hf jobs hardware` lists it"),
    # --- image, env, volumes
    "image with scheme": Bad(
        {"image": "docker://ubuntu:24.04"}, "spec.image", "image reference without a scheme"
    ),
    "empty image": Bad({"image": ""}, "spec.image", "image reference without a scheme"),
    "short digest": Bad({"image": "ubuntu@sha256:abc"}, "spec.image", "image reference without a scheme"),
    "env name": Bad({"env": {"A-B": "1"}}, "spec.env", "letters, digits and _"),
    "env value": Bad({"env": {"A": 1}}, "spec.env.A", "need quotes", "must be of type string"),
    **{
        f"reserved env {name}": Bad(
            {"env": {name: "1"}}, "spec.env", "set by the controller or by Hugging Face"
        )
        for name in ("HFRUNNER_POOL", "ACTIONS_RUNNER_INPUT_JITCONFIG", "JOB_ID", "CPU_CORES")
    },
    "secret env name": Bad(
        {"secretEnv": [{"name": "1A", "secret": "s", "key": "k"}]},
        "spec.secretEnv[0].name",
        "letters, digits and _",
    ),
    "reserved secret env": Bad(
        {"secretEnv": [{"name": "HFRUNNER_X", "secret": "s", "key": "k"}]},
        "spec.secretEnv[0].name",
        "set by the controller or by Hugging Face",
    ),
    "secret env key": Bad(
        {"secretEnv": [{"name": "A", "secret": "s", "key": "a/b"}]},
        "spec.secretEnv[0].key",
        "a key of the Secret",
    ),
    "in env and secret env": Bad(
        {"env": {"A": "1"}, "secretEnv": [{"name": "A", "secret": "s", "key": "k"}]},
        "spec.secretEnv",
        "keep one of the two",
    ),
    "secret env twice": Bad(
        {"secretEnv": [{"name": "A", "secret": "s", "key": "k"}, {"name": "A", "secret": "s", "key": "l"}]},
        "spec.secretEnv",
        "name A is here twice",
        "Duplicate value",
        "spec.secretEnv[1]",
    ),
    "volume of another type": Bad(
        {"volumes": [volume(type="pvc")]},
        "spec.volumes[0].type",
        "write 'bucket', 'model'",
        "supported values",
    ),
    "volume without namespace": Bad(
        {"volumes": [volume(source="gpt2")]}, "spec.volumes[0].source", "NAMESPACE/NAME"
    ),
    **{
        f"mount path {path!r}": Bad(
            {"volumes": [volume(mountPath=path)]}, "spec.volumes[0].mountPath", "write an absolute path"
        )
        for path in ("data", "/", "/data/", "//data", "/a/../b", "/./a", "", "/a/..")
    },
    **{
        f"mount path {path!r}": Bad(
            {"volumes": [volume(mountPath=path)]}, "spec.volumes[0].mountPath", "choose another path"
        )
        for path in ("/home", "/home/runner", "/home/runner/_work", "/home/runner/_work/x")
    },
    "mount path twice": Bad(
        {"volumes": [volume(), volume(), volume(mountPath="/b")]},
        "spec.volumes",
        "mountPath /models is here twice",
        "Duplicate value",
        "spec.volumes[1]",
    ),
    "bucket with revision": Bad(
        {"volumes": [volume(type="bucket", revision="main")]},
        "spec.volumes[0].revision",
        "a bucket has no revisions",
    ),
    "writable model": Bad(
        {"volumes": [volume(readOnly=False)]}, "spec.volumes[0].readOnly", "only be mounted read-only"
    ),
    **{
        f"writable {path}": Bad(
            {"volumes": [volume(type="bucket", mountPath=path, readOnly=False)]},
            "spec.volumes[0].readOnly",
            f"{path}: the runner, its tools or the system take programs",
            "the runner, its tools or the system take programs",  # a message of the API server's has no line feed
        )
        for path in (
            *("/actions-runner", "/opt/actions-runner", "/opt/runner", "/runner", "/runner/bin"),
            *("/opt", "/opt/hostedtoolcache", "/opt/hostedtoolcache/Python", "/opt/conda/bin"),
            *("/bin", "/sbin", "/lib", "/lib64", "/usr", "/usr/local/bin", "/usr/lib/python3/dist-packages"),
            *(
                "/etc",
                "/etc/ssl/certs",
                "/etc/profile.d",
                "/root",
                "/root/.cache",
                "/nix/store",
                "/boot",
                "/snap",
            ),
            *("/dev/shm", "/proc/sys", "/sys", "/run", "/var/run", "/var/lib/dpkg", "/tmp", "/var/tmp"),
            *("/USR/local/bin", "/Etc", "/usr/new\nline"),
        )
    },
    **{
        f"writable {path}": Bad(
            {"volumes": [volume(type="bucket", mountPath=path, readOnly=False)]},
            "spec.volumes[0].readOnly",
            f"{path}: the runner lives here",
        )
        for path in (
            *("/home/ubuntu", "/home/runner/bin", "/home/runner/bin/x", "/home/runner/externals"),
            *(
                "/home/runner/.hfrunner",
                "/home/runner/_diag",
                "/home/runner/hostedtoolcache",
                "/home/runner/.local/lib",
            ),
            *(
                "/home/runner/.config/git",
                "/home/coder/.local/bin",
                "/home/runner/.bashrc",
                "/home/runner/k8s",
            ),
        )
    },
    **{
        f"read-only {reader['mountPath']} of a bucket that is writable elsewhere, {index}": Bad(
            {"volumes": [volume(type="bucket", **reader), volume(type="bucket", **writer, readOnly=False)]},
            "spec.volumes",
            "two mounts show the same files of a bucket",
        )
        for index, (reader, writer) in enumerate(
            (
                ({"mountPath": "/opt/runner"}, {"mountPath": "/mnt"}),
                ({"mountPath": "/home/runner/.config"}, {"mountPath": "/mnt", "source": "ACME/Tiny"}),
                ({"mountPath": "/usr/local", "path": "a"}, {"mountPath": "/mnt"}),
                ({"mountPath": "/usr/local"}, {"mountPath": "/mnt", "path": "a"}),
                ({"mountPath": "/usr/local", "path": "a/b"}, {"mountPath": "/mnt", "path": "a"}),
                ({"mountPath": "/usr/local", "path": "a"}, {"mountPath": "/mnt", "path": "A/b"}),
            )
        )
    },
    "absolute folder": Bad({"volumes": [volume(path="/a")]}, "spec.volumes[0].path", "write a relative path"),
    "folder above": Bad(
        {"volumes": [volume(path="a/../../b")]}, "spec.volumes[0].path", "write a relative path"
    ),
    # --- numbers, durations, switches
    **{
        f"retry {times}": Bad({"retry": {"interrupted": times}}, "spec.retry.interrupted", str(edge))
        for times, edge in ((-1, 0), (6, 5))
    },
    "more idle than runners": Bad(
        {"minIdle": 5, "maxRunners": 4}, "spec.minIdle", "minIdle is more than maxRunners"
    ),
    "more idle than the default": Bad({"minIdle": 11}, "spec.minIdle", "minIdle is more than maxRunners"),
    "negative idle": Bad({"minIdle": -1}, "spec.minIdle", "0 or more", "greater than or equal to 0"),
    "too many runners": Bad(
        {"maxRunners": 1001}, "spec.maxRunners", "1000 or less", "less than or equal to 1000"
    ),
    "runners in quotes": Bad(
        {"maxRunners": "4"}, "spec.maxRunners", "without quotes", "must be of type integer"
    ),
    "paused in quotes": Bad({"paused": "yes"}, "spec.paused", "without quotes", "must be of type boolean"),
    **{
        f"idle {value!r}": Bad({"deadlines.idle": value}, "spec.deadlines.idle", _DURATION)
        for value in (
            "",
            "5",
            "9s",
            "0d",
            "5 minutes",
            "-1m",
            "1d12h",
            "2d",
            "1d1s",
            "24.001h",
            "500ms",
            "1h\n",
        )
    },
    **{
        f"lifetime {value!r}": Bad({"deadlines.lifetime": value}, "spec.deadlines.lifetime", _DURATION)
        for value in ("6d", "121h", "99999h99999h99999h", "10d")
    },
    "duration as a number": Bad(
        {"deadlines.idle": 120}, "spec.deadlines.idle", "such as 3600s or 1h", "must be of type string"
    ),
}
