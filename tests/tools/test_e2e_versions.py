"""The acts between versions: which version is the one before, and what their verdicts rest on."""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tools.e2e.__main__ import former
from tools.e2e.before import INTENTS, SOUNDINGS, Version, unpack, version_before
from tools.e2e.cluster import Kubectl, StoryError
from tools.e2e.services import Launch, Truth
from tools.e2e.story import Story
from tools.e2e.upgrade import Former, had_to_wait, made_between, most_alive, under_way, unused


class Repository:
    """A git repository whose history a test writes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> str:
        identity = (
            "-c",
            "user.name=somebody",
            "-c",
            "user.email=somebody@example.com",
            "-c",
            "commit.gpgsign=false",
        )
        command = ["git", "-C", str(self.root), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, *, add: str = "", remove: str = "") -> str:
        if add:
            (self.root / add).parent.mkdir(parents=True, exist_ok=True)
            (self.root / add).write_text("text\n")
            self.git("add", add)
        if remove:
            self.git("rm", "--quiet", remove)
        self.git("commit", "--quiet", "--allow-empty", "--message=something")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def launch(runner: str, began: float, ended: float | None = None, *, pool: str = "team_gpu") -> Launch:
    return Launch(runner=runner, pool=pool, began=began, ended=ended)


def job(number: int, **fields: object) -> Mapping[str, Any]:
    untouched = {"status": "queued", "conclusion": None, "labels": ["gpu"], "runner_name": None}
    return {"id": number, **untouched, "queued_at": 0.0, "started_at": None, **fields}


def truth(
    *launches: Launch,
    jobs: tuple[Mapping[str, Any], ...] = (),
    registrations: Mapping[str, float] | None = None,
) -> Truth:
    live = [one.runner for one in launches if one.ended is None]
    return Truth(jobs=jobs, live=live, registrations=registrations or {}, bugs=[], launches=launches)


def test_without_a_tag_the_version_before_is_the_last_one_with_soundings(repository: Repository) -> None:
    repository.commit(add=SOUNDINGS)
    last = repository.commit()
    repository.commit(remove=SOUNDINGS)  # a commit between: no soundings any more, and no intents yet
    repository.commit(add=INTENTS)
    assert version_before(repository.root) == Version(name=last[:12], commit=last, writes_intents=False)


def test_the_newest_release_behind_this_commit_is_the_version_before(repository: Repository) -> None:
    repository.commit(add=INTENTS)
    repository.git("tag", "v0.9.0")
    released = repository.commit()
    for tag in ("v0.10.0", "v0.10.0-rc.1", "very-new"):
        repository.git("tag", tag)
    repository.git("checkout", "--quiet", "-b", "elsewhere")
    repository.commit()
    repository.git("tag", "v3.0.0")
    repository.git("checkout", "--quiet", "main")
    repository.commit()
    repository.git("tag", "v1.0.0")  # this commit is a release itself, which is not before it
    assert version_before(repository.root) == Version(name="v0.10.0", commit=released, writes_intents=True)


def test_a_clone_without_history_has_no_version_before(repository: Repository, tmp_path: Path) -> None:
    repository.commit(add=SOUNDINGS)
    repository.commit(remove=SOUNDINGS)
    repository.commit(add=INTENTS)
    shallow = tmp_path / "shallow"
    repository.git("clone", "--quiet", "--depth=1", f"file://{repository.root}", str(shallow))
    assert version_before(shallow) is None


def test_sources_without_git_have_no_version_before(tmp_path: Path) -> None:
    assert version_before(tmp_path) is None


def test_the_version_before_can_be_named(repository: Repository) -> None:
    first = repository.commit()
    repository.commit(add=INTENTS)
    assert version_before(repository.root, "HEAD^") == Version(
        name="HEAD^", commit=first, writes_intents=False
    )
    with pytest.raises(StoryError, match="BEFORE=nothing"):
        version_before(repository.root, "nothing")


def test_the_tree_of_a_version_has_what_was_committed_then(repository: Repository, tmp_path: Path) -> None:
    repository.commit(add="charts/one.yaml")
    version = version_before(repository.root, "HEAD")
    assert version is not None
    repository.commit(remove="charts/one.yaml")
    unpack(repository.root, version, tree := tmp_path / "tree")
    assert (tree / "charts/one.yaml").read_text() == "text\n"


def acts(tmp_path: Path, before: Former | None) -> list[str]:
    helm = tmp_path / "helm"
    helm.write_text("#!/bin/sh\necho v4.0.0+g1\n")
    helm.chmod(0o755)
    story = Story(
        kubectl=Kubectl("kubectl"),
        helms=[str(helm)],
        image="an/image:tag",
        simulators="an/image-simulators:tag",
        say=print,
        former=before,
    )
    return [act.__name__.lstrip("_") for act in story.acts()]


def test_this_version_replaces_the_one_before_twice_and_then_the_story_goes_on(tmp_path: Path) -> None:
    version = Version(name="v1.0.0", commit="0" * 40, writes_intents=False)
    with_it = acts(tmp_path, Former(version=version, tree=tmp_path, image="an/image:before"))
    without = acts(tmp_path, None)
    at = without.index("serve_while_the_leader_dies")
    between = with_it[at : at + len(with_it) - len(without)]
    assert with_it == [*without[:at], *between, *without[at:]]
    assert between == [
        "install_the_version_before",
        "refuse_an_upgrade_that_would_stop_pools",
        "upgrade_to_this_version",
        "roll_back",
        "upgrade_to_this_version",
        "serve_elsewhere",
        "judge_launches",
    ]


def test_what_was_made_while_nothing_was_to_be_launched_is_found() -> None:
    said = truth(
        launch("before", 99.0),
        launch("early", 130.0),
        launch("late", 160.0),
        registrations={"half": 159.0, "old": 9.0},
    )
    assert made_between(said, 100.0, 160.0) == ["HF Job of early", "registration half"]


@pytest.mark.parametrize(
    ("fields", "waited"),
    [
        ({}, True),
        ({"started_at": 160.0}, True),
        ({"started_at": 159.0}, False),
        ({"queued_at": 101.0}, False),
        ({"labels": ["cpu"]}, False),
    ],
)
def test_a_job_had_to_wait_if_it_was_there_before_and_started_after(
    fields: Mapping[str, Any], waited: bool
) -> None:
    assert had_to_wait(truth(jobs=(job(1, **fields),)), "gpu", 100.0, 160.0) is waited


def test_hf_jobs_at_once_are_counted_for_each_pool() -> None:
    launches = [
        launch("a", 0.0, 10.0),
        launch("b", 5.0, 20.0),
        launch("c", 10.0),  # in the place of a, which ended then
        launch("d", 6.0, 7.0, pool="team_cpu"),
    ]
    assert most_alive(launches) == {"team_gpu": 2, "team_cpu": 1}
    assert most_alive([*launches, launch("e", 9.0)])["team_gpu"] == 3


def test_a_runner_that_ended_without_a_job_was_launched_for_none() -> None:
    launches = (launch("worked", 0.0, 9.0), launch("idled", 0.0, 9.0), launch("waits", 0.0))
    assert unused(truth(*launches, jobs=(job(1, runner_name="worked"),))) == ["idled"]


@pytest.mark.parametrize(
    ("running", "queued", "alive", "met"),
    [(1, 1, 2, True), (0, 1, 2, False), (1, 0, 2, False), (1, 1, 1, False)],
)
def test_the_load_is_there_once_jobs_wait_others_run_and_runners_start(
    running: int, queued: int, alive: int, met: bool
) -> None:
    jobs = [job(n, status="in_progress") for n in range(running)] + [job(9 + n) for n in range(queued)]
    launches = [launch(f"r{n}", 0.0) for n in range(alive)]
    assert under_way(truth(*launches, jobs=tuple(jobs)), pools={"team_gpu"}) is met


def test_the_load_is_not_there_before_each_pool_has_launched() -> None:
    jobs = (job(1, status="in_progress"), job(2))
    said = truth(launch("a", 0.0), launch("b", 0.0), jobs=jobs)
    assert under_way(said, pools={"team_gpu"})
    assert not under_way(said, pools={"team_gpu", "team_cpu"})


def test_the_acts_can_be_left_out_and_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with former(argparse.Namespace(before="none"), builder="buildah", context="local") as found:
        assert found is None
    assert "left out" in capsys.readouterr().out
