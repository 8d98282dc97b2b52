-- Agents: `workflow:<id>:jobs` has those that have yet to end, and where they stand.

local function load_job(id, job)
  local value = redis.call('HGET', workflow_key(id, 'jobs'), job)
  return value and cjson.decode(value) or nil
end

local function save_job(id, job, record)
  redis.call('HSET', workflow_key(id, 'jobs'), job, cjson.encode(record))
end

-- A settled job leaves its outcome as the recorded effect of the task that asked for it, unless
-- that was launched anew meanwhile.
local function finish_job(log, job, record, kind, data)
  local effects = workflow_key(log.id, 'effects')
  redis.call('HDEL', workflow_key(log.id, 'jobs'), job)
  local launch = string.match(redis.call('HGET', effects, record.effect) or '', '^%d+')
  if not launch or tonumber(launch) <= record.launch then
    redis.call('HSET', effects, record.effect, record.launch .. ' ' .. job .. ' ' .. kind .. ' ' .. data)
  end
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
  ring_once(log.lane, 'job')
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

-- Stop those of one task.
local function stop_jobs_of(log, step, index, by)
  index = tonumber(index)
  stop_jobs(log, function(record) return record.step == step and record.index == index end, by)
end
