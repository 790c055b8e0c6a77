"""docs/WEBHOOKS.md is true: its commands run, its numbers are the ones that come out."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import stripe

from simulators.webhooks.commands.life import whole_life
from simulators.webhooks.commands.options import ENV_PREFIX
from simulators.webhooks.commands.parameters import Parameters

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.webhooks.conftest import Ran, Receiver

    Run = Callable[..., Ran]

GUIDE = (Path(__file__).parents[2] / "docs" / "WEBHOOKS.md").read_text(encoding="utf-8")
PROMPTED = re.findall(r"^\$ (.*)$", GUIDE, re.MULTILINE)
PROGRAM = "billing-harness webhooks "
COMMANDS = [line.removeprefix(PROGRAM) for line in PROMPTED if line.startswith(PROGRAM)]
ADDRESS = "http://127.0.0.1:4242/webhooks"


@pytest.mark.parametrize("line", COMMANDS)
def test_every_example_runs(
    run: Run, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    """Each command line of the guide does what it says, at a receiver that verifies."""
    monkeypatch.chdir(tmp_path)
    events = whole_life(Parameters(), 1_700_000_000)
    Path("events.json").write_text(json.dumps(events), encoding="utf-8")
    arguments = [receiver.url if a == ADDRESS else a for a in shlex.split(line, comments=True)]
    if arguments[0] == "listen":
        assert run(*[a.replace("4242", "0") for a in arguments], "--for", 0.01).status == 2
        return
    environment = {f"{ENV_PREFIX}TO": receiver.url, f"{ENV_PREFIX}AMOUNT_CENTS": "2900"}
    ran = run(*arguments, **(environment if arguments[0] == "send-all" else {}))
    assert ran.status == 0, ran.err
    if "--to" in arguments or arguments[0] == "send-all":
        assert receiver.headers
    if arguments[0] == "send-all":
        assert len(receiver.types) == int(re.findall(r"(\d+) events in\s+sequence", GUIDE)[0])


def test_the_guide_has_an_example_of_each_command() -> None:
    """No command is without an example."""
    assert {line.split()[0] for line in COMMANDS} == {
        *("send", "send-all", "replay", "storm", "listen", "events"),
    }


def test_the_worked_header_is_right() -> None:
    """The header of the guide follows from its secret, time and body, and verifies."""
    secret, body = "whsec_example", '{"id": "evt_1", "object": "event"}'
    signed = f"1712000000.{body}"
    digest = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
    assert f"`{body}`" in GUIDE
    assert f"`{signed}`" in GUIDE
    assert f"Stripe-Signature: t=1712000000,v1={digest}`" in GUIDE
    assert f"`{digest}`" in GUIDE
    headers = re.findall(r"t=1712000000[^`]*", GUIDE)
    assert len(headers) == 2
    for header in headers:
        assert stripe.WebhookSignature.verify_header(body, header, secret, tolerance=None)
    assert stripe.WebhookSignature.verify_header(body, headers[1], "whsec_new", tolerance=None)


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
def test_the_shell_line_gives_the_same_digest() -> None:
    """The line for the shell computes what the guide shows."""
    (line,) = [each for each in PROMPTED if "openssl" in each]
    ran = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.split()[-1] in GUIDE


def test_every_documented_variable_is_read() -> None:
    """The table of variables names what `send-all` reads, all of it."""
    table = GUIDE.partition("| variable `BILLING")[2].partition("\n## ")[0]
    documented = {
        name
        for row in table.splitlines()
        for name in re.findall(r"`([A-Z_]+)`", row.split("|")[1:2][0] if "|" in row else "")
    }
    assert documented == {
        *("TO", "CUSTOMER", "SUBSCRIPTION", "AMOUNT_CENTS", "CURRENCY", "QUANTITY"),
        *("PLAN_FROM", "PLAN_TO", "FAILURE_CODE", "NEXT_RETRY", "REASON"),
    }


def test_the_commands_are_light_to_import() -> None:
    """Registering the commands loads no other package than the command line itself has."""
    code = (
        "import sys, harness.cli; before = set(sys.modules); import simulators.webhooks.commands;"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "print(sorted(new - set(sys.stdlib_module_names)))"
    )
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.strip() == "['harness', 'simulators']"
