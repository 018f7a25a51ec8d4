"""
What the scripts that run inside the Redis server are made of.

Owns the Lua that several of them need, and what they say.  A script gets only the
functions that it names, for Lua makes them anew each time it runs.

Of a record in which nobody is signed in C{isSigned} is false, and for it no function
here asks the server anything about a principal: it is in the set of the anonymous.  The index and the epoch of a
principal are in the shard of the record, so their keys are made of its key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from attrs import field, frozen

from txsessions.core.record import PREFIX_BYTES
from txsessions.stores._redis_resp import pack
from txsessions.stores._redis_rows import GRACE, HEAD, LIMIT, MARKER_GRACE, SIGNED_HEAD

GONE, DONE, EXISTS, TOO_MANY, DAMAGED = 0, 1, 2, 3, -1
"""What a script says; a record instead is the one that stands in the way."""


@frozen
class Script:
    """
    A script, and the name that the server gives it.

    @ivar lead: What a command that runs it by its name has behind the number of its
        parts.
    """

    text: bytes = field(repr=False)
    name: bytes = field(init=False)
    lead: bytes = field(init=False, repr=False)

    @name.default
    def _digest(self) -> bytes:
        """
        Redis' own name for it.
        """
        return hashlib.sha1(self.text, usedforsecurity=False).hexdigest().encode()

    @lead.default
    def _led(self) -> bytes:
        """
        Written once: only what changes is packed for each call.
        """
        return b"$7\r\nEVALSHA\r\n$%d\r\n%b\r\n" % (len(self.name), self.name)

    def command(self, keys: Sequence[bytes], arguments: Sequence[bytes]) -> bytes:
        """
        Write the command that runs it by its name.
        """
        return pack((b"EVALSHA", self.name, b"%d" % len(keys), *keys, *arguments))

    def inFull(self, command: bytes) -> bytes:
        """
        Write the same command for a server that does not know the name.
        """
        full = b"$4\r\nEVAL\r\n$%d\r\n%b\r\n" % (len(self.text), self.text)
        return command.replace(self.lead, full, 1)


def script(text: str, *needs: str) -> Script:
    """
    Make a script.

    @param needs: See L{functions}.
    """
    return Script((_SHARED + functions(*needs) + text).strip().encode())


def functions(*needs: str) -> str:
    """
    Some of L{_FUNCTIONS}.

    @param needs: Their names, each behind those that it needs.
    """
    return "".join(_FUNCTIONS[name] for name in needs)


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
    "signed": """
local function isSigned(found) return string.sub(found, 1, 2) == 'S2' end
local function tagOf(key)
  return string.sub(key, 1, string.find(key, '}:', 1, true) + 1)
end
""",
    # The epoch of a principal, and that of its prefix.
    "epochs": f"""
local function epochsOf(key, found)
  local name = tagOf(key) .. 'e:' .. string.sub(found, 97, 128)
  local own = call('GETRANGE', name, 0, -1)
  local all = call('GETRANGE', string.sub(name, 1, {PREFIX_BYTES - 33}), 0, -1)
  return own == '' and 0 or tonumber(own), all == '' and 0 or tonumber(all)
end
""",
    # An epoch that is no number, or was changed on the way, ends what it is about.
    "ended": """
local function ended(key, found)
  if not isSigned(found) then return false end
  local own, all = epochsOf(key, found)
  local signed, among, check = unpack_('<i8i8i8', found, 57)
  return not (signed >= (own or math.huge) and among >= (all or math.huge))
    or check ~= -1 - signed - among
end
""",
    "head": f"""
local function head(key)
  local found = redis.pcall('GETRANGE', key, 0, {SIGNED_HEAD - 1})
  if type(found) == 'table' then return nil, {DAMAGED} end
  local kind = string.sub(found, 1, 2)
  if found == '' or kind == 'M1' or kind == 'E1' then return nil, {GONE} end
  if kind == 'S1' and #found >= {HEAD} then return found end
  if kind == 'S2' and #found >= {SIGNED_HEAD} then return found end
  return nil, {DAMAGED}
end
""",
    "current": f"""
