"""What is to be checked: RunnerPools and Secrets from files or from a cluster."""

from __future__ import annotations

import binascii
import sys
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.adapters.kube.client import Client, pools_path
from controller.adapters.kube.errors import NotFoundError
from controller.adapters.kube.pools import list_pools
from controller.adapters.kube.secrets import KubernetesSecrets, SecretData
from controller.api.convert import from_model
from controller.api.document import Document, NotYaml, Step, read_documents
from controller.api.runnerpool import InvalidPool, Mistake, RunnerPool
from controller.cli.checks.findings import Findings, Severity
from controller.core.model import Disposition, Failure, Pool, SecretRef
from controller.core.reasons import Reason
from controller.core.resource import KIND
from controller.ports import Secret, UpstreamError

STDIN = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A pool to check, and where it is written.

    Attributes:
        pool: As the planner sees it.
        written: Returns ``FILE:LINE`` of a place in the manifest; empty for a pool of a cluster.
    """

    pool: Pool
    written: Callable[[tuple[Step, ...]], str]

    def __str__(self) -> str:
        """``namespace/name``."""
        return str(self.pool.key)


@dataclass(slots=True, kw_only=True)
class Inputs:
    """What was given.

    Attributes:
        subjects: Pools without mistakes.
        secrets: Of the files.
        mistaken: Something given is wrong by itself: unreadable, no YAML, or a manifest that
            no API server would take.
    """

    subjects: list[Subject] = field(default_factory=list)
    secrets: dict[SecretRef, Secret] = field(default_factory=dict)
    mistaken: bool = False


class SecretReader:
    """Secrets of the files, then of the cluster if there is one."""

    def __init__(self, given: Mapping[SecretRef, Secret], client: Client | None) -> None:
        self._given = given
        self._cluster = KubernetesSecrets(client=client) if client is not None else None

    @property
    def complete(self) -> bool:
        """Whether a Secret that is not found does not exist."""
        return self._cluster is not None

    async def read(self, ref: SecretRef) -> Secret:
        """Return a Secret.

        Raises:
            UpstreamError: ``SecretMissing``, or as any call of Kubernetes.
        """
        if ref in self._given:
            return self._given[ref]
        if self._cluster is not None:
            return await self._cluster.read(ref)
        raise UpstreamError(
            Failure(
                reason=Reason.SecretMissing,
                message=f"Secret {ref} is in none of the files, so what it holds was not checked: give its file too, or "
                "--kubeconfig where the cluster has it.",
                disposition=Disposition.PERSON,
            )
        )


# ------------------------------------------------------------------------------------------------------ files
def read_files(files: Sequence[str], found: Findings, *, allow_http: bool) -> Inputs:
    """Read manifests; ``-`` is the standard input. Mistakes become findings, all of them."""
    inputs = Inputs()
    for name in files:
        for document, at, manifest in _manifests(name, found, inputs):
            kind = manifest.get("kind")
            if kind == KIND:
                _read_pool(document, at, manifest, found, inputs, allow_http=allow_http)
            elif kind == "Secret":
                _read_secret(document, at, manifest, found, inputs)
    if not inputs.subjects and not inputs.mistaken:
        _mistake(inputs, found, ", ".join(files), "", f"there is no {KIND} in it")
    return inputs


def _mistake(inputs: Inputs, found: Findings, subject: str, where: str, sentence: str) -> None:
    inputs.mistaken = True
    found.add(Severity.ERROR, Reason.InvalidSpec, subject, f"{sentence}.", where=where)


def _manifests(
    name: str, found: Findings, inputs: Inputs
) -> Iterator[tuple[Document, tuple[Step, ...], dict[str, Any]]]:
    shown = "stdin" if name == STDIN else name
    try:
        text = sys.stdin.read() if name == STDIN else Path(name).read_text(encoding="utf-8")
        documents = read_documents(text, name=shown)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        _mistake(inputs, found, shown, shown, f"cannot be read: {why}")
        return
    except NotYaml as error:
        _mistake(inputs, found, shown, f"{shown}:{error.line}", str(error))
        return
    for document in documents:
        for mistake in document.twice():
            _, line, sentence = document.say(mistake)
            _mistake(inputs, found, shown, f"{shown}:{line}", sentence)
        value = document.value
        if not isinstance(value, dict):
            _mistake(inputs, found, shown, f"{shown}:{document.line(())}", "write an object (name: value)")
        elif isinstance(value.get("items"), list):  # what `kubectl get -o yaml` prints
            for index, item in enumerate(value["items"]):
                if isinstance(item, dict):
                    yield document, ("items", index), item
        else:
            yield document, (), value


def _read_pool(
    document: Document,
    at: tuple[Step, ...],
    manifest: dict[str, Any],
    found: Findings,
    inputs: Inputs,
    *,
    allow_http: bool,
) -> None:
    def written(path: tuple[Step, ...]) -> str:
        return f"{document.name}:{document.line((*at, *path))}"

    try:
        pool = from_model(RunnerPool.parse(manifest, allow_http=allow_http))
    except InvalidPool as error:
        for mistake in error.mistakes:
            _mistake(inputs, found, _name(manifest), written(mistake.at), str(mistake))
        return
    if any(subject.pool.key == pool.key for subject in inputs.subjects):
        _mistake(inputs, found, str(pool.key), written(("metadata",)), "this pool is here twice")
        return
    inputs.subjects.append(Subject(pool=pool, written=written))


def _name(manifest: Mapping[str, Any]) -> str:
    metadata = manifest.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    return f"{metadata.get('namespace') or 'default'}/{metadata.get('name') or '?'}"


def _read_secret(
    document: Document, at: tuple[Step, ...], manifest: dict[str, Any], found: Findings, inputs: Inputs
) -> None:
    values: dict[str, str] = {}
    namespace, _, name = _name(manifest).partition("/")
    subject = f"Secret {namespace}/{name}"
    for part in ("data", "stringData"):
        given = manifest.get(part) or {}
        if not isinstance(given, dict):
            _mistake(inputs, found, subject, "", str(Mistake((part,), "write an object (name: value)")))
            continue
        for key, value in given.items():
            where = f"{document.name}:{document.line((*at, part, str(key)))}"
            if not isinstance(value, str):
                sentence = str(Mistake((part, str(key)), "write a string; numbers need quotes"))
                _mistake(inputs, found, subject, where, sentence)
                continue
            try:
                values[str(key)] = value if part == "stringData" else b64decode(value, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                sentence = str(
                    Mistake((part, str(key)), "is not base64 of text; plain text belongs into stringData")
                )
                _mistake(inputs, found, subject, where, sentence)
    inputs.secrets[SecretRef(namespace, name)] = Secret(data=SecretData(values), labels=_labels(manifest))


def _labels(manifest: Mapping[str, Any]) -> Mapping[str, str]:
    metadata = manifest.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    return labels if isinstance(labels, dict) else {}


# ---------------------------------------------------------------------------------------------------- cluster
async def read_cluster(
    client: Client, keys: Sequence[tuple[str, str]], found: Findings, *, allow_http: bool
) -> Inputs:
    """Read pools of a cluster by namespace and name, or all of them if none is named.

    Raises:
        UpstreamError: Kubernetes cannot be asked, or there is no such pool.
    """
    objects = [await _get(client, *key) for key in keys] if keys else await list_pools(client)
    inputs = Inputs()
    for one in objects:
        try:
            pool = from_model(RunnerPool.parse(one, allow_http=allow_http))
        except InvalidPool as error:
            for mistake in error.mistakes:
                found.add(Severity.ERROR, Reason.InvalidSpec, _name(one), f"{mistake}.")
        else:
            inputs.subjects.append(Subject(pool=pool, written=lambda _: ""))
    return inputs


async def _get(client: Client, namespace: str, name: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = await client.request_json("GET", pools_path(namespace, name))
    except NotFoundError:
        raise UpstreamError(
            Failure(
                reason=Reason.KubernetesNotFound,
                message=f"there is no RunnerPool {name} in namespace {namespace}, or no CRD: `kubectl get runnerpools -A` "
                "lists them",
            )
        ) from None
    return found
