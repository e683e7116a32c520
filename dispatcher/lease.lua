-- Lease: hands a dispatcher submits of an operator's rate, so that tps holds for all dispatchers together.
-- KEYS  {rate:<operator>}
-- ARGV  tps, wanted first (express, and what was submitted already), wanted for the others
-- answers  { granted, milliseconds until asking again can help }
-- The bucket saves a twenty-fifth of a second and what becomes due while the next call is on its way. Where express could not
-- be served whole nobody gets anything for the others until it was: it waits behind no other dispatcher's normal messages.
-- Submits and their settlements free memory in the end: at maxmemory a script's first write is refused unless it needs none.
redis.call('DEL', KEYS[1] .. ':none')
local SLACK_S = 0.06
-- What the bucket saved comes on top: with this no half a minute sees more than tps.
local REFILL = 0.99
local FIRST_HOLDS_MS = 60
local t = redis.call('TIME')
local now = t[1] * 1000 + t[2] / 1000
local tps, first, others = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local f = redis.call('HMGET', KEYS[1], 'tokens', 'at', 'first_until')
local most = math.max(1, tps / 25) + tps * SLACK_S
local tokens, at = tonumber(f[1] or 1), tonumber(f[2] or now)
local first_until = tonumber(f[3] or 0)
tokens = math.min(most, tokens + math.max(0, now - at) * tps * REFILL / 1000)
local whole = math.floor(tokens)
local granted = math.min(first, whole)
if granted < first then first_until = now + FIRST_HOLDS_MS
elseif first > 0 then first_until = 0 end
if first_until <= now then granted = granted + math.min(others, whole - granted) end
tokens = tokens - granted
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens), 'at', string.format('%.3f', now),
  'first_until', string.format('%.0f', first_until))
redis.call('PEXPIRE', KEYS[1], 60000)
local wait = tokens >= 1 and 0 or (1 - tokens) / (tps * REFILL) * 1000
if first == 0 then wait = math.max(wait, first_until - now) end
return { granted, math.ceil(wait) }
