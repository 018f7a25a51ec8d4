"""
What may stand in a C{Set-Cookie} header, option by option.

Owns the grammar of each single option of a L{cookie
policy<txsessions.web.policy>}, as converters and validators for its attributes
(RFC 6265bis, 4.1.1).  How options go together is the policy's own business.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final, Literal, NoReturn

from attrs import Attribute

from txsessions.errors import ConfigurationError

MAX_AGE_LIMIT = 400 * 24 * 60 * 60
"""The longest C{Max-Age} that browsers honour, in seconds."""

ATTRIBUTE_LIMIT = 1024
"""Browsers ignore an attribute whose value is longer than this, in bytes."""

SITE_PATH_LIMIT = 256
"""How much of a site path goes into a name, in bytes; a longer one is hashed."""

TOKEN_CHARACTERS = rb"!#$%&'*+\-.^_`|~0-9A-Za-z"
"""What may stand in a token (RFC 9110, 5.6.2), as in a pattern."""

_TOKEN = re.compile(rb"[" + TOKEN_CHARACTERS + rb"]+")
_NOT_IN_NAMES = re.compile(rb"[^" + TOKEN_CHARACTERS.replace(b"%", b"") + rb"]")
_PATH = re.compile(r"/[\x21-\x3a\x3c-\x7e]*")
_LABEL = r"[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_DOMAIN_LIMIT = 253

Network = IPv4Network | IPv6Network

UNIX: Final = "unix"
"""Stands for all who come by a Unix socket, who have no address."""

Proxy = Network | Literal["unix"]

_MAPPED = 96
"""How much of an IPv6 address says that it is a mapped one, in bits."""


def refuse(what: str, expected: str, found: object) -> NoReturn:
    """
    Say what is wrong with an option, and what to do about it.
    """
    raise ConfigurationError(f"CookiePolicy: {what} must be {expected}; found {found}")


def toBytes(name: str | bytes) -> bytes:
    """
    Accept a name as people write it.  What is not ASCII turns into something
    that the check of the name refuses and can show.
    """
    if isinstance(name, str):
        return name.encode("ascii", "backslashreplace")
    return name


def toProxies(values: Iterable[str | Network]) -> tuple[Proxy, ...]:
    """
    Read addresses and networks, such as C{"10.0.0.0/8"} or C{"::1"}, and L{UNIX}.
    IPv4 that is mapped into IPv6 is IPv4.
    """
    expected = (
        "a tuple of IP addresses or networks, or 'unix' for whoever comes by a Unix "
        'socket, such as ("127.0.0.1", "10.0.0.0/8")'
    )
    given: object = values
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        refuse("trustedProxies", expected, repr(given))
    proxies: list[Proxy] = []
    for value in given:
        if value == UNIX:
            proxies.append(UNIX)
            continue
        if not isinstance(value, (str, IPv4Network, IPv6Network)):
            refuse("trustedProxies", expected, repr(value))
        try:
            network = _unmapped(ip_network(value))
        except ValueError as error:
            refuse("trustedProxies", expected, error)
        if not network.prefixlen:
            refuse(
                "trustedProxies",
                "less than everybody, whose word is nobody's: the addresses that "
                "your proxies connect from",
                repr(value),
            )
        proxies.append(network)
    return tuple(proxies)


def _unmapped(network: Network) -> Network:
    """
    Take a network of IPv4 for that, also where it is mapped into IPv6.
    """
    if isinstance(network, IPv6Network) and network.prefixlen >= _MAPPED:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - _MAPPED))
    return network


def checkName(_policy: object, attribute: Attribute[bytes], value: object) -> None:
    """
    A cookie's name is a token (RFC 9110, 5.6.2).
    """
    if not isinstance(value, bytes) or not _TOKEN.fullmatch(value):
        refuse(
            attribute.name,
            "one or more ASCII letters, digits or any of !#$%&'*+-.^_`|~",
            repr(value),
        )


def checkChoice(_policy: object, attribute: Attribute[Any], value: object) -> None:
    """
    One of the values that the attribute's metadata lists.
    """
    choices = attribute.metadata["choices"]
    if not any(type(value) is type(one) and value == one for one in choices):
        refuse(attribute.name, " or ".join(map(repr, choices)), repr(value))


def checkMaxAge(
    _policy: object, attribute: Attribute[int | None], value: object
) -> None:
    """
    Whole seconds, as long as browsers honour.
    """
    if value is None or (type(value) is int and 0 < value <= MAX_AGE_LIMIT):
        return
    refuse(
        attribute.name,
        f"None or whole seconds from 1 to {MAX_AGE_LIMIT} (400 days, "
        "the most that browsers keep a cookie)",
        repr(value),
    )


def checkDomain(
    _policy: object, attribute: Attribute[str | None], value: object
) -> None:
    """
    A host name (RFC 1123, 2.1).
    """
    if value is None:
        return
    if (
        not isinstance(value, str)
        or len(value) > _DOMAIN_LIMIT
        or not _DOMAIN.fullmatch(value)
    ):
        refuse(
            attribute.name,
            "None or a host name such as 'example.org': no dot before or after it, "
            "no port, international names as xn--",
            repr(value),
        )


def checkPath(_policy: object, attribute: Attribute[str], value: object) -> None:
    """
    A path as it stands in a URL.
    """
    if (
        not isinstance(value, str)
        or len(value) > ATTRIBUTE_LIMIT
        or not _PATH.fullmatch(value)
    ):
        refuse(
            attribute.name,
            f"at most {ATTRIBUTE_LIMIT} printable ASCII characters that begin with "
            "'/', percent-encoded, without ';'",
            repr(value),
        )


def nameOfSite(sitepath: Sequence[bytes]) -> bytes:
    """
    Make a site path a part of a cookie's name.

    Segments that are names already are joined as Twisted does.  They come from
    the URL, so whatever has no place in a name is percent-encoded, and what
    would be too long is hashed.
    """
    joined = b"_".join(sitepath)
    quoted = _NOT_IN_NAMES.sub(lambda found: b"%%%02X" % ord(found[0]), joined)
    if len(quoted) > SITE_PATH_LIMIT:
        return hashlib.sha256(joined).hexdigest().encode("ascii")
    return quoted


__all__ = [
    "ATTRIBUTE_LIMIT",
    "MAX_AGE_LIMIT",
    "SITE_PATH_LIMIT",
    "TOKEN_CHARACTERS",
    "UNIX",
    "Network",
    "Proxy",
    "checkChoice",
    "checkDomain",
    "checkMaxAge",
    "checkName",
    "checkPath",
    "nameOfSite",
    "refuse",
    "toBytes",
    "toProxies",
]
