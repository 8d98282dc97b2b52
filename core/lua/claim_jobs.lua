-- A launcher takes jobs, within what its host has room for.
--
-- Taking a job and recording who has it are one. A job that was cancelled while it waited is no
-- longer in `jobs` and is passed over; one of a paused workflow is held until it is resumed.
--
-- call: lane, session, token, want, lease_ms
-- reply: [[workflow, job, version of job.requested]…]
local claimed = {}
redis.call('ZADD', flow_key('sessions'), now + call.lease_ms, call.session)
while #claimed < call.want do
  local entry = redis.call('LPOP', flow_key(call.lane .. ':jobs'))
  if not entry then break end
  local id, job = string.match(entry, '^(%S+) (%S+)$')
  local record = load_job(id, job)
  local log = record and open_log(id)
  if log and log.status == 'paused' and record.state == 'queued' then
    redis.call('RPUSH', workflow_key(id, 'held_jobs'), entry)
  elseif record and record.token == '' then
    if record.state == 'queued' then record.state = 'claimed' end
    record.token = call.token
    save_job(id, job, record)
    count_claim(call.session, id .. '|', 1)
    claimed[#claimed + 1] = { id, job, record.requested }
  end
end
return reply(claimed)
