-- A living process keeps what it owns: lanes (to schedule) and sessions (to run tasks and jobs).
--
-- A lane has one owner at a time, told by its token; who acquires it and finds the deadline passed
-- takes it, and from then on commits of the old owner are fenced. Deadlines are Redis' clock and
-- only speed recovery: safety rests on the tokens.
--
-- call: lanes [[lane, token]…], sessions [session…], about {session: JSON} (what they say of
--       themselves, optional), lease_ms, acquire, release
-- reply: [true | false (someone else has it)…] for the lanes
local answers = {}
for i, claim in ipairs(call.lanes) do
  local lane, token = claim[1], claim[2]
  local owner = redis.call('HGET', flow_key('owners'), lane)
  local deadline, holder = string.match(owner or '0 ', '^(%d+) (.*)$')
  local is_free = tonumber(deadline) <= now
  answers[i] = holder == token or ((call.acquire or call.release) and is_free) or false
  if answers[i] and not call.release then
    redis.call('HSET', flow_key('owners'), lane, string.format('%.0f', now + call.lease_ms) .. ' ' .. token)
  elseif holder == token and call.release then
    redis.call('HSET', flow_key('owners'), lane, '0 ')
  end
end
for _, session in ipairs(call.sessions) do
  redis.call('ZADD', flow_key('sessions'), call.release and 0 or now + call.lease_ms, session)
end
for session, about in pairs(call.about or {}) do redis.call('HSET', flow_key('about'), session, about) end
return reply(answers)
