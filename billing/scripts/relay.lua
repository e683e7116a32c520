-- Relay: accepted messages whose production nobody confirmed in time, oldest first, to the gateway with the shard's lease.
-- Each is handed out again only after another RELAY_AFTER_MS.
-- ARGV  owner, lease ms, most, those alone that were due by (epoch ms)
-- answers  nil without the lease, else { when the first that is left was due, 0 where none is, events... }
local now = now_ms()
local owner, lease_ms, most, due_by = unpack(ARGV)
write_at_maxmemory()
if not lease('relay', owner, lease_ms) then return nil end

local ids = redis.call('ZRANGEBYSCORE', OUTBOX, '-inf', math.min(now, tonumber(due_by)), 'LIMIT', 0, most)
local events, later = { '0' }, {}
read_all(ids)
for _, id in ipairs(ids) do
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
write_all()
local left = redis.call('ZRANGEBYSCORE', OUTBOX, '-inf', now, 'WITHSCORES', 'LIMIT', 0, 1)
if left[2] then events[1] = left[2] end
return events
