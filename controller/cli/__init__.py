"""The command line: every subcommand of ``hf-runner-controller``, one module each.

The top layer: it may import everything, and nothing imports it.
"""

from __future__ import annotations

import click

from controller import __version__
from controller.adapters.proxies import Proxies
from controller.cli.apply import apply_command
from controller.cli.check import check_command
from controller.cli.demo import demo_command
from controller.cli.drain import drain_command
from controller.cli.init import init_command
from controller.cli.logs_command import logs_command
from controller.cli.pause import pause_command, resume_command
from controller.cli.run import run_command
from controller.cli.runners import runners_command
from controller.cli.sim import sim_command
from controller.cli.simulate import simulate_command
from controller.cli.terminal import Program
from controller.cli.upgrade_check import upgrade_check_command


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="hf-runner-controller")
def main() -> None:
    """Ephemeral GitHub Actions runners on Hugging Face Jobs, as a Kubernetes operator."""
    if wrong := Proxies().unusable():
        raise click.ClickException(wrong)


main.add_command(run_command)
main.add_command(apply_command)
main.add_command(init_command)
main.add_command(check_command)
main.add_command(runners_command)
main.add_command(logs_command)
main.add_command(sim_command)
main.add_command(simulate_command)
main.add_command(demo_command)
main.add_command(drain_command)
main.add_command(pause_command)
main.add_command(resume_command)
main.add_command(upgrade_check_command)
