"""What nobody knows about the Hub, or what differs between accounts, as settings of the simulated one.

"Docs" is the Hub's documentation, "client" the source of huggingface_hub 2.4.0, "unknown" a fact that nobody
could establish: the controller must be right with every value. Durations are seconds. A *share* is a number
from 0 to 1; which jobs it strikes depends on the seed and on the job, never on the order of requests.

What somebody may look for under another name:

- the lag of lists: ``list_stale_seconds``
- slow cancels: ``cancel_seconds``
- a job's creator: no knob: a token's ``user`` in ``POST /_sim/setup`` is ``createdBy`` and
  ``initiator`` of what it launches
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from hf_runner_simulators.http import JSON
from hf_runner_simulators.hub.flavors import Prices

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Knobs(BaseModel):
    """Settings of one simulated Hub; replace the whole value to change one."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    scheduling_seconds: NonNegativeFloat = 5.0
    """From a free machine to the start of the image's download; not billed (docs: only
    Starting and Running are)."""
    scheduling_seconds_by_flavor: dict[str, NonNegativeFloat] = Field(default_factory=dict)
    """The same for single flavors."""
    boot_seconds: NonNegativeFloat = 30.0
    """From the image's download to the command's start; the stage still reads SCHEDULING."""
    boot_seconds_by_flavor: dict[str, NonNegativeFloat] = Field(default_factory=dict)
    """The same for single flavors."""
    jitter: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share by which both times vary from job to job, keyed by the job's id."""
    capacity: dict[str, NonNegativeInt] = Field(default_factory=dict)
    """Machines per flavor; absent means enough. Without one a job stays in SCHEDULING, for
    ever if need be."""
    max_concurrent_jobs: PositiveInt | None = None
    """Jobs of a namespace that may hold a machine (unknown; docs: "many"); the others stay in SCHEDULING."""

    default_timeout_seconds: PositiveFloat = 1_800.0
    """Timeout of a job that names none (docs: 30 min)."""
    max_timeout_seconds: PositiveInt | None = None
    """Longest ``timeoutSeconds``; a longer one is refused with 400 (unknown)."""
    timeout_from: Literal["start", "create"] = "start"
    """Whether time in SCHEDULING counts (unknown)."""
    cancel_seconds: NonNegativeFloat = 1.5
    """From the answer of a cancel to the job's end (seen: the answer comes first)."""
    cancel_terminal_status: Literal[200, 400, 404, 409] = 409
    """Answer to cancelling a job that has ended (unknown)."""
    finished_at_on_cancel: bool = False
    """Whether a cancelled job has ``finishedAt`` and a running time (seen: not, at least sometimes)."""
    stage_lag_seconds: NonNegativeFloat = 1.3
    """From a command's end to the stage that says so (client)."""

    boot_is_billed: bool = True
    """Whether the image's download is billed (docs: Starting is)."""
    billing_rounding: Literal["second", "minute"] = "second"
    """Whether a begun minute costs a whole one (unknown; the price's unit is the minute)."""
    exhausted_credit_cancels: bool = True
    """Whether the platform cancels a namespace's jobs with NO_CREDITS once nothing is left."""

    page_size: PositiveInt = 50
    """Jobs per page of a list (unknown)."""
    paging: Literal["keyset", "offset"] = "keyset"
    """Whether a cursor marks a job, or a position that moves as jobs come and go (unknown)."""
    label_match: Literal["all", "any"] = "all"
    """Whether several label filters mean AND (client, docs) or OR (a Hub pull request)."""
    list_order: Literal["newest", "oldest", "shuffled"] = "newest"
    """Order of lists (docs show the newest first; nothing promises it)."""
    list_stale_seconds: NonNegativeFloat = 0.0
    """Lists and counts show the world as it was so long ago (unknown)."""

    never_exits: Share = 0.0
    """Share of jobs whose container goes on when its command has ended, until it is cancelled or times out:
    an image's own entry point that waits for what the command left running does so (unknown how often)."""

    duplicates: Share = 0.0
    """Share of running jobs that somebody else copies with the Hub's own *duplicate*: environment, command,
    labels and secrets are equal, ``createdBy`` is another user, ``initiator`` reads ``duplicated-job`` (the
    Hub's API). Copies are not copied."""
    copies: Share = 0.0
    """Share of running jobs beside which somebody else starts one that is equal in everything but its
    creator, who is its ``initiator`` too: nothing tells that it is a copy."""
    copy_after_seconds: NonNegativeFloat = 20.0
    """From a job's start to the copy that ``duplicates`` or ``copies`` makes of it, if it still runs then."""

    hardware_seconds: NonNegativeFloat = 0.0
    """The list of hardware takes so long to come."""
    hardware_fails: Share = 0.0
    """Share of the requests for the list of hardware that are answered 503; 1 means that there is none."""
    hardware_prices: Prices = "usd"
    """How prices are listed: millionths of a dollar and dollars per minute (docs); as null;
    as text; or per hour."""

    new_stage: str = ""
    """A last stage that no client knows: jobs that end without being cancelled show it, with ``finishedAt``
    and without a message. Empty means none (the Hub has added stages before: client)."""
    odd_words: Share = 0.0
    """Share of jobs whose free fields are odd but legal JSON: a message with an exit code of 5,000 digits and
    escape sequences, durations of 1e400, ``labels: null`` where there are none, links to other hosts. Ids,
    states and times stay true. The same share of lists names another host in its link to the next page."""

    rate_limits: dict[str, PositiveInt] = Field(
        default_factory=lambda: {
            "anonymous": 500,
            "free": 1_000,
            "pro": 2_500,
            "team": 3_000,
            "enterprise": 6_000,
            "enterprise-plus": 10_000,
        }
    )
    """Requests per window and token, by plan (docs)."""
    rate_window_seconds: PositiveInt = 300
    """Length of the fixed windows (docs)."""

    log_poll_seconds: PositiveFloat = 0.25
    """How soon a followed log shows a new line."""
    keep_alive_seconds: PositiveFloat = 30.0
    """Silence after which a stream sends a comment (client)."""
    finished_marker: bool = True
    """Whether a log ends with ``===== Job finished: status=... =====`` (seen by another client)."""
    metrics_seconds: PositiveFloat = 1.0
    """Interval of metrics (client)."""
    metrics_finished_status: Literal[406, 500] = 406
    """Answer to the metrics of a job that has ended (client: formerly 500)."""

    def changed(self, changes: JSON) -> Knobs:
        """Return a copy with some knobs turned.

        Raises:
            ValueError: A name is unknown or a value does not fit; the message names every mistake.
        """
        return Knobs.model_validate(
            {**self.model_dump(), **changes} if isinstance(changes, dict) else changes
        )
