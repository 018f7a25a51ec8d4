"""
What proxies say of a request: from which address it came, and whether over TLS.

Owns the reading of C{X-Forwarded-For}, C{X-Forwarded-Proto} and C{Forwarded} (RFC
7239), and the one rule by which they are believed.  Each proxy adds, at the right
end, whom it had the request from.  So the walk begins at the right, goes on for as
long as the hop is a trusted one, and ends with the first that is not: that is the
client, and whatever stands left of it is what the client made up.  Knows no request
and no policy, and takes time linear in the size of the headers.

What is missing is never guessed.  An address that cannot be read (C{unknown},
C{_hidden}, rubbish) leaves the last one that is known, which belongs to the proxy
that wrote it; a scheme that cannot be read, or that was said in two ways, is plain
HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from attrs import frozen

from txsessions.web.grammar import TOKEN_CHARACTERS, Network

Address = IPv4Address | IPv6Address

MAX_HOPS = 32
"""How many hops are looked at; what is further left counts as unreadable."""

ADDRESS_LIMIT = 64
"""No address with its port is longer than this, in bytes."""

_BLANKS = b" \t"
_PORT = rb"(?::(?:[0-9]{1,5}|_[0-9A-Za-z._-]+))?"
_NODE = re.compile(
    rb"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))" + _PORT + rb"|([0-9A-Fa-f:.]+)"
)
# Colons and brackets belong between quotes, and are often written without.
_PAIR = re.compile(
    rb"[ \t]*([" + TOKEN_CHARACTERS + rb"]+)="
    rb"(?:([" + TOKEN_CHARACTERS + rb':\[\]/]+)|"((?:[^"\\]|\\.)*)")[ \t]*'
)
_PAD = re.compile(rb"[ \t]*")
_QUOTED = re.compile(rb"\\(.)")

_SECURE = {b"https", b"wss"}
_PLAIN = {b"http", b"ws"}


@frozen
class Origin:
    """
    Where a request came from, as far as is known.

    @ivar address: The client's, or that of the last hop on the way to it that is
        known; L{None} if none is.
    @ivar secure: Whether the client came over TLS; L{None} if nobody said.
    @ivar doubt: Why what was said of that is not believed, if so.
    """

    address: Address | None
    secure: bool | None
    doubt: str | None = None


class Networks:
    """
    A set of networks, and which addresses are in it: as fast with a hundred networks
    as with one, if they are of few sizes.
    """

    def __init__(self, networks: Iterable[Network]) -> None:
        found: dict[int, dict[int, set[int]]] = {4: {}, 6: {}}
        for network in networks:
            shift = network.max_prefixlen - network.prefixlen
            prefixes = found[network.version].setdefault(shift, set())
            prefixes.add(int(network.network_address) >> shift)
        self._prefixes = found

    def __contains__(self, address: Address) -> bool:
        number = int(address)
        prefixes = self._prefixes[address.version]
        return any(number >> shift in known for shift, known in prefixes.items())


@lru_cache(maxsize=1024)
def addressOf(text: bytes) -> Address | None:
    """
    Read an address, with a port or without (RFC 7239, 6).

    @return: The address, an IPv4 one also where it is mapped into IPv6; L{None} if
        this is none.
    """
    found = _NODE.fullmatch(text) if len(text) <= ADDRESS_LIMIT else None
    if found is None:
        return None
    bracketed, dotted, bare = found.groups()
    try:
        if dotted is not None:
            return IPv4Address(dotted.decode("ascii"))
        address = IPv6Address((bracketed or bare).decode("ascii"))
    except ValueError:
        return None
    return address.ipv4_mapped or address


def addressOfPeer(peer: Any) -> Address | None:
    """
    Take the address of one end of a connection.

    @param peer: An C{IAddress}, as of C{request.client}.
    @return: L{None} if it has none, as on a Unix socket.
    """
    host = getattr(peer, "host", None)
    if not isinstance(host, str):
        return None
    # The network card is said with link-local ones.
    return addressOf(host.partition("%")[0].encode("ascii", "replace"))


def clientHostOf(request: Any) -> str | None:
    """
    Tell from which address a request came, as far as trusted proxies say; see
    C{Request.clientHost}.
    """
    host: str | None = request._clientHost
    if host is None:
        address = addressOfPeer(request.client)
        host = None if address is None else str(address)
    return host


def readScheme(values: Sequence[bytes]) -> tuple[bool | None, str | None]:
    """
    Read what one proxy or several say of the scheme.

    @param values: Lists with commas between.
    @return: As C{secure} and C{doubt} of L{Origin}.
    """
    said = {value.strip(_BLANKS).lower() for value in b",".join(values).split(b",")}
    if said == {b""}:
        return None, None
    if said <= _SECURE:
        return True, None
    if said <= _PLAIN:
        return False, None
    if said <= _SECURE | _PLAIN:
        return False, "says both http and https"
    return False, "says neither http nor https"


def followXForwarded(
    trusted: Networks,
    nearest: Address | None,
    addresses: Sequence[bytes],
    schemes: Sequence[bytes],
) -> Origin:
    """
    Follow C{X-Forwarded-For} and C{X-Forwarded-Proto}.

    How many proxies wrote into the second, and which, is not to be known.  So all
    that it holds has to agree.

    @param trusted: The proxies.
    @param nearest: The one that the request was received from.
    @param addresses: The values of C{X-Forwarded-For}, in order.
    @param schemes: The values of C{X-Forwarded-Proto}.
    """
    client = nearest
    for hop in reversed(b",".join(addresses).rsplit(b",", MAX_HOPS)):
        address = addressOf(hop.strip(_BLANKS))
        if address is None:
            break
        client = address
        if address not in trusted:
            break
    return Origin(client, *readScheme(schemes))


def followForwarded(
    trusted: Networks, nearest: Address | None, lines: Sequence[bytes]
) -> Origin:
    """
    Follow C{Forwarded}.  The scheme is what the proxy says that had the request
    from the client.

    @param trusted: The proxies.
    @param nearest: The one that the request was received from.
    @param lines: The values of the header, in order.
    """
    client, secure, doubt = nearest, None, None
    for count, element in enumerate(_backwards(lines)):
        if element is None:
            return Origin(client, False, "is not of the form that RFC 7239 gives it")
        if count == MAX_HOPS:
            return Origin(client, False, f"names more than {MAX_HOPS} proxies")
        secure, doubt = readScheme([element.get(b"proto", b"")])
        address = addressOf(element.get(b"for", b""))
        if address is None:
            break
        client = address
        if address not in trusted:
            break
    return Origin(client, secure, doubt)


def _backwards(lines: Sequence[bytes]) -> Iterator[dict[bytes, bytes] | None]:
    """
    Go through the elements of C{Forwarded}, the last first; L{None} stands for a
    line that cannot be read.  Each line is read by itself, so that a quote that a
    client leaves open does not swallow what a proxy adds.
    """
    for line in reversed(lines):
        elements = parseForwarded(line)
        if elements is None:
            yield None
        else:
            yield from reversed(elements)


def parseForwarded(line: bytes) -> list[dict[bytes, bytes]] | None:
    """
    Read one line of C{Forwarded} (RFC 7239, 4).

    @return: For each proxy its parameters, by their names in lower case; L{None} if
        it is malformed, or says something twice.
    """
    elements: list[dict[bytes, bytes]] = [{}]
    position = 0
    while True:
        pair = _PAIR.match(line, position)
        if pair is not None:
            name, token, quoted = pair.groups()
            name = name.lower()
            if name in elements[-1]:
                return None
            value = _QUOTED.sub(rb"\1", quoted) if token is None else token
            elements[-1][name] = value
        end = _PAD.match(line, position) if pair is None else pair
        assert end is not None
        position = end.end()
        mark = line[position : position + 1]
        if not mark:
            return [element for element in elements if element]
        if mark == b",":
            elements.append({})
        elif mark != b";":
            return None
        position += 1


__all__ = [
    "ADDRESS_LIMIT",
    "MAX_HOPS",
    "Address",
    "Networks",
    "Origin",
    "addressOf",
    "addressOfPeer",
    "clientHostOf",
    "followForwarded",
    "followXForwarded",
    "parseForwarded",
    "readScheme",
]
