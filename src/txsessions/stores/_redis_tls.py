"""
TLS to a Redis server.

Owns the reading of certificates and the words for what was wrong with one.  There
is no way to switch the checks off.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.internet.ssl import (
    Certificate,
    PrivateCertificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from zope.interface import implementer

from txsessions.errors import ConfigurationError

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from txsessions.stores._redis_address import Settings

_CHECKS = {
    2: "it was issued by an authority that is not trusted (see cafile)",
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is self-signed and not trusted (see cafile)",
    19: "its chain ends in a certificate that is not trusted (see cafile)",
    20: "it was issued by an authority that is not trusted (see cafile)",
    21: "it was issued by an authority that is not trusted (see cafile)",
    23: "it was revoked",
    26: "it is not meant for servers",
    62: "it is for another host",
}
"""What OpenSSL's numbers of checks mean."""

_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"


class Trust:
    """
    Whom to trust, and as whom to come: the certificates of an address, read once.
    """

    def __init__(self, settings: Settings) -> None:
        """
        @raise ConfigurationError: A file cannot be read.
        """
        self._roots = self._own = None
        if settings.cafile:
            self._roots = trustRootFromCertificates(_authorities(settings.cafile))
        if settings.certfile:
            pem = _read(settings.certfile)
            if settings.keyfile:
                pem += b"\n" + _read(settings.keyfile)
            self._own = _loaded(settings.certfile, PrivateCertificate.loadPEM, pem)

    def creatorFor(self, host: str) -> Explaining:
        """
        What makes TLS with a host.

        @raise ConfigurationError: The host can have no certificate.
        """
        try:
            options = optionsForClientTLS(
                host, trustRoot=self._roots, clientCertificate=self._own
            )
        except UnicodeError:
            raise ConfigurationError(f"{host!r} is not the name of a host") from None
        return Explaining(options)


@implementer(IOpenSSLClientConnectionCreator)
class Explaining:
    """
    Knows which check a certificate did not pass: OpenSSL's error does not say.  It
    only looks: to set a verifying function of one's own would take away Twisted's,
    which compares the host.
    """

    def __init__(self, creator: Any) -> None:
        self._creator = creator
        self._connection: Any = None

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """
        See C{IOpenSSLClientConnectionCreator.clientConnectionForTLS}.
        """
        connection: SSL.Connection = self._creator.clientConnectionForTLS(tlsProtocol)
        self._connection = connection
        return connection

    @property
    def fault(self) -> str:
        """
        What was wrong with the last certificate.  pyOpenSSL has no public way to
        ask; where its private one has gone, no more is told than that something
        was.
        """
        try:
            ask = importlib.import_module("OpenSSL._util").lib.SSL_get_verify_result
            number = ask(self._connection._ssl)
        except (ImportError, AttributeError):
            return "it cannot be trusted"
        return _CHECKS.get(number, f"it failed OpenSSL's check {number}")


@implementer(IStreamClientEndpoint)
class TLSEndpoint:
    """
    Connects with TLS, and can tell why that failed.
    """

    def __init__(self, explaining: Explaining, plain: IStreamClientEndpoint) -> None:
        self._explaining = explaining
        self._endpoint = wrapClientTLS(explaining, plain)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        See C{IStreamClientEndpoint.connect}.
        """
        connecting: Deferred[IProtocol] = self._endpoint.connect(protocolFactory)
        return connecting

    def explain(self, failure: Failure) -> str:
        """
        Say why a connection was lost, as far as TLS was the reason.

        @return: The empty string if it was something else.
        """
        error = failure.value
        if type(error).__name__ == "VerificationError":
            return "is not who it should be: its certificate is for another host"
        if not isinstance(error, SSL.Error):
            return ""
        said = str(error)
        if "certificate verify failed" in said:
            return (
                f"is not trusted, because of its certificate: {self._explaining.fault}"
            )
        if "wrong version number" in said or "packet length" in said:
            return "does not speak TLS on this port"
        return f"could not agree with us on TLS: {said[:200]}"


def _read(path: str) -> bytes:
    """
    Read a file.
    """
    try:
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"{path} cannot be read: {said}") from None


def _authorities(path: str) -> list[Certificate]:
    """
    Read the certificates of those that may vouch for the server.
    """
    parts = [part.partition(_END)[0] for part in _read(path).split(_BEGIN)[1:]]
    if not parts:
        raise ConfigurationError(f"{path} holds no certificate in PEM form")
    return [
        _loaded(path, Certificate.loadPEM, _BEGIN + part + _END + b"\n")
        for part in parts
    ]


def _loaded(path: str, load: Any, pem: bytes) -> Any:
    """
    Have OpenSSL read a certificate.
    """
    try:
        return load(pem)
    except Exception:
        raise ConfigurationError(
            f"{path} holds no certificate, or not its key, in PEM form"
        ) from None


__all__ = ["Explaining", "TLSEndpoint", "Trust"]
