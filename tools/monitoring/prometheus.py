"""A Prometheus of our own: it scrapes the controller as the chart's ServiceMonitor would, and
evaluates the chart's rules.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from tools.controlplane.process import spawned
from tools.monitoring.programs import program

ROOT: Final = Path(__file__).resolve().parents[2]
RULES: Final = ROOT / "charts" / "hf-runner-controller" / "files" / "rules"
JOB: Final = "hf-runner-controller"
STARTED_WITHIN: Final = 30.0


class QueryFailed(Exception):  # noqa: N818 - said of an expression
    """Prometheus refused an expression; the message has its words."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer: its labels, and its values by time in epoch seconds."""

    labels: Mapping[str, str]
    values: tuple[tuple[float, float], ...]


class Prometheus:
    """A running Prometheus.

    Args:
        url: Where it listens.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=30)

    def ready(self) -> bool:
        """Tell whether it answers queries."""
        try:
            return self._http.get("/-/ready").is_success
        except httpx.TransportError:
            return False

    def scraped(self) -> int:
        """Return how many targets answered the newest scrape."""
        return sum(series.values[-1][1] == 1 for series in self.now(f'up{{job="{JOB}"}}'))

    def now(self, expr: str, at: float | None = None) -> list[Series]:
        """Evaluate an expression at one time, by default now.

        Raises:
            QueryFailed: It cannot be evaluated.
        """
        answer = self._ask("/api/v1/query", {"query": expr, **({"time": at} if at is not None else {})})
        if answer["resultType"] == "scalar":
            return [Series({}, (_sample(answer["result"]),))]
        return [Series(one["metric"], (_sample(one["value"]),)) for one in answer["result"]]

    def over(self, expr: str, *, start: float, end: float, step: float) -> list[Series]:
        """Evaluate an expression over a time range.

        Raises:
            QueryFailed: It cannot be evaluated.
        """
        answer = self._ask("/api/v1/query_range", {"query": expr, "start": start, "end": end, "step": step})
        return [Series(one["metric"], tuple(map(_sample, one["values"]))) for one in answer["result"]]

    def rules(self) -> list[dict[str, Any]]:
        """Return the rules as it evaluates them, with their health."""
        answer = self._http.get("/api/v1/rules").raise_for_status().json()
        return [rule for group in answer["data"]["groups"] for rule in group["rules"]]

    def _ask(self, path: str, parameters: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
        answer = self._http.post(path, data=dict(parameters)).json()
        if answer["status"] != "success":
            raise QueryFailed(f"{answer['error']}: {parameters['query']}")
        return answer["data"]

    def close(self) -> None:
        """Close the connections to it."""
        self._http.close()


def _sample(pair: Sequence[Any]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def configuration(targets: Mapping[str, int], *, namespace: str, interval: str = "1s") -> dict[str, Any]:
    """Return the configuration: each pod's name and port, with the labels that the
    Prometheus operator gives them.
    """
    return {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": [str(RULES / "*.yaml")],
        "scrape_configs": [
            {
                "job_name": JOB,
                "honor_labels": True,  # else the pools' own namespace is renamed
                "static_configs": [
                    {"targets": [f"127.0.0.1:{port}"], "labels": {"namespace": namespace, "pod": pod}}
                    for pod, port in targets.items()
                ],
            }
        ],
    }


@contextmanager
def running(config: Mapping[str, Any], directory: Path) -> Iterator[Prometheus]:
    """Run Prometheus while the context is open.

    Args:
        config: Its configuration.
        directory: For its file, its data and its log.

    Raises:
        ProgramMissing: There is no Prometheus on this machine.
        RuntimeError: It does not start; the message has its last words.
    """
    found, port = program("prometheus"), free_port()
    file, log = directory / "prometheus.yaml", directory / "prometheus.log"
    file.write_text(yaml.safe_dump(dict(config)))
    command = [
        str(found),
        f"--config.file={file}",
        f"--storage.tsdb.path={directory / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with log.open("w", encoding="utf-8") as output, spawned(command, log=output, cwd=directory) as process:
        prometheus = Prometheus(f"http://127.0.0.1:{port}")
        try:
            ends = time.monotonic() + STARTED_WITHIN
            while not prometheus.ready():
                if process.poll() is not None or time.monotonic() > ends:
                    raise RuntimeError(f"prometheus does not start: {log.read_text()[-2_000:]}")
                time.sleep(0.1)
            yield prometheus
        finally:
            prometheus.close()
