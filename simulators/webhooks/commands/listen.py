"""`billing-harness webhooks listen`: a receiver that verifies and shows what it gets.

It can be told to fail or to be slow, so that a sender's retries are seen.
"""

import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Annotated, Any

import typer
from rich.text import Text

from harness import signing
from harness.cli.console import output
from harness.errors import SettingsError
from simulators.webhooks.commands.destination import SECRET_ENV
from simulators.webhooks.commands.options import AsJson, takes_options
from simulators.webhooks.commands.telling import INTERRUPTED, printable

BODY_BYTES_MAX = 1024 * 1024
SOCKET_TIMEOUT_S = 10.0
DELAY_S_MAX = 300.0
_POLL_S = 0.05
_BAD_REQUEST = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """How the receiver answers what is signed rightly: with `status`, `delay_s` later.

    Where `first` is not None only so many deliveries are answered so, and all later ones by 200.
    """

    status: Annotated[
        int,
        typer.Option(
            "--answer", help="The status to answer with.", metavar="STATUS", min=200, max=599
        ),
    ] = 200
    delay_s: Annotated[
        float, typer.Option("--delay", help="Answer so much later.", metavar="SECONDS")
    ] = 0.0
    first: Annotated[
        int | None,
        typer.Option(help="Answer so only the first N, then 200 at once.", metavar="N", min=1),
    ] = None

    def __post_init__(self) -> None:
        if not 0 <= self.delay_s <= DELAY_S_MAX:
            raise SettingsError(f"--delay {self.delay_s:g} is out of range", hint="0 to 300 s.")

    def to(self, number: int) -> tuple[int, float]:
        """Return status and delay for the nth delivery, counted from one."""
        if self.first is not None and number > self.first:
            return 200, 0.0
        return self.status, self.delay_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One delivery: what came, whether its signature holds (else why not), what was answered."""

    number: int
    path: str
    id: str | None
    type: str | None
    object: str | None
    problem: str | None
    age_s: int | None
    seen_before: bool
    answered: int
    at: float


@dataclass(slots=True)
class Inbox:
    """What was received so far; thread-safe."""

    secret: str = field(repr=False)
    answering: Answering
    tell: Callable[[Received], None]
    count_max: int | None = None
    received: list[Received] = field(default_factory=list)
    full: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    begun: int = 0

    def take(self, path: str, body: bytes, header: str | None) -> tuple[int, float]:
        """Verify, remember and tell one delivery; return how it is to be answered, and when."""
        age_s, problem = self._verify(body, header)
        event = _read(body)
        with self.lock:
            self.begun += 1
            status, delay_s = self.answering.to(self.begun)
            if problem:
                status, delay_s = _BAD_REQUEST, 0.0
            found = Received(
                number=self.begun,
                path=path,
                id=event["id"],
                type=event["type"],
                object=event["object"],
                problem=problem,
                age_s=age_s,
                seen_before=event["id"] in {each.id for each in self.received if each.id},
                answered=status,
                at=time.time(),
            )
            self.received.append(found)
            self.tell(found)
        return status, delay_s

    def answered(self) -> None:
        """Hear that an answer has left; once there were enough, the receiver may go."""
        with self.lock:
            if self.count_max is not None and self.begun >= self.count_max:
                self.full.set()

    def _verify(self, body: bytes, header: str | None) -> tuple[int | None, str | None]:
        try:
            signed_at = signing.verify(body, header, self.secret)
        except signing.SignatureError as error:
            return None, str(error)
        return int(time.time()) - signed_at, None


def _read(body: bytes) -> dict[str, str | None]:
    """Give id, type and the object's id of an event; None for what is not there."""
    try:
        event: Any = json.loads(body)
    except (ValueError, RecursionError):
        event = None
    top = event if isinstance(event, dict) else {}
    data = top.get("data")
    inner = data.get("object") if isinstance(data, dict) else None
    found = inner.get("id") if isinstance(inner, dict) else None
    named = {"id": top.get("id"), "type": top.get("type"), "object": found}
    return {name: value if isinstance(value, str) else None for name, value in named.items()}


class _Server(ThreadingHTTPServer):
    """The server that an inbox is behind; a thread for each connection."""

    daemon_threads = True
    inbox: Inbox

    def handle_error(self, *_: object) -> None:
        """Say nothing: a sender that hangs up is nobody's mistake here."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = SOCKET_TIMEOUT_S
    disable_nagle_algorithm = True  # headers and body are two small writes

    def do_POST(self) -> None:
        """Take a delivery."""
        body = self._body()
        if body is None:
            return
        inbox = self.server.inbox
        status, delay_s = inbox.take(self.path, body, self.headers.get("Stripe-Signature"))
        inbox.full.wait(delay_s)
        self._answer(status)
        inbox.answered()

    def _body(self) -> bytes | None:
        """Read the body; one without a length, or too long a one, is refused unread."""
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            length = -1
        if not 0 <= length <= BODY_BYTES_MAX:
            self.close_connection = True
            self._answer(413 if length > 0 else 411)
            return None
        return self.rfile.read(length)

    def _answer(self, status: int) -> None:
        content = b'{"received": true}' if status < 300 else b""  # noqa: PLR2004 - any 2xx
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing: each delivery is told in its own way."""


