-- A launcher takes jobs, within the slots and the memory that its host has free.
--
-- Taking a job and recording who has it are one. A job that was cancelled while it waited is no
-- longer in `jobs` and is passed over; one of a paused workflow is held until it is resumed. A claim
-- whose reply was lost comes again with the same token and gets the same jobs.
--
-- A job that a launcher had before goes to launchers of that host, whatever they have free: its
-- container may be there, and runs already then.
--
-- The others stand in line. One that has to wait for memory keeps its place and those behind it
-- wait, too, or small ones would keep a large one waiting for ever; when somebody else takes it,
-- they are told (`awaited`). One that is larger than all memory of a launcher is left to others; in
-- a private lane there are none, and who gets it says that it cannot be launched.
--
-- call: lane, host, session, token, want, lease_ms, default_memory (bytes, of a job that asks for none),
--       [memory (bytes free), all_memory (bytes of the launcher); without them there is no limit]
-- reply: {[[workflow, job, version of job.requested, memory]…], [workflow, job, memory] of the one
--        that has to wait for memory, if there is one}

-- In one call: jobs of this host that are taken, and jobs left to larger launchers that are looked at.
local MOST_ADOPTED, MOST_LEFT = 100, 1000

local claimed = {}

local function memory_of(record) return record.memory or call.default_memory end

-- The jobs of a claim that was applied before.
local function recall()
  for _, holding in ipairs(redis.call('HKEYS', flow_key('session:' .. call.session))) do
    local id = string.match(holding, '^(.*)|$')
    local jobs = id and redis.call('HGETALL', workflow_key(id, 'jobs')) or {}
    for i = 1, #jobs, 2 do
      local record = cjson.decode(jobs[i + 1])
      if record.token == call.token then
        claimed[#claimed + 1] = { id, jobs[i], record.requested, memory_of(record) }
      end
    end
  end
end

local function tell_awaited(id, job, record)
  if record.awaited then ring_once(call.lane, 'job') end
  record.awaited = nil
end

-- Look at an entry: the job's id, name and record when it can be taken. Otherwise it has left the line.
local function look(entry)
  local id, job = string.match(entry, '^(%S+) (%S+)$')
  local record = load_job(id, job)
  if not record or record.token ~= '' then return end
  local log = record.state == 'queued' and open_log(id)
  if log and log.status == 'paused' then
    tell_awaited(id, job, record)
    save_job(id, job, record)
    redis.call('RPUSH', workflow_key(id, 'held_jobs'), entry)
    return
  end
  return id, job, record
end

local function take(entry, id, job, record)
  if record.state ~= 'stopping' then record.state = 'claimed' end
  tell_awaited(id, job, record)
  record.token = call.token
  record.host = call.host
  redis.call('ZREM', flow_key('orphans'), entry)
  save_job(id, job, record)
  count_claim(call.session, id .. '|', 1)
  claimed[#claimed + 1] = { id, job, record.requested, memory_of(record) }
  return memory_of(record)
end

-- Returns how much memory they have.
local function adopt()
  local memory = 0
  for _ = 1, MOST_ADOPTED do
    local entry = redis.call('LPOP', job_list(call.lane, call.host))
    if not entry then break end
    local id, job, record = look(entry)
    if record then memory = memory + take(entry, id, job, record) end
  end
  return memory
end

local function wait_for(id, job, record)
  if not record.awaited then
    record.awaited = true
    save_job(id, job, record)
  end
  return { id, job, memory_of(record) }
end

-- Take from the front of the line what there is room for; returns the job that has to wait.
local function serve(free)
  local line, all = job_list(call.lane), call.all_memory or math.huge
  local left = 0  -- to larger launchers, at the front
  while #claimed < call.want and left < MOST_LEFT do
    local entry = redis.call('LINDEX', line, left)
    if not entry then return end
    local id, job, record = look(entry)
    local memory = record and memory_of(record) or 0
    if memory > all and call.lane == SHARED then left = left + 1
    elseif record and memory > free and memory <= all then return wait_for(id, job, record)
    else
      redis.call('LREM', line, 1, entry)
      if record then free = free - take(entry, id, job, record) end
    end
  end
end

if redis.call('HGET', flow_key('claims'), call.session) == call.token then
  recall()
  return reply({ claimed })
end
redis.call('ZADD', flow_key('sessions'), now + call.lease_ms, call.session)
local adopted = adopt()
local first = serve((call.memory or math.huge) - adopted)
redis.call('HSET', flow_key('claims'), call.session, call.token)
return reply({ claimed, first })
