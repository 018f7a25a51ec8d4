"""
Which network an address belongs to.

Owns how large a network is that one visitor may be taken to have: what he can choose
addresses from is one of them.
"""

from __future__ import annotations

from txsessions.web.forwarded import Address

IPV4_PREFIX = 24
"""How many bits of an IPv4 address name its network."""

IPV6_PREFIX = 56
"""How many bits of an IPv6 address do: what a provider gives one customer."""


def networkOf(address: Address) -> str:
    """
    Name the network of an address, such as C{192.0.2.0/24}.

    @param address: An IPv4 one that is mapped into IPv6 counts as IPv4.
    """
    plain = (address.ipv4_mapped if address.version == 6 else None) or address
    prefix = IPV4_PREFIX if plain.version == 4 else IPV6_PREFIX
    shift = plain.max_prefixlen - prefix
    return f"{type(plain)(int(plain) >> shift << shift)}/{prefix}"


__all__ = ["IPV4_PREFIX", "IPV6_PREFIX", "networkOf"]
