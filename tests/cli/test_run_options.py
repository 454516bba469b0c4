"""Every flag of ``run`` is taken over by the process that it starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FLAGS = (
    "--namespace=ci",
    "--controller-id=mine",
    "--github-host=github.com",
    "--hub-endpoint=huggingface.co",
    "--allow-http",
    "--web-host=127.0.0.1",
    "--web-port=0",
    "--github-points-per-minute=0",
    "--github-poll-seconds=9",
    "--hub-poll-seconds=9",
    "--parallel=3",
    "--runner-version=2.0.0",
    f"--runner-sha256=x64={'0' * 64}",
    "--runner-base-url=https://runner.example/",
    "--leader-elect",
    "--lease-name=lease",
    "--lease-namespace=ci",
    "--stop-switch=stop",
    "--secrets-role=reader",
    "--service-account=ci/me",
    "--debug-plan",
    "--log-format=json",
    "--log-level=info",
)


def test_a_run_with_every_flag_gets_as_far_as_the_cluster_that_it_cannot_reach(tmp_path: Path) -> None:
    nowhere = tmp_path / "kubeconfig"
    nowhere.write_text("", encoding="utf-8")
    command = [sys.executable, "-m", "controller", "run", f"--kubeconfig={nowhere}", *FLAGS]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, '"cannot run"' in done.stderr) == (1, True), done.stderr
    assert "InternalError" not in done.stderr
