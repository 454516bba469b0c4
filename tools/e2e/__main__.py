"""``python -m tools.e2e``: play the story, and on failure show what a person would look at first."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tools.e2e.before import unpack, version_before
from tools.e2e.cluster import Kubectl, StoryError, call
from tools.e2e.story import Story
from tools.e2e.story_base import CRD, NAMESPACES, POOLS, SERVICES, SYSTEM
from tools.e2e.upgrade import Former
from tools.image import ROOT, ImageError, archive, build, build_simulators, builder_on_path

_BEGAN = time.monotonic()


def _say(text: str) -> None:
    print(f"{time.monotonic() - _BEGAN:6.1f}s  {text}", flush=True)


def load(image: str, *, builder: str, loader: list[str], context: str) -> None:
    """Bring the image to the node.

    Args:
        image: Its name.
        builder: What built it.
        loader: Command that takes the path of an archive; without one, kind's where the
            context is one of kind.
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


@contextmanager
def former(options: argparse.Namespace, *, builder: str, context: str) -> Iterator[Former | None]:
    """Yield the version before: its tree unpacked, its image built and brought to the nodes. None,
    which is said, without one.

    Raises:
        StoryError: There is no such revision, or nobody knows how an image gets to the nodes.
        ImageError: Its image cannot be built.
    """
    version = None if options.before == "none" else version_before(ROOT, options.before)
    if version is None:
        _say(
            "upgrade and rollback between versions are left out: a shallow clone has no version before, or BEFORE=none"
        )
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="hfrunners-e2e-") as directory:
        unpack(ROOT, version, tree := Path(directory) / "tree")
        image = f"{options.image.rpartition(':')[0]}:{version.tag}"
        build(builder, image, base=options.base, flags=options.flags, tree=tree, revision=version.commit)
        load(image, builder=builder, loader=options.load, context=context)
        _say(f"{image}, of the version before, {version.name}, is on the node")
        yield Former(version=version, tree=tree, image=image)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", required=True, help="name and tag; built already")
    parser.add_argument(
        "--builder", default="", help="docker, podman or buildah; by default the first on PATH"
    )
    parser.add_argument("--base", default="", help="base image of the version before, as of tools.image")
    parser.add_argument("--flags", type=shlex.split, default=[], help="more for the builder's builds")
    parser.add_argument(
        "--before", default="", help="revision of the version before; none leaves its acts out"
    )
    parser.add_argument(
        "--load", type=shlex.split, default=[], help="command that takes an archive to the nodes"
    )
    parser.add_argument("--helm", action="append", default=[], help="a second one installs anew at the end")
    parser.add_argument("--kubectl", default="kubectl")
    return parser.parse_args()


def main() -> int:
    """Run it; the exit code is 1 if something is not as it should be."""
    options = _options()
    kubectl = Kubectl(options.kubectl)
    with ExitStack() as stack:
        try:
            context = kubectl("config", "current-context").strip()
            nodes = kubectl.items("get", "nodes")
            kubelet = nodes[0]["status"]["nodeInfo"]["kubeletVersion"]
            _say(f"cluster {context}: {len(nodes)} node, Kubernetes {kubelet}")
            clear(kubectl)
            builder = options.builder or builder_on_path()
            load(options.image, builder=builder, loader=options.load, context=context)
            simulators = build_simulators(builder, options.image, flags=options.flags)
            load(simulators, builder=builder, loader=options.load, context=context)
            _say(f"{options.image} and {simulators} are on the node")
            before = stack.enter_context(former(options, builder=builder, context=context))
        except (StoryError, ImageError) as error:
            print(f"e2e: {error}", file=sys.stderr)
            return 1
        try:
            helms = options.helm or ["helm"]
            story = Story(
                kubectl=kubectl,
                helms=helms,
                image=options.image,
                simulators=simulators,
                say=_say,
                former=before,
            )
            story.play()
            clear(kubectl)
        except StoryError as error:
            _say(f"FAILED: {error}")
            _show(kubectl)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
