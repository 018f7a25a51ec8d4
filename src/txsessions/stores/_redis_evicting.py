"""
What runs inside the Redis server where anonymous sessions are too many: see
L{txsessions.stores._redis_scripts}.

Owns this Lua.
"""

from __future__ import annotations

from txsessions.stores._redis_functions import script
from txsessions.stores._redis_rows import LIMIT

LOOK = 16
"""How many sessions of each shard one script looks at."""

EVICT = script(
    f"""
local now, most = unpack_('<d', ARGV[1]), tonumber(ARGV[2])
local limit, room = tonumber(ARGV[3]), tonumber(ARGV[4])
local after, over = '(' .. score(now), -most
for _, set in ipairs(KEYS) do over = over + call('ZCOUNT', set, after, '+inf') end
if over <= 0 then return {{0}} end
local places, least = {{}}, math.huge
for _, set in ipairs(KEYS) do
  local some = call('ZRANGEBYSCORE', set, after, '+inf', 'WITHSCORES', 'LIMIT', 0,
    {LOOK})
  for i = 1, #some, 2 do
    places[#places + 1] = {{tonumber(some[i + 1]), some[i], set}}
  end
  if #some == {2 * LOOK} then least = math.min(least, tonumber(some[#some])) end
end
table.sort(places, function(one, two)
  if one[1] ~= two[1] then return one[1] < two[1] end
  return before(one[2], two[2])
end)
local said, met = {{0}}, false
for _, place in ipairs(places) do
  local at, name, set = unpack(place)
  if at > least or over <= 0 or limit <= 0 or room <= 0 then break end
  local key = tagOf(set) .. 's:' .. name
  local found = head(key)
  met = true
  if not found or isSigned(found) then
    call('ZREM', set, name)
    over = over - 1
  elseif unpack_('<d', found, 11) > at then
    call('ZADD', set, score(unpack_('<d', found, 11)), name)
  else
    local value = call('GETRANGE', key, 0, {LIMIT})
    drop(key, found, name)
    said[#said + 1] = name
    said[#said + 1] = value
    over, limit, room = over - 1, limit - 1, room - #value
  end
end
if met and over > 0 then said[1] = 1 end
return said
""",
    "score",
    "signed",
    "head",
    "forget",
    "unlist",
    "drop",
    "before",
)
"""Keys: the sets of the anonymous, one a shard.  Arguments: now, how many may be there,
how many to delete at most, and of how many bytes.  Says 1 if there may be more to
delete, then names and values in turn.  What is named without a record, or wrongly, is
named no more: a record that was changed by an earlier version stands where it did."""

ALL = (EVICT,)
"""Every script of this module."""

__all__ = ["ALL", "EVICT", "LOOK"]
