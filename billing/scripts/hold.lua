-- Hold: moves prices from available to held and writes each message's record and outbox entry. Idempotent by message id.
-- ARGV  n, n * (id)                                                              messages that Kafka confirmed
--       g, g * (user, key, body hash, batch id, n, n * (id, price, valid until, event, and with a key: answer))
-- answers  per group: { outcome, open, batch id, codes, answers }
--   outcome 0 held, 1 replayed, 2 conflict;  code 0 held, 1 insufficient, 2 stale id: too old, or from a clock that is ahead
--   answers are given for a replay alone: the first ones, '' where an item had been refused
local now = now_ms()

-- They leave the outbox at the end: as the first write it would let holds pass at maxmemory.
for _ = 1, tonumber(take()) do unbox[#unbox + 1] = take() end

local boxed = {}

-- Each account is read once a call; what the call's earlier groups changed is in hand, and written at the end.
local accounts = {}
local function account_of(user)
  local a = accounts[user]
  if not a then
    local f = redis.call('HMGET', account(user), 'available', 'open')
    a = { available = tonumber(f[1] or '0'), open = tonumber(f[2] or '0') }
    accounts[user] = a
  end
  return a
end

local function hold_item(user, available)
  local id, price, valid_until, event = take(), tonumber(take()), tonumber(take()), take()
  local made_at = tonumber(string.sub(id, 1, 8) .. string.sub(id, 10, 13), 16)
  local refused = math.abs(now - made_at) > ID_AGE_MAX_MS and 2 or price > available and 1
  if refused then return redis.call('EXISTS', message(id)) == 1 and 0 or refused, 0 end
  local record = { 'held', user, price, 1, 0, 0, valid_until, 0, '', 0, '', 0, 0, 0, '', 0, '', '', 0, 0, event }
  if not redis.call('SET', message(id), cmsgpack.pack(record), 'NX') then return 0, 0 end
  boxed[#boxed + 1] = now + RELAY_AFTER_MS
  boxed[#boxed + 1] = id
  due_at(id, valid_until)
  return 0, price
end

local replies = {}
for g = 1, tonumber(take()) do
  local user, key, hash, batch, n = take(), take(), take(), take(), tonumber(take())
  local known_key = key ~= '' and (tag .. ':k:' .. user .. ':' .. key) or nil
  local known = known_key and redis.call('GET', known_key)
  if known then
    at = at + n * 5
    local first = cjson.decode(known)
    if first.hash ~= hash then replies[g] = { 2, 0, '', {}, {} }
    else replies[g] = { 1, 0, first.batch, {}, first.answers } end
  else
    local a = account_of(user)
    local codes, answers, accepted = {}, {}, 0
    for i = 1, n do
      local code, price = hold_item(user, a.available)
      codes[i] = code
      if known_key then
        local answer = take()
        answers[i] = code == 0 and answer or ''
      end
      if code == 0 then accepted = accepted + 1 end
      if price > 0 then
        a.available, a.open = a.available - price, a.open + 1
        change(user, -price, price, 0, 1)
      end
    end
    if known_key and accepted > 0 then
      redis.call('SET', known_key, cjson.encode({ hash = hash, batch = batch, answers = answers }), 'PX', KEY_TTL_MS)
    end
    replies[g] = { 0, a.open, batch, codes, {} }
  end
end

if #boxed > 0 then each_piece('ZADD', OUTBOX, boxed) end
write_changes()
write_indexes()
return replies
