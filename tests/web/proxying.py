"""
A site behind a proxy, and who comes by way of it.
"""

from __future__ import annotations

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

from tests.web.oracle import WebCase
from txsessions import CookiePolicy

PROXY = "10.0.0.1"
STRANGER = "203.0.113.5"
HTTPS = ("X-Forwarded-Proto: https",)
HTTP = ("X-Forwarded-Proto: http",)

ORDINARY = CookiePolicy(trustedProxies=[PROXY])
FORWARDED = CookiePolicy(trustedProxies=[PROXY], proxyHeader="forwarded")


def describe(request):
    """
    A page that says how its request came.
    """
    said = (
        "https" if request.isSecure() else "http",
        str(request.clientHost()),
        request.prePathURL().decode(),
    )
    return " ".join(said).encode()


def peer(host):
    """
    Make the address of a peer.
    """
    if host is None:
        return UNIXAddress(None)
    return (IPv6Address if ":" in host else IPv4Address)("TCP", host, 4711)


class ProxyCase(WebCase):
    """
    A site behind a proxy.
    """

    def come(self, host=PROXY, **how):
        """
        Connect.

        @param host: From where; L{None} for a Unix socket.
        """
        client = self.client(**how)
        client.wire.peerAddr = peer(host)
        client.wire.hostAddr = IPv4Address("TCP", "10.0.0.9", 8080)
        if host is None:
            client.wire.hostAddr = UNIXAddress(b"/run/site")
        return client

    def described(self, *headers, host=PROXY, **how):
        """
        Ask how a request came.
        """
        answer = self.come(host, **how).fetch(headers=headers)
        return answer.body.decode()


__all__ = [
    "FORWARDED",
    "HTTP",
    "HTTPS",
    "ORDINARY",
    "PROXY",
    "STRANGER",
    "ProxyCase",
    "describe",
    "peer",
]
