-- Loaded in front of every script: one workflow's log, the feeds and the bell.
--
-- A script gets one MessagePack map in ARGV[1] and answers with one MessagePack value. `ns` and
-- `p` (namespace prefix, partition) are in every call; KEYS[1] only routes on Redis Cluster: all
-- keys of a partition share its slot.
--
-- Redis does not roll back a script that fails halfway. So for each workflow a script first reads and
-- checks all it needs, then appends, and afterwards only makes writes that cannot fail. (Memory that
-- is full refuses the first write of a script, before anything has changed.)
--
--   workflow:<id>:events   <version>-0   type, data, ts, by, dg [, cause]
--   workflow:<id>:meta     v, dg         version and digest of the last entry
--                          status        created running paused failing cancelling completed failed cancelled
--                          lane, name    who schedules it, its definition's name
--                          running       tasks claimed and not settled
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
  local meta = redis.call('HMGET', workflow_key(id, 'meta'), 'v', 'dg', 'status', 'lane', 'name', 'priority')
  if not meta[1] then return nil end
  return {
    id = id, version = tonumber(meta[1]), digest = meta[2], before = meta[2],
    status = meta[3], lane = meta[4], name = meta[5], priority = tonumber(meta[6] or 0), posts = {},
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

-- Wake who waits on the lane: "task" and "job" say that there is work, the others bring news.
local function ring_bell(lane, kind, id, subject)
  redis.call('XADD', flow_key(lane .. ':bell'), 'MAXLEN', '~', 1000, '*',
    'kind', kind, 'w', id, 'subject', subject or '')
end

-- Post what was appended, as one entry: to the lane's feed, for its engine, and to the partition's,
-- for subscribers. A feed that nobody ever asked for does not exist and costs nothing. `prev` is the
-- digest that the entry follows on: a reader with another one has a log that was rolled back.
local function close_log(log)
  if log.timed then ring_bell(log.lane, 'timer', log.id) end
  if not log.first then return end
  redis.call('HSET', workflow_key(log.id, 'meta'), 'v', log.version, 'dg', log.digest)
  local entry = {
    'w', log.id, 'v', log.first, 'ts', now, 'by', log.by, 'lane', log.lane, 'dg', log.digest,
    'prev', log.before, 'e', '[' .. table.concat(log.posts, ',') .. ']',
  }
  redis.call('XADD', flow_key(log.lane .. ':feed'), 'NOMKSTREAM', '*', unpack(entry))
  redis.call('XADD', flow_key('feed'), 'NOMKSTREAM', '*', unpack(entry))
end

-- Put the workflow on its lane's ring when it has ready tasks; `turn` (tenths of ms) orders the ring,
-- and each step of priority is worth more than any wait.
local function turn_now()
  return clock[1] * 10000 + math.floor(clock[2] / 100)
end

local function ring_score(log, turn)
  return string.format('%.0f', turn - (log.priority or 0) * 1e14)
end

local function join_ring(log)
  local ring = call.ns .. 'flow:' .. (log.partition or call.p) .. ':' .. log.lane .. ':ring:' .. log.name
  redis.call('ZADD', ring, 'NX', ring_score(log, turn_now()), log.id)
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

-- Limits. `workflow:<id>:limits` has "max|queue|key|key_max" per step (0: none), and the parallelism
-- of the workflow under "*". Queues and concurrency keys are shared by all workflows: what runs is
-- counted in `flow:running`, what may run is in `flow:queues`, who waits for it in `flow:blocked:…`.
local function shared_key(part) return call.ns .. 'flow:' .. part end

local function limits_of(id, step)
  local text = redis.call('HGET', workflow_key(id, 'limits'), step) or '0|default||0'
  local max, queue, key, key_max = string.match(text, '^(%d+)|([^|]*)|([^|]*)|(%d+)$')
  return { max = tonumber(max), queue = queue, key = key, key_max = tonumber(key_max) }
end

local function count_running(limits, n)
  redis.call('HINCRBY', shared_key('running'), 'queue:' .. limits.queue, n)
  redis.call('HINCRBY', shared_key('running'), 'queue:*', n)
  if limits.key ~= '' then redis.call('HINCRBY', shared_key('running'), 'key:' .. limits.key, n) end
end

local function count_waiting(queue, n)
  if n ~= 0 then redis.call('HINCRBY', shared_key('waiting'), queue, n) end
end

-- Let workflows that waited for a shared limit join their rings again, one per slot that is free.
-- Those that were paused or have nothing ready any more use none and are passed over.
local function unblock(resource, n)
  while n > 0 do
    local member = redis.call('SPOP', shared_key('blocked:' .. resource))
    if not member then return end
    local partition, id = string.match(member, '^(%d+)|(.*)$')
    local log = open_log(id)
    if log and log.status == 'running' and redis.call('EXISTS', workflow_key(id, 'ready')) == 1 then
      n = n - 1
      log.partition = partition
      join_ring(log)
      redis.call('XADD', call.ns .. 'flow:' .. partition .. ':' .. log.lane .. ':bell', 'MAXLEN', '~', 1000,
        '*', 'kind', 'task', 'w', id, 'subject', '')
    end
  end
end

-- n tasks of a step, claimed by one session, no longer run.
local function free_slots(log, step, session, n)
  redis.call('HINCRBY', workflow_key(log.id, 'meta'), 'running', -n)
  count_claim(session, log.id .. '|' .. step, -n)
  local limits = limits_of(log.id, step)
  count_running(limits, -n)
  unblock('queue:' .. limits.queue, n)
  unblock('queue:*', n)
  if limits.key ~= '' then unblock('key:' .. limits.key, n) end
end

local function release_task(log, step, lease)
  redis.call('HDEL', workflow_key(log.id, 'leased:' .. step), lease.index)
  free_slots(log, step, lease.session, 1)
end

-- Timers: `workflow:<id>:timers` keeps what is to happen, `flow:<p>:<lane>:timers` when. A paused
-- workflow has only the former, so its timers wait; also those of a commit that crossed the pause.
local function timer_key(lane) return flow_key(lane .. ':timers') end

local function set_timer(log, name, delay_ms, payload)
  local due = string.format('%.0f', now + delay_ms)
  redis.call('HSET', workflow_key(log.id, 'timers'), name, due .. ' ' .. payload)
  if log.status == 'paused' then return end
  redis.call('ZADD', timer_key(log.lane), due, log.id .. '|' .. name)
  log.timed = true
end

local function suspend_timers(log)
  for _, name in ipairs(redis.call('HKEYS', workflow_key(log.id, 'timers'))) do
    redis.call('ZREM', timer_key(log.lane), log.id .. '|' .. name)
  end
end

local function resume_timers(log)
  local timers = redis.call('HGETALL', workflow_key(log.id, 'timers'))
  for i = 1, #timers, 2 do
    redis.call('ZADD', timer_key(log.lane), string.match(timers[i + 1], '^%d+'), log.id .. '|' .. timers[i])
    log.timed = true
  end
end

local function drop_timers(log)
  suspend_timers(log)
  redis.call('DEL', workflow_key(log.id, 'timers'))
end

local function make_ready(log, step, entries, front)
  for i = 1, #entries, 500 do
    redis.call(front and 'LPUSH' or 'RPUSH', workflow_key(log.id, 'ready:' .. step),
      unpack(entries, i, math.min(i + 499, #entries)))
  end
  redis.call('SADD', workflow_key(log.id, 'ready'), step)
  count_waiting(limits_of(log.id, step).queue, #entries)
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

-- Offer a job to launchers: to any, or to those of the host where its container may be.
local function job_list(lane, host)
  return flow_key(lane .. ':jobs' .. (host and (':' .. host) or ''))
end

local function offer_job(log, job, record)
  redis.call('RPUSH', job_list(log.lane, record.host), log.id .. ' ' .. job)
  ring_bell(log.lane, 'job', log.id, job)
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
