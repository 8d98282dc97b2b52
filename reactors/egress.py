"""Requests to addresses that somebody else chose: to the open internet only, unless allowed.

The name is resolved once, every address that it has is checked, and the connection goes to one of
those: a name that leads elsewhere the second time gains nothing. Redirects are not followed,
proxies of the environment not used, and of an answer only its beginning is read.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpcore
import msgspec

from ..core.errors import FlowError

#: Seconds for a whole request, and bytes of an answer that are read.
PATIENCE, READ = 20.0, 16 * 1024

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: IPv6 addresses that carry an IPv4 address which the traffic may end up at.
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
_TRANSLATED_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")
#: Set aside for special ends, though not all of each counts as private.
_SPECIAL: list[Network] = [
    ipaddress.ip_network(text)
    for text in ("192.0.0.0/24", "192.88.99.0/24", "fec0::/10", "2001::/23", "2001:db8::/32")
]


class Refused(FlowError):
    """Raised for a URL that nothing is sent to."""


class Answered(msgspec.Struct, frozen=True):
    status: int
    retry_after: str = ""


class Egress:
    """Send to URLs whose addresses are public, or within `allowed` networks."""

    def __init__(self, allowed: str = "") -> None:
        """`allowed`: networks and addresses, separated by commas. Raises ValueError."""
        self.allowed = [ipaddress.ip_network(part.strip()) for part in _parts(allowed)]
        self._pool = httpcore.AsyncConnectionPool(
            network_backend=_Backend(self), max_keepalive_connections=0, retries=0
        )

    async def check(self, url: str) -> None:
        """Raises Refused for a URL that nothing would be sent to."""
        host, port = check_url(url)
        await self.resolve(host, port)

    async def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a host, all of which may be sent to. Raises Refused."""
        try:
            found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Refused(f"{host} cannot be resolved: {error}") from error
        addresses = [str(place[4][0]) for place in found]
        for address in addresses:
            self._check(host, address)
        if not addresses:
            raise Refused(f"{host} has no address")
        return addresses

    def _check(self, host: str, text: str) -> None:
        address = ipaddress.ip_address(text.partition("%")[0])
        if any(address.version == net.version and address in net for net in self.allowed):
            return
        if not all(map(_is_public, _meant(address))):
            raise Refused(
                f"{host} leads to {address}, which is not public; AGENTAINER_WEBHOOK_ALLOW names "
                "the networks that may be sent to all the same"
            )

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> Answered:
        """Send, and return what was answered.

        Raises Refused, TimeoutError, httpcore's errors.
        """
        check_url(url)
        timeout = dict.fromkeys(("connect", "read", "write", "pool"), PATIENCE)
        given = list(headers.items())
        with anyio.fail_after(PATIENCE):
            async with self._pool.stream(
                "POST",
                url,
                headers=given,
                content=body,
                extensions={"timeout": timeout},
            ) as response:
                await _read_some(response)
                found = {name.lower(): value for name, value in response.headers}
                return Answered(response.status, found.get(b"retry-after", b"").decode("latin-1"))

    async def close(self) -> None:
        await self._pool.aclose()


async def _read_some(response: httpcore.Response) -> None:
    size = 0
    async for chunk in response.aiter_stream():
        size += len(chunk)
        if size > READ:
            return


class _Backend(httpcore.AsyncNetworkBackend):
    """Connects to addresses that have been checked, whatever the name says by then."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        inner: Any = httpcore.AnyIOBackend()
        self._inner: httpcore.AsyncNetworkBackend = inner

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._egress.resolve(host, port)
        return await self._inner.connect_tcp(
            addresses[0], port, timeout, local_address, socket_options
        )

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        raise Refused("nothing is sent to sockets")

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


def check_url(url: str) -> tuple[str, int]:
    """Host and port of a URL. Raises Refused for what is no plain http(s) URL."""
    if not re.fullmatch(r"[!-~]{1,2000}", url) or re.search(r"[\\^`{}|<>\"]", url):
        raise Refused("a URL is printable ASCII, without blanks; write other names in Punycode")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Refused(f"it is no URL: {error}") from error
    if parts.scheme not in ("http", "https"):
        raise Refused(f"expected http or https, got {parts.scheme or 'no scheme'}")
    if "@" in parts.netloc or not parts.hostname or parts.fragment:
        raise Refused("a URL has a host, and neither a user nor a fragment")
    if port == 0 or "%" in parts.netloc:
        raise Refused("its host or port cannot be connected to")
    return parts.hostname, port or (443 if parts.scheme == "https" else 80)


def _meant(address: Address) -> list[Address]:
    """An address, and those that it carries within."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _TRANSLATED or address in _TRANSLATED_LOCAL:
        inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if int(address) >> 32 == 0:  # ::a.b.c.d, as it once was written
        inner.append(ipaddress.IPv4Address(int(address)))
    carried = [one for one in inner if one is not None]
    # What carries another address is judged by that.
    return list(carried) or [address]


def _is_public(address: Address) -> bool:
    special = any(address.version == net.version and address in net for net in _SPECIAL)
    return address.is_global and not (special or address.is_multicast or address.is_reserved)


def _parts(text: str) -> list[str]:
    return [part for part in text.split(",") if part.strip()]
