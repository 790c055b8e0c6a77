"""Options that several commands share: fields of a dataclass, each of which is one option.

A command takes such a dataclass as a parameter, and `takes_options` puts the options of its fields
in that parameter's place. An option is thus defined once, where its value is checked.
"""

from __future__ import annotations

import copy
import functools
import inspect
import json
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from harness.cli.console import refusal_data
from harness.errors import HarnessError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    Command = Callable[..., int]

ENV_PREFIX = "BILLING_HARNESS_WEBHOOK_"
"""`send-all` also takes its parameters from the environment: this and the parameter's name."""

ABOUT, HOW, WHERE = "What the event is about", "How it is signed and sent", "Where it goes"

AsJson = Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")]
Times = Annotated[
    int,
    typer.Option(
        help="Send the same event so often.", metavar="N", min=1, max=1000, rich_help_panel=HOW
    ),
]


def takes_options(
    *, env: Collection[str] = (), without: Collection[str] = ()
) -> Callable[[Command], Command]:
    """Make a command of a function whose parameters may be dataclasses of options.

    `env` names the fields that may also come from the environment, `without` those that the
    command does not take. Where it cannot be done, machines are told so as JSON too.
    """

    def wrap(function: Command) -> Command:
        hints = get_type_hints(function, include_extras=True)
        given = inspect.signature(function).parameters
        groups = {name: hints[name] for name in given if is_dataclass(hints[name])}

        @functools.wraps(function)
        def call(**values: Any) -> int:
            taken = {
                name: {each.name: values.pop(each.name) for each in _taken(group, without)}
                for name, group in groups.items()
            }
            try:
                built = {name: group(**taken[name]) for name, group in groups.items()}
                return function(**built, **values)
            except HarnessError as error:
                if values.get("as_json"):
                    typer.echo(json.dumps(refusal_data(error), indent=2))
                raise

        plain = [p.replace(annotation=hints[n]) for n, p in given.items() if n not in groups]
        grouped = [p for group in groups.values() for p in _parameters(group, env, without)]
        _show_as(call, [*grouped, *plain])
        return call

    return wrap


def _taken(group: Any, without: Collection[str]) -> Iterator[Field[Any]]:
    return (each for each in fields(group) if each.name not in without)


def _parameters(
    group: Any, env: Collection[str], without: Collection[str]
) -> Iterator[inspect.Parameter]:
    """Give a parameter for each field, as typer reads them."""
    hints = get_type_hints(group, include_extras=True)
    for each in _taken(group, without):
        hint = hints[each.name]
        if each.name in env:
            option = copy.copy(hint.__metadata__[0])
            option.envvar = f"{ENV_PREFIX}{each.name.upper()}"
            hint = Annotated[hint.__origin__, option]
        make = each.default_factory
        default = each.default if make is MISSING else make()
        yield inspect.Parameter(
            each.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint
        )


def _show_as(call: Command, parameters: list[inspect.Parameter]) -> None:
    """Let typer see these parameters; those without a default, which are arguments, come first."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    shown = [each.replace(kind=keyword) for each in parameters]
    shown.sort(key=lambda each: each.default is not inspect.Parameter.empty)
    call.__signature__ = inspect.Signature(shown, return_annotation=int)  # type: ignore[attr-defined]  # what `inspect.signature` reads first
    call.__annotations__ = {each.name: each.annotation for each in shown} | {"return": int}
