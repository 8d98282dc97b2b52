-- Take ready tasks: many per call, in turns over workflows, within all limits; the caller closes the logs.
--
-- Taking a task, recording who has it and appending `task.started` are one, so no task is lost
-- between queue and worker and none is started twice. A claim whose reply was lost comes again
-- with the same token and gets the same tasks.
--
-- claim: token, want, definitions {name: "|step|step|…|"} ("|*|": any step), lease_ms, is_own (only what
-- decisions of the same call queue, where nobody waits; the worker has these steps)
-- `memory.claimed` gets [workflow, name, step, args, [[entry, version of task.started]…]]…

-- The tasks of a claim that was applied before.
local function recall(session, token)
  for _, holding in ipairs(redis.call('HKEYS', flow_key('session:' .. session))) do
    local id, step = string.match(holding, '^(.*)|(.+)$')
    local tasks = {}
    for _, value in ipairs(id and redis.call('HVALS', leased_key(id, step)) or {}) do
      local lease = parse_lease(value)
      if lease.token == token then tasks[#tasks + 1] = { lease.entry, lease.version } end
    end
    local log = #tasks > 0 and open_log(id)
    if log then memory.claimed[#memory.claimed + 1] = { id, log.name, step, limits_of(log, step).args, tasks } end
  end
end

-- Returns how many were taken, and whether some are left.
local function take(log, step, limits, n, claim)
  local ready = workflow_key(log.id, 'ready:' .. step)
  local entries = redis.call('LPOP', ready, n)
  if not entries then return 0, false end
  start_tasks(log, step, limits, entries, claim)
  count_waiting(limits.queue, -#entries)
  return #entries, #entries == n and redis.call('EXISTS', ready) == 1
end

-- Take up to `share` tasks of one workflow, of steps that the worker has; returns how many, and
-- whether it could give more, to this worker or to one that has other steps, and whether limits hold it
-- back. A workflow that only waits for a shared limit is noted there, and comes back when a slot is free.
local function visit(log, share, known, claim)
  local taken, more, is_held = 0, false, false
  local function look(step)
    if not has_step(known, step) then
      more = true
      return
    end
    local limits = limits_of(log, step)
    local free, blocker = room(log, step, limits)
    local n, left = math.min(share - taken, free), true
    if n > 0 then
      n, left = take(log, step, limits, n, claim)
      taken = taken + n
      free = free - n
    end
    if not left then
      redis.call('SREM', workflow_key(log.id, 'ready'), step)
    elseif free > 0 then
      more = true
    elseif blocker then
      is_held = true
      block(log, blocker)
      pass_on(limits, 1, blocker)  -- the turn it had may have been that of a slot of another limit
    else
      is_held = true
      pass_on(limits, 1)  -- it has its own limits against it
    end
  end
  for _, step in ipairs(redis.call('SMEMBERS', workflow_key(log.id, 'ready'))) do look(step) end
  return taken, more, is_held
end

-- The workflows at the heads of the rings, first those of a higher priority, then those that have
-- waited longest: {score, id, definition}; and whether there may be more behind them. Those that had
-- nothing for this worker (`idle`) are left out.
local function line_up(definitions, want)
  local line, is_cut = {}, false
  local most = want + memory.idle_count
  for definition in pairs(definitions) do
    local heads = redis.call('ZRANGE', ring_key(call.lane, definition), 0, most - 1, 'WITHSCORES')
    is_cut = is_cut or #heads == 2 * most
    for i = 1, #heads, 2 do
      if not memory.idle[heads[i]] then line[#line + 1] = { tonumber(heads[i + 1]), heads[i], definition } end
    end
  end
  table.sort(line, function(one, other)
    if one[1] ~= other[1] then return one[1] < other[1] end
    return one[2] < other[2]
  end)
  return line, is_cut
end

local function priority_of(place) return math.ceil(-place[1] / PRIORITY) end

-- Give each of the workflows that wait in line from `first` to `last` its share, in turns, as long as
-- tasks are wanted.
local function take_turns(line, first, last, claim)
  local turn, waiting = turn_now(), {}
  for i = first, last do waiting[#waiting + 1] = line[i] end
  while claim.left > 0 and #waiting > 0 do
    local share, again, before = math.max(1, math.floor(claim.left / #waiting)), {}, claim.left
    for _, place in ipairs(waiting) do
      if claim.left <= 0 then break end
      local id, definition = place[2], place[3]
      local log, taken, more, is_held = open_log(id), 0, false, false
      if log and log.status == 'running' then
        taken, more, is_held = visit(log, math.min(share, claim.left), claim.definitions[definition], claim)
      end
      if taken == 0 and not memory.idle[id] then
        memory.idle[id] = true
        memory.idle_count = memory.idle_count + 1
      end
      turn = turn + 1
      local ring = ring_key(call.lane, definition)
      if more then
        redis.call('ZADD', ring, ring_score(log, turn), id)
        again[#again + 1] = place
      else
        redis.call('ZREM', ring, id)
        if taken == 0 and not is_held then pass_turn_on() end
      end
    end
    if claim.left == before then break end  -- those that are left have nothing for this worker
    waiting = again
  end
end

-- Serve each priority before the next lower one.
local function take_in_order(line, claim)
  local first = 1
  while first <= #line and claim.left > 0 do
    local last = first
    while line[last + 1] and priority_of(line[last + 1]) == priority_of(line[first]) do last = last + 1 end
    take_turns(line, first, last, claim)
    first = last + 1
  end
end

-- Begin to claim; false when it was done before, and its tasks are found again. A session that has never
-- claimed, or whose claims were taken from it, begins a lease; others renew theirs.
local function open_claim(claim)
  local last = redis.call('HGET', flow_key('claims'), call.session)
  if last == claim.token then
    recall(call.session, claim.token)
    return false
  end
  if not last then redis.call('ZADD', flow_key('sessions'), now + claim.lease_ms, call.session) end
  redis.call('HSET', flow_key('claims'), call.session, claim.token)
  claim.left = claim.want
  return true
end

local function is_nobody_waiting(definitions)
  local rings = {}
  for definition in pairs(definitions) do rings[#rings + 1] = ring_key(call.lane, definition) end
  return #rings == 0 or redis.call('EXISTS', unpack(rings)) == 0
end

local function claim_tasks(claim)
  while claim.left > 0 do
    memory.has_joined = false
    local line, is_cut = line_up(claim.definitions, claim.left)
    take_in_order(line, claim)
    if #line == 0 or not (is_cut or memory.has_joined) then break end
  end
end
