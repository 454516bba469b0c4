"""Manifests of which each has one mistake that people make, with the words that its sentence must have.

The smallest right manifest names ``acme/lib`` of an organization, by its own labels
``hf-t4`` on ``t4-small``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

GONE: Any = object()
"""In changes: leave the field out."""


@dataclass(frozen=True)
class Mistake:
    """One of them.

    Attributes:
        at: The field to change, from the object's root, by dots.
        value: What somebody wrote there.
        says: Words of the sentence that ``check`` has for it.
        server: Words of the API server, which refuses it; empty where it takes the manifest, and a
            condition names the mistake.
    """

    at: str
    value: Any
    says: str
    server: str = ""

    def applied_to(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """Return the manifest with the mistake; it is changed. A mistake of several fields
        is written at ``spec``.
        """
        if self.at == "spec":
            manifest["spec"].update(self.value)
            return manifest
        *parents, last = self.at.split(".")
        at = manifest
        for step in parents:
            at = at.setdefault(step, {})
        if self.value is GONE:
            del at[last]
        else:
            at[last] = self.value
        return manifest


def bucket(path: str, **more: Any) -> dict[str, Any]:
    return {"type": "bucket", "source": "acme/cache", "mountPath": path, **more}


SECRET, DURATION = "name of a Secret in the pool's namespace", "write a duration"
ADDRESS, LABEL = "write the address of an owner, a repository", "printable ASCII without commas"

MISTAKES: dict[str, Mistake] = {
    # --- fields and types
    "a number in words": Mistake(
        "spec.maxRunners", "two", "write a whole number without quotes", "must be of type integer"
    ),
    "a misspelt field": Mistake("spec.maxRuner", 4, "did you mean maxRunners?", "unknown field"),
    "a label instead of a list": Mistake("spec.labels", "hf-t4", "write a list", "must be of type array"),
    "no labels but null": Mistake("spec.labels", None, "write a list", "Required value"),
    "a number in env": Mistake("spec.env", {"N": 1}, "write a string", "must be of type string"),
    "no place on the Hub": Mistake("spec.huggingface", GONE, "is required", "Required value"),
    # --- numbers
    "fewer than none": Mistake("spec.maxRunners", -1, "write 0 or more", "greater than or equal to 0"),
    "more than can be": Mistake("spec.maxRunners", 5_000, "write 1000 or less", "less than or equal to 1000"),
    "more warm than at all": Mistake(
        "spec.minIdle", 11, "lower it, or raise maxRunners", "lower it, or raise maxRunners"
    ),
    # --- durations
    "a duration in words": Mistake("spec.deadlines.lifetime", "one hour", DURATION, DURATION),
    "a bare number of seconds": Mistake("spec.deadlines.lifetime", 3_600, DURATION, "must be of type string"),
    "a month": Mistake("spec.deadlines.lifetime", "31d", "from 10s to 5d", "from 10s to 5d"),
    "a lifetime below the registration": Mistake(
        "spec.deadlines.lifetime", "3m", "and 5m more, or lower registration"
    ),
    "an idle of seconds": Mistake("spec.deadlines.idle", "15s", "write 1m or more"),
    "a scheduling of seconds": Mistake("spec.deadlines.scheduling", "20s", "write 2m or more"),
    "a registration of seconds": Mistake("spec.deadlines.registration", "15s", "write 2m or more"),
    "warm runners that churn": Mistake(
        "spec", {"minIdle": 2, "deadlines": {"lifetime": "15m"}}, "Write a lifetime of 20m or more"
    ),
    # --- labels
    "a label twice": Mistake("spec.labels", ["hf-t4", "HF-T4"], "write each one once", "write each one once"),
    "too many labels": Mistake(
        "spec.labels", [f"l{n}" for n in range(120)], "at most 100 items", "at most 100 items"
    ),
    "a label of letters that GitHub changes": Mistake("spec.labels", ["gpü"], LABEL, LABEL),
    "a label of GitHub's machines": Mistake(
        "spec.labels",
        ["ubuntu-latest"],
        "GitHub's own machines serve this label",
        "GitHub's own machines serve this label",
    ),
    "a label with a space at its end": Mistake("spec.labels", ["hf-t4 "], LABEL, LABEL),
    "labels in one, by commas": Mistake("spec.labels", ["self-hosted,gpu"], LABEL, LABEL),
    "labels that every runner has": Mistake(
        "spec.labels", ["self-hosted", "linux", "x64"], "add a label of your own"
    ),
    # --- hardware and image
    "no flavor": Mistake("spec.flavors", [], "name at least one flavor", "name at least one flavor"),
    "a flavor twice": Mistake(
        "spec.flavors", ["t4-small", "t4-small"], "write each flavor once", "write each flavor once"
    ),
    "a flavor in capitals": Mistake("spec.flavors", ["T4-Small"], "such as t4-small", "such as t4-small"),
    "a flavor that is not offered": Mistake("spec.flavors", ["t4-smal"], "did you mean t4-small"),
    "an image with a scheme": Mistake(
        "spec.image", "docker://ubuntu:24.04", "without a scheme", "without a scheme"
    ),
    "an image of Windows": Mistake(
        "spec.image", "mcr.microsoft.com/windows/servercore:ltsc2022", "HF Jobs run Linux"
    ),
    # --- addresses and repositories
    "an address for git": Mistake("spec.github.url", "https://github.com/acme/lib.git", ADDRESS, ADDRESS),
    "an address without a scheme": Mistake("spec.github.url", "github.com/acme", ADDRESS, ADDRESS),
    "an address of a page": Mistake("spec.github.url", "https://ghes.acme.com/a/b/c/d", ADDRESS, ADDRESS),
    "an address without encryption": Mistake("spec.github.url", "http://github.com/acme", "write https"),
    "no repositories": Mistake(
        "spec.github.repositories", GONE, "name the repositories to serve", "name the repositories to serve"
    ),
    "repositories of a repository": Mistake(
        "spec.github.url", "https://github.com/acme/lib", "leave repositories out", "leave repositories out"
    ),
    "somebody else's repository": Mistake(
        "spec.github.repositories.include",
        ["other/lib"],
        "must begin with the owner",
        "must begin with the owner",
    ),
    "an address as a repository": Mistake(
        "spec.github.repositories.include",
        ["https://github.com/acme/lib"],
        "write REPOSITORY or OWNER/REPOSITORY",
        "write REPOSITORY or OWNER/REPOSITORY",
    ),
    "a repository that is not there": Mistake("spec.github.repositories.include", ["libb"], "acme/libb"),
    "a group of a repository": Mistake(
        "spec.github",
        {"url": "https://github.com/acme/lib", "credentialsSecret": "github", "runnerGroup": "gpu"},
        "only organizations and enterprises have runner groups",
        "only organizations and enterprises have runner groups",
    ),
    "a group that is not there": Mistake("spec.github.runnerGroup", "gpus", "has no runner group 'gpus'"),
    # --- Secrets and variables
    "a Secret that is not there": Mistake("spec.github.credentialsSecret", "nope", "give its file too"),
    "a Secret in capitals": Mistake("spec.github.credentialsSecret", "GitHub_App", SECRET, SECRET),
    "a token in place of a Secret": Mistake(
        "spec.huggingface.tokenSecret", "hf_abcdEFGH1234", SECRET, SECRET
    ),
    "an address as a namespace": Mistake(
        "spec.huggingface.namespace",
        "https://huggingface.co/acme",
        "as in its address on the Hub",
        "as in its address on the Hub",
    ),
    "a variable of ours": Mistake(
        "spec.env", {"HFRUNNER_X": "1"}, "choose other names", "choose other names"
    ),
    "a variable that begins with a digit": Mistake(
        "spec.secretEnv",
        [{"name": "1BAD", "secret": "x", "key": "k"}],
        "not beginning with a digit",
        "not beginning with a digit",
    ),
    # --- volumes
    "a mount by dots": Mistake(
        "spec.volumes", [bucket("/data/../etc")], "without '.', '..'", "without '.', '..'"
    ),
    "a mount over the runner": Mistake(
        "spec.volumes", [bucket("/home/runner/_work")], "choose another path", "choose another path"
    ),
    "two mounts in one place": Mistake(
        "spec.volumes", [bucket("/d"), bucket("/d", source="acme/b")], "is here twice", "Duplicate value"
    ),
    "a dataset to write to": Mistake(
        "spec.volumes",
        [bucket("/d", type="dataset", readOnly=False)],
        "can only be mounted read-only",
        "can only be mounted read-only",
    ),
    # --- the name
    "a name of 80 characters": Mistake("metadata.name", "a" * 80, "write at most 63"),
    "a name with dots": Mistake("metadata.name", "t4.small.gpu", "write t4-small-gpu"),
}
