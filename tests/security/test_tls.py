"""TLS as it should be, and as it should not: what the suite says of each, on a listener of ours."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import threading
import warnings
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from harness.target.wire import Reply
from suites.security import test_transport as suite
from suites.security.tls import certificate_error, speaks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOST = "127.0.0.1"
DAY = dt.timedelta(days=1)
NEW = ssl.TLSVersion.TLSv1_2


def certificate(folder: Path, *, host: str = HOST, ends: dt.timedelta = DAY) -> Path:
    """Write a certificate that signs itself, and its key, into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "listener of a test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 30 * DAY)
        .not_valid_after(now + ends)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file = folder / "listener.pem"
    file.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return file


@contextlib.contextmanager
def listening(file: Path, oldest: ssl.TLSVersion = NEW) -> Iterator[tuple[str, int]]:
    """Shake hands over TLS with whoever comes; give where."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    if oldest < NEW:
        context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of old versions, which are the point
        context.minimum_version = oldest
    with socket.create_server((HOST, 0)) as server:
        over = threading.Event()
        thread = threading.Thread(target=_serve, args=(server, context, over))
        thread.start()
        try:
            yield server.getsockname()
        finally:
            over.set()
            thread.join()


def _serve(server: socket.socket, context: ssl.SSLContext, over: threading.Event) -> None:
    server.settimeout(0.05)
    while not over.is_set():
        with contextlib.suppress(OSError):
            raw, _ = server.accept()
            raw.settimeout(5)
            with raw, context.wrap_socket(raw, server_side=True) as wrapped:
                wrapped.recv(1)


def test_a_listener_of_today_speaks_only_what_is_good(tmp_path: Path) -> None:
    """TLS 1.2 and newer alone is as it should be."""
    with listening(certificate(tmp_path)) as place:
        suite.test_only_versions_of_tls_that_are_good_are_spoken(place)


def test_an_old_version_that_is_spoken_is_found(tmp_path: Path) -> None:
    """A listener that speaks TLS 1.0 as well is a finding, which names the version."""
    with listening(certificate(tmp_path), ssl.TLSVersion.TLSv1) as place:
        if not speaks(*place, ssl.TLSVersion.TLSv1_1):
            pytest.skip("this machine's OpenSSL speaks no old version, on either side")
        with pytest.raises(AssertionError, match="speaks TLSv1, TLSv1_1, which protects nothing"):
            suite.test_only_versions_of_tls_that_are_good_are_spoken(place)


def test_a_certificate_that_clients_trust_is_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For this host, in its time and by whom the client trusts: nothing is said against it."""
    file = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with listening(file) as place:
        suite.test_the_certificate_is_one_to_trust(place)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ({"host": "127.0.0.2"}, "IP address mismatch"),
        ({"ends": -DAY}, "expired"),
    ],
    ids=["another-host", "over"],
)
def test_a_certificate_that_is_not_good_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: dict[str, Any], why: str
) -> None:
    """Another host's certificate and one that has ended are findings, with the reason."""
    file = certificate(tmp_path, **made)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with listening(file) as place, pytest.raises(AssertionError, match=why):
        suite.test_the_certificate_is_one_to_trust(place)


def test_a_certificate_that_signs_itself_is_found(tmp_path: Path) -> None:
    """Nobody whom clients trust has signed it: that is said."""
    with listening(certificate(tmp_path)) as place:
        assert "self-signed" in str(certificate_error(*place))


@pytest.mark.parametrize(
    ("url", "is_right"),
    [("http://192.0.2.1", False), ("https://192.0.2.1", True), ("http://127.0.0.1:1", True)],
)
def test_plain_http_to_elsewhere_is_found(url: str, *, is_right: bool) -> None:
    """Keys that leave the machine unencrypted are a finding; over TLS or at home they are not."""
    profile: Any = SimpleNamespace(target=SimpleNamespace(base_url=url))
    told = contextlib.nullcontext() if is_right else pytest.raises(AssertionError)
    with told:
        suite.test_what_leaves_the_machine_is_encrypted(profile)


@pytest.mark.parametrize(
    ("said", "is_right"),
    [(None, False), ("max-age=0", False), ("includeSubDomains", False), ("max-age=31536000", True)],
    ids=["nothing", "for-no-time", "without-a-time", "for-a-year"],
)
def test_answers_that_do_not_insist_on_tls_are_found(
    monkeypatch: pytest.MonkeyPatch, said: str | None, *, is_right: bool
) -> None:
    """An answer over TLS that lets a browser go back to plain HTTP is a finding, which names it."""
    headers = (("Strict-Transport-Security", said),) if said else ()
    monkeypatch.setattr(suite, "_replies", lambda _: [("a 404", Reply(404, headers))])
    told = (
        contextlib.nullcontext() if is_right else pytest.raises(AssertionError, match="a 404 lets")
    )
    session: Any = None
    with told:
        suite.test_browsers_are_told_to_insist_on_tls(session, (HOST, 443))
