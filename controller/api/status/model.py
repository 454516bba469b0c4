"""The models of ``RunnerPool.status``: what the controller reports about a pool.

It is for reading by people and tools. The controller itself reads back only ``places`` and ``lastLaunchAt``,
which tell where runners of an edited or broken pool may still be and for how long, ``interruptions``, which
it may have to follow up, ``intents`` with their ``term``, the launches that an earlier process decided on,
``suspicions``, and when a condition changed last, and that only after a restart, or when another process has
written them (:mod:`.stored`). Amounts of money are strings of decimal dollars, as Kubernetes objects hold no
floating point numbers (and Helm 4 and kstatus trip over them).
"""

from __future__ import annotations

import operator
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel

from controller.api.rules import KeyedBy
from controller.api.status.values import (
    MOST_FLAVOR,
    MOST_HF_JOB,
    MOST_INTERRUPTIONS,
    MOST_LINK,
    MOST_MESSAGE,
    MOST_NAME,
    MOST_NOTE,
    MOST_PLACES,
    MOST_REPOSITORY,
    MOST_REQUEST_ID,
    MOST_RUNNER,
    MOST_RUNNERS,
    MOST_WAITING,
)
from controller.core.conditions import ConditionType
from controller.core.intents import MOST_INTENTS, MOST_TERMS
from controller.core.lifecycle import Phase
from controller.core.model import RerunState, SuspicionLevel
from controller.core.reasons import Reason
from controller.core.suspicion import MOST_STARTS, MOST_SUSPICIONS

NEVER_SEEN: Final = -1
"""``observedGeneration`` of a pool that no controller has looked at: ``kubectl wait``, Helm 4, Flux and Argo
CD then wait instead of taking a missing status for success (docs/facts.md#how-tools-judge-a-status)."""


def _word(*, least: int | None = None, most: int = 128) -> WithJsonSchema:
    """Return the schema of a stable word.

    It lists no words: a pool that was written by another version with more of them must
    stay readable and writable.
    """
    least_of = {} if least is None else {"minLength": least}
    return WithJsonSchema(
        {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9]*$", **least_of, "maxLength": most}
    )


def _reason(value: Any) -> Any:  # noqa: ANN401 - whatever a stored status has there
    """Return the reason of a word; the API has words, and the enum's values are sentences."""
    return Reason.__members__.get(value, value) if isinstance(value, str) else value


Count = Annotated[int, Field(ge=0)]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Dollars = Annotated[str, Field(max_length=20, pattern=r"^[0-9]+[.][0-9]{2,6}$")]
ReasonWord = Annotated[Reason, BeforeValidator(_reason), PlainSerializer(str, return_type=str), _word()]
Sentence = Annotated[str, Field(max_length=MOST_MESSAGE)]
Link = Annotated[str, Field(max_length=MOST_LINK)]


class StatusPart(BaseModel):
    """Base of all status models: camelCase outside, Python names inside, no unknown fields, no
    silent conversion of types.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        strict=True,
        validate_by_name=True,
        validate_by_alias=True,
    )

    def to_object(self) -> dict[str, Any]:
        """Return it in JSON types as it is written: what nothing is known of is left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)


class Condition(StatusPart):
    """One aspect of the pool's state, in the form of all Kubernetes conditions."""

    type: Annotated[ConditionType, Field(strict=False), _word(most=316)] = Field(
        description="Aspect: Ready, Reconciling, Stalled, GitHubReachable, HubReachable and others."
    )
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    observed_generation: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="The metadata.generation that this was found for."
    )
    last_transition_time: Time = Field(description="When status last changed.")
    reason: Annotated[
        Reason, BeforeValidator(_reason), PlainSerializer(str, return_type=str), _word(least=1)
    ] = Field(description="Why, as a stable CamelCase word.")
    message: Annotated[str, Field(max_length=4096)] = Field(
        description="Why, as a sentence with the next step."
    )


