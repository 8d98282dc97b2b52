-- Let go of a log that has been written to the archive, and read back from there.
--
-- Looking whether it is still what was written and deleting it are one: a log that was rolled back and
-- went on otherwise, or grew by an audit event, stays, and is written again. The tombstone and the end
-- of the stream are one, too: whoever looks finds the one or the other. State and agents' output have
-- lifetimes of their own.
--
-- call: id, version, digest, tombstone (JSON), steps [step…], jobs [job…]
-- reply: "archived" "moved" "missing" (gone already, or archived by somebody else)
local log = open_log(call.id)
if not log then
  redis.call('ZREM', flow_key('archivable'), call.id)
  return reply('missing')
end
if log.version ~= call.version or log.digest ~= call.digest or not ended(log) then return reply('moved') end
redis.call('SET', workflow_key(call.id, 'archived'), call.tombstone)
forget_log(call.id, call.steps)
if redis.call('PTTL', workflow_key(call.id, 'state')) == -1 then redis.call('UNLINK', workflow_key(call.id, 'state')) end
for _, job in ipairs(call.jobs) do
  local key = workflow_key(call.id, 'job:' .. job .. ':logs')
  if redis.call('PTTL', key) == -1 then redis.call('UNLINK', key) end
end
redis.call('ZREM', flow_key('archivable'), call.id)
return reply('archived')
