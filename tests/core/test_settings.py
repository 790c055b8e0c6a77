from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic
import pytest

from harness.errors import SettingsError
from harness.settings import PREFIX, RunSettings, run_settings


@pytest.fixture(autouse=True)
def _no_settings_of_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in RunSettings.model_fields:
        monkeypatch.delenv(PREFIX + field.upper(), raising=False)


def test_defaults_run_everything_against_the_reference() -> None:
    """Asked for nothing, a run takes every suite, in this process, to the reference."""
    settings = run_settings()
    assert (settings.target, settings.suites, settings.workers) == ("reference", (), 0)
    assert settings.seed is None
    assert settings.report == Path("reports/latest")


def test_an_option_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables set what no option does."""
    monkeypatch.setenv(f"{PREFIX}TARGET", "acme")
    monkeypatch.setenv(f"{PREFIX}SEED", "5")
    settings = run_settings(target="mine.toml", seed=None)
    assert (settings.target, settings.seed) == ("mine.toml", 5)


@pytest.mark.parametrize(
    ("written", "suites"),
    [("security", ("security",)), ("e2e, security,", ("e2e", "security")), ("", ())],
)
def test_suites_come_from_the_environment_with_commas(
    written: str, suites: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list is written as people write one in a shell."""
    monkeypatch.setenv(f"{PREFIX}SUITES", written)
    assert run_settings().suites == suites


def test_every_mistake_is_told_by_the_name_that_it_was_given_under(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Options and variables are told together, each by its own name, with what was wrong."""
    monkeypatch.setenv(f"{PREFIX}SEED", "many")
    with pytest.raises(SettingsError) as caught:
        run_settings(workers=-1, target="", json_file=5, suites=3)
    lines = sorted(caught.value.message.splitlines()[1:])
    assert caught.value.message.startswith("5 settings cannot be used:")
    names = ["--json:", "--suite:", "--target:", "--workers:", f"{PREFIX}SEED:"]
    assert [line.split()[0] for line in lines] == names
    assert "'many'" in lines[-1]
    assert caught.value.hint


@pytest.mark.parametrize(
    "given", [{"seed": -1}, {"seed": 2**63}, {"workers": 65}, {"color": "red"}]
)
def test_values_out_of_bounds_are_mistakes(given: dict[str, Any]) -> None:
    """What cannot be is refused before anything starts."""
    with pytest.raises(SettingsError, match=r"^1 setting cannot be used:"):
        run_settings(**given)


def test_settings_do_not_change() -> None:
    """Once validated, nobody alters them."""
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        run_settings().seed = 3  # type: ignore[misc] # that is what is tried


def test_production_is_named_on_the_command_line_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable cannot stand for a person's word, and what writes goes with no production."""
    assert run_settings(production_host="pay.acme.com").only_reads
    with pytest.raises(SettingsError, match="production is only read"):
        run_settings(production_host="pay.acme.com", seeded=True)
    monkeypatch.setenv("BILLING_HARNESS_PRODUCTION_HOST", "pay.acme.com")
    with pytest.raises(SettingsError, match="never run against by a variable"):
        run_settings()
