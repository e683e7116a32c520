-- The prelude of every script: the message's record, its indexes and the account, all under one hash tag KEYS[1] = {bNN}.
--
-- {bNN}:a:<user>      hash    available held posted topped_up (Rials), open (messages not decided)
-- {bNN}:m:<id>        hash    the message's record, below
-- {bNN}:k:<user>:<k>  string  an idempotency key of a hold with the first answers, 24 h
-- {bNN}:tk:<user>:<k> string  an idempotency key of a top-up or correction with the first answer, 24 h
-- {bNN}:t:<id>        string  a top-up that was booked, by its transaction id; for as long as its call may be repeated
-- {bNN}:outbox        zset    accepted messages whose production nobody confirmed; score: when the relay takes them
-- {bNN}:due           zset    every record that somebody must look at again; score: when
-- {bNN}:ledger        hash    top-ups whose publication nobody confirmed: transaction id -> event
-- {bNN}:lease:<what>  string  who sweeps or relays this shard
--
-- A record: user price state attempt version published valid_until event, and by state:
--   held      not_before adrift        waits for its attempt's claim; adrift: was handed back, its Kafka record may be passed,
--                                      so it is produced again until somebody claims it; counts how often, from 1
--   claimed   owner claim_until operator resend unknown_wait     one dispatcher may submit it
--   unknown   wait_until               submitted, no answer
--   sent      posted ids               decided
--   failed    error dead               decided
-- `version` counts what is to be published; `published` is the last version that Kafka confirmed. Instants are epoch ms by
-- clock.lua. Times ..._MS and ATTEMPTS_MAX come from the loader.

local tag = KEYS[1]
local OUTBOX = tag .. ':outbox'
local DUE = tag .. ':due'

-- Lua's numbers are doubles. Redis writes those in a command's arguments with all their digits; tostring writes 1e+15, so what
-- is answered as text is written by this.
local function num(n) return string.format('%.0f', n) end

-- At maxmemory Redis refuses a script's first write when it may need memory, and none that follows a write. This one needs
-- none: what frees memory in the end (claims, settlements, the sweeper, the relay) begins with it, holds and top-ups do not.
local function write_at_maxmemory() redis.call('DEL', tag .. ':none') end

local function message(id) return tag .. ':m:' .. id end
local function account(user) return tag .. ':a:' .. user end

local at = 1
local function take()
  at = at + 1
  return ARGV[at - 1]
end

