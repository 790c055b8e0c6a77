"""What a reply means: outputs by name, or a refusal, or a doubt with its reason."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import jmespath
from jmespath.exceptions import JMESPathError

from harness.money import NotMoney, to_minor
from harness.target.protocol import Outcome, refused, unknown
from harness.target.wire import NoReply, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping as TableOf

    from harness.operations import Operation
    from harness.target.profile import Catalog, Items, Mapping, Profile, Refusal

_SHOWN_BYTES = 160
_MOMENTS = frozenset({"at", "cancel_at", "ends_at", "expires_at", "period_end"})


class Mismatch(ValueError):
    """A reply that does not fit the profile; the message says what was expected and what came."""


def interpret(
    operation: Operation, mapping: Mapping, profile: Profile, reply: Reply | NoReply
) -> Outcome:
    """Say what a reply to an operation means.

    No reply, an unlisted 5xx or 3xx, and a success that cannot be understood are all *unknown*:
    the operation may have happened.
    """
    if isinstance(reply, NoReply):
        return unknown(f"no reply: {reply.reason}" + (f" ({reply.detail})" if reply.detail else ""))
    code = _refusal_code(mapping, profile, reply)
    if code is not None:
        return refused(code, f"HTTP {reply.status}")
    if not _is_success(mapping, reply.status):
        return unknown(f"HTTP {reply.status}, which the profile does not declare a refusal")
    try:
        outputs = outputs_of(operation, mapping, profile.catalog, reply)
    except Mismatch as mismatch:
        # What is not understood may still hold a secret, which has to be known to be kept.
        return replace(unknown(str(mismatch)), outputs=_credential(mapping, reply))
    return Outcome("accepted" if _is_accepted(mapping, reply.status) else "ok", outputs)


def _credential(mapping: Mapping, reply: Reply) -> dict[str, Any]:
    source = mapping.reply.get("credential")
    value = _found(source, _body_or_none(reply), reply) if source else None
    return {"credential": value} if isinstance(value, str) else {}


def _is_accepted(mapping: Mapping, status: int) -> bool:
    return status in (mapping.accepted or ([202] if mapping.settle else []))


def _is_success(mapping: Mapping, status: int) -> bool:
    return _is_accepted(mapping, status) or (
        status in mapping.ok if mapping.ok else 200 <= status < 300  # noqa: PLR2004 - RFC 9110
    )


def _refusal_code(mapping: Mapping, profile: Profile, reply: Reply) -> str | None:
    """Give the harness's code where a reply is a refusal; a 5xx needs status *and* condition."""
    body = _body_or_none(reply)
    own = search(profile.target.refusal_code, body)
    for refusal in mapping.refused:
        if _matches(refusal, reply.status, body, own):
            return refusal.code
    if 400 <= reply.status < 500 and reply.status not in mapping.ok:  # noqa: PLR2004 - RFC 9110
        return own if isinstance(own, str) and own else f"http_{reply.status}"
    return None


def _matches(refusal: Refusal, status: int, body: object, own_code: object) -> bool:
    if refusal.status is not None and refusal.status != status:
        return False
    said = search(refusal.body, body) is True if refusal.body else own_code == refusal.code
    if status >= 500:  # noqa: PLR2004 - RFC 9110
        return refusal.status is not None and said
    return said if refusal.body else refusal.status is not None


def outputs_of(
    operation: Operation, mapping: Mapping, catalog: Catalog, reply: Reply
) -> dict[str, Any]:
    """Take an operation's outputs from a reply. Raises `Mismatch`."""
    body = (
        body_of(reply) if any(not s.startswith("header:") for s in mapping.reply.values()) else {}
    )
    outputs = _outputs(mapping.reply, mapping.values, catalog, body, reply)
    for output in operation.outputs:
        if output not in operation.optional_outputs and outputs.get(output) in (None, ""):
            source = mapping.reply.get(output)
            raise Mismatch(f"expected {output!r} at {source!r}, received {shown(reply)}")
    return outputs


def items_of(items: Items, catalog: Catalog, reply: Reply) -> list[dict[str, Any]]:
    """Take one page of a list. Raises `Mismatch`."""
    body = body_of(reply)
    found = search(items.path, body)
    if not isinstance(found, list):
        raise Mismatch(f"expected a list at {items.path!r}, received {shown(reply)}")
    return [_outputs(items.reply, items.values, catalog, entry, reply) for entry in found]


def _outputs(
    sources: TableOf[str, str],
    values: TableOf[str, TableOf[str, str]],
    catalog: Catalog,
    body: object,
    reply: Reply,
) -> dict[str, Any]:
    found = {output: _found(source, body, reply) for output, source in sources.items()}
    for output, value in found.items():
        if isinstance(value, str):
            found[output] = values.get(output, {}).get(value, value)
    code = found.get("currency", search("currency", body) if isinstance(body, dict) else None)
    currency = code.lower() if isinstance(code, str) else catalog.currency
    for output, value in found.items():
        if output.endswith("_minor") and value is not None:
            found[output] = _money(output, value, catalog, currency)
        elif output in _MOMENTS and isinstance(value, str):
            found[output] = _moment(value)
    if isinstance(found.get("currency"), str):
        found["currency"] = currency  # ISO 4217 writes capitals, Stripe small letters
    return found


def _money(output: str, value: object, catalog: Catalog, currency: str) -> int:
    try:
        return to_minor(value, catalog.money, currency)
    except NotMoney as error:
        raise Mismatch(f"expected {output!r} as {catalog.money}, but {error}") from None


def _moment(text: str) -> int | str:
    """Read a moment of RFC 3339 as Unix seconds; what has no zone is left as it is.

    >>> _moment("2026-01-31T12:00:00Z"), _moment("2026-01-31 12:00")
    (1769860800, '2026-01-31 12:00')
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return text if moment.tzinfo is None else int(moment.timestamp())


def _found(source: str, body: object, reply: Reply) -> Any:
    return _from_header(source, reply) if source.startswith("header:") else search(source, body)


def _from_header(source: str, reply: Reply) -> str | None:
    name, _, pattern = source.removeprefix("header:").partition("|")
    value = reply.header(name.strip())
    if value is None or not pattern.strip():
        return value
    found = re.search(pattern.strip()[1:-1], value)
    return found[1] if found else None


def search(expression: str | None, body: object) -> Any:
    """Evaluate a JMESPath expression; what it cannot be asked of gives None."""
    if expression is None:
        return None
    try:
        return jmespath.search(expression, body)
    except JMESPathError:
        return None


def body_of(reply: Reply) -> Any:
    """Parse a reply's JSON. Raises `Mismatch` where it is something else."""
    try:
        return reply.json()
    except ValueError:
        kind = reply.header("content-type") or "no content type"
        raise Mismatch(f"expected JSON, received {kind}: {shown(reply)}") from None


def _body_or_none(reply: Reply) -> Any:
    try:
        return reply.json()
    except ValueError:
        return None


def shown(reply: Reply) -> str:
    """Quote the beginning of a reply for a message."""
    text = reply.body[:_SHOWN_BYTES].decode("utf-8", "backslashreplace")
    more = "…" if len(reply.body) > _SHOWN_BYTES else ""
    return f"HTTP {reply.status} {text}{more}"
