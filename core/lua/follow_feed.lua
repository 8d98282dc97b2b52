-- A process wants to follow the partition's feed: note until when, and make the feed if there is none.
--
-- Noting and making are one, so the janitor does not delete a feed that somebody has just opened. A new
-- feed begins with an entry that is gone at once: it leaves its id as the last one deleted, which tells
-- whoever comes with an older position that something may be missing.
--
-- call: follower, lease_ms (0: no longer follow)
-- reply: {id of the feed's last entry, whether the feed was made}
local feed = flow_key('feed')
if call.lease_ms == 0 then
  redis.call('ZREM', flow_key('followers'), call.follower)
  return reply({ '0-0', false })
end
redis.call('ZADD', flow_key('followers'), now + call.lease_ms, call.follower)
local made = redis.call('EXISTS', feed) == 0
if made then
  redis.call('XDEL', feed, redis.call('XADD', feed, '*', 'made', now))
end
local info = redis.call('XINFO', 'STREAM', feed)
for i = 1, #info, 2 do
  if info[i] == 'last-generated-id' then return reply({ info[i + 1], made }) end
end
