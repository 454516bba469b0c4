"""One kube-apiserver on one etcd: start, stop, and the kubeconfigs to reach it with."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import socket
import ssl
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tools.controlplane.process import spawned
from tools.controlplane.sources import ControlPlaneError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from types import TracebackType

_START_SECONDS = 60.0  # warm, a start takes about 3 s; this is for a machine that is busy with something else


class ControlPlane:
    """One kube-apiserver on one etcd, empty at every start, on 127.0.0.1 only, with token
    authentication and RBAC.

    ``kubeconfig`` is an administrator's. The processes end with ``stop()``; on Linux also with this process,
    however it ends, and with the thread that called ``start()``.
    """

    def __init__(self, *, programs: Path, kubeconfig: Path | None = None) -> None:
        """Prepare; nothing runs and nothing is written before ``start()``.

        Args:
            programs: The directory with kube-apiserver and etcd, from ``assets()``.
            kubeconfig: Where to write the administrator's kubeconfig; by default a temporary file.
        """
        self._programs = programs.resolve()
        self._given = kubeconfig
        self._stack = contextlib.ExitStack()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._directory = Path()
        self._token = secrets.token_hex(16)
        self._port = 0

    @property
    def url(self) -> str:
        """The API server's address; only valid while it runs."""
        return f"https://127.0.0.1:{self._port}"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig; only there while it runs."""
        return self._given or self._directory / "kubeconfig"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Path:
        """Start, wait until the API is ready, and return the administrator's kubeconfig.

        Raises:
            ControlPlaneError: A process ended or was not ready in time; the message has the end of its log.
        """
        try:
            temporary = tempfile.TemporaryDirectory(prefix="controlplane-", ignore_cleanup_errors=True)
            self._directory = Path(self._stack.enter_context(temporary))
            self._start()
        except BaseException:
            self.stop()
            raise
        return self.kubeconfig

    def stop(self) -> None:
        """End both processes and remove all files. May be called at any time, more than once."""
        self._stack.close()
        self._running.clear()

    def service_account_kubeconfig(self, *, namespace: str, name: str) -> Path:
        """Write a kubeconfig for a ServiceAccount, which is made where it is missing, and return its path.

        It may do only what RBAC objects allow it, so it shows what a deployed controller
        may do. Valid for a day.

        Raises:
            ControlPlaneError: The API server refused, for example because the namespace does not exist.
        """
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        self._call("POST", accounts, {"metadata": {"name": name}}, ignore=409)
        granted = self._call("POST", f"{accounts}/{name}/token", {"spec": {"expirationSeconds": 86400}})
        path = self._directory / f"{namespace}-{name}.kubeconfig"
        self._write_kubeconfig(path, user=name, token=granted["status"]["token"])
        return path

    def _start(self) -> None:
        directory = self._directory
        _write_private(directory / "service-account.key", _new_ec_key())
        _write_private(directory / "tokens.csv", f'{self._token},admin,admin,"system:masters"\n')
        etcd = f"unix://{directory}/etcd.sock"  # a socket file: no port to race for, none for other users to read
        self._spawn(
            "etcd",
            f"--data-dir={directory}/etcd",
            f"--listen-client-urls={etcd}",
            "--advertise-client-urls=http://127.0.0.1:1",  # must be host:port; a lone member's is told to nobody
            f"--listen-peer-urls=unix://{directory}/peer.sock",
            "--unsafe-no-fsync",
        )
        self._port = self._stack.enter_context(_reserved_port())
        self._spawn(
            "kube-apiserver",
            f"--etcd-servers={etcd}",
            f"--cert-dir={directory}/certs",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",  # the default one refuses to publish a loopback address
            f"--secure-port={self._port}",
            "--permit-port-sharing",  # with the socket that reserves it
            f"--service-account-key-file={directory}/service-account.key",
            f"--service-account-signing-key-file={directory}/service-account.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--authorization-mode=RBAC",
            f"--token-auth-file={directory}/tokens.csv",
            "--service-cluster-ip-range=10.0.0.0/24",
        )
        self._await_ready()
        self._stack.callback(self.kubeconfig.unlink, missing_ok=True)
        self._write_kubeconfig(self.kubeconfig, user="admin", token=self._token)

    def _spawn(self, name: str, *flags: str) -> None:
        log = self._stack.enter_context((self._directory / f"{name}.log").open("w+", encoding="utf-8"))
        command = [str(self._programs / name), *flags]
        self._running[name] = self._stack.enter_context(spawned(command, log=log, cwd=self._directory))

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            for name, process in self._running.items():
                if process.poll() is not None:
                    raise ControlPlaneError(
                        f"{name} ended with status {process.returncode}:\n{self._log_end(name)}"
                    )
            try:
                # The namespace is made by a task that /readyz does not wait for.
                for path in ("/readyz", "/api/v1/namespaces/default"):
                    self._call("GET", path)
            except (OSError, ControlPlaneError) as error:
                if time.monotonic() > deadline:
                    raise ControlPlaneError(
                        f"kube-apiserver is not ready after {_START_SECONDS:.0f} s: {error}\n{self._log_end('kube-apiserver')}"
                    ) from error
                time.sleep(0.1)
            else:
                return

    def _log_end(self, name: str) -> str:
        lines = (self._directory / f"{name}.log").read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-15:])

    def _call(self, method: str, path: str, body: object = None, *, ignore: int = 0) -> dict[str, Any]:
        """Call the API as administrator; the answer is empty where it has the ``ignore``
        status or is no JSON.
        """
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        tls = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=self._certificate))
        no_proxy = urllib.request.ProxyHandler({})  # the environment's proxy cannot reach our loopback
        try:
            with urllib.request.build_opener(tls, no_proxy).open(request, timeout=10) as response:
                text = response.read()
        except urllib.error.HTTPError as error:
            with error:
                if error.code == ignore:
                    return {}
                raise ControlPlaneError(
                    f"{method} {path}: HTTP {error.code}: {error.read(500).decode()}"
                ) from error
        return dict(json.loads(text)) if text.startswith(b"{") else {}

    @property
    def _certificate(self) -> Path:
        return self._directory / "certs" / "apiserver.crt"

    def _write_kubeconfig(self, path: Path, *, user: str, token: str) -> None:
        certificate = base64.b64encode(self._certificate.read_bytes()).decode()
        cluster = {"server": self.url, "certificate-authority-data": certificate}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "local", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": "local", "context": {"cluster": "local", "user": user}}],
            "current-context": "local",
        }
        _write_private(path, json.dumps(config, indent=2) + "\n")  # JSON is YAML


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.touch(0o600, exist_ok=False)
    path.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def _reserved_port() -> Iterator[int]:
    """Keep a free port ours: bound here without listening, so that only one who shares it
    may listen on it.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


def _new_ec_key() -> str:
    """Return a new P-256 private key as PEM: the key that signs service account tokens.

    RFC 5915 lets the public half be left out, and Go's reader computes it, so this needs neither openssl nor
    arithmetic: 32 random bytes between fixed ones.
    """
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of the group: NIST SP 800-186, 3.2.1.3
    private = (1 + secrets.randbelow(order - 1)).to_bytes(32, "big")
    curve = bytes.fromhex("a00a06082a8648ce3d030107")  # [0] { OID prime256v1 }
    der = bytes.fromhex("3031020101") + b"\x04\x20" + private + curve
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN EC PRIVATE KEY-----\n{body}-----END EC PRIVATE KEY-----\n"
