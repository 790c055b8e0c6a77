from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import HistoryError
from harness.history import Record
from harness.replay.play import shrunk
from harness.replay.story import Ref, Step, Story, Unplayable, read_story, story_of, to_json
from harness.target.protocol import Outcome

if TYPE_CHECKING:
    from pathlib import Path

RUN_ID = "0a1b2c3d"


def record(number: int, operation: str, customer: str | None = None, **fields: Any) -> Record:
    """Give what a session leaves of an operation: one a second, unless told otherwise."""
    outputs = fields.pop("outputs", {})
    began_at = fields.pop("began_at", float(number))
    return Record(
        id=f"main-{number}",
        test="suites/e2e/test_x.py::test_a",
        operation=operation,
        role="customer",
        customer=customer,
        inputs=fields,
        began_at=began_at,
        ended_at=began_at + 0.5,
        outcome=Outcome("ok", outputs),
    )


def told(*records: Record) -> Story:
    """Tell records as a story."""
    return story_of(records, RUN_ID, target="reference", check="a_check", message="it broke")


MADE = record(1, "create_customer", "cust_1", email=f"a-{RUN_ID}@x", outputs={"customer": "cust_1"})


def test_a_story_is_free_of_the_runs_own_names_and_ids() -> None:
    """A run's token becomes a word, and an id that was answered a reference to its answer."""
    story = told(
        MADE,
        record(2, "subscribe", "cust_1", plan="pro", outputs={"subscription": "sub_123"}),
        record(3, "cancel_subscription", "cust_1", subscription="sub_123"),
    )
    assert story.steps[0].inputs == {"email": "a-$RUN@x"}
    assert [step.customer for step in story.steps] == [None, 0, 0]
    assert story.steps[2].inputs == {"subscription": Ref(1, ("subscription",))}


def test_only_reading_that_a_later_step_takes_up_is_told() -> None:
    """What only looked is left out; a list whose first payment is refunded is not."""
    items = [{"payment": "pay_123"}]
    story = told(
        MADE,
        record(2, "get_balance", "cust_1", outputs={"units": 5}),
        record(3, "list_payments", "cust_1", outputs={"items": items}),
        record(4, "refund_payment", "cust_1", payment="pay_123"),
    )
    assert [s.operation for s in story.steps] == [
        "create_customer",
        "list_payments",
        "refund_payment",
    ]
    assert story.steps[2].inputs == {"payment": Ref(1, ("items", 0, "payment"))}


def test_what_ran_at_once_is_told_as_at_once() -> None:
    """An operation that began before the one before it had ended stands beside it."""
    story = told(
        MADE,
        record(2, "record_usage", "cust_1", usage_id="u"),
        record(3, "record_usage", "cust_1", usage_id="u", began_at=2.1),
    )
    assert [step.beside for step in story.steps] == [False, False, True]
    assert [step.beside for step in story.without({1}).steps] == [False, False]


@pytest.mark.parametrize(
    "orphan",
    [
        record(1, "record_usage", "cust_9", usage_id="u"),
        record(1, "receive_webhook", payload=b"{}", signature_headers=[["a", "b"]]),
    ],
)
def test_what_the_history_does_not_tell_whole_cannot_be_told_again(orphan: Record) -> None:
    """A customer that was made elsewhere, or a body that is kept redacted, makes no story."""
    with pytest.raises(Unplayable):
        told(orphan)


def test_a_story_survives_its_file(tmp_path: Path) -> None:
    """What is written is read back as it was."""
    story = told(
        MADE,
        record(2, "subscribe", "cust_1", plan="pro", outputs={"subscription": "sub_123"}),
        record(3, "cancel_subscription", "cust_1", subscription="sub_123", began_at=2.2),
    )
    path = tmp_path / "replay-1.json"
    path.write_text(to_json(story))
    assert read_story(path) == story


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no story"),
        ("[]", "is no story"),
        ('{"format": 2}', "format 2, not 1"),
        ('{"format": 1, "target": "t", "check": "c", "message": "m", "steps": [{}]}', "no story"),
        (
            (
                '{"format": 1, "target": "t", "check": "c", "message": "m",'
                ' "steps": [{"operation": "rob_bank", "inputs": {}}]}'
            ),
            "no operation is called 'rob_bank'",
        ),
        (
            (
                '{"format": 1, "target": "t", "check": "c", "message": "m",'
                ' "steps": [{"operation": "get_balance", "customer": 0, "inputs": {}}]}'
            ),
            "what no step before it has answered",
        ),
        (
            (
                '{"format": 1, "target": "t", "check": "c", "message": "m",'
                ' "steps": [{"operation": "get_balance", "role": "king", "inputs": {}}]}'
            ),
            "nobody is called 'king'",
        ),
    ],
)
def test_what_is_no_story_is_told_in_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    """A file that a person wrote wrong, or another's, is refused with the reason."""
    path = tmp_path / "replay-1.json"
    path.write_text(text)
    with pytest.raises(HistoryError, match=said):
        read_story(path)


def test_a_missing_story_is_told_in_a_sentence(tmp_path: Path) -> None:
    """No file, no traceback."""
    with pytest.raises(HistoryError, match="cannot be read: No such file"):
        read_story(tmp_path / "nothing.json")


def plain(count: int) -> Story:
    """Give a story of a customer who uses something so many times."""
    made = Step("create_customer", "customer", None, {})
    uses = [Step("record_usage", "customer", 0, {"usage_id": f"u{n}"}) for n in range(count)]
    return Story("t", "c", "m", (made, *uses))


def ids(story: Story) -> set[object]:
    """Name the usages of a story; None stands for its customer."""
    return {step.inputs.get("usage_id") for step in story.steps}


@given(st.integers(1, 20), st.sets(st.integers(0, 19)))
def test_shrinking_keeps_what_the_breach_needs_and_nothing_else(
    count: int, needed: set[int]
) -> None:
    """Whichever usages a breach needs, they and their customer are what is left."""
    wanted = {f"u{n}" for n in needed if n < count}
    tries: list[Story] = []

    def fails(story: Story) -> bool:
        tries.append(story)
        return bool(story.steps) and wanted <= ids(story)

    short = shrunk(plain(count), fails, lambda: False)
    assert ids(short) == wanted | {None}
    assert len(tries) <= (count + 1) ** 2 + 10


def test_shrinking_out_of_time_gives_what_was_seen_to_fail() -> None:
    """The time is up after three tries: what is left still fails."""
    tries: list[Story] = []

    def fails(story: Story) -> bool:
        tries.append(story)
        return "u7" in ids(story)

    short = shrunk(plain(16), fails, lambda: len(tries) >= 3)
    assert len(tries) == 3
    assert fails(short)
    assert len(short.steps) < 17


@given(st.data())
def test_leaving_steps_out_never_leaves_a_reference_to_nothing(data: st.DataObject) -> None:
    """Whatever is left out, each step that stays finds what it needs, before it."""
    steps = [Step("create_customer", "customer", None, {})]
    for number in range(1, data.draw(st.integers(1, 10))):
        of = data.draw(st.integers(0, number - 1))
        inputs = {"x": Ref(of, ("y",))} if data.draw(st.booleans()) else {}
        beside = data.draw(st.booleans())
        steps.append(Step("record_usage", "customer", 0, inputs, beside))
    gone = data.draw(st.sets(st.integers(0, len(steps) - 1)))
    left = Story("t", "c", "m", tuple(steps)).without(gone).steps
    assert all(need < number for number, step in enumerate(left) for need in step.needs)
    assert not left or replace(left[0], beside=False) == left[0]
