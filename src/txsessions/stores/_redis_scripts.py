"""
What runs inside the Redis server: each verb is one script, so it happens as a whole
or not at all.

Owns the Lua.  Times, versions and whole records go in as packed bytes, laid out by
L{txsessions.stores._redis_rows}, for Lua's numbers written as text lose digits.
Every script names its keys, all of one shard but for L{RENAME}; but L{DELETE} finds
at a marker where to go on.

The keys of a shard: the record; C{due}, its deadlines; C{claims}, when claims run
out; C{index}, all of its sessions by name; what a session under a marker became: the
key of its record, as long as the marker stays.  A session that was claimed stands in
C{claims} instead of C{due}.
"""

from __future__ import annotations

import hashlib

from attrs import field, frozen

from txsessions.stores._redis_rows import GRACE, HEAD, LIMIT, MARKER_GRACE

GONE, DONE, EXISTS, DAMAGED = 0, 1, 2, -1
"""What a script says; a record instead is the one that stands in the way."""


@frozen
class Script:
    """
    A script, and the name that the server gives it.
    """

    text: bytes = field(repr=False)
    name: bytes = field(init=False)

    @name.default
    def _digest(self) -> bytes:
        """
        Redis' own name for it.
        """
        return hashlib.sha1(self.text, usedforsecurity=False).hexdigest().encode()


def _script(text: str, *needs: str) -> Script:
    """
    Make a script.

    @param needs: Which of L{_FUNCTIONS} it needs: Lua makes them anew each time.
    """
    shared = "".join(_FUNCTIONS[name] for name in needs)
    return Script((_SHARED + shared + text).strip().encode())


_SHARED = """
local call, pack, unpack_ = redis.call, struct.pack, struct.unpack
"""
_FUNCTIONS = {
    "score": """
local function score(at) return string.format('%.17g', at) end
""",
    "ttl": f"""
local function ttl(at, now)
  local latest = math.max(at, now) + {GRACE}
  return string.format('%.0f', math.min(latest, 1e11) * 1000)
end
""",
    "head": f"""
local function head(key)
  local found = redis.pcall('GETRANGE', key, 0, {HEAD - 1})
  if type(found) == 'table' then return nil, {DAMAGED} end
  local kind = string.sub(found, 1, 2)
  if found == '' or kind == 'M1' then return nil, {GONE} end
  if kind ~= 'S1' or #found < {HEAD} then return nil, {DAMAGED} end
  return found
end
""",
    "current": f"""
local function current(key, expected, now)
  local found, fault = head(key)
  if not found then return nil, fault end
  if unpack_('<d', found, 11) <= now then return nil, {GONE} end
  if expected and string.sub(found, 3, 10) ~= expected then
    return nil, call('GETRANGE', key, 0, {LIMIT})
  end
  return found
end
""",
    "neverBack": """
local function neverBack(value, found)
  local expires, touched = unpack_('<dd', value, 11)
  local oldExpires, oldTouched = unpack_('<dd', found, 11)
  if oldTouched > touched then
    expires, touched = math.max(oldExpires, expires), oldTouched
    value = string.sub(value, 1, 10) .. pack('<ddd', expires, touched,
      expires - touched) .. string.sub(value, 35)
  end
  return value, expires
end
""",
    "insert": """
local function insert(key, value, expires, now)
  if call('SET', key, value, 'NX', 'PXAT', ttl(expires, now)) then return true end
  local found = redis.pcall('GETRANGE', key, 0, 9)
  if type(found) == 'string' and #found == 10 and string.sub(found, 1, 2) == 'M1'
      and unpack_('<d', found, 3) <= now then
    call('SET', key, value, 'PXAT', ttl(expires, now))
    return true
  end
  return false
end
""",
}
"""What several scripts need."""

LOAD = _script(f"""
local found = call('GETRANGE', KEYS[1], 0, 33)
if string.sub(found, 1, 2) == 'S1' and string.sub(found, 3, 10) == ARGV[1] then
  return {{found}}
end
return call('GETRANGE', KEYS[1], 0, {LIMIT})
""")
"""Keys: record.  Arguments: the version known."""

INSERT = _script(
    f"""
local expires, now = unpack_('<d', ARGV[2], 11), unpack_('<d', ARGV[3])
if not insert(KEYS[1], ARGV[2], expires, now) then return {EXISTS} end
call('ZADD', KEYS[2], score(expires), ARGV[1])
call('ZREM', KEYS[3], ARGV[1])
call('ZADD', KEYS[4], 0, ARGV[1])
return {DONE}
""",
    "score",
    "ttl",
    "insert",
)
"""Keys: record, due, claims, index.  Arguments: name, value, now."""

