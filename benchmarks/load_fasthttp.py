"""Plain Locust's side of benchmarks/load.py: a FastHttpUser that posts what it is given, in turn.

Run by Locust. It writes how many requests were answered, and the processor's time that they took.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from pathlib import Path
from typing import Any

from locust import FastHttpUser, events, task

GIVEN = json.loads(Path(os.environ["GIVEN"]).read_text(encoding="utf-8"))
NEXT = itertools.cycle(GIVEN)
USED = {"cpu_s": 0.0}


class Poster(FastHttpUser):
    """Posts as fast as it is answered."""

    host = os.environ["URL"]

    @task
    def post(self) -> None:
        """Post the next event."""
        one = next(NEXT)
        headers = {"Content-Type": "application/json", "Stripe-Signature": one["signed"]}
        self.client.post("", data=one["body"].encode(), headers=headers, name="post")


def _began(**_: Any) -> None:
    USED["cpu_s"] = time.process_time()


def _ended(environment: Any, **_: Any) -> None:
    total = environment.stats.total
    told = {
        "completed": total.num_requests,
        "failed": total.num_failures,
        "cpu_s": time.process_time() - USED["cpu_s"],
        "duration_s": total.last_request_timestamp - total.start_time,
    }
    Path(os.environ["TOLD"]).write_text(json.dumps(told), encoding="utf-8")


_events: Any = events
_events.test_start.add_listener(_began)
_events.test_stop.add_listener(_ended)
