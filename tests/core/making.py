"""What the tests of the core stand on: small profiles, scripted replies, a socketless driver."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any, cast

from harness.target.profile import Profile
from harness.target.wire import Call, NoReply, Reply, Wait

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.target.protocol import Outcome, Performance

SUBSCRIBE = {
    "request": "POST /v1/customers/{customer}/subscriptions",
    "body": {"plan": "{plan}", "quantity": "{quantity}"},
    "reply": {"subscription": "id", "status": "status"},
}
CREATE = {
    "as": "anonymous",
    "request": "POST /v1/customers",
    "body": {"email": "{email}", "name": "{name}"},
    "reply": {"customer": "id", "credential": "api_key"},
}
TIMEOUT = NoReply("timeout", sent=True)


def profile(operations: Mapping[str, Any] | None = None, **sections: Mapping[str, Any]) -> Profile:
    """Give a profile of these operations; `sections` add to the smallest one there can be."""
    data: dict[str, Any] = {
        "target": {"name": "small", "base_url": "http://target.test", "environment": "test"},
        "catalog": {"currency": "usd"},
        "operations": operations or {},
    }
    for name, section in sections.items():
        data[name] = {**data.get(name, {}), **section}
    return Profile.model_validate(data)


def answer(status: int = 200, body: object = None, **headers: str) -> Reply:
    """Give a reply of JSON; `content_type="…"` becomes the header Content-Type."""
    content = b"" if body is None else json.dumps(body).encode()
    named = {"Content-Type": "application/json"} | {
        name.replace("_", "-").title(): value for name, value in headers.items()
    }
    return Reply(status, tuple(named.items()), content)


def drive(
    performance: Performance, *replies: Reply | NoReply
) -> tuple[Outcome, list[Call], list[Wait]]:
    """Run an operation against a script, whose last reply is given for ever."""
    calls: list[Call] = []
    waits: list[Wait] = []
    script = itertools.chain(replies, itertools.repeat(replies[-1]))
    handed: Reply | NoReply | None = None
    while True:
        try:
            step = performance.send(handed)
        except StopIteration as end:
            return cast("Outcome", end.value), calls, waits
        if isinstance(step, Wait):
            waits.append(step)
            handed = None
        else:
            calls.append(step)
            handed = next(script)
