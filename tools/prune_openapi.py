"""Cut GitHub's OpenAPI description down to the operations that the simulator answers, for
``tests/sim/github``.

Run it to take over a newer description: ``python tools/prune_openapi.py`` fetches the pinned
package with ``npm pack`` and writes ``tests/data/github-openapi.json``. ``--generated DIR`` uses
an unpacked package instead.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

PACKAGE = "@octokit/openapi@23.0.2"
TARGET = Path(__file__).parent.parent / "tests" / "data" / "github-openapi.json"

RUNS = "/repos/{owner}/{repo}/actions/runs"
RUNNERS = "/actions/runners"
GROUPS = "/actions/runner-groups"

COM = {
    "/app": ["get"],
    "/app/installations": ["get"],
    "/app/installations/{installation_id}": ["get"],
    "/app/installations/{installation_id}/access_tokens": ["post"],
    "/installation/repositories": ["get"],
    "/meta": ["get"],
    "/orgs/{org}": ["get"],
    "/orgs/{org}/installation": ["get"],
    "/orgs/{org}/repos": ["get"],
    f"/orgs/{{org}}{GROUPS}": ["get"],
    f"/orgs/{{org}}{GROUPS}/{{runner_group_id}}": ["get"],
    f"/orgs/{{org}}{GROUPS}/{{runner_group_id}}/repositories": ["get"],
    f"/orgs/{{org}}{GROUPS}/{{runner_group_id}}/runners": ["get"],
    "/rate_limit": ["get"],
    "/repos/{owner}/{repo}": ["get"],
    "/repos/{owner}/{repo}/actions/jobs/{job_id}": ["get"],
    "/repos/{owner}/{repo}/actions/permissions/fork-pr-contributor-approval": ["get"],
    "/repos/{owner}/{repo}/actions/jobs/{job_id}/rerun": ["post"],
    "/repos/{owner}/{repo}/installation": ["get"],
    RUNS: ["get"],
    f"{RUNS}/{{run_id}}": ["get"],
    f"{RUNS}/{{run_id}}/artifacts": ["get"],
    f"{RUNS}/{{run_id}}/attempts/{{attempt_number}}/jobs": ["get"],
    f"{RUNS}/{{run_id}}/cancel": ["post"],
    f"{RUNS}/{{run_id}}/force-cancel": ["post"],
    f"{RUNS}/{{run_id}}/jobs": ["get"],
    f"{RUNS}/{{run_id}}/rerun": ["post"],
    f"{RUNS}/{{run_id}}/rerun-failed-jobs": ["post"],
    "/repos/{owner}/{repo}/actions/workflows": ["get"],
    "/repos/{owner}/{repo}/actions/workflows/{workflow_id}": ["get"],
    "/user/repos": ["get"],
    "/users/{username}": ["get"],
    "/users/{username}/installation": ["get"],
    "/users/{username}/repos": ["get"],
}
"""Operations of github.com."""

CLOUD = {
    "/enterprises/{enterprise}/installation": ["get"],
    f"/enterprises/{{enterprise}}{GROUPS}": ["get"],
    f"/enterprises/{{enterprise}}{GROUPS}/{{runner_group_id}}": ["get"],
    f"/enterprises/{{enterprise}}{GROUPS}/{{runner_group_id}}/runners": ["get"],
}
"""Operations that only Enterprise Cloud describes."""

for _root, _operations in (
    ("/repos/{owner}/{repo}", COM),
    ("/orgs/{org}", COM),
    ("/enterprises/{enterprise}", CLOUD),
):
    _operations |= {
        f"{_root}{RUNNERS}": ["get"],
        f"{_root}{RUNNERS}/downloads": ["get"],
        f"{_root}{RUNNERS}/generate-jitconfig": ["post"],
        f"{_root}{RUNNERS}/{{runner_id}}": ["get", "delete"],
    }
    CLOUD[f"{_root}{RUNNERS}/deprecations/{{version}}"] = ["get"]

PROSE = frozenset(
    {"description", "summary", "externalDocs", "example", "examples", "tags", "x-github", "operationId"}
)
GENERIC = ("basic-error", "validation-error", "validation-error-simple")
"""Schemas for errors that an operation does not describe, though GitHub sends them."""


JSON = Any


def prune(node: JSON, *, names: bool = False) -> JSON:
    """Return a copy without prose. ``names``: the keys are somebody's names (properties,
    schemas), not OpenAPI's words.

    One fault of the description is mended: the enum of a nullable schema lacks ``null``, which would refuse
    every real queued job (its ``conclusion``).
    """
    if isinstance(node, list):
        return [prune(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {
        key: prune(value, names=key in ("properties", "responses"))
        for key, value in node.items()
        if names or (key not in PROSE and not key.startswith("x-"))
    }
    if names or not kept.get("nullable"):
        return kept
    if "enum" in kept and None not in kept["enum"]:
        kept["enum"] = [*kept["enum"], None]
    return kept


def references(node: JSON) -> set[str]:
    """Return every ``#/components/...`` that is referred to."""
    if isinstance(node, list):
        return set().union(*map(references, node)) if node else set()
    if not isinstance(node, dict):
        return set()
    found = set().union(*map(references, node.values())) if node else set()
    target = node.get("$ref")
    return found | {target} if isinstance(target, str) else found


