"""
What a well-behaved server may send and what a browser does with it, written
from RFC 6265bis alone to check our C{Set-Cookie} values.

Shares nothing with the code that it checks: no name, no pattern, no limit.  The
section numbers are those of its last drafts.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from attrs import define, field, frozen

CONTROLS = frozenset(range(0x20)) | {0x7F}
SEPARATORS = frozenset(b'()<>@,;:\\"/[]?={} \t')
VALUES = frozenset(range(0x21, 0x7F)) - frozenset(b'",;\\')
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
FLAGS = frozenset({"Secure", "HttpOnly", "Partitioned"})
NEVER_ENDS = float("inf")


class NotClean(Exception):
    """
    A C{Set-Cookie} value breaks the grammar, or a browser ignores it.
    """


@frozen(kw_only=True)
class SetCookie:
    """
    A C{Set-Cookie} value taken apart by the grammar for servers.

    @ivar name: The cookie's name.
    @ivar value: The cookie's value.
    @ivar attributes: The attributes by their canonical names, in order; flags
        have the value L{None}.
    """

    name: str
    value: str
    attributes: dict[str, str | None]


def parse(header: bytes) -> SetCookie:
    """
    Apply the grammar of 4.1.1, with C{Partitioned} (CHIPS, 2.1) for an extension.

    One thing is let through that the grammar does not have: C{Max-Age=0}, which
    5.6.2 defines for browsers and all servers use to delete.

    @raise NotClean: The value is not what a server should send.
    """
    if len(header) > 4096:
        raise NotClean(f"{len(header)} bytes")
    if any(octet > 0x7E or octet in CONTROLS for octet in header):
        raise NotClean("an octet that is not printable ASCII")
    pair, *rest = header.decode("ascii").split("; ")
    if ";" in pair or "=" not in pair:
        raise NotClean("no cookie-pair")
    name, _, value = pair.partition("=")
    if not name or any(ord(c) in SEPARATORS for c in name):
        raise NotClean(f"the name {name!r} is no token")
    if not all(ord(c) in VALUES for c in value):
        raise NotClean("the value is not made of cookie-octets")
    attributes: dict[str, str | None] = {}
    for part in rest:
        if ";" in part or not part:
            raise NotClean(f"not separated by exactly '; ': {part!r}")
        key, equals, text = part.partition("=")
        if key in attributes:
            raise NotClean(f"{key} twice")
        if bool(equals) == (key in FLAGS):
            raise NotClean(f"a flag with a value, or the reverse: {part!r}")
        _checkAttribute(key, text)
        attributes[key] = text if equals else None
    return SetCookie(name=name, value=value, attributes=attributes)


def _checkAttribute(key: str, text: str) -> None:
    """
    Check one attribute by its own production.
    """
    if len(text) > 1024:
        raise NotClean(f"browsers ignore a {key} of {len(text)} octets")
    if key in FLAGS:
        good = True
    elif key == "Expires":
        moment = parsedate_to_datetime(text)
        day = WEEKDAYS[moment.weekday()]
        good = text == f"{day}, {moment:%d} {moment:%b} {moment:%Y %H:%M:%S} GMT"
    elif key == "Max-Age":
        good = text.isdecimal() and (text == "0" or text[0] != "0")
    elif key == "Domain":
        good = all(map(_isLabel, text.split("."))) and len(text) <= 253
    elif key == "Path":
        good = text.startswith("/")
    elif key == "SameSite":
        good = text in {"Strict", "Lax", "None"}
    else:
        good = False
    if not good:
        raise NotClean(f"no good {key}: {text!r}")


def _isLabel(label: str) -> bool:
    """
    Whether this is a label of a host name (RFC 1034, 3.5 and RFC 1123, 2.1).
    """
    inner = label.replace("-", "a")
    return (
        0 < len(label) <= 63
        and inner.isascii()
        and inner.isalnum()
        and not label.startswith("-")
        and not label.endswith("-")
    )


@frozen(kw_only=True)
class Stored:
    """
    A cookie as a browser keeps it.
    """

    name: str
    value: str
    domain: str
    hostOnly: bool
    path: str
    secure: bool
    httpOnly: bool
    sameSite: str
    partition: str | None
    expiresAt: float


@define(kw_only=True)
class Browser:
    """
    The cookie store of a browser: 5.6 (reading C{Set-Cookie}), 5.7 (the storage
    model) and 5.8 (writing C{Cookie}), for top-level HTTP requests.

    @ivar now: The browser's clock, in seconds.
    @ivar site: The site in the address bar, by which partitioned cookies are
        kept apart.
    @ivar cookies: What is kept, by name, domain, host-only, path and partition.
    """

    now: float = 1_000_000_000.0
    site: str = "https://example.org"
    cookies: dict[tuple[object, ...], Stored] = field(factory=dict)

    def receive(self, header: bytes, *, host: str, path: str, https: bool) -> Stored:
        """
        Take a C{Set-Cookie} value.

        @raise NotClean: The browser ignores it.
        """
        pair, *parts = header.decode("latin-1").split(";")
        name, _, value = (text.strip(" \t") for text in pair.partition("="))
        given: dict[str, str] = {}
        for part in parts:
            key, _, text = (piece.strip(" \t") for piece in part.partition("="))
            if len(text) <= 1024:
                given[key.lower()] = text
        domain = given.get("domain", "").removeprefix(".").lower()
        if domain and host != domain and not host.endswith("." + domain):
            raise NotClean("the domain is not the host's")
        cookie = Stored(
            name=name,
            value=value,
            domain=domain or host,
            hostOnly=not domain,
            path=(given["path"] if given.get("path", "")[:1] == "/" else _above(path)),
            secure="secure" in given,
            httpOnly="httponly" in given,
            sameSite=given.get("samesite", "").lower(),
            partition=self.site if "partitioned" in given else None,
            expiresAt=self._expiryOf(given),
        )
        self._refuse(cookie, given, https)
        same = (name, cookie.domain, cookie.hostOnly, cookie.path, cookie.partition)
        self.cookies.pop(same, None)
        if cookie.expiresAt > self.now:
            self.cookies[same] = cookie
        return cookie

    def _expiryOf(self, given: dict[str, str]) -> float:
        """
        C{Max-Age} before C{Expires} before "until closed" (5.7, step 4).
        """
        if "max-age" in given:
            age = int(given["max-age"])
            return self.now + min(age, 400 * 86400) if age > 0 else 0.0
        if "expires" in given:
            return parsedate_to_datetime(given["expires"]).timestamp()
        return NEVER_ENDS

    def _refuse(self, cookie: Stored, given: dict[str, str], https: bool) -> None:
        """
        What makes a browser ignore a cookie (5.7).
        """
        if len(cookie.name) + len(cookie.value) > 4096:
            raise NotClean("name and value over 4096 octets")
        if cookie.secure and not https:
            raise NotClean("Secure over plain HTTP")
        if cookie.sameSite == "none" and not cookie.secure:
            raise NotClean("SameSite=None without Secure")
        if cookie.partition and not cookie.secure:
            raise NotClean("Partitioned without Secure")
        name = cookie.name.lower()
        if name.startswith(("__secure-", "__host-", "__http-")) and not cookie.secure:
            raise NotClean("a prefix without Secure")
        if name.startswith(("__http-", "__host-http-")) and not cookie.httpOnly:
            raise NotClean("a prefix without HttpOnly")
        if name.startswith("__host-") and not (
            cookie.hostOnly and given.get("path") == "/"
        ):
            raise NotClean("__Host- with a domain or another path than '/'")

    def send(self, *, host: str, path: str, https: bool) -> list[bytes]:
        """
        Write the C{Cookie} headers of a request: one, or none.
        """
        pairs = [
            f"{cookie.name}={cookie.value}"
            for cookie in self.cookies.values()
            if cookie.expiresAt > self.now
            and cookie.partition in {None, self.site}
            and (https or not cookie.secure)
            and _pathMatches(path, cookie.path)
            and (
                host == cookie.domain
                or (not cookie.hostOnly and host.endswith("." + cookie.domain))
            )
        ]
        return ["; ".join(pairs).encode("ascii")] if pairs else []


def _above(path: str) -> str:
    """
    The default path of a request (5.1.4).
    """
    return path.rpartition("/")[0] or "/"


def _pathMatches(path: str, cookiePath: str) -> bool:
    """
    Whether a request for a path gets a cookie (5.1.4).
    """
    return path == cookiePath or path.startswith(cookiePath.rstrip("/") + "/")
