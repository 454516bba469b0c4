"""Reading scenario files: everything that is wrong is said at once, where it is wrong."""

from __future__ import annotations

import re
import shutil
import textwrap
from pathlib import Path

import pytest

from controller.simulate.scenario_file import InvalidScenario, Scenario, load_scenario

POOL = """\
apiVersion: hfrunners.dev/v1alpha1
kind: RunnerPool
metadata: {name: t4}
spec:
  github: {url: https://github.com/acme/lib, credentialsSecret: github-app}
  huggingface: {namespace: acme, tokenSecret: hf-token}
  labels: [hf-t4]
  flavors: [t4-small]
"""
GOOD = """\
pools:
  - file: pool.yaml
workload:
  - {repository: acme/lib, labels: hf-t4, at: 1m}
"""


def read(tmp_path: Path, text: str, pool: str = POOL, **more: str) -> Scenario:
    (tmp_path / "pool.yaml").write_text(pool)
    for name, content in more.items():
        (tmp_path / f"{name}.csv").write_text(textwrap.dedent(content))
    path = tmp_path / "scenario.yaml"
    path.write_text(textwrap.dedent(text))
    return load_scenario(path)


def mistakes(tmp_path: Path, text: str, pool: str = POOL, **more: str) -> list[str]:
    with pytest.raises(InvalidScenario) as caught:
        read(tmp_path, text, pool, **more)
    return [line.removeprefix(f"{tmp_path}/") for line in caught.value.mistakes]


def test_a_right_scenario_is_read_with_the_pools_that_it_names(tmp_path: Path) -> None:
    scenario = read(tmp_path, GOOD)
    assert [str(pool.key) for pool in scenario.pools] == ["default/t4"]
    assert scenario.file.workload[0].at == [60.0]


def test_every_mistake_is_said_at_once_with_its_line(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path,
        """\
        untill: 2h
        pools:
          - file: nowhere.yaml
        workload:
          - repository: lib
            labels: hf-t4
            every: soon
            duration: {lognormal: {median: 5m, p95: 1m}}
          - labels: hf-t4
            at: 1m
        world:
          capacity:
            - {flavor: t4-smal, machines: -1}
          kills:
            - {pool: t5}
          hub: {page_sizes: 3}
        expect:
          jobs.suceeded: 3
        """,
    )
    assert [line.partition(": ")[0] for line in found] == [
        f"scenario.yaml:{number}" for number in (1, 3, 5, 7, 8, 9, 13, 13, 15, 16, 18)
    ]
    told = "\n".join(found)
    for sentence in (
        "untill: there is no such field; did you mean until?",
        "workload[0].repository[0]: write OWNER/REPOSITORY",
        "workload[0].every: write a duration",
        "workload[0].duration.lognormal.p95: write a p95 that is longer than the median",
        "workload[1].trace: give repository",
        "world.capacity[0].flavor: there is no such flavor",
        "world.capacity[0].machines: write 0 or more",
        "expect.jobs.suceeded: the report has no 'suceeded' here; did you mean succeeded?",
    ):
        assert sentence in told


def test_a_mistake_in_a_pool_is_told_where_the_pool_is_written(tmp_path: Path) -> None:
    found = mistakes(tmp_path, GOOD, pool=POOL + "  maxRunners: many\n")
    assert found == ["pool.yaml:9: spec.maxRunners: write a whole number without quotes"]


def test_a_mistake_in_what_the_scenario_sets_is_told_in_the_scenario(tmp_path: Path) -> None:
    text = GOOD.replace("pool.yaml", "pool.yaml\n    set:\n      maxRunners: many")
    assert mistakes(tmp_path, text) == [
        "scenario.yaml:4: pools[0].set.maxRunners: write a whole number without quotes"
    ]


def test_a_pool_may_be_written_into_the_scenario(tmp_path: Path) -> None:
    inline = textwrap.indent(POOL, "    ").replace("    apiVersion", "  - apiVersion", 1)
    scenario = read(tmp_path, GOOD.replace("  - file: pool.yaml\n", inline))
    assert scenario.pools[0].labels == ("hf-t4",)


def test_what_is_no_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, "pools:\n  - {file: pool.yaml\nworkload: []\n")
    assert found.startswith("scenario.yaml:3: is not YAML: ")


