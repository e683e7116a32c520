-- Sweep: ends what nobody ends, and hands out what nobody published. One owner per shard, by lease.
-- ARGV  owner, lease ms, most
-- answers  nil without the lease, else per record: { id, outcome... } to be published and then confirmed
local now = now_ms()
local owner, lease_ms, most = take(), take(), take()
write_at_maxmemory()
if not lease('sweep', owner, lease_ms) then return nil end

-- Answers whether the record now has something to publish.
local function look_at(id, r)
  if r.state == 'sent' or r.state == 'failed' then
    due_at(id, now + PUBLISH_GRACE_MS)
    return true
  end
  if r.state == 'held' and r.valid_until <= now then
    decide_failed(id, r, now, 'expired', r.flags, false)
    return true
  end
  if r.state == 'claimed' and tonumber(r.claim_until) <= now then
    become_unknown(id, r, now, 'claim_left_behind')
    return true
  end
  if r.state == 'unknown' and tonumber(r.wait_until) <= now then
    decide_failed(id, r, now, 'no_answer', join(r.flags, 'perhaps_sent'), false)
    return true
  end
  if r.state == 'held' and r.adrift then
    -- Again and again until it is claimed, each time after a longer wait: a confirmation of an older production may come late
    -- and take it out of the outbox, and its operator may be away for hours.
    local times = redis.call('HINCRBY', message(id), 'adrift', 1)
    due_at(id, math.min(now + ADRIFT_AFTER_MS * times, r.valid_until))
    if r.attempt > 1 then return true end
    redis.call('ZADD', OUTBOX, now, id)
    return false
  end
  local deadline = r.valid_until
  if r.state == 'claimed' then deadline = tonumber(r.claim_until)
  elseif r.state == 'unknown' then deadline = tonumber(r.wait_until) end
  local unpublished = r.version > r.published and r.state ~= 'claimed'
  due_at(id, unpublished and math.min(now + PUBLISH_GRACE_MS, deadline) or deadline)
  return unpublished
end

local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', DUE, '-inf', now, 'LIMIT', 0, most)) do
  local r = read_record(id, ALL)
  if not r then undue[#undue + 1] = id
  elseif look_at(id, r) then found[#found + 1] = { id, unpack(outcome_of(id)) } end
end

write_changes()
write_indexes()
return found
