-- Hold: moves prices from available to held and writes each message's record and outbox entry. Idempotent by message id.
-- ARGV  { ids of messages that Kafka confirmed,
--         groups of { user, key, body hash, batch id, refused, items of { id, price, valid until, first, last, answer } } }
--       the items' events, one behind the other: an item's are the bytes from `first` to `last`
-- answers  per group { 0, open, code... } held, { 1, batch id, refused, answer... } replayed, { 2 } conflict
--   code 0 held, 1 insufficient, 2 stale id: too old, or from a clock that is ahead
--   a replay's answers are the first ones, '' where an item had been refused; `refused` is what came with them
--   a group without items asks whether its key is known, and leaves nothing
local now = now_ms()
local produced, groups = unpack(cjson.decode(ARGV[1]))
local events = ARGV[2]

local boxed, relay_at = {}, num(now + RELAY_AFTER_MS)

local function hold_item(user, a, item)
  local id, price, valid_until = item[1], item[2], item[3]
  local made_at = tonumber(string.sub(id, 1, 8) .. string.sub(id, 10, 13), 16)
  local refused = math.abs(now - made_at) > ID_AGE_MAX_MS and 2 or price > a.available and 1
  if refused then return redis.call('EXISTS', message(id)) == 1 and 0 or refused end
  local event = string.sub(events, item[4], item[5])
  -- In the order of RECORD_FIELDS.
  local record = { 'held', user, price, 1, 0, 0, valid_until, 0, '', 0, '', 0, 0, 0, '', 0, '', '', 0, 0, event }
  if redis.call('SETNX', message(id), cmsgpack.pack(record)) == 0 then return 0 end
  local n = #boxed
  boxed[n + 1], boxed[n + 2] = relay_at, id
  due_at(id, valid_until)
  change(a, -price, price, 0, 1)
  return 0
end

local function hold(user, key, hash, batch, refused, items)
  local known_key = key ~= '' and (tag .. ':k:' .. user .. ':' .. key) or nil
  local known = known_key and redis.call('GET', known_key)
  if known then
    local first = cjson.decode(known)
    if first.hash ~= hash then return { 2 } end
    return { 1, first.batch, first.refused, unpack(first.answers) }
  end
  local a = account_of(user)
  local reply, answers, accepted = { 0, 0 }, {}, 0
  for i, item in ipairs(items) do
    local code = hold_item(user, a, item)
    reply[i + 2] = code
    if known_key then answers[i] = code == 0 and item[6] or '' end
    if code == 0 then accepted = accepted + 1 end
  end
  if known_key and accepted > 0 then
    local first = { hash = hash, batch = batch, refused = refused, answers = answers }
    redis.call('SET', known_key, cjson.encode(first), 'PX', KEY_TTL_MS)
  end
  reply[2] = a.open
  return reply
end

local replies = {}
for g, group in ipairs(groups) do replies[g] = hold(unpack(group)) end

if #boxed > 0 then each_piece('ZADD', outbox_key, boxed) end
-- They leave the outbox at the end: as the first write it would let holds pass at maxmemory.
for i, id in ipairs(produced) do unbox[i] = id end
write_all()
return cjson.encode(replies)
