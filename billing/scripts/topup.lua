-- Top-up or correction, with its ledger entry. Idempotent by transaction id and, where given, by the client's key.
-- ARGV  user, transaction id, amount (signed), key, body hash, event, the most that top-ups may sum to
-- answers  { outcome, available, transaction id }
--   outcome 0 done, 1 replayed (the first transaction), 2 conflict, 3 the total would pass its bound, 4 the balance does not cover it
local user, id, amount, key, hash, event, most = unpack(ARGV)
amount, most = tonumber(amount), tonumber(most)
local acc = account(user)
local marker = tag .. ':t:' .. id
local known_key = key ~= '' and (tag .. ':tk:' .. user .. ':' .. key) or nil

local known = known_key and redis.call('GET', known_key)
if known then
  local first = cjson.decode(known)
  if first.hash ~= hash then return { 2, '0', '' } end
  -- A call that is repeated because its answer was lost meets its own key: that is no replay.
  return { first.id == id and 0 or 1, first.available, first.id }
end
local f = redis.call('HMGET', acc, 'available', 'topped_up')
local available, topped_up = tonumber(f[1] or '0'), tonumber(f[2] or '0')
if redis.call('EXISTS', marker) == 1 then return { 0, num(available), id } end
if topped_up + amount > most then return { 3, num(available), '' } end
if available + amount < 0 then return { 4, num(available), '' } end

redis.call('HINCRBY', acc, 'available', num(amount))
redis.call('HINCRBY', acc, 'topped_up', num(amount))
redis.call('HSET', tag .. ':ledger', id, event)
redis.call('SET', marker, '1', 'PX', FORGET_AFTER_MS)
if known_key then
  redis.call('SET', known_key, cjson.encode({ hash = hash, id = id, available = num(available + amount) }), 'PX', KEY_TTL_MS)
end
return { 0, num(available + amount), id }
