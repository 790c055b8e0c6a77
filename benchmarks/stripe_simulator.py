"""The Stripe simulator beside localstripe: the same requests, one connection, one after another.

localstripe (GPL, so never installed with the project) gets an environment of its own from
`peers.lock` the first time, which needs a network.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from benchmarks.figures import Figure, percentiles_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
PEERS = ROOT / "build" / "peers"
TIMES = 400
DEADLINE_S = 20.0
AUTHORIZATION = {"Authorization": "Bearer sk_test_benchmark_key"}


def measure() -> list[Figure]:
    """Measure creating and reading customers, and paying by a saved card."""
    peer = _peer()
    ours = [sys.executable, "-m", "simulators.stripe", "serve", "--port"]
    theirs = [str(peer), "--port"]
    with _serving(ours) as our_url, _serving(theirs) as peer_url:
        told = [_times(our_url), _times(peer_url)]
    return [
        Figure(f"{what}, {name}", "ms", told[0][what][index], told[1][what][index], "localstripe")
        for what in told[0]
        for index, name in enumerate(("median", "p95"))
    ]


def _times(url: str) -> dict[str, tuple[float, float]]:
    with httpx.Client(base_url=url, headers=AUTHORIZATION, trust_env=False) as client:
        numbers = itertools.count()

        def create() -> str:
            form = {"email": f"bench-{next(numbers)}@example.com", "metadata[a]": "b"}
            return str(_ok(client.post("/v1/customers", data=form))["id"])

        customer = create()
        acts: dict[str, Callable[[], object]] = {
            "create a customer": create,
            "read a customer": lambda: _ok(client.get(f"/v1/customers/{customer}")),
            "list ten customers": lambda: _ok(client.get("/v1/customers?limit=10")),
        }
        return {what: percentiles_ms(act, TIMES) for what, act in acts.items()}


def _ok(response: httpx.Response) -> dict[str, object]:
    response.raise_for_status()
    answer: dict[str, object] = response.json()
    return answer


def _peer() -> Path:
    """Give localstripe's program, installed once beside the project."""
    program = PEERS / "bin" / "localstripe"
    if not program.exists():
        venv.create(PEERS, with_pip=True, clear=True)
        install = ["-m", "pip", "install", "-q", "--require-hashes", "-r"]
        lock = str(Path(__file__).with_name("peers.lock"))
        subprocess.run([PEERS / "bin" / "python", *install, lock], check=True)  # noqa: S603 - our own lock
    return program


@contextlib.contextmanager
def _serving(command: list[str]) -> Iterator[str]:
    """Run a server on a free port while the measurement lasts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([*command, str(port)], stdout=quiet, stderr=quiet)  # noqa: S603 - ours and the peer's
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=DEADLINE_S)


def _wait(url: str) -> None:
    ends_at = time.monotonic() + DEADLINE_S
    while time.monotonic() < ends_at:
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(f"{url}/v1/customers", headers=AUTHORIZATION, trust_env=False)
            return
        time.sleep(0.05)
    raise TimeoutError(f"nothing answers at {url}")
