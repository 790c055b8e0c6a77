"""A stack that keeps running, for a person and for a program."""

from __future__ import annotations

import json
import os
import signal
import socket
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from harness.target.load import find_target
from tests.stack.processes import eventually, linux_only, marked

if TYPE_CHECKING:
    from tests.cli.command import Command, Running

pytestmark = linux_only
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def status_of(url: str) -> int:
    """Ask for an address; give the status of whatever answers."""
    try:
        with direct.open(url, timeout=20) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def addresses(running: Running) -> dict[str, str]:
    """Wait for the line of JSON, and read it."""
    assert eventually(lambda: "\n" in running.printed or running.ended, 60), running.said
    found: dict[str, str] = json.loads(running.printed)
    return found


def events_sent(found: dict[str, str]) -> list[str]:
    """Ask the provider which types of event it sends to the service."""
    asked = urllib.request.Request(  # noqa: S310 - an address of the stack's own
        f"{found['stripe_url']}/v1/webhook_endpoints",
        headers={"Authorization": f"Bearer {found['stripe_api_key']}"},
    )
    with direct.open(asked, timeout=20) as reply:
        (endpoint,) = json.load(reply)["data"]
    events: list[str] = endpoint["enabled_events"]
    return events


def test_a_program_gets_one_line_of_json(command: Command) -> None:
    """The line holds every address, each answers, and Ctrl-C ends it with 0 and leaves nothing.

    The service gets the events that its profile names, and no others.
    """
    with command.start("up", "--json") as running:
        found = addresses(running)
        assert found["webhook_secret"].startswith("whsec_")
        assert status_of(found["api_docs_url"]) == 200
        assert status_of(f"{found['billing_url']}/ready") == 200
        assert status_of(f"{found['stripe_url']}/v1/customers") == 401
        assert status_of(found["webhook_url"]) == 405
        profile = find_target("reference").file.profile
        assert profile.webhooks is not None
        assert sorted(events_sent(found)) == sorted(profile.webhooks.events) != ["*"]
        running.interrupt()
        finished = running.finish()
    assert finished.status == 0, finished
    assert finished.out.count("\n") == 1
    assert "Traceback" not in finished.err
    assert command.nothing_left()


@pytest.mark.nightly
def test_a_person_gets_a_table_and_a_word_how_to_stop(command: Command) -> None:
    """Every address and key stands on a line of its own; SIGTERM ends it as Ctrl-C does."""
    with command.start("up", "--seed", "7") as running:
        assert eventually(lambda: "Ctrl-C stops it" in running.printed or running.ended, 60)
        running.popen.terminate()
        finished = running.finish()
    assert finished.status == 0, finished
    for name in ("billing API", "operator key", "Stripe simulator", "webhook secret", "seed"):
        assert f"\n{name} " in f"\n{finished.out}"


@pytest.mark.nightly
def test_a_part_that_dies_is_told(command: Command) -> None:
    """When the service is killed, the rest is stopped and the reason is told with its log."""
    with command.start("up", "--json") as running:
        addresses(running)
        leash = min(marked(command.mark, "simulators.billing", "serve", "harness/stack/leash"))
        os.kill(leash, signal.SIGKILL)
        finished = running.finish()
    finished.refused("billing-1 ended with status 137", "the end of its log")


@pytest.mark.parametrize("option", ["--port", "--stripe-port"])
def test_a_port_that_is_taken_is_named(command: Command, option: str) -> None:
    """A port that somebody else serves is told, with what to do about it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        finished = command.run("up", "--json", option, port)
    finished.refused(f"port {port} for", "choose another port")
    assert finished.out == ""
