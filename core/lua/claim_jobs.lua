-- with: leases jobs
-- A launcher takes jobs, within what its host has room for.
--
-- Taking a job and recording who has it are one. A job that was cancelled while it waited is no
-- longer in `jobs` and is passed over; one of a paused workflow is held until it is resumed. A claim
-- whose reply was lost comes again with the same token and gets the same jobs.
--
-- A job that a launcher had before goes to launchers of that host: its container may be there.
--
-- call: lane, host, session, token, want, lease_ms
-- reply: [[workflow, job, version of job.requested]…]
local claimed = {}

-- The jobs of a claim that was applied before.
local function recall()
  for _, holding in ipairs(redis.call('HKEYS', flow_key('session:' .. call.session))) do
    local id = string.match(holding, '^(.*)|$')
    local jobs = id and redis.call('HGETALL', workflow_key(id, 'jobs')) or {}
    for i = 1, #jobs, 2 do
      local record = cjson.decode(jobs[i + 1])
      if record.token == call.token then claimed[#claimed + 1] = { id, jobs[i], record.requested } end
    end
  end
end

if redis.call('HGET', flow_key('claims'), call.session) == call.token then
  recall()
  return reply(claimed)
end
redis.call('ZADD', flow_key('sessions'), now + call.lease_ms, call.session)
while #claimed < call.want do
  local entry = redis.call('LPOP', job_list(call.lane, call.host)) or redis.call('LPOP', job_list(call.lane))
  if not entry then break end
  local id, job = string.match(entry, '^(%S+) (%S+)$')
  local record = load_job(id, job)
  local log = record and open_log(id)
  if log and log.status == 'paused' and record.state == 'queued' then
    redis.call('RPUSH', workflow_key(id, 'held_jobs'), entry)
  elseif record and record.token == '' then
    if record.state ~= 'stopping' then record.state = 'claimed' end
    record.token = call.token
    record.host = call.host
    redis.call('ZREM', flow_key('orphans'), entry)
    save_job(id, job, record)
    count_claim(call.session, id .. '|', 1)
    claimed[#claimed + 1] = { id, job, record.requested }
  end
end
redis.call('HSET', flow_key('claims'), call.session, call.token)
return reply(claimed)
