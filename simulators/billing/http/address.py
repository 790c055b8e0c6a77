"""Whose request this is, by network address: the peer's, or what a configured proxy says of it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Scope

Network = IPv4Network | IPv6Network
_SUBSCRIBER_BITS = 64


def client_address(scope: Scope, proxies: Sequence[Network]) -> str:
    """Give the client's address; whoever is no configured proxy is believed nothing.

    `X-Forwarded-For` is read from its end: each proxy appends who it heard from, so the first
    address that is not a proxy's is the client's, and what stands before it anybody may have
    written. An IPv6 client counts by its /64, which one subscriber has whole.
    """
    peer = _parsed((scope.get("client") or ("",))[0])
    if peer is None:
        return "unknown"
    told = ",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",")
    while _is_proxy(peer, proxies) and told:
        before = _parsed(told.pop().strip())
        if before is None:
            break
        peer = before
    if isinstance(peer, IPv6Address):
        return str(ip_network((peer, _SUBSCRIBER_BITS), strict=False))
    return str(peer)


def _is_proxy(address: IPv4Address | IPv6Address, proxies: Sequence[Network]) -> bool:
    return any(address in network for network in proxies)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found
