"""A real Prometheus, started for a proof, and what is asked of it over its HTTP API."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from dashboards.naming import OURS, Naming
from harness.errors import StackError
from harness.stack.ports import reserve, url_of
from harness.stack.process import Child
from harness.target.wire import Call, NoReply
from harness.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from dashboards.oracles import Labels

READY_S = 30.0
QUERY_S = 20.0
BACKFILL_S = 120.0
_OK = 200
_BLOCKS = "--max-block-duration=1296h"
_HINT = "On Debian: apt-get install prometheus. Then run `billing-harness dashboards prove` again."


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query gave: values by labels, or why there is none."""

    values: Mapping[Labels, float]
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A Prometheus that answers, by its address.

    Whoever asks speaks our names; `naming` says what the series are called there.
    """

    url: str
    naming: Naming = OURS

    def ask(self, expr: str, at_s: float) -> Answer:
        """Evaluate a query at a moment, in Unix seconds. Raises `StackError` without an answer."""
        about = {"time": f"{at_s:.3f}", "timeout": "15s"}
        found = self._get("/api/v1/query", {"query": self.naming.expr(expr), **about})
        if found["status"] != "success":
            return Answer({}, str(found.get("error", "it was refused")))
        result = found["data"]["result"]
        if found["data"]["resultType"] == "scalar":
            return Answer({(): float(result[1])})
        return Answer({self._labels(each["metric"]): float(each["value"][1]) for each in result})

    def course(self, expr: str, begins_s: float, ends_s: float, step_s: float) -> list[tuple[str, list[tuple[float, float]]]]:  # noqa: E501  # fmt: skip  # a type
        """Evaluate a query over a stretch of time, for a picture of it."""
        span = {"start": f"{begins_s:.3f}", "end": f"{ends_s:.3f}", "step": f"{step_s:g}"}
        found = self._get("/api/v1/query_range", {"query": self.naming.expr(expr), **span})
        if found["status"] != "success":
            return []
        return [
            (", ".join(value for _, value in self._labels(each["metric"])),
             [(float(at), float(value)) for at, value in each["values"]])
            for each in found["data"]["result"]
        ]  # fmt: skip

    def _labels(self, metric: Mapping[str, str]) -> Labels:
        ours = ((self.naming.our_label(k), v) for k, v in metric.items() if k != "__name__")
        return tuple(sorted(ours))

    def _get(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        with Transport(self.url, QUERY_S) as transport:
            call = Call("POST", path, headers=(("Content-Type", _FORM),), body=_form(query))
            reply = transport.send(call)
        if isinstance(reply, NoReply):
            raise StackError(
                f"Prometheus did not answer within {QUERY_S:g} s: {reply.reason}",
                hint="Did it end, or is the machine overrun? Run the proof again on its own.",
            )
        try:
            found: dict[str, Any] = json.loads(reply.body)
            _ = found["status"]
        except (ValueError, KeyError, TypeError):
            raise StackError(
                f"what answers at {self.url} is no Prometheus (status {reply.status})",
                hint="Which `prometheus` is first on the PATH? It must be 2.40 or newer.",
            ) from None
        return found


_FORM = "application/x-www-form-urlencoded"


def _form(query: Mapping[str, str]) -> bytes:
    return urlencode(query).encode()


def need(program: str) -> str:
    """Give where a program is. Raises `StackError` with how to get it."""
    found = shutil.which(program)
    if found is None:
        raise StackError(f"{program} is not on the PATH", hint=_HINT)
    return found


def backfill(page: Path, data: Path) -> None:
    """Make blocks of an OpenMetrics page with timestamps. Raises `StackError`."""
    # promtool reads the page once for each block that it makes: of two hours, it would be hundreds.
    command = [need("promtool"), "tsdb", "create-blocks-from", _BLOCKS, "openmetrics"]
    command += [str(page), str(data)]
    try:
        ended = subprocess.run(  # noqa: S603 - a program of the PATH, by a name of ours
            command, capture_output=True, text=True, timeout=BACKFILL_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise StackError(
            f"promtool made no blocks within {BACKFILL_S:g} s",
            hint="Is the disk full, or the machine overrun? Run the proof again on its own.",
        ) from None
    if ended.returncode:
        said = (ended.stderr or ended.stdout).strip().splitlines()
        raise StackError(f"promtool refused the virtual time: {said[-1] if said else 'no word'}")


@contextlib.contextmanager
def prometheus(
    folder: Path,
    name: str,
    scrapes: Sequence[Mapping[str, Any]] = (),
    naming: Naming = OURS,
) -> Iterator[Prometheus]:
    """Start one whose data are in `folder/name`; `scrapes` are as its configuration has them.

    The configuration is JSON, which is YAML too. Raises `StackError`.
    """
    program = need("prometheus")
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "5s", "scrape_timeout": "1s"},
        "scrape_configs": list(scrapes),
    }
    file = folder / f"{name}.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    file.chmod(0o600)
    with reserve(0, "Prometheus") as listener:
        url = url_of(listener)
    data = folder / name
    argv = [
        program, f"--config.file={file}", f"--storage.tsdb.path={data}",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--storage.tsdb.retention.time=10y", "--log.level=warn",
    ]  # fmt: skip
    child = Child("prometheus", argv, env=dict(os.environ), log=folder / f"{name}.log")
    try:
        child.wait_ready(f"{url}/-/ready", READY_S)
        yield Prometheus(url, naming)
    finally:
        child.stop()
