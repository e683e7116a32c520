-- Confirm: outcomes whose publication Kafka confirmed.
-- ARGV  a list of id, version
write_at_maxmemory()
confirm_all(cjson.decode(ARGV[1]))
write_all()
return 1
