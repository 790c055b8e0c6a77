"""Writes what was sent as commands: curl lines for a shell, and a Python program.

What one answer gave and a later request needs becomes a variable, a run's own token `$RUN`, so
that both can be run again. Secrets are never written: a customer's comes from the answer, any
other from the environment.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from harness.replay.noted import ADVANCE, FAULT_ENDS
from harness.target.wire import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.history import Exchange, Record
    from harness.redact import Redactor
    from harness.target.profile import Profile
    from harness.target.wire import Call

_SHORTEST_ID = 6
_SECRET = "[secret]"  # noqa: S105 - what stands in a history for one
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*|\[\d+\])*")
_N = "\ue000"  # stands for a number that counts up, until it is written as a variable
_ANOTHERS = "\ue001"  # stands for a secret that no answer gives: an operator's, for instance
_OWN = "\ue002{}\ue003"  # stands for the secret of a customer
_OWNS = re.compile(_OWN.format(".*?"))
_ALIKE_MIN = 3
_NOT_OURS = frozenset({"content-length", "host", "user-agent", "accept-encoding", "connection"})


@dataclass(frozen=True, slots=True)
class Variable:
    """A text that stands for something: in the shell `$name`, in Python `{name}`."""

    name: str


@dataclass(frozen=True, slots=True)
class _Capture:
    """What a reply gives to later requests, and where the profile finds it."""

    name: str
    source: str


@dataclass(frozen=True, slots=True)
class _Sent:
    """One request as it is written down; without a call, what befell the payment provider.

    `counts`: it stands for several, which differ by a number that counts up.
    """

    operation: str
    outcome: str
    call: Call | None
    captures: tuple[_Capture, ...]
    counts: range | None = None


class Commands:
    """Records, to be written as commands; `token` is the run's own in the names that it made."""

    def __init__(
        self, records: Sequence[Record], profile: Profile, redactor: Redactor, token: str
    ) -> None:
        self._profile = profile
        self._redactor = redactor
        self._known: dict[str, str] = {token: "RUN", _N: "n", _ANOTHERS: "SECRET"}
        self._sent = list(_counted(list(self._requests(records))))

    def __len__(self) -> int:
        """Count the requests."""
        return sum(len(sent.counts or (1,)) for sent in self._sent if sent.call)

    @property
    def lines(self) -> int:
        """Count what is written: requests that differ only by a number are one."""
        return len(self._sent)

    def curl(self) -> str:
        """Give the requests as lines for a shell (curl, and jq where an answer is needed)."""
        base = shlex.quote(self._profile.target.base_url)
        lines = [f"BASE_URL={base} RUN=$(date +%s)"]
        for number, sent in enumerate(self._sent, start=1):
            lines += ["", f"# {number}. {sent.operation}: {sent.outcome}", *self._curl(sent)]
        if any("${SECRET}" in line for line in lines):
            lines.insert(1, "# SECRET is yours to export: the operator's key, or whoever else asks")
        return "\n".join(lines) + "\n"

    def python(self) -> str:
        """Give the requests as a Python program (httpx, and jmespath where an answer is needed)."""
        bodies = [self._python(number, sent) for number, sent in enumerate(self._sent, start=1)]
        text = "\n".join(line for body in bodies for line in body)
        modules = ["import time", ""]
        modules += ["import httpx"] + (["import jmespath"] if "jmespath." in text else [])
        if "os.environ" in text:
            modules.insert(0, "import os")
        if "re.search" in text:
            modules.insert(modules.index("import time"), "import re")
        opened = f"api = httpx.Client(base_url={self._profile.target.base_url!r})"
        return "\n".join([*modules, "", opened, "RUN = str(int(time.time()))", text, ""])

    def _requests(self, records: Sequence[Record]) -> Iterator[_Sent]:
        made: list[tuple[Record, Exchange | None]] = []
        for record in records:
            if record.operation == FAULT_ENDS:
                continue
            made += [(record, exchange) for exchange in record.exchanges or (None,)]
        calls = [self._set_apart(record, each.call) if each else None for record, each in made]
        for number, (record, exchange) in enumerate(made):
            call = calls[number]
            if exchange is None or call is None:
                yield _Sent("the payment provider", _befell(record), None, ())
                continue
            later = [other for other in calls[number + 1 :] if other]
            captures = tuple(self._captures(record, exchange, later))
            yield _Sent(record.operation, str(record.outcome), call, captures)

    def _set_apart(self, record: Record, call: Call) -> Call:
        """Tell secrets apart by whose they are.

        A history that was read from its file says of every secret only that it was one.
        """
        mapping = self._profile.operations.get(record.operation)
        asked: Any = record.role
        role = self._profile.auth_role(mapping.role if mapping else None, asked)
        whose = _OWN.format(record.customer) if role == "customer" else _ANOTHERS
        headers = tuple((name, text.replace(_SECRET, whose)) for name, text in call.headers)
        return replace(call, headers=headers)

    def _captures(
        self, record: Record, exchange: Exchange, later: list[Call]
    ) -> Iterator[_Capture]:
        """Find the answer's ids and credentials that later requests carry."""
        for answered, output, source in _answers(record, self._profile):
            value = answered
            if answered == _SECRET:
                value = _OWN.format(record.outcome.outputs.get("customer", record.customer))
            new = len(answered) >= _SHORTEST_ID and value not in self._known
            given = _in_reply(answered, exchange)
            if new and given and any(_in_call(value, call) for call in later):
                taken = set(self._known.values())
                name = output
                for count in range(2, 100):
                    if name not in taken:
                        break
                    name = f"{output}_{count}"
                self._known[value] = name
                yield _Capture(name, source)

    def _parts(self, text: str) -> list[str | Variable]:
        """Take variables out of a text; what else is secret in it comes from the environment."""
        pattern = "|".join(map(re.escape, sorted(self._known, key=len, reverse=True)))
        text = _OWNS.sub(lambda own: own[0] if own[0] in self._known else _SECRET, text)
        parts: list[str | Variable] = []
        for index, part in enumerate(re.split(f"({pattern})", text)):
            if index % 2:
                parts.append(Variable(self._known[part]))
                continue
            for place, clean in enumerate(self._redactor.text(part).split(_SECRET)):
                parts += ([Variable("SECRET")] if place else []) + ([clean] if clean else [])
        return parts

    def _headers(self, call: Call) -> Iterator[tuple[str, str]]:
        return ((name, text) for name, text in call.headers if name.lower() not in _NOT_OURS)

    # curl

    def _curl(self, sent: _Sent) -> Iterator[str]:
        call = sent.call
        if call is None:
            return
        word = ["curl -sS"] if call.method == "GET" else [f"curl -sS -X {call.method}"]
        word.append('"$BASE_URL"' + self._shell(_address(call)))
        word += [f"-H {self._shell(f'{name}: {text}')}" for name, text in self._headers(call)]
        if call.body:
            word.append(f"--data-raw {self._shell(call.body.decode('utf-8', 'replace'))}")
        line = " ".join(word)
        if sent.counts:
            numbers = f"$(seq {sent.counts[0]} {sent.counts[-1]})"
            yield f"for n in {numbers}; do {line}; done"
            return
        if not sent.captures:
            yield line
            return
        flag = " -i" if any(c.source.startswith("header:") for c in sent.captures) else ""
        yield f'reply=$({line.replace("curl -sS", f"curl -sS{flag}", 1)}); echo "$reply"'
        for capture in sent.captures:
            yield _shell_capture(capture)

    def _shell(self, text: str) -> str:
        parts = self._parts(text)
        return "".join(
            f'"${{{part.name}}}"' if isinstance(part, Variable) else shlex.quote(part)
            for part in parts
        )

    # Python

    def _python(self, number: int, sent: _Sent) -> Iterator[str]:
        call = sent.call
        yield ""
        yield f"# {number}. {sent.operation}: {sent.outcome}"
        if call is None:
            return
        arguments = [repr(call.method), self._literal(_address(call))]
        headers = dict(self._headers(call))
        body = _json_of(call)
        if body is not None:
            headers = {n: t for n, t in headers.items() if n.lower() != "content-type"}
        if headers:
            arguments.append(f"headers={self._literal(headers)}")
        if body is not None:
            arguments.append(f"json={self._literal(body)}")
        elif call.body:
            arguments.append(f"content={self._literal(call.body.decode('utf-8', 'replace'))}")
        indent = ""
        if sent.counts:
            yield f"for n in range({sent.counts.start}, {sent.counts.stop}):"
            indent = "    "
        yield f"{indent}reply = api.request({', '.join(arguments)})"
        yield f"{indent}print(reply.status_code, reply.text)"
        for capture in sent.captures:
            yield f"{capture.name} = {_python_capture(capture)}"

    def _literal(self, value: Any) -> str:
        if isinstance(value, dict):
            pairs = (f"{self._literal(k)}: {self._literal(v)}" for k, v in value.items())
            return "{" + ", ".join(pairs) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(map(self._literal, value)) + "]"
        if not isinstance(value, str):
            return repr(value)
        parts = self._parts(value)
        if not any(isinstance(part, Variable) for part in parts):
            return repr(value)
        names = [_python_name(p) if isinstance(p, Variable) else repr(p) for p in parts]
        return " + ".join(names)


