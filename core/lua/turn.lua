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
-- reply: {refused [[workflow, step, index]…], outcomes of the decisions, claimed,
--        ends [[version, digest]…] of the decisions' workflows}
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

local owns = #decisions > 0 and owns_lane(call.lane, call.engine.token)
for i, decision in ipairs(decisions) do
  local log = open_log(decision.id)
  if not owns or not log or log.lane ~= call.lane then outcomes[i] = { 'fenced' }
  elseif not decision.fits or log.version ~= decision.seen[1] + decision.settled then
    outcomes[i] = { 'conflict', log.version, log.status }
  else
    outcomes[i] = commit_decision(log, decision, call.engine.by)
    log.is_known = decision.is_whole and outcomes[i][1] == 'appended'
  end
end

local tasks = call.claim and claim_tasks(call.claim) or {}

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
return reply({ refused, outcomes, tasks, ends })
