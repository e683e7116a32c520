-- Settle: decides what became of claimed messages and moves the money in the same step. The first decision wins.
-- ARGV  { owner, outcomes that Kafka confirmed as id, version,
--         items of id, attempt, number, outcome, operator, operator ids by line, amount, error, flags by comma }
--   number: of the claim, 0 of none;  outcome 0 sent, 1 rejected, 2 transient, 3 unknown, 4 released
-- answers  per item: applied 0|1, or { applied 0|1, outcome... } with outcome as record.lua gives it where there is one to
--   publish, or { 2, posted, flags, decided at, version }: sent, as the caller says
local owner, published, items = unpack(cjson.decode(ARGV[1]))
write_at_maxmemory()
confirm_all(published)

-- An acceptance is a fact, so it decides even after the sweeper gave the claim up. Any other outcome counts only from the
-- attempt's own claim: a claimer's word about an earlier one may come late. What receipts prove of some parts (number 0) waits while
-- the message is with its operator once more: that may take all of it.
local function may_decide(r, attempt, number, outcome, amount)
  if outcome == 0 then
    return attempt <= r[ATTEMPT] and not (number == 0 and amount > 0 and r[STATE] == 'claimed')
  end
  return attempt == r[ATTEMPT] and r[OWNER] == owner and r[CLAIM] == number
    and (r[STATE] == 'claimed' or (r[STATE] == 'unknown' and outcome < 3))
end

-- Handed back. Its Kafka record may be passed already: should nobody claim it soon, the sweeper produces it again.
local function release(id, r)
  r[STATE], r[UNTIL], r[ADRIFT] = 'held', 0, 1
  write(id)
  due_at(id, math.min(now + ADRIFT_AFTER_MS, r[VALID_UNTIL]))
  return 1
end

local function settle(id, attempt, number, outcome, operator, ids, amount, reason, flags)
  local r = read(id)
  if not r then return 0 end
  if is_decided(r) then return outcome_of(0, r) end
  if not may_decide(r, attempt, number, outcome, amount) then
    -- The undoing of a claim may overtake it: remembered, so that the claim is none when it comes.
    if outcome == 4 and r[STATE] == 'held' and attempt == r[ATTEMPT] and (r[OWNER] ~= owner or r[CLAIM] < number) then
      r[OWNER], r[CLAIM] = owner, number
      write(id)
    end
    return r[VERSION] > r[PUBLISHED] and outcome_of(0, r) or 0
  end
  if outcome == 4 then return release(id, r) end
  for flag in string.gmatch(flags, '[^,]+') do r[FLAGS] = join(r[FLAGS], flag) end
  if outcome == 0 then
    -- The first attempt's acceptance, found out before the second was submitted: nothing was doubled. Of later attempts
    -- nobody knows here whether one before them was accepted as well.
    if attempt == 1 and r[ATTEMPT] == 2 and r[STATE] == 'held' then r[FLAGS] = without(r[FLAGS], 'perhaps_double') end
    decide_sent(id, r, now, attempt, operator, ids, amount, reason)
    return { 2, num(r[POSTED]), r[FLAGS], now, r[VERSION] }
  end
  r[OPERATOR], r[IDS] = operator, ids
  if outcome == 1 then decide_failed(id, r, now, reason, r[FLAGS], false)
  elseif outcome == 2 then fail_or_retry(id, r, now, reason, r[FLAGS], r[FLAGS])
  else become_unknown(id, r, now, reason) end
  return outcome_of(1, r)
end

read_items(items, 9)
local replies = {}
for i = 1, #items, 9 do replies[#replies + 1] = settle(unpack(items, i, i + 8)) end

write_all()
return cjson.encode(replies)