REPLACE = _script(
    f"""
local now = unpack_('<d', ARGV[4])
local found, fault = current(KEYS[1], ARGV[3], now)
if not found then return fault end
local value, expires = neverBack(ARGV[2], found)
call('SET', KEYS[1], value, 'PXAT', ttl(expires, now))
if call('ZADD', KEYS[2], score(expires), ARGV[1]) == 1 then
  call('ZREM', KEYS[3], ARGV[1])
end
return {DONE}
""",
    "score",
    "ttl",
    "head",
    "current",
    "neverBack",
)
"""Keys: record, due, claims.  Arguments: name, value, version expected, now."""

TOUCH = _script(
    f"""
local now = unpack_('<d', ARGV[4])
local found, fault = current(KEYS[1], nil, now)
if not found then return fault end
local touched, expires = unpack_('<d', ARGV[2]), unpack_('<d', ARGV[3])
local oldExpires, oldTouched = unpack_('<dd', found, 11)
if touched <= oldTouched then return {DONE} end
expires = math.max(expires, oldExpires)
call('SETRANGE', KEYS[1], 10, pack('<ddd', expires, touched, expires - touched))
call('PEXPIREAT', KEYS[1], ttl(expires, now))
if call('ZADD', KEYS[2], score(expires), ARGV[1]) == 1 then
  call('ZREM', KEYS[3], ARGV[1])
end
return {DONE}
""",
    "score",
    "ttl",
    "head",
    "current",
)
"""Keys: record, due, claims.  Arguments: name, touchedAt, expiresAt, now."""

RENAME = _script(
    f"""
local now, till = unpack_('<d', ARGV[5]), unpack_('<d', ARGV[6])
local found, fault = current(KEYS[1], ARGV[4], now)
if not found then return fault end
local value, expires = neverBack(ARGV[3], found)
if not insert(KEYS[5], value, expires, now) then return {EXISTS} end
call('ZADD', KEYS[6], score(expires), ARGV[2])
call('ZREM', KEYS[7], ARGV[2])
call('ZADD', KEYS[8], 0, ARGV[2])
local last = string.format('%.0f', math.min(till + {MARKER_GRACE}, 1e11) * 1000)
call('SET', KEYS[1], 'M1' .. ARGV[6], 'PXAT', last)
call('SET', KEYS[9], KEYS[5], 'PXAT', last)
for i = 2, 4 do call('ZREM', KEYS[i], ARGV[1]) end
return {DONE}
""",
    "score",
    "ttl",
    "head",
    "current",
    "neverBack",
    "insert",
)
"""Keys: record, due, claims and index of the old name, then of the new one, and what
the old one became.  Arguments: old name, new name, value, version expected, now, when the marker runs
out."""

DELETE = _script(
    f"""
local key, name = KEYS[1], ARGV[1]
local length = #key - #name - 2
local tag, passed = string.sub(key, 1, length), {{}}
local _, fault = head(key)
while fault == {GONE} and call('STRLEN', key) > 0 do
  passed[key] = true
  key = redis.pcall('GETRANGE', tag .. 'b:' .. name, 0, {LIMIT})
  if type(key) ~= 'string' or key == '' or passed[key] then return {GONE} end
  tag, name = string.sub(key, 1, length), string.sub(key, length + 3)
  _, fault = head(key)
end
local there = call('DEL', key)
call('ZREM', tag .. 'due', name)
call('ZREM', tag .. 'claims', name)
call('ZREM', tag .. 'index', name)
return there
""",
    "head",
)
"""Keys: record, due, claims, index, what it became.  Arguments: name."""

CLAIM = _script(
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
    end
  end
end
return claimed
""",
    "score",
    "head",
)
"""Keys: due, claims, index, then records.  Arguments: now, when the claims run out,
how many bytes to hand out, then the records' names, each in the place of its key.
Says names and values in turn; a value that is empty is damaged, and will not be
claimed again."""

ACKNOWLEDGE = _script(f"""
for i = 3, #KEYS do
  if call('ZREM', KEYS[1], ARGV[i]) == 1 then
    call('DEL', KEYS[i])
    call('ZREM', KEYS[2], ARGV[i])
  end
end
return {DONE}
""")
"""Keys: claims, index, then records.  Arguments: two that mean nothing, then the
records' names, each in the place of its key."""

ALL = (LOAD, INSERT, REPLACE, TOUCH, RENAME, DELETE, CLAIM, ACKNOWLEDGE)
"""Every script."""

__all__ = [
    "ACKNOWLEDGE",
    "ALL",
    "CLAIM",
    "DAMAGED",
    "DELETE",
    "DONE",
    "EXISTS",
    "GONE",
    "INSERT",
    "LOAD",
    "RENAME",
    "REPLACE",
    "TOUCH",
    "Script",
]
