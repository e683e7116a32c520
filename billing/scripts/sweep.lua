-- Sweep: ends what nobody ends, and hands out what nobody published. One owner per shard, by lease.
-- ARGV  owner, lease ms, most
-- answers  nil without the lease, else JSON: per record { { id, ended }, outcome... } to be published and then confirmed
--   ended 1: decided or made unknown here, 0: by somebody else, or here before
local owner, lease_ms, most = unpack(ARGV)
write_at_maxmemory()
if not lease('sweep', owner, lease_ms) then return nil end

-- Answers whether the record now has something to publish, and 1 when that was decided here.
local function look_at(id, r)
  local state = r[STATE]
  if is_decided(r) then
    due_at(id, now + PUBLISH_GRACE_MS)
    return true
  end
  if state == 'held' and r[VALID_UNTIL] <= now then
    decide_failed(id, r, now, 'expired', r[FLAGS], false)
    return true, 1
  end
  if state == 'claimed' and r[UNTIL] <= now then
    become_unknown(id, r, now, 'claim_left_behind')
    return true, 1
  end
  if state == 'unknown' and r[UNTIL] <= now then
    decide_failed(id, r, now, 'no_answer', join(r[FLAGS], 'perhaps_sent'), false)
    return true, 1
  end
  if state == 'held' and r[ADRIFT] > 0 then
    -- Again and again until it is claimed, each time after a longer wait: a confirmation of an older production may come late
    -- and take it out of the outbox, and its operator may be away for hours.
    r[ADRIFT] = r[ADRIFT] + 1
    write(id)
    due_at(id, math.min(now + ADRIFT_AFTER_MS * r[ADRIFT], r[VALID_UNTIL]))
    if r[ATTEMPT] > 1 then return true end
    redis.call('ZADD', outbox_key, now, id)
    return false
  end
  local deadline = state == 'held' and r[VALID_UNTIL] or r[UNTIL]
  local unpublished = r[VERSION] > r[PUBLISHED] and state ~= 'claimed'
  due_at(id, unpublished and math.min(now + PUBLISH_GRACE_MS, deadline) or deadline)
  return unpublished
end

local ids, found = redis.call('ZRANGEBYSCORE', due_key, '-inf', now, 'LIMIT', 0, most), {}
read_all(ids)
for _, id in ipairs(ids) do
  local r = read(id)
  if not r then undue[#undue + 1] = id
  else
    local publish, ended = look_at(id, r)
    if publish then found[#found + 1] = outcome_of({ id, ended or 0 }, r) end
  end
end

write_all()
-- Where nothing else is called any more.
forget(5000)
return cjson.encode(found)
