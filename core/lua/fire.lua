-- Let due timers happen: retries become ready, tasks that waited too long fail, runs time out.
--
-- A timer leaves both its places in the call that acts on it, so however many clocks there are and
-- whenever they die, it happens once.
--
-- call: lane, limit
-- reply: ms until the next timer, or -1 when there is none (0: call again)
local timers = timer_key(call.lane)

local function retry(log, step, entry)
  make_ready(log, step, bare_limits_of(log, step).queue, { entry })
  join_ring(log)
  ring_once(log.lane, 'task')
end

local function give_up_waiting(log, step, first, last, attempt)
  local ready = workflow_key(log.id, 'ready:' .. step)
  for _, entry in ipairs(redis.call('LRANGE', ready, 0, -1)) do
    local index, try = string.match(entry, '^%[(%d+),(%d+),')
    if try == attempt and tonumber(index) >= tonumber(first) and tonumber(index) <= tonumber(last) then
      append(log, 'task.failed', task_json(step, index, attempt)
        .. ',"error":{"type":"QueueTimeout","message":"no worker took it in time"}}', 'clock')
      stop_jobs_of(log, step, index, 'clock')
      redis.call('LREM', ready, 1, entry)
      count_waiting(bare_limits_of(log, step).queue, -1)
    end
  end
  if redis.call('EXISTS', ready) == 0 then redis.call('SREM', workflow_key(log.id, 'ready'), step) end
end

local function time_out(log)
  append(log, 'workflow.timed_out', '{}', 'clock')
  redis.call('HSET', workflow_key(log.id, 'meta'), 'status', 'failing')
end

local function fire(member)
  local id, name = string.match(member, '^([^|]*)|(.*)$')
  redis.call('ZREM', timers, member)
  local timer = redis.call('HGET', workflow_key(id, 'timers'), name)
  local log = timer and open_log(id)
  if not log or ended(log) then return end
  redis.call('HDEL', workflow_key(id, 'timers'), name)
  local kind, step, first, last, attempt = string.match(name, '^(%a+)|?([^|]*)|?(%d*)|?(%d*)|?(%d*)$')
  if kind == 'retry' then retry(log, step, string.match(timer, '^%d+ (.*)$'))
  elseif kind == 'queue' then give_up_waiting(log, step, first, last, attempt)
  else time_out(log) end
  close_log(log)
end

for _, member in ipairs(redis.call('ZRANGEBYSCORE', timers, '-inf', now, 'LIMIT', 0, call.limit)) do
  fire(member)
end
local next = redis.call('ZRANGE', timers, 0, 0, 'WITHSCORES')
if not next[2] then return reply(-1) end
return reply(math.max(0, tonumber(next[2]) - now))
