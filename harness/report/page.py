"""Pages for people: one HTML file each, no script, nothing fetched, so that it opens anywhere."""

from __future__ import annotations

import functools
import json
import shlex
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import jinja2

from harness.money import spoken


def page(data: dict[str, Any]) -> str:
    """Give a run's plain data as a page. All text of the target's is escaped."""
    return _rendered("page.html.j2", run=data)


def matrix_page(data: dict[str, Any]) -> str:
    """Give a kill matrix's plain data as a page."""
    return _rendered("matrix.html.j2", matrix=data)


def _rendered(template: str, **values: dict[str, Any]) -> str:
    return _environment().get_template(template).render(**values)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("harness.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"money": _money, "pretty": _pretty, "moment": moment, "curl": _curl}
    return environment


def _money(finding: dict[str, Any]) -> str:
    if finding["amount_minor"] is None or not finding["currency"]:
        return ""
    return spoken(finding["amount_minor"], finding["currency"])


def _pretty(body: Any) -> str:
    """Lay a body out for reading, where it is JSON."""
    if not isinstance(body, str):
        return json.dumps(body)
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body


def moment(unix: float) -> str:
    """Write a Unix time as people read it."""
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _curl(call: dict[str, Any]) -> str:
    """Write a call as a command; its address is the reader's to fill in.

    All of it is quoted: much of it is text of the target's, which must not become commands.
    """
    query = urlencode([(name, value) for name, value in call["query"]])
    parts = ["curl", "-X", call["method"]]
    for name, value in call["headers"]:
        parts += ["-H", f"{name}: {value}"]
    if call["body"]:
        text = isinstance(call["body"], str)
        parts += ["--data-raw", call["body"]] if text else ["--data-binary", "@body"]
    path = shlex.quote(f"{call['path']}{'?' if query else ''}{query}")
    return f'{shlex.join(parts)} "$BASE_URL"{path}'
