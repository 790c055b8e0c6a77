"""Mutations that somebody chose: mistakes in metrics code that a hurried person makes."""

from __future__ import annotations

FILES = (
    "harness/metrics/telemetry.py",
    "harness/metrics/catalogue.py",
    "simulators/billing/events.py",
    "simulators/billing/operations/gauges.py",
    "simulators/billing/http/telling.py",
    "simulators/billing/worker/loop.py",
)
"""The metrics code: what is told, what it moves, and what is read for a scrape."""
DRAWN_FROM = FILES[:1] + FILES[2:5]
"""Whence mutations are drawn: the catalogue is data, and of the worker's loop little is metrics."""

_NOTING = (
    "        found for row, was in touched.items() for found in _events(session, row, was)\n    ]"
)
_TELLING = """
    for name, fields in session.info[_NOTED]:
        _listener(session).record(name, **fields)"""

CODE: tuple[tuple[str, str, str, str], ...] = (
    ("drop an increment", FILES[1],
     'Effect("billing_usage_fixes_total"),', ""),
    ("count twice", FILES[0],
     "        add(amount * effect.scale, _exemplar(fields))",
     "        for _ in range(2):\n            add(amount * effect.scale, _exemplar(fields))"),
    ("swap two labels", FILES[1],
     '_PAID, _FAILED = ("status", "succeeded"), ("status", "failed")',
     '_FAILED, _PAID = ("status", "succeeded"), ("status", "failed")'),
    ("shift a cent", FILES[3],
     'yield {"plan": plan, "currency": currency}, float(cents)',
     'yield {"plan": plan, "currency": currency}, float(cents) + 1'),
    ("cents for dollars", FILES[1], "_CENT = 0.01", "_CENT = 1.0"),
    ("rename a metric", FILES[1],
     'yield counter("credits_consumed"', 'yield counter("credits_used"'),
    ("no counter begins at 0", FILES[0],
     "            counter.labels(*values)", "            pass"),
    ("no distribution begins at 0", FILES[0],
     "                histogram.labels(*values)", "                pass"),
    ("refunds are not taken off the revenue", FILES[3],
     "recent = query.where(Payment.created_at > since)",
     "recent = query.where(Payment.created_at > since, Payment.amount_minor > 0)"),
    ("the revenue of an hour", FILES[3], "_DAY_S = 86_400", "_DAY_S = 3_600"),
    ("ended subscriptions live on", FILES[3],
     "living = Subscription.ended_at.is_(None), Subscription.stripe_id.is_not(None)",
     "living = (Subscription.stripe_id.is_not(None),)"),
    ("waiting events are no backlog", FILES[3],
     '_OWED = WebhookEvent.state.in_(("pending", "waiting"))',
     '_OWED = WebhookEvent.state.in_(("waiting",))'),
    ("told before the commit, and after", FILES[2],
     _NOTING, _NOTING + _TELLING),
    ("an event that nobody declares", FILES[2],
     'yield "invoice_paid", money', 'yield "invoice_settled", money'),
    ("a segment for all", FILES[2],
     '"customer_segment": "marketplace" if is_marketplace else "self_serve"',
     '"customer_segment": "self_serve"'),
    ("milliseconds for seconds", FILES[4],
     "events.tell(core.database, event, duration_s=time.perf_counter() - started)",
     "events.tell(core.database, event, duration_s=1000 * (time.perf_counter() - started))"),
    ("every answer is a 2xx", FILES[4],
     'status_class=f"{(status or 500) // 100}xx"', 'status_class="2xx"'),
    ("every sign-up succeeds", FILES[4],
     'result = "refused" if problem', 'result = "succeeded" if problem'),
    ("a declined card is told twice", FILES[4],
     '            events.tell(core.database, "payment_processed", **told)',
     '            [events.tell(core.database, "payment_processed", **told) for _ in range(2)]'),
)  # fmt: skip
"""What it is, in which file, what stood there, and what stands there then."""
