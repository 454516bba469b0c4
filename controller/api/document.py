"""YAML documents that remember their lines, so that a mistake can be shown where somebody wrote it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from controller.api.runnerpool import Mistake

Step = str | int


class NotYaml(Exception):  # noqa: N818 - a finding about the user's input
    """A text that is no YAML.

    Attributes:
        line: Where it stops being YAML, from 1.
    """

    def __init__(self, why: object, *, line: int = 1) -> None:
        super().__init__(f"is not YAML: {why}")
        self.line = line


class Document:
    """One YAML document, and the lines of everything in it.

    Attributes:
        name: Of the file that it is in.
        value: What it says, as plain data.
    """

    def __init__(self, name: str, node: yaml.Node) -> None:
        self.name = name
        self._node = node
        # The node tree was composed by SafeLoader, so that only plain data can come out of it.
        loader = yaml.SafeLoader("")
        try:
            self.value: Any = loader.construct_document(node)
        finally:
            loader.dispose()

    def line(self, at: Sequence[Step]) -> int:
        """Return the line of what is there, or of what it is missing from."""
        node, line = self._node, self._node.start_mark.line
        for step in at:
            found = _child(node, step)
            if found is None:
                break
            line, node = found
        return line + 1

    def locate(self, mistake: Mistake) -> tuple[str, int, str]:
        """Return a mistake with its place."""
        return (self.name, self.line(mistake.at), str(mistake))

    def twice(self) -> Iterator[Mistake]:
        """Yield the names that a mapping has twice: YAML itself takes the last one and says nothing."""
        yield from _twice(self._node, ())


def read_documents(text: str, *, name: str) -> list[Document]:
    """Return the documents of a file, empty ones left out.

    Raises:
        NotYaml: Somewhere in the text; nothing of it is returned then.
    """
    try:
        nodes = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
        return [Document(name, node) for node in nodes if node is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise NotYaml(error.problem or error.context, line=mark.line + 1 if mark else 1) from error
    except yaml.YAMLError as error:
        raise NotYaml(error) from error


def _child(node: yaml.Node, step: Step) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return key.start_mark.line, value
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step].start_mark.line, node.value[step]
    return None


def _twice(node: yaml.Node, at: tuple[Step, ...]) -> Iterator[Mistake]:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                yield Mistake((*at, name), "is here twice: keep one of the two")
            seen.add(name)
            yield from _twice(value, (*at, name))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _twice(value, (*at, index))
