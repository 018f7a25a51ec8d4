"""
What the command line says about proxies, as arguments of the cookie policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from txsessions.errors import ConfigurationError
from txsessions.web.policy import CookiePolicy


def proxyArguments(
    trusted: Sequence[str], header: str | None, *, personal: bool
) -> dict[str, Any]:
    """
    Read which proxies are trusted.

    @param trusted: Their addresses, as given.
    @param header: What they speak with, or L{None} for the default.
    @param personal: Whether another server is in front of this one, by C{distrib}.
    @return: Arguments of L{CookiePolicy}.
    @raise ConfigurationError: One is none, or they would have no effect.
    """
    if not trusted:
        if header is not None:
            raise ConfigurationError(
                "--session-proxy-header needs --session-trusted-proxy as well: it is "
                "read when such a proxy sends it"
            )
        return {}
    if personal:
        raise ConfigurationError(
            "--session-trusted-proxy has no effect with --personal: how a visitor came "
            "is known to the server in front"
        )
    for address in trusted:
        try:
            CookiePolicy(trustedProxies=[address])
        except ConfigurationError as error:
            raise ConfigurationError(
                "--session-trusted-proxy must be an IP address, a network such as "
                f"10.0.0.0/8 that is not everybody's, or unix; found {address!r}"
            ) from error
    given: dict[str, Any] = {"trustedProxies": tuple(trusted)}
    if header is not None:
        given["proxyHeader"] = header
    return given


__all__ = ["proxyArguments"]
