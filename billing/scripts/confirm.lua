-- Confirm: outcomes whose publication Kafka confirmed, and messages that it has.
-- ARGV  n, n * (id, version),  n, n * (id)
write_at_maxmemory()
confirm_all()
for _ = 1, tonumber(take()) do unbox[#unbox + 1] = take() end
write_indexes()
return 1
