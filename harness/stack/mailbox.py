"""The mail server of a local stack: it takes every letter and keeps each as a file.

It speaks as much SMTP (RFC 5321) as a client needs that has nothing to fear on its own machine.
"""

from __future__ import annotations

import contextlib
import itertools
import socketserver
import threading
from typing import TYPE_CHECKING

from harness.stack.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAIL_FOLDER = "mail"
_QUIET_S = 60.0  # a client that says nothing for so long is gone
_POLL_S = 0.1
_LINE_BYTES_MAX = 100_000


class _Mailbox(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, folder: Path) -> None:
        super().__init__((LOOPBACK, 0), _Visit)
        self.folder = folder
        self._numbers = itertools.count(1)

    def keep(self, recipients: list[str], letter: bytes) -> None:
        """Write a letter down whole, below whom it was handed in for: it is there, or it is not."""
        name = f"{next(self._numbers):06}"
        draft = self.folder / f"{name}.part"
        envelope = "".join(f"X-Envelope-To: {recipient}\r\n" for recipient in recipients)
        draft.write_bytes(envelope.encode() + letter)
        draft.rename(self.folder / f"{name}.eml")


class _Visit(socketserver.StreamRequestHandler):
    server: _Mailbox
    timeout = _QUIET_S

    def handle(self) -> None:
        """Go through a conversation, which a client may break off anywhere."""
        with contextlib.suppress(OSError):
            self._say("220 the mailbox of a billing stack")
            self._talk()

    def _talk(self) -> None:
        recipients: list[str] = []
        while line := self.rfile.readline(_LINE_BYTES_MAX):
            verb = line[:4].upper()
            if verb == b"QUIT":
                self._say("221 bye")
                return
            if verb == b"DATA":
                self._say("354 go on")
                self.server.keep(recipients, self._letter())
            if verb in {b"DATA", b"MAIL", b"RSET"}:
                recipients = []
            if verb == b"RCPT":
                recipients.append(
                    line.decode("utf-8", "replace").partition("<")[2].partition(">")[0]
                )
            self._say("250 ok")

    def _letter(self) -> bytes:
        """Read up to the line with a single dot; a line that began with one was given another."""
        lines = []
        while (line := self.rfile.readline(_LINE_BYTES_MAX)) not in {b".\r\n", b""}:
            lines.append(line.removeprefix(b"."))
        if not line:
            raise ConnectionError("the letter broke off")
        return b"".join(lines)

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


def _address(line: bytes) -> str:
    return line.decode("utf-8", "replace").partition("<")[2].partition(">")[0]


@contextlib.contextmanager
def mailbox(folder: Path) -> Iterator[int]:
    """Take letters into a folder, as `000001.eml` and so on; gives the port to send them to."""
    folder.mkdir(exist_ok=True)
    with _Mailbox(folder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(_POLL_S,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
