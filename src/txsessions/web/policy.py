"""
The cookie policy: what the session cookie is called, and what browsers are told.

Owns every byte of the C{Set-Cookie} header, and refuses, where the program is
put together, whatever a browser would ignore or a header cannot carry: a cookie
that silently never comes back is the worst kind of logout.  Knows no request, no
session and no store.

The rules are those of RFC 6265bis (grammar: 4.1.1, name prefixes: 4.1.3, what
browsers store: 5.7), and of CHIPS for C{Partitioned}.  Two that it leaves open
are closed here: the cookie is always C{HttpOnly}, and always says its
C{SameSite} and C{Path}.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from attrs import field, frozen

from txsessions.core.uid import UID_LENGTH, isUid
from txsessions.web.grammar import (
    MAX_AGE_LIMIT,
    SITE_PATH_LIMIT,
    Proxy,
    checkChoice,
    checkDomain,
    checkMaxAge,
    checkName,
    checkPath,
    nameOfSite,
    refuse,
    toBytes,
    toProxies,
)

SET_COOKIE_LIMIT = 4096
"""A C{Set-Cookie} value must be shorter than this, in bytes."""

_HOST_PREFIX = b"__host-"
_SECURE_PREFIXES = (_HOST_PREFIX, b"__secure-", b"__http-")

_MAX_AGE = b"; Max-Age=%d"

_DELETED = b"; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
"""Both: the first has the last word where a clock is wrong, the second is what the
grammar for servers knows (it has no C{Max-Age} of 0; the algorithm for browsers,
5.6.2, takes it for "at once")."""


@frozen(kw_only=True)
class _Cookie:
    """
    One of the two cookies of a policy, with all of its bytes but the uid.

    @ivar name: The name, without a site path.
    @ivar start: The name and the equals sign.
    @ivar where: What follows the uid: path and domain.
    @ivar end: All that follows the uid.
    @ivar flags: What follows the C{Max-Age}, if there is one.
    @ivar deletion: All that follows the equals sign where the cookie is deleted.
    """

    name: bytes
    start: bytes
    where: bytes
    flags: bytes
    end: bytes
    deletion: bytes


_BEARER = b"Authorization: Session"
"""What no cookie can be called, so that no cookie's id is ever taken for a bearer's,
nor the other way round."""

_YES_OR_NO = {"choices": (True, False)}


@frozen(kw_only=True)
class CookiePolicy:
    """
    Every choice there is about the session cookie.  The defaults are the
    hardened ones.

    @ivar secureName: The cookie's name over TLS.  With C{__Host-} a browser
        takes it from this very host only, over TLS only.
    @ivar insecureName: The cookie's name over plain HTTP.  The two are two
        sessions: what was seen on an open wire never counts over TLS.
    @ivar sameSite: C{"lax"}: comes along when somebody follows a link from
        another site, but not with what that site posts, shows or frames.
        C{"strict"}: never from another site.  C{"none"}: always, which is for
        pages shown in other sites' frames, and needs C{secure="always"}.
    @ivar maxAge: Seconds for which the browser keeps the cookie, across its own
        restarts ("remember me"), or L{None}: until it is closed.  How long the
        session lives is decided by the server, whatever this says.
    @ivar domain: A domain that shares the cookie with all hosts below it, or
        L{None}: this host only.
    @ivar path: The part of the site that gets the cookie.  No protection: any
        page of the host can have it sent.
    @ivar partitioned: Keep a cookie for each site in whose frame the page is
        shown.  Needs C{secure="always"}.
    @ivar secure: C{"auto"}: as the request came; C{"always"}: C{Secure} also
        where the request seems to be plain HTTP, as behind a proxy that ends
        TLS; C{"never"}: the insecure cookie, also over TLS.
    @ivar trustedProxies: The proxies whose word is taken for how a request
        came: addresses and networks, as text or as L{ipaddress} networks, and
        C{"unix"} for whoever comes by a Unix socket.
    @ivar proxyHeader: What they say it with: C{"x-forwarded"}:
        C{X-Forwarded-For} and C{X-Forwarded-Proto}; C{"forwarded"}:
        C{Forwarded}, of RFC 7239; C{"proxy"}: the PROXY protocol, of an
        endpoint such as C{haproxy:tcp:8080}, to which nobody else may then
        connect.  The others are never looked at, for clients may send them.
    @ivar perSitePath: Join the names with the request's C{sitepath}, so that
        the sites of a C{distrib} server have a cookie each.
    @ivar bearer: Take an id also from C{Authorization: Session UID}, for programs.
        A session of that kind has no cookie, and its id is taken from none.
    """

    secureName: bytes = field(
        default=b"__Host-sid", converter=toBytes, validator=checkName
    )
    insecureName: bytes = field(default=b"sid", converter=toBytes, validator=checkName)
    sameSite: Literal["lax", "strict", "none"] = field(
        default="lax",
        validator=checkChoice,
        metadata={"choices": ("lax", "strict", "none")},
    )
    maxAge: int | None = field(default=None, validator=checkMaxAge)
    domain: str | None = field(default=None, validator=checkDomain)
    path: str = field(default="/", validator=checkPath)
    partitioned: bool = field(default=False, validator=checkChoice, metadata=_YES_OR_NO)
    secure: Literal["auto", "always", "never"] = field(
        default="auto",
        validator=checkChoice,
        metadata={"choices": ("auto", "always", "never")},
    )
    trustedProxies: tuple[Proxy, ...] = field(default=(), converter=toProxies)
    proxyHeader: Literal["x-forwarded", "forwarded", "proxy"] = field(
        default="x-forwarded",
        validator=checkChoice,
        metadata={"choices": ("x-forwarded", "forwarded", "proxy")},
    )
    perSitePath: bool = field(default=False, validator=checkChoice, metadata=_YES_OR_NO)
    bearer: bool = field(default=False, validator=checkChoice, metadata=_YES_OR_NO)
    _cookies: tuple[_Cookie, _Cookie] = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        """
        Check the options against one another, and make the bytes.

        @raise ConfigurationError: Two options do not go together.
        """
        if self.secure != "always":
            if self.sameSite == "none":
                refuse("secure", "'always' where sameSite='none'", repr(self.secure))
            if self.partitioned:
                refuse("secure", "'always' where partitioned=True", repr(self.secure))
        if (
            self.secure == "auto"
            and self.secureName.lower() == self.insecureName.lower()
        ):
            refuse(
                "insecureName",
                "another name than secureName, by more than upper and lower case",
                repr(self.insecureName),
            )
        if self.proxyHeader != "x-forwarded" and not self.trustedProxies:
            refuse(
                "trustedProxies",
                f"given where proxyHeader={self.proxyHeader!r}: it is read when a "
                "trusted proxy sends it",
                "none",
            )
        insecure, secure = (self._makeCookie(self.isSecure(s)) for s in (False, True))
        object.__setattr__(self, "_cookies", (insecure, secure))

    @classmethod
    def twisted(cls) -> CookiePolicy:
        """
        The names that Twisted's own sessions have, for programs, proxies and
        tests that look for them.  The cookies are still C{HttpOnly} and
        C{SameSite=Lax}.
        """
        return cls(
            secureName="TWISTED_SECURE_SESSION",
            insecureName="TWISTED_SESSION",
            perSitePath=True,
        )

    def isSecure(self, requestIsSecure: bool) -> bool:
        """
        Decide which of the two cookies a request is about.

        @param requestIsSecure: Whether it came over TLS.
        @return: Whether it is the secure one.
        """
        return requestIsSecure if self.secure == "auto" else self.secure == "always"

    def names(self) -> tuple[tuple[bool, bytes], ...]:
        """
        Name the cookies that a request may bring: for each whether it is the
        secure one, and its name.
        """
        schemes = (False, True) if self.secure == "auto" else (self.isSecure(False),)
        return tuple((secure, self.nameFor(secure)) for secure in schemes)

    def nameFor(self, secure: bool, sitepath: Sequence[bytes] = ()) -> bytes:
        """
        Name the cookie.

        @param secure: What L{isSecure} said.  Under C{"always"} and C{"never"}
            there is one cookie only, whatever this is.
        @param sitepath: The request's C{sitepath}, which matters with
            C{perSitePath} only.
        """
        name = self._cookies[secure].name
        if sitepath and self.perSitePath:
            return name + b"_" + nameOfSite(sitepath)
        return name

    def bearerName(self, sitepath: Sequence[bytes] = ()) -> bytes:
        """
        What stands for the cookie's name in a session whose id comes by
        C{Authorization}: the name of no cookie.

        @param sitepath: As for L{nameFor}.
        """
        if sitepath and self.perSitePath:
            return _BEARER + b"_" + nameOfSite(sitepath)
        return _BEARER

    def render(
        self,
        uid: bytes,
        secure: bool,
        sitepath: Sequence[bytes] = (),
        maxAge: int | None = None,
    ) -> bytes:
        """
        Write the C{Set-Cookie} value that gives a uid to the browser.

        @param uid: The uid, 64 lower-case hexadecimal characters.
        @param secure: As for L{nameFor}.
        @param sitepath: As for L{nameFor}.
        @param maxAge: For how many seconds the browser is to keep this one, if not for
            as long as others.
        @raise ValueError: This is no uid, and so could carry anything into the
            header.
        """
        if not isUid(uid):
            raise ValueError(
                f"a session cookie carries {UID_LENGTH} lower-case hexadecimal "
                "characters, and this uid is something else: leave session.uid as "
                "it was made"
            )
        cookie = self._cookies[secure]
        start, end = cookie.start, cookie.end
        if sitepath and self.perSitePath:
            start = self.nameFor(secure, sitepath) + b"="
        if maxAge is not None:
            end = cookie.where + _MAX_AGE % maxAge + cookie.flags
        return start + uid + end

    def renderDeletion(self, secure: bool, sitepath: Sequence[bytes] = ()) -> bytes:
        """
        Write the C{Set-Cookie} value that makes the browser forget the cookie.

        A browser takes a cookie for the same, and lets it be replaced, only if
        name, domain, path and partition agree: they are those of L{render}.

        @param secure: As for L{nameFor}.
        @param sitepath: As for L{nameFor}.
        """
        return self.nameFor(secure, sitepath) + b"=" + self._cookies[secure].deletion

    def _makeCookie(self, secure: bool) -> _Cookie:
        """
        Make the bytes of one cookie.

        @param secure: Whether it has C{Secure}.
        @raise ConfigurationError: Browsers would refuse it.
        """
        option = "secureName" if secure else "insecureName"
        name = self.secureName if secure else self.insecureName
        self._checkPrefix(option, name, secure)
        where = b"; Path=" + self.path.encode("ascii")
        if self.domain is not None:
            where += b"; Domain=" + self.domain.encode("ascii")
        lifetime = b"" if self.maxAge is None else _MAX_AGE % self.maxAge
        flags = b"; Secure" if secure else b""
        flags += b"; HttpOnly; SameSite=" + self.sameSite.capitalize().encode("ascii")
        if self.partitioned:
            flags += b"; Partitioned"
        cookie = _Cookie(
            name=name,
            start=name + b"=",
            where=where,
            flags=flags,
            end=where + lifetime + flags,
            deletion=where + _DELETED + flags,
        )
        # The deletion is shorter: what it adds is less than a uid.
        longest = len(cookie.start) + UID_LENGTH + len(where + flags)
        longest += len(_MAX_AGE % MAX_AGE_LIMIT)
        if self.perSitePath:
            longest += 1 + SITE_PATH_LIMIT
        if longest >= SET_COOKIE_LIMIT:
            refuse(
                f"{option}, domain and path",
                f"short enough for a Set-Cookie of less than {SET_COOKIE_LIMIT} bytes",
                f"{longest} bytes",
            )
        return cookie

    def _checkPrefix(self, option: str, name: bytes, secure: bool) -> None:
        """
        Hold the name to what its prefix promises (RFC 6265bis, 4.1.3), which
        browsers do without regard to case.

        @raise ConfigurationError: They would refuse the cookie.
        """
        lowered = name.lower()
        if not lowered.startswith(_SECURE_PREFIXES):
            return
        if not secure:
            refuse(
                option,
                "a name that browsers take without Secure, so not one that begins "
                "with __Host-, __Secure- or __Http-",
                repr(name),
            )
        if lowered.startswith(_HOST_PREFIX) and (
            self.domain is not None or self.path != "/"
        ):
            refuse(
                option,
                "a name that browsers take with a domain, or a path other than '/', "
                "such as '__Secure-sid': __Host- allows neither",
                repr(name),
            )


__all__ = ["MAX_AGE_LIMIT", "SET_COOKIE_LIMIT", "CookiePolicy"]
