"""A service whose processes are killed and replaced, a mixed load on it, and the audit after."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx

from harness.deadline import authorities
from tests.billing.running import Service, listening, migrate, service_environment

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.billing.running import Simulator

_DEADLINE_S = 60.0
_PATIENCE_PASSED_S = 120


class Herd:
    """Serving processes, forked from a warm one onto one socket; any may be killed at any time."""

    def __init__(self, folder: Path, sock: socket.socket, env: Mapping[str, str]) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        fd = sock.fileno()
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "tests.billing.zygote", str(fd), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **env},
            pass_fds=(fd,),
            text=True,
            bufsize=1,
        )
        # By a descriptor of the process: its number may be a stranger's once it has died.
        self._living: dict[int, int] = {}

    @property
    def alive(self) -> list[int]:
        """Give the process ids of those that live."""
        for pid, descriptor in list(self._living.items()):
            if select.select([descriptor], [], [], 0)[0]:
                os.close(self._living.pop(pid))
        return list(self._living)

    def spawn(self) -> int:
        """Start one more process; return once it serves."""
        stdin, stdout = self._zygote.stdin, self._zygote.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write("fork\n")
        pid = int(stdout.readline())
        self._living[pid] = os.pidfd_open(pid)
        log = self._folder / f"serving-{next(self._numbers)}.log"
        deadline = time.monotonic() + _DEADLINE_S
        while not (log.exists() and '"ready": true' in log.read_text()):
            assert pid in self.alive, f"died at its start:\n{log.read_text()[-3000:]}"
            assert time.monotonic() < deadline, f"never ready:\n{log.read_text()[-3000:]}"
            time.sleep(0.005)
        return pid

    def kill(self, pid: int) -> None:
        """Kill one, if it still lives; return once it is dead."""
        if (descriptor := self._living.get(pid)) is None:
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        select.select([descriptor], [], [], _DEADLINE_S)

    def close(self) -> None:
        """End them all."""
        for pid in self.alive:
            self.kill(pid)
        self._zygote.communicate(timeout=_DEADLINE_S)


@contextmanager
def crashing_service(
    folder: Path, simulator: Simulator, database_url: str | None = None, **settings: str
) -> Iterator[tuple[Service, Herd]]:
    """Run a service on a herd of processes, of which there are none yet."""
    with listening() as (sock, url):
        endpoint = simulator.official().v1.webhook_endpoints.create(
            {"url": f"{url}/api/webhooks/stripe", "enabled_events": ["*"]}
        )
        env = service_environment(folder, simulator.url, database_url) | {
            "BILLING_STRIPE_WEBHOOK_SECRETS": str(endpoint.secret),
            "BILLING_FAILPOINT_FOLDER": str(folder),
            "BILLING_LIMIT_REQUESTS": "100000",
            "BILLING_LIMIT_FAILED_AUTHENTICATIONS": "100000",
            # A pass when the tests say so, and at each start.
            "BILLING_RECONCILE_EVERY_S": "86400",
            **{f"BILLING_{name.upper()}": value for name, value in settings.items()},
        }
        if database_url is None:
            migrate(folder, env)
        herd = Herd(folder, sock, env)
        try:
            yield Service(url, folder, env, simulator), herd
        finally:
            herd.close()
            simulator.official().v1.webhook_endpoints.delete(endpoint.id)


@dataclass
class Customer:
    """A customer of the load, and the answers that were given for fixes."""

    id: str
    stripe_id: str
    key: str
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


class Load:
    """Clients that sign up, add cards, subscribe, cancel and track fixes, and often ask again."""

    def __init__(self, service: Service, seed: int) -> None:
        self._service = service
        self._seed = seed
        self._stop = threading.Event()
        self._failures: list[BaseException] = []
        self.customers: list[Customer] = []

    @contextmanager
    def running(self, clients: int) -> Iterator[None]:
        """Run so many clients while the block lasts."""
        threads = [threading.Thread(target=self._client, args=(n,)) for n in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(60)
        assert not self._failures, self._failures

    def _client(self, number: int) -> None:
        choices = random.Random(f"{self._seed}/{number}")  # noqa: S311  # repeatable by its seed
        try:
            with httpx.Client(
                base_url=self._service.url, timeout=15, trust_env=False, verify=authorities()
            ) as http:
                for turn in itertools.count():
                    if self._stop.is_set():
                        return
                    with contextlib.suppress(httpx.TransportError):
                        self._live(http, choices, f"{self._seed}-{number}-{turn}")
        except BaseException as error:  # noqa: BLE001  # told in the test's own thread
            self._failures.append(error)

    def _live(self, http: httpx.Client, choices: random.Random, name: str) -> None:
        """Do a few things as one customer; a lost answer ends the story or is asked for again."""
        body = {"email": f"load-{name}@example.com"}
        made = self._ask(http, choices, "POST", "/api/v1/customers/onboard", body, key=f"on-{name}")
        if made is None or made.status_code != 201:
            return
        told = made.json()
        customer = Customer(told["customer_id"], told["stripe_customer_id"], told["api_key"])
        self.customers.append(customer)
        path = f"/api/v1/customers/{customer.id}"
        http.headers["X-API-Key"] = customer.key
        card = {"payment_method": "pm_card_visa", "billing_consent": True}
        ask = partial(self._ask, http, choices)
        ask("POST", f"{path}/payment-methods", card, key=f"card-{name}")
        if choices.random() < 0.5:
            ask("POST", f"{path}/subscription", {"plan": "pro"}, key=f"sub-{name}")
            if choices.random() < 0.5:
                ask("DELETE", f"{path}/subscription")
        for number in range(choices.randrange(8, 18)):
            if self._stop.is_set():
                return
            self._fix(http, choices, customer, f"fix-{number}")

    def _fix(
        self, http: httpx.Client, choices: random.Random, customer: Customer, fix_id: str
    ) -> None:
        customer.asked.append(fix_id)
        body = {"fix_id": fix_id}
        reply = self._ask(http, choices, "POST", "/api/v1/billing/track_fix", body)
        if reply is not None and reply.status_code == 200:
            customer.answers[fix_id] = reply.json()

    def _ask(
        self,
        http: httpx.Client,
        choices: random.Random,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = None,
    ) -> httpx.Response | None:
        """Send a request; where its answer is lost or unsettled, three times in four ask again."""
        headers = {"Idempotency-Key": key} if key else {}
        while True:
            try:
                reply = http.request(method, path, json=body, headers=headers)
            except httpx.TransportError:
                reply = None
            if reply is not None and reply.status_code not in {409, 500, 503}:
                return reply
            if choices.random() < 0.25 or self._stop.is_set():
                return reply


def settle(service: Service) -> dict[str, Any]:
    """Let every lease run out and everything be settled; give the last pass's report."""
    service.simulator.settle()
    with service.controls as controls:
        now = controls.get("/test/clock").json()["now"]
        controls.post("/test/clock", json={"to": now + _PATIENCE_PASSED_S}).raise_for_status()
        report: dict[str, Any] = controls.post("/test/reconcile").raise_for_status().json()
        drained = controls.post("/test/drain", json={"deadline_s": 50}).json()
        assert drained == {"settled": True, "pending": 0}, drained
        report = controls.post("/test/reconcile").raise_for_status().json()
    assert report["findings"] == [], report
    assert report["failed_steps"] == [], report
    return report
