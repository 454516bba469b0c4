"""GitHub and the Hub on sockets, in a thread of their own because the commands bring their own event loop."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import yaml

from hf_runner_simulators.github.keys import private_key
from hf_runner_simulators.serve import Origins, serving

HF_TOKEN = "hf_robot_0123456789"
FINE, CLASSIC = "github_pat_fine0123456789", "ghp_classic0123456789"


@dataclass(frozen=True, kw_only=True)
class Services:
    """An organization ``acme`` with an App on it, a namespace ``acme`` on the Hub, and what tests add."""

    github: str
    hub: str
    app: Mapping[str, Any]

    def change(self, path: str, body: object, *, hub: bool = False) -> Any:
        """Change a simulated world."""
        answer = httpx.post(f"{self.hub if hub else self.github}/_sim/{path}", json=body, timeout=120)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def ask(self, path: str, *, hub: bool = False) -> Any:
        return httpx.get(f"{self.hub if hub else self.github}/_sim/{path}", timeout=120).json()

    def grant(self, **permissions: str) -> None:
        """Give the App's installation exactly these permissions."""
        number = self.app["installations"][0]["id"]
        self.change(f"installations/{number}", {"permissions": permissions})

    @property
    def flags(self) -> tuple[str, ...]:
        """What a command needs to send credentials to both."""
        return ("--github-host", self.github, "--hub-endpoint", self.hub, "--allow-http")

    # ---------------------------------------------------------------------------------------------- manifests
    def pool(self, name: str = "t4", *, owner_url: bool = True, **spec: Any) -> dict[str, Any]:
        github: dict[str, Any] = {
            "url": f"{self.github}/acme",
            "credentialsSecret": "github",
            "repositories": {"include": ["acme/lib"]},
        }
        if not owner_url:
            github = {"url": f"{self.github}/acme/lib", "credentialsSecret": "github"}
        hub = {"namespace": "acme", "tokenSecret": "hf", "endpoint": self.hub, **spec.pop("huggingface", {})}
        return {
            "apiVersion": "hfrunners.dev/v1alpha1",
            "kind": "RunnerPool",
            "metadata": {"name": name, "namespace": "ci"},
            "spec": {
                "github": {**github, **spec.pop("github", {})},
                "huggingface": hub,
                "labels": [f"hf-{name}"],
                "flavors": ["t4-small"],
                **spec,
            },
        }

    def secrets(self, *, github: Mapping[str, str] | None = None, hf: str = HF_TOKEN) -> list[dict[str, Any]]:
        github = github or {"appId": str(self.app["id"]), "privateKey": private_key()}
        return [secret("github", github), secret("hf", {"token": hf})]


FOR_RUNNERS = {"hfrunners.dev/runner-env": "true"}


def secret(name: str, data: Mapping[str, str], labels: Mapping[str, str] | None = None) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "ci", "labels": dict(labels or {})},
        "stringData": dict(data),
    }


def manifests(*objects: Mapping[str, Any]) -> str:
    return yaml.safe_dump_all(objects, sort_keys=False)


@contextmanager
def serve_services() -> Iterator[Services]:
    """Serve both until the context closes."""
    ready: list[Origins] = []
    started, stop = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def run() -> None:
        loops.append(asyncio.get_running_loop())
        async with serving(github=("127.0.0.1", 0), hub=("127.0.0.1", 0)) as origins:
            ready.append(origins)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="services")
    thread.start()
    try:
        assert started.wait(20), "the simulated services did not start"
        github, hub = str(ready[0].github), str(ready[0].hub)
        yield Services(github=github, hub=hub, app=_set_up(github, hub))
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(20)


def _set_up(github: str, hub: str) -> Mapping[str, Any]:
    scene = {
        "organizations": [{"login": "acme"}],
        "users": ["octocat"],
        "repositories": [
            {"full_name": "acme/lib"},
            {"full_name": "acme/web"},
            {"full_name": "acme/site", "private": False},
        ],
        "apps": [
            {
                "permissions": {
                    "actions": "read",
                    "metadata": "read",
                    "organization_self_hosted_runners": "write",
                },
                "installations": [{"account": "acme"}],
            }
        ],
        "tokens": [
            {"token": CLASSIC, "login": "octocat", "scopes": ["repo"]},
            {
                "token": FINE,
                "login": "octocat",
                "account": "acme",
                "permissions": {"actions": "read", "metadata": "read"},
            },
        ],
    }
    made = httpx.post(f"{github}/_sim/setup", json=scene)
    made.raise_for_status()
    granted = {HF_TOKEN: {"user": "robot", "namespaces": {"robot": "write", "acme": "write"}}}
    granted["hf_reader_0123456789"] = {"user": "eve", "namespaces": {"acme": "read"}}
    httpx.post(f"{hub}/_sim/setup", json={"tokens": granted}).raise_for_status()
    hurry = {
        "scheduling_seconds": 0.05,
        "boot_seconds": 0.05,
        "stage_lag_seconds": 0.05,
        "log_poll_seconds": 0.05,
    }
    httpx.post(f"{hub}/_sim/knobs", json=hurry).raise_for_status()
    app: Mapping[str, Any] = made.json()["apps"][0]
    return app


def allowing(text: str) -> list[str]:
    """Return the flags that allow the simulated services that manifests name, and nothing else."""
    named = sorted(set(re.findall(r"http://127\.0\.0\.1:[0-9]+", text)))
    flags = [word for one in named for word in ("--github-host", one, "--hub-endpoint", one)]
    return [*flags, "--allow-http"] if named else []
