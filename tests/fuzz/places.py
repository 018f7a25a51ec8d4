"""
Targets that read what leads to a store, and what it answers: addresses, and the replies
of a Redis server.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

import hiredis
from twisted.internet.task import Clock

from tests.fuzz.target import Target, Wrong, demand, demandSame
from tests.stores.test_redis_resp import REPLIES, plain
from txsessions.errors import AddressError, ConfigurationError
from txsessions.stores import MemoryStore, SQLiteStore, openStore
from txsessions.stores import _redis_resp as resp

MANY = 300
"""How many lines are compared with what hiredis makes of them."""

_HUGE = re.compile(rb"[0-9]{6}")
_PASSWORD = re.compile("[a-z+]+://[^/?#@]*?:([^/?#@:]{6,})@")


def checkPlace(data: bytes) -> str:
    """
    An address, as a command line gives it, is refused with L{AddressError} or
    L{ConfigurationError}, or makes a store that shows no password; the address that
    one of this machine shows makes it again.
    """
    text = data.decode("utf-8", "surrogateescape")
    try:
        store = openStore(text, reactor=Clock())
    except (AddressError, ConfigurationError) as error:
        str(error)
        return "refused"
    shown = store.address + repr(store)
    password = _PASSWORD.match(text)
    if password and unquote(text).count(secret := unquote(password[1])) == 1:
        demand(secret not in shown, "a password is shown")
    if isinstance(store, (MemoryStore, SQLiteStore)):
        again = openStore(store.address, reactor=Clock())
        demandSame(again.address, store.address, "its address read again")
    return "read"


def readAll(reader: resp.IReader, pieces: list[bytes]) -> tuple[list[object], bool]:
    """
    Read all replies.

    @return: They, and whether the stream was broken.
    """
    found: list[object] = []
    for piece in pieces:
        reader.feed(piece)
        try:
            while (reply := reader.gets()) is not resp.INCOMPLETE:
                found.append(plain(reply))
        except resp.ProtocolError:
            return found, True
        except TypeError as error:
            # By this hiredis says that a key is a list.
            demand("unhashable" in str(error), str(error))
            return found, True
    return found, False


def checkReplies(data: bytes) -> str:
    """
    A stream is read the same however it is cut, and hiredis, where it reads it, reads
    the same.
    """
    bytewise = [data[at : at + 1] for at in range(len(data))]
    whole = readAll(resp.PureReader(), [data])
    demandSame(str(readAll(resp.PureReader(), bytewise)), str(whole), "byte by byte")
    half = len(data) // 2
    halves = readAll(resp.PureReader(), [data[:half], data[half:]])
    demandSame(str(halves), str(whole), "in two")
    if _HUGE.search(data) or data.count(b"\r\n") > MANY:
        # hiredis makes room for whatever a server says that it will send, and does not
        # mind how deep it is.
        return "refused" if whole[1] else "nothing"
    theirs, theyBroke = readAll(_hiredis(), [data])
    ours, weBroke = whole
    common = min(len(ours), len(theirs))
    demandSame(str(ours[:common]), str(theirs[:common]), "hiredis reads it otherwise")
    if len(ours) != len(theirs) and not (weBroke or theyBroke):
        raise Wrong(f"{len(ours)} replies, and hiredis reads {len(theirs)}")
    return "refused" if weBroke else "read" if ours else "nothing"


def _hiredis() -> resp.IReader:
    """
    The parser of hiredis.
    """
    reader: resp.IReader = hiredis.Reader(
        protocolError=resp.ProtocolError,
        replyError=resp.ReplyError,
        notEnoughData=resp.INCOMPLETE,
    )
    return reader


TARGETS = (
    Target(
        name="address",
        check=checkPlace,
        seeds=(
            b"memory:",
            b"sqlite:some.sqlite?durability=normal&deadline=2",
            b"sqlite:~/a%20b/\xc3\xbc:1.db",
            b"redis://:s%40cret@h:6380/3?deadline=1.5&prefix=a.b:c&wait=1&maxQueue=9",
            b"rediss://ann:secret@[2001:db8::1]/?cafile=/c&certfile=/d&keyfile=/e",
            b"rediss://\xc3\xbc.example/0",
            b"redis+unix:///run/redis.sock?db=2",
            b"valkey+sentinel://a,b:26380/main/1",
            b"rediss+sentinel://:a@b,c/d?sentinelUser=e&sentinelPassword=f",
            b"postgresql://ann:s%20cret@h:5433,[::1]/shop?schema=s&deadline=3&prepare=0",
            b"postgres:///shop?host=/run/pg&unlogged=1&sslmode=require",
        ),
        pieces=(
            *(
                b"memory:",
                b"sqlite:",
                b"redis://",
                b"postgresql://",
                b"://",
                b":",
                b"/",
            ),
            *(b"?", b"&", b"=", b"%", b"%00", b"%ff", b"%20", b"#", b"@", b"[", b"]"),
            *(b",", b"\0", b"\n", b"\xff", b"\xc3\xbc", b"~", b"..", b";", b" "),
            *(b"deadline=", b"durability=full", b"db=", b"prefix=", b"wait=", b"nan"),
            *(b"schema=", b"table=", b"host=", b"port=", b"1e999", b"-1", b"inf"),
        ),
        steps=100,
        fixed=60_000,
    ),
    Target(
        name="resp",
        check=checkReplies,
        seeds=(
            b"*3\r\n$5\r\na\r\nbc\r\n%1\r\n+k\r\n_\r\n-ERR no\r\n:5\r\n",
            b"%2\r\n$1\r\na\r\n*0\r\n$1\r\nb\r\n~2\r\n#t\r\n,1.5\r\n",
            b">2\r\n+invalidate\r\n*1\r\n$3\r\nkey\r\n+OK\r\n",
            b"=7\r\ntxt:abc\r\n(-12345\r\n$-1\r\n*-1\r\n",
            b"*2\r\n*2\r\n*2\r\n:1\r\n:-2\r\n,inf\r\n,-1.5e3\r\n",
        ),
        pieces=(
            *(b"\r\n", b"\r", b"\n", b"*1\r\n", b"$", b"*", b"%", b"~", b">", b":"),
            *(b"+", b"-", b"_\r\n", b"#t\r\n", b",", b"(", b"=", b"-1", b"0", b"!"),
            *(b"$0\r\n\r\n", b"%1\r\n", b"nan", b"inf", b"1e5", b"|1\r\n", b"$?\r\n"),
        ),
        steps=700,
        more=REPLIES,
    ),
)

__all__ = ["TARGETS", "readAll"]
