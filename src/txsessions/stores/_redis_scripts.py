"""
What runs inside the Redis server: each verb is one script, so it happens as a whole
or not at all.

Owns the Lua.  Times, versions and whole records go in as packed bytes, laid out by
L{txsessions.stores._redis_rows}, for Lua's numbers written as text lose digits.
Every script names its keys, all of one shard but for L{RENAME}; but L{DELETE} finds
at a marker where to go on.

The keys of a shard: the record; C{due}, its deadlines; C{anon}, those of sessions
in which nobody is signed in; C{claims}, when claims run out; C{index}, all of its
sessions by name; what a session under a marker became: the
key of its record, as long as the marker stays.  A session that was claimed stands in
C{claims} instead of C{due}.
"""

from __future__ import annotations

from txsessions.stores._redis_functions import (
    DAMAGED,
    DONE,
    EXISTS,
    GONE,
    TOO_MANY,
    Script,
    functions,
    script,
)
from txsessions.stores._redis_rows import LIMIT, SIGNED_HEAD, TIMES

LOAD = script(f"""
local asked = ARGV[1]
local known = asked ~= ''
local last = known and {SIGNED_HEAD - 1} or {LIMIT}
local found = call('GETRANGE', KEYS[1], 0, last)
local kind = string.sub(found, 1, 2)
if kind == 'S2' and #found >= {SIGNED_HEAD} then
  {functions("signed", "epochs", "ended")}
  if ended(KEYS[1], found) then return {GONE} end
end
if not known then return found end
if (kind == 'S1' or kind == 'S2') and string.sub(found, 3, 10) == string.sub(asked, 9)
    and #found >= {TIMES} then
  local expires, touched, span = unpack_('<ddd', found, 11)
  if expires - touched == span then
    return expires > unpack_('<d', asked) and {DONE} or {GONE}
  end
end
return call('GETRANGE', KEYS[1], 0, {LIMIT})
""")
"""Keys: record.  Arguments: now and the version known, or nothing.  Where that version
is there, it says whether it is alive; of one whose times are damaged, all that is
there."""

_ADMIT = f"""
local over = {{}}
if isSigned(value) and string.sub(value, 97, 128) ~= was then
  if not free(key, now) then return {EXISTS} end
  over = surplus(first, tonumber(ARGV[#ARGV - 1]), now)
  if #over > 0 and ARGV[#ARGV] == '1' then return {TOO_MANY} end
end
"""
"""What comes before a sign-in that is limited."""

_EVICT = """
for _, each in ipairs(over) do drop(each[1], each[2], each[3]) end
"""
"""What comes behind it."""

_LIMITED = ("forget", "unlist", "drop", "entry", "alive", "before", "surplus")
"""What the two need."""


def _insert(admit: str, evict: str, *needs: str) -> Script:
    """
    Make L{INSERT}, with a limit or without.
    """
    return script(
        f"""
local key, name, value = KEYS[1], ARGV[1], ARGV[2]
local expires, now = unpack_('<d', value, 11), unpack_('<d', ARGV[3])
local first, was = 5
{admit}
value = stamp(key, value)
if not insert(key, value, expires, now) then return {EXISTS} end
call('ZADD', KEYS[2], score(expires), name)
call('ZREM', KEYS[3], name)
call('ZADD', KEYS[4], 0, name)
list(key, value, name, ttl(expires, now), expires)
{evict}
return {DONE}
""",
        "score",
        "ttl",
        "signed",
        "epochs",
        "free",
        "insert",
        "stamp",
        "list",
        *needs,
    )


INSERT = _insert("", "")
"""Keys: record, due, claims, index.  Arguments: name, value, now."""

INSERT_LIMITED = _insert(_ADMIT, _EVICT, "head", "ended", *_LIMITED)
"""Keys: those of L{INSERT}, then the index of the principal in each shard.  Arguments:
those of L{INSERT}, then how many may be signed in, and 1 if one more is refused."""

