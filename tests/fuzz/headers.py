"""
Targets that read headers: cookies, ids of programs, tokens, what proxies say.
"""

from __future__ import annotations

import re
from ipaddress import ip_address

from tests.fuzz.target import Target, Wrong, demand, demandSame
from tests.web.test_cookie import slowly
from tests.web.test_forwarded import NEAREST, NETWORKS, known
from txsessions.core import csrf
from txsessions.core.uid import isUid
from txsessions.web.bearer import readBearer
from txsessions.web.cookie import Refusal, readCookie
from txsessions.web.forwarded import (
    ADDRESS_LIMIT,
    MAX_HOPS,
    addressOf,
    followForwarded,
    followXForwarded,
    parseForwarded,
)

UID = b"0123456789abcdef" * 4
OTHER = b"fedcba9876543210" * 4
NAMES = (b"__Host-sid", b"sid")
CLIENT = b"203.0.113.5"
SECRET = csrf.secretOf(UID)
TOKEN = csrf.mask(SECRET, bytes(range(csrf.SECRET_BYTES))).encode("ascii")

_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_TOKEN_CHARACTERS = b"!#$%&'*+-.^_`|~0123456789" + bytes(
    octet for octet in range(128) if bytes([octet]).isalpha()
)


def say(found: object) -> str:
    """
    Say what became of it.
    """
    return "read" if isinstance(found, bytes) else "refused" if found else "nothing"


def checkCookie(data: bytes) -> str:
    """
    Lines are C{Cookie} headers: they are read as the plain rules say, in whatever
    order and however they are joined, and what is read is read again.
    """
    headers = data.split(b"\n")
    found = None
    for name in NAMES:
        found = readCookie(headers, name)
        demandSame(found, slowly(headers, name), "not as the plain rules say")
        demandSame(readCookie(headers[::-1], name), found, "in another order")
        demandSame(readCookie([b"; ".join(headers)], name), found, "joined")
        if isinstance(found, bytes):
            again = readCookie([name + b"=" + found], name)
            demandSame(again, found, "read again")
    return say(found)


def plainBearer(values: list[bytes]) -> bytes | Refusal | None:
    """
    The rules of L{readBearer}, said as plainly as can be.
    """
    said = set()
    for value in values:
        scheme = value[: len(value) - len(value.lstrip(_TOKEN_CHARACTERS))]
        if scheme.lower() == b"session":
            said.add(value[len(scheme) :])
    if len(said) > 1:
        return Refusal.DUPLICATE
    for uid in said:
        bare = uid.lstrip(b" ")
        return bare if not bare or isUid(bare) else Refusal.MALFORMED
    return None


def checkBearer(data: bytes) -> str:
    """
    Lines are C{Authorization} headers: likewise.
    """
    values = data.split(b"\n")
    found = readBearer(values)
    demandSame(found, plainBearer(values), "not as the plain rules say")
    demandSame(readBearer(values[::-1]), found, "in another order")
    demandSame(readBearer([*values, *values]), found, "doubled")
    if isinstance(found, bytes):
        demandSame(readBearer([b"Session " + found]), found, "read again")
    return say(found)


def checkToken(data: bytes) -> str:
    """
    A token is a session's only if it is one that we would write for it; an C{Origin}
    that was read is read again.
    """
    isOurs = csrf.isTokenOf(SECRET, data)
    origin = csrf.readOrigin(data)
    if origin is not None:
        scheme, host = origin
        demandSame(csrf.readOrigin(b"%b://%b" % origin), origin, "read again")
        demandSame((scheme.lower(), host.lower()), origin, "in another case")
    if isOurs:
        written = csrf.mask(SECRET, _padOf(data)).encode("ascii")
        demandSame(data, written, "a token that is not written as we would")
    return "read" if isOurs or origin else "nothing"


