"""What is published: the product without its tests, and the simulated services beside it."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from controller import __version__ as of_the_product
from hf_runner_simulators import __version__ as of_the_simulators

ROOT = Path(__file__).parents[2]
KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}")

COMMANDS = (
    ("simulate", "scenario.yaml"),
    ("demo", "--kubeconfig", "{kubeconfig}"),
    ("sim", "--github", "127.0.0.1:0"),
)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both wheels, as the release builds them."""
    directory = tmp_path_factory.mktemp("wheels")
    return {
        name: Path(next(WheelBuilder(str(root)).build(directory=str(directory), versions=["standard"])))
        for name, root in (("product", ROOT), ("simulators", ROOT / "simulators"))
    }


def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as packed:
        return packed.namelist()


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as packed:
        (name,) = (name for name in packed.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(packed.read(name).decode())


def test_the_products_wheel_has_no_simulated_service_no_stand_in_runner_and_no_test(
    wheels: dict[str, Path],
) -> None:
    found = names(wheels["product"])

    assert {name.split("/")[0] for name in found} == {
        "controller",
        f"hf_runner_controller-{of_the_product}.dist-info",
    }
    parts = {part for name in found for part in name.split("/")}
    assert {"cli", "core", "engine.py"} <= parts
    assert not parts & {
        "hf_runner_simulators",
        "tests",
        "seeds",
        "assets",
        "listener.py",
        "run.sh",
        "github.pem",
    }


def test_the_simulators_wheel_has_the_stand_in_runner_and_nothing_of_the_product(
    wheels: dict[str, Path],
) -> None:
    found = names(wheels["simulators"])

    assert {name.split("/")[0] for name in found} == {
        "hf_runner_simulators",
        f"hf_runner_simulators-{of_the_simulators}.dist-info",
    }
    assert {"run.sh", "listener.py", "LICENSE"} <= {name.split("/")[-1] for name in found}


@pytest.mark.parametrize("which", ["product", "simulators"])
def test_no_wheel_has_a_private_key(wheels: dict[str, Path], which: str) -> None:
    with zipfile.ZipFile(wheels[which]) as packed:
        assert [name for name in packed.namelist() if KEY.search(packed.read(name))] == []
        assert [name for name in packed.namelist() if name.endswith((".pem", ".key"))] == []


def test_the_products_wheel_asks_for_the_simulators_of_its_own_version_and_only_by_the_extra(
    wheels: dict[str, Path],
) -> None:
    needs = metadata(wheels["product"]).get_all("Requires-Dist") or []
    wanted = [need for need in needs if "simulators" in need]

    assert of_the_simulators == of_the_product
    assert [need.replace('"', "'") for need in wanted] == [
        f"hf-runner-simulators=={of_the_product}; extra == 'simulate'"
    ]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_command_that_needs_the_simulators_says_how_to_get_them(
    wheels: dict[str, Path], tmp_path: Path, command: tuple[str, ...]
) -> None:
    done = without_the_extra(wheels["product"], tmp_path, *command)

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "Error: this command needs the simulated GitHub and Hub, which are not installed: "
        "pip install 'hf-runner-controller[simulate]'\n"
    )


def test_the_product_alone_tells_its_commands_and_their_options(
    wheels: dict[str, Path], tmp_path: Path
) -> None:
    program = without_the_extra(wheels["product"], tmp_path, "--help")
    simulate = without_the_extra(wheels["product"], tmp_path, "simulate", "--help")

    assert (program.returncode, simulate.returncode) == (0, 0)
    assert "simulate" in program.stdout
    assert "--set POOL.FIELD=VALUE" in simulate.stdout


def without_the_extra(wheel: Path, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the product's wheel with the packages that it requires, but without what is installed from this checkout."""
    product = directory / "product"
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(product)
    kubeconfig = directory / "kubeconfig"
    kubeconfig.touch()
    program = (
        "import importlib.util, sys\n"
        f"sys.path[:0] = {[str(product), sysconfig.get_path('purelib'), sysconfig.get_path('platlib')]!r}\n"
        "assert importlib.util.find_spec('hf_runner_simulators') is None\n"
        "from controller.cli import main\n"
        f"assert sys.modules['controller'].__file__.startswith({str(product)!r})\n"
        "main(prog_name='hf-runner-controller')\n"
    )
    return subprocess.run(
        # -I: neither this directory nor PYTHONPATH. -S: no .pth files, by which checkouts are installed.
        [sys.executable, "-I", "-S", "-c", program, *(a.format(kubeconfig=kubeconfig) for a in arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=directory,
        timeout=60,
    )