class Counts(StatusPart):
    """Workflow jobs that wait, and runners by phase."""

    queued: Count = Field(default=0, description="Queued workflow jobs that this pool is to serve.")
    group_only: Count = Field(
        default=0,
        description="Queued jobs in the pool's repositories that name only a runner group, and that groupOnlyJobs: Ignore leaves waiting.",
    )
    unservable: Count = Field(
        default=0, description="Queued jobs that no pool's labels cover, and to which this pool is nearest."
    )
    starting: Count = Field(
        default=0,
        description="Runners launched that cannot take a workflow job yet: registered, scheduling and booting.",
    )
    registered: Count = Field(default=0, description="Of starting: known to GitHub, HF Job not created yet.")
    scheduling: Count = Field(default=0, description="Of starting: the HF Job waits for hardware, unbilled.")
    booting: Count = Field(
        default=0, description="Of starting: the HF Job runs, the runner is not online yet."
    )
    idle: Count = Field(default=0, description="Runners that wait for a workflow job.")
    busy: Count = Field(default=0, description="Runners that run a workflow job.")
    ending: Count = Field(default=0, description="Runners that are being ended.")
    live: Count = Field(default=0, description="HF Jobs that are alive; never more than maxRunners.")


class Waiting(StatusPart):
    """Queued workflow jobs that wait for one reason."""

    reason: ReasonWord = Field(description="Why they wait.")
    count: Count = Field(description="How many.")
    message: Sentence = Field(default="", description="What to do about it.")
    oldest: Time | None = Field(
        default=None, description="Since when the oldest of them is queued, on GitHub's clock."
    )


class Runner(StatusPart):
    """One runner."""

    name: Annotated[str, Field(max_length=MOST_RUNNER)] = Field(
        description="Name at GitHub and of the HF Job."
    )
    phase: Annotated[Phase, Field(strict=False), _word()] = Field(
        description=f"Where it is in its life: {', '.join(Phase)}."
    )
    flavor: Annotated[str, Field(max_length=MOST_FLAVOR)] = Field(
        default="", exclude_if=operator.not_, description="Hardware flavor."
    )
    hf_job_id: Annotated[str, Field(max_length=MOST_HF_JOB)] | None = Field(
        default=None, description="Id of the HF Job."
    )
    hf_job_url: Link | None = Field(default=None, description="Page of the HF Job, with its log.")
    workflow_job_url: Link | None = Field(
        default=None, description="Page of the workflow job that it runs or ran."
    )
    since: Time | None = Field(default=None, description="When the phase began.")


class Backoff(StatusPart):
    """Launches that failed in a row."""

    failures: Count = Field(description="Launches that failed since the last one that worked.")
    until: Time | None = Field(default=None, description="When the next one is tried.")
    reason: ReasonWord = Field(description="Why the last one failed, as a stable CamelCase word.")
    message: Sentence = Field(description="The same as a sentence with the next step.")
    request_id: Annotated[str, Field(max_length=MOST_REQUEST_ID)] | None = Field(
        default=None, description="Request id of GitHub or the Hub, for their support."
    )


class FlavorStatus(StatusPart):
    """One flavor of the pool."""

    name: Annotated[str, Field(max_length=MOST_FLAVOR)] = Field(description="Hardware flavor.")
    usd_per_hour: Dollars | None = Field(
        default=None, description="Price of one hour; absent while it is not known."
    )
    live: Count = Field(default=0, description="HF Jobs of this flavor that are alive.")
    backoff: Backoff | None = Field(
        default=None, description="Failures of launches that are this flavor's own."
    )


class Cost(StatusPart):
    """Money, as an estimate from list prices."""

    usd_per_hour: Dollars | None = Field(
        default=None, description="What the billed runners cost per hour now."
    )
    max_usd_per_hour: Dollars | None = Field(
        default=None,
        description="maxRunners times the price of the most expensive flavor: what the pool can cost per hour at most.",
    )
    worst_case_usd: Dollars | None = Field(
        default=None,
        description="What the live HF Jobs can still cost if the controller dies now: each until its server-side timeout.",
    )
    spent_usd: Dollars | None = Field(
        default=None, description="What the HF Jobs cost that ended since the controller started."
    )


