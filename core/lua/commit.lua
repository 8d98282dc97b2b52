-- An engine's decisions on workflows of its lane; each one is applied or not by itself.
--
-- call: lane, token, by, decisions [decision…] (see parts/committing.lua)
-- reply: [outcome…]
local outcomes = {}
local owns = owns_lane(call.lane, call.token)
for i, decision in ipairs(call.decisions) do
  local log = owns and open_log(decision.id)
  if not log or log.lane ~= call.lane then outcomes[i] = { 'fenced' }
  else
    outcomes[i] = commit_decision(log, decision, call.by)
    close_log(log)
    if log.has_work then ring_once(log.lane, 'task') end
  end
end
return reply(outcomes)
