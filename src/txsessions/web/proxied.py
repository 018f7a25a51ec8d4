"""
Requests to a site that trusts proxies.

Owns what such a request knows besides: how its client came.  A site without trusted
proxies makes requests without this, so that they cost nothing there.
"""

from __future__ import annotations

from typing import Any

from txsessions.web.request import SessionRequest


class ProxiedRequest(SessionRequest):
    """
    What a request gets where proxies are trusted.
    """

    _cameSecure: bool | None = None

    def process(self: Any) -> None:
        """
        See C{Request.process}.
        """
        self.channel.site._proxies.learn(self)
        super().process()

    def isSecure(self: Any) -> bool:
        """
        See C{Request.isSecure}: what a trusted proxy said, or else how the
        connection is.
        """
        came: bool | None = self._cameSecure
        if came is None or self._forceSSL:
            came = super().isSecure()  # type: ignore[misc]
        return came


__all__ = ["ProxiedRequest"]
