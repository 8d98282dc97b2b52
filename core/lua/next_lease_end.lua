-- When the next lease of a session or a private lane ends.
--
-- Those that have ended already count, until a janitor has taken over.
--
-- call: nothing
-- reply: ms from now, or false when there is no lease
local first = tonumber(redis.call('ZRANGE', flow_key('sessions'), 0, 0, 'WITHSCORES')[2])
local owners = redis.call('HGETALL', flow_key('owners'))
for i = 1, #owners, 2 do
  local deadline = tonumber(string.match(owners[i + 1], '^(%d+)'))
  if owners[i] ~= SHARED and (not first or deadline < first) then first = deadline end
end
return reply(first and first - now or false)
