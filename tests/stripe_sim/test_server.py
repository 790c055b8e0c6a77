"""The process: its ready line, its sockets, its end."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.stripe_sim.conftest import DEADLINE_S, TLS

COMMAND = [sys.executable, "-m", "simulators.stripe"]


@contextmanager
def served(*arguments: str, **options: Any) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a server and yield it with its address; it is gone afterwards."""
    process = subprocess.Popen(
        [*COMMAND, "serve", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        assert select.select([process.stdout], [], [], DEADLINE_S)[0], (
            "it never said that it was ready"
        )
        ready = json.loads(process.stdout.readline())
        assert ready["ready"] is True
        yield process, ready["url"]
    finally:
        process.kill()
        process.communicate(timeout=DEADLINE_S)


def client_of(url: str) -> httpx.Client:
    """Return a client that waits for a busy machine."""
    return httpx.Client(base_url=url, auth=("sk_test_1", ""), timeout=DEADLINE_S, verify=TLS)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_status_0(number: signal.Signals) -> None:
    """It ends promptly, also with an open connection and a delivery under way."""
    hanging = socket.create_server(("127.0.0.1", 0))
    with (
        served("--port", "0", "--delivery-timeout", "600") as (process, url),
        client_of(url) as client,
    ):
        hook = f"http://127.0.0.1:{hanging.getsockname()[1]}/"
        client.post("/v1/webhook_endpoints", data={"url": hook, "enabled_events[]": "*"})
        client.post("/v1/customers").raise_for_status()
        process.send_signal(number)
        assert process.wait(DEADLINE_S) == 0
    hanging.close()


def test_an_inherited_socket_is_served() -> None:
    """With ``--fd`` it serves the socket that its parent has reserved."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd, port = listener.fileno(), listener.getsockname()[1]
        with served("--fd", str(fd), pass_fds=[fd]) as (_, url):
            assert url == f"http://127.0.0.1:{port}"
            with client_of(url) as client:
                assert client.get("/simulator/ready").json() == {"ready": True}


def test_a_seed_repeats_ids() -> None:
    """Two servers of one seed make the same ids; time runs on unless it stands still."""
    made = []
    for clock in ("still", "running"):
        with served("--port", "0", "--seed", "7", "--clock", clock) as (_, url):
            with client_of(url) as client:
                made.append(client.post("/v1/customers").json()["id"])
                running = client.get("/simulator/clock").json()["running"]
            assert running is (clock == "running")
    assert made[0] == made[1]


def test_a_taken_port_is_one_sentence_and_status_2() -> None:
    """A port in use, and a descriptor that is no listening socket, are told plainly."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        taken = subprocess.run(
            [*COMMAND, "serve", "--port", port], capture_output=True, check=False
        )
    assert taken.returncode == 2
    assert taken.stdout == b""
    assert f"127.0.0.1:{port}" in taken.stderr.decode()
    assert "Traceback" not in taken.stderr.decode()
    read, write = os.pipe()
    wrong = subprocess.run(
        [*COMMAND, "serve", "--fd", str(read)], capture_output=True, check=False, pass_fds=[read]
    )
    os.close(read)
    os.close(write)
    assert wrong.returncode == 2
    assert b"Traceback" not in wrong.stderr


def test_help_teaches() -> None:
    """``--help`` shows examples."""
    shown = subprocess.run(
        [*COMMAND, "serve", "--help"], capture_output=True, check=True, text=True
    )
    assert "simulator/journal" in shown.stdout
