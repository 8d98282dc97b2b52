-- How long the keys of a workflow are kept once it has ended, and what happens then: they expire, or
-- they wait in `flow:<p>:archivable` until the archiver has written the log elsewhere.

-- What the archive takes the place of; agents' output and state expire by themselves.
local LOG_PARTS = { 'events', 'meta', 'steps', 'commands', 'blobs', 'snapshot', 'forks' }

-- one: id, jobs {step: …}, logs [job…], log_ttl_ms, state_ttl_ms, is_archived
local function let_expire(one)
  redis.call('PEXPIRE', workflow_key(one.id, 'state'), one.state_ttl_ms)
  for _, job in ipairs(one.logs) do
    redis.call('PEXPIRE', workflow_key(one.id, 'job:' .. job .. ':logs'), one.log_ttl_ms)
  end
  if one.is_archived then
    redis.call('ZADD', flow_key('archivable'), now + one.log_ttl_ms, one.id)
    return
  end
  redis.call('PEXPIRE', workflow_key(one.id), one.log_ttl_ms)
  for _, part in ipairs(LOG_PARTS) do redis.call('PEXPIRE', workflow_key(one.id, part), one.log_ttl_ms) end
  for step, _ in pairs(one.jobs) do
    redis.call('PEXPIRE', workflow_key(one.id, 'step:' .. step .. ':jobs'), one.log_ttl_ms)
  end
end

-- Keys that were written after the end live as long as the workflow's others.
local function expire_with_log(id, key)
  local left = redis.call('PTTL', workflow_key(id, 'meta'))
  if left > 0 then redis.call('PEXPIRE', key, left) end
end

-- Delete what the archive has, or what was to be deleted: the log and all that is made of it.
local function forget_log(id, steps)
  redis.call('DEL', workflow_key(id))
  for _, part in ipairs(LOG_PARTS) do redis.call('UNLINK', workflow_key(id, part)) end
  for _, part in ipairs({ 'effects', 'jobs', 'limits', 'held_jobs', 'ready' }) do
    redis.call('UNLINK', workflow_key(id, part))
  end
  for _, name in ipairs({ 'documents', 'listings', 'state', 'snapshots' }) do
    redis.call('UNLINK', workflow_key(id, 'shadow:' .. name), workflow_key(id, 'former:' .. name))
  end
  for _, step in ipairs(steps) do
    redis.call('UNLINK', workflow_key(id, 'step:' .. step .. ':jobs'), workflow_key(id, 'ready:' .. step),
      workflow_key(id, 'leased:' .. step))
  end
end

-- {version, status} of an archived workflow.
local function tombstone_of(id)
  local data = redis.call('GET', workflow_key(id, 'archived'))
  return data and cjson.decode(data)
end
