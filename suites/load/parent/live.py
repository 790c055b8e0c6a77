"""Metrics while the load runs: a small page for Prometheus, read off what the load has written."""

from __future__ import annotations

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlunsplit

from harness.errors import SettingsError
from harness.stack.ports import LOOPBACK
from suites.load.report.exports import prometheus_text, summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_COUNTS = {
    "scheduled": "Arrivals of the whole schedule",
    "sent": "Arrivals begun until now",
    "completed": "Arrivals answered until now",
    "errors": "Arrivals that did not come to what is expected",
}


def live_text(data: Mapping[str, Any] | None) -> str:
    """Give a load under way as Prometheus text, `load_…`; `load_up` alone before its first word."""
    lines = ["# HELP load_up Whether a load runs", "# TYPE load_up gauge"]
    lines += [f"load_up {int(data is not None)}"]
    if data is None:
        return "\n".join(lines) + "\n"
    scenario = str(data["scenario"]).replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    for name, meaning in _COUNTS.items():
        lines += [f"# HELP load_{name} {meaning}", f"# TYPE load_{name} gauge"]
        lines += [f'load_{name}{{scenario="{scenario}"}} {data[name]}']
    return "\n".join(lines) + "\n" + prometheus_text(summary([data]), prefix="load_")


@contextlib.contextmanager
def live_metrics(port: int | None, read: Callable[[], Mapping[str, Any] | None]) -> Iterator[str]:
    """Serve `/metrics` on loopback while the load runs; a port of 0 takes a free one.

    Gives the address, empty where no port was asked for. Raises `SettingsError` where the port is
    taken.
    """
    if port is None:
        yield ""
        return

    class Page(BaseHTTPRequestHandler):
        """Answers every GET with the metrics of the moment."""

        def do_GET(self) -> None:
            body = live_text(read()).encode()
            self.send_response(200)
            self.send_header("Content-Type", _TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing on the terminal, where the progress stands."""

    try:
        server = ThreadingHTTPServer((LOOPBACK, port), Page)
    except OSError as error:
        raise SettingsError(
            f"live metrics cannot be served on port {port}: {error.strerror}",
            hint="Give another --metrics-port, or 0 for a free one.",
        ) from None
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    try:
        yield urlunsplit(("http", f"{LOOPBACK}:{server.server_port}", "metrics", "", ""))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
