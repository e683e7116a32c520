-- The prelude of every script: the message's record, its indexes and the account, all under one hash tag KEYS[1] = {bNN}.
--
-- {bNN}:a:<user>      hash    available held posted topped_up (Rials), open (messages not decided)
-- {bNN}:m:<id>        string  the message's record, below
-- {bNN}:k:<user>:<k>  string  an idempotency key of a hold with the first answers, 24 h
-- {bNN}:tk:<user>:<k> string  an idempotency key of a top-up or correction with the first answer, 24 h
-- {bNN}:t:<id>        string  a top-up that was booked, by its transaction id; for as long as its call may be repeated
-- {bNN}:outbox        zset    accepted messages whose production nobody confirmed; score: when the relay looks at them
-- {bNN}:due           zset    every record that somebody must look at again; score: when
-- {bNN}:forgotten     zset    records that nobody need look at any more, the packed ids of a call as one member; score: when they go
-- {bNN}:ledger        hash    top-ups whose publication nobody confirmed: transaction id -> event
-- {bNN}:lease:<what>  string  who sweeps or relays this shard
--
-- A record is its fields in the order of RECORD_FIELDS (billing/scripts.ts), packed (cmsgpack): a step reads it and writes it whole, which costs Redis
-- half of what a hash does. `redis-cli EVAL "return cjson.encode(cmsgpack.unpack(redis.call('GET', KEYS[1])))" 1 KEY` shows one.
-- Texts are '' and numbers 0 where they say nothing. Its states:
--   held      waits for its attempt's claim, not before `until`; owner and claim name the last claim that was undone
--   claimed   `owner` may submit it, until `until`
--   unknown   submitted, no answer; waits for one until `until`
--   sent, failed   decided
-- `version` counts what is to be published; `published` is the last version that Kafka confirmed. `claim` numbers an owner's
-- claims. `adrift` counts how often a message was handed back and not claimed since: its Kafka record may be passed, so it is
-- produced again until somebody claims it. `event` is what Kafka gets; kept while somebody may still have to produce it.
-- A batch comes as one argument (a hold's events as a second) and is answered as one text, both JSON: an argument or an answer for each
-- field cost more than the field's own work, here and in billing. Its items stand flat in one list, field after field: a list for each
-- costs more to read than what is in it. cjson writes 14 digits, so amounts are answered as text by num().
-- Instants are epoch ms by clock.lua. The loader puts constants in place: STATE and the like are the fields' places in a record,
-- times ..._MS and ATTEMPTS_MAX come from the settings.

local tag = KEYS[1]
local outbox_key = tag .. ':outbox'
local due_key = tag .. ':due'
local forgotten_key = tag .. ':forgotten'

-- One instant for all that a call does.
local now = now_ms()

-- Lua's numbers are doubles, of which all below 2^53 are exact. tostring writes 1e+15, and Redis prints a number among a command's
-- arguments with 17 digits, which costs it more than many a command: what is whole is written by this.
local function num(n) return string.format('%d', n) end

-- At maxmemory Redis refuses a script's first write when it may need memory, and none that follows a write. This one needs
-- none: what frees memory in the end (claims, settlements, the sweeper, the relay) begins with it, holds and top-ups do not.
local function write_at_maxmemory() redis.call('DEL', tag .. ':none') end

local function message(id) return tag .. ':m:' .. id end
local function account(user) return tag .. ':a:' .. user end

-- Calls a command with a long list in pieces that fit Lua's stack.
local function each_piece(command, key, list)
  for from = 1, #list, 1000 do
    redis.call(command, key, unpack(list, from, math.min(from + 999, #list)))
  end
end

-- The records of a call by their ids, false where there is none: each is read once, and written once, at the call's end. A command
-- costs as much as what it does here, so all are read by one and written by one.
local records = {}
local written, is_written = {}, {}
local leaving = {}

local function unpacked(packed) return packed and cmsgpack.unpack(packed) end

-- Reads these at once; more than fit Lua's stack in pieces. What this call has read and perhaps changed stays as it is.
local function read_all(ids)
  for from = 1, #ids, 1000 do
    local keys = {}
    for i = from, math.min(from + 999, #ids) do keys[i - from + 1] = message(ids[i]) end
    for i, packed in ipairs(redis.call('MGET', unpack(keys))) do
      local id = ids[from + i - 1]
      if records[id] == nil then records[id] = unpacked(packed) end
    end
  end
end
-- The same of a call's items, of so many fields each, of which the first is the id.
local function read_items(items, fields)
  local ids = {}
  for i = 1, #items, fields do ids[#ids + 1] = items[i] end
  read_all(ids)
end

-- A message's record; nil when there is none.
local function read(id)
  if records[id] == nil then records[id] = unpacked(redis.call('GET', message(id))) end
  return records[id] or nil
end
-- Has the table that read() answered written, as it will be at the call's end.
local function write(id)
  if is_written[id] then return end
  is_written[id] = true
  written[#written + 1] = id
end
local function write_records()
  for from = 1, #written, 500 do
    local list = {}
    for i = from, math.min(from + 499, #written) do
      local id, n = written[i], #list
      list[n + 1], list[n + 2] = message(id), cmsgpack.pack(records[id])
    end
    redis.call('MSET', unpack(list))
  end
end

-- Forgets records whose time has come, about so many at most. A record that expired by itself would cost Redis a command when it is
-- left, and one more when it goes.
local function forget(most)
  while most > 0 do
    local ids = redis.call('ZRANGEBYSCORE', forgotten_key, '-inf', num(now), 'LIMIT', 0, 1)[1]
    if not ids then return end
    local keys = cmsgpack.unpack(ids)
    for i, id in ipairs(keys) do keys[i] = message(id) end
    for from = 1, #keys, 1000 do redis.call('DEL', unpack(keys, from, math.min(from + 999, #keys))) end
    redis.call('ZREM', forgotten_key, ids)
    most = most - #keys
  end
end

local function is_decided(r) return r[STATE] == 'sent' or r[STATE] == 'failed' end

-- An answer with what is to be published of a record: flat, `first`, then this order. The reader is billing/outcome.ts.
local function outcome_of(first, r)
  local retries = r[STATE] == 'held'
  return { first, r[STATE], r[VERSION], r[ATTEMPT], r[OPERATOR], r[IDS], num(r[POSTED]), r[ERROR], r[FLAGS], r[DECIDED_AT],
    r[DEAD], r[USER], retries and r[UNTIL] or 0, retries and r[EVENT] or '' }
end

-- Accounts that a call changes: each is read once and written once, at the call's end.
local accounts = {}
local function account_of(user)
  local a = accounts[user]
  if not a then
    local f = redis.call('HMGET', account(user), 'available', 'held', 'posted', 'open')
    a = { available = tonumber(f[1] or 0), held = tonumber(f[2] or 0), posted = tonumber(f[3] or 0), open = tonumber(f[4] or 0) }
    accounts[user] = a
  end
  return a
end
local function change(a, available, held, posted, open)
  a.available, a.held, a.posted, a.open = a.available + available, a.held + held, a.posted + posted, a.open + open
  a.changed = true
end
local function write_accounts()
  for user, a in pairs(accounts) do
    if a.changed then
      redis.call('HSET', account(user), 'available', num(a.available), 'held', num(a.held), 'posted', num(a.posted),
        'open', num(a.open))
    end
  end
end

-- Scores are given as text; most of a call's are the same.
local due, due_ms, due_text = {}, nil, nil
local function due_at(id, ms)
  if ms ~= due_ms then due_ms, due_text = ms, num(ms) end
  local n = #due
  due[n + 1], due[n + 2] = due_text, id
end
local undue = {}
local unbox = {}
local function write_indexes()
  if #due > 0 then each_piece('ZADD', due_key, due) end
  if #undue > 0 then each_piece('ZREM', due_key, undue) end
  if #unbox > 0 then each_piece('ZREM', outbox_key, unbox) end
end

-- The end of every call. It forgets more than it leaves, so that under no load more and more waits to be forgotten; and it does so last:
-- as the first write it would let a hold pass at maxmemory.
local function write_all()
  write_records()
  write_accounts()
  write_indexes()
  if #leaving > 0 then redis.call('ZADD', forgotten_key, num(now + FORGET_AFTER_MS), cmsgpack.pack(leaving)) end
  forget(#leaving + 200)
end

-- Lists of words by comma.
local function has(list, word) return string.find(',' .. list .. ',', ',' .. word .. ',', 1, true) end

local function join(a, b)
  if a == '' then return b end
  if has(a, b) then return a end
  return a .. ',' .. b
end

local function without(list, word)
  local kept = {}
  for one in string.gmatch(list, '[^,]+') do
    if one ~= word then kept[#kept + 1] = one end
  end
  return table.concat(kept, ',')
end

-- The moves of a record. Each changes `r` and has it written.

local function decide(id, r, now, state, posted)
  r[STATE], r[VERSION], r[POSTED], r[DECIDED_AT] = state, r[VERSION] + 1, posted, now
  r[UNTIL], r[OWNER], r[CLAIM] = 0, '', 0
  write(id)
  change(account_of(r[USER]), r[PRICE] - posted, -r[PRICE], posted, -1)
  due_at(id, now + PUBLISH_GRACE_MS)
end

local function decide_sent(id, r, now, attempt, operator, ids, amount, reason)
  r[ATTEMPT], r[OPERATOR], r[IDS], r[ERROR], r[EVENT] = attempt, operator, ids, reason, ''
  decide(id, r, now, 'sent', amount > 0 and amount < r[PRICE] and amount or r[PRICE])
end

local function decide_failed(id, r, now, reason, flags, dead)
  -- Sent again after an unknown: whatever is said of its last try, an earlier one may have been taken.
  if has(flags, 'perhaps_double') then flags = join(flags, 'perhaps_sent') end
  r[ERROR], r[FLAGS], r[DEAD] = reason, flags, dead and 1 or 0
  -- One that Kafka never had is produced all the same: the report knows of it by that alone.
  if r[STATE] ~= 'held' or r[ATTEMPT] > 1 or not redis.call('ZSCORE', outbox_key, id) then r[EVENT] = '' end
  decide(id, r, now, 'failed', 0)
end

-- The wait before retry 1, 2, 3, longer by up to a fifth: the jitter comes from the id's random bits.
local function next_attempt(id, r, now, reason, flags)
  local wait = retry_waits_ms[r[ATTEMPT]] or retry_waits_ms[#retry_waits_ms]
  local jitter = tonumber(string.sub(id, -3), 16) / 4096
  r[STATE], r[VERSION], r[ATTEMPT], r[OWNER], r[CLAIM] = 'held', r[VERSION] + 1, r[ATTEMPT] + 1, '', 0
  r[UNTIL], r[ERROR], r[FLAGS], r[DECIDED_AT] = now + math.floor(wait * (1 + 0.2 * jitter)), reason, flags, now
  write(id)
  due_at(id, math.min(now + PUBLISH_GRACE_MS, r[VALID_UNTIL]))
end

local function fail_or_retry(id, r, now, reason, flags, last_flags)
  if r[ATTEMPT] >= ATTEMPTS_MAX then
    decide_failed(id, r, now, reason, last_flags, true)
  else
    next_attempt(id, r, now, reason, flags)
  end
end

-- Submitted and not answered, by the policy that the claim brought.
local function become_unknown(id, r, now, reason)
  if r[RESEND] == 1 then
    fail_or_retry(id, r, now, reason, join(r[FLAGS], 'perhaps_double'), join(r[FLAGS], 'perhaps_sent'))
  else
    r[STATE], r[VERSION], r[ERROR], r[DECIDED_AT] = 'unknown', r[VERSION] + 1, reason, now
    r[UNTIL] = now + r[UNKNOWN_WAIT]
    write(id)
    due_at(id, now + math.min(r[UNKNOWN_WAIT], PUBLISH_GRACE_MS))
  end
end

-- Kafka has this version of the outcome: a decided record is forgotten soon, another waits for what its state waits for.
-- Version 0 is said of what is decided and does not change any more: it spares reading the record.
local function confirm_published(id, version)
  if version > 0 then
    local r = read(id)
    if not r or r[VERSION] ~= version then return end
    if not is_decided(r) then
      r[PUBLISHED] = version
      write(id)
      if r[STATE] ~= 'held' then due_at(id, r[UNTIL])
      -- What is adrift keeps its place: somebody must still produce it again.
      elseif r[ADRIFT] == 0 then due_at(id, r[VALID_UNTIL]) end
      return
    end
  end
  leaving[#leaving + 1] = id
  undue[#undue + 1] = id
end

-- Takes ids and versions in turn.
local function confirm_all(published)
  for i = 1, #published, 2 do confirm_published(published[i], published[i + 1]) end
end

-- A lease per shard and purpose: true when `owner` has it for another `ms`.
local function lease(purpose, owner, ms)
  local key = tag .. ':lease:' .. purpose
  local holder = redis.call('GET', key)
  if holder and holder ~= owner then return false end
  redis.call('SET', key, owner, 'PX', ms)
  return true
end
