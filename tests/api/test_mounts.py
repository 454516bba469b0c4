"""controller.api.mounts: no writable bucket where the bootstrap or the system takes programs from."""

from __future__ import annotations

import re
from typing import Any

import pytest

from controller.api.mounts import is_odd
from controller.api.runnerpool import InvalidPool, Mistake, RunnerPool
from controller.execute.bootstrap import script
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
        ("APT_CONFIG", "/mnt/apt.conf", "/mnt"),
        ("BASH_ENV", "/mnt/env", "/mnt"),
        ("CORECLR_PROFILER_PATH_64", "/mnt/p.so", "/mnt"),
        ("CURL_HOME", "/mnt", "/mnt"),
        ("DOTNET_STARTUP_HOOKS", "/mnt/hook.dll", "/mnt"),
        ("DPKG_ADMINDIR", "/mnt", "/mnt"),
        ("ENV", "/mnt/env", "/mnt"),
        ("GCONV_PATH", "/mnt", "/mnt"),
        ("GIT_ASKPASS", "/mnt/ask", "/mnt"),
        ("GIT_CONFIG_GLOBAL", "/mnt/gitconfig", "/mnt"),
        ("GIT_CONFIG_PARAMETERS", "'core.hooksPath=/mnt/hooks'", "/mnt"),
        ("GIT_CONFIG_SYSTEM", "/mnt/gitconfig", "/mnt"),
        ("GIT_CONFIG_VALUE_0", "/mnt/hooks", "/mnt"),
        ("GIT_CONFIG_VALUE_12", "!/mnt/helper get", "/mnt"),
        ("GIT_EXEC_PATH", "/mnt", "/mnt"),
        ("GIT_SSH", "/mnt/ssh", "/mnt"),
        ("GIT_SSH_COMMAND", "ssh -o ProxyCommand='/mnt/proxy %h'", "/mnt"),
        ("JAVA_TOOL_OPTIONS", "-Xmx1g -javaagent:/mnt/a.jar", "/mnt"),
        ("KRB5_CONFIG", "/mnt/krb5.conf", "/mnt"),
        ("NODE_COMPILE_CACHE", "/mnt", "/mnt"),
        ("NODE_OPTIONS", "--max-old-space-size=4096 --require=/mnt/x.js", "/mnt"),
        ("NODE_PATH", "/usr/lib/node_modules:/mnt", "/mnt"),
        ("OPENSSL_CONF", "/mnt/openssl.cnf", "/mnt"),
        ("OPENSSL_MODULES", "/mnt", "/mnt"),
        ("PERL5LIB", "/mnt", "/mnt"),
        ("PERL5OPT", "-I/mnt -Mx", "/mnt"),
        ("PERL5OPT", "I/mnt", "/mnt"),
        ("PIP_CONFIG_FILE", "/mnt/pip.conf", "/mnt"),
        ("PYTHONPYCACHEPREFIX", "/mnt", "/mnt"),
        ("RUBYLIB", "/mnt", "/mnt"),
        ("RUBYOPT", "-r/mnt/x.rb", "/mnt"),
        ("SYSTEM_WGETRC", "/mnt/wgetrc", "/mnt"),
        ("TAR_OPTIONS", "--use-compress-program=/mnt/x", "/mnt"),
        ("WGETRC", "/mnt/wgetrc", "/mnt"),
        ("PATH", "/proc/self/root/mnt/bin:/bin", "/mnt"),
        ("PATH", "/proc/1/task/1/root", "/mnt"),
        ("PATH", "../../mnt/bin", "/mnt"),
        ("GIT_CONFIG_VALUE_0", "file:///mnt/mirror", "/mnt"),
        ("LD_PRELOAD", "/mnt/a=b/x.so", "/mnt/a=b"),
        ("BASH_ENV", "/mnt/my data/env", "/mnt/my data"),
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
        ("PATH", "/srv/mnt/bin", "/mnt"),
        ("PATH", "/proc/self/mnt", "/mnt"),
        ("PIP_CACHE_DIR", "/mnt/pip", "/mnt"),
        ("XDG_CACHE_HOME", "/mnt", "/mnt"),
        ("npm_config_cache", "/mnt/npm", "/mnt"),
        ("GIT_TRACE", "/mnt/trace", "/mnt"),
        ("GIT_CONFIG_VALUE_0", "https://github.com/mnt/x", "/mnt"),
        ("GIT_CONFIG_VALUE_0", "~/mnt", "/mnt"),
        ("GIT_SSH_COMMAND", "ssh -F ${HOME}/mnt/config", "/mnt"),
        ("ENV", "production", "/production"),
        ("DOTNET_gcServer", "1", "/mnt"),
        ("MY_BASH_ENV", "/mnt/env", "/mnt"),
        ("BASH_ENV_2", "/mnt/env", "/mnt"),
    ],
)
def test_a_variable_that_brings_no_programs_from_there_is_let_alone(
    variable: str, value: str, mount: str
) -> None:
    assert not mistakes(env={variable: value}, volumes=writable(mount))


