from __future__ import annotations

import smtplib
import socket
from email.message import EmailMessage
from typing import TYPE_CHECKING

import pytest

from harness.errors import Unknown
from harness.evidence import letters_to
from harness.stack.mailbox import mailbox

if TYPE_CHECKING:
    from pathlib import Path

TEXT = "Hello,\n.\n..and dots at the start of a line stay.\n"


def letter(to: str, subject: str = "Welcome") -> EmailMessage:
    """Write a letter."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "billing@example.com", to, subject
    message.set_content(TEXT)
    return message


def test_a_letter_is_kept_as_it_was_sent_and_found_by_whom_it_was_for(tmp_path: Path) -> None:
    """Several letters in one conversation are kept apart, whole, each with whom it was for."""
    with mailbox(tmp_path / "mail") as port, smtplib.SMTP("127.0.0.1", port) as smtp:
        smtp.send_message(letter("Ada <ada@test.example.com>"))
        smtp.send_message(letter("bob@test.example.com"), to_addrs=["eve@test.example.com"])
    files = [f"{tmp_path}/mail/*.eml"]
    (found,) = letters_to(files, ["ADA@test.example.com"])
    assert found.recipients == {"ada@test.example.com"}
    assert (found.subject, found.text) == ("Welcome", TEXT)
    (blind,) = letters_to(files, ["eve@test.example.com"])
    assert blind.recipients == {"bob@test.example.com", "eve@test.example.com"}
    assert letters_to(files, ["nobody@test.example.com"]) == []


def test_a_letter_that_breaks_off_is_not_kept(tmp_path: Path) -> None:
    """A client that dies in the middle leaves nothing behind, and the next one is served."""
    with mailbox(tmp_path / "mail") as port:
        with socket.create_connection(("127.0.0.1", port), 5) as client:
            client.sendall(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nSubject: half of it\r\n")
        with smtplib.SMTP("127.0.0.1", port) as smtp:
            smtp.send_message(letter("c@d"))
    assert [found.subject for found in letters_to([f"{tmp_path}/mail/*.eml"], ["c@d"])] == [
        "Welcome"
    ]


def test_where_no_letters_can_be_no_letter_is_unknown(tmp_path: Path) -> None:
    """A folder that is not there proves nothing; an empty one that there are no letters."""
    with pytest.raises(Unknown, match="no letters are at"):
        letters_to([f"{tmp_path}/missing/*.eml"], ["a@b"])
    assert letters_to([f"{tmp_path}/*.eml"], ["a@b"]) == []
