"""
Targets that read what was kept: values, scalars, states, sealed records, key files.
"""

from __future__ import annotations

import contextlib
import re
import sys

from hypothesis import strategies as st
from msgspec.msgpack import Encoder, Ext

from tests.core.test_codec import shape, values
from tests.core.test_keyring import SECRETS
from tests.core.test_scalars import scalars
from tests.core.test_seal import KEY, sealer
from tests.core.test_state import STATE, states
from tests.fuzz.target import Target, Wrong, demand, demandSame
from txsessions.core import keysteps
from txsessions.core.codec import (
    BACK_REFERENCE,
    LIMITS,
    Reduced,
    decodeValue,
    encodePlain,
    encodeValue,
)
from txsessions.core.encoding import _Encoding
from txsessions.core.keyfile import parseKeyFile
from txsessions.core.keyring import KeyRing
from txsessions.core.scalars import packScalar, unpackScalar
from txsessions.core.state import packState, unpackState
from txsessions.errors import (
    CannotBeKept,
    KeyFileError,
    RecordDamaged,
    SessionTooLarge,
    UnknownKey,
)

_toBytes = Encoder().encode
MARKS = tuple(bytes([0xC7, 0, code]) for code in (7, 16, 17, 18, 19, 20))
"""The extensions of no bytes that we write."""

ANN = {"user": "ann", "cart": [1, 2.5, b"x"], "é": {"seen": True, "n": None}}
VERSION = 7
BACK = object()


class Thing:
    """
    An object of whatever class, as it is written.
    """

    def __init__(self, name: str, version: int, state: object) -> None:
        demand(type(name) is str and type(version) is int, "a class of no name")
        demand(0 <= version < 2**63, "a version that is none")
        self.parts = (name, version, state)


def reduce(value: object) -> Reduced:
    """
    Take it apart again.
    """
    if value is BACK:
        return BACK_REFERENCE
    return value.parts if isinstance(value, Thing) else None


def checkValue(data: bytes) -> str:
    """
    Bytes are refused with C{ValueError}, or they are a value that we would write just
    so, by either way of writing; no module is loaded.
    """
    loaded = len(sys.modules)
    try:
        value = decodeValue(data, Thing, BACK)
    except ValueError as error:
        demand(type(error) is ValueError, f"a {type(error).__name__}")
        demand(error.__suppress_context__ or not error.__context__, "tells its cause")
        return "refused"
    finally:
        demandSame(len(sys.modules), loaded, "how many modules are loaded")
    demandSame(encodeValue(value, "it", reduce), data, "written again")
    written = _Encoding("it", reduce, LIMITS).plain(value, 0)
    demandSame(_toBytes(written), data, "written the long way")
    demand(encodePlain(value) in {None, data}, "written the short way")
    with contextlib.suppress(ValueError):
        # Where no objects are wanted, it is the same or refused.
        plain = decodeValue(data, None, BACK)
        demandSame(shape(plain), shape(value), "without objects")
    return "read"


def checkScalar(data: bytes) -> str:
    """
    The first byte is the code of a scalar, the rest what stands behind it: refused with
    C{ValueError}, or as we would write it.
    """
    code, rest = data[:1], data[1:]
    try:
        value = unpackScalar(code[0] if code else 0, rest)
    except ValueError as error:
        demand(type(error) is ValueError, f"a {type(error).__name__}")
        return "refused"
    demandSame(packScalar(value), Ext(code[0], rest), "written again")
    return "read"


def checkState(data: bytes) -> str:
    """
    A state is refused with C{ValueError}, or as we would write it; so are its parts.
    """
    try:
        state = unpackState(data)
    except ValueError as error:
        demand(type(error) is ValueError, f"a {type(error).__name__}")
        demand(error.__suppress_context__ or not error.__context__, "tells its cause")
        return "refused"
    demandSame(packState(state), data, "written again")
    for part in state.parts.values():
        checkValue(part)
    return "read"


SEALER = sealer(0, 1, revoked=(2,))
# Always the same is made of the same.
SEALER._entropy = lambda count: bytes(range(count))
SEALED = SEALER.seal(KEY, VERSION, packState(STATE))


