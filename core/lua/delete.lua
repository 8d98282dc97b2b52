-- Delete all that is stored of a run. An imported one may go whatever its status.
--
-- Looking whether it may go and deleting it are one, so a run that is being started is either deleted
-- before it began or not at all. Whoever follows all runs is told by `workflow.deleted` on the
-- partition's feed; there is no log left that could hold it. Of an archived run what is left here goes;
-- the caller deletes its file then.
--
-- call: id, steps [step…], jobs [job…], about (see parts/listings.lua), [version (expected)]
-- reply: {"appended", version, digest, ts} {"conflict", version, status} {"missing"}
local log = open_log(call.id)
if not log then
  local archived = tombstone_of(call.id)
  if not archived then return reply({ 'missing' }) end
  log = new_log(call.id, archived.version, archived.digest, SHARED, '')
  log.status = archived.status
end
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
forget_log(call.id, call.steps)
redis.call('UNLINK', workflow_key(call.id, 'state'), workflow_key(call.id, 'archived'))
for _, job in ipairs(call.jobs) do redis.call('UNLINK', workflow_key(call.id, 'job:' .. job .. ':logs')) end
redis.call('SREM', flow_key('active'), call.id)
redis.call('ZREM', flow_key('archivable'), call.id)
unlist(call.id, call.about, doc_status or log.status)

return reply({ 'appended', version, digest, now })
