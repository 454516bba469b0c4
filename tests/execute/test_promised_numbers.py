"""Numbers that people can observe, or that documentation promises."""

from __future__ import annotations

import pytest

from controller.execute import guards, inherited, intent_writer, intents, spec


@pytest.mark.parametrize(
    ("number", "promised"),
    [
        (guards.EFFECT_TIMEOUT, 180),
        (inherited.ASK_EVERY, 10),
        (inherited.TIMES, 5),
        (inherited.MOST_QUESTIONS, 300),
        (inherited.AT_ONCE, 8),
        (intent_writer.TRIES, 20),
        (intent_writer.WRITE_TIMEOUT, 20),
        (intent_writer.RETRY_DELAYS, (2, 5, 10, 20)),
        (intent_writer.PARALLEL, 16),
        (intents.TIDY_EVERY, 30),
        (spec.IDLE_MARGIN, 180),
    ],
)
def test_the_number_is_the_promised_one(number: object, promised: object) -> None:
    assert number == promised
