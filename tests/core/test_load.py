"""Finding a target by what a person calls it."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING

import pytest

from harness.errors import ProfileError, TargetError
from harness.target.load import find_target, fixtures_folder
from harness.target.mapped import ProfileTarget

if TYPE_CHECKING:
    from pathlib import Path

VARIABLES = {
    "STACK_BILLING_URL": "http://127.0.0.1:9",
    "STACK_OPERATOR_KEY": "op_test_x",
    "STACK_TEST_CONTROL_TOKEN": "tc_test_x",
    "STACK_STRIPE_URL": "http://127.0.0.1:9",
    "STACK_LOG_DIR": "/nowhere",
    "STACK_MAIL_DIR": "/nowhere",
    "STACK_METRICS_TOKEN": "mt_test_x",
}


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder on Python's path with a copy of the reference's profile."""
    shutil.copy(fixtures_folder() / "profiles" / "reference.toml", tmp_path / "mine.toml")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_the_reference_is_known_by_its_name() -> None:
    """`reference` is a target without a file of the user's."""
    source = find_target("reference")
    assert source.build is ProfileTarget
    assert source.file.profile.target.stack == "reference"


def test_an_unknown_name_is_told_with_the_known_ones() -> None:
    """A name that is no target lists those that are."""
    with pytest.raises(TargetError, match="no target 'acmee'") as told:
        find_target("acmee")
    assert told.value.hint
    assert "reference" in told.value.hint


def test_a_missing_file_is_told() -> None:
    """A profile's path that leads nowhere is told as such, not as an unknown name."""
    with pytest.raises(TargetError, match=r"no profile nowhere/acme\.toml"):
        find_target("nowhere/acme.toml")


def test_a_class_is_built_from_its_profile(module: Path) -> None:
    """A class says what its profile cannot, and is built from that profile."""
    text = """
        from harness.target.mapped import ProfileTarget

        class Mine(ProfileTarget):
            profile_file = "mine.toml"

            @property
            def operations(self):
                return super().operations - {"close_customer"}
        """
    (module / "own_target.py").write_text(textwrap.dedent(text), encoding="utf-8")
    source = find_target("own_target:Mine")
    profile, secrets = source.file.resolve(VARIABLES)
    built = source.build(profile)
    assert "create_customer" in built.operations
    assert "close_customer" not in built.operations
    assert "op_test_x" in secrets


@pytest.mark.parametrize(
    ("spec", "text", "said"),
    [
        ("absent_module:Mine", None, "No module named 'absent_module'"),
        ("broken_syntax:Mine", "def (", "SyntaxError"),
        ("raises_late:Mine", "raise OSError('disk on fire')", "disk on fire"),
        ("no_class:Mine", "", "has no attribute 'Mine'"),
        ("no_profile:Mine", "class Mine: pass", "profile_file"),
        (":", None, "Empty module name"),
    ],
)
def test_a_class_that_cannot_be_loaded_is_told(
    module: Path, spec: str, text: str | None, said: str
) -> None:
    """Whatever is wrong with somebody's module is a sentence with a next step."""
    if text is not None:
        (module / f"{spec.partition(':')[0]}.py").write_text(text, encoding="utf-8")
    with pytest.raises(TargetError, match="cannot be loaded") as told:
        find_target(spec)
    assert said in told.value.message
    assert told.value.hint


def test_a_class_whose_profile_is_missing_is_told(module: Path) -> None:
    """A class whose `profile_file` is not there names the file."""
    text = "class Mine:\n    profile_file = 'gone.toml'\n"
    (module / "gone_profile.py").write_text(text, encoding="utf-8")
    with pytest.raises((TargetError, ProfileError), match=r"gone\.toml"):
        find_target("gone_profile:Mine")
