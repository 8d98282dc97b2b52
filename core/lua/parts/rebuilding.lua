-- Projections of one workflow that were made anew: what is live now, and putting another in its place.
--
-- `READ[name]` gives what is live, `WRITE[name]` puts one such in its place; `FOLLOWS[name]` says of one
-- that was made at some version whether it may still: "" or the word that tells why not. A workflow
-- goes on meanwhile, so what was made for a version that live writers have left behind never counts.
--
-- Nothing here tells anybody: no event, no feed, no bell.

local READ, WRITE, FOLLOWS = {}, {}, {}

local function add_all(command, key, members)
  for i = 1, #members, 500 do redis.call(command, key, unpack(members, i, math.min(i + 499, #members))) end
end

-- documents: version, schema, status, created, document, steps [JSON…], jobs [[step, [job…]]…]
function READ.documents(log, made)
  local known = redis.call('HMGET', log.meta, 'doc_v', 'doc_p', 'doc_status')
  local jobs = {}
  for i, of in ipairs(made.jobs) do
    jobs[i] = { of[1], redis.call('SMEMBERS', workflow_key(log.id, 'step:' .. of[1] .. ':jobs')) }
  end
  return {
    version = tonumber(known[1] or 0), schema = known[2], status = known[3], created = made.created,
    document = redis.call('GET', workflow_key(log.id)), jobs = jobs,
    steps = redis.call('LRANGE', workflow_key(log.id, 'steps'), 0, -1),
  }
end

-- A document of a version that the log does not have is of a tail that was lost.
function FOLLOWS.documents(log, made)
  local live = tonumber(redis.call('HGET', log.meta, 'doc_v') or 0)
  if made.version > log.version then return 'moved' end
  return live > made.version and live <= log.version and 'newer' or ''
end

function WRITE.documents(log, made)
  local shown, steps = workflow_key(log.id), workflow_key(log.id, 'steps')
  redis.call('DEL', shown, steps)
  if made.document then redis.call('SET', shown, made.document) end
  add_all('RPUSH', steps, made.steps)
  expire_with_log(log.id, shown)
  expire_with_log(log.id, steps)
  for _, of in ipairs(made.jobs) do
    local key = workflow_key(log.id, 'step:' .. of[1] .. ':jobs')
    redis.call('DEL', key)
    add_all('SADD', key, of[2])
    expire_with_log(log.id, key)
  end
  if made.status then
    list_by_status(log.id, redis.call('HGET', log.meta, 'doc_status') or nil, made.status, made.created)
    redis.call('HSET', log.meta, 'doc_status', made.status)
  end
  redis.call('HSET', log.meta, 'doc_v', made.version, 'doc_p', made.schema or '')
end

-- state: version, digest, schema, fields [key, JSON…], ttl_ms (of an ended workflow)
function READ.state(log, made)
  local key = workflow_key(log.id, 'state')
  return {
    version = log.version, digest = log.digest, fields = redis.call('HGETALL', key),
    schema = redis.call('HGET', log.meta, 'state_p'), ttl_ms = made.ttl_ms,
  }
end

-- State never lags the log, so only what was made for its very end may take its place.
function FOLLOWS.state(log, made)
  return log.version == made.version and log.digest == made.digest and '' or 'moved'
end

function WRITE.state(log, made)
  local key = workflow_key(log.id, 'state')
  local left = redis.call('PTTL', key)
  if left < 0 then left = ended(log) and made.ttl_ms or 0 end
  redis.call('DEL', key)
  add_all('HSET', key, made.fields)
  if left > 0 then redis.call('PEXPIRE', key, left) end
  redis.call('HSET', log.meta, 'state_p', made.schema or '')
end

-- listings: version (of the document), status, created, about (see parts/listings.lua), others [part…]
-- (listings that it is in and does not belong to), places [[key, score]…] and active (when read)
function READ.listings(log, made)
  local known = redis.call('HMGET', log.meta, 'doc_v', 'doc_status')
  local keys, places = lasting_listings(made.about), {}
  for _, status in ipairs(STATUSES) do keys[#keys + 1] = flow_key('workflows:' .. status) end
  for _, part in ipairs(made.others) do keys[#keys + 1] = flow_key(part) end
  for _, key in ipairs(keys) do
    local score = redis.call('ZSCORE', key, log.id)
    if score then places[#places + 1] = { key, score } end
  end
  return {
    version = tonumber(known[1] or 0), status = known[2], created = made.created, about = made.about,
    others = made.others, places = places, active = redis.call('SISMEMBER', flow_key('active'), log.id),
  }
end

function FOLLOWS.listings(log, made)
  return tonumber(redis.call('HGET', log.meta, 'doc_v') or 0) == made.version and '' or 'moved'
end

function WRITE.listings(log, made)
  for _, part in ipairs(made.others) do redis.call('ZREM', flow_key(part), log.id) end
  for _, status in ipairs(STATUSES) do redis.call('ZREM', flow_key('workflows:' .. status), log.id) end
  for _, key in ipairs(lasting_listings(made.about)) do redis.call('ZREM', key, log.id) end
  if made.places then
    for _, place in ipairs(made.places) do redis.call('ZADD', place[1], place[2], log.id) end
  else
    for _, key in ipairs(lasting_listings(made.about)) do redis.call('ZADD', key, made.created, log.id) end
    redis.call('ZADD', flow_key('workflows:' .. made.status), made.created, log.id)
    made.active = (ended(log) or log.lane == IMPORTED) and 0 or 1
  end
  redis.call(made.active == 1 and 'SADD' or 'SREM', flow_key('active'), log.id)
  if made.status then redis.call('HSET', log.meta, 'doc_status', made.status) end
end

-- snapshots: version, digest, schema, view (JSON; false: there is none)
function READ.snapshots(log)
  local found = redis.call('HMGET', workflow_key(log.id, 'snapshot'), 'v', 'dg', 'p', 'view')
  return { version = tonumber(found[1] or 0), digest = found[2], schema = found[3], view = found[4] }
end

function FOLLOWS.snapshots(log, made)
  local live = tonumber(redis.call('HGET', workflow_key(log.id, 'snapshot'), 'v') or 0)
  if made.version > log.version then return 'moved' end
  return live > made.version and live <= log.version and 'newer' or ''
end

function WRITE.snapshots(log, made)
  local key = workflow_key(log.id, 'snapshot')
  redis.call('DEL', key)
  if not made.view then return end
  redis.call('HSET', key, 'v', made.version, 'dg', made.digest, 'p', made.schema, 'view', made.view)
  expire_with_log(log.id, key)
end
