"""The programs that check the Helm chart, built from Go modules into a cache outside the repository.

    python -m tools.charttools         build what is missing; print the directory

Standard library only. ``tools/chart/go.mod`` pins Helm 3 and 4, helm-unittest, kubeconform, helm-docs
and a Lua interpreter (the one inside Argo CD). The types of the Prometheus operator come from its own
module, whose checksum is here.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tools.controlplane.sources import ControlPlaneError, Go, locked, platform_name, say

MODULE = Path(__file__).parent / "chart"

PROGRAMS = {
    "helm3": "helm.sh/helm/v3/cmd/helm",
    "helm4": "helm.sh/helm/v4/cmd/helm",
    "helm-unittest": "github.com/helm-unittest/helm-unittest/cmd/helm-unittest",
    "kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform",
    "helm-docs": "github.com/norwoodj/helm-docs/cmd/helm-docs",
    "glua": "github.com/yuin/gopher-lua/cmd/glua",
}

PROMETHEUS_OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
CHECKSUM = "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s="
CRDS = tuple(
    f"monitoring.coreos.com_{plural}.yaml" for plural in ("servicemonitors", "podmonitors", "prometheusrules")
)


def cache_directory(env: Mapping[str, str]) -> Path:
    """Return where the programs of this very go.mod are kept between runs."""
    pinned = hashlib.sha256(
        b"".join((MODULE / name).read_bytes() for name in ("go.mod", "go.sum")) + CHECKSUM.encode()
    )
    root = Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "hf-runner-controller" / "charttools" / f"{pinned.hexdigest()[:12]}-{platform_name()}"


def present(env: Mapping[str, str] = os.environ) -> Path | None:
    """Return the directory with everything if it is there already; builds nothing."""
    directory = cache_directory(env)
    return directory if all((directory / name).exists() for name in (*PROGRAMS, *CRDS)) else None


def build(env: Mapping[str, str] = os.environ) -> Path:
    """Return the directory with everything, building what is missing. Safe to call concurrently.

    Raises:
        ControlPlaneError: There is no Go, or something cannot be built; the message says what to do.
    """
    if found := present(env):
        return found
    directory = cache_directory(env)
    with locked(
        directory.with_name(directory.name + ".lock"), waiting="another process builds the chart's tools"
    ):
        directory.mkdir(exist_ok=True)
        go = Go.find(env)
        began = time.monotonic()
        say(f"building the chart's tools with {go.release}: about 4 minutes on 2 cores, this once")
        for name, package in PROGRAMS.items():
            if not (directory / name).exists():
                _build(go, directory, name, package)
                say(f"  {time.monotonic() - began:4.0f} s: {name}")
        _fetch_crds(go, directory)
    return directory


def _build(go: Go, directory: Path, name: str, package: str) -> None:
    new = directory / f".{name}.new"
    # Helm built by hand says that it renders for Kubernetes 1.20, so the chart's tests name a version.
    command = [go.path, "build", "-buildvcs=false", "-ldflags=-s -w", "-o", str(new), package]
    _run(command, {**go.env, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-mod=readonly"})
    new.rename(directory / name)


def _fetch_crds(go: Go, directory: Path) -> None:
    # Outside of any module: as a requirement it would choose versions for the programs too. Our checksum is
    # checked instead of the public database's.
    env = {**go.env, "GOWORK": "off", "GONOSUMDB": "*", "GOFLAGS": "-mod=mod"}
    found = json.loads(_run([go.path, "mod", "download", "-json", PROMETHEUS_OPERATOR], env, cwd=directory))
    if found["Sum"] != CHECKSUM:
        raise ControlPlaneError(
            f"{PROMETHEUS_OPERATOR}: its checksum is {found['Sum']}, not the pinned {CHECKSUM}"
        )
    for name in CRDS:
        shutil.copyfile(Path(found["Dir"]) / "example" / "prometheus-operator-crd" / name, directory / name)


def _run(command: list[str], env: Mapping[str, str], cwd: Path = MODULE) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ControlPlaneError(
            f"{' '.join(command[:2])} failed:\n" + "\n".join(done.stderr.splitlines()[-20:])
        )
    return done.stdout


if __name__ == "__main__":
    try:
        print(build())
    except ControlPlaneError as problem:
        sys.exit(f"charttools: {problem}")
