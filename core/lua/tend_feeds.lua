-- Cut the feeds of a partition behind whoever reads them: that of its engine, and that of subscribers,
-- which is deleted when nobody does.
--
-- Every consumer group keeps what it has not read or not acknowledged; followers keep the newest entries,
-- for those who come back with a position. Counting the readers and deleting are one, so nobody opens the
-- feed in between.
--
-- call: keep_ms, keep_entries (what is kept for followers)
-- reply: true
local function older(one, other)
  local a, b = string.match(one, '^(%d+)'), string.match(other, '^(%d+)')
  if #a ~= #b then return #a < #b end
  if a ~= b then return a < b end
  return tonumber(string.match(one, '-(%d+)')) < tonumber(string.match(other, '-(%d+)'))
end

local function first_of(one, other)
  return one and older(one, other) and one or other
end

-- From where on its groups need a feed; nil when it has none.
local function needed_from(feed)
  local first = nil
  for _, group in ipairs(groups_of(feed)) do
    first = first_of(first, group['last-delivered-id'])
    if group.pending > 0 then first = first_of(first, redis.call('XPENDING', feed, group.name)[2]) end
  end
  return first
end

local own = flow_key(SHARED .. ':feed')
local own_first = needed_from(own)
if own_first then redis.call('XTRIM', own, 'MINID', '~', own_first) end

local feed = flow_key('feed')
redis.call('ZREMRANGEBYSCORE', flow_key('followers'), '-inf', now)
if redis.call('EXISTS', feed) == 0 then return reply(true) end
if redis.call('EXISTS', flow_key('traced')) == 0 then redis.call('XGROUP', 'DESTROY', feed, 'tracer') end

local first = needed_from(feed)
local followed = redis.call('ZCARD', flow_key('followers')) > 0
if not first and not followed then
  redis.call('DEL', feed)
  return reply(true)
end
if followed then
  local length = redis.call('XLEN', feed)
  if length < 1000 then return reply(true) end  -- whoever comes back finds where it was
  local from = string.format('%.0f-0', now - call.keep_ms)
  local excess = length - call.keep_entries
  if excess > 0 then
    -- The newest of the surplus, found from the old end: each round has little to pass over.
    local surplus = redis.call('XRANGE', feed, '-', '+', 'COUNT', math.min(excess, 2000))
    local newest = surplus[#surplus][1]
    if older(from, newest) then from = newest end
  end
  first = first_of(first, from)
end
redis.call('XTRIM', feed, 'MINID', '~', first)
return reply(true)