def test_a_name_that_is_there_twice_is_a_mistake(tmp_path: Path) -> None:
    found = mistakes(tmp_path, GOOD + "until: 1h\nuntil: 2h\n")
    assert found == ["scenario.yaml:5: until: is here twice: keep one of the two"]


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "a: 1\n---\nb: 2\n"])
def test_a_file_that_is_not_one_object_is_refused(tmp_path: Path, text: str) -> None:
    (found,) = mistakes(tmp_path, text)
    assert "write one YAML document" in found


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidScenario, match=r"none\.yaml:1: cannot be read: No such file"):
        load_scenario(tmp_path / "none.yaml")


def test_every_bad_row_of_a_trace_is_named(tmp_path: Path) -> None:
    text = GOOD.replace("{repository: acme/lib, labels: hf-t4, at: 1m}", "{trace: week.csv, labels: hf-t4}")
    found = mistakes(
        tmp_path,
        text,
        week="""\
        at,repository,seconds,result
        2026-09-21T08:00:00Z,acme/lib,60,success
        soon,acme/lib,60,success
        30,lib,60,success
        40,acme/lib,-1,success
        50,acme/lib,60,maybe
        """,
    )
    assert [line.partition(": ")[0] for line in found] == [f"week.csv:{number}" for number in (3, 4, 5, 6)]


def test_a_trace_counts_from_its_first_job(tmp_path: Path) -> None:
    text = GOOD.replace("{repository: acme/lib, labels: hf-t4, at: 1m}", "{trace: week.csv, from: 10m}")
    scenario = read(
        tmp_path,
        text,
        week="""\
        at,repository,labels,seconds,cancelled_after
        2026-09-21T08:00:30Z,acme/lib,hf-t4 linux,60,5
        2026-09-21T08:00:00Z,acme/lib,hf-t4,60,
        """,
    )
    assert [(row.at, row.labels, row.cancelled_after) for row in scenario.traces[0]] == [
        (0.0, ("hf-t4",), None),
        (30.0, ("hf-t4", "linux"), 5.0),
    ]


def test_a_setting_from_the_command_line_comes_last_and_must_name_a_pool(tmp_path: Path) -> None:
    read(tmp_path, GOOD)
    path = tmp_path / "scenario.yaml"
    scenario = load_scenario(path, overrides=[("t4", "maxRunners", "7"), ("t4", "deadlines.idle", "5m")])
    assert (scenario.pools[0].max_runners, scenario.pools[0].deadlines.idle) == (7, 300.0)
    with pytest.raises(InvalidScenario, match="there is no pool 'a10g'"):
        load_scenario(path, overrides=[("a10g", "maxRunners", "7")])


@pytest.mark.parametrize(
    ("path", "wanted", "sentence"),
    [
        ("pools.t5.launches", 1, "there is no pool 't5'"),
        ("pools.t4", 1, "name a single number or text"),
        ("jobs.total.more", 1, "there is nothing below jobs.total"),
        ("jobs.total", "<= many", "write a number or a duration"),
        ("pools.t4.conditions.Ready", "< Serving", "is a text"),
        ("jobs.total", "[1]", "write a number, a text, or a comparison"),
    ],
)
def test_an_expectation_that_could_never_be_checked_is_a_mistake(
    tmp_path: Path, path: str, wanted: object, sentence: str
) -> None:
    (found,) = mistakes(tmp_path, GOOD + f"expect:\n  {path}: {wanted}\n")
    assert sentence in found


def test_the_scenarios_of_the_documentation_are_right(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    text = (root / "docs" / "simulate.md").read_text()
    blocks = re.findall(r"^( *)```yaml\n(.*?)^ *```$", text, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    folder = tmp_path / "scenarios"
    folder.mkdir()
    for place in (tmp_path, folder):
        (place / "gpu-tests").mkdir()
        shutil.copy(root / "examples" / "gpu-tests" / "pool.yaml", place / "gpu-tests")
    (folder / "week.csv").write_text("at,repository,labels,seconds\n0,acme/lib,hf-t4,60\n")
    for number, (_, block) in enumerate(blocks):
        path = folder / f"{number}.yaml"
        path.write_text(textwrap.dedent(block))
        load_scenario(path)
