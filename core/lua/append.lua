-- A command: append events under an idempotency key and an expected status or version.
--
-- Closes the race of two commands that both read "running" and both act on it: the check and the
-- append are one. The same key again answers with the first outcome, so a lost reply can be asked
-- for again; the same key with other content is refused.
--
-- call: id, key, content (digest), events [[type, data]…], by, statuses (allowed, none = any),
--       version (expected, optional), status (new, optional), meta (only to create), created
-- reply: {"appended", version, digest, ts} {"duplicate", version} {"conflict", version, status}
--        {"mismatch"} {"missing"}
local log = open_log(call.id)
local commands = workflow_key(call.id, 'commands')

if log then
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
  log = { id = call.id, version = 0, digest = '', lane = call.meta.lane, name = call.meta.name, posts = {} }
else
  return reply({ 'missing' })
end

for _, event in ipairs(call.events) do append(log, event[1], event[2], call.by) end
if call.meta then
  redis.call('HSET', workflow_key(call.id, 'meta'), 'lane', log.lane, 'name', log.name)
  redis.call('SADD', flow_key('active'), call.id)
  redis.call('ZADD', flow_key('workflows'), now, call.id)
  -- Listed by status from the start; from then on the documents move it (project.lua).
  redis.call('ZADD', flow_key('workflows:' .. (call.status or 'created')), now, call.id)
  redis.call('HSET', workflow_key(call.id, 'meta'), 'doc_status', call.status or 'created')
end
if call.status then redis.call('HSET', workflow_key(call.id, 'meta'), 'status', call.status) end
redis.call('HSET', commands, call.key, log.version .. ' ' .. call.content)
close_log(log)
return reply({ 'appended', log.version, log.digest, now })
