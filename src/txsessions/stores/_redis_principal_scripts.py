"""
What runs inside the Redis server for all sessions of one principal: see
L{txsessions.stores._redis_scripts}.

Owns this Lua.  Each script names the index of the principal in every shard, 64 keys,
and finds the rest from there: the epoch and the records are in the shard of the index
that names them.  On one server that is one transaction.  No cluster would run it: there
each shard would have to be asked by itself, and a limit kept by other means.

The keys of a principal in a shard: C{p:}, its index, the handle and the name of each
session, in one order; C{e:}, its epoch, if it was raised while any of its sessions was
there, in text.  Under C{e:} is that of a prefix, too.  An epoch is the server's time in microseconds at which it was raised,
or more, so that one that comes after a lost one is higher, too.
"""

from __future__ import annotations

from txsessions.stores._redis_functions import DAMAGED, DONE, script
from txsessions.stores._redis_rows import LIMIT

SLICE = 64
"""How many records L{COUNT} looks at."""

END_ALL = script(
    """
local now, but, count = unpack_('<d', ARGV[1]), ARGV[2], 0
local time = call('TIME')
local latest = tonumber(time[1]) * 1e6 + tonumber(time[2])
for _, index in ipairs(KEYS) do
  local tag, kept, among = tagOf(index)
  for _, entry in ipairs(call('ZRANGEBYLEX', index, '-', '+')) do
    local key, name, found = entryOf(index, entry)
    if isAlive(key, found, now) then
      if #ARGV == 2 and name == but then
        kept, among = key, unpack_('<i8', found, 65)
      else
        count = count + 1
        if call('ZREM', tag .. 'due', name) == 1 then
          call('ZADD', tag .. 'claims', score(unpack_('<d', found, 11)), name)
        end
      end
    end
  end
  local left = call('PTTL', index)
  if left ~= -2 then
    local key = tag .. 'e:' .. string.sub(index, #tag + 3)
    local epoch = tonumber(call('GETRANGE', key, 0, -1)) or 0
    epoch = math.max(epoch + 1, latest)
    epoch = string.format('%.0f', epoch)
    if left > 0 then call('SET', key, epoch, 'PX', left) else call('SET', key, epoch) end
    if kept then
      call('SETRANGE', kept, 56, pack('<i8i8i8', epoch, among, -1 - epoch - among))
    end
  end
end
return count
""",
    "score",
    "signed",
    "epochs",
    "ended",
    "head",
    "forget",
    "entry",
    "alive",
)
"""Keys: the indexes.  Arguments: now, the name of the record that stays, if any.  Says
how many were alive and have ended.  These are no longer due but, for the sweeper, as if
they had been claimed until their deadline: so the due are still all that are alive."""

END_EVERYBODY = script(
    """
local time = call('TIME')
local latest = tonumber(time[1]) * 1e6 + tonumber(time[2])
for _, key in ipairs(KEYS) do
  local tag = tagOf(key)
  local last = tonumber(call('ZRANGE', tag .. 'due', -1, -1, 'WITHSCORES')[2])
  local epoch = tonumber(call('GETRANGE', key, 0, -1)) or 0
  call('SET', key, string.format('%.0f', math.max(epoch + 1, latest)))
  if last then
    call('SET', tag .. 'ended', '', 'PXAT',
      string.format('%.0f', math.max(1, math.min(last, 1e11) * 1000)))
  end
end
return 0
""",
    "signed",
)
"""Keys: the epochs of a prefix.  They stay for good.  C{ended} is there until the last
deadline that there is now: as long, there may be ended ones among the due."""

COUNT = script(
    f"""
local now, tag, alive = unpack_('<d', ARGV[1]), tagOf(KEYS[1]), 0
local names = call('ZRANGEBYLEX', KEYS[1], ARGV[2], '+', 'LIMIT', 0, {SLICE})
for _, name in ipairs(names) do
  local key = tag .. 's:' .. name
  if isAlive(key, (head(key)), now) then alive = alive + 1 end
end
return {{alive, names[{SLICE}] or ''}}
""",
    "signed",
    "epochs",
    "ended",
    "head",
    "alive",
)
"""Keys: the index of a shard.  Arguments: now, and where to begin.  Says how many of the
next sessions are alive, and the name of the last one if there may be more."""

