"""What cannot be done is told in a sentence with the next step, before anything half-done."""

from __future__ import annotations

import json
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.broken import broken_reference
from tests.cli.command import ACME, CHECKOUT, history_of, report_of
from tests.cli.targets import serving
from tests.stack.processes import linux_only, marked

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.command import Command, Finished
    from tests.cli.targets import Fault

pytestmark = linux_only
KEY = {"ODD_KEY": "key-of-the-operator"}


def refused(command: Command, *arguments: str | Path, **how: Any) -> tuple[Finished, str]:
    """Run with `--json` and a report folder; give what was said and the code that machines get."""
    folder = command.folder
    facts = folder / "out.json"
    finished = command.run("run", "--report", folder / "report", "--json", facts, *arguments, **how)
    finished.refused()
    assert finished.out == ""
    assert not (folder / "report" / "report.json").exists()
    told = json.loads(facts.read_text("utf-8"))
    assert told["verdict"] == "unknown"
    assert told["error"]["message"] in finished.err
    return finished, told["error"]["code"]


def unreachable() -> str:
    """Give an address at which nobody listens any more."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_an_unknown_target_is_told_with_those_there_are(command: Command) -> None:
    """A misspelt name is answered with the known ones, and with what else may be given."""
    finished, code = refused(command, "--target", "refrence")
    finished.refused("no target 'refrence'", "Known by name: reference", "module:Class")
    assert code == "bad_target"
    finished, _ = refused(command, "--target", "missing.toml")
    finished.refused("no profile missing.toml")
    finished, _ = refused(command, "--suite", "load_test")
    finished.refused("no suite 'load_test'", "Suites: contract, e2e, load, security")


def test_settings_that_make_no_sense_are_all_told(command: Command) -> None:
    """Options and environment variables are checked together, each named as it was given."""
    finished = command.run("run", "-n", "100", env={"BILLING_HARNESS_SEED": "soon"})
    finished.refused("--workers: ", "not 100", "BILLING_HARNESS_SEED: ", "not 'soon'")


def test_a_target_where_nobody_listens_is_named(command: Command) -> None:
    """A refused connection is told with the address."""
    with serving("html") as odd:
        profile = odd.profile(command.folder)
    finished, code = refused(command, "--target", profile, env=KEY)
    finished.refused("nothing answers at http://127.0.0.1:", "base_url")
    assert code == "target_unreachable"


def test_five_mistakes_in_a_profile_are_told_at_once(command: Command) -> None:
    """Each mistake stands on a line of its own, with the file and the key."""
    profile = command.folder / "acme.toml"
    text = ACME.read_text("utf-8")
    for right, wrong in {
        'encoding = "form"': 'encoding = "xml"',
        'currency = "eur"': 'currency = "EURO"',
        "[operations.get_balance]": "[operations.get_ballance]",
        'request = "POST /v2/accounts"': 'request = "SEND /v2/accounts"',
        "price_minor = 24000": 'price_minor = "240.00"',
    }.items():
        assert text.count(right) == 1, right
        text = text.replace(right, wrong)
    profile.write_text(text, "utf-8")
    finished, code = refused(command, "--target", profile)
    assert code == "bad_profile"
    lines = [line for line in finished.err.splitlines() if f"{profile}: " in line]
    keys = {line.split(": ")[1] for line in lines}
    assert {
        "target.encoding",
        "catalog.currency",
        "operations.get_ballance",
        "operations.create_customer.request",
        "catalog.plans.business.price_minor",
    } <= keys, finished.err
    assert f"{len(lines)} mistakes" in finished.err


def test_a_profile_that_is_not_toml_is_told(command: Command) -> None:
    """A file that cannot be read as TOML is a mistake with its place, not a traceback."""
    profile = command.folder / "odd.toml"
    profile.write_bytes(b"[target\nname = \xff")
    finished, code = refused(command, "--target", profile)
    finished.refused("odd.toml")
    assert code == "bad_profile"


def test_a_variable_that_is_not_set_is_named(command: Command) -> None:
    """A key that the environment lacks is told by its variable and its place in the profile."""
    with serving("html") as odd:
        finished, _ = refused(command, "--target", odd.profile(command.folder))
        finished.refused("auth.operator.headers.X-Key", "ODD_KEY is not set")
        assert odd.requests == []


@pytest.mark.parametrize(("after", "section"), [(1, "operator"), (4, "customer")])
def test_a_wrong_key_is_told_by_the_role_it_belongs_to(
    command: Command, after: int, section: str
) -> None:
    """A target that turns a key away is told once, with the section to mend; history is kept.

    Before its first operation it is asked for a word at its root, and by the guard at two places.
    """
    with serving("turn_away", after) as odd:
        finished, code = refused(command, "--target", odd.profile(command.folder), env=KEY)
    finished.refused("turns the harness away", "401", f"[auth.{section}]")
    assert code == "bad_target"
    assert any(line["line"] == "end" for line in history_of(command.folder / "report"))


def test_a_wrong_key_of_acme_is_told(command: Command) -> None:
    """A target that the harness starts itself, too, can have another key than the profile."""
    profile = command.folder / "acme.toml"
    text = ACME.read_text("utf-8")
    right = 'password = "${STACK_OPERATOR_KEY}"'
    assert text.count(right) == 1
    profile.write_text(text.replace(right, 'password = "${WRONG_KEY}"'), "utf-8")
    env = {"WRONG_KEY": "not-the-password-of-the-operator"}
    finished, _ = refused(command, "--target", profile, env=env, cwd=CHECKOUT)
    finished.refused("turns the harness away", "[auth.operator]")


def test_html_for_everything_is_not_understood(command: Command) -> None:
    """An address that answers HTML is told with what came, and the key of the profile to check."""
    with serving("html") as odd:
        finished, code = refused(command, "--target", odd.profile(command.folder), env=KEY)
    finished.refused("expected JSON", "text/html", "base_url")
    assert code == "bad_target"
    assert {line["line"] for line in history_of(command.folder / "report")} == {
        "run",
        "begin",
        "end",
    }


def test_a_target_that_hangs_is_told_after_one_timeout(command: Command) -> None:
    """A target that takes connections and never answers costs one timeout, and says so."""
    with serving("hang") as odd:
        finished, code = refused(command, "--target", odd.profile(command.folder), env=KEY)
        assert len(odd.requests) == 1
    finished.refused("no answer came within 1 s")
    assert code == "target_unreachable"


@pytest.mark.nightly
@pytest.mark.parametrize(("fault", "workers"), [("hang", "0"), ("hang", "2"), ("stall", "0")])
def test_a_target_that_falls_silent_ends_the_run(
    command: Command, fault: Fault, workers: str
) -> None:
    """Once it has stopped answering, the rest is unknown without a timeout each."""
    folder = command.folder / "report"
    with serving(fault, after=5) as odd:
        profile = odd.profile(command.folder, timeout_s=0.5)
        arguments = ("--target", profile, "-n", workers, "--report", folder)
        finished = command.run("run", *arguments, env=KEY)
        unanswered = len(odd.requests) - 5
    assert finished.status == 2, finished
    assert "Traceback" not in finished.err
    # Five in a row in each process that tests, and in the one that judges.
    assert unanswered <= 5 * max(1, int(workers)) + 6
    facts = report_of(folder)
    assert facts["verdict"] == "unknown"
    why = {"hang": "no answer came", "stall": "the target has stopped answering"}[fault]
    assert any(why in doubt for doubt in facts["doubts"]), facts["doubts"]
    if workers == "0":
        reasons = " ".join(test["reason"] or "" for test in facts["tests"])
        assert "the target has stopped answering; it last accepted" in reasons


@pytest.mark.nightly
def test_a_service_that_dies_in_the_middle_is_told(command: Command) -> None:
    """When a part of the stack ends by itself, that is the reason why the run proves nothing."""
    folder = command.folder / "report"
    with command.start("run", "--suite", "e2e", "--report", folder) as running:
        running.until(" of ")
        service = min(marked(command.mark, "simulators.billing", "serve", "harness/stack/leash"))
        os.kill(service, signal.SIGKILL)
        finished = running.finish()
    assert finished.status == 2, finished
    assert "Traceback" not in finished.err
    facts = report_of(folder)
    assert facts["verdict"] == "unknown"
    assert any("billing-1 ended" in doubt for doubt in facts["doubts"]), facts["doubts"]


@pytest.mark.parametrize("option", ["--report", "--json"])
def test_what_cannot_be_written_is_told_before_the_start(command: Command, option: str) -> None:
    """A file in the folder's place, or a folder in the file's, stops the run at once."""
    in_the_way = command.folder / "in-the-way"
    if option == "--report":
        in_the_way.write_text("I was here first", "utf-8")
    else:
        in_the_way.mkdir()
    finished = command.run("run", option, in_the_way)
    finished.refused(f"{in_the_way}", option)
    assert "suites: " not in finished.err
    if option == "--report":
        assert in_the_way.read_text("utf-8") == "I was here first"


@pytest.mark.nightly
def test_two_runs_never_share_a_report(command: Command) -> None:
    """The second run into one folder is refused; the first one goes on undisturbed."""
    folder = command.folder / "report"
    with serving("hang", after=7) as odd:
        arguments = ("run", "--target", odd.profile(command.folder), "--report", folder)
        with command.start(*arguments, env=KEY) as first:
            first.until("suites: ")
            second = command.run(*arguments, env=KEY)
            second.refused("another run", "--report DIR")
            assert first.finish().status == 2
    assert report_of(folder)["verdict"] == "unknown"


@pytest.mark.parametrize("sign", ["environment", "key", "variable"])
def test_production_is_refused_and_nothing_is_sent(command: Command, sign: str) -> None:
    """Any single sign of production stops the run before the first request."""
    with serving("html") as odd:
        profile = odd.profile(command.folder)
        env = dict(KEY)
        if sign == "environment":
            text = profile.read_text("utf-8").replace('"test"', '"production"')
            profile.write_text(text, "utf-8")
        elif sign == "key":
            env["ODD_KEY"] = "sk_" + "live_" + "0" * 24
        else:
            env["APP_ENV"] = "production"
        finished, code = refused(command, "--target", profile, env=env)
        assert odd.requests == []
    assert code == "production_environment"
    finished.refused("production", "Nothing was sent")
    assert env["ODD_KEY"] not in finished.err


def test_a_service_that_cannot_start_is_told_with_its_log(command: Command) -> None:
    """A reference that refuses its settings: the end of its log, and where the rest stands."""
    line = "_SECRET_LENGTH_MIN = 16\n"
    env = broken_reference(command.folder, "settings.py", line, line.replace("16", "999"))
    finished, code = refused(command, env=env)
    finished.refused("migrate failed", "BILLING_OPERATOR_KEY", "at least 999 characters", "read ")
    assert code == "stack_failed"


def test_a_start_command_that_fails_is_told_with_its_status(command: Command) -> None:
    """A target's own start command that ends at once is told with its last words."""
    profile = command.folder / "acme.toml"
    text = ACME.read_text("utf-8")
    right = 'command = "python -m tests.targets.acme --port ${PORT}"'
    assert text.count(right) == 1
    wrong = """command = "sh -c 'echo no database here; exit 3'\""""
    profile.write_text(text.replace(right, wrong), "utf-8")
    finished, code = refused(command, "--target", profile)
    finished.refused("target ended before it was ready; exit status 3", "no database here")
    assert code == "stack_failed"