class Place(StatusPart):
    """Where the pool has runners, or had: one scope at GitHub and one namespace on the Hub."""

    api_url: Link = Field(description="Base of GitHub's REST API.")
    scope: Annotated[
        str, Field(max_length=256, pattern=r"^(repos/[^/]+/[^/]+|(orgs|enterprises)/[^/]+)$")
    ] = Field(
        description="Where runners are registered: repos/OWNER/REPOSITORY, orgs/OWNER or enterprises/NAME."
    )
    credentials_secret: Annotated[str, Field(max_length=253)] = Field(
        description="Secret with GitHub's credentials."
    )
    endpoint: Link = Field(description="Base address of the Hub.")
    namespace: Annotated[str, Field(max_length=96)] = Field(description="Who owns the HF Jobs.")
    token_secret: Annotated[str, Field(max_length=253)] = Field(description="Secret with the Hub's token.")


class LaunchedPlace(Place):
    """Where something was launched for the pool."""

    ends_by: Time | None = Field(
        default=None,
        description="When everything that was launched there has met the Hub's timeout at the latest: for so long it is waited for "
        "if it cannot be read any more.",
    )


class Intent(StatusPart):
    """One launch that was decided on."""

    name: Annotated[str, Field(min_length=1, max_length=64)] = Field(description="The runner's name.")
    flavor: Annotated[str, Field(max_length=MOST_FLAVOR)] = Field(default="", description="Hardware flavor.")
    at: Time = Field(description="When it was decided.")


class Intents(StatusPart):
    """Launches to one place."""

    place: Place = Field(description="Where they are launched to.")
    launches: Annotated[list[Intent], Field(max_length=MOST_INTENTS)] = Field(description="By name.")


class Term(StatusPart):
    """Which process wrote the intents."""

    number: Annotated[int, Field(ge=0, le=MOST_TERMS)] = Field(
        description="Greater than that of every process before; who finds a greater one than its own acts no more."
    )
    holder: Annotated[str, Field(min_length=1, max_length=256)] = Field(
        description="Identity of the process."
    )


class Interruption(StatusPart):
    """A workflow job whose HF Job ended under it."""

    repository: Annotated[str, Field(max_length=MOST_REPOSITORY)] = Field(description="OWNER/REPOSITORY.")
    run_id: Count = Field(description="The workflow run.")
    attempt: Annotated[int, Field(ge=1)] = Field(description="The run's attempt that lost the job.")
    job_id: Count = Field(description="The workflow job; the first that this attempt lost.")
    job_name: Annotated[str, Field(max_length=MOST_NAME)] = Field(default="", description="Its name.")
    job_url: Link = Field(default="", description="Its page.")
    at: Time = Field(description="When the loss was noticed.")
    rerun: Annotated[RerunState, Field(strict=False)] = Field(
        description="Pending: the run's failed jobs are run again when it has ended. Done: its next attempt began. NotNeeded: "
        "it succeeded, or somebody cancelled it. Refused: GitHub said no, or a day went by. Off: spec.retry.interrupted did "
        "not ask for it."
    )
    note: Annotated[str, Field(max_length=MOST_NOTE)] = Field(
        default="",
        exclude_if=operator.not_,
        description="What GitHub does not tell about the run, such as who cancelled one of its jobs, and what was made of that.",
    )
    by_hub: bool = Field(
        default=False,
        exclude_if=operator.not_,
        description="The Hub ended the HF Job of its own accord, by the reason that it gave; nobody cancelled it.",
    )


