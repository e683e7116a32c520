-- Hold: moves prices from available to held and writes each message's record and outbox entry. Idempotent by message id.
-- ARGV  { ids of messages that Kafka confirmed, groups of user, key, body hash, batch id, refused, count of its items,
--         items of id, price, valid until, first, last, answer, group after group }
--       the items' events, one behind the other: an item's are the bytes from `first` to `last`
-- answers  per group { 0, open, code... } held, { 1, batch id, refused, answer... } replayed, { 2 } conflict
--   code 0 held, 1 insufficient, 2 stale id: too old, or from a clock that is ahead
--   a replay's answers are the first ones, '' where an item had been refused; `refused` is what came with them
--   a group without items asks whether its key is known, and leaves nothing
local produced, groups, items = unpack(cjson.decode(ARGV[1]))
local events = ARGV[2]
read_items(items, 6)

local boxed, relay_at = {}, num(now + RELAY_AFTER_MS)

local function hold_item(user, a, id, price, valid_until, first, last)
  if read(id) then return 0 end
  local made_at = tonumber(string.sub(id, 1, 8) .. string.sub(id, 10, 13), 16)
  if math.abs(now - made_at) > ID_AGE_MAX_MS then return 2 end
  if price > a.available then return 1 end
  local event = string.sub(events, first, last)
  -- In the order of RECORD_FIELDS.
  records[id] = { 'held', user, price, 1, 0, 0, valid_until, 0, '', 0, '', 0, 0, 0, '', 0, '', '', 0, 0, event }
  write(id)
  local n = #boxed
  boxed[n + 1], boxed[n + 2] = relay_at, id
  due_at(id, valid_until)
  change(a, -price, price, 0, 1)
  return 0
end

-- Its items stand from place `from` to `to`.
local function hold(user, key, hash, batch, refused, from, to)
  local known_key = key ~= '' and (tag .. ':k:' .. user .. ':' .. key) or nil
  local known = known_key and redis.call('GET', known_key)
  if known then
    local first = cjson.decode(known)
    if first.hash ~= hash then return { 2 } end
    return { 1, first.batch, first.refused, unpack(first.answers) }
  end
  local a = account_of(user)
  local reply, answers, accepted = { 0, 0 }, {}, 0
  for i = from, to, 6 do
    local code = hold_item(user, a, unpack(items, i, i + 4))
    reply[#reply + 1] = code
    if known_key then answers[#answers + 1] = code == 0 and items[i + 5] or '' end
    if code == 0 then accepted = accepted + 1 end
  end
  if known_key and accepted > 0 then
    local first = { hash = hash, batch = batch, refused = refused, answers = answers }
    redis.call('SET', known_key, cjson.encode(first), 'PX', KEY_TTL_MS)
  end
  reply[2] = a.open
  return reply
end

local replies, from = {}, 1
for g = 1, #groups, 6 do
  local user, key, hash, batch, refused, count = unpack(groups, g, g + 5)
  local to = from + 6 * count - 1
  replies[#replies + 1] = hold(user, key, hash, batch, refused, from, to)
  from = to + 1
end

if #boxed > 0 then each_piece('ZADD', outbox_key, boxed) end
-- They leave the outbox at the end: as the first write it would let holds pass at maxmemory.
for i, id in ipairs(produced) do unbox[i] = id end
write_all()
return cjson.encode(replies)
