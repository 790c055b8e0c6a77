"""A server that stops dead now and then, and keeps the record by which latencies are judged.

``python freezing.py RECORD EVERY_S FREEZE_S [HOST]``: prints its port; from the first request on,
it freezes for the last FREEZE_S of every EVERY_S, and answers at once otherwise. At SIGTERM it
writes RECORD: each freeze and each request as it read and answered it, in seconds of the
monotonic clock, which all processes of a machine share.
"""

import json
import re
import selectors
import signal
import socket
import sys
import time
from pathlib import Path

_ASKED = re.compile(rb"^(?:GET|POST) /(\w+)[^\r]*\r\n")
LOOPBACK = "127.0.0.1"
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"


class Freezing:
    """One thread, which answers or is frozen."""

    def __init__(self, every_s: float, freeze_s: float, host: str) -> None:
        self.every_s, self.freeze_s = every_s, freeze_s
        self.requests: list[tuple[str, float, float]] = []
        self.freezes: list[tuple[float, float]] = []
        self.listener = socket.create_server((host, 0), backlog=512)
        self.listener.setblocking(False)  # noqa: FBT003 - its only argument
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.listener, selectors.EVENT_READ)
        self._freeze_at: float | None = None
        self._ending = False

    def end(self, *_: object) -> None:
        self._ending = True

    def serve(self) -> None:
        while not self._ending:
            now = time.monotonic()
            if self._freeze_at is not None and now >= self._freeze_at:
                self._freeze(self._freeze_at)
                continue
            wait_s = 0.1 if self._freeze_at is None else min(0.1, self._freeze_at - now)
            for key, _ in self._selector.select(wait_s):
                if key.fileobj is self.listener:
                    accepted, _ = self.listener.accept()
                    self._selector.register(accepted, selectors.EVENT_READ)
                elif isinstance(key.fileobj, socket.socket):
                    self._answer(key.fileobj)
                if self._freeze_at is not None and time.monotonic() >= self._freeze_at:
                    break

    def _freeze(self, due: float) -> None:
        began = time.monotonic()
        time.sleep(max(0.0, due + self.freeze_s - began))
        self.freezes.append((began, time.monotonic()))
        self._freeze_at = due + self.every_s

    def _answer(self, client: socket.socket) -> None:
        read = time.monotonic()
        try:
            data = client.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self._selector.unregister(client)
            client.close()
            return
        if self._freeze_at is None:
            self._freeze_at = read + self.every_s - self.freeze_s
        asked = _ASKED.match(data)
        if asked is None:
            raise ValueError(data)
        self.requests.append((asked[1].decode(), read, time.monotonic()))
        client.sendall(_ANSWER)


def main() -> None:
    """Serve until told to end."""
    record, every_s, freeze_s, *host = sys.argv[1:]
    server = Freezing(float(every_s), float(freeze_s), host[0] if host else LOOPBACK)
    signal.signal(signal.SIGTERM, server.end)
    sys.stdout.write(f"{server.listener.getsockname()[1]}\n")
    sys.stdout.flush()
    server.serve()
    told = {"requests": server.requests, "freezes": server.freezes}
    Path(record).write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main()
