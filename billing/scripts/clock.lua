-- The one clock of every script, epoch ms: Redis' own, so that replicas need not agree on theirs. Tests put another in its place.
local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
