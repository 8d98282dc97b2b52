-- Loaded in front of every script: one workflow's log, the feeds and the bell.
--
-- A script gets one MessagePack map in ARGV[1] and answers with one MessagePack value. `ns` and
-- `p` (namespace prefix, partition) are in every call; KEYS[1] only routes on Redis Cluster: all
-- keys of a partition share its slot.
--
-- Redis does not roll back a script that fails halfway. So each script first reads and checks all
-- it needs, then appends (XADD is the write that Redis refuses when memory is full, before
-- anything has changed), and afterwards only makes writes that cannot fail.
--
--   workflow:<id>:events   <version>-0   type, data, ts, by, dg [, cause]
--   workflow:<id>:meta     v, dg         version and digest of the last entry
--                          status        created running cancelling completed failed cancelled
--                          lane, name    who schedules it, its definition's name
--                          commit        last commit of the engine that was applied
--                          doc_v         version of the document
--   workflow:<id>:ready:<step>           [index,attempt,losses,cause,item]   (JSON)
--   workflow:<id>:leased:<step>          index -> "<token> <version of task.started> <ready entry>"
--   flow:<p>:session:<session>           "<workflow>|<step>" or "<workflow>|" (jobs) -> count
--
-- `dg` chains the entries: a log that lost its tail and grew another one is told from the first.

local call = cmsgpack.unpack(ARGV[1])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local SHARED = 'shared'

local function workflow_key(id, part)
  return call.ns .. 'workflow:' .. id .. (part and (':' .. part) or '')
end

local function flow_key(part)
  return call.ns .. 'flow:' .. call.p .. ':' .. part
end

local function reply(value)
  return cmsgpack.pack(value)
end

local function open_log(id)
  local meta = redis.call('HMGET', workflow_key(id, 'meta'), 'v', 'dg', 'status', 'lane', 'name')
  if not meta[1] then return nil end
  return {
    id = id, version = tonumber(meta[1]), digest = meta[2],
    status = meta[3], lane = meta[4], name = meta[5], posts = {},
  }
end

local function ended(log)
  return log.status == 'completed' or log.status == 'failed' or log.status == 'cancelled'
end

local function append(log, kind, data, by, cause)
  log.version = log.version + 1
  log.first = log.first or log.version
  log.digest = string.sub(redis.sha1hex(log.digest .. kind .. data), 1, 16)
  local entry = { 'type', kind, 'data', data, 'ts', now, 'by', by, 'dg', log.digest }
  if cause then entry[#entry + 1] = 'cause'; entry[#entry + 1] = cause end
  redis.call('XADD', workflow_key(log.id, 'events'), log.version .. '-0', unpack(entry))
  log.posts[#log.posts + 1] = '["' .. kind .. '",' .. (cause or 'null') .. ',' .. data .. ']'
  log.by = by
  return log.version
end

-- Post what was appended, as one entry: to the partition's feed, and to the lane's own when the
-- workflow has a private one. A feed that no reactor ever asked for does not exist and costs nothing.
local function close_log(log)
  if not log.first then return end
  redis.call('HSET', workflow_key(log.id, 'meta'), 'v', log.version, 'dg', log.digest)
  local entry = {
    'w', log.id, 'v', log.first, 'ts', now, 'by', log.by, 'lane', log.lane, 'dg', log.digest,
    'e', '[' .. table.concat(log.posts, ',') .. ']',
  }
  redis.call('XADD', flow_key('feed'), 'NOMKSTREAM', '*', unpack(entry))
  if log.lane ~= SHARED then
    redis.call('XADD', flow_key(log.lane .. ':feed'), 'NOMKSTREAM', '*', unpack(entry))
  end
end

-- Wake who waits on the lane: "task" and "job" say that there is work, the others bring news.
local function ring_bell(lane, kind, id, subject)
  redis.call('XADD', flow_key(lane .. ':bell'), 'MAXLEN', '~', 1000, '*',
    'kind', kind, 'w', id, 'subject', subject or '')
end

-- Put the workflow on its lane's ring when it has ready tasks; `turn` orders the ring.
local function join_ring(log)
  local turn = string.format('%.0f', clock[1] * 1000000 + clock[2])
  redis.call('ZADD', flow_key(log.lane .. ':ring:' .. log.name), 'NX', turn, log.id)
end

local function task_json(step, index, attempt)
  return '{"step":"' .. step .. '","index":' .. index .. ',"attempt":' .. attempt
end

local function parse_lease(value)
  local token, version, entry = string.match(value, '^(%S+) (%d+) (.*)$')
  local index, attempt, losses, cause, item = string.match(entry, '^%[(%d+),(%d+),(%d+),(%d+),(.*)%]$')
  return {
    token = token, version = tonumber(version), entry = entry, session = string.match(token, '^(.*)/'),
    index = index, attempt = attempt, losses = tonumber(losses), cause = cause, item = item,
  }
end

local function held(id, step, index, token)
  local value = redis.call('HGET', workflow_key(id, 'leased:' .. step), index)
  if not value then return nil end
  local lease = parse_lease(value)
  return lease.token == token and lease or nil
end

-- Count what a session holds, so that its death costs a look at just that.
local function count_claim(session, field, n)
  local key = flow_key('session:' .. session)
  if redis.call('HINCRBY', key, field, n) <= 0 then redis.call('HDEL', key, field) end
end

local function release_task(id, step, lease)
  redis.call('HDEL', workflow_key(id, 'leased:' .. step), lease.index)
  count_claim(lease.session, id .. '|' .. step, -1)
end

local function load_job(id, job)
  local value = redis.call('HGET', workflow_key(id, 'jobs'), job)
  return value and cjson.decode(value) or nil
end

local function save_job(id, job, record)
  redis.call('HSET', workflow_key(id, 'jobs'), job, cjson.encode(record))
end

-- A settled job leaves its outcome as the recorded effect of the task that asked for it.
local function finish_job(log, job, record, kind, data)
  redis.call('HDEL', workflow_key(log.id, 'jobs'), job)
  redis.call('HSET', workflow_key(log.id, 'effects'), record.effect,
    record.launch .. ' ' .. job .. ' ' .. kind .. ' ' .. data)
  if record.token ~= '' then count_claim(string.match(record.token, '^(.*)/'), log.id .. '|', -1) end
  ring_bell(log.lane, 'settled', log.id, job)
end

local function job_json(job, record)
  return '{"step":"' .. record.step .. '","index":' .. record.index .. ',"job":"' .. job .. '"'
end

-- Stop one job: what no launcher has taken ends here, what runs is stopped by its launcher.
local function stop_job(log, job, record, by)
  if record.state == 'queued' then
    local data = job_json(job, record) .. '}'
    append(log, 'job.cancelled', data, by, record.version)
    finish_job(log, job, record, 'job.cancelled', data)
  elseif record.state ~= 'stopping' then
    record.version = append(log, 'job.stop_requested', job_json(job, record) .. '}', by, record.version)
    record.state = 'stopping'
    save_job(log.id, job, record)
    ring_bell(log.lane, 'stop', log.id, job)
  end
end

-- Stop the jobs for which `matches` holds. An agent never outlives the task that asked for it.
local function stop_jobs(log, matches, by)
  local jobs = redis.call('HGETALL', workflow_key(log.id, 'jobs'))
  for i = 1, #jobs, 2 do
    local record = cjson.decode(jobs[i + 1])
    if matches(record) then stop_job(log, jobs[i], record, by) end
  end
end
