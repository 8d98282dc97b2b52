-- Consumer groups of the partition's feed, and how far they are.

-- What XINFO says of each: {name, pending, ["last-delivered-id"] …}.
local function groups_of(feed)
  local groups = {}
  if redis.call('EXISTS', feed) == 0 then return groups end
  for i, pairs in ipairs(redis.call('XINFO', 'GROUPS', feed)) do
    groups[i] = {}
    for j = 1, #pairs, 2 do groups[i][pairs[j]] = pairs[j + 1] end
  end
  return groups
end

-- Whether a group is at this id: of several who read from there, one moves it.
local function is_at(feed, name, id)
  for _, group in ipairs(groups_of(feed)) do
    if group.name == name then return group['last-delivered-id'] == id end
  end
  return false
end

-- Have a group, from now on; the feed is made if there is none.
local function open_group(feed, name)
  if redis.call('EXISTS', feed) == 0 then
    redis.call('XDEL', feed, redis.call('XADD', feed, '*', 'made', now))
  end
  for _, group in ipairs(groups_of(feed)) do
    if group.name == name then return end
  end
  redis.call('XGROUP', 'CREATE', feed, name, '$')
end