def lookup(source: dict[str, Any], reference: str) -> JSON:
    """Return what a reference means."""
    node = source
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def add(target: dict[str, Any], source: dict[str, Any], operations: dict[str, list[str]]) -> None:
    """Copy operations and all that they refer to.

    A component that both descriptions have must mean the same, or the one that is added
    later must allow more.
    """
    wanted: set[str] = {f"#/components/schemas/{name}" for name in GENERIC}
    for path, methods in operations.items():
        item = {method: prune(source["paths"][path][method]) for method in methods}
        if path == "/app/installations":
            # Spelt out there, with `allOf` of a user and an enterprise where the component rightly has
            # `anyOf`.
            media = item["get"]["responses"]["200"]["content"]["application/json"]
            media["schema"]["items"] = {"$ref": "#/components/schemas/installation"}
        for operation in item.values():
            for answer in operation["responses"].values():
                if "$ref" not in answer:
                    answer["description"] = ""  # OpenAPI demands one
        target["paths"][path] = item
        wanted |= references(item)
    done: set[str] = set()
    while wanted - done:
        reference = min(wanted - done)
        done.add(reference)
        _, kind, name = reference.removeprefix("#/").split("/")
        component = prune(lookup(source, reference))
        if kind == "responses":
            component["description"] = ""
        held = target["components"].setdefault(kind, {})
        if not _extends(component, held.setdefault(name, component)):
            sys.exit(f"{reference} differs between the descriptions: rename one of them here")
        held[name] = component
        wanted |= references(component)


def _extends(new: dict[str, Any], old: dict[str, Any]) -> bool:
    """Whether a schema is the same, or has more optional properties."""
    more, fewer = new.get("properties", {}), old.get("properties", {})
    rest = {key: value for key, value in new.items() if key != "properties"}
    return (
        rest == {key: value for key, value in old.items() if key != "properties"}
        and fewer.items() <= more.items()
    )


def write(description: dict[str, Any], path: Path) -> None:
    """Write it with one line per path and component, so that differences can be read."""

    def lines(rows: dict[str, Any], indent: str) -> str:
        body = ",\n".join(
            f"{indent}{json.dumps(name)}: {json.dumps(rows[name], sort_keys=True)}" for name in sorted(rows)
        )
        return "{\n" + body + "\n" + indent[:-2] + "}"

    kinds = ",\n".join(
        f'    "{kind}": {lines(description["components"][kind], " " * 6)}'
        for kind in sorted(description["components"])
    )
    head = {key: description[key] for key in ("openapi", "info", "servers")}
    text = (
        json.dumps(head)[:-1]
        + ',\n  "paths": '
        + lines(description["paths"], " " * 4)
        + ',\n  "components": {\n'
        + kinds
        + "\n  }\n}\n"
    )
    json.loads(text)
    path.write_text(text)


def fetch(directory: Path) -> Path:
    """Download and unpack the package; return the directory of the descriptions."""
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("npm is needed to fetch the description; install Node.js, or pass --generated DIR")
    subprocess.run([npm, "pack", "--silent", PACKAGE], cwd=directory, check=True, stdout=subprocess.DEVNULL)
    (archive,) = directory.glob("*.tgz")
    with tarfile.open(archive) as tar:
        for name in ("api.github.com.json", "ghec.json"):
            tar.extract(f"package/generated/{name}", directory, filter="data")
    return directory / "package" / "generated"


def main() -> None:
    """Write the pruned description."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generated", type=Path, help="directory with api.github.com.json and ghec.json")
    given = parser.parse_args().generated
    description: dict[str, Any] = {
        "openapi": "3.0.3",
        "info": {
            "title": "GitHub REST, pruned by tools/prune_openapi.py",
            "version": PACKAGE,
            "license": {"name": "MIT"},
        },
        "servers": [{"url": "http://api.example"}],
        "paths": {},
        "components": {},
    }
    with tempfile.TemporaryDirectory() as scratch:
        generated = given or fetch(Path(scratch))
        add(description, json.loads((generated / "api.github.com.json").read_text()), COM)
        add(description, json.loads((generated / "ghec.json").read_text()), CLOUD)
    write(description, TARGET)
    print(f"{TARGET}: {len(description['paths'])} paths, {TARGET.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
