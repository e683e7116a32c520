-- Claim: takes messages for one submit each, compare-and-set on (state held, attempt).
-- ARGV  { owner, ttl ms, outcomes that Kafka confirmed as id, version,
--         items of id, attempt, number, operator, resend 0|1, unknown wait ms }; number: of the owner's claims, rising
-- answers  per item: a code, or { code, outcome... } with outcome as record.lua gives it where there is one to publish
--   code 0 claimed, 1 absent, 2 decided, 3 busy, 4 a newer attempt waits, { 5, ms } early by so much
local owner, ttl, published, items = unpack(cjson.decode(ARGV[1]))
write_at_maxmemory()
confirm_all(published)

local function claim(id, attempt, number, operator, resend, unknown_wait)
  local r = read(id)
  if not r then return 1 end
  if is_decided(r) then return outcome_of(2, r) end
  if r[STATE] ~= 'held' or attempt > r[ATTEMPT] then return 3 end
  if r[VALID_UNTIL] <= now then
    decide_failed(id, r, now, 'expired', r[FLAGS], false)
    return outcome_of(2, r)
  end
  if attempt < r[ATTEMPT] then return r[VERSION] > r[PUBLISHED] and outcome_of(4, r) or 4 end
  if r[UNTIL] > now then return { 5, r[UNTIL] - now } end
  -- It was undone before it came: its caller has given it up.
  if r[OWNER] == owner and number <= r[CLAIM] then return 3 end
  r[STATE], r[OWNER], r[CLAIM], r[UNTIL], r[ADRIFT] = 'claimed', owner, number, now + ttl, 0
  r[OPERATOR], r[RESEND], r[UNKNOWN_WAIT] = operator, resend, unknown_wait
  write(id)
  due_at(id, now + ttl)
  return 0
end

read_items(items, 6)
local replies = {}
for i = 1, #items, 6 do replies[#replies + 1] = claim(unpack(items, i, i + 5)) end

write_all()
return cjson.encode(replies)
