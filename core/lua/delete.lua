-- Delete all that is stored of a run. An imported one may go whatever its status.
--
-- Looking whether it may go and deleting it are one, so a run that is being started is either deleted
-- before it began or not at all. Whoever follows all runs is told by `workflow.deleted` on the
-- partition's feed; there is no log left that could hold it.
--
-- call: id, steps [step…], jobs [job…], [version (expected)]
-- reply: {"appended", version, digest, ts} {"conflict", version, status} {"missing"}
local log = open_log(call.id)
if not log then return reply({ 'missing' }) end
if (call.version and call.version ~= log.version) or not (ended(log) or log.lane == IMPORTED or log.status == nil
  or log.status == false or log.status == 'created') then
  return reply({ 'conflict', log.version, log.status or '' })
end

local doc_status = redis.call('HGET', workflow_key(call.id, 'meta'), 'doc_status')
local version = log.version + 1
local digest = string.sub(redis.sha1hex(log.digest .. 'workflow.deleted{}'), 1, 16)
redis.call('XADD', flow_key('feed'), 'NOMKSTREAM', '*', 'w', call.id, 'v', version, 'n', 1, 'ts', ts, 'by', 'client',
  'lane', log.lane, 'dg', digest, 'prev', log.digest, 'e', '[["workflow.deleted",null,{}]]')
drop_timers(log)
redis.call('DEL', workflow_key(call.id))
for _, part in ipairs({ 'events', 'meta', 'state', 'steps', 'commands', 'effects', 'jobs', 'limits',
  'held_jobs', 'ready', 'blobs' }) do
  redis.call('UNLINK', workflow_key(call.id, part))
end
for _, step in ipairs(call.steps) do
  redis.call('UNLINK', workflow_key(call.id, 'step:' .. step .. ':jobs'), workflow_key(call.id, 'ready:' .. step),
    workflow_key(call.id, 'leased:' .. step))
end
for _, job in ipairs(call.jobs) do redis.call('UNLINK', workflow_key(call.id, 'job:' .. job .. ':logs')) end
redis.call('SREM', flow_key('active'), call.id)
redis.call('ZREM', flow_key('workflows'), call.id)
if doc_status then redis.call('ZREM', flow_key('workflows:' .. doc_status), call.id) end

return reply({ 'appended', version, digest, now })
