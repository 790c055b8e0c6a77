"""The doctor tells what works, and for what does not: sent, expected, received and why."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cli.command import REFERENCE, SECRET
from tests.cli.targets import serving
from tests.stack.processes import linux_only

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.command import Command

pytestmark = linux_only


def variation(folder: Path, right: str, wrong: str) -> Path:
    """Write the reference's profile with one thing changed."""
    text = REFERENCE.read_text("utf-8")
    assert text.count(right) == 1, right
    profile = folder / "variation.toml"
    profile.write_text(text.replace(right, wrong), "utf-8")
    return profile


def test_the_reference_fits_its_profile(command: Command) -> None:
    """On the reference all that is tried works, and that is enough for a verdict."""
    finished = command.run("doctor", "--json")
    assert finished.status == 0, finished
    facts = json.loads(finished.out)
    assert facts["core"] is True
    states = {entry["operation"]: entry["state"] for entry in facts["operations"]}
    assert set(states.values()) <= {"works", "not tried", "missing"}
    assert {"create_customer", "record_usage", "subscribe", "get_balance"} <= {
        name for name, state in states.items() if state == "works"
    }
    assert SECRET.search(finished.out + finished.err) is None


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        (
            'items = { path = "data", reply = { payment_method = "payment_method_id" } }',
            'items = { path = "cards", reply = { payment_method = "payment_method_id" } }',
            ["list_payment_methods: unknown (expected a list at 'cards', received HTTP 200"],
        ),
        (
            'request = "GET /api/v1/customers/{customer}/subscription"',
            'request = "GET /api/v1/customers/{customer}/abo"',
            ["get_subscription: refused (not_found)", "received  HTTP 404"],
        ),
    ],
    ids=["mismatch", "refused"],
)
def test_a_wrong_endpoint_is_explained(
    command: Command, right: str, wrong: str, words: list[str]
) -> None:
    """For one that does not fit: what was sent, expected and received, and why it does not fit."""
    finished = command.run("doctor", "--target", variation(command.folder, right, wrong))
    assert finished.status == 2, finished
    for word in (*words, "\n  sent      ", "\n  expected  HTTP 2xx with ", "\n  received  HTTP "):
        assert word in finished.out
    assert "Traceback" not in finished.err
    assert SECRET.search(finished.out + finished.err) is None


@pytest.mark.nightly
def test_a_mapped_output_that_stays_empty_is_pointed_at(command: Command) -> None:
    """An operation works without its optional output, but whoever mapped it is told."""
    profile = variation(command.folder, 'units = "credit_balance"', 'units = "credits"')
    finished = command.run("doctor", "--json", "--target", profile)
    assert finished.status == 0, finished
    told = {entry["operation"]: entry for entry in json.loads(finished.out)["operations"]}
    assert told["get_balance"]["state"] == "works"
    assert "units at 'credits'" in told["get_balance"]["why"]


def test_what_cannot_be_examined_is_told_to_machines_too(command: Command) -> None:
    """With `--json` the reason stands on standard output, and for people on standard error."""
    with serving("hang") as odd:
        profile = odd.profile(command.folder)
        env = {"ODD_KEY": "key-of-the-operator"}
        finished = command.run("doctor", "--json", "--target", profile, env=env)
    finished.refused("no answer came within 1 s")
    assert json.loads(finished.out)["error"]["code"] == "target_unreachable"


def test_a_target_that_is_no_billing_api_is_explained(command: Command) -> None:
    """HTML for everything: one mismatch with what came back, and not enough for a verdict."""
    with serving("html") as odd:
        env = {"ODD_KEY": "key-of-the-operator"}
        finished = command.run("doctor", "--target", odd.profile(command.folder), env=env)
    assert finished.status == 2
    assert "not enough for a verdict" in finished.out
    assert "received  HTTP 200 <html>" in finished.out


def test_production_is_only_read(command: Command) -> None:
    """With `--read-only` a customer of production is read by GET alone; else it is refused."""
    with serving("stall", after=100) as odd:
        file = odd.profile(command.folder)
        file.write_text(file.read_text("utf-8").replace('"test"', '"production"'), "utf-8")
        env = {"ODD_KEY": "key-of-the-operator", "CUSTOMER_KEY": "key-of-a-customer"}
        who = ("--customer", "c1", "--credential-env", "CUSTOMER_KEY")
        finished = command.run("doctor", "--target", file, "--read-only", *who, env=env)
        assert finished.status == 0, finished
        assert odd.requests == ["GET /", "GET /customers/c1"]
        assert finished.out.startswith("1 works, ")
        assert "key-of-a-customer" not in finished.out + finished.err
        command.run("doctor", "--target", file, env=env).refused("looks like production")
        assert len(odd.requests) == 2