class Suspicion(StatusPart):
    """Workflow jobs that GitHub gives to none of the pool's idle runners."""

    level: Annotated[SuspicionLevel, Field(strict=False)] = Field(
        description="What it falls on: one job, all jobs of a repository, or all of the pool's."
    )
    repository: Annotated[str, Field(max_length=MOST_REPOSITORY)] = Field(
        default="", description="OWNER/REPOSITORY; empty for the pool."
    )
    job_id: Count = Field(default=0, description="The workflow job; 0 for a repository or the pool.")
    since: Time = Field(description="When it was found.")
    starts: Annotated[list[Time], Field(max_length=MOST_STARTS)] = Field(
        description="When runners were last started under it."
    )
    rises_to: Annotated[SuspicionLevel, Field(strict=False)] = Field(
        default=SuspicionLevel.POOL,
        description="How wide a suspicion it may count for: once another job of the repository has started, it is the job's alone.",
    )


class RunnerPoolStatus(StatusPart):
    """What a pool is and does."""

    observed_generation: int = Field(
        default=NEVER_SEEN,
        description="The metadata.generation that this status was made for; -1 before the first look.",
    )
    conditions: Annotated[list[Condition], Field(max_length=32), KeyedBy("type")] | None = Field(
        default=None,
        description="Ready: the pool serves its queue. Reconciling: a change is being applied. Stalled: a person must act. "
        "The others name one part each.",
    )
    flavor_names: Annotated[str, Field(max_length=1100)] | None = Field(
        default=None, description="spec.flavors in order, joined by commas."
    )
    counts: Counts | None = Field(default=None, description="Workflow jobs that wait, and runners by phase.")
    queue: Annotated[list[Waiting], Field(max_length=MOST_WAITING), KeyedBy("reason")] | None = Field(
        default=None, description="Why queued workflow jobs wait."
    )
    runners: Annotated[list[Runner], Field(max_length=MOST_RUNNERS), KeyedBy("name")] | None = Field(
        default=None,
        description=f"The newest {MOST_RUNNERS} runners; counts has them all.",
    )
    flavors: Annotated[list[FlavorStatus], Field(max_length=16), KeyedBy("name")] | None = Field(
        default=None, description="Prices, back-off and failures by flavor."
    )
    backoff: Backoff | None = Field(
        default=None,
        description="Failures of launches that no other flavor would mend, such as an image that cannot run.",
    )
    last_launch_at: Time | None = Field(
        default=None,
        description="When the newest runner was launched; tells how long one may live on if credentials vanish.",
    )
    places: Annotated[list[LaunchedPlace], Field(max_length=MOST_PLACES)] | None = Field(
        default=None,
        description="Where something was launched for the pool: one that was edited is tidied up at its former places too.",
    )
    intents: Annotated[list[Intents], Field(max_length=MOST_PLACES)] | None = Field(
        default=None,
        description="Launches that were decided on and that GitHub's and the Hub's lists need not show yet. Written before any of "
        "them begins; whoever acts next counts them.",
    )
    term: Term | None = Field(default=None, description="Who wrote the intents.")
    interruptions: Annotated[list[Interruption], Field(max_length=MOST_INTERRUPTIONS)] | None = Field(
        default=None,
        description="Workflow jobs that were lost with their HF Jobs in the last hour, or whose run is awaited.",
    )
    suspicions: Annotated[list[Suspicion], Field(max_length=MOST_SUSPICIONS)] | None = Field(
        default=None,
        description="Workflow jobs that stayed queued beside an idle runner. Few runners are started for them until a job starts.",
    )
    cost: Cost | None = Field(
        default=None, description="Money, as an estimate from list prices; absent while a price is not known."
    )

    def condition(self, type_: ConditionType) -> Condition | None:
        """Return one condition, None if nothing is said of it."""
        return next((one for one in self.conditions or () if one.type is type_), None)

    def truths(self) -> dict[ConditionType, bool]:
        """Return which conditions hold and which do not, without those of which that is not known."""
        return {one.type: one.status == "True" for one in self.conditions or () if one.status != "Unknown"}
