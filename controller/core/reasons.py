"""Every reason that the controller gives, as a stable CamelCase word.

Reasons appear in conditions, Events, metrics, logs and the command line; ``docs/reference/reasons.md`` is
generated from this module. Changing a word breaks people's alerts: add, don't rename.
"""

from __future__ import annotations

from enum import Enum, unique


@unique
class Reason(Enum):
    """A reason; the member's value is one sentence that says what it means and what to do next."""

    # --- all is well
    Serving = "The pool serves its queue."
    Reachable = "The last call succeeded."
    UpToDate = "The controller acts on the newest spec."

    Readable = "Every repository of the pool was read."
    LaunchesSucceed = "No launch has failed since the last runner that came online, and GitHub gives the queued jobs to idle runners."
    JobsUninterrupted = "No HF Job has ended under a workflow job in the last hour."
    SpecConsistent = "The spec says nothing against itself."
    FlavorsOffered = "The Hub offers every flavor of the pool."
    CredentialsValid = "GitHub tells of no end of the credentials within 14 days."
    LabelsDistinct = "No other pool serves the same repositories with the same labels."

    # --- a pool on its way in or out
    Pending = "The controller has not looked at everything that this pool needs yet; wait a few seconds."
    Paused = "spec.paused is true: no runner is launched; set it to false to go on."
    LaunchesAllowed = "Nobody has paused the pool or stopped its launches."
    StopSwitchOn = (
        "Somebody stopped launches with the stop switch: no runner is launched until it is off again (`hf-runner-controller "
        "resume`); running workflow jobs go on."
    )
    StopSwitchUnread = (
        "The stop switch could not be read since this controller began, so it may be on: nothing is launched until it can be "
        "read. See that the controller may get its ConfigMaps."
    )
    NoneAllowed = "spec.maxRunners is 0: no runner is launched, and queued jobs wait; raise it to serve them."
    Draining = "The pool is being deleted or drained and waits for its runners to end; nothing is launched."
    Drained = "Nothing of the pool is left at GitHub or on Hugging Face. It serves again a minute after nobody asks to drain it."

    # --- what a person must mend in the RunnerPool
    InvalidSpec = (
        "The spec has a mistake that the API server could not see; the message says how to write it right."
    )
    SpecContradiction = "The spec says something against itself, or against how GitHub and the Hub work; the message says what to write instead."
    HostNotAllowed = (
        "The pool names a host of GitHub or of a Hub to which this controller sends no credentials: nothing is read or launched there, "
        "and what was launched there while it was allowed is only ended. Correct the host, or ask whoever runs the controller to allow "
        "it; the message has the value."
    )
    UnknownFlavor = "The Hub offers no such hardware flavor; the message names the nearest ones."
    SecretMissing = "A Secret that the pool names does not exist; create it in the pool's namespace."
    SecretForbidden = (
        "The controller may not read Secrets in the pool's namespace; run the command that the message names, or set "
        "rbac.secrets.namespaces in the chart's values."
    )
    SecretNotLabelled = (
        "secretEnv names a Secret without the label hfrunners.dev/runner-env=true, so no runner gets it and none is launched; run the "
        "command that the message names if workflow jobs may have what it holds."
    )
    SecretMalformed = (
        "A Secret lacks a key or holds something unusable; the message names the key, never the value."
    )
    CredentialsExpire = "Make a new token with the same rights and put it into the Secret, which needs no restart: after the end of this one no queue is read and no runner is launched."
    PersonalAccount = (
        "The owner is a personal account, which has no organization runners: use the URL of one repository."
    )
    RunnerGroupMissing = "GitHub knows no such runner group, or the credentials may not see it: correct github.runnerGroup, or make the group."
    LabelsOverlap = (
        "Another pool matches the same jobs: they go to the pool whose preferred flavor is cheapest, then to the older "
        "one. Give each pool a label of its own if that is not meant."
    )
    SharedLabels = (
        "A pool of another namespace matches jobs that ask for these labels, in a repository that its own credentials show. "
        "Both pools serve them, and a runner that comes too late ends at its idle deadline."
    )
    RunnerGroupFull = (
        "The runner group holds as many runners as GitHub allows; remove those that are offline for good."
    )
    NoRepositories = "The patterns in github.repositories match no repository that the credentials can see."

    # --- GitHub
    GitHubUnauthorized = "GitHub refused the credentials; rotate the token or the App's key in the Secret."
    AppNotInstalled = (
        "The GitHub App is not installed on this owner or repository; install it, or set installationId."
    )
    AppSuspended = "The GitHub App's installation is suspended; an owner must unsuspend it."
    PermissionMissing = "The credentials lack a permission; the message names it. Grant it, and accept the App's new permission."
    GitHubNotFound = "GitHub answers 404: the thing is gone, renamed, or not visible to the credentials."
    GitHubForbidden = "GitHub forbids the call; the message has GitHub's own words."
    GitHubBlocked = (
        "GitHub withholds a repository or an owner, by law or by its terms of service: settle it with GitHub, or leave "
        "the repository out of the pool."
    )
    GitHubRateLimited = "GitHub's rate limit is used up; the controller waits until it resets."
    GitHubSecondaryLimit = (
        "GitHub asks for fewer requests for a while; the controller waits as long as it was told."
    )
    GitHubUnavailable = (
        "GitHub answers with errors or not at all; nothing is scaled down meanwhile. The controller retries."
    )
    GitHubMalformed = (
        "GitHub sent an answer that cannot be read; nothing is done with it. The controller retries."
    )
    GitHubListMoved = "A list at GitHub changed while its pages were read, twice: rows may be missing. The controller reads it again."
    GitHubRejected = (
        "GitHub takes a request itself for wrong; the message has GitHub's own words. Please report it."
    )
    RunnerNameTaken = "GitHub already has a runner of this name; the controller uses a new one."
    RunnersDisabled = (
        "Self-hosted runners or Actions are disabled for this repository; an administrator must enable them."
    )

    # --- the Hub
    HubUnauthorized = "The Hub refused the token; rotate it in the Secret."
    HubForbidden = "The token may not run Jobs in this namespace; it needs the job.write permission there."
    HubPaymentRequired = (
        "The namespace's prepaid credit is used up or missing; add credits on the Hub's billing page."
    )
    HubRateLimited = "The Hub's rate limit is used up; the controller waits for the next window."
    HubUnavailable = (
        "The Hub answers with errors or not at all; nothing is collected meanwhile. The controller retries."
    )
    HubMalformed = (
        "The Hub sent an answer that cannot be read; nothing is done with it. The controller retries."
    )
    HubRejected = "The Hub refused the job's specification; the message has the Hub's own words."
    HubRefused = (
        "The Hub refuses to show or to end something; the message has the Hub's own words. The controller tries again; please "
        "report it if it stays."
    )
    HubBlocked = "The Hub withholds this for legal reasons (451); nothing runs there until Hugging Face lifts it: ask their support."
    HubNotFound = "The Hub knows no such namespace or job, or the token may not see it."
    FlavorOutOfCapacity = (
        "The Hub has no free hardware of this flavor; the next flavor is tried, and this one again later."
    )

    # --- Kubernetes
    KubernetesUnavailable = "The Kubernetes API answers with errors or not at all; the controller retries."
    KubernetesForbidden = (
        "The controller's ServiceAccount may not do this; check the RBAC rules that the chart installs."
    )
    KubernetesConflict = "Somebody else changed the object meanwhile; the controller reads it again."
    KubernetesNotFound = (
        "The Kubernetes API knows no such object or resource; if it is RunnerPool itself, install the CRD."
    )
    KubernetesRejected = "The Kubernetes API refused what the controller sent; install the CRD of the controller's own version."

    CRDOutdated = "The cluster's RunnerPool CRD is older than the controller; install the one of its version."

    IntentsWritten = "Launches are written into the pool's status before they begin."
    IntentsBlocked = (
        "Launches cannot be written into the pool's status, so none begins; the message has the API server's own words. See that "
        "it answers and that the controller may patch runnerpools/status."
    )

    # --- why a queued workflow job waits
    RunnerStarting = "A runner for the job is being scheduled or is starting."
    AtMaxRunners = (
        "The pool already has maxRunners runners; the job waits for one of them, or raise maxRunners."
    )
    AtHubLimit = (
        "The Hub runs no more HF Jobs of the pool at a time, although maxRunners allows it: launches go on as fast as those that wait "
        "there are started. Lower maxRunners, or ask Hugging Face for a higher limit."
    )
    BackingOff = "Launches of this pool failed lately; the next try is at the time that the message names."
    ServedByAnotherPool = (
        "Another pool of this namespace serves every job that this one matches. Give each pool a label of its own if that is "
        "not meant."
    )
    NoMatchingPool = "No pool's labels include all labels of the job; add a pool or correct runs-on."
    GroupOnly = (
        "The job names only a runner group, which GitHub's REST API does not show; give it a label, "
        "or set github.groupOnlyJobs: Serve on the one pool that serves the group."
    )
    TooOldForGitHub = (
        "GitHub ends a workflow job that was queued for 24 hours, and lists this one as queued for longer: it is a leftover that no "
        "runner is given. Cancel its run, or delete it."
    )
    QueueUnknown = "The repository's queue could not be read; the message says why."
    NotPickedUp = (
        "A runner was online and idle beside the job, and GitHub did not give it: see that the runner group admits the repository "
        "and its workflow (public repositories are refused by default), that GitHub still serves the runner's version, and that "
        "the job's run still goes on. Few runners are started for such jobs until one of them starts."
    )

    # --- why a runner ended, or is ended
    JobCompleted = "The runner ran one workflow job and ended."
    SurplusUnbilled = "Demand went away before the runner cost anything; it was given back."
    SurplusStarting = "Demand went away while the runner started; it was given back."
    IdleDeadline = "The runner was idle longer than deadlines.idle."
    WarmRecycled = "A warm runner was replaced while enough of deadlines.lifetime was left for its next job."
    SchedulingDeadline = (
        "The HF Job stayed in SCHEDULING longer than deadlines.scheduling: no hardware was free, or the image takes longer to pull; the "
        "Hub does not tell which. For a large image raise deadlines.scheduling. A pool with several flavors tries the next one."
    )
    RegistrationDeadline = (
        "The HF Job ran, yet its runner did not come online within deadlines.registration: look at the job's log for a missing tool or "
        "blocked egress; where the image takes long to pull or to start, raise deadlines.registration."
    )
    LifetimeDeadline = "The runner reached deadlines.lifetime, which ended what it ran; raise it if the workflow job needs longer."
    PoolDeleted = "The pool was deleted."
    PoolDrained = "The pool is being drained: its controller is being uninstalled, or somebody asked for it."
    PoolChanged = "The pool was edited so that this runner no longer fits it."
    OrphanedRegistration = "A registration without an HF Job was removed from GitHub."
    HFJobCopied = (
        "An HF Job carries the labels of a runner and is not the one that was launched for it: somebody duplicated it. It is "
        "left alone and not counted; cancel it on its page if nobody needs it."
    )
    OrphanedHFJob = "An HF Job without a registration was cancelled."
    NeverExited = (
        "The runner was done, and its HF Job's container ran on for five minutes and was paid for, until it was cancelled: look at what "
        "the image or the workflow leaves running."
    )
    EndedUnseen = "The runner ended while nobody watched."
    Terminated = "A signal ended the runner although nobody had cancelled its HF Job: the Hub took the machine back, mostly."
    EndedAfterJob = (
        "The HF Job failed after its runner had taken a workflow job, whose page at GitHub shows how it went; this says nothing "
        "against the next launch."
    )
    RunnerLost = (
        "The HF Job ended while a workflow job ran on it; GitHub fails that job within about ten minutes."
    )
    JobsRerun = "An HF Job ended under a workflow job, and spec.retry.interrupted asks for it: the failed jobs of its run run again."
    RerunRefused = "The failed jobs of a run that lost an HF Job were not run again; do it by hand on the run's page if they are still wanted."
    RunnerFailed = (
        "The HF Job ended before its runner took a job; the message has the cause from the job's end."
    )
    RunnerVersionRefused = (
        "GitHub refuses this runner version; update the image or the controller's pinned version."
    )
    ImageUnsuitable = "The image cannot run the runner; the HF Job's log names what is missing."
    DownloadFailed = (
        "The runner archive could not be downloaded or its checksum is wrong; check egress from the Hub."
    )
    RegistrationRefused = "GitHub refused the runner's registration; the controller registers a new one."
    PlatformCancelled = "The Hub cancelled the HF Job by itself; the message has its reason."
    TimedOut = "The HF Job reached its server-side timeout."
    LaunchInDoubt = (
        "A launch got no answer; the controller looks for it by its label before anything is tried again, and takes its "
        "registration back if no HF Job comes of it within a minute."
    )
    InternalError = (
        "The controller failed in a way that it does not know; please report it with the log lines."
    )

    # --- what only `check` says, beside the reasons above
    PublicRepository = (
        "A public repository may use the runners: anybody's pull request can ask for their labels and run its own code on "
        "them. Restrict the runner group to a workflow on the main branch, or leave the repository out."
    )
    ForkApprovalWeak = (
        "Pull requests from forks of people who contributed before run workflows without anybody's approval; require it for "
        "all external contributors in the repository's settings, Actions, General."
    )
    GroupExcludesRepository = (
        "The runner group may not serve the repository, so that its jobs would wait for ever; allow it in the group's "
        "settings, or leave it out of the pool."
    )
    PermissionExcessive = (
        "The credentials may do more than the pools need; whoever steals them can too. Take it away."
    )
    WritableMountOdd = (
        "Images often have programs where a writable bucket is mounted, and what one job writes there, the jobs after it would "
        "run. Mount it below /mnt, /data or /home/runner/.cache, or leave readOnly out."
    )
    VolumeWrittenElsewhere = (
        "Programs or settings are taken from a read-only volume that jobs can write at another mount, in this pool or another one, "
        "so that they decide what runs here. Mount another bucket or another folder of it at one of the two, or mount it "
        "read-only at both."
    )
    ImageUnpinned = (
        "The image has no fixed version, so that two runners may differ; write a version or a digest."
    )
    Price = "What the pool's hardware costs by the Hub's list prices."
    PollingLoad = "What looking at the pool's repositories asks of GitHub's quota."
    NotChecked = "This could not be looked at from here; the message says how it can be."

    @property
    def meaning(self) -> str:
        """The sentence behind the word."""
        return self.value

    def __str__(self) -> str:
        """The word itself, as it appears in conditions and metrics."""
        return self.name
