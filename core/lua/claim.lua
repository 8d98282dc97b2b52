-- A worker takes ready tasks: many per call, round robin over workflows, within max_workers.
--
-- Taking a task, recording who has it and appending `task.started` are one, so no task is lost
-- between queue and worker and none is started twice. A claim whose reply was lost comes again
-- with the same token and gets the same tasks.
--
-- call: lane, session, token, want, definitions {name: [step…]} ('*': any step), lease_ms
-- reply: [[workflow, name, step, args, [[entry, version of task.started]…]]…]
local claimed = {}

local session = flow_key('session:' .. call.session)

-- The tasks of a claim that was applied before.
local function recall()
  for _, holding in ipairs(redis.call('HKEYS', session)) do
    local id, step = string.match(holding, '^(.*)|(.+)$')
    local tasks = {}
    for _, value in ipairs(id and redis.call('HVALS', workflow_key(id, 'leased:' .. step)) or {}) do
      local lease = parse_lease(value)
      if lease.token == call.token then tasks[#tasks + 1] = { lease.entry, lease.version } end
    end
    if #tasks > 0 then
      local name = redis.call('HGET', workflow_key(id, 'meta'), 'name')
      claimed[#claimed + 1] = { id, name, step, redis.call('HGET', workflow_key(id, 'args'), step) or '', tasks }
    end
  end
end

-- How many more tasks of a step may run, and which shared limit says so when it is none.
local function room(log, step, limits)
  local free, blocker = math.huge, nil
  local function bound(max, running, resource)
    if max > 0 and max - running < free then
      free = max - running
      blocker = resource
    end
  end
  bound(limits.max, redis.call('HLEN', workflow_key(log.id, 'leased:' .. step)))
  local all = tonumber(redis.call('HGET', workflow_key(log.id, 'limits'), '*') or 0)
  bound(all, tonumber(redis.call('HGET', workflow_key(log.id, 'meta'), 'running') or 0))
  local most = redis.call('HMGET', shared_key('queues'), limits.queue .. ':limit', '*:limit')
  local now_running = redis.call('HMGET', shared_key('running'),
    'queue:' .. limits.queue, 'queue:*', 'key:' .. limits.key)
  bound(tonumber(most[1] or 0), tonumber(now_running[1] or 0), 'queue:' .. limits.queue)
  bound(tonumber(most[2] or 0), tonumber(now_running[2] or 0), 'queue:*')
  bound(limits.key_max, tonumber(now_running[3] or 0), 'key:' .. limits.key)
  return free, blocker
end

local function take(log, step, limits, n)
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
  redis.call('HINCRBY', session, log.id .. '|' .. step, #tasks)
  count_running(limits, #tasks)
  count_waiting(limits.queue, -#tasks)
  local args = redis.call('HGET', workflow_key(log.id, 'args'), step) or ''
  claimed[#claimed + 1] = { log.id, log.name, step, args, tasks }
  return #tasks
end

-- A workflow that was given the turn of a shared slot, but has its own limits against it.
local function pass_on(limits)
  unblock('queue:' .. limits.queue, 1)
  unblock('queue:*', 1)
  if limits.key ~= '' then unblock('key:' .. limits.key, 1) end
end

-- Take up to `share` tasks of one workflow, of steps that the worker has; returns how many, and
-- whether it could give more, to this worker or to one that has other steps. A workflow that only
-- waits for a shared limit is noted there, and comes back when a slot is free.
local function visit(log, share, known)
  local taken, more = 0, false
  local function look(step)
    if not (known[step] or known['*']) then
      more = true
      return
    end
    local limits = limits_of(log.id, step)
    local free, blocker = room(log, step, limits)
    local n = math.min(share - taken, free)
    if n > 0 then
      taken = taken + take(log, step, limits, n)
      free = free - n
    end
    if redis.call('EXISTS', workflow_key(log.id, 'ready:' .. step)) == 0 then
      redis.call('SREM', workflow_key(log.id, 'ready'), step)
    elseif free > 0 then
      more = true
    elseif blocker then
      redis.call('SADD', shared_key('blocked:' .. blocker), call.p .. '|' .. log.id)
    else
      pass_on(limits)
    end
  end
  for _, step in ipairs(redis.call('SMEMBERS', workflow_key(log.id, 'ready'))) do look(step) end
  return taken, more
end

local known_steps = {}
for definition, steps in pairs(call.definitions) do
  known_steps[definition] = {}
  for _, step in ipairs(steps) do known_steps[definition][step] = true end
end

local function ring_of(definition)
  return flow_key(call.lane .. ':ring:' .. definition)
end

-- Scores of one priority; see ring_score.
local function window(priority)
  return -priority * 1e14, (1 - priority) * 1e14
end

-- Take turns over the workflows of one definition and priority; returns how many tasks were taken.
local function serve(definition, priority, want)
  local ring = ring_of(definition)
  local low, high = window(priority)
  local turn, left, idle = turn_now(), want, 0
  while left > 0 do
    local waiting = redis.call('ZCOUNT', ring, low, high)
    if waiting <= idle then break end  -- those that are left have nothing for this worker
    local share = math.max(1, math.floor(left / waiting))
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', ring, low, high, 'LIMIT', 0, math.min(left, waiting))) do
      local log = open_log(id)
      local taken, more = 0, false
      if log and log.status == 'running' then
        taken, more = visit(log, math.min(share, left), known_steps[definition])
        close_log(log)
      end
      turn = turn + 1
      if more then redis.call('ZADD', ring, ring_score(log, turn), id)
      else redis.call('ZREM', ring, id) end
      if taken > 0 then idle = 0 elseif more then idle = idle + 1 end
      left = left - taken
      if left <= 0 then break end
    end
  end
  return want - left
end

local function highest_priority()
  local highest = -1
  for definition in pairs(known_steps) do
    local head = redis.call('ZRANGE', ring_of(definition), 0, 0, 'WITHSCORES')
    if head[2] then highest = math.max(highest, math.ceil(-tonumber(head[2]) / 1e14), 0) end
  end
  return highest
end

-- Share what is wanted among the definitions by the workflows that wait, then give what is left to
-- whoever can use it.
local function serve_priority(priority, want)
  local left, total, waiting = want, 0, {}
  for definition in pairs(known_steps) do
    waiting[definition] = redis.call('ZCOUNT', ring_of(definition), window(priority))
    total = total + waiting[definition]
  end
  for _, is_last in ipairs({ false, true }) do
    for definition, count in pairs(waiting) do
      local most = is_last and left or math.ceil(want * count / math.max(1, total))
      if count > 0 and left > 0 then left = left - serve(definition, priority, math.min(left, most)) end
    end
  end
  return want - left
end

local function serve_all()
  local left = call.want
  for priority = highest_priority(), 0, -1 do
    if left > 0 then left = left - serve_priority(priority, left) end
  end
end

if redis.call('HGET', flow_key('claims'), call.session) == call.token then
  recall()
  return reply(claimed)
end
redis.call('ZADD', flow_key('sessions'), now + call.lease_ms, call.session)
serve_all()
redis.call('HSET', flow_key('claims'), call.session, call.token)
return reply(claimed)
