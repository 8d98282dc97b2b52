-- Claimed tasks, and who has them.
--
--   workflow:<id>:ready:<step>           [index,attempt,losses,cause,item]   (JSON)
--   workflow:<id>:leased:<step>          index -> "<token> <version of task.started> <ready entry>"
--   flow:<p>:session:<session>           "<workflow>|<step>" or "<workflow>|" (jobs) -> count

local function leased_key(id, step) return workflow_key(id, 'leased:' .. step) end

local function parse_lease(value)
  local token, version, entry = string.match(value, '^(%S+) (%d+) (.*)$')
  local index, attempt, losses, cause, item = string.match(entry, '^%[(%d+),(%d+),(%d+),(%d+),(.*)%]$')
  return {
    token = token, version = tonumber(version), entry = entry, session = string.match(token, '^(.*)/'),
    index = index, attempt = attempt, losses = tonumber(losses), cause = cause, item = item,
  }
end

local function held(id, step, index, token)
  local value = redis.call('HGET', leased_key(id, step), index)
  if not value then return nil end
  local lease = parse_lease(value)
  return lease.token == token and lease or nil
end

-- What a session holds is counted, so that its death costs a look at just that.
local function count_claim(session, field, n)
  count(flow_key('session:' .. session), field, n)
end