def make_server(inbox: Inbox, port: int) -> ThreadingHTTPServer:
    """Bind to a loopback port (0: any free one); `SettingsError` where it is taken."""
    try:
        server = _Server(("127.0.0.1", port), _Handler)
    except (OSError, OverflowError) as error:
        raise SettingsError(
            f"port {port} cannot be listened on: {error}", hint="Try --port 0 for any free one."
        ) from None
    server.inbox = inbox
    return server


def _tell(found: Received) -> None:
    verdict = ("refused ", "red") if found.problem else ("verified", "green")
    repeat = "  again" if found.seen_before else ""
    why = f"  {found.problem}" if found.problem else f"  signed {found.age_s} s ago"
    shown = f"{found.type or 'no event'}  {found.id or ''}  {found.object or ''}"
    rest = f"  {printable(shown)}{repeat}{why}  answered {found.answered}"
    output.print(Text.assemble(verdict, rest))


def _tell_json(found: Received) -> None:
    typer.echo(json.dumps(asdict(found)))


def _secret(environment: Mapping[str, str], name: str | None) -> tuple[str, bool]:
    """Return the secret to verify with, and whether it was made here and so may be shown."""
    found = environment.get(name or SECRET_ENV, "").strip()
    if name is not None and not found:
        raise SettingsError(f"{name} is not set", hint=f"export {name}=whsec_…")
    return (found, False) if found else (f"whsec_{secrets.token_hex(24)}", True)


def summary_of(received: list[Received]) -> dict[str, int]:
    """Count what was received."""
    return {
        "received": len(received),
        "verified": sum(each.problem is None for each in received),
        "refused": sum(each.problem is not None for each in received),
        "repeated": sum(each.seen_before for each in received),
    }


def _serve(server: ThreadingHTTPServer, inbox: Inbox, seconds: float | None) -> None:
    """Serve until there was enough, the time is over, or Ctrl-C."""
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": _POLL_S}, daemon=True
    )
    thread.start()
    try:
        inbox.full.wait(seconds)
    finally:
        inbox.full.set()
        server.shutdown()
        server.server_close()


@takes_options()
def listen(  # noqa: PLR0913 - typer turns parameters into options
    answering: Answering,
    *,
    port: Annotated[
        int, typer.Option(help="The port on 127.0.0.1; 0 takes a free one.", metavar="N", max=65535)
    ] = 4242,
    secret_env: Annotated[
        str | None,
        typer.Option(help="The variable that holds the secret to verify with.", metavar="NAME"),
    ] = None,
    count: Annotated[
        int | None, typer.Option(help="Stop after so many deliveries.", metavar="N", min=1)
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option("--for", help="Stop after so long.", metavar="SECONDS", min=0),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Receive webhooks: verify each, show it, and answer as told; Ctrl-C ends with a summary.

    Without a secret in the environment one is made and shown. What is signed wrongly is answered
    with 400. Exit status: 0 all verified; 1 one was not; 2 nothing came.
    """
    secret, is_own = _secret(os.environ, secret_env)
    inbox = Inbox(secret, answering, _tell_json if as_json else _tell, count_max=count)
    server = make_server(inbox, port)
    is_cut_short = False
    try:
        _greet(server.server_port, secret if is_own else None, as_json=as_json)
        _serve(server, inbox, seconds)
    except KeyboardInterrupt:
        is_cut_short = True
    counts = summary_of(inbox.received)
    if as_json:
        typer.echo(json.dumps({"summary": counts, "interrupted": is_cut_short}))
    else:
        output.print(", ".join(f"{number} {name}" for name, number in counts.items()))
    return INTERRUPTED if is_cut_short else _status(counts)


def _greet(port: int, secret: str | None, *, as_json: bool) -> None:
    """Say where it listens; a secret that was made for this listener opens nothing else."""
    url = f"http://127.0.0.1:{port}/"
    if as_json:
        made = {"secret": secret} if secret else {}
        typer.echo(json.dumps({"listening": url, **made}))
        return
    output.print(f"listening on {url} (any path); Ctrl-C stops it")
    if secret:
        output.print(f"sign with {secret}  (made for this listener: export {SECRET_ENV}=…)")


def _status(counts: dict[str, int]) -> int:
    if counts["refused"]:
        return 1
    return 0 if counts["received"] else 2
