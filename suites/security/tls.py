"""What a server says of itself over TLS: the versions it speaks, and whether to trust it."""

from __future__ import annotations

import socket
import ssl
import warnings

_DEADLINE_S = 5.0


def speaks(host: str, port: int, version: ssl.TLSVersion) -> bool:
    """Whether a server takes a connection of just this version."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # who it is, is another question
    context.set_ciphers("ALL:@SECLEVEL=0")  # or our own side would refuse the old ones
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of old versions, which are the point
        context.minimum_version = context.maximum_version = version
    try:
        with (
            socket.create_connection((host, port), _DEADLINE_S) as raw,
            context.wrap_socket(raw, server_hostname=host),
        ):
            return True
    except OSError:  # TLS' own errors among them
        return False


def certificate_error(host: str, port: int) -> str | None:
    """Say why a client would not trust a server's certificate; None where it would."""
    context = ssl.create_default_context()
    try:
        with (
            socket.create_connection((host, port), _DEADLINE_S) as raw,
            context.wrap_socket(raw, server_hostname=host),
        ):
            return None
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except OSError as error:
        return str(error)
