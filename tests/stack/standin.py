"""Stands in for both services of a stack: `serve --fd N` and `migrate`, standard library only.

What goes wrong is told by STANDIN, words with commas between: `fail` (exit 1 at once), `stubborn`
(ignores SIGTERM), `daemon` (leaves a process in a session of its own), `never_ready`,
`bad_migration`, `no_endpoint`, `odd_endpoint`. `GET /environment` answers with its environment,
`GET /pid` with its process id. `listen PORT` opens a port of its own, `sleep` does nothing.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

MODES = os.environ.get("STANDIN", "").split(",")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.endswith("/ready"):
            self._answer(503 if "never_ready" in MODES else 200, {"ready": True})
        elif self.path == "/environment":
            self._answer(200, dict(os.environ))
        elif self.path == "/pid":
            self._answer(200, os.getpid())
        else:
            self._answer(404, {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        sys.stderr.write(f"{self.path} {self.headers['Authorization'][:15]} {body}\n")
        if "no_endpoint" in MODES:
            self._answer(400, {"error": {"message": "no such parameter"}})
        else:
            secret = None if "odd_endpoint" in MODES else "whsec_standin"
            self._answer(200, {"id": "we_1", "secret": secret})

    def _answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def daemonise() -> None:
    """Leave a process behind as a daemon does: forked twice, in a session of its own."""
    script = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(600)\n"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)


def serve(listener: socket.socket) -> None:
    """Answer on a listening socket until the end."""
    server = HTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.serve_forever()


def main(command: str, *rest: str) -> None:
    """Do what the command line and STANDIN say."""
    if "stubborn" in MODES:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "daemon" in MODES:
        daemonise()
    if "fail" in MODES:
        secret = os.environ.get("STANDIN_SECRET", "")
        sys.exit("\n".join([f"line {number}" for number in range(20)] + [f"cannot: {secret}"]))
    if command == "migrate":
        sys.exit("no such table" if "bad_migration" in MODES else None)
    elif command == "sleep":
        time.sleep(600)
    elif command == "listen":
        serve(socket.create_server(("127.0.0.1", int(rest[0]))))
    else:
        serve(socket.socket(fileno=int(rest[1])))


if __name__ == "__main__":
    main(*sys.argv[1:])
