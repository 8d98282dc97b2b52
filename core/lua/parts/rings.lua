-- Whose turn it is, and who waits for a limit.
--
-- A ring has the workflows of one definition that have claimable tasks. Its scores are turns (tenths
-- of ms); each step of priority is worth more than any wait.
--
-- `workflow:<id>:limits` has "max|queue|key|key_max" per step (0: none; not there: no limits), the
-- parallelism of the workflow under "*", and the arguments of a step's tasks under "args:<step>".
-- Queues and concurrency keys are shared by all workflows: what runs is counted in `flow:running`, what
-- may run is in `flow:queues`, who waits for it in `flow:blocked:<limit>`, and which limits somebody
-- waits for in `flow:blocked`.

local PRIORITY = 1e14

local function turn_now()
  return clock[1] * 10000 + math.floor(clock[2] / 100)
end

local function ring_score(log, turn)
  return string.format('%.0f', turn - log.priority * PRIORITY)
end

local function ring_key(lane, name, partition)
  return call.ns .. 'flow:' .. (partition or call.p) .. ':' .. lane .. ':ring:' .. name
end

local function join_ring(log)
  redis.call('ZADD', ring_key(log.lane, log.name, log.partition), 'NX', ring_score(log, turn_now()), log.id)
  memory.has_joined = true
end

local NO_LIMITS = '0|default||0'

local UNLIMITED = { max = 0, queue = 'default', key = '', key_max = 0, all = 0, args = '{}' }

-- Limits of a step, and the arguments that its tasks share.
local function limits_of(log, step)
  if not may_have(log, 'l') and not may_have(log, 'a') then return UNLIMITED end
  local texts = redis.call('HMGET', workflow_key(log.id, 'limits'), step, '*', 'args:' .. step)
  local max, queue, key, key_max = string.match(texts[1] or NO_LIMITS, '^(%d+)|([^|]*)|([^|]*)|(%d+)$')
  return {
    max = tonumber(max), queue = queue, key = key, key_max = tonumber(key_max), all = tonumber(texts[2] or 0),
    args = texts[3] or '{}',
  }
end

-- The same for who does not ask for the arguments.
local function bare_limits_of(log, step)
  return may_have(log, 'l') and limits_of(log, step) or UNLIMITED
end

local function count_running(limits, n)
  count(shared_key('running'), 'queue:' .. limits.queue, n)
  count(shared_key('running'), 'queue:*', n)
  if limits.key ~= '' then count(shared_key('running'), 'key:' .. limits.key, n) end
end

local function count_waiting(queue, n)
  count(shared_key('waiting'), queue, n)
end

-- Most tasks that a queue, and all queues together, may run; 0: any number.
local function limits_of_queue(queue)
  local known = memory.queue_limits[queue]
  if not known then
    local texts = redis.call('HMGET', shared_key('queues'), queue .. ':limit', '*:limit')
    known = { tonumber(texts[1] or 0), tonumber(texts[2] or 0) }
    memory.queue_limits[queue] = known
  end
  return known[1], known[2]
end

-- Let workflows that waited for a shared limit join their rings again, one per slot that is free.
-- Those that were paused or have nothing ready any more use none and are passed over.
local function unblock(resource, n)
  while n > 0 do
    local member = redis.call('SPOP', shared_key('blocked:' .. resource))
    if not member then
      redis.call('SREM', shared_key('blocked'), resource)
      return
    end
    local partition, id = string.match(member, '^(%d+)|(.*)$')
    local log = open_log(id)
    if log and log.status == 'running' and redis.call('EXISTS', workflow_key(id, 'ready')) == 1 then
      n = n - 1
      log.partition = partition
      join_ring(log)
      ring_once(log.lane, 'task', partition)
    end
  end
end

local function block(log, resource)
  redis.call('SADD', shared_key('blocked'), resource)
  redis.call('SADD', shared_key('blocked:' .. resource), call.p .. '|' .. log.id)
end

-- A workflow leaves its ring without having used its turn, which may have been that of a free slot.
local function pass_turn_on()
  for _, resource in ipairs(redis.call('SMEMBERS', shared_key('blocked'))) do unblock(resource, 1) end
end

-- Slots of a step's shared limits that are free go to who waits for them: up to n of each, and none of
-- `blocker`, which is not free.
local function pass_on(limits, n, blocker)
  local function offer(resource, max)
    if max > 0 and resource ~= blocker and counted(shared_key('running'), resource) < max then
      unblock(resource, n)
    end
  end
  local of_queue, of_all = limits_of_queue(limits.queue)
  offer('queue:' .. limits.queue, of_queue)
  offer('queue:*', of_all)
  if limits.key ~= '' then offer('key:' .. limits.key, limits.key_max) end
end

-- n tasks of a step, claimed by one session, no longer run.
local function free_slots(log, step, session, n)
  log.running = log.running - n
  count_claim(session, log.id .. '|' .. step, -n)
  local limits = bare_limits_of(log, step)
  count_running(limits, -n)
  pass_on(limits, n)
  return limits
end

local function release_task(log, step, lease)
  redis.call('HDEL', leased_key(log.id, step), lease.index)
  free_slots(log, step, lease.session, 1)
end

local function make_ready(log, step, queue, entries, front)
  local key = workflow_key(log.id, 'ready:' .. step)
  for i = 1, #entries, 500 do
    redis.call(front and 'LPUSH' or 'RPUSH', key, unpack(entries, i, math.min(i + 499, #entries)))
  end
  redis.call('SADD', workflow_key(log.id, 'ready'), step)
  count_waiting(queue, #entries)
end
