"""What the chart puts into the environment for proxies and own authorities, and that every client
of the controller heeds it.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType

import httpx
import httpx2
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from controller.adapters.credential import Fixed
from controller.adapters.github.client import Client
from controller.adapters.github.credentials import TokenCredentials
from controller.adapters.huggingface.session import open_session
from controller.adapters.kube.client import connect
from controller.app.clock import SystemClock
from controller.core.model import GitHubSource, SecretRef
from controller.ports import UpstreamError
from tests.chart.conftest import Helm, settings

PROXY_VARIABLES = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine goes through is not what is tested."""
    for name in (*PROXY_VARIABLES, "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


def deployed(
    programs: Path, *words: str, secret: Mapping[str, str] = MappingProxyType({})
) -> tuple[dict[str, str], list[str]]:
    """Return the controller's environment, with what a Secret holds in it, and what its
    init container runs.
    """
    (deployment,) = [
        obj for obj in Helm(programs / "helm4").render(*settings(words)) if obj["kind"] == "Deployment"
    ]
    pod = deployment["spec"]["template"]["spec"]
    environment = {one["name"]: one["value"] for one in pod["containers"][0]["env"] if "value" in one}
    for one in pod["containers"][0]["env"]:  # what the kubelet does
        if "valueFrom" in one and (value := secret.get(one["valueFrom"]["secretKeyRef"]["key"])):
            environment[one["name"]] = value
    return environment, [word for one in pod.get("initContainers", ()) for word in one["command"]]


@asynccontextmanager
async def listening(answer: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[str]]]:
    """Serve one answer to whatever is asked; yield the port and the first lines of what was asked."""
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await reader.readline()).decode().strip())
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1], seen


def github(url: str) -> Client:
    """Return GitHub's client as the controller makes it."""
    ref = SecretRef("ci", "github")
    source = GitHubSource(api_url=url, secret=ref, owner="acme")
    return Client(
        source=source,
        credential=Fixed(TokenCredentials(token="x")),
        clock=SystemClock(),
        tls=ssl.create_default_context(),
    )


# ------------------------------------------------------------------------------------------------ authorities
def certificate(directory: Path) -> tuple[Path, ssl.SSLContext]:
    """Make an authority that nobody knows, and a server's context with a certificate of it for 127.0.0.1."""
    now = dt.datetime.now(dt.UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("authority", "server")]

    def signed(which: int, extension: x509.ExtensionType) -> x509.Certificate:
        builder = x509.CertificateBuilder(
            issuer_name=names[0],
            subject_name=names[which],
            public_key=keys[which].public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - dt.timedelta(hours=1),
            not_valid_after=now + dt.timedelta(hours=1),
        )
        identifier = x509.SubjectKeyIdentifier.from_public_key(keys[0].public_key())
        builder = builder.add_extension(extension, critical=which == 0)
        if which == 0:
            builder = builder.add_extension(identifier, critical=False)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
        )
        return builder.sign(keys[0], hashes.SHA256())

    pem = serialization.Encoding.PEM
    authority = directory / "own.crt"
    authority.write_bytes(signed(0, x509.BasicConstraints(ca=True, path_length=0)).public_bytes(pem))
    server = directory / "server.pem"
    server.write_bytes(
        keys[1].private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + signed(
            1, x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        ).public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server)
    return authority, context


async def test_own_authorities_are_trusted_besides_the_public_ones(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, tls = certificate(tmp_path)
    environment, command = deployed(programs, "customCA.configMap=own")
    both = tmp_path / "both.crt"
    script = (
        command[-1].replace("/authorities/own.crt", str(authority)).replace("/tmp/authorities.crt", str(both))
    )
    assert command[:2] == ["python3", "-c"]
    made = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    assert await made.wait() == 0
    assert both.read_text().count("BEGIN CERTIFICATE") > 50

    async with listening(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}", tls) as (
        port,
        _,
    ):
        url = f"https://127.0.0.1:{port}"

        async def answers() -> list[int]:
            connection, session = github(url), open_session()
            try:
                return [
                    (await connection._wire._http.get(url)).status_code,
                    (await session.get(url)).status_code,
                ]
            finally:
                await connection.close()
                await session.aclose()

        with pytest.raises((httpx.ConnectError, httpx2.ConnectError), match="CERTIFICATE_VERIFY_FAILED"):
            await answers()
        assert environment["SSL_CERT_FILE"] == "/tmp/authorities.crt"
        monkeypatch.setenv("SSL_CERT_FILE", str(both))
        assert await answers() == [200, 200]


def test_a_file_without_a_certificate_keeps_the_pod_from_starting(programs: Path, tmp_path: Path) -> None:
    _, command = deployed(programs, "customCA.secret=own")
    (tmp_path / "own.crt").write_text("hello")
    script = (
        command[-1]
        .replace("/authorities/own.crt", str(tmp_path / "own.crt"))
        .replace("/tmp/", f"{tmp_path}/")
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode != 0
    assert not (tmp_path / "authorities.crt").exists()


# ---------------------------------------------------------------------------------------------------- proxies
@pytest.mark.parametrize("source", ["values", "secret"])
async def test_github_and_the_hub_go_through_the_proxy_and_the_api_server_does_not(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    async with listening(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n") as (port, seen):
        address = f"http://127.0.0.1:{port}"
        chosen = f"proxy.https={address}" if source == "values" else "proxy.secretName=proxy"
        secret = {"HTTPS_PROXY": address} if source == "secret" else {}
        environment, _ = deployed(programs, chosen, "proxy.noProxy=.corp", secret=secret)
        api_server = "0.0.0.0"  # an address of this machine that is no loopback one: those need no NO_PROXY
        for name, value in environment.items():  # the kubelet fills this one in
            monkeypatch.setenv(name, value.replace("$(KUBERNETES_SERVICE_HOST)", api_server))

        connection, session = github("https://github.example"), open_session()
        with pytest.raises(httpx.ProxyError):
            await connection._wire._http.get("https://github.example/x")
        with pytest.raises(httpx2.ProxyError):
            await session.get("https://hub.example/x")
        await connection.close()
        await session.aclose()
        through = ["CONNECT github.example:443 HTTP/1.1", "CONNECT hub.example:443 HTTP/1.1"]
        assert seen == through

        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "c", "cluster": {"server": f"https://{api_server}:1"}}],
                    "users": [{"name": "u", "user": {"token": "t"}}],
                    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                    "current-context": "x",
                }
            )
        )

        async def ask() -> None:
            async with await connect(kubeconfig=str(kubeconfig)) as client:
                with pytest.raises(UpstreamError):
                    await client.request_json("GET", "/version")

        await ask()
        assert seen == through
        monkeypatch.delenv("NO_PROXY")  # this line of the chart is what keeps it out
        await ask()
        assert len(seen) > len(through)
