"""What Prometheus is shown: valid, complete by the catalogue, and without a label that
could grow for ever.
"""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from controller.metrics import catalog
from controller.metrics.catalog import Spec, Type
from controller.metrics.recorder import Metrics
from controller.ports import RunnerRelease
from hf_runner_simulators.clock import EPOCH, LoopClock
from tools.metrics import PAGE, page

UNITS = re.compile(
    r"_(ms|s|ns|us|sec|milliseconds|minutes|hours|days|kb|mb|b|kilobytes|megabytes|m|h|d)(_|$)"
)
BOUNDED = {
    "namespace",
    "pool",
    "credential",
    "account",
    "flavor",
    "reason",
    "phase",
    "condition",
    "deadline",
    "part",
    "kind",
    "level",
    "code",
    "version",
}


def fresh() -> Metrics:
    return Metrics(
        clock=LoopClock(time=lambda: 100.0, epoch=EPOCH),
        release=RunnerRelease(version="2.337.0", served_until=EPOCH),
    )


@pytest.mark.parametrize("spec", catalog.ALL, ids=lambda spec: spec.name)
def test_a_metric_keeps_the_rules_of_prometheus(spec: Spec) -> None:
    name = spec.name
    assert re.fullmatch(r"hfrunners_[a-z][a-z0-9_]*", name)
    assert spec.help
    assert spec.help.endswith(".")
    assert name.endswith("_total") == (spec.type is Type.COUNTER)
    assert not UNITS.search(name.removesuffix("_total"))
    assert not any(word in name for word in ("_gauge", "_counter", "_histogram", "_bucket", "_count", "_sum"))
    assert set(spec.labels) <= BOUNDED
    assert len(set(spec.labels)) == len(spec.labels)
    assert not set(spec.labels) & {"le", "quantile", "job", "instance"}
    if spec.type is Type.HISTOGRAM:
        assert name.endswith("_seconds")
        assert list(spec.buckets) == sorted(set(spec.buckets))


def test_the_waits_have_a_bound_wherever_somebody_may_promise_one() -> None:
    for spec in (catalog.QUEUE_TO_ONLINE, catalog.QUEUE_TO_START):
        assert {60, 120, 300, 600, 900, 1800, 3600, 86_400} <= set(spec.buckets)


def test_names_are_unique() -> None:
    names = [spec.name for spec in catalog.ALL]
    assert len(names) == len(set(names))


def test_a_process_that_has_done_nothing_shows_a_page_that_parses() -> None:
    families = {family.name: family for family in text_string_to_metric_families(fresh().text().decode())}
    assert families["hfrunners_leader"].samples[0].value == 0
    assert families["hfrunners_runner_version_served_until_timestamp_seconds"].samples[0].labels == {
        "version": "2.337.0"
    }
    assert "hfrunners_last_pass_timestamp_seconds" not in families


def test_the_reference_is_the_catalogue() -> None:
    assert PAGE.read_text() == page()


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is missing; the rules above stand in for it"
)
def test_promtool_has_nothing_to_complain_of() -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=fresh().text(), capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
