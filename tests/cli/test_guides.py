"""The guides are true: their marked commands run, in order, and all that they type exists.

A block that begins with ```` ```sh run ```` is typed into one shell for each guide; a block marked
`file=NAME` is written down before.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import pytest
import typer

from harness.cli import build_app
from harness.stack import Stack, StackOptions
from tests.cli.command import CHECKOUT, PROGRAM
from tests.stack.processes import linux_only

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typer._click.core import Command as AnyCommand

pytestmark = linux_only

GUIDES = (
    "AUDIT", "PUSHGATEWAY", "STAGING", "SUPPORT_RUNBOOK", "TEST_FIRST", "TESTING_PATTERNS",
)  # fmt: skip
ALONE = {"TEST_FIRST", "TESTING_PATTERNS"}
"""Guides whose commands start a service of their own."""
BLOCK = re.compile(r"^( *)```(\w+)([^\n]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
TYPED = re.compile(r"(?<![\w/.-])billing-harness((?: [^\n|;&`)]+)?)")
FIXES = 11
DEADLINE_S = 300


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, what stands behind that, and its lines, not indented."""

    language: str
    marks: frozenset[str]
    text: str


def blocks(guide: str) -> list[Block]:
    """Give the blocks of a guide, in their order."""
    text = (CHECKOUT / "docs" / f"{guide}.md").read_text("utf-8")
    return [
        Block(
            language, frozenset(marks.split()), re.sub(f"^{indent}", "", body, flags=re.MULTILINE)
        )
        for indent, language, marks, body in BLOCK.findall(text)
    ]


def run(guide: str, folder: Path, environment: dict[str, str]) -> str:
    """Type what a guide marks, into one shell; give what was said."""
    # What a guide starts beside itself ends with it, also where a command fails.
    script = ["set -euo pipefail", "trap 'kill $(jobs -p) 2> /dev/null || true' EXIT"]
    for block in blocks(guide):
        for mark in block.marks:
            if mark.startswith("file="):
                with (folder / mark.removeprefix("file=")).open("a", encoding="utf-8") as file:
                    file.write(f"{block.text}\n\n")
        if block.language == "sh" and "run" in block.marks:
            script.append(block.text)
    path = os.pathsep.join([str(PROGRAM.parent), os.environ.get("PATH", os.defpath)])
    own = {
        k: v for k, v in os.environ.items() if not k.startswith(("BILLING_", "STACK_", "PYTEST_"))
    }
    ended = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        env={**own, "PATH": path, "PYTHONPATH": str(CHECKOUT), "COLUMNS": "200", **environment},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert ended.returncode == 0, f"{guide}: status {ended.returncode}\n{ended.stdout}"
    assert "Traceback" not in ended.stdout, ended.stdout
    return ended.stdout


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Run the reference, as `up` does, for all guides."""
    with Stack(StackOptions(seed=5)) as running:
        yield running


@pytest.fixture(scope="module")
def customer(stack: Stack) -> str:
    """Give somebody who has used up what was given away, and paid for one fix."""
    url = f"{stack.addresses.billing_url}/api/v1"
    known = {"email": "guide@other.example.org", "name": "Guided", "source": "direct"}
    card = {"payment_method": "pm_card_visa", "billing_consent": True}
    with httpx.Client(trust_env=False, timeout=30) as client:
        made = client.post(f"{url}/customers/onboard", json=known).json()
        client.headers["X-API-Key"] = made["api_key"]
        client.post(f"{url}/customers/{made['customer_id']}/payment-methods", json=card)
        for number in range(FIXES):
            client.post(f"{url}/billing/track_fix", json={"fix_id": f"guided-{number}"})
    return str(made["customer_id"])


@pytest.mark.nightly
@pytest.mark.parametrize("guide", sorted(set(GUIDES) - ALONE))
def test_what_a_guide_types_at_a_service_works(
    guide: str, stack: Stack, customer: str, tmp_path: Path
) -> None:
    """Each marked command of the guide ends with 0, on the stack that `up` would start."""
    addresses = stack.addresses
    control = {"X-Test-Control-Token": addresses.test_control_token}
    url = f"{addresses.billing_url}/test/drain"
    assert httpx.post(url, json={"deadline_s": 30}, headers=control, timeout=60).json()["settled"]
    environment = {
        **addresses.environment(), "BILLING_URL": addresses.billing_url, "ID": customer,
        "OPERATOR_KEY": addresses.operator_key, "METRICS_TOKEN": addresses.metrics_token,
    }  # fmt: skip
    said = run(guide, tmp_path, environment)
    expected = {"AUDIT": "valid", "PUSHGATEWAY": "audit_findings{", "STAGING": "pro_rollover",
                "SUPPORT_RUNBOOK": "guided-10"}  # fmt: skip
    assert expected[guide] in said, said


@pytest.mark.nightly
@pytest.mark.parametrize("guide", sorted(ALONE))
def test_the_examples_of_a_guide_pass(guide: str, tmp_path: Path) -> None:
    """The tests that a guide shows are red and green where it says so."""
    said = run(guide, tmp_path, {})
    assert re.search(r"\d+ passed", said), said
    assert guide != "TEST_FIRST" or "red, as it must be" in said, said


@pytest.mark.parametrize("guide", GUIDES)
def test_every_command_that_a_guide_types_exists(guide: str) -> None:
    """Each `billing-harness …` of a guide is a command that is there, with options that it has."""
    program = typer.main.get_command(build_app())
    typed = [line for block in blocks(guide) for line in TYPED.findall(block.text)]
    typed += TYPED.findall((CHECKOUT / "docs" / f"{guide}.md").read_text("utf-8"))
    assert typed
    for line in typed:
        words = line.split()
        command, rest = _found(program, words)
        known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
        asked = {word.partition("=")[0] for word in rest if word.startswith("--")}
        assert asked <= known | {"--help"}, f"billing-harness {line}"


def _found(program: AnyCommand, words: list[str]) -> tuple[AnyCommand, list[str]]:
    """Go down to the command that the first words name; give it with the other words."""
    while words and (children := getattr(program, "commands", None)):
        assert words[0] in children, f"there is no command {words[0]!r}"
        program, words = children[words[0]], words[1:]
    return program, words


def test_each_guide_has_commands_that_run() -> None:
    """An empty list of commands would prove nothing."""
    for guide in GUIDES:
        assert any("run" in block.marks for block in blocks(guide)), guide
