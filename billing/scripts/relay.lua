-- Relay: accepted messages whose production nobody confirmed in time, oldest first, to the gateway with the shard's lease.
-- They keep their place until their production is confirmed: which of them are on their way to Kafka, that gateway knows.
-- ARGV  owner, lease ms, most, the instants (epoch ms) after and by which they were due
-- answers  nil without the lease, else { the instant by which all that were due are here, '1' where there are later ones,
--            per message: when it was due, its event }
local owner, lease_ms, most, after, by = unpack(ARGV)
write_at_maxmemory()
if not lease('relay', owner, lease_ms) then return nil end

local reached, more = math.min(now, tonumber(by)), '0'
local found = redis.call('ZRANGEBYSCORE', outbox_key, '(' .. after, num(reached), 'WITHSCORES', 'LIMIT', 0, most)
if #found == 2 * tonumber(most) then
  -- One hold's messages were due at one instant: all of them are here or none.
  reached, more = tonumber(found[#found]), '1'
  found = redis.call('ZRANGEBYSCORE', outbox_key, '(' .. after, num(reached), 'WITHSCORES')
end

local ids, reply = {}, { num(reached), more }
for i = 1, #found, 2 do ids[#ids + 1] = found[i] end
read_all(ids)
for i, id in ipairs(ids) do
  local r = read(id)
  -- Whatever else became of it is known by somebody who read it from Kafka.
  if r and r[EVENT] ~= '' and (r[STATE] == 'failed' or (r[STATE] == 'held' and r[ATTEMPT] == 1)) then
    reply[#reply + 1] = found[2 * i]
    reply[#reply + 1] = r[EVENT]
  else
    unbox[#unbox + 1] = id
  end
end
write_all()
return reply
