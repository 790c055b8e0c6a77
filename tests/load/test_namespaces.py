"""Workers of three machines, as near as one machine comes: three network namespaces (nightly)."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from suites.load.parent.launcher import Spread, launch
from suites.load.schedule import Stage
from tests.load.process import DEADLINE_S, freezing_server, plan_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BRIDGE = "bhload0"
HERE = "10.213.77.1"
_WORK = (
    "import sys; from pathlib import Path; from suites.load.parent.launcher import work; "
    "sys.exit(work(sys.argv[1], int(sys.argv[2]), folder=Path(sys.argv[3])))"
)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def machines() -> Iterator[list[str]]:
    """Give three network namespaces on one bridge; skip where they cannot be had."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("network namespaces need Linux, iproute2 and root")
    with contextlib.ExitStack() as undo:
        try:
            yield [_machine(undo, number) for number in range(_bridge(undo), 4)]
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces cannot be had: {error.stderr.decode().strip()}")


def _bridge(undo: contextlib.ExitStack) -> int:
    _ip("link", "add", BRIDGE, "type", "bridge")
    undo.callback(_ip, "link", "del", BRIDGE)
    _ip("addr", "add", f"{HERE}/24", "dev", BRIDGE)
    _ip("link", "set", BRIDGE, "up")
    return 1


def _machine(undo: contextlib.ExitStack, number: int) -> str:
    name, cable = f"{BRIDGE}-{number}", f"{BRIDGE}v{number}"
    _ip("netns", "add", name)
    undo.callback(_ip, "netns", "del", name)
    _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name)
    _ip("link", "set", cable, "master", BRIDGE, "up")
    _ip("-n", name, "addr", "add", f"10.213.77.{number + 1}/24", "dev", "eth0")
    _ip("-n", name, "link", "set", "eth0", "up")
    return name


@pytest.mark.nightly
def test_workers_of_three_machines_share_one_schedule(tmp_path: Path, machines: list[str]) -> None:
    """Every arrival reaches the server once, and a freeze shows as it does from one machine."""
    with socket.socket() as free:
        free.bind((HERE, 0))
        port = free.getsockname()[1]
    with freezing_server(tmp_path, every_s=4, freeze_s=1, host=HERE) as server:
        plan = plan_of(tmp_path, server.url, Stage(8, 50), connections=21)
        spread = Spread(master=True, expect_workers=3, bind_host=HERE, bind_port=port)
        load = launch(plan, spread)
        command = [sys.executable, "-c", _WORK, HERE, str(port), str(tmp_path)]
        workers = [subprocess.Popen(["ip", "netns", "exec", name, *command]) for name in machines]
        try:
            assert load.wait(DEADLINE_S), "the load did not end"
            result = load.finish()
        finally:
            load.kill()
            for worker in workers:
                worker.terminate()
            ended = [worker.wait(30) for worker in workers]
    assert [told["state"] for told in result.workers] == ["done"] * 3
    assert (result.scheduled, result.sent, result.completed) == (400, 400, 400)
    assert sorted(server.requests) == list(range(400))
    assert server.repeated == []
    frozen = [
        (ended_at - due) * 1000
        for due in (result.started_monotonic + k / 50 for k in range(400))
        for began, ended_at in server.freezes
        if began <= due < ended_at
    ]
    assert result.latency_ms["max"] >= max(frozen) * 0.999
    assert ended == [0, 0, 0]
