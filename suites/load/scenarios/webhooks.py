"""Stripe's events at a receiver: unique, truly signed at the moment of sending, some forged.

An event is composed once for each type and customer; what sets it apart from all others is the
token that ends its ids, so an arrival only joins the pieces around a token of its own, and signs
the whole. Nothing is signed ahead: a signature is as old as its delivery, as at Stripe.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from harness import signing
from harness.errors import SettingsError
from harness.target.wire import Call, NoReply
from simulators.webhooks.commands.catalogue import find_kind
from simulators.webhooks.commands.composing import compose
from simulators.webhooks.commands.parameters import Parameters
from simulators.webhooks.events import encode_event
from suites.load.scenarios.base import Base, draw
from suites.load.schedule import Stage

if TYPE_CHECKING:
    from suites.load.generator.client import Client
    from suites.load.ground import LoadGround
    from suites.load.measuring.result import Result
    from suites.load.plan import Plan
    from suites.load.scenarios import Options

EVENTS = (
    "invoice.payment_succeeded",
    "invoice.payment_failed",
    "customer.subscription.updated",
    "customer.subscription.deleted",
)
SECRET = "webhook"
FORGED = "bad_signature"
ACCEPTED = "bad_signatures_accepted"
REFUSED = "bad_signatures_refused"
_STAGES = (Stage(60, 17), Stage(30, 50))
_TAKEN = range(200, 300)
_TURNED_AWAY = range(400, 500)
_CUSTOMERS = 10
_TOKEN_LENGTH = 22
_STEM_LENGTH = _TOKEN_LENGTH - 10


@dataclass(frozen=True, slots=True)
class Template:
    """One event about one customer, in pieces between which a token belongs."""

    kind: str
    pieces: tuple[bytes, ...]

    def body(self, token: bytes) -> bytes:
        """Give the event with ids of its own."""
        return token.join(self.pieces)


class Webhooks(Base):
    """17 events a second for a minute, then 50 for half a minute; every one acknowledged."""

    name = "webhooks"
    help = "Send Stripe's events, unique and truly signed, some forged, to any receiver."
    needs = frozenset({"receive_webhook"})
    users = 20
    objectives = ("latency_ms.p99<200", "errors.ratio<0.001", f"counter:{ACCEPTED}<1")
    extras: ClassVar = {
        "bad_signatures": (0.05, "The share of events with a signature that must be refused.")
    }
    counters = frozenset({ACCEPTED, REFUSED})
    kinds = frozenset({*EVENTS, FORGED})

    def shape(self, options: Options) -> tuple[Stage, ...]:
        """Give the two stages, or one of the rate and duration asked for."""
        (one,) = super().shape(options)
        asked = (options.rate, options.duration_s, options.users)
        return (one,) if options.model == "closed" or any(asked) else _STAGES

    def prepare(self, ground: LoadGround) -> dict[str, Any]:
        """Make customers that the events are about, and say where the receiver is."""
        hooks = ground.target.profile.webhooks
        if hooks is None:
            raise SettingsError(
                "the profile says nothing of webhooks", hint="Give [webhooks] path and secret_env."
            )
        session = ground.session("load/webhooks")
        for _ in range(_CUSTOMERS):
            session.ok("create_customer", email=session.names.email(), name="Load")
        known = [customer.provider_customer for customer in session.customers]
        return {"path": hooks.path, "customers": known}

    def ready(self, plan: Plan) -> None:
        """Compose every event once."""
        super().ready(plan)
        self._share = self.own["bad_signatures"]
        self._path = plan.data.get("path") or _path_of(plan.target["url"])
        whose = plan.data.get("customers") or [None]
        kinds = plan.data.get("events") or EVENTS
        self._templates = [_template(kind, customer) for customer in whose for kind in kinds]
        stem = f"{plan.run_id}{plan.seed:x}".replace("-", "")[:_STEM_LENGTH]
        self._stem = stem.rjust(_STEM_LENGTH, "0").encode()
        self._heads: dict[int, bytes] = {}

    def arrive(self, k: int, client: Client) -> None:
        """Send one event."""
        kind, body = self.event(k)
        if draw(k) >= self._share:
            signed = signing.header(body, client.secrets[SECRET], int(time.time()))
            client.post(self._request(client, body, signed), kind, expect=_TAKEN)
        else:
            self._forge(client, body, k)

    def event(self, k: int) -> tuple[str, bytes]:
        """Give the type and the body of event number `k` of this run."""
        template = self._templates[k % len(self._templates)]
        return template.kind, template.body(b"%s%010d" % (self._stem, k))

    def review(self, ground: LoadGround | None, result: Result) -> list[dict[str, Any]]:  # noqa: ARG002 - the protocol has it
        """Find events that were taken though nobody with the secret had signed them."""
        taken = result.counters.get(ACCEPTED, 0)
        if not taken:
            return []
        what = (
            f"{taken} events with a forged signature were accepted: a stranger could report "
            "payments that never were"
        )
        return [{"what": what, "verdict": "invalid"}]

    def _forge(self, client: Client, body: bytes, k: int) -> None:
        forge = (signing.wrong_secret, signing.only_v0, signing.shifted_timestamp)[k % 3]
        signed = forge(body, client.secrets[SECRET], int(time.time()))
        reply = client.post(self._request(client, body, signed), FORGED, expect=_TURNED_AWAY)
        if isinstance(reply, NoReply):
            return
        if reply.status in _TAKEN:
            client.count(ACCEPTED)
        elif reply.status in _TURNED_AWAY:
            client.count(REFUSED)

    def _request(self, client: Client, body: bytes, signed: str) -> bytes:
        """Write the request out; its head up to the signature is the same for all of a length."""
        head = self._heads.get(len(body))
        if head is None:
            headers = (
                ("Content-Type", "application/json; charset=utf-8"),
                ("User-Agent", "Stripe/1.0 (+https://docs.stripe.com/webhooks)"),
                ("Content-Length", str(len(body))),
            )
            whole = client.connection.write(Call("POST", self._path, headers=headers))
            head = self._heads[len(body)] = whole[:-2] + b"Stripe-Signature: "
        return head + signed.encode() + b"\r\n\r\n" + body


def _path_of(url: str) -> str:
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _template(kind: str, customer: str | None) -> Template:
    (*_, event) = compose(find_kind(kind), Parameters(customer=customer), int(time.time()))
    token = event["id"].removeprefix("evt_")[:_TOKEN_LENGTH]
    return Template(kind, tuple(encode_event(event).split(token.encode())))
