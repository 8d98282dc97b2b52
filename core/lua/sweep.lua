-- Take over from the dead: give their tasks and jobs back, adopt their private lanes.
--
-- Reading that a session is past its deadline and taking what it held are one, so a worker that
-- renews in between either keeps everything or nothing. Its late results find no lease. Tasks go
-- to the front of their queue; one that was lost `max_losses` times fails instead, because it may
-- be what kills its workers. Jobs keep their id: the next launcher on that host finds the container.
--
-- A process that stops hands back what it holds by the same code, for the one session that it names;
-- nothing speaks against its tasks then, so that does not count as a loss. One that goes on names what it
-- has (`kept`): a Redis that lost its last writes may say that it has more.
--
-- A janitor that was suspended, or could not reach Redis, finds leases run out although nobody died. So it says
-- until when it meant to call; a call that comes later takes nothing, and those that live renew first.
--
-- call: host_lease_ms (how long agents wait for a launcher of their host), limit (entries), max_losses (optional),
--       session (the only one to take from, optional), kept {"<workflow>|<step>|<index>" or "<workflow>|<job>": true}
--       (with session, optional), until_ms (Redis' clock, optional)
-- reply: [[tasks, jobs, lanes] (counts of what was taken back; call again while any is above 0), now (ms),
--        when the next lease of a session or a private lane ends (ms), or false when there is none]
local counts = { 0, 0, 0 }

-- Of those that are not taken over yet.
local function next_lease_end()
  local first = tonumber(redis.call('ZRANGE', flow_key('sessions'), 0, 0, 'WITHSCORES')[2])
  local owners = redis.call('HGETALL', flow_key('owners'))
  for i = 1, #owners, 2 do
    local deadline = tonumber(string.match(owners[i + 1], '^(%d+)'))
    if owners[i] ~= SHARED and (not first or deadline < first) then first = deadline end
  end
  return first or false
end

local function is_kept(place) return call.kept and call.kept[place] end

local function fail_poison(log, step, lease)
  append(log, 'task.failed', task_json(step, lease.index, lease.attempt)
    .. ',"error":{"type":"Poison","message":"lost ' .. (lease.losses + 1) .. ' workers while it ran"}}',
    'janitor', lease.version)
  stop_jobs_of(log, step, lease.index, 'janitor')
end

local handed_back = false  -- by a process that stopped, not taken from one that fell silent

local function losses_of(lease)
  return lease.losses + (handed_back and 0 or 1)
end

local function requeue(log, step, lease)
  append(log, 'task.lost', task_json(step, lease.index, lease.attempt)
    .. ',"worker":"' .. lease.session .. '"}', call.session or 'janitor', lease.version)
  local entry = '[' .. lease.index .. ',' .. lease.attempt .. ',' .. losses_of(lease) .. ','
    .. log.version .. ',' .. lease.item .. ']'
  make_ready(log, step, bare_limits_of(log, step).queue, { entry }, true)
end

local function take_tasks(log, session, step)
  local before = counts[1]
  for _, value in ipairs(redis.call('HVALS', workflow_key(log.id, 'leased:' .. step))) do
    local lease = parse_lease(value)
    local is_taken = lease.session == session and not is_kept(log.id .. '|' .. step .. '|' .. lease.index)
    if is_taken and counts[1] < call.limit then
      counts[1] = counts[1] + 1
      release_task(log, step, lease)
      if call.max_losses and losses_of(lease) >= call.max_losses then fail_poison(log, step, lease)
      else requeue(log, step, lease) end
    end
  end
  if counts[1] == before then return end
  join_ring(log)
  ring_once(log.lane, 'task')
end

local function take_jobs(log, session)
  local jobs = redis.call('HGETALL', workflow_key(log.id, 'jobs'))
  for i = 1, #jobs, 2 do
    local record = cjson.decode(jobs[i + 1])
    local holder = string.match(record.token, '^(.*)/')
    if holder == session and not is_kept(log.id .. '|' .. jobs[i]) then
      counts[2] = counts[2] + 1
      count_claim(session, log.id .. '|', -1)
      record.token = ''
      if record.state ~= 'stopping' then record.state = 'orphaned' end
      save_job(log.id, jobs[i], record)
      offer_job(log, jobs[i], record)
      redis.call('ZADD', flow_key('orphans'), now + call.host_lease_ms, log.id .. ' ' .. jobs[i])
    end
  end
end

local function take_session(session)
  local key = flow_key('session:' .. session)
  for _, holding in ipairs(redis.call('HKEYS', key)) do
    local id, step = string.match(holding, '^(.*)|(.*)$')
    local log = open_log(id)
    if not log or ended(log) then redis.call('HDEL', key, holding)
    elseif step == '' then take_jobs(log, session)
    else take_tasks(log, session, step) end
    if log then close_log(log) end
    if counts[1] >= call.limit then return end
  end
  if call.kept then return end
  redis.call('DEL', key)
  memory.deltas[key] = nil
  redis.call('ZREM', flow_key('sessions'), session)
  redis.call('HDEL', flow_key('claims'), session)
  redis.call('HDEL', flow_key('about'), session)
end

local function adopt(lane)
  local id = string.sub(lane, 5)  -- run:<id>
  local log = open_log(id)
  if log and log.lane == lane then
    counts[3] = counts[3] + 1
    log.by = 'janitor'
    log.first = log.version + 1  -- posted even when empty: the shared engine then looks at it
    if not ended(log) then
      log.first = append(log, 'workflow.adopted', '{"lane":"' .. lane .. '"}', 'janitor')
    end
    suspend_timers(log)
    log.lane = SHARED
    if log.status ~= 'paused' then resume_timers(log) end
    redis.call('HSET', workflow_key(id, 'meta'), 'lane', SHARED)
    local jobs = redis.call('HGETALL', workflow_key(id, 'jobs'))
    for i = 1, #jobs, 2 do
      local record = cjson.decode(jobs[i + 1])
      if record.host then redis.call('DEL', job_list(lane, record.host)) end
      if record.token == '' then offer_job(log, jobs[i], record) end
    end
    close_log(log)
    if redis.call('EXISTS', workflow_key(id, 'ready')) == 1 then join_ring(log) end
    ring_once(SHARED, 'task')
    ring_once(SHARED, 'job')
    redis.call('DEL', ring_key(lane, log.name), timer_key(lane))
  end
  redis.call('DEL', flow_key(lane .. ':jobs'), flow_key(lane .. ':feed'), flow_key(lane .. ':stocked'),
    bells_of(lane))
  for _, bell in ipairs({ bells_of(lane) }) do memory.bells[bell] = nil end
  redis.call('HDEL', flow_key('owners'), lane)
end

-- An agent whose host has had no launcher for too long has failed, as far as anybody can tell.
local function give_up(entry)
  redis.call('ZREM', flow_key('orphans'), entry)
  local id, job = string.match(entry, '^(%S+) (%S+)$')
  local record = load_job(id, job)
  local log = record and open_log(id)
  if not log or record.token ~= '' then return end
  local data = job_json(job, record) .. ',"error":{"type":"lost","message":"no launcher of host '
    .. record.host .. ' took it over"}}'
  append(log, 'job.failed', data, 'janitor', record.version)
  finish_job(log, job, record, 'job.failed', data)
  redis.call('LREM', job_list(log.lane, record.host), 1, entry)
  close_log(log)
end

if call.session then
  handed_back = true
  take_session(call.session)
  return reply({ counts, now, false })
end
if call.until_ms and now > call.until_ms then return reply({ counts, now, next_lease_end() }) end
local ended_sessions = redis.call('ZRANGEBYSCORE', flow_key('sessions'), '-inf', now, 'WITHSCORES', 'LIMIT', 0, 10)
for i = 1, #ended_sessions, 2 do
  handed_back = tonumber(ended_sessions[i + 1]) == 0
  if counts[1] < call.limit then take_session(ended_sessions[i]) end
end
for _, entry in ipairs(redis.call('ZRANGEBYSCORE', flow_key('orphans'), '-inf', now, 'LIMIT', 0, 100)) do
  give_up(entry)
end
-- Runs whose keys have expired leave the listings, the oldest first.
local function forget_expired()
  for _, id in ipairs(redis.call('ZRANGE', flow_key('workflows'), 0, 49)) do
    if redis.call('EXISTS', workflow_key(id, 'meta')) == 0 then
      redis.call('ZREM', flow_key('workflows'), id)
      redis.call('SREM', flow_key('active'), id)
      for _, status in ipairs({ 'created', 'running', 'paused', 'failing', 'cancelling', 'completed',
        'failed', 'cancelled' }) do
        redis.call('ZREM', flow_key('workflows:' .. status), id)
      end
    end
  end
end

forget_expired()
pass_turn_on()  -- one that got lost on its way comes back with the next round
local owners = redis.call('HGETALL', flow_key('owners'))
for i = 1, #owners, 2 do
  local deadline = tonumber(string.match(owners[i + 1], '^(%d+)'))
  if owners[i] ~= SHARED and deadline <= now then adopt(owners[i]) end
end
return reply({ counts, now, next_lease_end() })
