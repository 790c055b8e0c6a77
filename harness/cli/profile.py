"""`billing-harness profile`: drafts a profile of an API from its OpenAPI document."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from harness.cli.console import errors, output, refusal_data
from harness.errors import DraftError, HarnessError
from harness.operations import OPERATIONS

if TYPE_CHECKING:
    from rich.console import Console

    from harness.target.draft import Draft


def profile(
    from_openapi: Annotated[
        str,
        typer.Option(
            help="The OpenAPI 3 document of the API, in JSON or YAML.", metavar="FILE|URL"
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Write the profile here.", metavar="FILE", dir_okay=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite that file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")] = False,
) -> int:
    """Draft a profile of an API from its OpenAPI document.

    What is sure is written down; what is not is marked by a comment, `# ? …`, with what else it
    could be; what no document says is asked. Nothing is sent to the API. Exit status: 0 where a
    profile was drafted, 2 where the document cannot be read.
    """
    from harness.target.draft import draft_profile, read_document

    try:
        if out is not None:
            _refuse_overwriting(out, force=force)
        draft = draft_profile(read_document(from_openapi), from_openapi)
        if out is not None:
            _write(out, draft.text, force=force)
    except HarnessError as error:
        if as_json:
            typer.echo(json.dumps(refusal_data(error), indent=2))
        raise
    if as_json:
        typer.echo(json.dumps(_facts(draft, out), indent=2))
        return 0
    # Without a file the profile itself is the output, so that it can be redirected into one.
    _tell(draft, out, errors if out is None else output)
    if out is None:
        typer.echo(draft.text, nl=False)
    return 0


def _refuse_overwriting(out: Path, *, force: bool) -> None:
    if out.exists() and not force:
        raise DraftError(
            f"{out} is there already, and may hold your answers",
            hint="Give another --out, or --force to overwrite it.",
        )


def _write(out: Path, text: str, *, force: bool) -> None:
    try:
        with out.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise DraftError(
            f"{out} cannot be written: {error.strerror}", hint="Give another place by --out."
        ) from None


def _facts(draft: Draft, out: Path | None) -> dict[str, Any]:
    return {
        "mapped": draft.mapped,
        "unsure": draft.unsure,
        "missing": draft.missing,
        "blanks": draft.blanks,
        "questions": draft.questions,
        **({"file": str(out)} if out else {"profile": draft.text}),
    }


def _tell(draft: Draft, out: Path | None, console: Console) -> None:
    """Say how far it came, and the next step."""
    mapped, unsure = len(draft.mapped), len(draft.unsure)
    told = f"{mapped} of {len(OPERATIONS)} operations mapped, {unsure} of them unsure"
    console.print(Text(f"{told}; {draft.questions} questions", style="bold"))
    if draft.blanks:
        console.print(Text(f"to fill in: {', '.join(draft.blanks)}"))
    if draft.missing:
        console.print(Text(f"not found:  {', '.join(draft.missing)}"))
    file = out or "FILE"
    where = f"in {file}" if out else "below, once it is a file (--out FILE)"
    console.print(Text(f'next: answer each "# ?" {where},'))
    console.print(Text(f"      then: billing-harness doctor --target {file}"))
