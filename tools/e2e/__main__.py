"""``python -m tools.e2e``: play the story, and on failure show what a person would look at first."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
import time
from pathlib import Path

from tools.e2e.cluster import Kubectl, StoryError, call
from tools.e2e.story import CRD, NAMESPACES, POOLS, SERVICES, SYSTEM, Story
from tools.image import archive, builder_on_path

_BEGAN = time.monotonic()


def _say(text: str) -> None:
    print(f"{time.monotonic() - _BEGAN:6.1f}s  {text}", flush=True)


def load(image: str, *, builder: str, loader: list[str], context: str) -> None:
    """Bring the image to the node.

    Args:
        image: Its name.
        builder: What built it.
        loader: Command that takes the path of an archive; without one, kind's where the context is one of kind.
        context: Of the kubeconfig.

    Raises:
        StoryError: Nobody knows how.
    """
    if not loader:
        kind, _, cluster = context.partition("-")
        if kind != "kind":
            raise StoryError(
                f"context {context} is not one of kind: say how its nodes get an image, such as "
                "LOAD='minikube image load' or LOAD='k3d image import'; the archive's path is added to it"
            )
        loader = ["kind", "load", "image-archive", "--name", cluster]
    with tempfile.TemporaryDirectory(prefix="hfrunners-e2e-") as directory:
        archive(builder, image, file := Path(directory) / "image.tar")
        call([*loader, str(file)], seconds=180.0)


def clear(kubectl: Kubectl) -> None:
    """Remove what a former run left, and refuse a cluster in which somebody else's pools live.

    Raises:
        StoryError: There are such.
    """
    known = bool(kubectl.names("crd", CRD))
    pools = [pool["metadata"] for pool in kubectl.items("get", "rp", "-A")] if known else []
    for pool in pools:
        if pool["namespace"] not in NAMESPACES:
            raise StoryError(
                f"this cluster has RunnerPools of its own, such as {pool['namespace']}/{pool['name']}: "
                "use one that may be emptied"
            )
    claims = []
    for kind in ("clusterroles", "clusterrolebindings"):
        for one in kubectl.items("get", kind, "-l", "app.kubernetes.io/part-of=hf-runner-controller"):
            release = one["metadata"].get("annotations", {}).get("meta.helm.sh/release-namespace")
            if release not in NAMESPACES:
                raise StoryError(
                    f"this cluster has a release of its own, in {release}: use one that may be emptied"
                )
            claims.append((kind, one["metadata"]["name"]))

    for pool in pools:  # of a run that failed; nobody is left to remove the finalizer
        where = ("-n", pool["namespace"], "patch", "rp", pool["name"])
        kubectl(*where, "--type=merge", '-p={"metadata": {"finalizers": null}}')
    if known:
        kubectl("delete", "crd", CRD)
    for kind, name in claims:
        kubectl("delete", kind, name)
    kubectl("delete", "namespace", *NAMESPACES, "--ignore-not-found", seconds=180.0)


def _show(kubectl: Kubectl) -> None:
    """Print what a person would look at first."""
    for title, *command in (
        ["pods", "get", "pods", "-A", "-o", "wide"],
        ["pools", "-n", POOLS, "describe", "rp"],
        ["events", "-n", SYSTEM, "get", "events", "--sort-by=.lastTimestamp"],
        ["operator", "-n", SYSTEM, "logs", "-l", "app.kubernetes.io/name=hf-runner-controller", "--tail=60", "--prefix"],
        ["services", "-n", SERVICES, "logs", "deployment/simulators", "--tail=20"],
    ):  # fmt: skip
        print(f"\n--- {title}: kubectl {shlex.join(command)}\n{kubectl.attempt(*command)}", flush=True)


def main() -> int:
    """Run it; the exit code is 1 if something is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", required=True, help="name and tag; built already")
    parser.add_argument(
        "--builder", default="", help="docker, podman or buildah; by default the first on PATH"
    )
    parser.add_argument(
        "--load", type=shlex.split, default=[], help="command that takes an archive to the nodes"
    )
    parser.add_argument("--helm", action="append", default=[], help="a second one installs anew at the end")
    parser.add_argument("--kubectl", default="kubectl")
    options = parser.parse_args()
    kubectl = Kubectl(options.kubectl)
    try:
        context = kubectl("config", "current-context").strip()
        nodes = kubectl.items("get", "nodes")
        _say(
            f"cluster {context}: {len(nodes)} node, Kubernetes {nodes[0]['status']['nodeInfo']['kubeletVersion']}"
        )
        clear(kubectl)
        load(
            options.image,
            builder=options.builder or builder_on_path(),
            loader=options.load,
            context=context,
        )
        _say(f"{options.image} is on the node")
    except StoryError as error:
        print(f"e2e: {error}", file=sys.stderr)
        return 1
    try:
        story = Story(kubectl=kubectl, helms=options.helm or ["helm"], image=options.image, say=_say)
        story.tell()
        clear(kubectl)
    except StoryError as error:
        _say(f"FAILED: {error}")
        _show(kubectl)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
