-- Settle: decides what became of claimed messages and moves the money in the same step. The first decision wins.
-- ARGV  owner,  n, n * (id, version)                                               outcomes that Kafka confirmed
--       n, n * (id, attempt, outcome, operator, operator ids by line, amount, error, flags by comma)
--   outcome 0 sent, 1 rejected, 2 transient, 3 unknown, 4 released
-- answers  per item: { applied 0|1, outcome... } with outcome as record.lua gives it when there is one to publish
local now = now_ms()
local owner = take()
write_at_maxmemory()
confirm_all()

-- An acceptance is a fact, so it decides even after the sweeper gave the claim up. Any other outcome counts only
-- from the attempt's own claimer.
local function may_decide(r, attempt, outcome)
  if outcome == 0 then return attempt <= r.attempt end
  return attempt == r.attempt and r.owner == owner and (r.state == 'claimed' or (r.state == 'unknown' and outcome < 3))
end

local replies = {}
for i = 1, tonumber(take()) do
  local id, attempt, outcome, operator = take(), tonumber(take()), tonumber(take()), take()
  local ids, amount, reason, flags = take(), tonumber(take()), take(), take()
  local r = read_record(id, TO_SETTLE)
  if not r then
    replies[i] = { 0 }
  elseif r.state == 'sent' or r.state == 'failed' then
    replies[i] = { 0, unpack(outcome_of(id)) }
  elseif not may_decide(r, attempt, outcome) then
    replies[i] = r.version > r.published and { 0, unpack(outcome_of(id)) } or { 0 }
  elseif outcome == 4 then
    -- Its Kafka record may be passed already: should nobody claim it soon, the sweeper produces it again.
    redis.call('HDEL', message(id), 'owner', 'claim_until')
    redis.call('HSET', message(id), 'state', 'held', 'adrift', '1')
    due_at(id, math.min(now + ADRIFT_AFTER_MS, r.valid_until))
    replies[i] = { 1 }
  else
    for flag in string.gmatch(flags, '[^,]+') do r.flags = join(r.flags, flag) end
    if outcome == 0 then
      -- The first attempt's acceptance, found out before the second was submitted: nothing was doubled. Of later attempts
      -- nobody knows here whether one before them was accepted as well.
      if attempt == 1 and r.attempt == 2 and r.state == 'held' then r.flags = without(r.flags, 'perhaps_double') end
      replies[i] = { 1, unpack(decide_sent(id, r, now, attempt, operator, ids, amount, r.flags)) }
    else
      redis.call('HDEL', message(id), 'owner')
      redis.call('HSET', message(id), 'operator', operator, 'ids', ids)
      if outcome == 1 then decide_failed(id, r, now, reason, r.flags, false)
      elseif outcome == 2 then fail_or_retry(id, r, now, reason, r.flags, r.flags)
      else
        local policy = redis.call('HMGET', message(id), 'resend', 'unknown_wait')
        r.resend, r.unknown_wait = policy[1], policy[2]
        become_unknown(id, r, now, reason)
      end
      replies[i] = { 1, unpack(outcome_of(id)) }
    end
  end
end

write_changes()
write_indexes()
return replies
