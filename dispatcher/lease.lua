-- Lease: hands a dispatcher submits of an operator's rate, so that tps holds for all dispatchers together.
-- KEYS  {rate:<operator>}
-- ARGV  tps, wanted
-- answers  how many submits were granted; the bucket saves at most a twenty-fifth of a second
local t = redis.call('TIME')
local now = t[1] * 1000 + t[2] / 1000
local tps, wanted = tonumber(ARGV[1]), tonumber(ARGV[2])
local f = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local most = math.max(1, tps / 25)
local tokens, at = tonumber(f[1] or most), tonumber(f[2] or now)
tokens = math.min(most, tokens + math.max(0, now - at) * tps / 1000)
local granted = math.min(wanted, math.floor(tokens))
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens - granted), 'at', string.format('%.3f', now))
redis.call('PEXPIRE', KEYS[1], 60000)
return granted
