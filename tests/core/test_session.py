from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import NotMapped, Unknown
from harness.history import History
from harness.naming import Names
from harness.redact import Redactor
from harness.session import Customer, Session
from harness.target.mapped import ProfileTarget
from harness.target.wire import NoReply, Reply
from tests.core.making import CREATE, SUBSCRIBE, TIMEOUT, answer, profile

if TYPE_CHECKING:
    from harness.target.protocol import Outcome
    from harness.target.wire import Call

MADE = answer(201, {"id": "c1", "api_key": "key-of-a-customer"})
OPERATIONS = {
    "create_customer": CREATE,
    "subscribe": SUBSCRIBE,
    "get_balance": {"request": "GET /v1/{customer}/balance", "reply": {"units": "units"}},
    "list_payment_methods": {
        "request": "GET /v1/{customer}/cards",
        "items": {
            "path": "data",
            "reply": {"payment_method": "id"},
            "page": {"style": "cursor", "param": "after", "next": "next"},
        },
    },
}
CUSTOMER = Customer("c9", "credential-of-nine", None)


class Scene:
    """A session over a script of replies; `calls` are what it sent, `waits` how it paused."""

    def __init__(
        self, *script: Reply | NoReply | Exception, sections: dict[str, Any] | None = None
    ) -> None:
        self.calls: list[Call] = []
        self.waits: list[float] = []
        self.file = io.StringIO()
        self._script = list(script)
        auth = {"customer": {"headers": {"X-Acme-Token": "{credential}"}}}
        target = {"idempotency_header": "Idempotency-Key", "refusal_code": "code"}
        target |= (sections or {}).get("target", {})
        redactor = Redactor()
        self.history = History(self.file, redactor)
        self.session = Session(
            ProfileTarget(profile(OPERATIONS, auth=auth, target=target)),
            self._send,
            self.history,
            redactor,
            names=Names(7, "run", "test"),
            test="test",
            wait=self.waits.append,
        )

    def _send(self, call: Call) -> Reply | NoReply:
        self.calls.append(call)
        step = self._script.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.getvalue().splitlines()]


def test_reads_are_tried_again_when_no_reply_came() -> None:
    """Reading changes nothing, so a lost answer is asked for again, three times in all."""
    scene = Scene(TIMEOUT, TIMEOUT, answer(200, {"units": 5}))
    assert scene.session.ok("get_balance", customer=CUSTOMER)["units"] == 5
    assert (len(scene.calls), len(scene.waits)) == (3, 2)
    scene = Scene(TIMEOUT, TIMEOUT, TIMEOUT)
    assert scene.session.perform("get_balance", customer=CUSTOMER).kind == "unknown"
    (record,) = scene.session.records
    assert len(record.exchanges) == 3


def test_a_list_that_lost_a_page_is_read_anew() -> None:
    """A list is read from its beginning again: its pages may have moved."""
    first = answer(200, {"data": [{"id": "a"}], "next": "x"})
    scene = Scene(first, TIMEOUT, first, answer(200, {"data": [{"id": "b"}], "next": None}))
    outcome = scene.session.ok("list_payment_methods", customer=CUSTOMER)
    assert [item["payment_method"] for item in outcome["items"]] == ["a", "b"]


def test_a_read_that_was_answered_is_not_tried_again() -> None:
    """An answer that helps nobody is an answer all the same."""
    scene = Scene(answer(500))
    assert scene.session.perform("get_balance", customer=CUSTOMER).kind == "unknown"
    assert len(scene.calls) == 1


RESET = NoReply("reset", sent=True)
GONE = NoReply("unreachable", sent=False)
LIMITED = answer(429, {"code": "rate_limited"}, retry_after="2")
SUBSCRIBED = answer(201, {"id": "s1", "status": "active"})


def subscribe(scene: Scene, **more: Any) -> Outcome:
    """Subscribe, whatever comes of it."""
    return scene.session.perform("subscribe", customer=CUSTOMER, plan="p", quantity=1, **more)


def keys(scene: Scene) -> set[str | None]:
    """Give the idempotency keys that were sent."""
    return {dict(call.headers).get("Idempotency-Key") for call in scene.calls}


