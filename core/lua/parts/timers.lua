-- Timers: `workflow:<id>:timers` keeps what is to happen, `flow:<p>:<lane>:timers` when. A paused
-- workflow has only the former, so its timers wait; also those of a commit that crossed the pause.

local function timer_key(lane) return flow_key(lane .. ':timers') end

local function set_timer(log, name, delay_ms, payload)
  local due = string.format('%.0f', now + delay_ms)
  redis.call('HSET', workflow_key(log.id, 'timers'), name, due .. ' ' .. payload)
  if log.status == 'paused' then return end
  redis.call('ZADD', timer_key(log.lane), due, log.id .. '|' .. name)
  ring_once(log.lane, 'timer')
end

local function suspend_timers(log)
  for _, name in ipairs(redis.call('HKEYS', workflow_key(log.id, 'timers'))) do
    redis.call('ZREM', timer_key(log.lane), log.id .. '|' .. name)
  end
end

local function resume_timers(log)
  local timers = redis.call('HGETALL', workflow_key(log.id, 'timers'))
  for i = 1, #timers, 2 do
    redis.call('ZADD', timer_key(log.lane), string.match(timers[i + 1], '^%d+'), log.id .. '|' .. timers[i])
    ring_once(log.lane, 'timer')
  end
end

local function drop_timers(log)
  suspend_timers(log)
  redis.call('DEL', workflow_key(log.id, 'timers'))
end
