"""
The ways to a Redis server.

Owns the choice of the endpoint: TCP, TLS, a socket in the file system, and the
primary that sentinels name, which are asked anew for each connection.
"""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory
from zope.interface import implementer

from txsessions.errors import ConfigurationError, StoreUnavailable
from txsessions.stores._redis_connection import Connection
from txsessions.stores._redis_errors import codeOf
from txsessions.stores._redis_resp import ReplyError, makeReader

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from txsessions.stores._redis_address import Settings

_REFUSALS = {
    "NOAUTH": "it wants a password: give sentinelPassword",
    "WRONGPASS": "sentinelUser or sentinelPassword is wrong",
    "NOPERM": "its ACL forbids sentinelUser to ask for a primary",
}
"""What it means that a sentinel refuses to say, by the code of its error."""


def endpointOf(settings: Settings, reactor: Any) -> IStreamClientEndpoint:
    """
    Choose the endpoint.

    @raise ConfigurationError: TLS cannot be had, or its files cannot be read.
    """
    if settings.path:
        return UNIXClientEndpoint(reactor, settings.path, timeout=settings.deadline)
    ways = _Ways(settings, reactor)
    if settings.service:
        return SentinelEndpoint(settings, reactor, ways)
    ((host, port),) = settings.hosts
    return ways.to(host, port)


def check(settings: Settings) -> None:
    """
    Look whether there can be an endpoint.

    @raise ConfigurationError: TLS cannot be had, or its files cannot be read.
    """
    if settings.tls:
        trust = _tls().Trust(settings)
        for host, _ in settings.hosts:
            trust.creatorFor(host)


class _Ways:
    """
    The ways to hosts, all with TLS or all without.
    """

    def __init__(self, settings: Settings, reactor: Any) -> None:
        """
        @raise ConfigurationError: TLS cannot be had, or its files cannot be read.
        """
        self._deadline = settings.deadline
        self._reactor = reactor
        self._tls = _tls() if settings.tls else None
        self._trust = self._tls.Trust(settings) if self._tls else None

    def to(self, host: str, port: int) -> IStreamClientEndpoint:
        """
        The way to one host.

        @raise ConfigurationError: That is not the name of a host.
        """
        reactor, deadline = self._reactor, self._deadline
        plain = HostnameEndpoint(reactor, _ascii(host), port, timeout=deadline)
        if self._tls is None or self._trust is None:
            return plain
        endpoint: IStreamClientEndpoint = self._tls.TLSEndpoint(
            self._trust.creatorFor(host), plain
        )
        return endpoint


def explainerOf(endpoint: IStreamClientEndpoint | None) -> Callable[[Failure], str]:
    """
    What can tell why a connection by an endpoint was lost, as far as it can.
    """
    return getattr(endpoint, "explain", lambda failure: "")


def _tls() -> Any:
    """
    The module that needs pyOpenSSL.
    """
    try:
        return importlib.import_module("txsessions.stores._redis_tls")
    except ImportError:
        raise ConfigurationError(
            "rediss:// needs pyOpenSSL and service-identity: "
            "pip install 'txsessions[tls]'"
        ) from None


def _ascii(host: str) -> str:
    """
    A host's name as it is asked for.
    """
    try:
        return host.encode("idna").decode("ascii") if not host.isascii() else host
    except UnicodeError:
        raise ConfigurationError(f"{host!r} is not the name of a host") from None


@implementer(IStreamClientEndpoint)
class SentinelEndpoint:
    """
    Connects to the server that the sentinels call the primary now.
    """

    def __init__(self, settings: Settings, reactor: Any, ways: _Ways) -> None:
        self._settings = settings
        self._reactor = reactor
        self._ways = ways
        self._sentinels = deque(settings.hosts)
        self._primary: IStreamClientEndpoint | None = None

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        See C{IStreamClientEndpoint.connect}.
        """
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        """
        Ask one sentinel after the other, beginning with the one that knew last
        time.
        """
        faults = []
        for _ in range(len(self._sentinels)):
            host, port = self._sentinels[0]
            try:
                found = await self._ask(host, port)
            except Exception as error:
                faults.append(f"{host}:{port}: {error or type(error).__name__}")
                self._sentinels.rotate(-1)
            else:
                self._primary = self._ways.to(*found)
                return await self._primary.connect(factory)
        raise StoreUnavailable(
            f"no sentinel of {self._settings.where} names a primary: "
            + "; ".join(faults)
        )

    def explain(self, failure: Failure) -> str:
        """
        Say why the connection to the primary was lost, as far as TLS was the reason.

        @return: The empty string if it was something else.
        """
        return explainerOf(self._primary)(failure)

    async def _ask(self, host: str, port: int) -> tuple[str, int]:
        """
        Ask one sentinel.
        """
        settings = self._settings
        share = settings.deadline / (2 * len(self._sentinels))

        endpoint = self._ways.to(host, port)
        explain = explainerOf(endpoint)

        def make() -> Connection:
            where = f"{host}:{port}"
            return Connection(self._reactor, where, share, 1, makeReader, explain)

        factory = Factory.forProtocol(make)
        connecting: Deferred[Any] = endpoint.connect(factory)
        connection: Connection = await connecting.addTimeout(share, self._reactor)
        try:
            if settings.sentinelPassword:
                user = settings.sentinelUser or "default"
                words = user.encode(), settings.sentinelPassword.encode()
                await connection.call(b"AUTH", *words)
            reply = await connection.call(
                b"SENTINEL", b"get-master-addr-by-name", settings.service.encode()
            )
        except ReplyError as error:
            code = codeOf(error)
            said = _REFUSALS.get(code, "it refused to say")
            raise StoreUnavailable(f"{said} ({code})") from None
        finally:
            connection.drop("was only asked once")
        if not (isinstance(reply, list) and len(reply) == 2):
            raise StoreUnavailable(f"it knows no {settings.service!r}")
        return reply[0].decode(), int(reply[1])


__all__ = ["SentinelEndpoint", "check", "endpointOf", "explainerOf"]
