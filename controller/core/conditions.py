"""The types of all conditions that a pool's status may have; metrics show these and no others.

Like reasons they are part of the API, as people wait for them: add, don't rename.
"""

from __future__ import annotations

from enum import StrEnum, unique


@unique
class ConditionType(StrEnum):
    """The aspect of a pool that a condition is about, in the order in which a status lists them."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    LAUNCHES_ALLOWED = "LaunchesAllowed"
    GITHUB_REACHABLE = "GitHubReachable"
    HUB_REACHABLE = "HubReachable"
    REPOSITORIES_READABLE = "RepositoriesReadable"
    LAUNCHES_SUCCEED = "LaunchesSucceed"
    INTENTS_WRITTEN = "IntentsWritten"
    JOBS_UNINTERRUPTED = "JobsUninterrupted"
    LABELS_DISTINCT = "LabelsDistinct"
    SPEC_CONSISTENT = "SpecConsistent"
    FLAVORS_OFFERED = "FlavorsOffered"
    CREDENTIALS_VALID = "CredentialsValid"
