"""Reads a profile and tells all its mistakes at once, each with file, key and what was expected."""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from harness.errors import Problem, ProfileError, TargetError
from harness.operations import OPERATIONS, Operation
from harness.target.profile import Profile, is_request
from harness.target.template import placeholders

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pydantic_core import ErrorDetails

BLANK = "<?>"
"""What a drafted profile holds where somebody has to fill something in."""

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_FILL_IN = f'still holds "{BLANK}", a blank of the draft: fill it in'
_GIVEN = frozenset({"credential", "idempotency_key"})
_ANY_ROLE = frozenset({"customer", "other_tenant", "anonymous"})


@dataclass(frozen=True, slots=True)
class ProfileFile:
    """A profile as it stands in its file: checked, its `${VARIABLES}` not yet filled in."""

    name: str
    data: Mapping[str, Any]
    profile: Profile

    def resolve(self, environment: Mapping[str, str]) -> tuple[Profile, frozenset[str]]:
        """Fill in the variables; give the profile and the secrets that it now holds.

        Raises `ProfileError` naming each variable that is not set. Whatever a variable put into
        `[auth]` or into headers counts as a secret, and so do those named by `…_env`.
        """
        problems: list[Problem] = []
        filled = _substitute(self.data, environment, self.name, "", problems)
        if problems:
            raise ProfileError(problems)
        profile = _validated(self.name, filled, list(_address_checks(self.name, filled)))
        return profile, frozenset(_secrets(self.data, environment))

    def started_by(self, command: str) -> ProfileFile:
        """Give the same profile with another start command. Raises `TargetError` if it has none."""
        section = _table(self.data, "target")
        if "start" not in section:
            raise TargetError(
                f"the profile {self.name} does not start its target: no command can replace that",
                hint='Write [target] start = { command = "…", ready = "/health" } into it.',
            )
        target = {**section, "start": {**section["start"], "command": command}}
        return replace(self, data={**self.data, "target": target})


def read_profile(path: Path, name: str | None = None) -> ProfileFile:
    """Read a profile's file. Raises `ProfileError` with all its mistakes, or `TargetError`."""
    label = name or path.name
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TargetError(f"the profile {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ProfileError([Problem(label, "(file)", "text in UTF-8")]) from None
    except tomllib.TOMLDecodeError as error:
        raise ProfileError([Problem(label, "(file)", f"TOML ({error})")]) from None
    return ProfileFile(label, data, _validated(label, data, list(_cross_checks(label, data))))


def _validated(label: str, data: Mapping[str, Any], problems: list[Problem]) -> Profile:
    """Give the profile, or raise all problems: those found before, and those of its keys."""
    profile: Profile | None = None
    try:
        profile = Profile.model_validate(data)
    except ValidationError as error:
        problems += [_problem(label, details) for details in error.errors()]
    if profile is None or problems:
        raise ProfileError(problems)
    return profile


def _problem(label: str, details: ErrorDetails) -> Problem:
    location = [str(part) for part in details["loc"]]
    key = ".".join(location)
    if details["type"] == "extra_forbidden":
        return Problem(label, key, _unknown_key(location))
    if details["type"] == "missing":
        return Problem(label, key, "this key is required")
    if isinstance(details["input"], str) and BLANK in details["input"]:
        return Problem(label, key, _FILL_IN)
    expected = details["msg"].removeprefix("Value error, ")
    return Problem(label, key, f"expected {expected[0].lower()}{expected[1:]}")


def _unknown_key(location: list[str]) -> str:
    known = _keys_at(location[:-1])
    close = difflib.get_close_matches(location[-1], known, n=1)
    meant = f"; did you mean {close[0]!r}?" if close else ""
    return f"is not a key here{meant} (known: {', '.join(known)})"


def _keys_at(location: list[str]) -> list[str]:
    model: type[BaseModel] | None = Profile
    for part in location:
        fields = model.model_fields if model else {}
        if part in fields:
            model = _model_in(fields[part].annotation)
    return sorted(
        field.alias or key for key, field in (model.model_fields if model else {}).items()
    )


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for found in map(_model_in, get_args(annotation)) if found), None)


