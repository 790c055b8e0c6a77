"""Sends calls over httpx, exactly as written, and tells how a missing answer went missing."""

from __future__ import annotations

import hashlib
import socket
import time
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import ip_network
from typing import TYPE_CHECKING

import httpx

from harness.deadline import Deadline, DeadlineTransport
from harness.target.wire import Call, NoReply, NoReplyReason, Reply

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

REPLY_BYTES_MAX = 16 * 1024 * 1024

_LOOPBACK = ip_network("127.0.0.0/8")

_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.LocalProtocolError,  # what HTTP cannot carry is found before anything leaves
    httpx.UnsupportedProtocol,
)
_CUT_OFF = ("disconnect", "closed connection")  # as httpcore and h11 put it


class Transport:
    """One pool of connections to one target.

    It follows no redirect, keeps no cookie and reads no proxy from the environment: what a test
    sends is what goes out. `timeout_s` bounds a whole exchange, not each read of it, so a target
    that answers a byte at a time cannot hang a run.
    """

    def __init__(
        self,
        base_url: str,
        timeout_s: float,
        *,
        source_address: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._base = httpx.URL(base_url)
        self._timeout_s = timeout_s
        self._deadline = Deadline()
        self._client = httpx.Client(
            timeout=timeout_s,
            trust_env=False,
            transport=transport or DeadlineTransport(self._deadline, source_address),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )

    def __enter__(self) -> Self:
        """Give the transport itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close its connections."""
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def send(self, call: Call) -> Reply | NoReply:
        """Send one call and give its reply, or say why there is none."""
        self._deadline.ends_at = ends_at = time.monotonic() + self._timeout_s
        try:
            with self._client.stream(
                call.method,
                self._base,
                headers=_raw(call),
                content=call.body or None,
                extensions={"target": self._written(call)},
            ) as response:
                return _read(response, ends_at)
        except _NEVER_SENT as error:
            return NoReply("unreachable", sent=False, detail=_said(error))
        except httpx.TimeoutException as error:
            return NoReply("timeout", sent=True, detail=_said(error))
        except httpx.RemoteProtocolError as error:
            cut_off = any(words in str(error) for words in _CUT_OFF)
            reason: NoReplyReason = "reset" if cut_off else "not_http"
            return NoReply(reason, sent=True, detail=_said(error))
        except (httpx.TransportError, httpx.DecodingError) as error:
            return NoReply("reset", sent=True, detail=_said(error))

    def _written(self, call: Call) -> bytes:
        """Give path and query as they go out: no dot segments resolved, nothing quoted twice."""
        query = str(httpx.QueryParams(call.query))
        path = self._base.path.rstrip("/") + call.path
        return (f"{path}?{query}" if query else path).encode()


def _raw(call: Call) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in call.headers]


def _read(response: httpx.Response, ends_at: float) -> Reply | NoReply:
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > REPLY_BYTES_MAX:
            return NoReply("too_large", sent=True, detail=f"more than {REPLY_BYTES_MAX} bytes")
        if time.monotonic() > ends_at:
            return NoReply("timeout", sent=True, detail="the answer took too long to end")
    headers = tuple(
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers.raw
    )
    return Reply(response.status_code, headers, bytes(body))


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def spare_address(base_url: str, name: str) -> str | None:
    """Give an address of this machine's that others hardly use, always the same for a name.

    A target on the same machine takes who comes from there for somebody else. None where the target
    is elsewhere, or where the machine has one loopback address only (macOS, unless told otherwise).
    """
    host = httpx.URL(base_url).host
    if not host.startswith("127."):
        return None
    digest = hashlib.sha256(name.encode()).digest()
    offset = 1 + int.from_bytes(digest[:4], "big") % (_LOOPBACK.num_addresses - 2)
    address = str(_LOOPBACK[offset])
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return None
    return address