def checkSealed(data: bytes) -> str:
    """
    A payload is opened only if it is the very one that was sealed; anything else is
    damaged, or under a key that is not here.  Any bytes come back from a seal.
    """
    with contextlib.suppress(SessionTooLarge):
        back = SEALER.open(KEY, VERSION, SEALER.seal(KEY, VERSION, data))
        demandSame(back, data, "sealed and opened")
    for key, version in ((KEY[::-1], VERSION), (KEY, VERSION + 1), (KEY, -1)):
        with contextlib.suppress(RecordDamaged, UnknownKey):
            SEALER.open(key, version, data)
            raise Wrong("opened where it does not belong")
    try:
        SEALER.open(KEY, VERSION, data)
    except (RecordDamaged, UnknownKey):
        return "refused"
    demandSame(data, SEALED, "opened")
    return "read"


def checkKeyFile(data: bytes) -> str:
    """
    A key file is refused with L{KeyFileError}, which shows no key, or it is read as one
    that is plainly written, and each step of a change of keys gives such a file.
    """
    try:
        ring = parseKeyFile(data, "it")
    except KeyFileError as error:
        said = str(error).lower().encode("utf-8", "surrogateescape")
        for digits in re.findall(rb"[0-9a-f]{16,}", data.lower()):
            demand(digits[:16] not in said, "a key is shown")
        return "refused"
    listed = keysteps.listKeys(data, "it")
    revoked = [key.id for key in listed if key.state == "revoked"]
    demandSame({*map(bytes.hex, ring.revoked)}, {*revoked}, "those that are revoked")
    demandSame(parseKeyFile(_written(ring), "it").keys, ring.keys, "plainly written")
    _checkSteps(data, ring)
    return "read"


def _written(ring: KeyRing) -> bytes:
    """
    Write the keys that open.
    """
    lines = [b"txsessions keys 1", b"active " + ring.active.secret.hex().encode()]
    lines += [b"old " + key.secret.hex().encode() for key in ring.others]
    return b"\n".join(lines)


def _checkSteps(data: bytes, ring: KeyRing) -> None:
    """
    Change the keys: who could open something can do so until the last step.
    """
    text = data
    with contextlib.suppress(KeyFileError):
        text = keysteps.addNext(data, "it", SECRETS[7])
        added = parseKeyFile(text, "it")
        demandSame({*added.keys} - {*ring.keys}, {added.others[0]}, "what was added")
        demandSame(added.active, ring.active, "the active one")
    with contextlib.suppress(KeyFileError):
        promoted = parseKeyFile(keysteps.promote(text, "it"), "it")
        before = parseKeyFile(text, "it")
        demandSame({*promoted.keys}, {*before.keys}, "those that open")
        demand(promoted.active != ring.active, "none was promoted")
    with contextlib.suppress(KeyFileError):
        retired = parseKeyFile(keysteps.retire(data, "it", {}), "it")
        demandSame(retired.active, ring.active, "the active one")
        demand({*retired.keys} < {*ring.keys} or ring.revoked, "none was dropped")
    for key in ring.others:
        after = parseKeyFile(keysteps.revoke(data, "it", key.id.hex()), "it")
        demandSame({*ring.keys} - {*after.keys}, {key}, "what was revoked")


def _kept(value: object) -> bytes | None:
    """
    Write a value, if it can be.
    """
    try:
        return encodeValue(value)
    except CannotBeKept:
        return None


def _scalar(value: object) -> bytes | None:
    """
    Write a scalar with its code before it, if it has one.
    """
    with contextlib.suppress(ValueError):
        found = packScalar(value)
        return None if found is None else bytes([found.code]) + found.data
    return None


SIZES = ((1, 9), (2, 12), (2, 20), (3, 4), (4, 8), (5, 12), (6, 16))
"""Codes of scalars, and how much stands behind them."""

KEYS = [secret.hex().encode("ascii") for secret in SECRETS]
HEAD = b"txsessions keys 1\n"