def _padOf(token: bytes) -> bytes:
    """
    The pad that a token was made with, found without the decoder.
    """
    number = 0
    for octet in token[: csrf.TOKEN_LENGTH // 2]:
        number = number * 64 + _LETTERS.index(octet)
    return number.to_bytes(csrf.SECRET_BYTES, "big")


class Octets:
    """
    A line of C{Forwarded}, read octet by octet by the grammar of RFC 7239; a value
    without quotes may have colons, slashes and brackets.
    """

    def __init__(self, line: bytes) -> None:
        self.line = line
        self.at = 0

    def run(self, allowed: bytes) -> bytes:
        """
        Read as far as octets are allowed.
        """
        start = self.at
        while self.at < len(self.line) and self.line[self.at] in allowed:
            self.at += 1
        return self.line[start : self.at]

    def has(self, octet: bytes) -> bool:
        """
        Read an octet, if it is the next.
        """
        isNext = self.line[self.at : self.at + 1] == octet
        self.at += isNext
        return isNext

    def quoted(self) -> bytes | None:
        """
        Read what is between quotes, the first of which has been read.
        """
        said = bytearray()
        while not self.has(b'"'):
            # Escaped is what a "." of a pattern stands for.
            if self.has(b"\\") and self.line[self.at : self.at + 1] == b"\n":
                return None
            if self.at >= len(self.line):
                return None
            said.append(self.line[self.at])
            self.at += 1
        return bytes(said)

    def pair(self, known: dict[bytes, bytes]) -> bool:
        """
        Read a pair, if there is one.

        @return: Whether that is right so far.
        """
        name = self.run(_TOKEN_CHARACTERS).lower()
        if not name:
            return True
        if not self.has(b"=") or name in known:
            return False
        plain = _TOKEN_CHARACTERS + b":[]/"
        value = self.quoted() if self.has(b'"') else self.run(plain) or None
        if value is None:
            return False
        known[name] = value
        return True


def plainForwarded(line: bytes) -> list[dict[bytes, bytes]] | None:
    """
    The rules of L{parseForwarded}, said as plainly as can be.
    """
    elements: list[dict[bytes, bytes]] = [{}]
    octets = Octets(line)
    while True:
        octets.run(b" \t")
        if not octets.pair(elements[-1]):
            return None
        octets.run(b" \t")
        if octets.at >= len(line):
            return [element for element in elements if element]
        if octets.has(b","):
            elements.append({})
        elif not octets.has(b";"):
            return None


def checkForwarded(data: bytes) -> str:
    """
    Lines are C{Forwarded} headers: each is read as RFC 7239 says, and again as it is
    written in quotes; whatever is there, what a trusted proxy adds is believed, or
    nothing is.
    """
    lines = data.split(b"\n")
    for line in lines:
        elements = parseForwarded(line)
        demandSame(elements, plainForwarded(line), "not as RFC 7239 has it")
        if elements is not None:
            written = b",".join(map(_write, elements))
            demandSame(parseForwarded(written), elements, "written and read again")
    origin = followForwarded(NETWORKS, NEAREST, lines)
    demand(origin.secure in {None, False, True}, "neither secure nor plain")
    added = b"%b, for=%b;proto=http" % (lines[-1], CLIENT)
    for given in ([*lines[:-1], added], [*lines, b"for=" + CLIENT + b";proto=http"]):
        seen = followForwarded(NETWORKS, NEAREST, given)
        demand(seen.secure is False, "a client without TLS has it")
        fine = {NEAREST, known(CLIENT.decode())}
        demand(seen.address in fine, f"{seen.address} was made up")
    return "nothing" if origin.address == NEAREST else "read"


def _write(element: dict[bytes, bytes]) -> bytes:
    """
    Write an element with all its values in quotes.
    """
    return b";".join(
        b'%b="%b"' % (name, re.sub(rb'([\\"])', rb"\\\1", value))
        for name, value in element.items()
    )


def checkXForwarded(data: bytes) -> str:
    """
    The first line is C{X-Forwarded-Proto}, the others C{X-Forwarded-For}: addresses are
    those that Python's own reader finds, and whatever is there, what a trusted proxy
    adds is believed.
    """
    scheme, *lines = data.split(b"\n")
    for text in b",".join(lines).split(b","):
        checkAddress(text.strip(b" \t"))
    origin = followXForwarded(NETWORKS, NEAREST, lines, [scheme])
    demand(origin.secure in {None, False, True}, "neither secure nor plain")
    if origin.secure:
        allowed = {b"https", b"wss"}
        parts = {part.strip(b" \t").lower() for part in scheme.split(b",")}
        demand(parts <= allowed, "TLS is believed")
    for proxies in (0, 1, MAX_HOPS - 1):
        added = b", ".join([CLIENT, *[b"10.0.0.2"] * proxies])
        seen = followXForwarded(NETWORKS, NEAREST, [*lines, added], [])
        demandSame(seen.address, known(CLIENT.decode()), "the client")
    return "nothing" if origin.address == NEAREST else "read"


def checkAddress(text: bytes) -> None:
    """
    See that an address is read as Python reads it, with a port too.
    """
    address = addressOf(text)
    if address is not None:
        written = str(address).encode("ascii")
        demandSame(addressOf(written), address, "an address that is written")
        bare = b"[%b]" % written if b":" in written else written
        demandSame(addressOf(bare + b":80"), address, "an address with a port")
        return
    try:
        plain = ip_address(text.decode("ascii"))
    except ValueError:
        return
    # A zone says something to the machine itself alone.
    if b"%" not in text and len(text) <= ADDRESS_LIMIT:
        raise Wrong(f"{plain} was not read")


TARGETS = (
    Target(
        name="cookie",
        check=checkCookie,
        seeds=(
            b"__Host-sid=" + UID,
            b"theme=dark; __Host-sid=" + UID + b"; b=2",
            b"sid=" + UID + b"; sid=" + OTHER,
            b"a=1\n__Host-sid=" + UID + b"\nsid=" + UID,
            b'x="a; __Host-sid=' + UID + b'; b"; $Path=/',
            b"__Host-sid = " + UID + b"\t; __Host-sid=" + UID,
        ),
        pieces=(
            *(b"__Host-sid", b"sid", b"=", b";", b"; ", b" ", b"\t", b'"', b","),
            *(b"\n", b"\r", b"\0", b"$", b"%3D", b"\xff", UID, OTHER),
            *(b"__Host-sid=" + UID, b"; sid=", b"f" * 64, UID.upper()),
        ),
        steps=40,
    ),
    Target(
        name="bearer",
        check=checkBearer,
        seeds=(
            b"Session " + UID,
            b"session   " + UID,
            b"Session",
            b"Basic dXNlcjpwYXNz\nSession " + UID,
            b"Session " + UID + b"\nSession " + OTHER,
        ),
        pieces=(
            *(b"Session ", b"session", b" ", b"\t", b"\n", b",", b"=", b"-", b"\r"),
            *(b"\0", b"Bearer ", UID, OTHER, UID.upper(), b"0" * 64, b"'", b"~"),
        ),
        steps=60,
    ),
    Target(
        name="token",
        check=checkToken,
        seeds=(
            TOKEN,
            csrf.mask(SECRET, b"\xff" * csrf.SECRET_BYTES).encode("ascii"),
            b"https://www.example.org",
            b"http://[2001:db8::1]:8080",
            b"null",
        ),
        pieces=(
            *(TOKEN, TOKEN[:32], b"=", b"+", b"/", b"-", b"_", b"\n", b"A", b":443"),
            *(b"https://", b"http://", b":80", b"[", b"]", b"@", b"\0", b"\xff"),
        ),
        steps=20,
    ),
    Target(
        name="forwarded",
        check=checkForwarded,
        seeds=(
            b"for=203.0.113.5;proto=https, for=10.0.0.2;proto=http",
            b'For="[2001:db8:cafe::17]:4711";by=203.0.113.43;host="a.example"',
            b'for=1.1.1.1;x="a,b;for=c\\"\\\\", for=192.0.2.7;proto=https',
            b"for=_hidden\nfor=unknown;proto=wss\nfor=10.0.0.2",
            b", ".join([b"for=10.0.0.2;proto=https"] * 33),
        ),
        pieces=(
            *(b"for=", b"proto=", b"https", b"http", b";", b",", b'"', b"\\", b"="),
            *(b"\n", b" ", b"\t", b'for="', b"10.0.0.2", b"203.0.113.9", b"[", b"]"),
            *(b"::ffff:10.0.0.3", b":80", b"unknown", b"_x", b"\xff", b"\0", b"\r"),
            *(b'\\"', b"a=1,", b"for=10.0.0.2;proto=https, "),
        ),
        steps=400,
    ),
    Target(
        name="x-forwarded",
        check=checkXForwarded,
        seeds=(
            b"https\n203.0.113.5, 10.0.0.2",
            b"http, https\n1.1.1.1\n[2001:db8::1]:4711, ::ffff:10.0.0.3",
            b"wss\nunknown, 192.0.2.7:_port",
            b"\n" + b",".join([b"10.0.0.2"] * 40),
        ),
        pieces=(
            *(b"https", b"http", b",", b", ", b"\n", b"10.0.0.2", b"203.0.113.9"),
            *(b"2001:db8::1", b"[", b"]", b":", b":80", b"::ffff:", b".", b"%eth0"),
            *(b"unknown", b"_x", b"0", b"\xff", b"\0", b"\r", b"\t", b"fd00::1"),
        ),
        steps=120,
        fixed=20_000,
    ),
)

__all__ = ["OTHER", "TARGETS", "UID"]