@pytest.mark.parametrize("lost", [RESET, GONE])
def test_a_write_is_sent_again_under_its_key(lost: NoReply) -> None:
    """What never left, or was reset and has a key, is sent again, the same and all on record."""
    scene = Scene(lost, lost, SUBSCRIBED)
    assert subscribe(scene).kind == "ok"
    (record,) = scene.session.records
    assert (len(scene.calls), len(record.exchanges), len(keys(scene))) == (3, 3, 1)


def test_a_write_that_may_be_at_work_is_not_sent_again() -> None:
    """After a timeout the first request may still be under way."""
    scene = Scene(TIMEOUT)
    assert (subscribe(scene).kind, len(scene.calls), scene.waits) == ("unknown", 1, [])


def test_a_write_without_a_key_is_sent_again_only_if_it_never_left() -> None:
    """Where the target takes no key, a reset request may have happened."""
    sections: dict[str, Any] = {"target": {"idempotency_header": None}}
    scene = Scene(RESET, sections=sections)
    assert (subscribe(scene).kind, len(scene.calls)) == ("unknown", 1)
    assert subscribe(Scene(GONE, SUBSCRIBED, sections=sections)).kind == "ok"


def test_what_is_altered_is_sent_once() -> None:
    """What a test changes on its way is sent as often as the test says."""
    scene = Scene(RESET)
    assert (subscribe(scene, alter=lambda call: call).kind, len(scene.calls)) == ("unknown", 1)
    limited = Scene(LIMITED)
    assert (subscribe(limited, alter=lambda call: call).code, limited.waits) == ("rate_limited", [])


def test_after_a_lost_answer_only_a_success_is_believed() -> None:
    """A refusal may come of the very request whose answer was lost, if that had left."""
    taken = answer(409, {"code": "already_subscribed"})
    assert subscribe(Scene(RESET, taken)).kind == "unknown"
    assert subscribe(Scene(GONE, taken)).code == "already_subscribed"


def test_a_target_that_limits_is_waited_for_within_bounds() -> None:
    """A wait that is asked for is kept; one that is too long, or never ends, tells nothing."""
    scene = Scene(LIMITED, SUBSCRIBED)
    assert (subscribe(scene).kind, scene.waits) == ("ok", [2.0])
    for script in (
        [answer(429, None, retry_after="3600")],
        [answer(429, {"code": "rate_limited"})],
        [answer(429, None, retry_after="soon")],
        [LIMITED] * 3,
    ):
        assert "limits the harness" in str(subscribe(Scene(*script)).reason)


def test_where_limits_are_tried_nothing_is_waited_for() -> None:
    """To who tries limits a 429 is an answer."""
    scene = Scene(LIMITED)
    scene.session.patient = False
    assert (subscribe(scene).code, scene.waits) == ("rate_limited", [])


def test_a_customer_whom_the_test_wronged_is_not_judged() -> None:
    """Who is disowned is no customer of the session any more."""
    scene = Scene(MADE)
    scene.session.ok("create_customer", email="a@test.example.com", name="Ada")
    scene.session.disown(scene.session.customers[0])
    assert scene.session.customers == []


def test_an_operation_that_is_not_mapped_is_not_recorded() -> None:
    """What the target does not have was not tried, so the history does not know of it."""
    scene = Scene()
    with pytest.raises(NotMapped):
        scene.session.perform("close_customer", customer=CUSTOMER)
    assert [line["line"] for line in scene.lines] == ["run"]
    assert (scene.session.records, scene.history.records) == ([], ())


def test_an_operation_is_written_before_it_is_sent() -> None:
    """When the process dies while it sends, the history says that something had begun."""
    scene = Scene(RuntimeError("the wire melted"))
    with pytest.raises(RuntimeError, match="melted"):
        scene.session.perform("subscribe", customer=CUSTOMER, plan="p", quantity=1)
    _, begin = scene.lines
    assert (begin["line"], begin["operation"], begin["customer"]) == ("begin", "subscribe", "c9")
    assert begin["inputs"]["plan"] == "p"


@pytest.mark.parametrize(
    ("reply", "raised"),
    [
        (answer(200, {}), None),
        (answer(409, {"code": "already"}), AssertionError),
        (answer(500), Unknown),
        (TIMEOUT, Unknown),
    ],
    ids=["ok", "refused", "500", "timeout"],
)
def test_ok_asserts_success_and_passes_doubt_on(
    reply: Reply | NoReply, raised: type[Exception] | None
) -> None:
    """A refusal fails the test, a doubt makes it unknown, and nothing else."""
    session = Scene(reply).session
    if raised is None:
        assert session.ok("subscribe", customer=CUSTOMER, plan="p").kind == "ok"
        return
    with pytest.raises(raised, match="subscribe") as caught:
        session.ok("subscribe", customer=CUSTOMER, plan="p")
    assert caught.type is raised


