"""What pools say by themselves and between each other: images, Secrets for variables, labels that overlap."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from controller.api.mounts import Written, code_paths, is_odd, is_refused, share_files
from controller.cli.checks.findings import Findings, Severity
from controller.cli.checks.inputs import SecretReader, Subject
from controller.core.contradictions import contradictions
from controller.core.hosts import Hosts, Service
from controller.core.model import Flavor, RunnerTemplate, Volume
from controller.core.overlap import find_overlaps
from controller.core.reasons import Reason
from controller.core.variables import refusal, sight
from controller.ports import UpstreamError

# The runner is built for glibc, and the bootstrap is a shell script (docs/bootstrap.md).
_NOT_GLIBC = re.compile(
    r"(^|[/:_.-])(alpine|busybox|distroless|scratch|nanoserver|windowsservercore)(?![a-z])",
    re.IGNORECASE,
)
_SPACE = ("huggingface.co/spaces/", "hf.co/spaces/")


def check_image(subject: Subject, found: Findings) -> None:
    """Judge an image by its name alone; nothing is pulled."""
    image = subject.pool.template.image
    if image is None:
        return
    where = subject.written(("spec", "image"))
    if _NOT_GLIBC.search(image):
        reason = Reason.ImageUnsuitable
        message = (
            f"{image} looks like an image without glibc or without a shell, which the runner needs: take one made from Debian, "
            "Ubuntu, Fedora or UBI."
        )
        found.add(Severity.WARNING, reason, str(subject), message, where=where)
    tag = image.rpartition("/")[2].partition(":")[2]
    if "@sha256:" not in image and tag in ("", "latest") and not image.startswith(_SPACE):
        reason = Reason.ImageUnpinned
        found.add(Severity.NOTE, reason, str(subject), f"{image}: {reason.meaning}", where=where)


def check_host(subject: Subject, service: Service, hosts: Hosts, found: Findings) -> bool:
    """Return whether a pool's Secrets may be sent to the host that it names; where they may not, that
    is all that is said of it.
    """
    pool = subject.pool
    url = pool.source.api_url if service is Service.GITHUB else pool.hub.endpoint
    refused = hosts.refuses(service, url)
    if refused is not None:
        where = subject.written(tuple(service.field.split(".")))
        found.failed(str(subject), refused, where=where)
    return refused is None


def check_spec(subject: Subject, found: Findings) -> None:
    """Find what a spec says against itself."""
    for one in contradictions(subject.pool):
        where = subject.written(one.at)
        found.add(Severity.WARNING, Reason.SpecContradiction, str(subject), f"{one}.", where=where)


def check_mounts(subject: Subject, found: Findings) -> None:
    """Find writable buckets where an image may have programs; where it surely has, the type refuses them."""
    for index, volume in enumerate(subject.pool.template.volumes):
        if not volume.read_only and is_odd(volume.mount_path):
            where = subject.written(("spec", "volumes", index))
            message = f"{volume.source} is writable at {volume.mount_path}. {Reason.WritableMountOdd.meaning}"
            found.add(Severity.WARNING, Reason.WritableMountOdd, str(subject), message, where=where)


def check_writers(subjects: Sequence[Subject], found: Findings) -> None:
    """Find read-only volumes that programs are taken from, and that jobs of a pool which is
    checked too can write.

    Within one pool the type refuses that already, but for places where only some images have programs.
    """
    writers = defaultdict(list)
    for subject in subjects:
        for volume in subject.pool.template.volumes:
            if not volume.read_only:
                source = (subject.pool.hub.endpoint, volume.source.lower())
                writers[source].append((subject, volume))
    for subject in subjects:
        template = subject.pool.template
        for index, volume in enumerate(template.volumes):
            if not volume.read_only or not _brings_programs(template, volume):
                continue
            for writer, other in writers[subject.pool.hub.endpoint, volume.source.lower()]:
                if share_files(volume, other):
                    reason = Reason.VolumeWrittenElsewhere
                    message = (
                        f"{volume.source} is read at {volume.mount_path}, and jobs of {writer} can write it at {other.mount_path}. "
                        f"{reason.meaning}"
                    )
                    where = subject.written(("spec", "volumes", index))
                    found.add(Severity.WARNING, reason, str(subject), message, where=where)
                    break


def _brings_programs(template: RunnerTemplate, volume: Volume) -> bool:
    at = volume.mount_path
    return is_refused(at) or is_odd(at) or any(code_paths(dict(template.env), [Written(at, at)]))


async def check_variables(subject: Subject, secrets: SecretReader, found: Findings) -> None:
    """Check that the Secrets of ``secretEnv`` exist, are labelled for runners, and have their keys."""
    for index, variable in enumerate(subject.pool.template.secret_env):
        where = subject.written(("spec", "secretEnv", index))
        try:
            secret = await secrets.read(variable.secret)
        except UpstreamError as error:
            missing = error.failure.reason is Reason.SecretMissing and not secrets.complete
            severity = Severity.WARNING if missing else Severity.ERROR
            found.failed(str(subject), error.failure, severity=severity, where=where)
            continue
        if (refused := refusal(variable, sight(secret.labels, secret.data))) is not None:
            found.failed(str(subject), refused, where=where)


def check_overlaps(
    subjects: Sequence[Subject],
    reach: Mapping[str, Sequence[str]],
    offered: Mapping[str, Sequence[Flavor]],
    found: Findings,
) -> None:
    """Find pools that would serve the same jobs."""
    prices = {
        endpoint: {
            flavor.name: flavor.usd_per_minute / 60 for flavor in flavors if flavor.usd_per_minute is not None
        }
        for endpoint, flavors in offered.items()
    }
    overlaps = find_overlaps([subject.pool for subject in subjects], reach, reach, prices)
    for subject in subjects:
        for overlap in overlaps.get(subject.pool.uid, ()):
            if overlap.goes_first:
                continue  # said once, at the pool that gets the jobs
            if overlap.other is None:
                reason, message = (
                    Reason.SharedLabels,
                    f"{', '.join(overlap.labels)}: {Reason.SharedLabels.meaning}",
                )
            else:
                reason, message = (
                    Reason.LabelsOverlap,
                    (
                        f"It shares the labels {', '.join(overlap.labels)} and a repository with {overlap.other}, and gets the "
                        "jobs that both match. Give each pool a label of its own if that is not meant."
                    ),
                )
            where = subject.written(("spec", "labels"))
            found.add(Severity.WARNING, reason, str(subject), message, where=where)