def _cross_checks(label: str, data: Mapping[str, Any]) -> Iterator[Problem]:
    """Check what no single key shows; works on raw data, so that one mistake hides no other."""
    yield from (Problem(label, key, _FILL_IN) for key in blanks(data))
    roles = _table(data, "auth")
    for role, auth in roles.items():
        yield from _secret_checks(label, role, auth)
    mapped = set(_table(data, "operations"))
    for name, mapping in _table(data, "operations").items():
        if isinstance(mapping, dict):
            yield from _operation_checks(label, name, mapping, set(roles), mapped)
    yield from _staging_checks(label, data, set(roles))
    target = _table(data, "target")
    if "start" in target and "stack" in target:
        yield Problem(label, "target.start", "either `start` or `stack`, not both")
    yield from _address_checks(label, data)


def blanks(value: object, key: str = "") -> Iterator[str]:
    """Name every key under which a blank is left.

    >>> list(blanks({"catalog": {"currency": "<?>", "money": "minor"}}))
    ['catalog.currency']
    """
    if isinstance(value, dict):
        for name, entry in value.items():
            yield from blanks(entry, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list):
        for entry in value:
            yield from blanks(entry, key)
    elif isinstance(value, str) and BLANK in value:
        yield key


def _address_checks(label: str, data: Mapping[str, Any]) -> Iterator[Problem]:
    """Check the addresses that are known: a variable's is when it is filled in."""
    for section, key in (("target", "base_url"), ("payment_provider", "simulator")):
        value = _table(data, section).get(key)
        if not isinstance(value, str) or _VARIABLE.search(value) or BLANK in value:
            continue
        if not _is_address(value):
            expected = "expected an address like https://billing.example.com"
            yield Problem(label, f"{section}.{key}", expected)


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port or a bracket that is none
        return False


def _secret_checks(label: str, role: str, auth: object) -> Iterator[Problem]:
    table = auth if isinstance(auth, dict) else {}
    guarded = {f"headers.{name}": value for name, value in _table(table, "headers").items()}
    guarded["basic.password"] = _table(table, "basic").get("password")
    for key, value in guarded.items():
        if isinstance(value, str) and not ("{credential}" in value or _VARIABLE.search(value)):
            yield Problem(
                label,
                f"auth.{role}.{key}",
                "expected ${NAME} of an environment variable: a secret never stands in a profile",
            )


def _operation_checks(
    label: str, name: str, mapping: dict[str, Any], roles: set[str], mapped: set[str]
) -> Iterator[Problem]:
    key = f"operations.{name}"
    operation = OPERATIONS.get(name)
    if operation is None:
        close = difflib.get_close_matches(name, OPERATIONS, n=1)
        meant = f"; did you mean {close[0]!r}?" if close else ""
        yield Problem(label, key, f"is not an operation of the harness{meant}")
        return
    yield from _input_checks(label, key, operation, mapping)
    yield from _settle_checks(label, key, operation, mapping, mapped)
    role = mapping.get("as")
    if isinstance(role, str) and role not in roles | _ANY_ROLE:
        yield Problem(label, f"{key}.as", f"expected a role of [auth]: {', '.join(sorted(roles))}")
    yield from _output_checks(label, key, name, mapping)


def _staging_checks(label: str, data: Mapping[str, Any], roles: set[str]) -> Iterator[Problem]:
    mapping = _table(_table(data, "staging"), "customers")
    if not mapping:
        return
    role = mapping.get("as")
    if isinstance(role, str) and role not in roles | _ANY_ROLE:
        known = ", ".join(sorted(roles))
        yield Problem(label, "staging.customers.as", f"expected a role of [auth]: {known}")
    for output in ("customer", "email"):
        if output not in _table(_table(mapping, "items"), "reply"):
            yield Problem(label, f"staging.customers.items.reply.{output}", "this is required")


