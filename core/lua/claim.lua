-- A worker takes ready tasks: many per call, round robin over workflows, within max_workers.
--
-- Taking a task, recording who has it and appending `task.started` are one, so no task is lost
-- between queue and worker and none is started twice. A claim whose reply was lost comes again
-- with the same token and gets the same tasks.
--
-- call: lane, session, token, want, definitions [name…], lease_ms
-- reply: [[workflow, name, step, args, [[entry, version of task.started]…]]…]
local claimed = {}

local function recall()
  local holdings = redis.call('HKEYS', flow_key('session:' .. call.session))
  for _, holding in ipairs(holdings) do
    local id, step = string.match(holding, '^(.*)|(.*)$')
    local tasks = {}
    if step ~= '' then
      for _, value in ipairs(redis.call('HVALS', workflow_key(id, 'leased:' .. step))) do
        local lease = parse_lease(value)
        if lease.token == call.token then tasks[#tasks + 1] = { lease.entry, lease.version } end
      end
    end
    if #tasks > 0 then
      local name = redis.call('HGET', workflow_key(id, 'meta'), 'name')
      claimed[#claimed + 1] = { id, name, step, redis.call('HGET', workflow_key(id, 'args'), step) or '', tasks }
    end
  end
end

local function room(log, step)
  local limits = redis.call('HMGET', workflow_key(log.id, 'limits'), step, '*')
  local free = math.huge
  local max, all = tonumber(limits[1] or 0), tonumber(limits[2] or 0)
  if max > 0 then free = max - redis.call('HLEN', workflow_key(log.id, 'leased:' .. step)) end
  if all > 0 then
    free = math.min(free, all - (redis.call('HGET', workflow_key(log.id, 'meta'), 'running') or 0))
  end
  return free
end

local function take(log, step, n)
  local entries = redis.call('LPOP', workflow_key(log.id, 'ready:' .. step), n)
  if not entries then return 0 end
  local tasks, leases = {}, {}
  for i, entry in ipairs(entries) do
    local index, attempt, cause = string.match(entry, '^%[(%d+),(%d+),%d+,(%d+),')
    local data = task_json(step, index, attempt) .. ',"worker":"' .. call.session .. '"}'
    local version = append(log, 'task.started', data, call.session, cause)
    tasks[i] = { entry, version }
    leases[#leases + 1] = index
    leases[#leases + 1] = call.token .. ' ' .. version .. ' ' .. entry
  end
  for i = 1, #leases, 500 do
    redis.call('HSET', workflow_key(log.id, 'leased:' .. step), unpack(leases, i, math.min(i + 499, #leases)))
  end
  redis.call('HINCRBY', workflow_key(log.id, 'meta'), 'running', #tasks)
  redis.call('HINCRBY', flow_key('session:' .. call.session), log.id .. '|' .. step, #tasks)
  local args = redis.call('HGET', workflow_key(log.id, 'args'), step) or ''
  claimed[#claimed + 1] = { log.id, log.name, step, args, tasks }
  return #tasks
end

-- Take up to `share` tasks of one workflow; returns how many, and whether it could give more.
local function visit(log, share)
  local taken, more = 0, false
  for _, step in ipairs(redis.call('SMEMBERS', workflow_key(log.id, 'ready'))) do
    local n = math.min(share - taken, room(log, step))
    if n > 0 then taken = taken + take(log, step, n) end
    if redis.call('EXISTS', workflow_key(log.id, 'ready:' .. step)) == 0 then
      redis.call('SREM', workflow_key(log.id, 'ready'), step)
    elseif room(log, step) > 0 then
      more = true
    end
  end
  return taken, more
end

local function serve(definition, want)
  local ring = flow_key(call.lane .. ':ring:' .. definition)
  local turn = clock[1] * 1000000 + clock[2]
  while want > 0 do
    local waiting = redis.call('ZCARD', ring)
    if waiting == 0 then return want end
    local share = math.max(1, math.floor(want / waiting))
    for _, id in ipairs(redis.call('ZRANGE', ring, 0, math.min(want, waiting) - 1)) do
      local log = open_log(id)
      local taken, more = 0, false
      if log and log.status == 'running' then
        taken, more = visit(log, math.min(share, want))
        close_log(log)
      end
      turn = turn + 1
      if more then redis.call('ZADD', ring, string.format('%.0f', turn), id)
      else redis.call('ZREM', ring, id) end
      want = want - taken
      if want <= 0 then return 0 end
    end
  end
  return 0
end

recall()
if #claimed > 0 then return reply(claimed) end
redis.call('ZADD', flow_key('sessions'), now + call.lease_ms, call.session)
local want = call.want
for _, definition in ipairs(call.definitions) do
  if want > 0 then want = serve(definition, want) end
end
return reply(claimed)
