"""
The proxies that a site trusts.

Owns whose word is taken for how a request came, what becomes of the request by it,
and what the log is told of both.  How the headers are read is in
L{txsessions.web.forwarded}.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.protocol import Protocol
from twisted.logger import Logger

from txsessions.web.distributed import wasSent
from txsessions.web.forwarded import (
    Networks,
    Origin,
    addressOfPeer,
    followForwarded,
    followXForwarded,
)
from txsessions.web.grammar import UNIX

if TYPE_CHECKING:
    from twisted.web.http_headers import Headers

    from txsessions.web.policy import CookiePolicy

_log = Logger(namespace="txsessions")

_FOR = b"x-forwarded-for"
_PROTO = b"x-forwarded-proto"
_FORWARDED = b"forwarded"

_READ = {
    "x-forwarded": "X-Forwarded-For and X-Forwarded-Proto are",
    "forwarded": "Forwarded is",
}

_LAST_PORT = 65535
_PORT = re.compile(rb".*:([0-9]{1,5})", re.DOTALL)

_ADVICE = (
    "this request counts as plain HTTP, and its session cookie has no Secure. {advice} "
    "(This is said once; docs/operating.md has more under Behind a proxy.)"
)


class Refused(Protocol):
    """
    A connection with somebody who may not connect.
    """

    def connectionMade(self) -> None:
        """
        See C{IProtocol.connectionMade}.
        """
        transport: Any = self.transport
        transport.loseConnection()


class Proxies:
    """
    The proxies that a site trusts; false if there are none.
    """

    def __init__(self, policy: CookiePolicy) -> None:
        proxies = policy.trustedProxies
        self._names = [str(proxy) for proxy in proxies if proxy != UNIX]
        self._networks = Networks(proxy for proxy in proxies if proxy != UNIX)
        self._unix = UNIX in proxies
        self._header = policy.proxyHeader
        self._allSecure = policy.secure == "always"
        # Where the cookie is never Secure, nobody needs to be told that it is not.
        self._hasWarned = policy.secure == "never"

    def __bool__(self) -> bool:
        return self._unix or bool(self._names)

    def trusts(self, peer: Any) -> bool:
        """
        Decide whether the word of a peer is taken.

        @param peer: Its C{IAddress}.
        """
        address = addressOfPeer(peer)
        if address is None:
            return self._unix and isinstance(peer, UNIXAddress)
        return address in self._networks

    def admits(self, peer: Any) -> bool:
        """
        Decide whether a peer may connect.  Where clients' addresses come by the
        PROXY protocol, which precedes all requests of a connection, whoever may
        send it may say anything.

        @param peer: The C{IAddress} of the socket's other end, whatever the PROXY
            protocol is going to say.
        """
        return self._header != "proxy" or not self or self.trusts(peer)

    def learn(self, request: Any) -> None:
        """
        Tell a request how it came, if that is known.
        """
        if self._header == "proxy":
            if self._allSecure:
                request._cameSecure = True
        elif self.trusts(request.client):
            origin = self._follow(request)
            if origin.address is not None:
                request._clientHost = str(origin.address)
            request._cameSecure = origin.secure
            request.host = _hostFor(request)

    def _follow(self, request: Any) -> Origin:
        """
        Read what a trusted proxy says.
        """
        nearest = addressOfPeer(request.client)
        said = request.requestHeaders.getRawHeaders
        if self._header == "forwarded":
            return followForwarded(self._networks, nearest, said(_FORWARDED, []))
        return followXForwarded(
            self._networks, nearest, said(_FOR, []), said(_PROTO, [])
        )

    # -- the log

    def inWords(self) -> str:
        """
        Say whose word is taken.
        """
        whose = ", ".join([*self._names, *(["Unix sockets"] if self._unix else [])])
        if self._header == "proxy":
            return f"only proxies connect, with the PROXY protocol, from {whose}"
        return f"{_READ[self._header]} believed from {whose}, and from nobody else"

    def warn(self, request: Any) -> None:
        """
        A request that seems to be plain HTTP gets a session cookie without
        C{Secure}: if that is so because of a proxy that is not believed, say so,
        once.
        """
        if self._hasWarned or request.isSecure():
            return
        found = self._suspect(request)
        if found is not None:
            self._hasWarned = True
            what, advice = found
            _log.warn("{what}: " + _ADVICE, what=what, advice=advice)

    def _suspect(self, request: Any) -> tuple[str, str] | None:
        """
        Find what may be wrong.

        @return: It, and what to do about it.
        """
        always = (
            'If all visitors come over TLS, say so: secure="always", or '
            "--session-secure always."
        )
        if wasSent(request) and "_forceSSL" not in vars(request):
            return (
                "the server in front, of twisted.web.distrib, does not say whether a "
                "client uses TLS, as a Site of txsessions does",
                always,
            )
        if self and self._header == "proxy":
            return "the PROXY protocol does not tell whether a client uses TLS", always
        headers, peer = request.requestHeaders, request.client
        if not self.trusts(peer):
            name = _claims(headers)
            if name is None:
                return None
            address = addressOfPeer(peer)
            who = UNIX if address is None else str(address)
            return (
                f"{name} came from {who}, which is no trusted proxy of this site",
                f"If it is yours, name it: CookiePolicy(trustedProxies=[{who!r}]), or "
                f"--session-trusted-proxy {who}. If not, somebody made the header up, "
                "in vain.",
            )
        name = "Forwarded" if self._header == "forwarded" else "X-Forwarded-Proto"
        origin = self._follow(request)
        if origin.doubt is not None:
            return (
                f"{name}, from a trusted proxy, {origin.doubt}",
                "Let the proxy that clients connect to write it anew, and the others "
                "pass it on.",
            )
        if origin.secure is None:
            return (
                f"a trusted proxy does not say in {name} whether the client uses TLS",
                f"Let it say so, or choose another proxyHeader. {always}",
            )
        return None


def _claims(headers: Headers) -> str | None:
    """
    Find the header by which a request says that it came by a proxy, unless it says
    that the client uses plain HTTP.
    """
    scheme = b",".join(headers.getRawHeaders(_PROTO, [])).lower()
    if scheme:
        return "X-Forwarded-Proto" if b"https" in scheme else None
    said = b",".join(headers.getRawHeaders(_FORWARDED, [])).lower()
    if said:
        return "Forwarded" if b"https" in said or b"proto=" not in said else None
    return "X-Forwarded-For" if headers.hasHeader(_FOR) else None


def _hostFor(request: Any) -> Any:
    """
    Tell which port a client connected to that came by a proxy, for URLs: the one in
    the C{Host} header, or the usual one.

    @return: As C{request.host}.
    """
    found = _PORT.fullmatch(request.getHeader(b"host") or b"")
    port = 0 if found is None else int(found[1])
    if not 0 < port <= _LAST_PORT:
        port = 443 if request.isSecure() else 80
    host = request.host
    if isinstance(host, UNIXAddress):
        return IPv4Address("TCP", "localhost", port)
    return type(host)(host.type, host.host, port)


__all__ = ["Proxies", "Refused"]
