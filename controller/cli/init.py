"""``hf-runner-controller init``: manifests to begin with, from answers or flags."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from controller.adapters.github import credentials_from_secret
from controller.api.address import github_target, is_github_url
from controller.api.convert import to_pool
from controller.api.runnerpool import InvalidPool, RunnerPool
from controller.cli.exits import MISTAKEN
from controller.cli.hosts import ALLOW_HTTP
from controller.cli.manifests import (
    APP_SECRET,
    JOBS_ACTIONS,
    TOKEN_SECRET,
    Wanted,
    manifests,
    workflow_file,
)
from controller.cli.terminal import print_line, print_lines
from controller.core.hosts import DEFAULT_HOSTS
from controller.core.model import ScopeKind
from controller.ports import UpstreamError

OBJECT_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")


@click.command("init")
@click.option(
    "--github-url",
    metavar="URL",
    help="https://github.com/OWNER or .../OWNER/REPOSITORY, on any GitHub host.",
)
@click.option(
    "--repository",
    "repositories",
    metavar="NAME",
    multiple=True,
    help="Below an owner's URL: which to serve, such as lib or lib-*; may be repeated.",
)
@click.option(
    "--hf-namespace", metavar="NAME", help="User or organization on the Hub that runs the Jobs and pays."
)
@click.option(
    "--flavor",
    "flavors",
    metavar="NAME",
    multiple=True,
    help="Hardware, as `hf jobs hardware` lists it; may be repeated, for one pool each.",
)
@click.option("--fallback", is_flag=True, help="One pool, that tries the flavors in this order.")
@click.option(
    "--like",
    type=click.Choice([JOBS_ACTIONS]),
    help="Take over from huggingface/jobs-actions: labels hf-jobs-<flavor>, so that workflows need no edit.",
)
@click.option(
    "--label",
    "labels",
    metavar="LABEL",
    multiple=True,
    help="Of a single pool; may be repeated. Default: hf-<flavor>.",
)
@click.option("--name", metavar="NAME", help="Of a single pool. Default: its first flavor.")
@click.option("-n", "--namespace", metavar="NAME", help="Kubernetes namespace. Default: none is written.")
@click.option(
    "--runner-group", "group", metavar="NAME", help="Runner group of the organization that runners join."
)
@click.option("--image", metavar="IMAGE", help="Container image. Default: Ubuntu, with CUDA for GPU flavors.")
@click.option("--max-runners", type=click.IntRange(0, 1_000), default=4, show_default=True)
@click.option("--min-idle", type=click.IntRange(0, 1_000), default=0, show_default=True)
@click.option(
    "--lifetime",
    metavar="DURATION",
    help="Longest workflow job, such as 45m. Default: 6h; with --like jobs-actions 1h, its JOB_TIMEOUT.",
)
@click.option("--app-id", metavar="ID", help="Of the GitHub App.")
@click.option(
    "--app-key-file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The App's private key, as GitHub handed it out.",
)
@click.option("--installation-id", metavar="ID", help="Of the App on the owner. Default: looked up.")
@click.option(
    "--github-token-file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="A personal access token instead of an App.",
)
@click.option(
    "--hf-token-file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="The Hub's token.",
)
@click.option("--hf-endpoint", "endpoint", metavar="URL", help="Default: https://huggingface.co.")
@click.option("--allow-http", is_flag=True, help=ALLOW_HTTP)
@click.option("--workflow", is_flag=True, help="Print the workflow instead of the manifests.")
def init_command(
    *,
    github_url: str | None,
    repositories: tuple[str, ...],
    hf_namespace: str | None,
    flavors: tuple[str, ...],
    fallback: bool,
    like: str | None,
    labels: tuple[str, ...],
    name: str | None,
    namespace: str | None,
    group: str | None,
    image: str | None,
    max_runners: int,
    min_idle: int,
    lifetime: str | None,
    app_id: str | None,
    app_key_file: Path | None,
    installation_id: str | None,
    github_token_file: Path | None,
    hf_token_file: Path | None,
    endpoint: str | None,
    allow_http: bool,
    workflow: bool,
) -> None:
    """Print RunnerPools, the Secrets that they name, and a workflow that uses them.

    What is not given is asked for on a terminal. The manifests go to the standard output, and a
    workflow to the standard error:

        hf-runner-controller init > pools.yaml; hf-runner-controller check pools.yaml

    Secrets are written only from files that are given; else a comment has the kubectl command that makes
    them. Exit codes: 0 done, 1 stopped while asked, 2 wrong arguments.
    """
    asked = _Questions()
    github_url = github_url or asked.for_url()
    if github_url and is_github_url(github_url):
        target = github_target(github_url)
        if not repositories and target.scope.kind is not ScopeKind.REPOSITORY:
            repositories = asked.for_many(
                "--repository", "Repositories to serve, such as lib, lib-* (* for all)"
            )
    hf_namespace = hf_namespace or asked.for_one(
        "--hf-namespace", "User or organization on the Hub that pays"
    )
    flavors = flavors or asked.for_many("--flavor", "Hardware flavors", default="t4-small")
    asked.done()
    if len(flavors) > 1 and not fallback and (labels or name):
        raise click.UsageError("--label and --name are of one pool: give one --flavor, or --fallback")
    if app_id and not app_key_file:
        raise click.UsageError("--app-id needs --app-key-file")
    if (app_key_file or installation_id) and not app_id:
        raise click.UsageError("--app-key-file and --installation-id need --app-id")
    for given in filter(None, (name, namespace)):
        if not OBJECT_NAME.fullmatch(given):
            raise click.UsageError(
                f"{given!r} is no name in Kubernetes: write lower-case letters, digits and '-'"
            )
    github = _github_secret(app_id, app_key_file, installation_id, github_token_file)
    hub = {"token": _read(hf_token_file)} if hf_token_file else {}
    enterprise = is_github_url(github_url) and github_target(github_url).scope.kind is ScopeKind.ENTERPRISE
    wanted = Wanted(
        url=github_url,
        repositories=repositories,
        hf_namespace=hf_namespace,
        endpoint=endpoint,
        flavors=flavors,
        fallback=fallback,
        labels=labels,
        name=name,
        namespace=namespace,
        group=group,
        image=image,
        max_runners=max_runners,
        min_idle=min_idle,
        lifetime=lifetime,
        like=like,
        github_secret=TOKEN_SECRET if enterprise or "token" in github else APP_SECRET,
    )
    pools = wanted.pools()
    _validate(pools, allow_http=allow_http)
    if workflow:
        print_lines(workflow_file(pools))
        return
    print_lines(manifests(wanted, pools, github, hub))
    print_lines(f"\nA workflow for these pools:\n\n{workflow_file(pools)}", err=True)


class _Questions:
    """Asks on a terminal; elsewhere collects what would have been asked."""

    def __init__(self) -> None:
        self._terminal = sys.stdin.isatty()
        self._missing: list[str] = []

    def for_one(self, option: str, question: str) -> str:
        """Return one answer."""
        if self._terminal:
            return str(click.prompt(question, err=True)).strip()
        self._missing.append(option)
        return ""

    def for_url(self) -> str:
        """Return GitHub's address; asked until it is one."""
        while True:
            url = self.for_one("--github-url", "GitHub address, such as https://github.com/OWNER")
            if not self._terminal or is_github_url(url):
                return url
            print_line("write https://github.com/OWNER or https://github.com/OWNER/REPOSITORY", err=True)

    def for_many(self, option: str, question: str, *, default: str | None = None) -> tuple[str, ...]:
        """Return several answers, given in one line."""
        if self._terminal:
            line = str(click.prompt(question, default=default, err=True))
            return tuple(line.replace(",", " ").split())
        self._missing.append(option)
        return ()

    def done(self) -> None:
        """Complain of all that is missing.

        Raises:
            click.UsageError: Something is.
        """
        if self._missing:
            raise click.UsageError(f"missing {', '.join(self._missing)} (they are asked for on a terminal)")


