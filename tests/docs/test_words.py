"""What the pages tell people to type exists: commands, flags, make targets, values,
manifests, reasons, metrics.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner

from controller.api.runnerpool import RunnerPool
from controller.cli import main
from controller.core.conditions import ConditionType
from controller.core.lifecycle import Phase
from controller.core.reasons import Reason
from controller.core.resource import KIND
from tests.docs.pages import PAGES, ROOT, Block, blocks, inline, name

SHELL = ("sh", "console", "bash", "")
PROGRAM = "hf-runner-controller"
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
CHART = ROOT / "charts" / PROGRAM


def command_lines(block: Block) -> Iterator[str]:
    """The commands of a block for the shell: prompts, comments and continuations are taken
    off, output is left out.
    """
    text = re.sub(r"\\\n\s*", " ", block.text)
    lines = text.splitlines()
    if block.language == "console":
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    for line in lines:
        yield re.sub(r"(^|\s)#.*$", "", line).strip()


def commands(page: Path, program: str) -> Iterator[list[str]]:
    """Calls of a program on a page, as words after its name: those that begin a line, or a
    piece of code in a sentence.
    """
    lines = [line for block in blocks(page) if block.language in SHELL for line in command_lines(block)]
    for line in [*lines, *inline(page)]:
        if not re.match(rf"(\S*/)?{re.escape(program)}( |$)", line):
            continue
        try:
            words = shlex.split(line.replace("[", "").replace("]", ""))
        except ValueError:  # a here-document, a quote that goes on
            words = line.split()
        yield words[1:]


def mistakes_of(words: list[str]) -> Iterator[str]:
    """What the command line does not know of a call of the program."""
    if not words or words[0].startswith("-"):
        known: click.Command = main
    elif words[0] in main.commands:
        known = main.commands[words[0]]
        words = words[1:]
    else:
        yield f"no command {words[0]}"
        return
    options = {
        flag for p in known.params if isinstance(p, click.Option) for flag in (*p.opts, *p.secondary_opts)
    }
    options |= {"-h", "--help"}
    for word in words:
        if word.startswith("-") and word != "-" and word.partition("=")[0] not in options:
            yield f"{known.name} has no {word}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_of_ours_exists_with_its_flags(page: Path) -> None:
    found = [mistake for words in commands(page, PROGRAM) for mistake in mistakes_of(words)]
    assert found == []


def test_a_wrong_command_would_be_found() -> None:
    assert list(mistakes_of(["simulate", "x.yaml", "--set", "t4.minIdle=1"])) == []
    assert list(mistakes_of(["simulate", "--sett", "x"])) == ["simulate has no --sett"]
    assert list(mistakes_of(["similate"])) == ["no command similate"]


def test_each_thing_that_is_looked_for_is_on_some_page() -> None:
    """Else a pattern that matches nothing any more would let every page pass."""

    def anywhere(program: str, *words: str) -> bool:
        return any(set(words) <= set(found) for page in PAGES for found in commands(page, program))

    yaml_blocks = [block.text for page in PAGES for block in blocks(page) if block.language == "yaml"]
    assert anywhere(PROGRAM, "check")
    assert anywhere("make", "demo")
    assert anywhere("python3", "-m") or anywhere("python", "-m")
    assert anywhere("helm", "--set")
    assert any(f"kind: {KIND}" in text for text in yaml_blocks)
    assert any(f"kind: {KIND}" not in text for text in yaml_blocks)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_make_target_exists(page: Path) -> None:
    targets = {word for words in commands(page, "make") for word in words if re.fullmatch("[a-z0-9-]+", word)}
    assert targets - TARGETS == set()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_module_that_is_run_exists(page: Path) -> None:
    for program in ("python", ".venv/bin/python", "python3"):
        for words in commands(page, program):
            if words[:1] == ["-m"]:
                assert find_spec(words[1]) is not None, words


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_value_of_the_chart_that_is_set_exists(page: Path) -> None:
    values: Any = yaml.safe_load((CHART / "values.yaml").read_text())
    for words in commands(page, "helm"):
        for flag, setting in pairwise(words):
            if flag == "--set":
                here = values
                for part in setting.partition("=")[0].split("."):
                    assert part in here, setting
                    here = here[part]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_manifest_of_a_pool_is_right(page: Path) -> None:
    for block in blocks(page):
        if block.language == "yaml" and f"kind: {KIND}" in block.text:
            for manifest in yaml.safe_load_all(block.text):
                if manifest["kind"] == KIND:
                    RunnerPool.parse(manifest, allow_http=False)


def test_the_pool_of_the_first_steps_is_what_the_command_before_it_prints() -> None:
    page = ROOT / "docs" / "first-pool.md"
    (words,) = (words for words in commands(page, PROGRAM) if words[:1] == ["init"] and len(words) > 1)
    printed = CliRunner().invoke(main, words[: words.index(">")])
    assert printed.exit_code == 0, printed.output
    (shown,) = (block for block in blocks(page) if f"kind: {KIND}" in block.text)
    assert yaml.safe_load(shown.text) == yaml.safe_load(printed.stdout)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_other_block_of_yaml_can_be_read(page: Path) -> None:
    for block in blocks(page):
        if block.language == "yaml":
            assert list(yaml.safe_load_all(block.text))


def test_the_page_for_those_in_trouble_speaks_the_controllers_words() -> None:
    page = ROOT / "docs" / "troubleshooting.md"
    said = {word for code in inline(page) for word in re.findall(r"^[A-Z][a-z]+(?:[A-Z][A-Za-z]*)*$", code)}
    known = {reason.name for reason in Reason} | set(Phase) | set(ConditionType)
    assert said - known == set()
    waits = {
        "AtMaxRunners",
        "BackingOff",
        "GroupOnly",
        "NoMatchingPool",
        "NotPickedUp",
        "QueueUnknown",
        "RunnerStarting",
    }
    assert waits <= said


def test_metrics_that_pages_name_exist() -> None:
    known = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    named = [(page, set(re.findall(r"\bhfrunners_[a-z_]+[a-z]\b(?!\*)", page.read_text()))) for page in PAGES]
    assert sum(bool(metrics) for _, metrics in named) > 1  # not the page of metrics alone
    for page, metrics in named:
        for metric in metrics:
            base = re.sub(r"_(bucket|count|sum)$", "", metric)
            assert f"`{base}`" in known or f"`{metric}`" in known, (name(page), metric)
