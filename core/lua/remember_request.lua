-- Keep the first request that came with an idempotency key, and its answer once there is one.
--
-- Looking for the first and becoming it are one: of two requests with one key and different content
-- exactly one is carried out.
--
-- call: name (digest of caller and key), content (digest of the request), answer ('' while there is none),
--       ttl_ms
-- reply: {content, answer} of the first request with that key
local key = shared_key('request:' .. call.name)
local first = redis.call('GET', key)
if first then
  local content, answer = string.match(first, '^(%S+) (.*)$')
  if content ~= call.content or answer ~= '' or call.answer == '' then return reply({ content, answer }) end
end
redis.call('SET', key, call.content .. ' ' .. call.answer, 'PX', call.ttl_ms)
return reply({ call.content, call.answer })
