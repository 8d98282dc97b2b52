-- Give tasks to the worker whose turn it is: from the queues, or straight from the decision that asks for them.

-- How many more tasks of a step may run, and which shared limit says so when it is none.
local function room(log, step, limits)
  local free, blocker = math.huge, nil
  local function bound(max, running, resource)
    if max - running < free then
      free = max - running
      blocker = resource
    end
  end
  if limits.max > 0 then bound(limits.max, redis.call('HLEN', leased_key(log.id, step))) end
  if limits.all > 0 then bound(limits.all, log.running) end
  local of_queue, of_all = limits_of_queue(limits.queue)
  local running = shared_key('running')
  if of_queue > 0 then
    local resource = 'queue:' .. limits.queue
    bound(of_queue, counted(running, resource), resource)
  end
  if of_all > 0 then bound(of_all, counted(running, 'queue:*'), 'queue:*') end
  if limits.key_max > 0 then
    local resource = 'key:' .. limits.key
    bound(limits.key_max, counted(running, resource), resource)
  end
  return free, blocker
end

-- Record that ready entries of a step are the worker's now.
local function start_tasks(log, step, limits, entries, claim)
  local head, tail = '{"step":"' .. step .. '","index":', ',"worker":"' .. call.session .. '"}'
  local tasks, leases = {}, {}
  for i, entry in ipairs(entries) do
    local index, attempt, cause = string.match(entry, '^%[(%d+),(%d+),%d+,(%d+),')
    local version = append(log, 'task.started', head .. index .. ',"attempt":' .. attempt .. tail, call.session, cause)
    tasks[i] = { entry, version }
    leases[2 * i - 1] = index
    leases[2 * i] = claim.token .. string.format(' %d ', version) .. entry
  end
  for i = 1, #leases, 500 do
    redis.call('HSET', leased_key(log.id, step), unpack(leases, i, math.min(i + 499, #leases)))
  end
  claim.left = claim.left - #tasks
  log.running = log.running + #tasks
  count_claim(call.session, log.id .. '|' .. step, #tasks)
  count_running(limits, #tasks)
  memory.claimed[#memory.claimed + 1] = { log.id, log.name, step, limits.args, tasks }
end

-- Whether a worker has a step: `known` is "|step|step|…|", or "|*|" for any.
local function has_step(known, step)
  return known and (known == '|*|' or string.find(known, '|' .. step .. '|', 1, true))
end

-- The limits of a step that a batch tells of: it has the arguments where it is the first of its step.
local function limits_in(log, batch)
  if not batch.args or may_have(log, 'l') then return limits_of(log, batch.step) end
  local limits = {}
  for name, value in pairs(UNLIMITED) do limits[name] = value end
  limits.args = batch.args
  return limits
end

-- What a decision queues goes past the queue, when all of it may run at once; false when it may not.
local function start_directly(log, batch, entries, claim)
  local step = batch.step
  if claim.left < #entries or log.status ~= 'running' then return false end
  if not claim.is_own and not has_step(claim.definitions[log.name], step) then return false end
  local limits = limits_in(log, batch)
  if room(log, step, limits) < #entries then return false end
  start_tasks(log, step, limits, entries, claim)
  return true
end
