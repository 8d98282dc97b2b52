-- A claim whose reply was lost comes again with its token, and is given the same again.

local function recall_key(token) return flow_key('claimed:' .. string.match(token, '^(.*)/')) end

-- Remember the last claim of a session for as long as it holds.
local function note_claim(token, lease_ms, ids)
  if #ids > 0 then redis.call('SET', recall_key(token), cmsgpack.pack({ token, ids }), 'PX', lease_ms) end
end

-- The ids that were claimed with this token before; none when the claim is new.
local function recall_claim(token)
  local noted = redis.call('GET', recall_key(token))
  local last = noted and cmsgpack.unpack(noted)
  return last and last[1] == token and last[2] or {}
end