-- Calls a command with a long list in pieces that fit Lua's stack.
local function each_piece(command, key, list)
  for from = 1, #list, 1000 do
    redis.call(command, key, unpack(list, from, math.min(from + 999, #list)))
  end
end

-- What is to be published of a record: flat, in this order. The reader is billing/outcome.ts.
local OUTCOME = { 'state', 'version', 'attempt', 'operator', 'ids', 'posted', 'error', 'flags', 'decided_at', 'dead', 'user', 'not_before', 'event' }
local function outcome_of(id)
  local fields = redis.call('HMGET', message(id), unpack(OUTCOME))
  for i = 1, #fields do fields[i] = fields[i] or '' end
  return fields
end

-- Account changes of one call, written once per account at its end.
local changes = {}
local function change(user, available, held, posted, open)
  local c = changes[user]
  if not c then
    c = { 0, 0, 0, 0 }
    changes[user] = c
  end
  c[1], c[2], c[3], c[4] = c[1] + available, c[2] + held, c[3] + posted, c[4] + open
end
local NAMES = { 'available', 'held', 'posted', 'open' }
local function write_changes()
  for user, c in pairs(changes) do
    for i = 1, 4 do
      if c[i] ~= 0 then redis.call('HINCRBY', account(user), NAMES[i], (c[i])) end
    end
  end
end

local due = {}
local function due_at(id, ms)
  due[#due + 1] = ms
  due[#due + 1] = id
end
local undue = {}
local unbox = {}
local function write_indexes()
  if #due > 0 then each_piece('ZADD', DUE, due) end
  if #undue > 0 then each_piece('ZREM', DUE, undue) end
  if #unbox > 0 then each_piece('ZREM', OUTBOX, unbox) end
end

local function join(a, b)
  if not a or a == '' then return b end
  if b == '' or string.find(',' .. a .. ',', ',' .. b .. ',', 1, true) then return a end
  return a .. ',' .. b
end

local function without(list, word)
  local kept = {}
  for one in string.gmatch(list, '[^,]+') do
    if one ~= word then kept[#kept + 1] = one end
  end
  return table.concat(kept, ',')
end

-- The moves of a record.

-- Answers what outcome_of would: this is the way of nearly every message, and it spares reading the record once more.
local function decide_sent(id, r, now, attempt, operator, ids, amount, flags)
  local price = tonumber(r.price)
  local posted = price
  if amount > 0 and amount < price then posted = amount end
  local version = r.version + 1
  redis.call('HDEL', message(id), 'event', 'owner', 'claim_until', 'wait_until', 'not_before')
  redis.call('HSET', message(id), 'state', 'sent', 'version', version, 'attempt', attempt, 'operator', operator,
    'ids', ids, 'posted', posted, 'flags', flags, 'error', '', 'decided_at', now)
  change(r.user, price - posted, -price, posted, -1)
  unbox[#unbox + 1] = id
  due_at(id, now + PUBLISH_GRACE_MS)
  return { 'sent', num(version), num(attempt), operator, ids, num(posted), '', flags, num(now), '', r.user, '', '' }
end

local function decide_failed(id, r, now, reason, flags, dead)
  local price = tonumber(r.price)
  redis.call('HDEL', message(id), 'event', 'owner', 'claim_until', 'wait_until', 'not_before')
  redis.call('HSET', message(id), 'state', 'failed', 'version', r.version + 1, 'posted', '0', 'error', reason,
    'flags', flags, 'decided_at', now, 'dead', dead and '1' or '0')
  change(r.user, price, -price, 0, -1)
  unbox[#unbox + 1] = id
  due_at(id, now + PUBLISH_GRACE_MS)
end

-- The wait before retry 1, 2, 3, longer by up to a fifth: the jitter comes from the id's random bits.
local function next_attempt(id, r, now, reason, flags)
  local wait = RETRY_WAITS_MS[r.attempt] or RETRY_WAITS_MS[#RETRY_WAITS_MS]
  local jitter = tonumber(string.sub(id, -3), 16) / 4096
  redis.call('HDEL', message(id), 'owner', 'claim_until', 'wait_until')
  redis.call('HSET', message(id), 'state', 'held', 'version', r.version + 1, 'attempt', r.attempt + 1,
    'not_before', now + math.floor(wait * (1 + 0.2 * jitter)), 'error', reason, 'flags', flags, 'decided_at', now)
  due_at(id, math.min(now + PUBLISH_GRACE_MS, r.valid_until))
end

local function fail_or_retry(id, r, now, reason, flags, last_flags)
  if r.attempt >= ATTEMPTS_MAX then
    decide_failed(id, r, now, reason, last_flags, true)
  else
    next_attempt(id, r, now, reason, flags)
  end
end

-- Submitted and not answered, by the policy that the claim brought.
local function become_unknown(id, r, now, reason)
  if r.resend == '1' then
    fail_or_retry(id, r, now, reason, join(r.flags, 'perhaps_double'), join(r.flags, 'perhaps_sent'))
  else
    redis.call('HDEL', message(id), 'claim_until')
    local wait = tonumber(r.unknown_wait or '0')
    redis.call('HSET', message(id), 'state', 'unknown', 'version', r.version + 1, 'error', reason, 'flags', r.flags,
      'wait_until', now + wait, 'decided_at', now)
    due_at(id, now + math.min(wait, PUBLISH_GRACE_MS))
  end
end

-- Kafka has this version of the outcome: a decided record is forgotten soon, another waits for what its state waits for.
local function confirm_published(id, version)
  local f = redis.call('HMGET', message(id), 'state', 'version', 'valid_until', 'wait_until', 'claim_until', 'adrift')
  if not f[1] or f[2] ~= version then return end
  if f[1] == 'sent' or f[1] == 'failed' then
    redis.call('PEXPIRE', message(id), FORGET_AFTER_MS)
    undue[#undue + 1] = id
    return
  end
  redis.call('HSET', message(id), 'published', version)
  if f[1] == 'claimed' then due_at(id, tonumber(f[5]))
  elseif f[1] == 'unknown' then due_at(id, tonumber(f[4]))
  -- What is adrift keeps its place: somebody must still produce it again.
  elseif not f[6] then due_at(id, tonumber(f[3])) end
end

-- Takes a counted list of (id, version) from the arguments.
local function confirm_all()
  for _ = 1, tonumber(take()) do
    local id = take()
    confirm_published(id, take())
  end
end

-- A claim and a settlement read what they decide by, and the rest only on their rarer ways.
local TO_CLAIM = { 'state', 'attempt', 'valid_until', 'version', 'published', 'not_before', 'adrift' }
local TO_SETTLE = { 'state', 'attempt', 'valid_until', 'version', 'published', 'user', 'price', 'owner', 'flags' }
local ALL = { 'state', 'attempt', 'valid_until', 'version', 'published', 'user', 'price', 'owner', 'flags', 'not_before',
  'adrift', 'claim_until', 'wait_until', 'resend', 'unknown_wait' }
local function read_record(id, fields)
  local f = redis.call('HMGET', message(id), unpack(fields))
  if not f[1] then return nil end
  local r = {}
  for i = 1, #fields do r[fields[i]] = f[i] or nil end
  r.attempt, r.version, r.published = tonumber(r.attempt), tonumber(r.version), tonumber(r.published)
  r.valid_until = tonumber(r.valid_until)
  r.flags = r.flags or ''
  return r
end

-- A lease per shard and purpose: true when `owner` has it for another `ms`.
local function lease(purpose, owner, ms)
  local key = tag .. ':lease:' .. purpose
  local holder = redis.call('GET', key)
  if holder and holder ~= owner then return false end
  redis.call('SET', key, owner, 'PX', ms)
  return true
end
