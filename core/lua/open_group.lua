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
if redis.call('EXISTS', feed) == 0 then
  redis.call('XDEL', feed, redis.call('XADD', feed, '*', 'made', now))
end
for _, group in ipairs(redis.call('XINFO', 'GROUPS', feed)) do
  for i = 1, #group, 2 do
    if group[i] == 'name' and group[i + 1] == call.group then return reply(true) end
  end
end
redis.call('XGROUP', 'CREATE', feed, call.group, '$')
return reply(true)
