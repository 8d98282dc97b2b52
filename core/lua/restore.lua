-- Make an exported workflow a workflow here, as a record: by portions, complete with the last one.
--
-- Until then what there is of it lies aside, under the digest of the whole and for a day. So an import
-- that is cut off leaves nothing that looks like a workflow, one that is sent again goes on where it
-- was, and two of different content do not mix. Looking whether the id is free and putting everything
-- in its place are one. Its lane is one that nobody owns, and it is not active: no engine, worker,
-- launcher or clock ever moves it, and commands are refused (append.lua). Nothing is posted.
--
-- call: id, content (digest of the whole), version, digest (of the last event),
--       entries [[id, field, value…]…], state {key: JSON}, blobs {digest: data},
--       [last {entries, state, blobs (counts), status, running, name, created (ms), document,
--       steps [JSON…], jobs {step: [job…]}, definition, graph (JSON), log_ttl_ms, state_ttl_ms, schema,
--       about (see parts/listings.lua)}]
-- reply: {"restoring"} {"restored"} {"there"} (the same is here already) {"conflict", version, digest}
--        {"incomplete", entries}
local DAY_MS = 24 * 3600 * 1000
local aside = workflow_key(call.id, 'restoring:' .. call.content)
local PARTS = { state = aside .. ':state', blobs = aside .. ':blobs' }

local found = redis.call('HMGET', workflow_key(call.id, 'meta'), 'v', 'dg', 'content')
if found[1] or redis.call('EXISTS', workflow_key(call.id, 'events')) == 1 then
  local same = found[3] == call.content or (found[1] == tostring(call.version) and found[2] == call.digest)
  if same then return reply({ 'there' }) end
  return reply({ 'conflict', tonumber(found[1] or 0), found[2] or '' })
end

local archived = tombstone_of(call.id)
if archived and archived.digest == call.digest then return reply({ 'there' }) end
if archived then return reply({ 'conflict', archived.version, archived.digest }) end

local function version_of(id) return tonumber(string.match(id, '^%d+')) end

local function add_entries()
  local newest = redis.call('XREVRANGE', aside, '+', '-', 'COUNT', 1)[1]
  local known = newest and version_of(newest[1]) or 0
  for _, entry in ipairs(call.entries) do
    if version_of(entry[1]) > known then redis.call('XADD', aside, unpack(entry)) end
  end
end

local function count_parts()
  return { entries = redis.call('XLEN', aside), state = redis.call('HLEN', PARTS.state), blobs = redis.call('HLEN', PARTS.blobs) }
end

local function push(command, key, values)
  for i = 1, #values, 500 do redis.call(command, key, unpack(values, i, math.min(i + 499, #values))) end
end

local function let_expire(last)
  redis.call('PEXPIRE', workflow_key(call.id), last.log_ttl_ms)
  for _, part in ipairs({ 'events', 'meta', 'steps', 'blobs' }) do
    redis.call('PEXPIRE', workflow_key(call.id, part), last.log_ttl_ms)
  end
  redis.call('PEXPIRE', workflow_key(call.id, 'state'), last.state_ttl_ms)
  for step, _ in pairs(last.jobs) do
    redis.call('PEXPIRE', workflow_key(call.id, 'step:' .. step .. ':jobs'), last.log_ttl_ms)
  end
end

local function put_in_place(last)
  redis.call('RENAME', aside, workflow_key(call.id, 'events'))
  for part, key in pairs(PARTS) do
    if last[part] > 0 then redis.call('RENAME', key, workflow_key(call.id, part)) end
  end
  redis.call('HSET', workflow_key(call.id, 'meta'), 'v', call.version, 'dg', call.digest, 'status', last.status,
    'lane', IMPORTED, 'name', last.name, 'imported', ts, 'content', call.content, 'doc_v', call.version,
    'doc_status', last.status, 'doc_p', last.schema, 'state_p', STATE_SCHEMA)
  if last.running > 0 then redis.call('HSET', workflow_key(call.id, 'meta'), 'running', last.running) end
  redis.call('SET', workflow_key(call.id), last.document)
  push('RPUSH', workflow_key(call.id, 'steps'), last.steps)
  for step, jobs in pairs(last.jobs) do push('SADD', workflow_key(call.id, 'step:' .. step .. ':jobs'), jobs) end
  redis.call('HSETNX', shared_key('definitions'), last.definition, last.graph)
  for _, key in ipairs(lasting_listings(last.about)) do redis.call('ZADD', key, last.created, call.id) end
  list_by_status(call.id, nil, last.status, last.created)
  let_expire(last)
end

add_entries()
for part, key in pairs(PARTS) do
  for name, value in pairs(call[part]) do redis.call('HSET', key, name, value) end
  redis.call('PEXPIRE', key, DAY_MS)
end
redis.call('PEXPIRE', aside, DAY_MS)
if not call.last then return reply({ 'restoring' }) end

local there = count_parts()
for part, number in pairs(there) do
  if call.last[part] ~= number then return reply({ 'incomplete', there.entries }) end
end
put_in_place(call.last)
return reply({ 'restored' })
