"""Reads a scenario file and what it names: all mistakes at once, each with its file and line."""

from __future__ import annotations

import copy
import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from controller.api.convert import from_model
from controller.api.document import Document, NotYaml, Step, read_documents
from controller.api.runnerpool import InvalidPool, Mistake, RunnerPool, read_mistake
from controller.core.model import Pool, PoolKey, ScopeKind
from controller.simulate.expect import Expectation, read_expectation
from controller.simulate.scenario import ScenarioFile
from controller.simulate.scenario_trace import (
    OPTIONAL_COLUMNS,
    TRACE_COLUMNS,
    TraceRow,
    defaults_of,
    row_of,
    shifted,
)
from hf_runner_simulators.github.knobs import Knobs as GitHubKnobs
from hf_runner_simulators.hub.knobs import Knobs as HubKnobs


class InvalidScenario(Exception):  # noqa: N818 - a finding about the user's input
    """A scenario that cannot be played.

    Attributes:
        mistakes: All that were found, as ``FILE:LINE: sentence``, in the order of files and lines.
    """

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A scenario that can be played.

    Attributes:
        name: The file's name without its suffix.
        file: What it says.
        manifests: RunnerPools as users apply them, overrides included.
        pools: The same, parsed.
        traces: Rows by the workload entry that names the trace.
        expectations: What must come out.
    """

    name: str
    file: ScenarioFile
    manifests: Sequence[Mapping[str, Any]]
    pools: Sequence[Pool]
    traces: Mapping[int, Sequence[TraceRow]] = field(default_factory=dict)
    expectations: Sequence[Expectation] = ()


def load_scenario(path: Path, *, overrides: Sequence[tuple[str, str, str]] = ()) -> Scenario:
    """Read a scenario.

    Args:
        path: The file.
        overrides: ``--set POOL.FIELD=VALUE`` as (pool, field path below ``spec``, value in YAML).

    Raises:
        InvalidScenario: With every mistake of the file and of the files that it names.
    """
    return _Reader(path).read(overrides)


# -------------------------------------------------------------------------------------------------- documents
@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """Where a manifest comes from: a place in a document, with fields of its spec set by the scenario."""

    document: Document
    at: tuple[Step, ...]
    manifest: dict[str, Any]
    scenario: Document
    entry: tuple[Step, ...]
    changed: frozenset[str] = frozenset()

    def locate(self, mistake: Mistake) -> tuple[str, int, str]:
        """Return a mistake in the manifest with the place where somebody wrote it."""
        if len(mistake.at) > 1 and mistake.at[0] == "spec" and mistake.at[1] in self.changed:
            return self.scenario.locate(Mistake((*self.entry, "set", *mistake.at[1:]), mistake.sentence))
        return self.document.locate(Mistake((*self.at, *mistake.at), mistake.sentence))


# ----------------------------------------------------------------------------------------------------- reader
class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: list[tuple[str, int, str]] = []

    def read(self, overrides: Sequence[tuple[str, str, str]]) -> Scenario:
        documents = self._documents(self._path)
        if len(documents) != 1 or not isinstance(documents[0].value, dict):
            if not self._found:
                self._found.append((str(self._path), 1, "write one YAML document: an object (name: value)"))
            raise self._invalid()
        self._document = documents[0]
        file = self._model()
        sources = self._manifests(self._document.value.get("pools"))
        self._override(sources, overrides)
        pools = self._parse(sources)
        traces = self._traces(self._document.value.get("workload"))
        names = {str(pool.key) for pool in pools} | {pool.key.name for pool in pools}
        expectations = self._expectations(self._document.value.get("expect"), names)
        world = self._document.value.get("world")
        if isinstance(world, dict):
            self._knobs(world)
            self._names(world, names)
        if self._found or file is None:
            raise self._invalid()
        return Scenario(
            name=self._path.stem,
            file=file,
            manifests=[source.manifest for source in sources],
            pools=pools,
            traces=traces,
            expectations=expectations,
        )

    def _invalid(self) -> InvalidScenario:
        found = sorted(set(self._found), key=lambda one: (one[0] != str(self._path), one))
        return InvalidScenario([f"{path}:{line}: {sentence}" for path, line, sentence in found])

    def _at(self, at: Sequence[Step], sentence: str) -> None:
        self._found.append(self._document.locate(Mistake(tuple(at), sentence)))

    def _documents(self, path: Path) -> list[Document]:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
            self._found.append((str(path), 1, f"cannot be read: {why}"))
            return []
        try:
            documents = read_documents(text, name=str(path))
        except NotYaml as error:
            self._found.append((str(path), error.line, str(error)))
            return []
        for document in documents:
            self._found += [document.locate(mistake) for mistake in document.twice()]
        return documents

    def _model(self) -> ScenarioFile | None:
        try:
            return ScenarioFile.model_validate(self._document.value)
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_input=False):
                mistake = read_mistake(detail, ScenarioFile)
                self._at(mistake.at, mistake.sentence)
            return None

    # -------------------------------------------------------------------------------------------------- pools
    def _manifests(self, given: object) -> list[_Source]:
        """Return each manifest with the place that it comes from."""
        found: list[_Source] = []
        for index, entry in enumerate(given if isinstance(given, list) else []):
            here = ("pools", index)
            if not isinstance(entry, dict):
                continue  # the model says so
            if "file" not in entry:
                manifest = copy.deepcopy(entry)
                found.append(
                    _Source(
                        document=self._document,
                        at=here,
                        manifest=manifest,
                        scenario=self._document,
                        entry=here,
                    )
                )
                continue
            for name in sorted(set(entry) - {"file", "set"}):
                self._at((*here, name), "there is no such field beside file; there is set")
            changes = entry.get("set", {})
            if not isinstance(changes, dict):
                self._at((*here, "set"), "write an object (name: value)")
                changes = {}
            for document in self._pool_file(index, entry["file"]):
                manifest = copy.deepcopy(document.value)
                if isinstance(manifest.get("spec"), dict):
                    manifest["spec"] |= changes
                found.append(
                    _Source(
                        document=document,
                        at=(),
                        manifest=manifest,
                        scenario=self._document,
                        entry=here,
                        changed=frozenset(changes),
                    )
                )
        return found

    def _pool_file(self, index: int, name: object) -> list[Document]:
        at = ("pools", index, "file")
        if not isinstance(name, str):
            self._at(at, "write a path relative to this file")
            return []
        path = self._path.parent / name
        if not path.is_file():
            self._at(at, f"there is no file {path}")
            return []
        documents = [d for d in self._documents(path) if isinstance(d.value, dict)]
        pools = [d for d in documents if d.value.get("kind") == "RunnerPool"]
        if not pools:
            self._at(at, f"{path} has no RunnerPool")
        return pools

    def _override(self, sources: Sequence[_Source], overrides: Sequence[tuple[str, str, str]]) -> None:
        for pool, name, text in overrides:
            manifests = [
                source.manifest
                for source in sources
                if isinstance(source.manifest.get("spec"), dict)
                and isinstance(source.manifest.get("metadata"), dict)
                and source.manifest["metadata"].get("name") == pool
            ]
            if not manifests:
                self._found.append(("--set", 1, f"{pool}.{name}: there is no pool {pool!r}"))
            for manifest in manifests:
                *parents, last = name.split(".")
                target = manifest["spec"]
                for parent in parents:
                    target = target.setdefault(parent, {})
                try:
                    target[last] = yaml.safe_load(text)
                except (yaml.YAMLError, TypeError):
                    self._found.append(("--set", 1, f"{pool}.{name}: {text!r} cannot be set there"))

    def _parse(self, sources: Sequence[_Source]) -> list[Pool]:
        pools: list[Pool] = []
        seen: set[PoolKey] = set()
        for source in sources:
            try:
                pool = from_model(RunnerPool.parse(source.manifest, allow_http=True))
            except InvalidPool as error:
                self._found += [source.locate(mistake) for mistake in error.mistakes]
                continue
            if pool.key in seen:
                self._found.append(
                    source.locate(Mistake(("metadata",), f"the pool {pool.key} is here twice"))
                )
            if pool.scope.kind is ScopeKind.ENTERPRISE:
                say = "enterprises are not simulated; write an owner's or a repository's address"
                self._found.append(source.locate(Mistake(("spec", "github", "url"), say)))
            seen.add(pool.key)
            pools.append(pool)
        return pools

    # ----------------------------------------------------------------------------------- what pools are named
    def _names(self, world: Mapping[str, Any], names: set[str]) -> None:
        for kind in ("badImages", "kills"):
            listed = world.get(kind)
            for index, one in enumerate(listed if isinstance(listed, list) else []):
                pool = one.get("pool") if isinstance(one, dict) else None
                if isinstance(pool, str) and pool not in names:
                    self._at(("world", kind, index, "pool"), f"there is no pool {pool!r}")

    def _knobs(self, world: Mapping[str, Any]) -> None:
        github, hub = world.get("github"), world.get("hub")
        try:
            GitHubKnobs().changed(github if isinstance(github, dict) else {})
        except ValueError as error:
            self._at(("world", "github"), str(error))
        try:
            HubKnobs().changed(hub if isinstance(hub, dict) else {})
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_input=False):
                mistake = read_mistake(detail, HubKnobs)
                self._at(("world", "hub", *mistake.at), mistake.sentence)

    def _expectations(self, given: object, pools: set[str]) -> list[Expectation]:
        found: list[Expectation] = []
        for path, wanted in (given if isinstance(given, dict) else {}).items():
            try:
                found.append(read_expectation(str(path), wanted, pools))
            except ValueError as error:
                self._at(("expect", str(path)), str(error))
        return found

    # ------------------------------------------------------------------------------------------------- traces
    def _traces(self, given: object) -> dict[int, Sequence[TraceRow]]:
        found: dict[int, Sequence[TraceRow]] = {}
        for index, entry in enumerate(given if isinstance(given, list) else []):
            name = entry.get("trace") if isinstance(entry, dict) else None
            if not isinstance(name, str):
                continue
            path = self._path.parent / name
            try:
                with path.open(encoding="utf-8", newline="") as lines:
                    found[index] = self._rows(path, csv.DictReader(lines), defaults_of(entry))
            except (OSError, UnicodeDecodeError):
                self._at(("workload", index, "trace"), f"there is no readable file {path}")
        return found

    def _rows(
        self, path: Path, reader: csv.DictReader[str], defaults: Mapping[str, str]
    ) -> Sequence[TraceRow]:
        columns = reader.fieldnames or []
        missing = [name for name in TRACE_COLUMNS if name not in columns and name not in defaults]
        unknown = [name for name in columns if name not in (*TRACE_COLUMNS, *OPTIONAL_COLUMNS)]
        for name in missing:
            self._found.append((str(path), 1, f"the column {name} is missing"))
        for name in unknown:
            known = ", ".join((*TRACE_COLUMNS, *OPTIONAL_COLUMNS))
            self._found.append((str(path), 1, f"there is no column {name}; there are {known}"))
        if missing or unknown:
            return []
        rows: list[TraceRow] = []
        for row in reader:
            try:
                rows.append(row_of({**defaults, **row}))
            except ValueError as error:
                self._found.append((str(path), reader.line_num, str(error)))
        first = min((row.at for row in rows), default=0.0)
        return sorted((shifted(row, first) for row in rows), key=lambda row: (row.at, row.repository))
