"""tools.controlplane: a real API server that starts empty, listens on loopback only and never outlives us."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes import client, config

from tools.controlplane import ControlPlane, ControlPlaneError, present_assets

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.controlplane,
    pytest.mark.skipif(
        sys.platform != "linux", reason="reads /proc; elsewhere children only end with stop()"
    ),
]


def connect(kubeconfig: Path) -> Any:
    return client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))  # type: ignore[no-untyped-call]


def children(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def words(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def listening_addresses(pids: set[int]) -> set[str]:
    """Return the addresses of the listening TCP sockets of these processes, in hex as the
    kernel shows them.
    """
    sockets = set()
    for fd in (fd for pid in pids for fd in Path(f"/proc/{pid}/fd").iterdir()):
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            sockets.add(str(fd.readlink()))
    lines = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()
    ]
    return {word[1].split(":")[0] for word in lines if word[3] == "0A" and f"socket:[{word[9]}]" in sockets}


def wait_until_gone(pids: set[int]) -> None:
    deadline = time.monotonic() + 150
    while any(Path(f"/proc/{pid}/exe").exists() for pid in pids):
        assert time.monotonic() < deadline, f"some of {pids} still run"
        time.sleep(0.05)


@pytest.fixture
def programs() -> Path:
    found = present_assets()
    assert found, "run `make controlplane` once"
    return found


def test_the_admin_kubeconfig_reaches_a_real_api_server(control_plane: Path) -> None:
    assert "default" in {item.metadata.name for item in connect(control_plane).list_namespace().items}


def test_a_service_account_may_do_what_rbac_allows_and_no_more(api_server: ControlPlane) -> None:
    admin = connect(api_server.kubeconfig)
    admin.create_namespace({"metadata": {"name": "rbac"}})
    account = connect(api_server.service_account_kubeconfig(namespace="rbac", name="limited"))
    with pytest.raises(client.ApiException) as refused:
        account.list_namespaced_secret("rbac")
    assert refused.value.status == 403

    rbac = client.RbacAuthorizationV1Api(admin.api_client)
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}]
    role: Any = {"metadata": {"name": "reader"}, "rules": rules}
    rbac.create_namespaced_role("rbac", role)
    binding: Any = {
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "limited", "namespace": "rbac"}],
    }
    rbac.create_namespaced_role_binding("rbac", binding)
    assert account.list_namespaced_secret("rbac").items == []
    with pytest.raises(client.ApiException) as refused:
        account.list_namespaced_secret("default")
    assert refused.value.status == 403


def test_a_service_account_in_no_namespace_is_refused_with_a_reason(api_server: ControlPlane) -> None:
    with pytest.raises(ControlPlaneError, match="HTTP 404"):
        api_server.service_account_kubeconfig(namespace="nowhere", name="nobody")


def test_it_listens_on_loopback_only_and_every_start_is_empty(programs: Path, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    plane = ControlPlane(programs=programs, kubeconfig=kubeconfig)
    before = children(os.getpid())
    with plane:
        pids = children(os.getpid()) - before
        assert listening_addresses(pids) == {"0100007F"}  # 127.0.0.1
        assert kubeconfig.stat().st_mode & 0o077 == 0, "it holds an administrator's token"
        connect(kubeconfig).create_namespace({"metadata": {"name": "first"}})
    wait_until_gone(pids)
    assert not kubeconfig.exists()
    with plane:
        assert "first" not in {item.metadata.name for item in connect(kubeconfig).list_namespace().items}


@pytest.fixture
def holder() -> Iterator[subprocess.Popen[str]]:
    """A process that holds a control plane while it runs a command, which prints its kubeconfig."""
    command = [sys.executable, "-m", "tools.controlplane", "run", "--", "sh", "-c", "echo {}; exec sleep 50"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_a_holder_that_is_killed_leaves_no_process(holder: subprocess.Popen[str]) -> None:
    assert holder.stdout is not None
    kubeconfig = Path(holder.stdout.readline().strip())
    server = {
        pid for pid in children(holder.pid) if "--data-dir" in words(pid) or "--etcd-servers" in words(pid)
    }
    (sleeper,) = children(holder.pid) - server
    assert len(server) == 2
    assert kubeconfig.is_file()
    holder.send_signal(signal.SIGKILL)
    wait_until_gone(server)
    os.kill(sleeper, signal.SIGKILL)
    shutil.rmtree(kubeconfig.parent)  # which a killed holder cannot


def test_a_program_that_does_not_start_is_reported_with_its_last_words(tmp_path: Path) -> None:
    for name in ("etcd", "kube-apiserver"):
        (tmp_path / name).write_text("#!/bin/sh\necho the disk is gone\nexit 3\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(ControlPlaneError, match="ended with status 3:\nthe disk is gone"):
        ControlPlane(programs=tmp_path).start()