@pytest.mark.parametrize(
    ("reply", "code", "raised"),
    [
        (answer(409, {"code": "already"}), None, None),
        (answer(409, {"code": "already"}), "already", None),
        (answer(409, {"code": "already"}), "another", AssertionError),
        (answer(200, {}), None, AssertionError),
        (answer(503), "already", Unknown),
        (TIMEOUT, None, Unknown),
    ],
    ids=["refused", "its-code", "another-code", "ok", "503", "timeout"],
)
def test_refused_asserts_refusal_and_passes_doubt_on(
    reply: Reply | NoReply, code: str | None, raised: type[Exception] | None
) -> None:
    """A success or another code fails the test, a doubt makes it unknown."""
    session = Scene(reply).session
    if raised is None:
        assert session.refused("subscribe", code, customer=CUSTOMER, plan="p").kind == "refused"
        return
    with pytest.raises(raised) as caught:
        session.refused("subscribe", code, customer=CUSTOMER, plan="p")
    assert caught.type is raised


def test_until_reads_on_until_it_holds_or_is_unknown() -> None:
    """What a background job brings is waited for; that it has not come yet is no failure."""
    scene = Scene(*[answer(200, {"units": units}) for units in (0, 0, 5)])
    told = scene.session.until(lambda b: b["units"] == 5, "get_balance", customer=CUSTOMER)
    assert (told["units"], len(scene.waits)) == (5, 2)
    scene = Scene(*[answer(200, {"units": 0})] * 3)
    with pytest.raises(Unknown, match="get_balance"):
        scene.session.until(
            lambda b: b["units"] == 5, "get_balance", customer=CUSTOMER, deadline_s=-1
        )


def test_customers_are_remembered_with_their_credentials() -> None:
    """Whom a test made is known by id, once, and later calls identify themselves as that one."""
    scene = Scene(MADE, MADE, answer(200, {"units": 5}))
    for _ in range(2):
        scene.session.ok("create_customer", email="a@example.com", name="Ada")
    (customer,) = scene.session.customers
    assert customer == Customer("c1", "key-of-a-customer", None, "a@example.com")
    scene.session.ok("get_balance", customer=customer)
    assert scene.calls[2].path == "/v1/c1/balance"
    assert ("X-Acme-Token", "key-of-a-customer") in scene.calls[2].headers
    assert [record.customer for record in scene.session.records] == ["c1", "c1", "c1"]


def test_a_key_is_new_for_each_operation_unless_given() -> None:
    """Operations that a key makes safe get one of their own; reading gets none."""
    scene = Scene(*[answer(200, {})] * 4)
    for _ in range(2):
        scene.session.perform("subscribe", customer=CUSTOMER, plan="p")
    scene.session.perform("subscribe", customer=CUSTOMER, plan="p", idempotency_key="mine")
    scene.session.perform("get_balance", customer=CUSTOMER)
    first, second, third, none = (dict(c.headers).get("Idempotency-Key") for c in scene.calls)
    assert len({first, second, None}) == 3
    assert (third, none) == ("mine", None)


def test_an_input_overrides_the_customers_own() -> None:
    """A test may ask for another's data, or as somebody else."""
    scene = Scene(answer(404))
    scene.session.perform("get_balance", customer=CUSTOMER, credential="stolen")
    assert ("X-Acme-Token", "stolen") in scene.calls[0].headers


@pytest.mark.parametrize(
    "made",
    [MADE, answer(201, {"api_key": "key-of-a-customer"}), answer(500, {"a": "key-of-a-customer"})],
    ids=["understood", "without-id", "failed"],
)
def test_credentials_never_reach_the_history(made: Reply) -> None:
    """Neither a customer's credential nor the header that carries it is written."""
    scene = Scene(made, answer(200, {"echo": "credential-of-nine"}))
    scene.session.perform("create_customer", email="a@example.com", name="Ada")
    scene.session.perform("get_balance", customer=CUSTOMER)
    text = scene.file.getvalue()
    assert "credential-of-nine" not in text
    if made.status == 201:
        assert "key-of-a-customer" not in text
        assert "[secret]" in text
