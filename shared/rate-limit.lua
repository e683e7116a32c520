-- Rate limit: hands a process messages of a subject's rate, some in advance, so that the rate holds for all processes together.
-- KEYS  limit:account:<user> or limit:key:<id>
-- ARGV  rate (messages a second; the bucket saves one second of it), given back, needed now, wished in advance
-- answers  {granted, wait}: granted is 0, or what is needed now and up to what is wished; wait is how many milliseconds it
--          takes until what is needed now is granted, when nothing else comes
-- More than a second's messages at once pass when the bucket is full, and are paid off afterwards.
local t = redis.call('TIME')
local now = t[1] * 1000 + t[2] / 1000
local rate, back = tonumber(ARGV[1]), tonumber(ARGV[2])
local needed, wished = tonumber(ARGV[3]), tonumber(ARGV[4])
local f = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(f[1] or rate), tonumber(f[2] or now)
tokens = math.min(rate, tokens + back + math.max(0, now - at) * rate / 1000)
local granted, wait = 0, 0
local wanted = math.min(needed, rate)
if tokens >= wanted then
  granted = needed + math.max(0, math.min(wished, math.floor(tokens - needed)))
else
  wait = math.ceil((wanted - tokens) * 1000 / rate)
end
tokens = tokens - granted
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens), 'at', string.format('%.3f', now))
-- Past this the bucket is full again, and the same as none.
redis.call('PEXPIRE', KEYS[1], math.ceil((rate - tokens) * 1000 / rate) + 1000)
return { granted, wait }
