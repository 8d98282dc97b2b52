-- A command: append events under an idempotency key and an expected status or version.
--
-- Closes the race of two commands that both read "running" and both act on it: the check and the
-- append are one. The same key again answers with the first outcome, so a lost reply can be asked
-- for again; the same key with other content is refused.
--
-- call: id, key, content (digest), events [[type, data]…], by, statuses (allowed, none = any),
--       version (expected, optional), status (new, optional), suspend, freeze, wake (flags of
--       pause and resume), meta (only to create: lane, name, queues, priority,
--       max_parallel, timeout_ms, about (see parts/listings.lua)), state (only to create: key ->
--       JSON, as the events say)
-- reply: {"appended", version, digest, ts} {"duplicate", version} {"conflict", version, status}
--        {"mismatch"} {"missing"} {"full", queue, waiting, depth} {"undefined"}
local log = open_log(call.id)
local archived = not log and tombstone_of(call.id)
if archived then return reply({ 'conflict', archived.version, archived.status }) end
local commands = workflow_key(call.id, 'commands')

if log then
  if log.lane == IMPORTED then return reply({ 'conflict', log.version, IMPORTED }) end
  local first = redis.call('HGET', commands, call.key)
  if first then
    local version, content = string.match(first, '^(%d+) (.*)$')
    if content == call.content then return reply({ 'duplicate', tonumber(version) }) end
    return reply({ 'mismatch' })
  end
  local allowed = not call.statuses
  for _, status in ipairs(call.statuses or {}) do allowed = allowed or status == log.status end
  if call.meta or not allowed or (call.version and call.version ~= log.version) then
    return reply({ 'conflict', log.version, log.status })
  end
elseif call.meta then
  if call.meta.definition and redis.call('HEXISTS', shared_key('definitions'), call.meta.definition) == 0 then
    return reply({ 'undefined' })
  end
  for _, queue in ipairs(call.meta.queues or {}) do
    local depth = tonumber(redis.call('HGET', shared_key('queues'), queue .. ':depth') or 0)
    local waiting = tonumber(redis.call('HGET', shared_key('waiting'), queue) or 0)
    if depth > 0 and waiting >= depth then return reply({ 'full', queue, waiting, depth }) end
  end
  log = new_log(call.id, 0, '', call.meta.lane, call.meta.name)
else
  return reply({ 'missing' })
end

-- Go on after a pause: timers run again, what was held back may be claimed.
local function wake(log)
  resume_timers(log)
  for _, job in ipairs(redis.call('LRANGE', workflow_key(log.id, 'held_jobs'), 0, -1)) do
    redis.call('RPUSH', flow_key(log.lane .. ':jobs'), job)
  end
  redis.call('DEL', workflow_key(log.id, 'held_jobs'))
  if redis.call('EXISTS', workflow_key(log.id, 'ready')) == 1 then join_ring(log) end
  ring_once(log.lane, 'task')
  ring_once(log.lane, 'job')
  ring_bell(log.lane, 'thaw', log.id)
end

for _, event in ipairs(call.events) do append(log, event[1], event[2], call.by) end
if call.meta then
  redis.call('HSET', workflow_key(call.id, 'meta'), 'lane', log.lane, 'name', log.name, 'state_p', STATE_SCHEMA,
    'has', call.meta.max_parallel and 'l' or '')
  if call.meta.priority then redis.call('HSET', workflow_key(call.id, 'meta'), 'priority', call.meta.priority) end
  if call.meta.max_parallel then
    redis.call('HSET', workflow_key(call.id, 'limits'), '*', call.meta.max_parallel)
  end
  if call.meta.timeout_ms then set_timer(log, 'workflow', call.meta.timeout_ms, '') end
  for key, value in pairs(call.state or {}) do redis.call('HSET', workflow_key(call.id, 'state'), key, value) end
  redis.call('PERSIST', workflow_key(call.id, 'blobs'))
  redis.call('SADD', flow_key('active'), call.id)
  for _, key in ipairs(lasting_listings(call.meta.about or {})) do redis.call('ZADD', key, now, call.id) end
  -- Listed by status from the start; from then on the documents move it (project.lua).
  list_by_status(call.id, nil, call.status or 'created', now)
  redis.call('HSET', workflow_key(call.id, 'meta'), 'doc_status', call.status or 'created')
end
if call.status then redis.call('HSET', workflow_key(call.id, 'meta'), 'status', call.status) end
if call.status == 'cancelling' then drop_timers(log) end
if call.suspend then suspend_timers(log) end
if call.freeze then ring_bell(log.lane, 'freeze', call.id) end
if call.wake then wake(log) end
redis.call('HSET', commands, call.key, log.version .. ' ' .. call.content)
close_log(log)
return reply({ 'appended', log.version, log.digest, now })
