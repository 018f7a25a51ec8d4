"""
Looks for secrets, in each form in which they may be written down, in what is said of
a program and in its objects.
"""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from twisted.logger import eventAsText

import txsessions

PACKAGE = os.path.dirname(txsessions.__file__)
SHORTEST = 16
"""Bytes of a secret that may not be found either, at its beginning or its end."""


def formsOf(secret):
    """
    All forms in which bytes may be written down.
    """
    forms = {secret, secret[:SHORTEST], secret[-SHORTEST:]}
    for whole in (secret, secret[:24], secret[-24:]):
        forms |= {whole.hex().encode(), whole.hex().upper().encode()}
        forms.add(repr(whole)[2:-1].encode())
        forms.add(str(list(whole))[1:-1].encode())
    for skipped in range(3):
        # base64 looks different at each offset; its ends depend on neighbours.
        encoded = base64.b64encode(secret[skipped:])[: len(secret) - 4]
        forms |= {encoded, encoded.replace(b"+", b"-").replace(b"/", b"_")}
    return forms


def variablesOfOurs():
    """
    What a traceback may show of the variables of our functions that lead here.
    """
    seen = []
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename.startswith(PACKAGE):
            seen += [f"{name}={value!r}" for name, value in frame.f_locals.items()]
        frame = frame.f_back
    return seen


def saidOf(events: Iterable[dict[str, Any]]) -> Iterator[str]:
    """
    All that log events say, in all forms.
    """
    for event in events:
        yield eventAsText(event, includeTraceback=True)
        for key, value in event.items():
            yield f"{key}={value!r} {value}"
        failure = event.get("log_failure")
        if failure is not None:
            for detail in ("brief", "default", "verbose"):
                yield failure.getTraceback(detail=detail)


def objectsOfOurs(root: object) -> Iterator[object]:
    """
    The objects of our classes that can be reached from one, by way of others and of
    containers.
    """
    found, waiting = {}, [root]
    while waiting:
        each = waiting.pop()
        if id(each) in found:
            continue
        if isinstance(each, Mapping):
            inside = [*each.keys(), *each.values()]
        elif isinstance(each, (list, tuple, set, frozenset)):
            inside = list(each)
        elif type(each).__module__.partition(".")[0] == "txsessions":
            inside = [*_attributesOf(each)]
            yield each
        else:
            continue
        # Kept, so that no other gets its number.
        found[id(each)] = each
        waiting += inside


def _attributesOf(thing: object) -> Iterator[object]:
    """
    What is in the attributes of an object, in its C{__dict__} and in slots.
    """
    yield from getattr(thing, "__dict__", {}).values()
    for kind in type(thing).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            hidden = f"_{kind.__name__.lstrip('_')}{name}"
            mangled = name.startswith("__") and not name.endswith("__")
            yield getattr(thing, hidden if mangled else name, None)


class Search:
    """
    Looks for secrets.

    @ivar forms: What is looked for, and what of.
    """

    def __init__(self):
        self.forms = {}

    def add(self, name, secret):
        """
        Look for another secret.
        """
        for form in formsOf(secret):
            self.forms[form] = name

    def find(self, text):
        """
        @return: What is found in bytes or text.
        """
        data = (
            text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        )
        return sorted({name for form, name in self.forms.items() if form in data})


__all__ = ["PACKAGE", "Search", "objectsOfOurs", "saidOf", "variablesOfOurs"]