TARGETS = (
    Target(
        name="value",
        check=checkValue,
        seeds=(
            encodeValue(ANN),
            encodeValue([{1, 2, "a"}, frozenset({b"x"}), (1, (2,)), 2**70]),
            encodeValue({(1, 2): "pair", None: 0}),
            encodeValue([Thing("shop.Cart", 2, {"of": BACK})], "it", reduce),
            encodeValue({"deep": [[[[[[[[[[1]]]]]]]]]]}),
        ),
        pieces=(
            *MARKS,
            *(bytes([octet]) for octet in (*range(0x7F, 0xA4), *range(0xC0, 0xE0))),
            *(b"\xc7\x09\x01\x01" + bytes(8), b"\xd9\x01a", b"\xdc\0\x01", b"\xff"),
            *(b"\xdf\xff\xff\xff\xff", b"\xdd\0\x01\0\0", b"\xde\0\x01", b"\x91" * 31),
            *(b"\xcb\x7f\xf8" + bytes(6), b"\xa3\xed\xa0\x80", b"\xcf" + b"\xff" * 8),
        ),
        steps=800,
        more=values.map(_kept).filter(bool),
    ),
    Target(
        name="scalar",
        check=checkScalar,
        seeds=tuple(bytes([code]) + bytes(size) for code, size in SIZES),
        pieces=(
            *(bytes([code]) for code in range(9)),
            *(bytes(8), b"\xff" * 8, b"\x80", b"\x7f", b"\x07\xea\x02\x1d"),
            *((86_400_000_000).to_bytes(8, "big"), (86_399).to_bytes(4, "big")),
            *((999_999).to_bytes(4, "big"), (999_999_999).to_bytes(4, "big")),
        ),
        steps=30,
        more=(scalars | st.integers()).map(_scalar).filter(bool),
    ),
    Target(
        name="state",
        check=checkState,
        seeds=(
            packState(STATE),
            _toBytes((1, 0.0, 1.0, 1.0, False, b"sid", None, {b"nx": b"\xc0"})),
        ),
        pieces=(
            *(b"\xc0", b"\xc2", b"\xc3", b"\x01", b"\x02", b"\x80", b"\x81", b"\x98"),
            *(
                b"\xc4\x02nx\xc4\x01\xc0",
                b"\xc4\x01n",
                b"\xc4\x01x",
                b"\xca" + bytes(4),
            ),
            *(b"\xcb\x7f\xf8" + bytes(6), b"\xcb\x7f\xf0" + bytes(6), b"\xcb\xff"),
            *(b"\xcb\x80" + bytes(7), b"\xa3ann", b"\xa3\xed\xa0\x80", b"\xde\x03\xe9"),
        ),
        steps=800,
        more=states.map(packState),
    ),
    Target(
        name="sealed",
        check=checkSealed,
        seeds=(SEALED, SEALED[:1], packState(STATE)),
        pieces=(
            *(b"\x01", b"\x02", SEALED[:9], SEALED[1:9], SEALED[9:33], SEALED[-16:]),
            *(SEALER.seal(KEY, VERSION + 2, b"")[9:], bytes(16)),
            *(sealer(1).seal(KEY, VERSION, b"other")[:9],),
            *(sealer(2).seal(KEY, VERSION, b"revoked")[:9],),
        ),
        steps=20,
    ),
    Target(
        name="keyfile",
        check=checkKeyFile,
        seeds=(
            HEAD + b"active " + KEYS[0] + b"\n",
            HEAD + b"# shop\r\n\r\nold %b\r\n  active\t%b \r\nnext %b" % (*KEYS[:3],),
            HEAD + b"revoked %b\nold %b\nactive %b\n" % (*KEYS[:3],),
        ),
        pieces=(
            *(b"active ", b"next ", b"old ", b"revoked ", b"#", b"\n", b"\r", b" "),
            *(b"\x0b", b"\x0c", b"\x1c", b"\x85", b"\0", b"\t", HEAD, KEYS[0], KEYS[3]),
            *(b"old %b\n" % KEYS[4], b"next %b\n" % KEYS[5], b"0" * 64, b"\xff"),
            KEYS[0].upper(),
        ),
        steps=600,
        fixed=60_000,
    ),
)

__all__ = ["ANN", "KEYS", "MARKS", "TARGETS"]
