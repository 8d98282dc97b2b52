-- An engine's decisions on workflows of its lane; each one is applied or not by itself.
--
-- Each one says which log it was decided on. One that Redis has lost since, or its tail, is in
-- conflict: it would get events because of others that are no longer there.
--
-- call: lane, token, by, decisions [decision…] (see parts/committing.lua, each with `seen`
--       [version, digest], optional)
-- reply: [outcome…]
local function digest_at(log, version)
  if version == log.version then return log.digest end
  local entry = redis.call('XRANGE', log.events, version .. '-0', version .. '-0')[1]
  local fields = entry and entry[2] or {}
  for i = 1, #fields, 2 do
    if fields[i] == 'dg' then return fields[i + 1] end
  end
end

local function is_of_this_log(decision, log)
  local version, digest = unpack(decision.seen or {})
  return not version or log.commit == decision.commit or digest_at(log, version) == digest
end

local outcomes = {}
local owns = owns_lane(call.lane, call.token)
for i, decision in ipairs(call.decisions) do
  local log = owns and open_log(decision.id)
  if not owns or log and log.lane ~= call.lane then outcomes[i] = { 'fenced' }
  elseif not log then outcomes[i] = { 'conflict', 0, '' }
  elseif not is_of_this_log(decision, log) then outcomes[i] = { 'conflict', log.version, log.status }
  else
    outcomes[i] = commit_decision(log, decision, call.by)
    close_log(log)
    if log.has_work then ring_once(log.lane, 'task') end
  end
end
return reply(outcomes)
