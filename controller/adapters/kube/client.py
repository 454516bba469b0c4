"""kubernetes.aio's client with a deadline on every call, fresh credentials, and errors as failures.

Requests are made by path instead of through ``DynamicClient``: it costs no memory beyond the package (both
come to 55 MB), but discovers the whole API at start, fails without the CRD, and keeps what it found in a file
of a guessable name in /tmp.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.rest import RESTResponse
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config
from yaml import YAMLError

from controller import __version__
from controller.adapters.kube.errors import NoConfigurationError, no_answer, refusal
from controller.adapters.proxies import Proxies
from controller.core.resource import GROUP, PLURAL, VERSION

JSON = Any
_Reload = Callable[[Configuration], Awaitable[None]]

TIMEOUT = aiohttp.ClientTimeout(total=15.0, sock_connect=5.0)
"""Seconds for one call; the package's own default is 300."""

FIELD_MANAGER = "hf-runner-controller"

_IN_CLUSTER = "KUBERNETES_SERVICE_HOST"
_KUBECONFIG = "KUBECONFIG"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """How to reach the API server; the token is kept out of ``repr``.

    Attributes:
        server: Base URL.
        scheme: ``Bearer``, or empty without a token.
        token: What follows it.
        ca_path: File of the authority, None for the system's.
        certificate_path: File of a client certificate, if any.
        private_key_path: File of its key.
        insecure: The server's certificate is not checked.
        proxy: URL of the proxy on the way there, None without one.
    """

    server: str
    scheme: str
    token: str = field(repr=False)
    ca_path: str | None
    certificate_path: str | None
    private_key_path: str | None
    insecure: bool
    proxy: str | None = field(default=None, repr=False)


class Client(ApiClient):
    """An ``ApiClient`` whose calls all end in time; the package's generated APIs take it as any other.

    Args:
        configuration: Where the API server is, and who we are.
        reload: Reads the credentials again into a configuration; called when the server answers 401.
    """

    def __init__(self, *, configuration: Configuration, reload: _Reload) -> None:
        super().__init__(configuration=configuration)
        self.user_agent = f"hf-runner-controller/{__version__}"
        self._reload = reload

    async def call_api(
        self,
        method: str,
        url: str,
        header_params: dict[str, str] | None = None,
        body: JSON = None,
        post_params: JSON = None,
        _request_timeout: aiohttp.ClientTimeout | None = None,
        _preload_content: bool = True,
    ) -> RESTResponse:
        """Send a serialized request; :data:`TIMEOUT` unless another is given."""
        return await super().call_api(
            method,
            url,
            header_params,
            body,
            post_params,
            _request_timeout=_request_timeout or TIMEOUT,
            _preload_content=_preload_content,
        )

    async def request_json(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: JSON = None,
        content_type: str = "application/json",
    ) -> JSON:
        """Call the API server and return its parsed answer.

        Args:
            method: Upper-case method.
            path: From the root, percent-encoded (:func:`path_of`).
            query: Pairs.
            body: To be sent as JSON, which is YAML too.
            content_type: Of the body.

        Raises:
            KubernetesError: ``KubernetesForbidden``, ``KubernetesNotFound``, ``KubernetesConflict``,
                ``KubernetesRejected`` or ``KubernetesUnavailable``.
        """
        call = f"{method} {path}"
        status, headers, raw = await self._send(method, path, query, body, content_type)
        if status == 401:
            await self._fresh_credentials()
            status, headers, raw = await self._send(method, path, query, body, content_type)
        if not 200 <= status <= 299:
            raise refusal(call, status, headers, raw)
        try:
            return json.loads(raw)
        except ValueError:
            raise no_answer(call, f"{len(raw)} bytes that are not JSON") from None

    async def _send(
        self, method: str, path: str, query: Sequence[tuple[str, str]], body: JSON, content_type: str
    ) -> tuple[int, dict[str, str], bytes]:
        try:
            request = await self.param_serialize(
                method,
                path,
                query_params=list(query),
                header_params={"Accept": "application/json", "Content-Type": content_type},
                body=body,
                auth_settings=["BearerToken"],
            )
            response = await self.call_api(*request)
            raw: bytes = await response.read()  # type: ignore[no-untyped-call]
        except (aiohttp.ClientError, OSError, ConfigException) as error:
            raise no_answer(f"{method} {path}", f"{type(error).__name__} {error}".strip()) from None
        return response.status, {k.lower(): v for k, v in response.headers.items()}, raw

    async def identity(self) -> Identity:
        """Return where the API server is and who we are, with credentials read again: for kopf's own
        client.
        """
        await self._fresh_credentials()
        configuration = self.configuration
        authorization = (
            await configuration.get_api_key_with_prefix("BearerToken", alias="authorization") or ""
        )
        scheme, _, token = authorization.partition(" ")
        return Identity(
            server=configuration.host,
            scheme=scheme if token else "",
            token=token,
            ca_path=configuration.ssl_ca_cert,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
            insecure=not configuration.verify_ssl,
            proxy=configuration.proxy,
        )

    async def _fresh_credentials(self) -> None:
        try:
            await self._reload(self.configuration)
        except (ConfigException, YAMLError, OSError) as error:
            raise no_answer("credentials", f"they cannot be read again: {error}") from None


async def connect(*, kubeconfig: str | None = None, context: str | None = None) -> Client:
    """Return a client for the cluster that kubectl would take, or the one that this pod runs in.

    An explicit path or context wins, then ``$KUBECONFIG``, then the pod's ServiceAccount, then
    ``~/.kube/config``. The ServiceAccount's token is read again each minute, that of a kubeconfig (token,
    exec plugin) when it is refused. A changed client certificate or authority needs a restart.

    Raises:
        KubernetesError: No usable configuration was found.
    """
    configuration = Configuration()
    if (
        kubeconfig is None
        and context is None
        and not os.environ.get(_KUBECONFIG)
        and _IN_CLUSTER in os.environ
    ):
        reload: _Reload = _in_cluster
    else:
        paths = kubeconfig or os.environ.get(_KUBECONFIG) or str(Path.home() / ".kube" / "config")
        reload = _from_files(paths, context)
    try:
        await reload(configuration)
    except (ConfigException, YAMLError, OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise NoConfigurationError(
            f"No usable Kubernetes configuration: {error}. Pass --kubeconfig, or run in a pod with a ServiceAccount."
        ) from error
    # What a kubeconfig says goes first. Otherwise the rule is the one of all our clients, and not the
    # library's.
    configuration.proxy = configuration.proxy or Proxies().of(configuration.host)
    configuration.client_session_kwargs = {"trust_env": False}
    return Client(configuration=configuration, reload=reload)


async def _in_cluster(configuration: Configuration) -> None:
    load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]


def _from_files(paths: str, context: str | None) -> _Reload:
    async def load(configuration: Configuration) -> None:
        _require_one(paths)
        await load_kube_config(  # type: ignore[no-untyped-call]
            config_file=paths, context=context, client_configuration=configuration, persist_config=False
        )

    return load


def _require_one(paths: str) -> None:
    if not any(Path(path).expanduser().is_file() for path in paths.split(os.pathsep) if path):
        raise ConfigException(f"there is no file {paths}")


def path_of(*parts: str) -> str:
    """Return a path from the root, each part percent-encoded."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


def pools_path(namespace: str | None = None, *rest: str) -> str:
    """Return the path of RunnerPools: all, those of a namespace, or one and its subresource."""
    within = ("namespaces", namespace) if namespace is not None else ()
    return path_of("apis", GROUP, VERSION, *within, PLURAL, *rest)
