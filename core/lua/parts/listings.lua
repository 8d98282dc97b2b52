-- The listings of workflows: sorted sets of ids by the time of creation (ms). A workflow is in that of
-- all, in those of its name and tags for good, and in that of the status that its document shows.
--
-- about: name (optional), tags [[key, value]…] (optional), as its first event has them

-- Schema number of the state, which scripts make; projections/catalogue.py has the same.
local STATE_SCHEMA = 1

local STATUSES = { 'created', 'running', 'paused', 'failing', 'cancelling', 'completed', 'failed', 'cancelled' }

local function lasting_listings(about)
  local keys = { flow_key('workflows') }
  if about.name then keys[2] = flow_key('named:' .. about.name) end
  for _, tag in ipairs(about.tags or {}) do keys[#keys + 1] = flow_key('tagged:' .. tag[1] .. ':' .. tag[2]) end
  return keys
end

local function list_by_status(id, before, status, created)
  if before == status then return end
  if before then redis.call('ZREM', flow_key('workflows:' .. before), id) end
  redis.call('ZADD', flow_key('workflows:' .. status), created, id)
end

local function unlist(id, about, status)
  for _, key in ipairs(lasting_listings(about)) do redis.call('ZREM', key, id) end
  if status then redis.call('ZREM', flow_key('workflows:' .. status), id) end
end