END_ONE = script(
    f"""
local now = unpack_('<d', ARGV[1])
for _, index in ipairs(KEYS) do
  for _, entry in ipairs(call('ZRANGEBYLEX', index, ARGV[2], ARGV[3])) do
    local key, name, found, fault = entryOf(index, entry)
    if found or fault == {DAMAGED} then
      local wasAlive = isAlive(key, found, now)
      drop(key, found, name)
      forget(index, entry)
      return wasAlive and {DONE} or {DAMAGED}
    end
  end
end
return 0
""",
    "signed",
    "epochs",
    "ended",
    "head",
    "forget",
    "unlist",
    "drop",
    "entry",
    "alive",
)
"""Keys: the indexes.  Arguments: now, and from where to where in them the handle is.
Says L{DONE} if it was alive, 0 if there was none."""

LIST = script(
    f"""
local now, most, room = unpack_('<d', ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[4])
local entries, said = {{}}, {{''}}
for _, index in ipairs(KEYS) do
  for _, entry in ipairs(call('ZRANGEBYLEX', index, ARGV[2], '+', 'LIMIT', 0, most)) do
    entries[#entries + 1] = {{entry, index}}
  end
end
table.sort(entries, function(one, two) return before(one[1], two[1]) end)
for i, each in ipairs(entries) do
  local key, name, found = entryOf(each[2], each[1])
  if isAlive(key, found, now) then
    said[#said + 1] = name
    said[#said + 1] = call('GETRANGE', key, 0, {LIMIT})
    room = room - #said[#said]
  end
  if i == most or room <= 0 and i < #entries then
    said[1] = string.sub(each[1], 1, 16)
    break
  end
end
return said
""",
    "signed",
    "epochs",
    "ended",
    "head",
    "forget",
    "entry",
    "alive",
    "before",
)
"""Keys: the indexes.  Arguments: now, where to begin in them, how many entries to look
at, how many bytes to hand out.  Says the last handle that it looked at, nothing if there
are no more, then names and values in turn."""

ERASE = script(
    f"""
local count = 0
for _, index in ipairs(KEYS) do
  local tag = tagOf(index)
  for _, entry in ipairs(call('ZRANGEBYLEX', index, '-', '+')) do
    local key, name, found, fault = entryOf(index, entry)
    if found or fault == {DAMAGED} then count = count + drop(key, found, name) end
  end
  call('DEL', index)
  call('DEL', tag .. 'e:' .. string.sub(index, #tag + 3))
end
return count
""",
    "signed",
    "head",
    "forget",
    "unlist",
    "drop",
    "entry",
)
"""Keys: the indexes.  Says how many records there were."""

LISTED = script(
    """
local wrong = 0
for i, key in ipairs(KEYS) do
  local found = head(key)
  if found and isSigned(found) and not call('ZSCORE',
      tagOf(key) .. 'p:' .. string.sub(found, 97, 128),
      string.sub(found, 81, 96) .. ARGV[i]) then
    wrong = wrong + 1
  end
end
return wrong
""",
    "signed",
    "head",
)
"""Keys: records of one shard.  Arguments: their names.  Says how many of them have a
principal and no entry in its index."""

THERE = script(
    """
local index, wrong = KEYS[1], 0
local tag = tagOf(index)
for _, entry in ipairs(call('ZRANGEBYLEX', index, '-', '+')) do
  local name = string.sub(entry, 17)
  local found, fault = head(tag .. 's:' .. name)
  if not found or not isSigned(found)
      or string.sub(found, 97, 128) ~= string.sub(index, #tag + 3)
      or string.sub(found, 81, 96) .. name ~= entry then
    wrong = wrong + 1
  end
end
return wrong
""",
    "signed",
    "head",
)
"""Keys: an index.  Says how many of its entries have no record."""

ALL = (END_ALL, END_EVERYBODY, COUNT, END_ONE, LIST, ERASE, LISTED, THERE)
"""Every script of this module."""

__all__ = [
    "ALL",
    "COUNT",
    "END_ALL",
    "END_EVERYBODY",
    "END_ONE",
    "ERASE",
    "LIST",
    "LISTED",
    "THERE",
]
