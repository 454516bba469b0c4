"""Runner registrations at repository, organization and enterprise scope, as the REST API sees them."""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

from hf_runner_simulators.github.accounts import Accounts
from hf_runner_simulators.github.dispatch import Dispatcher
from hf_runner_simulators.github.errors import Refusal, not_found
from hf_runner_simulators.github.model import Runner, Scope
from hf_runner_simulators.github.state import Store, verb

MAX_NAME = 64
MAX_LABEL = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class JitConfig:
    """Answer of ``generate-jitconfig``; ``encoded`` is a secret."""

    runner: Runner
    encoded: str

    def __repr__(self) -> str:
        """Hide the secret."""
        return f"JitConfig(runner={self.runner.name!r})"


class Runners:
    """Verbs on registrations. All raise Refusal."""

    def __init__(self, store: Store, accounts: Accounts, dispatcher: Dispatcher) -> None:
        self._store = store
        self._accounts = accounts
        self._dispatcher = dispatcher
        self.time = store.time
        self._recent: dict[Scope, deque[float]] = {}

    @verb
    def generate_jit_config(
        self,
        scope: Scope,
        *,
        name: str,
        labels: Iterable[str],
        group_id: int = 1,
        work_folder: str = "_work",
        server_url: str = "http://github.sim",
    ) -> JitConfig:
        """Register an ephemeral runner and return its configuration. Not idempotent: a repeat answers 409.

        Args:
            scope: Where.
            name: At most 64 characters, unique within the scope.
            labels: 1 to 100; kept in lower case, and none is added.
            group_id: Runner group.
            work_folder: Relative to the runner's directory.
            server_url: Origin that the listener shall call.

        Raises:
            Refusal: 409, the name is taken; 422, malformed; 403, not possible here; 404, no such group.
        """
        wanted = tuple(dict.fromkeys(label.lower() for label in labels))
        self._validate(name, wanted)
        self._admit(scope, group_id)
        if (scope, name.lower()) in self._store.runner_names:
            raise Refusal(409, f"Already exists - A runner with the name {name} already exists.")
        runner_id = self._store.next_id("runner")
        runner = Runner(
            id=runner_id,
            scope=scope,
            group_id=group_id,
            name=name,
            labels=tuple(
                sorted(wanted, key=lambda label: self._store.keyed("label order", runner_id, label))
            ),
            created_at=self.time.now,
            secret=self._store.keyed("jit", runner_id),
            work_folder=work_folder,
        )
        self._store.runners.put(runner.id, runner)
        self._store.runners_of[scope][runner.id] = None
        self._store.runner_names[scope, name.lower()] = runner.id
        self.time.after(self._store.knobs.reap_seconds, partial(self._reap, runner.id))
        return JitConfig(runner=runner, encoded=self._encode(runner, server_url))

    def _validate(self, name: str, labels: tuple[str, ...]) -> None:
        if not labels:
            raise Refusal(422, "Invalid property /labels: 1 item required; only 0 were supplied.")
        if len(labels) > 100:
            raise Refusal(
                422, f"Invalid property /labels: {len(labels)} items were supplied; at most 100 are allowed."
            )
        if any(not label.strip() or len(label) > MAX_LABEL for label in labels):
            raise Refusal(422, f"Invalid property /labels: a label has 1 to {MAX_LABEL} characters.")
        if not 1 <= len(name) <= MAX_NAME:
            raise Refusal(422, f"Invalid property /name: a runner name has 1 to {MAX_NAME} characters.")

    def _admit(self, scope: Scope, group_id: int) -> None:
        if scope.kind == "repo":
            repository = self._store.repository(scope.name)
            if not repository.actions_enabled:
                raise Refusal(403, "GitHub Actions is disabled on this repository.")
            if not repository.runners_enabled:
                raise Refusal(403, "Repository level self-hosted runners are disabled on this repository.")
            if repository.archived:
                raise Refusal(403, "Repository was archived so is read-only.")
        group = self._accounts.group(scope, group_id)
        if group.hosted:
            raise Refusal(403, f"Runner group {group.name} is for GitHub-hosted runners only.")
        limit = self._store.knobs.runners_per_group
        if len(self._store.runners_of[scope]) >= limit:
            members = [row for row in self._rows(scope, 0.0) if row.group_id == group_id]
            if len(members) >= limit:
                raise Refusal(422, f"Runner group {group.name} has reached max limit of {limit} runners.")
        recent = self._recent.setdefault(scope, deque())
        while recent and recent[0] <= self.time.now - 300:
            recent.popleft()
        if len(recent) >= self._store.knobs.registrations_per_5_minutes:
            raise Refusal(
                429, "Too many runner registrations. Please wait a few minutes before you try again."
            )
        recent.append(self.time.now)

    def _encode(self, runner: Runner, server_url: str) -> str:
        noise = self._store.keyed("rsa", runner.id)
        files = {
            ".runner": {
                "AgentId": str(runner.id),
                "AgentName": runner.name,
                "PoolId": str(runner.group_id),
                "PoolName": "Default",
                "ServerUrl": server_url,
                "GitHubUrl": server_url + "/" + runner.scope.name,
                "WorkFolder": runner.work_folder,
                "Ephemeral": "True",
                "UseV2Flow": "True",
                "ServerUrlV2": server_url,
            },
            ".credentials": {
                "Scheme": "OAuth",
                "Data": {
                    "ClientId": f"{noise[:8]}-{noise[8:12]}-{noise[12:16]}-{noise[16:20]}-{noise[20:32]}",
                    "AuthorizationUrl": server_url + "/_sim/listener/sessions",
                    "RequireFipsCryptography": "True",
                },
            },
            # The real file holds an RSA key; here the modulus is filler of its size, and `d` is the
            # shared secret.
            ".credentials_rsaparams": {
                "d": runner.secret,
                "exponent": "AQAB",
                "modulus": base64.b64encode(bytes.fromhex(noise) * 32).decode(),
            },
        }
        encoded = {name: base64.b64encode(json.dumps(body).encode()).decode() for name, body in files.items()}
        return base64.b64encode(json.dumps(encoded).encode()).decode()

    def _reap(self, runner_id: int) -> None:
        runner = self._store.runners.get(runner_id)
        if runner is None:
            return
        seen = self._store.seen.get(runner_id, runner.created_at)
        if self._store.online(runner) or runner.running:
            seen = self.time.now
        left = seen + self._store.knobs.reap_seconds - self.time.now
        if left > 0:
            self.time.after(left, partial(self._reap, runner_id))
        else:
            self._dispatcher.drop(runner_id)

    # -- looking
    # --------------------------------------------------------------------------------------------------

    def _rows(self, scope: Scope, lag: float) -> list[Runner]:
        keys = self._store.runners_of[scope]
        rows = [row for key in keys if (row := self._store.runners.as_of(key, lag)) is not None]
        return [row for row in rows if not row.gone]

    @verb
    def list(self, scope: Scope, *, name: str | None = None, group_id: int | None = None) -> list[Runner]:
        """List registrations; ``name`` matches whole names only."""
        knobs = self._store.knobs
        rows = [
            row
            for row in self._rows(scope, max(knobs.list_lag_seconds, knobs.runners_lag))
            if (name is None or row.name.lower() == name.lower()) and group_id in (None, row.group_id)
        ]
        return self._store.ordered(rows)

    @verb
    def get(self, scope: Scope, runner_id: int) -> Runner:
        """Return one registration.

        Raises:
            Refusal: 404.
        """
        runner = self._store.runners.as_of(runner_id, self._store.knobs.get_lag_seconds)
        if runner is None or runner.scope != scope or runner.gone:
            raise not_found()
        return runner

    @verb
    def shown(self, runner: Runner) -> tuple[str, bool]:
        """Return ``status`` and ``busy`` as answers show them, lies included."""
        knobs = self._store.knobs
        current = self._store.runners.get(runner.id)
        online = current is not None and runner.session is not None and self._store.online(current)
        if online and runner.connected_at is not None:
            online = self.time.now - runner.connected_at >= knobs.fresh_reads_offline_seconds
        if runner.running and knobs.busy_reads_offline:
            online = False
        return ("online" if online else "offline"), runner.running and not knobs.busy_reads_false

    # -- removing
    # -------------------------------------------------------------------------------------------------

    @verb
    def delete(self, scope: Scope, runner_id: int) -> None:
        """Remove a registration: from now on it can take no job.

        Raises:
            Refusal: 422, it runs a job, or its finished record still lingers; 404, it is gone.
        """
        runner = self._store.runners.get(runner_id)
        if runner is None or runner.scope != scope or runner.gone:
            raise not_found()
        offered = runner.job_id is not None and not runner.running
        if runner.running or (offered and self._store.knobs.offer_blocks_delete):
            raise Refusal(422, f'Runner "{runner.name}" is currently running a job and cannot be deleted.')
        if offered and runner.job_id is not None:
            self._store.runners.put(runner.id, replace(runner, job_id=None))
            self._dispatcher.drop(runner.id)
            self._dispatcher.requeue(runner.job_id)
            return
        self._dispatcher.drop(runner.id)