def _validate(pools: Sequence[Mapping[str, Any]], *, allow_http: bool) -> None:
    mistakes: dict[str, None] = {}
    for pool in pools:
        try:
            RunnerPool.parse(pool, allow_http=allow_http)
        except InvalidPool as error:
            mistakes |= dict.fromkeys(map(str, error.mistakes))
    for mistake in mistakes:
        print_line(mistake, err=True)
    if mistakes:
        sys.exit(MISTAKEN)
    hosts = replace(DEFAULT_HOSTS, allow_http=allow_http)
    for note in dict.fromkeys(hosts.refuses_pool(to_pool(pool, allow_http=allow_http)) for pool in pools):
        if note is not None:
            print_line(f"Note: {note.message}", err=True)


def _read(file: Path) -> str:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{file} is not UTF-8 text") from error
    return text.strip()


def _github_secret(
    app_id: str | None, key_file: Path | None, installation_id: str | None, token_file: Path | None
) -> dict[str, str]:
    """Return what the Secret holds, empty if nothing was given."""
    if app_id and key_file and token_file:
        raise click.UsageError("an App and --github-token-file were given: keep one")
    if app_id and key_file:
        data = {"appId": app_id, "privateKey": _read(key_file) + "\n"}
        if installation_id:
            data["installationId"] = installation_id
    elif token_file:
        data = {"token": _read(token_file)}
    else:
        return {}
    try:
        credentials_from_secret(data)
    except UpstreamError as error:
        raise click.UsageError(error.failure.message) from error
    return data


# ---------------------------------------------------------------------------------------------------- writing