REPLACE = script(
    f"""
local function signIn(found)
  return string.sub(found, 55, 56)
    .. (isSigned(found) and string.sub(found, 81, 128) or '')
end
local now = unpack_('<d', ARGV[3])
local found, fault = current(KEYS[1], string.sub(ARGV[3], 9), now)
if not found then return fault end
local signed = isSigned(found)
if signIn(ARGV[2]) ~= signIn(found) then return {{found}} end
local value, expires = neverBack(ARGV[2], found)
if signed then
  value = string.sub(value, 1, 56) .. string.sub(found, 57, 80)
    .. string.sub(value, 81)
end
call('SET', KEYS[1], value, 'PXAT', ttl(expires, now))
if call('ZADD', KEYS[2], score(expires), ARGV[1]) == 1 then
  call('ZREM', KEYS[3], ARGV[1])
end
list(KEYS[1], found, ARGV[1], ttl(expires, now), expires)
return {DONE}
""",
    "score",
    "ttl",
    "signed",
    "epochs",
    "ended",
    "head",
    "current",
    "neverBack",
    "list",
)
"""Keys: record, due, claims.  Arguments: name, value, now and version expected.  Where
somebody else is signed in than the value says, it says the head of what is there, for
the checksum can be made outside only."""

TOUCH = script(
    f"""
local touched, expires, now = unpack_('<ddd', ARGV[2])
local found, fault = current(KEYS[1], nil, now)
if not found then return fault end
local oldExpires, oldTouched = unpack_('<dd', found, 11)
if touched <= oldTouched then return {DONE} end
expires = math.max(expires, oldExpires)
call('SETRANGE', KEYS[1], 10, pack('<ddd', expires, touched, expires - touched))
call('PEXPIREAT', KEYS[1], ttl(expires, now))
if call('ZADD', KEYS[2], score(expires), ARGV[1]) == 1 then
  call('ZREM', KEYS[3], ARGV[1])
end
list(KEYS[1], found, ARGV[1], ttl(expires, now), expires)
return {DONE}
""",
    "score",
    "ttl",
    "signed",
    "epochs",
    "ended",
    "head",
    "current",
    "list",
)
"""Keys: record, due, claims.  Arguments: name, then touchedAt, expiresAt and now."""


def _rename(admit: str, evict: str, *needs: str) -> Script:
    """
    Make L{RENAME}, with a limit or without.
    """
    return script(
        f"""
local now = unpack_('<d', ARGV[5])
local found, fault = current(KEYS[1], ARGV[4], now)
if not found then return fault end
local key, name, value = KEYS[5], ARGV[2], ARGV[3]
local expires
local first, was = 10, isSigned(found) and string.sub(found, 97, 128)
{admit}
value, expires = neverBack(stamp(key, value), found)
if not insert(key, value, expires, now) then return {EXISTS} end
call('ZADD', KEYS[6], score(expires), name)
call('ZREM', KEYS[7], name)
call('ZADD', KEYS[8], 0, name)
list(key, value, name, ttl(expires, now), expires)
call('SET', KEYS[9], key, 'PXAT', mark(KEYS[1], 'M1', ARGV[6]))
for i = 2, 4 do call('ZREM', KEYS[i], ARGV[1]) end
unlist(KEYS[1], found, ARGV[1])
{evict}
return {DONE}
""",
        "score",
        "ttl",
        "signed",
        "epochs",
        "ended",
        "head",
        "current",
        "neverBack",
        "free",
        "insert",
        "stamp",
        "list",
        "forget",
        "unlist",
        "mark",
        *needs,
    )


RENAME = _rename("", "")
"""Keys: record, due, claims and index of the old name, then of the new one, and what
the old one became.  Arguments: old name, new name, value, version expected, now, the
marker but for its kind.  What was alive until now stamps the epoch of now, also where its
principal stays the same: the new shard counts by itself."""

RENAME_LIMITED = _rename(_ADMIT, _EVICT, *_LIMITED[2:])
"""Keys: those of L{RENAME}, then the index of the new principal in each shard.
Arguments: those of L{RENAME}, then as for L{INSERT_LIMITED}."""

DELETE = script(
    f"""
local key, name = KEYS[1], ARGV[1]
local length = #key - #name - 2
local tag, passed = string.sub(key, 1, length), {{}}
local found, fault = head(key)
while fault == {GONE} and call('STRLEN', key) > 0 do
  passed[key] = true
  key = redis.pcall('GETRANGE', tag .. 'b:' .. name, 0, {LIMIT})
  if type(key) ~= 'string' or key == '' or passed[key] then return {GONE} end
  tag, name = string.sub(key, 1, length), string.sub(key, length + 3)
  found, fault = head(key)
end
local there = drop(key, found, name)
if there == 1 and ARGV[2] ~= '' then mark(key, 'E1', ARGV[2]) end
return there
""",
    "signed",
    "head",
    "forget",
    "unlist",
    "drop",
    "mark",
)
"""Keys: record, due, claims, index, what it became.  Arguments: name, when the marker
runs out, or nothing where there is to be none."""

