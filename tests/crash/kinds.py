"""
The kinds of stores that many processes are tried on.

Owns what differs between them in a test: where a store is, and how to look at its
records from outside.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from tests.crash.nursery import Database


@frozen(kw_only=True)
class Kind:
    """
    One kind of store.

    @ivar prepare: Takes the test and its folder, starts what is needed, and returns
        what a server is started with: see L{tests.crash.server.Options}.
    @ivar address: Takes the folder and these options; returns the store's address.
    @ivar payloads: Takes the same; returns what is sealed in each record, by its key.
    """

    prepare: Callable[..., dict]
    address: Callable[..., str]
    payloads: Callable[..., dict[bytes, bytes]]


def _sqlitePayloads(folder, options):
    """
    Read them from the file.
    """
    return dict(
        Database(folder).ask(
            "SELECT key, payload FROM sessions WHERE version IS NOT NULL"
        )
    )


KINDS = {
    "sqlite": Kind(
        prepare=lambda case, folder: {},
        address=lambda folder, options: f"sqlite:{folder / 'sessions.sqlite'}",
        payloads=_sqlitePayloads,
    )
}
"""The kinds by name."""


__all__ = ["KINDS", "Kind"]