local function current(key, expected, now)
  local found, fault = head(key)
  if not found then return nil, fault end
  if unpack_('<d', found, 11) <= now or ended(key, found) then
    return nil, {GONE}
  end
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
    "free": """
local function free(key, now)
  local found = redis.pcall('GETRANGE', key, 0, 9)
  if type(found) ~= 'string' then return false end
  if found == '' then return call('EXISTS', key) == 0 end
  local kind = string.sub(found, 1, 2)
  return #found == 10 and (kind == 'M1' or kind == 'E1')
    and unpack_('<d', found, 3) <= now
end
""",
    "insert": """
local function insert(key, value, expires, now)
  if call('SET', key, value, 'NX', 'PXAT', ttl(expires, now)) then return true end
  if not free(key, now) then return false end
  call('SET', key, value, 'PXAT', ttl(expires, now))
  return true
end
""",
    # Who signs in does so at the epochs of now.
    "stamp": """
local function stamp(key, value)
  if not isSigned(value) then return value end
  local own, all = epochsOf(key, value)
  if own == 0 and all == 0 then return value end
  return string.sub(value, 1, 56) .. pack('<i8i8i8', own, all, -1 - own - all)
    .. string.sub(value, 81)
end
""",
    # An anonymous session stands among those of its shard.  The index of a principal
    # lives as long as the longest of its records, and up to a day longer, so that few
    # writes move that.  What was lost of either each write puts back.
    "list": f"""
local function list(key, found, name, till, expires)
  if not isSigned(found) then
    call('ZADD', tagOf(key) .. 'anon', score(expires), name)
    return
  end
  local index = tagOf(key) .. 'p:' .. string.sub(found, 97, 128)
  call('ZADD', index, 0, string.sub(found, 81, 96) .. name)
  if call('PTTL', index) < call('PTTL', key) then
    call('PEXPIREAT', index, string.format('%.0f', till + {GRACE * 1000}))
  end
end
""",
    # With the last record of its shard goes the epoch.
    "forget": """
local function forget(index, entry)
  if call('ZREM', index, entry) == 1 and call('EXISTS', index) == 0 then
    local tag = tagOf(index)
    call('DEL', tag .. 'e:' .. string.sub(index, #tag + 3))
  end
end
""",
    "unlist": """
local function unlist(key, found, name)
  if isSigned(found) then
    forget(tagOf(key) .. 'p:' .. string.sub(found, 97, 128),
      string.sub(found, 81, 96) .. name)
  else
    call('ZREM', tagOf(key) .. 'anon', name)
  end
end
""",
    "drop": """
local function drop(key, found, name)
  local tag = tagOf(key)
  local there = call('DEL', key)
  call('ZREM', tag .. 'due', name)
  call('ZREM', tag .. 'claims', name)
  call('ZREM', tag .. 'index', name)
  if found then unlist(key, found, name) else call('ZREM', tag .. 'anon', name) end
  return there
end
""",
    "mark": f"""
local function mark(key, kind, till)
  local last = math.min(unpack_('<d', till) + {MARKER_GRACE}, 1e11) * 1000
  last = string.format('%.0f', last)
  call('SET', key, kind .. till, 'PXAT', last)
  return last
end
""",
    # What an entry of an index is about.  One whose record is not there, or is not
    # that of the entry, goes; one whose record is damaged stays.
    "entry": f"""
local function entryOf(index, entry)
  local tag, name = tagOf(index), string.sub(entry, 17)
  local key, principal = tag .. 's:' .. name, string.sub(index, #tag + 3)
  local found, fault = head(key)
  if found and (not isSigned(found) or string.sub(found, 81, 96) .. name ~= entry
      or string.sub(found, 97, 128) ~= principal) then
    found, fault = nil, {GONE}
  end
  if fault == {GONE} then forget(index, entry) end
  return key, name, found, fault
end
""",
    "alive": """
local function isAlive(key, found, now)
  return found and unpack_('<d', found, 11) > now and not ended(key, found)
end
""",
    # Not Lua's own order of strings, which is that of the server's language.
    "before": """
local function before(one, two)
  for i = 1, 16 do
    local a, b = string.byte(one, i), string.byte(two, i)
    if a ~= b then return a < b end
  end
  return false
end
""",
    # Those that have to go for one more, the oldest first, by the server's clock.
    "surplus": """
local function surplus(first, most, now)
  local living, over = {}, {}
  for i = first, #KEYS do
    for _, entry in ipairs(call('ZRANGEBYLEX', KEYS[i], '-', '+')) do
      local key, name, found = entryOf(KEYS[i], entry)
      if isAlive(key, found, now) then
        local created, offset = unpack_('<dd', found, 35)
        living[#living + 1] = {key, found, name, created + offset, entry}
      end
    end
  end
  if #living < most then return over end
  table.sort(living, function(one, two)
    if one[4] ~= two[4] then return one[4] < two[4] end
    return before(one[5], two[5])
  end)
  for i = 1, #living + 1 - most do over[i] = living[i] end
  return over
end
""",
}
"""What several scripts need."""

__all__ = [
    "DAMAGED",
    "DONE",
    "EXISTS",
    "GONE",
    "TOO_MANY",
    "Script",
    "functions",
    "script",
]
