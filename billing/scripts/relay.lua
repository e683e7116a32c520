-- Relay: accepted messages whose production nobody confirmed in time, oldest first, to the gateway with the shard's lease.
-- Each is handed out again only after another RELAY_AFTER_MS.
-- ARGV  owner, lease ms, most
-- answers  nil without the lease, else events
local now = now_ms()
local owner, lease_ms, most = unpack(ARGV)
write_at_maxmemory()
if not lease('relay', owner, lease_ms) then return nil end

local events, later = {}, {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', OUTBOX, '-inf', now, 'LIMIT', 0, most)) do
  local r = read(id)
  -- Whatever else became of it is known by somebody who read it from Kafka.
  if r and r[EVENT] ~= '' and (r[STATE] == 'failed' or (r[STATE] == 'held' and r[ATTEMPT] == 1)) then
    events[#events + 1] = r[EVENT]
    later[#later + 1] = now + RELAY_AFTER_MS
    later[#later + 1] = id
  else
    unbox[#unbox + 1] = id
  end
end
if #later > 0 then each_piece('ZADD', OUTBOX, later) end
write_indexes()
return events
