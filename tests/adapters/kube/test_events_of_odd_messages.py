"""What Events make of messages that hold the words of services that nobody here controls."""

from __future__ import annotations

import re

import pytest

from controller.adapters.kube.events import LONGEST_NOTE, KubernetesEvents
from controller.simulate.loop import run_virtual
from hf_runner_simulators.clock import ManualClock


class Client:
    def __init__(self) -> None:
        self.notes: list[str] = []

    async def request_json(self, method: str, path: str, *, body: dict[str, str], **_: str) -> dict[str, str]:
        if method == "POST":
            self.notes.append(body["note"])
        return {}


def sent(*messages: str) -> list[str]:
    async def main() -> list[str]:
        client = Client()
        events = KubernetesEvents(client=client, clock=ManualClock(), instance="pod")  # type: ignore[arg-type]
        for message in messages:
            await events.emit(
                namespace="ci", name="gpu", uid="u", warning=True, reason="R", action="A", message=message
            )
        await events.flush()
        return client.notes

    return run_virtual(main())


def test_messages_that_differ_in_names_ids_and_numbers_are_one_series() -> None:
    name = "gpu-hfr-0a1b2c-0a1b2c3d-"
    assert len(sent(f"{name}aaaa of 6920abcdef took 12.5 s", f"{name}bbbb of 6920abcdff took 3 s")) == 1


def test_messages_that_differ_in_words_are_two_series() -> None:
    assert len(sent("no credit", "no capacity")) == 2


@pytest.mark.parametrize("message", ["a-" * 5_000_000, "-hfr-" * 2_000_000, "0" * 10_000_000])
def test_only_what_is_sent_of_a_message_is_looked_at(message: str) -> None:
    """The pattern's time grows faster than the text, so this would not end in an hour without the cut."""
    (note,) = sent(message)
    assert len(note.encode()) <= LONGEST_NOTE
    assert re.match(r"[a0h-]", note)