def bucket(path: str, **more: Any) -> dict[str, Any]:
    return volume(type="bucket", source="acme/cache", mountPath=path, **more)


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/opt/actions-runner",
            "/usr/local/bin",
            "/home/runner/.config",
            "/home/ubuntu/.local",
            "/node_modules",
        ),
        *("/home/runner/.dotnet", "/home/runner/.node_modules", "/home/runner/.node_libraries"),
    ],
)
@pytest.mark.parametrize("writer_first", [True, False])
def test_a_bucket_that_jobs_write_at_one_mount_is_read_at_no_other_where_programs_are_taken_from(
    path: str, writer_first: bool
) -> None:
    volumes = [bucket("/mnt/c", readOnly=False), bucket(path)]
    (mistake,) = mistakes(volumes=volumes if writer_first else volumes[::-1])
    assert mistake.path == "spec.volumes"
    assert mistake.sentence.startswith(f"/mnt/c and {path}: two mounts show the same files of a bucket")
    assert "use another bucket, or another folder of it (path), for one of the two" in mistake.sentence


@pytest.mark.parametrize(
    ("writer", "reader", "refused"),
    [
        ({}, {"path": "runner"}, True),
        ({"path": "runner"}, {}, True),
        ({"path": "runner"}, {"path": "runner"}, True),
        ({"path": "runner"}, {"path": "runner/2"}, True),
        ({"path": "runner/2"}, {"path": "runner"}, True),
        ({"source": "Acme/CACHE"}, {}, True),
        ({"path": "runner"}, {"path": "runner2"}, False),
        ({"path": "a"}, {"path": "b"}, False),
        ({"source": "acme/other"}, {}, False),
        ({}, {"type": "dataset"}, False),
        ({"readOnly": True}, {}, False),
    ],
)
def test_it_is_the_same_bucket_where_one_folder_is_in_the_other(
    writer: dict[str, Any], reader: dict[str, Any], refused: bool
) -> None:
    volumes = [{**bucket("/mnt/c", readOnly=False), **writer}, {**bucket("/opt/runner"), **reader}]
    assert bool(mistakes(volumes=volumes)) is refused


def test_a_variable_may_not_send_programs_to_a_read_only_mount_of_a_bucket_that_jobs_write() -> None:
    volumes = [bucket("/mnt/c", readOnly=False), bucket("/mnt/tools")]
    (mistake,) = mistakes(env={"PATH": "/mnt/tools/bin:/bin"}, volumes=volumes)
    assert mistake.sentence.startswith("PATH in env and the volume at /mnt/tools, written at /mnt/c: ")


def test_a_bucket_that_jobs_write_may_be_read_at_a_second_place_for_data() -> None:
    assert not mistakes(volumes=[bucket("/mnt/c", readOnly=False), bucket("/data")])


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/home/runner/.dotnet",
            "/home/runner/.dotnet/corefx/cryptography/x509stores/root",
            "/home/me/.dotnet",
        ),
        *(
            "/home/runner/.node_modules",
            "/home/runner/.node_libraries",
            "/home/runner/node_modules",
            "/node_modules",
        ),
    ],
)
def test_no_bucket_is_writable_where_the_listener_finds_certificates_and_node_its_modules(path: str) -> None:
    (mistake,) = mistakes(volumes=writable(path))
    assert mistake.path == "spec.volumes[0].readOnly"


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
