"""Where a bucket may not be mounted writable, and where that is odd: what a workflow job writes there, later runners would run.

A writable bucket is shared by all runners of a pool. If the bootstrap, the image or the operating system takes programs,
libraries or settings from it, one job, a pull request's perhaps, decides what the next one runs, with that one's secrets.

Paths are compared as they are written. ``mountPath`` has one form only (no ``.``, ``..``, ``//`` or slash at the end), and what
is a link in many images (``/bin``, ``/lib``, ``/var/run``) is listed under both of its names, since nothing is known of an image
before it runs. Letters count as equal in both cases, so that no file system that takes them for equal is a way around.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

GOOD_PLACE = "mount it below /mnt, /data or /home/runner/.cache, or leave readOnly out"

_SYSTEM = (
    "actions-runner",  # the bootstrap looks for a runner here
    "bin",  # programs; a link to /usr/bin in most images
    "boot",  # what packages of the kernel install, and their scripts
    "dev",  # devices, and the shared memory of all processes
    "etc",  # the loader's settings, profiles, sudoers, package sources, certificates
    "gnu",  # everything in images made with Guix
    "lib[^/]*",  # libraries and the loader: /lib, /lib32, /lib64, /libexec, /libx32; links to /usr in most images
    "nix",  # everything in images made with Nix
    "opt",  # the tool cache, two of the runner's places, and what images add to PATH
    "proc",  # the kernel
    "root",  # root's profile and programs, which sudo uses; a home where /home/runner cannot be written
    "run",  # sockets of services, and what /var/run links to
    "runner",  # the bootstrap looks for a runner here
    "sbin",  # programs; a link to /usr/sbin in most images
    "snap",  # programs
    "sys",  # the kernel
    "tmp",  # package managers, pip and many others unpack programs here and run them; the last home that is tried
    "usr",  # programs, libraries, Python's packages, certificates
    "var",  # the package manager's scripts, which run as root; /var/run and /var/tmp
)
SYSTEM = rf"(?is:/(?:{'|'.join(_SYSTEM)})(?:/.*)?)"

_OF_A_HOME = (
    "bin",  # the Listener; also on PATH by many profiles
    "externals",  # node, which runs JavaScript actions
    "hostedtoolcache",  # the tool cache where /opt cannot be written
    "k8s[^/]*",  # the runner's container hooks
    "_[^/]*",  # _work, _diag and _update
    "[^/]*[.]sh",  # the runner's scripts
    "[.]bash[^/]*",
    "[.]config",  # git's hooks and aliases, pip's index
    "[.]credentials[^/]*",
    "[.]curlrc",
    "[.]env",  # the runner's environment, hooks included
    "[.]git[^/]*",
    "[.]hfrunner",  # the bootstrap's own state
    "[.]linuxbrew",
    "[.]local",  # programs on PATH; packages that every python3 imports from
    "[.]nix-[^/]*",
    "[.]path",  # PATH of all steps
    "[.]profile",
    "[.]runner",
    "[.]ssh",
    "[.]wgetrc",
    "[.]zsh[^/]*",
)
# Any user's home: where /home/runner cannot be written, the image's own user's home is the runner's.
HOME = rf"(?is:/home(?:/[^/]+(?:/(?:{'|'.join(_OF_A_HOME)})(?:/.*)?)?)?)"

_ODD = (
    "a?pps?",
    "build",
    "code",
    "github",
    "project",
    "repo",
    "s?rc",
    "server",
    "service",
    "software",
    "spack",
    "tools?",
    "[.]?v?env",
    "work",
    "work-?dir",
    "workspaces?",
    "[^/]*(?:conda|mamba)[^/]*",
    "__[^/]*",
)
_ODD_IN_A_HOME = (
    "[.](?:asdf|bun|cargo|dotnet|deno|docker|gradle|m2|npm-global|nvm|opam|poetry|pyenv|rbenv|rustup|sdkman|venv|volta|yarn)",
    "go",
    "[^/]*(?:conda|mamba)[^/]*",
)
_ODD_PLACE = re.compile(rf"(?is:/(?:{'|'.join(_ODD)}|home/[^/]+/(?:{'|'.join(_ODD_IN_A_HOME)}))(?:/.*)?)")

LISTS_OF_PLACES = (
    "ACTIONS_RUNNER_CONTAINER_HOOKS",
    "ACTIONS_RUNNER_HOOK_JOB_COMPLETED",
    "ACTIONS_RUNNER_HOOK_JOB_STARTED",
    "AGENT_TOOLSDIRECTORY",
    "BASH_ENV",
    "CURL_CA_BUNDLE",
    "CURL_HOME",
    "ENV",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_EXEC_PATH",
    "GIT_TEMPLATE_DIR",
    "LD_AUDIT",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "NODE_EXTRA_CA_CERTS",
    "NODE_PATH",
    "PATH",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PYTHONUSERBASE",
    "REQUESTS_CA_BUNDLE",
    "RUNNER_TOOL_CACHE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "XDG_CONFIG_HOME",
)
"""Variables by which the bootstrap, the runner, the shell, the loader, git, Python and node find what they run or trust. With
``HOME`` and ``TMPDIR``, which are only where a home is made."""

_HOMES = ("HOME", "TMPDIR")


@dataclass(frozen=True, slots=True)
class CodePath:
    """A variable that sends programs to a place that jobs can write.

    Attributes:
        variable: Its name.
        mount: The writable mount that it leads to.
    """

    variable: str
    mount: str


def code_paths(env: Mapping[str, str], writable: Sequence[str]) -> Iterator[CodePath]:
    """Find the variables of a pool that name a place at, above or below a writable mount, as a source of programs or trust.

    Args:
        env: The pool's variables.
        writable: Mount paths of its writable volumes.
    """
    for name in (*LISTS_OF_PLACES, *_HOMES):
        for place in _places(env.get(name, "")):
            for mount in writable:
                if is_within(place, mount) or (name not in _HOMES and is_within(mount, place)):
                    yield CodePath(name, mount)


def _places(value: str) -> Iterable[str]:
    """Return the absolute paths of a list, in the one form that mount paths have too."""
    for part in re.split(r"[:;\s]+", value):
        if part.startswith("/"):
            yield posixpath.normpath("/" + part.lstrip("/"))


def is_within(path: str, above: str) -> bool:
    """Tell whether a path is another one or below it; both in normal form, letters of both cases being equal."""
    return f"{path.rstrip('/')}/".lower().startswith(f"{above.rstrip('/')}/".lower())


def is_odd(mount_path: str) -> bool:
    """Tell whether images often have programs where a writable bucket is mounted."""
    return _ODD_PLACE.fullmatch(mount_path) is not None
