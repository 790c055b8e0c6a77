"""A merged run in Markdown, for a job's summary and for one comment on a pull request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

MARKER = "<!-- billing-harness -->"
# GitHub takes 65,536 characters in a comment and 1 MiB in a job's summary.
CHARS_MAX = 60_000
_SHOWN = 20
_SIGNS = {"passed": "✅", "missed": "❌", "invalid": "❌", "unknown": "❔"}
_CELL = re.compile(r"[|\r\n]+")


def summary(merged: Mapping[str, Any]) -> str:
    """Give the Markdown; all text of the target's is made harmless."""
    text = "\n".join(_parts(merged)) + "\n"
    if len(text) <= CHARS_MAX:
        return text
    return text[:CHARS_MAX].rpartition("\n")[0] + "\n\n… cut; the report has the rest.\n"


def _parts(merged: Mapping[str, Any]) -> Iterator[str]:
    sign = {0: "✅", 2: "❔"}.get(merged["exit_status"], "❌")
    yield f"{MARKER}\n## {sign} Billing: {safe(merged['outcome'])}\n\n{safe(merged['headline'])}\n"
    yield from _list("What is wrong", [f["message"] for f in merged["findings"]])
    yield from _list("Why it proves nothing", merged["doubts"])
    yield from _table(
        ("gate", "", "what is known"),
        [(gate["name"], _SIGNS[gate["status"]], gate["reason"]) for gate in merged["gates"]],
    )
    yield from _table(
        ("suite", "passed", "failed", "unknown", "skipped"),
        [
            (name, *(str(c[result]) for result in ("passed", "failed", "unknown", "skipped")))
            for name, c in merged["suites"].items()
        ],
    )
    flaky = [
        f"`{code(each['test'])}` in {each['rate']:.0%} of {each['runs']} runs,"
        f" first at `{code(str(each['first_seen'])[:12])}`"
        for each in merged["flaky"]
    ]
    yield from _list("Flaky", flaky, made_safe=True)
    slow = [
        f"`{code(each['test'])}`: {each['now_s']:.1f} s, {each['before_s']:.1f} s before"
        for each in merged["newly_slow"]
    ]
    yield from _list("Slower than before", slow, made_safe=True)
    yield from _list("Notes", merged["notes"])
    yield _foot(merged)


def _foot(merged: Mapping[str, Any]) -> str:
    ratio = merged["slowest_to_mean"]
    even = "" if ratio is None else f", the slowest share {ratio:.2f} times the mean"
    return (
        f"<sub>{merged['collected']} of {merged['expected']} tests in"
        f" {len(merged['partitions'])} partitions{even} · {merged['duration_s']:.0f} s ·"
        f" {safe(str(merged['commit'])[:12])}</sub>"
    )


def _list(title: str, lines: Sequence[str], *, made_safe: bool = False) -> Iterator[str]:
    if not lines:
        return
    yield f"### {title}\n"
    yield from (f"- {line if made_safe else safe(line)}" for line in lines[:_SHOWN])
    if len(lines) > _SHOWN:
        yield f"- … and {len(lines) - _SHOWN} more"
    yield ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    told = [f"| {' | '.join(safe(cell) for cell in row)} |" for row in rows]
    if told:
        yield f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}"
        yield from told
        yield ""


def safe(text: str) -> str:
    """Make text harmless in Markdown: no table, HTML, link, image or mention comes of it.

    >>> safe("a|b <img>")
    'a/b &lt;img&gt;'
    """
    flat = _CELL.sub(lambda found: "/" if "|" in found[0] else " ", text)
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    flat = flat.replace("@", "@\u200b")
    return re.sub(r"([\\`*_\[\]#])", r"\\\1", flat)


def code(text: str) -> str:
    """Make text harmless between backquotes."""
    return _CELL.sub("/", text).replace("`", "'")
