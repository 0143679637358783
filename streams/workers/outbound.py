"""Where Podium may connect to on behalf of a workflow: the public internet, unless the operator allows more.

Holds the policy, and the resolver that enforces it at the only moment that counts: between the look-up of a name and
the connection. Must not send anything. Keeps the invariant that an address which was checked is the address that is
connected to, and that one bad answer among good ones refuses the host.

Source: the server-side request forgery pages of OWASP; the address blocks are those of the IANA special-purpose
registries.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeAlias

import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from streams.errors import StreamsError

URL_CHARS_MAX: Final = 8_192
LOOKUPS_MAX: Final = 16
"""Names looked up at once. Each holds a thread for as long as the name server takes."""

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup: TypeAlias = Callable[[str, int, int], Awaitable[list[str]]]
"""Host, port and address family to addresses."""

_NAME: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_NUMERIC_LABEL: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_UNSAFE: Final = re.compile(r"[\x00-\x20\x7f\\]")

_Networks: TypeAlias = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


def _networks(*texts: str) -> _Networks:
    return tuple(ipaddress.ip_network(text) for text in texts)


_METADATA: Final = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",  # most clouds
        "169.254.170.2",  # credentials of containers on AWS
        "fd00:ec2::254",  # AWS over IPv6
        "fd20:ce::254",  # Google over IPv6
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure; the address is a public one
        "192.0.0.192",  # Oracle
    )
)
"""Services that hand out a machine's credentials. Refused also where private addresses are allowed."""

_PRIVATE: Final = (
    ("a loopback address", _networks("127.0.0.0/8", "::1/128")),
    ("a private address", _networks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")),
    ("a carrier's internal address", _networks("100.64.0.0/10")),
)
_NEVER: Final = (
    ("an unspecified address", _networks("0.0.0.0/8", "::/128")),
    ("a link-local address", _networks("169.254.0.0/16", "fe80::/10", "fec0::/10")),
    ("a multicast address", _networks("224.0.0.0/4", "ff00::/8")),
    ("an IPv4 address written as IPv6", _networks("::ffff:0:0/96", "::ffff:0:0:0/96", "::/96")),
    ("an IPv4 address behind NAT64", _networks("64:ff9b::/96", "64:ff9b:1::/48")),
    ("an IPv4 address in a tunnel", _networks("2002::/16", "2001::/32", "192.88.99.0/24")),
    (
        "a reserved address",
        _networks(
            "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
            "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16",
        ),
    ),
)  # fmt: skip
_GLOBAL_IPV6: Final = ipaddress.IPv6Network("2000::/3")


class OutboundRefused(StreamsError):
    """Podium does not connect there. Use a public address, or let the operator allow the host."""

    code = "OUTBOUND_REFUSED"


class OutboundPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What is allowed besides public addresses.

    `allow_private` allows loopback and private networks, but never link-local ones nor metadata services. A host in
    `allowed_hosts` (its name or address as it stands in URLs) may have any address.
    """

    allow_private: bool = False
    allowed_hosts: frozenset[str] = frozenset()

    def check_url(self, text: str) -> URL:
        """Return the URL that a text spells, if it may be asked; its host's addresses are checked when looked up.

        Raises:
            OutboundRefused: it is no http(s) URL, carries credentials, or names an address that is not allowed.
        """
        if len(text) > URL_CHARS_MAX or _UNSAFE.search(text):
            raise OutboundRefused(
                f"expected a URL of at most {URL_CHARS_MAX} characters without blanks, control characters and "
                f"backslashes, found {text[:200]!r}"
            )
        try:
            url = URL(text)
            port = url.port
        except ValueError as error:
            raise OutboundRefused(f"expected an http or https URL, found {text[:200]!r}: {error}") from error
        if url.scheme not in {"http", "https"} or not url.raw_host or not port:
            raise OutboundRefused(f"expected a URL http://host… or https://host…, found {text[:200]!r}")
        if url.raw_user is not None or url.raw_password is not None:
            raise OutboundRefused(
                f"credentials do not belong into the URL of {url.raw_host}; send an Authorization header"
            )
        self._check_host(url.raw_host)
        return url.with_fragment(None)

    def check_address(self, host: str, text: str) -> None:
        """Accept an address that a host name was resolved to.

        Raises:
            OutboundRefused: connections to it are not allowed.
        """
        if self._is_allowed(host):
            return
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            raise OutboundRefused(f"{host} was resolved to {text!r}, which is no address") from None
        problem = self._problem(address)
        if problem:
            raise OutboundRefused(f"{host} is {text}, {problem}; Podium does not connect there")

    def _check_host(self, host: str) -> None:
        if ":" in host:
            self.check_address(host, host)
            return
        name = host.removesuffix(".")
        if not _NAME.fullmatch(name):
            raise OutboundRefused(f"expected a host name or address in the URL, found {host!r}")
        # What ends in a number is an address; of its many spellings only the plain one is taken.
        if _NUMERIC_LABEL.fullmatch(name.rpartition(".")[2]):
            self.check_address(host, host)

    def _is_allowed(self, host: str) -> bool:
        return bool(self.allowed_hosts) and host.lower().removesuffix(".") in self.allowed_hosts

    def _problem(self, address: Address) -> str:
        if address in _METADATA:
            return "a metadata service"
        for what, networks in _PRIVATE:
            if any(address in network for network in networks):
                return "" if self.allow_private else what
        for what, networks in _NEVER:
            if any(address in network for network in networks):
                return what
        is_public = isinstance(address, ipaddress.IPv4Address) or address in _GLOBAL_IPV6
        return "" if is_public else "a reserved address"


class SystemLookup:
    """Name look-ups by the system's resolver, in threads of their own: a slow name server must not hold up others."""

    def __init__(self) -> None:
        """Make the threads when they are needed."""
        self._threads = ThreadPoolExecutor(max_workers=LOOKUPS_MAX, thread_name_prefix="lookup")

    async def __call__(self, host: str, port: int, family: int) -> list[str]:
        """Return the addresses of a host.

        Raises:
            OSError: it has none, or the name server does not answer.
        """
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, socket.getaddrinfo, host, port, family, socket.SOCK_STREAM
        )
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    def close(self) -> None:
        """Let the threads end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class CheckedResolver(AbstractResolver):
    """Resolves a name once, and gives the connector only addresses that were checked."""

    def __init__(self, policy: OutboundPolicy, lookup: Lookup) -> None:
        """Check what `lookup` answers by `policy`."""
        self._policy = policy
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host.

        Raises:
            OutboundRefused: one of them is not allowed.
            OSError: it has none.
        """
        addresses = await self._lookup(host, port, family)
        if not addresses:
            raise OSError(f"{host} has no address")
        for address in addresses:
            self._policy.check_address(host, address)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Hold nothing."""
