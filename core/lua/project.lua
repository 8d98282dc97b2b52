-- Write the documents of workflows, those of each all of one version, and snapshots of long ones.
--
-- Several processes may hold a view of a workflow; a document only ever moves forward, and so does a
-- snapshot. A view of a log that was rolled back since is not written: nothing would follow that is
-- newer. Each is written with its version and the schema number of who wrote it. With the last
-- version the keys get the lifetime that the end of a workflow gives them.
--
-- call: workflows [{id, version, digest, status, document, steps [JSON…], jobs {step: [job…]}, created (ms), schema,
--       [snapshot {view (JSON), schema, updated (ms)}],
--       [log_ttl_ms, state_ttl_ms, logs [job…], is_archived] (at the end)}…]
-- reply: number of workflows that were written

local function add_jobs(id, step, jobs)
  local key = workflow_key(id, 'step:' .. step .. ':jobs')
  for i = 1, #jobs, 500 do redis.call('SADD', key, unpack(jobs, i, math.min(i + 499, #jobs))) end
end

-- The last event that a view has seen, as the log has it: none, or one with another digest, where the log
-- was rolled back since, and may have grown again.
local function last_seen(one)
  local id = one.version .. '-0'
  local entry = redis.call('XRANGE', workflow_key(one.id, 'events'), id, id)[1]
  return entry and entry[2][10] == one.digest and entry[2]
end

-- An event that was lost and came again may be the same but for its time.
local function keep_snapshot(one, log_version)
  local event = last_seen(one)
  if not event or tonumber(event[6]) ~= one.snapshot.updated then return end
  local key = workflow_key(one.id, 'snapshot')
  local known = tonumber(redis.call('HGET', key, 'v') or 0)
  if known >= one.version and known <= log_version then return end
  redis.call('HSET', key, 'v', one.version, 'dg', one.digest, 'p', one.snapshot.schema,
    'view', one.snapshot.view)
end

local function write(one)
  local meta = workflow_key(one.id, 'meta')
  local known = redis.call('HMGET', meta, 'v', 'doc_v', 'doc_status', 'dg')
  local version = tonumber(known[1] or 0)
  if tonumber(known[2] or 0) >= one.version then return 0 end
  local is_behind = one.version < version and not one.log_ttl_ms
  if is_behind and not last_seen(one) then return 0 end
  if not is_behind and (one.version ~= version or one.digest ~= known[4]) then return 0 end
  redis.call('SET', workflow_key(one.id), one.document)
  redis.call('DEL', workflow_key(one.id, 'steps'))
  redis.call('RPUSH', workflow_key(one.id, 'steps'), unpack(one.steps))
  for step, jobs in pairs(one.jobs) do add_jobs(one.id, step, jobs) end
  list_by_status(one.id, known[3] or nil, one.status, one.created)
  redis.call('HSET', meta, 'doc_v', one.version, 'doc_p', one.schema, 'doc_status', one.status)
  if one.snapshot then keep_snapshot(one, version) end
  if one.log_ttl_ms then let_expire(one) end
  return 1
end

local written = 0
for _, one in ipairs(call.workflows) do written = written + write(one) end
return reply(written)