FOLLOW = script(
    f"""
local key, now = KEYS[1], unpack_('<d', ARGV[2])
local tag = string.sub(key, 1, #key - #ARGV[1] - 2)
local passed, found = {{}}, redis.pcall('GETRANGE', key, 0, {LIMIT})
while type(found) == 'string' and #found >= 10 and string.sub(found, 1, 2) == 'M1'
    and unpack_('<d', found, 3) > now and not passed[key] do
  passed[key] = true
  local became = redis.pcall('GETRANGE', tag .. 'b:' .. string.sub(key, #tag + 3),
    0, {LIMIT})
  if type(became) ~= 'string' or became == '' then return {GONE} end
  key = became
  tag = tagOf(key)
  found = redis.pcall('GETRANGE', key, 0, {LIMIT})
end
local name = string.sub(key, #tag + 3)
if type(found) == 'string' and string.sub(found, 1, 2) == 'E1' then
  return {{name, found}}
end
if key == KEYS[1] or not head(key) or ended(key, found) then return {GONE} end
return {{name, found}}
""",
    "signed",
    "epochs",
    "ended",
    "head",
)
"""Keys: record, what it became.  Arguments: name, now.  Says the name of what there is
in the end, and its record or the marker of its end, which may be past its deadline."""

CLAIM = script(
    f"""
local now, till = unpack_('<d', ARGV[1]), unpack_('<d', ARGV[2])
local room, claimed = tonumber(ARGV[3]), {{}}
for i = 4, #KEYS do
  local name, key = ARGV[i], KEYS[i]
  local at = call('ZSCORE', KEYS[1], name) or call('ZSCORE', KEYS[2], name)
  if room <= 0 then break end
  if at and tonumber(at) <= now then
    local found, fault = head(key)
    call('ZREM', KEYS[1], name)
    call('ZREM', KEYS[2], name)
    if found and unpack_('<d', found, 11) > now then
      call('ZADD', KEYS[1], score(unpack_('<d', found, 11)), name)
    elseif found then
      local value = call('GETRANGE', key, 0, {LIMIT})
      call('ZADD', KEYS[2], score(till), name)
      claimed[#claimed + 1] = name
      claimed[#claimed + 1] = value
      room = room - #value
    elseif fault == {DAMAGED} or call('EXISTS', key) == 1
        and call('STRLEN', key) == 0 then
      claimed[#claimed + 1] = name
      claimed[#claimed + 1] = ''
    else
      call('ZREM', KEYS[3], name)
      call('ZREM', tagOf(key) .. 'anon', name)
    end
  end
end
return claimed
""",
    "score",
    "signed",
    "head",
)
"""Keys: due, claims, index, then records.  Arguments: now, when the claims run out,
how many bytes to hand out, then the records' names, each in the place of its key.
Says names and values in turn; a value that is empty is damaged, and will not be
claimed again."""

ACKNOWLEDGE = script(
    f"""
for i = 3, #KEYS do
  if call('ZREM', KEYS[1], ARGV[i]) == 1 then
    local found = head(KEYS[i])
    call('DEL', KEYS[i])
    call('ZREM', KEYS[2], ARGV[i])
    if found then unlist(KEYS[i], found, ARGV[i]) end
  end
end
return {DONE}
""",
    "signed",
    "head",
    "forget",
    "unlist",
)
"""Keys: claims, index, then records.  Arguments: two that mean nothing, then the
records' names, each in the place of its key."""

ALL = (
    LOAD,
    INSERT,
    INSERT_LIMITED,
    REPLACE,
    TOUCH,
    RENAME,
    RENAME_LIMITED,
    DELETE,
    FOLLOW,
    CLAIM,
    ACKNOWLEDGE,
)
"""Every script of this module."""

__all__ = [
    "ACKNOWLEDGE",
    "ALL",
    "CLAIM",
    "DELETE",
    "FOLLOW",
    "INSERT",
    "INSERT_LIMITED",
    "LOAD",
    "RENAME",
    "RENAME_LIMITED",
    "REPLACE",
    "TOUCH",
]
