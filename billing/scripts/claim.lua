-- Claim: takes messages for one submit each, compare-and-set on (state held, attempt).
-- ARGV  owner, ttl ms,  n, n * (id, version)                                       outcomes that Kafka confirmed
--       n, n * (id, attempt, operator, resend 0|1, unknown wait ms)
-- answers  per item: { code, outcome... } with outcome as record.lua gives it, for codes 2 and 4 when there is one to publish
--   code 0 claimed, 1 absent, 2 decided, 3 busy, 4 a newer attempt waits, 5 early
local now = now_ms()
local owner, ttl = take(), tonumber(take())
write_at_maxmemory()
confirm_all()

local function claim(id, attempt, operator, resend, unknown_wait)
  local r = read_record(id, TO_CLAIM)
  if not r then return { 1 } end
  if r.state == 'sent' or r.state == 'failed' then return { 2, true } end
  if r.state ~= 'held' or attempt > r.attempt then return { 3 } end
  if r.valid_until <= now then
    r = read_record(id, ALL)
    decide_failed(id, r, now, 'expired', r.flags, false)
    return { 2, true }
  end
  if attempt < r.attempt then return { 4, r.version > r.published } end
  local not_before = tonumber(r.not_before or '0')
  if not_before > now then return { 5, false, num(not_before - now) } end
  if r.adrift then redis.call('HDEL', message(id), 'adrift') end
  redis.call('HSET', message(id), 'state', 'claimed', 'owner', owner, 'claim_until', now + ttl,
    'operator', operator, 'resend', resend, 'unknown_wait', unknown_wait)
  unbox[#unbox + 1] = id
  due_at(id, now + ttl)
  return { 0 }
end

local replies = {}
for i = 1, tonumber(take()) do
  local id, attempt, operator, resend, unknown_wait = take(), tonumber(take()), take(), take(), take()
  local answer = claim(id, attempt, operator, resend, unknown_wait)
  if answer[1] == 5 then replies[i] = { 5, answer[3] }
  elseif answer[2] then replies[i] = { answer[1], unpack(outcome_of(id)) }
  else replies[i] = { answer[1] } end
end

write_changes()
write_indexes()
return replies
