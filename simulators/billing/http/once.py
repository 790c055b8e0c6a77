"""Answers a POST once per idempotency key, and every time the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from simulators.billing import idempotency
from simulators.billing.core import Answer
from simulators.billing.http.auth import core_of
from simulators.billing.idempotency import REPLAYED_HEADER
from simulators.billing.problems import Problem, Rejection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pydantic import BaseModel
    from starlette.requests import Request
    from starlette.responses import Response

    from simulators.billing.idempotency import Slot

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


async def answer_once(
    request: Request,
    owner: str | None,
    body: BaseModel | None,
    operation: Callable[[Slot], Awaitable[Answer]],
    *,
    is_secret: bool = False,
) -> Response:
    """Run `operation`, or replay what it answered to the same key before."""
    core = core_of(request)
    keyed = asked(request, owner, body, is_secret=is_secret)
    if keyed is None:
        return respond(await operation(idempotency.unkeyed_slot(core)))
    slot = await run_in_threadpool(idempotency.open_slot, core, keyed)
    if isinstance(slot, Answer):
        return respond(slot, is_replayed=True)
    try:
        return respond(await operation(slot))
    except Problem as problem:
        if problem.is_replayed:
            await run_in_threadpool(slot.keep_refusal, problem)
        raise
    finally:
        await run_in_threadpool(slot.release)


def asked(
    request: Request, owner: str | None, body: BaseModel | None, *, is_secret: bool
) -> idempotency.Request | None:
    """Give what a request is to its idempotency key; None if it has none."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise Rejection(
            422, "invalid_query", "Idempotency-Key has 1 to 255 visible ASCII characters."
        )
    content = body.model_dump_json().encode() if body is not None else b""
    path = request.url.path.rstrip("/")
    return idempotency.Request(owner, request.method, path, key, content, is_secret=is_secret)


def respond(answer: Answer, *, is_replayed: bool = False) -> Response:
    """Make the response for an answer."""
    headers = {REPLAYED_HEADER: "true"} if is_replayed else None
    return JSONResponse(answer.body, answer.status, headers)
