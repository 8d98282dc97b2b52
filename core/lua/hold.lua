-- Let ended workflows that would expire wait for the archive instead.
--
-- They ended while there was none, or were projected by a process that did not know of it. What is left
-- of their lifetime passes before they are archived.
--
-- call: ids [id…]
-- reply: number of workflows that wait now and did not before
local held = 0
for _, id in ipairs(call.ids) do
  local log = open_log(id)
  local left = log and ended(log) and redis.call('PTTL', workflow_key(id, 'meta')) or -2
  if left > 0 then
    redis.call('PERSIST', workflow_key(id))
    for _, part in ipairs(LOG_PARTS) do redis.call('PERSIST', workflow_key(id, part)) end
    redis.call('ZADD', flow_key('archivable'), now + left, id)
    held = held + 1
  end
end
return reply(held)
