"""Finds a target by what a person calls it: a name, a profile's file, or a class."""

from __future__ import annotations

import importlib
import importlib.resources
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from harness.errors import TargetError
from harness.target.mapped import ProfileTarget
from harness.target.reader import ProfileFile, read_profile

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.target.profile import Profile
    from harness.target.protocol import Target


@dataclass(frozen=True, slots=True)
class TargetSource:
    """A target found and checked, its variables not yet filled in.

    `build` makes the target from a resolved profile: `ProfileTarget`, or the class asked for.
    """

    spec: str
    file: ProfileFile
    build: Callable[[Profile], Target]


def find_target(spec: str) -> TargetSource:
    """Find a target by name, file (`acme.toml`) or class (`package.module:Class`).

    A class is built from its profile: its attribute `profile_file`, a path beside its module.
    Raises `TargetError` where there is none, `ProfileError` for its profile's mistakes.
    """
    path = Path(spec)
    if spec.endswith(".toml") or path.is_file():
        if not path.is_file():
            raise TargetError(f"there is no profile {spec}", hint="Give the path of a TOML file.")
        return TargetSource(spec, read_profile(path, spec), ProfileTarget)
    if ":" in spec:
        return _from_class(spec)
    known = profiles()
    if spec not in known:
        raise TargetError(
            f"there is no target {spec!r}",
            hint=f"Known by name: {', '.join(sorted(known))}. "
            "Or give a profile's file, or a class as package.module:Class.",
        )
    return TargetSource(spec, read_profile(known[spec]), ProfileTarget)


def fixtures_folder() -> Path:
    """Give the folder of data files: inside the package where installed, else the checkout's."""
    packaged = Path(str(importlib.resources.files("harness"))) / "_fixtures"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "fixtures"


def profiles() -> dict[str, Path]:
    """Give the profiles that come with the harness, by name."""
    return {path.stem: path for path in (fixtures_folder() / "profiles").glob("*.toml")}


def _from_class(spec: str) -> TargetSource:
    module_name, _, class_name = spec.partition(":")
    try:
        module = importlib.import_module(module_name)
        found = getattr(module, class_name)
        file = Path(module.__file__ or "").parent / found.profile_file
    except Exception as error:  # noqa: BLE001 - somebody else's module may raise anything
        said = f"{type(error).__name__}: {error}"
        raise TargetError(
            f"the target {spec} cannot be loaded: {said}", hint=_class_hint(error)
        ) from None
    return TargetSource(spec, read_profile(file), cast("Callable[[Profile], Target]", found))


def _class_hint(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return "Run the command where Python can import it, or set PYTHONPATH."
    if isinstance(error, AttributeError):
        return "A target's class has `profile_file`, the name of its TOML beside the module."
    return "Give it as package.module:Class, and mend what its import raises."