def _answers(record: Record, profile: Profile) -> Iterator[tuple[str, str, str]]:
    """Give every text that was answered: the text, the output's name, and its source."""
    mapping = profile.operations.get(record.operation)
    for output, value in record.outcome.outputs.items():
        if isinstance(value, str) and mapping and output in mapping.reply:
            yield value, output, mapping.reply[output]
        if isinstance(value, list) and mapping and mapping.items:
            for index, item in enumerate(value):
                for name, text in item.items():
                    if isinstance(text, str) and name in mapping.items.reply:
                        source = f"{mapping.items.path}[{index}].{mapping.items.reply[name]}"
                        yield text, name, source


def _in_reply(value: str, exchange: Exchange) -> bool:
    reply = exchange.reply
    if not isinstance(reply, Reply):
        return False
    return value.encode() in reply.body or any(value in text for _, text in reply.headers)


def _in_call(value: str, call: Call) -> bool:
    texts = [call.path, *(text for pair in (*call.query, *call.headers) for text in pair)]
    written = quote(value, safe="")
    return any(value in text or written in text for text in texts) or value.encode() in call.body


def _address(call: Call) -> str:
    query = urlencode(list(call.query))
    return f"{call.path}{'?' if query else ''}{query}"


def _json_of(call: Call) -> Any:
    kinds = [text for name, text in call.headers if name.lower() == "content-type"]
    if not any("json" in kind for kind in kinds):
        return None
    try:
        return json.loads(call.body)
    except (ValueError, RecursionError):  # a test may have sent a body that is nested too deep
        return None


