"""What the commands print: the one place where text leaves for somebody's terminal.

Names of workflow jobs, messages, labels, logs and objects of the cluster were written by others, and a
terminal obeys what is written to it: it clears the screen, fills the clipboard (OSC 52), and shows a link
that leads elsewhere (OSC 8). So commands print by :func:`print_line` and :func:`print_lines`, by a
:class:`Console` of this module, and by ``click``'s exceptions, which :class:`Program` cleans; ``ruff``
refuses ``click.echo`` and ``rich``'s own console in ``controller/cli`` elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any
from urllib.parse import urlsplit

import click
import rich.console
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

from controller.core.text import text

LONGEST_LINK = 2_048

RESET = "\x1b[0m"

_COLOR = re.compile(r"\x1b\[[0-9;:]{0,64}m")
_SEQUENCE = re.compile(
    # No alternative reads beyond the next escape character, so the whole is linear.
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: cursor, colors, modes
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x80-\x9f]*(?:\x07|\x1b\\|\x9c)"  # OSC, DCS and the like, up to their end
    r"|\x1b[ -/]*[0-~]"  # the others, and the beginnings of those that have no end
)
_OVERWRITES = re.compile(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
_LINK = re.compile(r"[!#-;=?-Z_a-z~\[\]]+")
"""What a URL is made of (RFC 3986): no blank, no quote, nothing beyond ASCII."""


def clean(shown: str) -> str:
    """Return text of several lines as it may be printed."""
    return "\n".join(text(line, len(line)) for line in shown.split("\n"))


def print_line(shown: str, *, err: bool = False) -> None:
    """Print one line, whatever is in it, to the standard output or error."""
    click.echo(text(shown, len(shown)), err=err)


def print_lines(shown: str, *, err: bool = False) -> None:
    """Print lines, which must end with their own end of line: a manifest, JSON."""
    click.echo(clean(shown), err=err, nl=False)


def rewrite(shown: str) -> None:
    """Write over the current line of the standard error, which must be a terminal; empty text clears it."""
    click.echo(f"\r{text(shown, 200)}" if shown else "\r\x1b[K", nl=False, err=True)


def is_link(url: str, origins: Collection[str] = ()) -> bool:
    """Return whether a terminal may show an address as a link: plain https, or http to one of
    ``origins`` (of simulators).
    """
    if len(url) > LONGEST_LINK or not _LINK.fullmatch(url):
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if not parts.hostname or "@" in parts.netloc:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and f"http://{parts.netloc}" in origins)


def lines_of_log(line: str, *, colors: bool) -> list[str]:
    """Return what one line of a program's log may show, as the lines that a terminal makes of it.

    Sequences that a terminal acts on are left out whole, but for colors where ``colors`` are wanted; a
    line that is written over (a progress bar) becomes one line for each time, so that none hides another
    or what stands before it.
    """
    return [
        _uncolored(part) if not colors else _colored(part) for part in _OVERWRITES.split(line) if part
    ] or [""]


def print_safe(line: str) -> None:
    """Print a line that :func:`lines_of_log` made, its colors with it."""
    click.echo(line, color=True)


def print_raw(prefix: str, line: str) -> None:
    """Print a line as it came, also where it is no text that could be encoded; only for
    somebody who asked for it.
    """
    click.echo(f"{prefix}{line}\n".encode("utf-8", "surrogatepass"), nl=False)


def _uncolored(part: str) -> str:
    return text(_SEQUENCE.sub("", part), len(part), lines=True)


def _colored(part: str) -> str:
    kept = _COLOR.findall(part)
    if not kept:
        return _uncolored(part)
    plain = map(_uncolored, _COLOR.split(part))
    return "".join(shown for pair in zip(plain, [*kept, RESET], strict=True) for shown in pair)


class Console(rich.console.Console):
    """A console on which nothing but the console's own styles reaches the terminal as a sequence.

    Args:
        origins: Of simulators, to which plain http may be a link; more may be added to the attribute.
        options: As ``rich`` has them.
    """

    def __init__(self, *, origins: Collection[str] = (), **options: Any) -> None:  # noqa: ANN401 - rich's
        super().__init__(highlight=False, **options)
        self.origins = set(origins)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Return what is written, each piece of text cleaned, and links that are none
        without their address.
        """
        for segment in super().render(renderable, options):
            yield segment if segment.control else self._clean(segment)

    def _clean(self, segment: Segment) -> Segment:
        style = segment.style
        if style is not None and style.link and not is_link(style.link, self.origins):
            style = style.update_link(None)
        return Segment(clean(segment.text), style)


class Program(click.Group):
    """The program: a group whose commands' errors are cleaned before they are shown."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's
        """Run a command."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            error.message = clean(error.message)  # type: ignore[misc] # it is shown from there, final or not
            raise
