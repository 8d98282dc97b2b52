-- A worker's turn: settle what ended, let the engine of its process go on with it, take new tasks.
--
-- One call does for a chain of steps what takes three when engine and worker are apart. The engine
-- decides beforehand, on what the log will be once the results are in; so its decisions count only on
-- logs that were as it knew them (`version` and `digest` of `seen`) and got nothing but those results.
-- Otherwise they are left out, and the engine decides again on what it then reads.
--
-- call: lane, session, groups [[workflow, step, [[index, token, type, data]…]]…],
--       engine {token, by, decisions [decision…]} (optional; see parts/committing.lua, each with
--       `seen` [version, digest] and `settled`, the number of its results in `groups`),
--       claim (optional; see parts/claiming.lua)
-- reply: {refused [[workflow, step, index]…], outcomes of the decisions,
--        claimed [[workflow, name, step, args, [[entry, version of task.started]…], digest of the workflow's
--        log before the call, version and digest now]…], ends [[version, digest]…] of the decisions'
--        workflows, ms of the call}
local refused, outcomes, ends = {}, {}, {}
local decisions = call.engine and call.engine.decisions or {}

for _, decision in ipairs(decisions) do
  local log = open_log(decision.id)
  decision.fits = log and log.version == decision.seen[1] and log.digest == decision.seen[2]
end

for _, group in ipairs(call.groups) do
  local id, step, results = unpack(group)
  local log = open_log(id)
  if log then settle_tasks(log, step, results, call.session, refused)
  else
    for _, result in ipairs(results) do refused[#refused + 1] = { id, step, result[1] } end
  end
end

local claim = call.claim
local is_new = claim and open_claim(claim)
local direct = #decisions > 0 and is_new and is_nobody_waiting(claim.definitions) and claim
local owns = #decisions > 0 and owns_lane(call.lane, call.engine.token)
for i, decision in ipairs(decisions) do
  local log = open_log(decision.id)
  if not owns or not log or log.lane ~= call.lane then outcomes[i] = { 'fenced' }
  elseif not decision.fits or log.version ~= decision.seen[1] + decision.settled then
    outcomes[i] = { 'conflict', log.version, log.status }
  else
    outcomes[i] = commit_decision(log, decision, call.engine.by, not decision.phase and direct)
  end
end

-- Where nobody was waiting and what was decided has begun, there is nothing to look for.
if is_new and not claim.is_own and not (direct and not memory.has_joined) then claim_tasks(claim) end

for _, step in ipairs(memory.claimed) do
  local log = open_log(step[1])
  step[6], step[7], step[8] = log.before, log.version, log.digest
end
for _, log in pairs(memory.logs) do
  close_log(log)
  if log.has_work and log.status == 'running' and redis.call('EXISTS', workflow_key(log.id, 'ready')) == 1 then
    ring_once(log.lane, 'task')
  end
end
for i, decision in ipairs(decisions) do
  local log = open_log(decision.id)
  ends[i] = log and { log.version, log.digest } or { 0, '' }
end
return reply({ refused, outcomes, memory.claimed, ends, now })
