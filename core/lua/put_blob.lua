-- Keep a payload beside the log, under its digest. Keeping it again changes nothing.
--
-- What is written before the run exists, or after it ended, must not stay for ever: the one gets a
-- day (creating the run lifts that), the other the TTL of the run.
--
-- call: id, digest, data
-- reply: true
local key = workflow_key(call.id, 'blobs')
redis.call('HSET', key, call.digest, call.data)
local ttl = redis.call('PTTL', workflow_key(call.id, 'meta'))
if ttl > 0 then redis.call('PEXPIRE', key, ttl)
elseif ttl == -2 then redis.call('PEXPIRE', key, 24 * 3600 * 1000) end
return reply(true)