def _shell_capture(capture: _Capture) -> str:
    if _DOTTED.fullmatch(capture.source):
        return f'{capture.name}=$(jq -r .{capture.source} <<<"$reply")'
    return f"{capture.name}=…  # of that answer: {capture.source}"


def _python_capture(capture: _Capture) -> str:
    if not capture.source.startswith("header:"):
        return f"jmespath.search({capture.source!r}, reply.json())"
    name, _, pattern = capture.source.removeprefix("header:").partition("|")
    header = f"reply.headers[{name.strip()!r}]"
    return f"re.search({pattern.strip()[1:-1]!r}, {header})[1]" if pattern else header


def _python_name(variable: Variable) -> str:
    return {"SECRET": 'os.environ["SECRET"]', "n": "str(n)"}.get(variable.name, variable.name)


def _befell(record: Record) -> str:
    """Say what was done to the payment provider (`docs/FAULTS.md`)."""
    inputs = dict(record.inputs)
    if record.operation == ADVANCE:
        return f"its time, and the target's, moves on by {inputs['by_s']} s"
    kind, on = inputs.pop("kind"), inputs.pop("on")
    besides = ", ".join(f"{name} {value}" for name, value in inputs.items())
    return f"from here on it answers {on} with {kind}" + (f" ({besides})" if besides else "")


def _counted(sent: list[_Sent]) -> Iterator[_Sent]:
    """Write several requests in a row as one, where they differ by a number that counts up."""
    start = 0
    while start < len(sent):
        end = len(sent)
        while end - start >= _ALIKE_MIN:
            alike = _alike(sent[start:end])
            if alike:
                yield alike
                break
            end -= 1
        else:
            yield sent[start]
            end = start + 1
        start = end


def _alike(row: list[_Sent]) -> _Sent | None:
    first = row[0]
    calls = [sent.call for sent in row if sent.call and not sent.captures]
    same = {(sent.operation, sent.outcome) for sent in row}
    if len(calls) < len(row) or len(same) > 1 or len({call.method for call in calls}) > 1:
        return None
    told = [json.dumps([c.path, c.query, c.headers, c.body.decode("latin-1")]) for c in calls]
    pieces = [re.split(r"(\d+)", text) for text in told]
    if len({len(split) for split in pieces}) > 1:
        return None
    template, counts = "", set()
    for column in zip(*pieces, strict=True):
        if len(set(column)) == 1:
            template += column[0]
            continue
        if not all(text.isdecimal() for text in column):
            return None
        numbers = [int(text) for text in column]
        if numbers != list(range(numbers[0], numbers[0] + len(row))):
            return None
        counts.add(range(numbers[0], numbers[-1] + 1))
        template += json.dumps(_N)[1:-1]
    if len(counts) != 1:
        return None
    path, query, headers, body = json.loads(template)
    pairs = tuple((n, v) for n, v in query), tuple((n, v) for n, v in headers)
    call = replace(calls[0], path=path, query=pairs[0], headers=pairs[1], body=_encoded(body))
    return replace(first, call=call, counts=counts.pop())


def _encoded(body: str) -> bytes:
    """Give a body back as bytes, the counting number as UTF-8 within them."""
    return b"".join(c.encode() if c == _N else c.encode("latin-1") for c in body)
