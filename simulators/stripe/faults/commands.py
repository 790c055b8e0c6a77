"""``python -m simulators.stripe faults``: faults of a running simulator, from the command line."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import httpx

from simulators.stripe.faults.kinds import DELIVERY_KINDS, KINDS, REQUEST_KINDS, BadFault

_URL = "http://127.0.0.1:12111"
_EXAMPLES = """\
examples:
  faults add error --path '/v1/payment_intents*' --set effect=kept --count 2
  faults add lock_timeout --rate 0.1 --seed 7
  faults add latency --samples recorded.txt --method POST
  faults add hold --event-type 'invoice.*'
  faults add twin --event-type charge.refunded --nth 3
  faults list; faults log; faults release fault_4; faults remove fault_4; faults remove
"""


def add_fault_commands(commands: Any) -> None:
    """Add ``faults`` with its verbs to the command line."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = commands.add_parser(
        "faults",
        help="break requests and deliveries on purpose",
        epilog=_EXAMPLES,
        formatter_class=raw,
    )
    parser.add_argument("--url", default=_URL, help=f"the simulator's address ({_URL})")
    verbs = parser.add_subparsers(dest="verb", required=True)
    add = verbs.add_parser(
        "add", help="put a fault into force", epilog=_EXAMPLES, formatter_class=raw
    )
    kinds = f"of requests: {', '.join(REQUEST_KINDS)}; of deliveries: {', '.join(DELIVERY_KINDS)}"
    add.add_argument("kind", choices=list(KINDS), metavar="KIND", help=kinds)
    for name in (
        "method",
        "path",
        "customer",
        "idempotency-key",
        "event-type",
        "object",
        "webhook-endpoint",
    ):
        add.add_argument(f"--{name}", metavar="PATTERN", help="* and ? stand for any characters")
    for name in ("body", "metadata"):
        add.add_argument(f"--{name}", action="append", default=[], metavar="NAME=PATTERN")
    for name in ("nth", "count", "seed"):
        add.add_argument(f"--{name}", type=int, metavar="N")
    add.add_argument("--rate", type=float, metavar="CHANCE", help="from 0 to 1")
    add.add_argument("--samples", type=Path, metavar="FILE", help="latencies, see docs/FAULTS.md")
    add.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="own",
        help="what else this kind of fault takes",
    )
    verbs.add_parser("list", help="list the faults in force")
    verbs.add_parser("log", help="tell what was hit")
    for verb, text in (
        ("release", "let go what a fault holds"),
        ("remove", "take a fault out of force, or all"),
    ):
        sub = verbs.add_parser(verb, help=text)
        sub.add_argument("fault", nargs="?" if verb == "remove" else None)


def run_fault_command(given: argparse.Namespace) -> int:
    """Do one verb and print the answer; return 2 with a sentence when it cannot be done."""
    try:
        method, path, body = _request(given)
        answer = httpx.request(
            method, f"{given.url}/simulator{path}", json=body, timeout=10, trust_env=False
        )
        shown = answer.json()
    except BadFault as error:
        return _fail(str(error))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return _fail(f"no simulator answers at {given.url}: {error}")
    if answer.is_error:
        return _fail(str(shown.get("error", shown)))
    sys.stdout.write(json.dumps(shown, indent=2) + "\n")
    return 0


def _request(given: argparse.Namespace) -> tuple[str, str, dict[str, Any] | None]:
    """Return the request that a verb makes."""
    if given.verb == "add":
        return "POST", "/faults", _fault(given)
    if given.verb == "remove":
        return "DELETE", f"/faults/{given.fault}" if given.fault else "/faults", None
    if given.verb == "release":
        return "POST", f"/faults/{given.fault}/release", {}
    return "GET", "/faults/log" if given.verb == "log" else "/faults", None


def _fault(given: argparse.Namespace) -> dict[str, Any]:
    names = (
        "kind",
        "method",
        "path",
        "customer",
        "idempotency_key",
        "event_type",
        "object",
        "webhook_endpoint",
        "nth",
        "count",
        "seed",
        "rate",
    )
    fault = {name: getattr(given, name) for name in names if getattr(given, name) is not None}
    for name in ("body", "metadata"):
        if pairs := getattr(given, name):
            fault[name] = dict(map(_pair, pairs))
    if given.samples:
        fault["samples_s"] = read_samples(given.samples)
    for name, text in map(_pair, given.own):
        try:
            fault[name] = json.loads(text)
        except ValueError:
            fault[name] = text
    return fault


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise BadFault(f"{text!r} must be NAME=VALUE")
    return name, value


def read_faults(path: Path) -> list[dict[str, Any]]:
    """Read a list of faults; one may name a file of ``samples`` beside it."""
    try:
        given = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BadFault(f"{path} cannot be read: {error}") from None
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise BadFault(f"{path} must hold a JSON list of objects")
    for each in given:
        if samples := each.pop("samples", None):
            each["samples_s"] = read_samples(path.parent / str(samples))
    return given


def read_samples(path: Path) -> list[float]:
    """Read a recorded distribution: a latency in seconds a line, and how often it was seen.

    A line ``0.12 30`` stands for thirty; ``#`` begins a comment.
    """
    samples: list[float] = []
    try:
        for line in path.read_text().splitlines():
            if words := line.partition("#")[0].split():
                value, times = float(words[0]), int(words[1]) if words[1:] else 1
                samples += [value] * times
    except (OSError, ValueError) as error:
        raise BadFault(f"{path} is no list of latencies: {error}") from None
    return samples


def _fail(sentence: str) -> int:
    sys.stderr.write(f"{sentence}\n")
    return 2
