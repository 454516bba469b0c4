"""controller.api.mounts: no writable bucket where the bootstrap or the system takes programs from."""

from __future__ import annotations

import re
from typing import Any

import pytest

from controller.adapters.huggingface.bootstrap import script
from controller.api.mounts import is_odd
from controller.api.runnerpool import InvalidPool, Mistake, RunnerPool
from tests.api.cases import manifest, volume

SCRIPT = script()


def mistakes(**spec: Any) -> tuple[Mistake, ...]:
    try:
        RunnerPool.parse(manifest(spec), allow_http=False)
    except InvalidPool as error:
        return error.mistakes
    return ()


def writable(*paths: str) -> list[dict[str, Any]]:
    return [volume(type="bucket", mountPath=path, readOnly=False) for path in paths]


def places_of_the_script() -> list[str]:
    """Every absolute directory in which the bootstrap looks for something, as its text names them."""
    found = set()
    for word in re.findall(r"(?:(?<=:-)|(?<![\w:.$}*\"/-]))(/[a-z][\w./*-]*)", SCRIPT):
        path = word.split("*")[0].rstrip("/")
        if path.startswith("/dev/"):
            continue  # where output goes
        found.add(path)
    return sorted(found)


def test_the_places_of_the_script_are_found_in_its_text() -> None:
    assert {
        "/actions-runner",
        "/opt/actions-runner",
        "/opt/runner",
        "/runner",
        "/home/runner",
        "/opt/hostedtoolcache",
        "/tmp",
        "/usr/local/lib",
        "/lib64",
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
    } <= set(places_of_the_script())


@pytest.mark.parametrize("path", places_of_the_script())
def test_no_bucket_is_writable_where_the_bootstrap_looks_for_something(path: str) -> None:
    assert mistakes(volumes=writable(path))


@pytest.mark.parametrize("path", ["/opt/runner", "/usr/local/bin", "/home/runner/.local"])
def test_the_mistake_names_the_mount_the_reason_and_a_good_place(path: str) -> None:
    (mistake,) = mistakes(volumes=[*writable("/mnt/cache"), *writable(path)])
    assert mistake.path == "spec.volumes[1].readOnly"
    assert mistake.sentence.startswith(f"{path}: ")
    assert "any job could write them for the jobs after it" in mistake.sentence
    assert "below /mnt, /data or /home/runner/.cache" in mistake.sentence


@pytest.mark.parametrize(
    "path",
    ["/mnt/../usr", "/usr/", "//usr", "/usr/./bin", "/usr//bin", "/..", "/mnt/.."],
)
def test_a_path_that_is_written_another_way_is_no_way_around(path: str) -> None:
    (mistake,) = mistakes(volumes=writable(path))
    assert mistake.path == "spec.volumes[0].mountPath"


@pytest.mark.parametrize(
    ("variable", "value", "mount"),
    [
        ("RUNNER_TOOL_CACHE", "/mnt/tools", "/mnt/tools"),
        ("AGENT_TOOLSDIRECTORY", "/mnt/tools/x64", "/mnt"),
        ("PATH", "/data/bin:/usr/bin:/bin", "/data"),
        ("PATH", "/usr/bin:/data/../mnt//bin/", "/mnt/bin"),
        ("LD_LIBRARY_PATH", "/usr/lib:/mnt/lib", "/mnt/lib"),
        ("LD_PRELOAD", "/usr/lib/a.so /mnt/b.so", "/mnt"),
        ("PYTHONPATH", "/mnt", "/mnt/package"),
        ("SSL_CERT_FILE", "/MNT/ca.crt", "/mnt"),
        ("HOME", "/mnt/home", "/mnt"),
        ("ACTIONS_RUNNER_HOOK_JOB_STARTED", "/mnt/hook.sh", "/mnt"),
    ],
)
def test_a_variable_may_not_send_programs_to_a_writable_mount(variable: str, value: str, mount: str) -> None:
    (mistake,) = mistakes(env={variable: value}, volumes=writable(mount))
    assert mistake.path == "spec.volumes"
    assert mistake.sentence.startswith(f"{variable} in env and the volume at {mount}: ")
    read_only = [volume(type="bucket", mountPath=mount)]
    assert not mistakes(env={variable: value}, volumes=read_only)


@pytest.mark.parametrize(
    ("variable", "value", "mount"),
    [
        ("HF_HOME", "/mnt/hf", "/mnt"),
        ("CCACHE_DIR", "/mnt", "/mnt"),
        ("HOME", "/data", "/data/cache"),
        ("PATH", "/mnt2/bin:/usr/bin", "/mnt"),
        ("PATH", "mnt/bin", "/mnt"),
    ],
)
def test_a_variable_that_brings_no_programs_from_there_is_let_alone(
    variable: str, value: str, mount: str
) -> None:
    assert not mistakes(env={variable: value}, volumes=writable(mount))


@pytest.mark.parametrize(
    "path", ["/app", "/workspace/x", "/miniconda3", "/home/runner/.cargo", "/home/runner/go/bin"]
)
def test_places_where_images_often_have_programs_are_odd_but_allowed(path: str) -> None:
    assert is_odd(path)
    assert not mistakes(volumes=writable(path))


@pytest.mark.parametrize(
    "path", ["/mnt", "/data/app", "/checkpoints", "/cache", "/home/runner/.cache/huggingface"]
)
def test_places_for_data_are_not_odd(path: str) -> None:
    assert not is_odd(path)
