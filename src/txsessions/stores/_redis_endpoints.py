"""
The ways to a Redis server.

Owns the choice of the endpoint: TCP, TLS, a socket in the file system, and the
primary that sentinels name, which are asked anew for each connection.
"""

from __future__ import annotations

import importlib
from collections import deque
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
from txsessions.stores._redis_resp import ReplyError, makeReader

if TYPE_CHECKING:
    from txsessions.stores._redis_address import Settings


def endpointOf(settings: Settings, reactor: Any) -> IStreamClientEndpoint:
    """
    Choose the endpoint.

    @raise ConfigurationError: TLS cannot be had, or its files cannot be read.
    """
    if settings.path:
        return UNIXClientEndpoint(reactor, settings.path, timeout=settings.deadline)
    if settings.service:
        return SentinelEndpoint(settings, reactor)
    ((host, port),) = settings.hosts
    plain = HostnameEndpoint(reactor, _ascii(host), port, timeout=settings.deadline)
    if not settings.tls:
        return plain
    tls = _tls()
    endpoint: IStreamClientEndpoint = tls.TLSEndpoint(tls.creatorOf(settings), plain)
    return endpoint


def check(settings: Settings) -> None:
    """
    Look whether there can be an endpoint.

    @raise ConfigurationError: TLS cannot be had, or its files cannot be read.
    """
    if settings.tls:
        _tls().creatorOf(settings)


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

    def __init__(self, settings: Settings, reactor: Any) -> None:
        self._settings = settings
        self._reactor = reactor
        self._sentinels = deque(settings.hosts)

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
                return await self._endpoint(*found).connect(factory)
        raise StoreUnavailable(
            f"no sentinel of {self._settings.where} names a primary: "
            + "; ".join(faults)
        )

    async def _ask(self, host: str, port: int) -> tuple[str, int]:
        """
        Ask one sentinel.
        """
        settings = self._settings
        share = settings.deadline / (2 * len(self._sentinels))

        def make() -> Connection:
            return Connection(self._reactor, f"{host}:{port}", share, 1, makeReader)

        factory = Factory.forProtocol(make)
        connecting: Deferred[Any] = self._endpoint(host, port).connect(factory)
        connection: Connection = await connecting.addTimeout(share, self._reactor)
        try:
            reply = await connection.call(
                b"SENTINEL", b"get-master-addr-by-name", settings.service.encode()
            )
        except ReplyError as error:
            raise StoreUnavailable(f"it refused to say ({str(error)[:9]})") from None
        finally:
            connection.drop("was only asked once")
        if not (isinstance(reply, list) and len(reply) == 2):
            raise StoreUnavailable(f"it knows no {settings.service!r}")
        return reply[0].decode(), int(reply[1])

    def _endpoint(self, host: str, port: int) -> IStreamClientEndpoint:
        """
        The way to one server.
        """
        deadline = self._settings.deadline
        return HostnameEndpoint(self._reactor, _ascii(host), port, timeout=deadline)


__all__ = ["SentinelEndpoint", "check", "endpointOf"]
