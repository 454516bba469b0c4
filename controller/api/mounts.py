"""Where a bucket may not be mounted writable, and where that is odd: what a workflow job writes
there, later runners would run.

A writable bucket is shared by all runners of a pool. If the bootstrap, the image or the operating system
takes programs, libraries or settings from it, one job, a pull request's perhaps, decides what the next one
runs, with that one's secrets.

Paths are compared as they are written. ``mountPath`` has one form only (no ``.``, ``..``, ``//`` or slash at
the end), and what is a link in many images (``/bin``, ``/lib``, ``/var/run``) is listed under both of its
names, since nothing is known of an image before it runs. What is mounted read-only counts as writable where
the pool mounts the same files writable at another place. Letters count as equal in both cases, so that no
file system that takes them for equal is a way around.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

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
    "node_modules",  # node looks here for what actions require, in each folder above theirs
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
    "node_modules",  # node looks here for what actions require, in each folder above theirs
    "_[^/]*",  # _work, _diag and _update
    "[^/]*[.]sh",  # the runner's scripts
    "[.]bash[^/]*",
    "[.]config",  # git's hooks and aliases, pip's index
    "[.]credentials[^/]*",
    "[.]curlrc",
    "[.]dotnet",  # certificates that .NET trusts for this user, the Listener's connections included; tools of dotnet
    "[.]env",  # the runner's environment, hooks included
    "[.]git[^/]*",
    "[.]hfrunner",  # the bootstrap's own state
    "[.]linuxbrew",
    "[.]local",  # programs on PATH; packages that every python3 imports from
    "[.]nix-[^/]*",
    "[.]node_(?:libraries|modules)",  # node looks here last for what a program requires
    "[.]path",  # PATH of all steps
    "[.]profile",
    "[.]runner",
    "[.]ssh",
    "[.]wgetrc",
    "[.]zsh[^/]*",
)
# Any user's home: where /home/runner cannot be written, the image's own user's home is the runner's.
HOME = rf"(?is:/home(?:/[^/]+(?:/(?:{'|'.join(_OF_A_HOME)})(?:/.*)?)?)?)"
REFUSED = f"{SYSTEM}|{HOME}"

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
    "[.](?:asdf|bun|cargo|deno|docker|gradle|m2|npm-global|nvm|opam|poetry|pyenv|rbenv|rustup|sdkman|venv|volta|yarn)",
    "go",
    "[^/]*(?:conda|mamba)[^/]*",
)
_ODD_PLACE = re.compile(rf"(?is:/(?:{'|'.join(_ODD)}|home/[^/]+/(?:{'|'.join(_ODD_IN_A_HOME)}))(?:/.*)?)")

_SOURCES_OF_CODE = (
    # The runner: its hooks, and where it looks for tools.
    "ACTIONS_RUNNER_(?:CONTAINER_HOOK.*|HOOK_.*)",
    "AGENT_TOOLSDIRECTORY",
    "RUNNER_TOOL_CACHE",
    # .NET, in which the Listener is written, and which then has the runner's registration: start-up
    # hooks, profilers, and all else.
    "(?:COMPlus|CORECLR|DOTNET)_.*",
    # Shells, which source the first two at their start; PS4 may run a command.
    "BASH_ENV",
    "ENV",
    "PATH",
    "PS4",
    # The loader and the C library: libraries, and converters of character sets, which are libraries too.
    "LD_(?:AUDIT|LIBRARY_PATH|PRELOAD)",
    "GCONV_PATH",
    # What is downloaded, and who is trusted: settings of curl and wget, modules of OpenSSL and
    # Kerberos, certificates.
    "CURL_(?:CA_BUNDLE|HOME)",
    "KRB5_CONFIG",
    "OPENSSL_.*",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_(?:DIR|FILE)",
    "(?:SYSTEM_)?WGETRC",
    # Packages that the bootstrap installs and unpacks: apt, dpkg (which is in part Perl), rpm, pip, tar.
    "APT_CONFIG",
    "DPKG_.*",
    "PERL5(?:DB|LIB|OPT)",
    "PERLLIB",
    "PIP_CONFIG_FILE",
    "RPM_CONFIGDIR",
    "TAR_OPTIONS",
    # git, for the checkout: its programs and settings, hooks among them, and what it calls for
    # passwords and connections.
    "GIT_(?:ASKPASS|CONFIG.*|EXEC_PATH|PROXY_COMMAND|SSH|SSH_COMMAND|SSL_.*|TEMPLATE_DIR)",
    "SSH_ASKPASS",
    "XDG_CONFIG_(?:DIRS|HOME)",
    # Languages: node runs every JavaScript action, python3 the bootstrap's own lines; Ruby and
    # Java are in many images.
    "NODE_(?:COMPILE_CACHE|EXTRA_CA_CERTS|OPTIONS|PATH)",
    "PYTHON(?:HOME|PATH|PLATLIBDIR|PYCACHEPREFIX|STARTUP|USERBASE)",
    "RUBY(?:LIB|OPT)",
    "(?:_JAVA|JAVA_TOOL|JDK_JAVA)_OPTIONS",
)
_SOURCE_OF_CODE = re.compile("|".join(_SOURCES_OF_CODE))
_HOMES = ("HOME", "TMPDIR")
"""Where a home is made: only a place below the mount matters, not one above it."""


class Mount(Protocol):
    """A volume of a pool, as its spec or the planner has it."""

    @property
    def type(self) -> str:
        """``bucket``, ``model``, ``dataset`` or ``space``."""

    @property
    def source(self) -> str:
        """``NAMESPACE/NAME``."""

    @property
    def mount_path(self) -> str:
        """Absolute path in the runner."""

    @property
    def read_only(self) -> bool:
        """Whether jobs cannot write at this mount."""

    @property
    def path(self) -> str | None:
        """Folder in the source; None for all of it."""


@dataclass(frozen=True, slots=True)
class Written:
    """A mount whose files jobs can write.

    Attributes:
        at: Its mount path.
        by: Mount path at which they are written: its own, or that of the same bucket at another place.
    """

    at: str
    by: str

    def __str__(self) -> str:
        """``the volume at PATH``, and where it is written if elsewhere."""
        return f"the volume at {self.at}" + ("" if self.by == self.at else f", written at {self.by}")


@dataclass(frozen=True, slots=True)
class CodePath:
    """A variable that sends programs to a place that jobs can write.

    Attributes:
        variable: Its name.
        mount: The mount that it leads to.
    """

    variable: str
    mount: Written


def share_files(one: Mount, other: Mount) -> bool:
    """Tell whether two mounts show files of the same source: all of it, or folders of which
    one is in the other.

    Revisions do not count: what can be written has none.
    """
    return (
        one.type == other.type
        and one.source.lower() == other.source.lower()
        and (_folder(one, other) or _folder(other, one))
    )


def _folder(one: Mount, other: Mount) -> bool:
    return is_within(f"/{one.path or ''}", f"/{other.path or ''}")


def written(volumes: Iterable[Mount]) -> Iterator[Written]:
    """Find the mounts of a pool whose files its jobs can write, at this mount or at another
    one of the same bucket.
    """
    volumes = tuple(volumes)
    writers = [volume for volume in volumes if not volume.read_only]
    for volume in volumes:
        if not volume.read_only:
            yield Written(volume.mount_path, volume.mount_path)
            continue
        for writer in writers:
            if share_files(volume, writer):
                yield Written(volume.mount_path, writer.mount_path)
                break


def written_elsewhere(volumes: Iterable[Mount]) -> Iterator[Written]:
    """Find the read-only mounts where programs are taken from, and whose files jobs can
    write at another mount.
    """
    for mount in written(volumes):
        if mount.by != mount.at and is_refused(mount.at):
            yield mount


def code_paths(env: Mapping[str, str], writable: Sequence[Written]) -> Iterator[CodePath]:
    """Find the variables of a pool that name a place at, above or below a writable mount, as a
    source of programs or trust.

    Args:
        env: The pool's variables.
        writable: Its mounts whose files jobs can write.
    """
    for name, value in sorted(env.items()):
        is_home = name in _HOMES
        if not is_home and _SOURCE_OF_CODE.fullmatch(name) is None:
            continue
        places = _places(value)
        for mount in writable:
            if any(
                is_within(place, mount.at) or (not is_home and is_within(mount.at, place)) for place in places
            ):
                yield CodePath(name, mount)


# Marks of lists; of options and settings; and none, for a path that has some itself.
_MARKS = (re.compile(r"[:;\s]+"), re.compile(r"[\s:;,=|&<>()\[\]'\"`!@$]+"))
# A path may follow an option (-I/mnt) at once; `r` and `I` are options of Perl and Ruby without their dash.
# What follows ~ or ${HOME} is below a home, and a relative path is below nobody knows what.
_PATH_IN_A_WORD = re.compile(r"(?s:(?:-[^/~}]*|[^\w/~}]*|[Ir])(/.*))")
# The root of the file system by way of a process.
_ROOT = re.compile(r"/proc/[^/]+(?:/task/[^/]+)?/(?:cwd|root)(?=/|$)")


def _places(value: str) -> frozenset[str]:
    """Return the absolute paths that a value has, in the one form that mount paths have too."""
    words = {value, *(word for marks in _MARKS for word in marks.split(value))}
    found = (_PATH_IN_A_WORD.fullmatch(word) for word in words)
    return frozenset(_ROOT.sub("", _normal(one[1])) or "/" for one in found if one is not None)


def _normal(path: str) -> str:
    return posixpath.normpath("/" + path.lstrip("/"))


def is_within(path: str, above: str) -> bool:
    """Tell whether a path is another one or below it; both in normal form, letters of both
    cases being equal.
    """
    return f"{path.rstrip('/')}/".lower().startswith(f"{above.rstrip('/')}/".lower())


def is_refused(mount_path: str) -> bool:
    """Tell whether the bootstrap, the runner or the system takes programs or settings from a mount, so
    that none may be writable.
    """
    return re.fullmatch(REFUSED, mount_path) is not None


def is_odd(mount_path: str) -> bool:
    """Tell whether images often have programs where a writable bucket is mounted."""
    return _ODD_PLACE.fullmatch(mount_path) is not None