def _input_checks(
    label: str, key: str, operation: Operation, mapping: dict[str, Any]
) -> Iterator[Problem]:
    none = f"is no input (inputs: {', '.join(operation.inputs)})"
    for part in ("request", "query", "headers", "body"):
        for unknown in sorted(placeholders(mapping.get(part)) - _GIVEN - set(operation.inputs)):
            yield Problem(label, f"{key}.{part}", f"{{{unknown}}} {none}")
    for part in ("defaults", "words"):
        for unknown in sorted(set(_table(mapping, part)) - set(operation.inputs)):
            yield Problem(label, f"{key}.{part}.{unknown}", none)


def _settle_checks(
    label: str, key: str, operation: Operation, mapping: dict[str, Any], mapped: set[str]
) -> Iterator[Problem]:
    poll = _table(mapping, "settle").get("poll")
    if not isinstance(poll, str) or poll in mapped:
        return
    if not is_request(poll):
        expected = "expected an operation that is mapped here, or a method and a path"
        yield Problem(label, f"{key}.settle.poll", expected)
    given = _GIVEN | set(operation.inputs) | set(_table(mapping, "reply"))
    for unknown in sorted(placeholders(poll) - given):
        expected = f"{{{unknown}}} is neither input nor mapped output"
        yield Problem(label, f"{key}.settle.poll", expected)


def _output_checks(label: str, key: str, name: str, mapping: dict[str, Any]) -> Iterator[Problem]:
    operation = OPERATIONS[name]
    mapped = set(_table(mapping, "reply"))
    for output in sorted(mapped - set(operation.outputs)):
        known = ", ".join(operation.outputs) or "none"
        yield Problem(label, f"{key}.reply.{output}", f"is no output of {name} (outputs: {known})")
    for output in operation.outputs:
        if output not in operation.optional_outputs and output not in mapped:
            yield Problem(label, f"{key}.reply.{output}", "this output is required")
    items = mapping.get("items")
    if operation.lists and not isinstance(items, dict):
        yield Problem(label, f"{key}.items", "a list needs `items` with `path` and `reply`")
    for output in sorted(set(_table(mapping, "items", "reply")) - set(operation.item_outputs)):
        known = ", ".join(operation.item_outputs) or "none"
        yield Problem(label, f"{key}.items.reply.{output}", f"is no output (outputs: {known})")


def _table(data: Mapping[str, Any], *path: str) -> dict[str, Any]:
    found: Any = data
    for part in path:
        found = found.get(part, {}) if isinstance(found, dict) else {}
    return found if isinstance(found, dict) else {}


def _substitute(
    value: Any,
    environment: Mapping[str, str],
    label: str,
    key: str,
    problems: list[Problem],
) -> Any:
    if isinstance(value, dict):
        return {
            name: _substitute(entry, environment, label, f"{key}.{name}".lstrip("."), problems)
            for name, entry in value.items()
        }
    if isinstance(value, list):
        return [_substitute(entry, environment, label, key, problems) for entry in value]
    if not isinstance(value, str):
        return value
    problems += [
        Problem(label, key, f"the environment variable {name} is not set")
        for name in _VARIABLE.findall(value)
        if name not in environment
    ]
    return _VARIABLE.sub(lambda match: environment.get(match[1], ""), value)


def _secrets(data: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[str]:
    metrics = _table(data, "evidence", "metrics", "headers")
    guarded = [data.get("auth", {}), _table(data, "target", "headers"), metrics]
    names = {name for part in guarded for name in _VARIABLE.findall(repr(part))}
    for section in ("webhooks", "payment_provider", "evidence"):
        named = _table(data, section)
        names |= {value for key, value in named.items() if key.endswith("_env")}
    for name in names:
        if environment.get(name):
            yield environment[name]
