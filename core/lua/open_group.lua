-- A consumer group on the partition's feed, from now on; the feed is made if there is none.
--
-- Making the feed and its group are one, so the janitor finds no feed without a reader in between.
--
-- call: group, close (true: delete the group instead)
-- reply: true
local feed = flow_key('feed')
if call.close then
  if redis.call('EXISTS', feed) == 1 then redis.call('XGROUP', 'DESTROY', feed, call.group) end
  return reply(true)
end
open_group(feed, call.group)
return reply(true)
