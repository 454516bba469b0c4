"""Which Secrets may become environment variables of runners."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from controller.core.actions import Launch
from controller.core.model import (
    Disposition,
    Failure,
    Pool,
    RunnerTemplate,
    SecretEnv,
    SecretRef,
    SecretSight,
    Snapshot,
)
from controller.core.plan import Plan
from controller.core.reasons import Reason
from controller.core.variables import LABEL, refusal, sight

from .build import hf_job, job, pool, registration, run_plan, snapshot

POSTGRES = SecretRef("ci", "postgres-superuser")
LOOT = SecretEnv(name="LOOT", secret=POSTGRES, key="password")
LABELLED = {LABEL: "true"}
FORBIDDEN = Failure(reason=Reason.SecretForbidden, message="bind it", disposition=Disposition.PERSON)
OUTAGE = Failure(reason=Reason.KubernetesUnavailable, message="no answer")


def wanting(*variables: SecretEnv, **changes: Any) -> Pool:
    return pool(template=RunnerTemplate(secret_env=variables), **changes)


def planned(seen: Mapping[SecretRef, SecretSight], wants: Pool, *jobs: object) -> Plan:
    return run_plan([wants], replace(snapshot(jobs=[job()]), variables=seen))


def launches(done: Plan) -> int:
    return sum(isinstance(action, Launch) for action in done.actions)


@pytest.mark.parametrize("labels", [{}, {LABEL: "false"}, {LABEL: ""}, {LABEL: "True"}, {"app": "postgres"}])
def test_a_secret_without_the_label_is_refused_with_the_command_that_sets_it(labels: dict[str, str]) -> None:
    refused = refusal(LOOT, sight(labels, ["password"]))
    assert refused is not None
    assert refused.reason is Reason.SecretNotLabelled
    assert refused.disposition is Disposition.PERSON
    assert refused.message.endswith(
        "kubectl label secret postgres-superuser --namespace ci hfrunners.dev/runner-env=true"
    )


def test_the_keys_of_a_secret_without_the_label_are_told_to_nobody() -> None:
    there = refusal(LOOT, sight({}, ["password"]))
    not_there = refusal(LOOT, sight({}, ["other"]))
    assert there == not_there


def test_a_labelled_secret_gives_its_key() -> None:
    assert refusal(LOOT, sight(LABELLED, ["password"])) is None


def test_a_key_that_is_not_there_is_named() -> None:
    refused = refusal(LOOT, sight(LABELLED, ["user"]))
    assert refused is not None
    assert (refused.reason, "'password'" in refused.message) == (Reason.SecretMalformed, True)


def test_what_a_person_must_mend_is_told_and_an_outage_is_not_taken_for_it() -> None:
    assert refusal(LOOT, SecretSight(failure=FORBIDDEN)) == FORBIDDEN
    assert refusal(LOOT, SecretSight(failure=OUTAGE)) is None


def test_a_command_holds_no_words_of_a_shell() -> None:
    odd = replace(LOOT, secret=SecretRef("ci", "x; rm -rf ~"))
    refused = refusal(odd, sight({}, ()))
    assert refused is not None
    command = refused.message.rpartition("run: ")[2]
    assert shlex.split(command)[3] == "x; rm -rf ~"


# -------------------------------------------------------------------------------------------------- in a pass
@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (sight({}, ["password"]), Reason.SecretNotLabelled),
        (sight(LABELLED, ["user"]), Reason.SecretMalformed),
        (SecretSight(failure=FORBIDDEN), Reason.SecretForbidden),
    ],
    ids=lambda value: str(value) if isinstance(value, Reason) else "",
)
def test_nothing_is_launched_for_a_pool_that_cannot_have_its_variables_and_the_job_says_why(
    seen: SecretSight, reason: Reason
) -> None:
    wants = wanting(LOOT)
    done = planned({POSTGRES: seen}, wants)
    assert launches(done) == 0
    (waiting,) = done.reports[wants.uid].waiting
    assert (waiting.reason, waiting.count) == (reason, 1)
    assert done.reports[wants.uid].failures[0].reason is reason


def test_a_pool_that_has_them_launches() -> None:
    assert launches(planned({POSTGRES: sight(LABELLED, ["password"])}, wanting(LOOT))) == 1


def test_a_pool_without_variables_needs_no_secret_for_them() -> None:
    assert launches(planned({POSTGRES: sight({}, ())}, pool())) == 1


def test_its_runners_go_on() -> None:
    wants = wanting(LOOT)
    given = replace(
        snapshot(registrations=[registration(wants, online=True)], hf_jobs=[hf_job(wants)]),
        variables={POSTGRES: sight({}, ())},
    )
    assert run_plan([wants], given).actions == []


def test_the_job_goes_to_a_pool_beside_it_that_can_launch() -> None:
    refused, other = wanting(LOOT), pool("other", created_at=200.0)
    given = replace(snapshot(jobs=[job()]), variables={POSTGRES: sight({}, ())})
    done = run_plan([refused, other], given)
    assert [action.pool.key.name for action in done.actions if isinstance(action, Launch)] == ["other"]


def test_a_pool_that_leaves_needs_no_variables() -> None:
    wants = wanting(LOOT, deleting=True)
    assert planned({POSTGRES: sight({}, ())}, wants).reports[wants.uid].failures == []


def test_a_pool_is_not_called_ready_before_its_variables_were_looked_at() -> None:
    wants = wanting(LOOT)
    assert not planned({}, wants).reports[wants.uid].observed
    assert planned({POSTGRES: sight(LABELLED, ["password"])}, wants).reports[wants.uid].observed


def test_a_snapshot_holds_no_value() -> None:
    assert "s3cret" not in repr(Snapshot(variables={POSTGRES: sight(LABELLED, {"password": "s3cret"})}))
