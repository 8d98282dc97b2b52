-- In front of all scripts: one workflow's log, counters, the feeds and the bell.
--
-- Each script is a function of one library, which Redis keeps (see core/library.py). It gets one
-- MessagePack map and answers with one MessagePack value. `ns` and `p` (namespace prefix, partition)
-- are in every call; its one key only routes on Redis Cluster: all keys of a partition share its slot.
-- What several scripts need beyond this is in parts/. What a call remembers is new with each call.
--
-- Redis does not roll back a script that fails halfway. So for each workflow a script first reads and
-- checks all it needs, then appends, and afterwards only makes writes that cannot fail. (Memory that
-- is full refuses the first write of a script, before anything has changed.)
--
--   workflow:<id>:events   <version>-0   type, data, ts, by, dg [, cause]
--   workflow:<id>:meta     v, dg         version and digest of the last entry
--                          status        created running paused failing cancelling completed failed cancelled
--                          lane, name    who schedules it, its definition's name
--                          running       tasks claimed and not settled
--                          has           what else it may have, by letters: see `may_have`
--                          commit        last commit of the engine that was applied
--                          doc_v         version of the document; doc_p, state_p: the schemas it was written by
--                          imported      when it was imported (ms), and the digest of what (`content`)
--
-- `dg` chains the entries: a log that lost its tail and grew another one is told from the first.

local function globals()
  return redis, string, table, math, cmsgpack, ipairs, unpack, tonumber
end

-- The same, found by the first call; a global costs more with each use.
local redis, string, table, math, cmsgpack, ipairs, unpack, tonumber

local SHARED = 'shared'
-- Imported workflows are in this lane, which nobody owns.
local IMPORTED = 'imported'

local call, clock, now, ts
-- What the names of workflows' keys and of the partition's begin with.
local of_workflow, of_partition
-- Of this call: opened logs, changes of counters, bells to ring, feeds that are there …
local memory

local function begin(argument)
  if not redis then redis, string, table, math, cmsgpack, ipairs, unpack, tonumber = globals() end
  call = cmsgpack.unpack(argument)
  of_workflow = call.ns .. 'workflow:'
  of_partition = call.ns .. 'flow:' .. call.p .. ':'
  clock = redis.call('TIME')
  now = clock[1] * 1000 + math.floor(clock[2] / 1000)
  ts = string.format('%.0f', now)
  memory = {
    logs = {}, deltas = {}, bells = {}, feeds = {}, queue_limits = {}, claimed = {}, idle = {}, idle_count = 0,
  }
end

local function workflow_key(id, part)
  if part then return of_workflow .. id .. ':' .. part end
  return of_workflow .. id
end

local function flow_key(part)
  return of_partition .. part
end

-- Keys that all partitions share.
local function shared_key(part) return call.ns .. 'flow:' .. part end

-- Counters change once at the end of a call, by what the call comes to: a task that is settled and
-- one that is claimed leave most of them as they are. A counter at 0 is not there.
local function count(key, field, n)
  local fields = memory.deltas[key]
  if not fields then
    fields = {}
    memory.deltas[key] = fields
  end
  fields[field] = (fields[field] or 0) + n
end

-- A counter as it will be at the end of the call.
local function counted(key, field)
  local fields = memory.deltas[key]
  local pending = fields and fields[field] or 0
  return tonumber(redis.call('HGET', key, field) or 0) + pending
end

local function write_counters()
  for key, fields in pairs(memory.deltas) do
    for field, n in pairs(fields) do
      if n ~= 0 and redis.call('HINCRBY', key, field, n) == 0 then redis.call('HDEL', key, field) end
    end
  end
end

-- Bring news to who waits on a lane.
local function ring_bell(lane, kind, id, subject)
  redis.call('XADD', flow_key(lane .. ':bell'), 'MAXLEN', '~', 1000, '*',
    'kind', kind, 'w', id, 'subject', subject or '')
end

-- Wake those who do one kind of work ("task", "job", "timer"), which has a stream of its own: once at the
-- end of the call, however much of it there is.
local function ring_once(lane, kind, partition)
  memory.bells[call.ns .. 'flow:' .. (partition or call.p) .. ':' .. lane .. ':bell:' .. kind] = kind
end

local function bells_of(lane)
  local bell = flow_key(lane .. ':bell')
  return bell, bell .. ':task', bell .. ':job', bell .. ':timer'
end

local function reply(value)
  write_counters()
  for bell, kind in pairs(memory.bells) do
    redis.call('XADD', bell, 'MAXLEN', '~', 1000, '*', 'kind', kind, 'w', '', 'subject', '')
  end
  return cmsgpack.pack(value)
end

-- A log as the call finds it, and as it changes it; opened once. `posts` has type, cause and data of each
-- event that was appended. Tables that grow are made anew, so there is room for what most calls need.
local function new_log(id, version, digest, lane, name)
  local log = {
    id = id, meta = workflow_key(id, 'meta'), events = workflow_key(id, 'events'), version = version,
    digest = digest, before = digest, lane = lane, name = name, priority = 0, running = 0, was_running = 0,
    status = false, commit = false, has = false, first = false, by = false, is_known = false,
    posts = { nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil }, posted = 0,
    changes = { nil, nil, nil, nil, nil, nil, nil, nil },
  }
  memory.logs[id] = log
  return log
end

local function open_log(id)
  if memory.logs[id] then return memory.logs[id] end
  local meta = redis.call('HMGET', workflow_key(id, 'meta'), 'v', 'dg', 'lane', 'name', 'status', 'priority',
    'running', 'commit', 'has')
  if not meta[1] then return nil end
  local log = new_log(id, tonumber(meta[1]), meta[2], meta[3], meta[4])
  log.status, log.commit = meta[5], meta[8]
  log.priority, log.running = tonumber(meta[6] or 0), tonumber(meta[7] or 0)
  log.was_running = log.running
  log.has = meta[9]
  return log
end

local function ended(log)
  return log.status == 'completed' or log.status == 'failed' or log.status == 'cancelled'
end

local function append(log, kind, data, by, cause)
  local version = log.version + 1
  local digest = string.sub(redis.sha1hex(log.digest .. kind .. data), 1, 16)
  log.version = version
  log.first = log.first or version
  log.digest = digest
  if cause then
    redis.call('XADD', log.events, version, 'type', kind, 'data', data, 'ts', ts, 'by', by, 'dg', digest,
      'cause', cause)
  else
    redis.call('XADD', log.events, version, 'type', kind, 'data', data, 'ts', ts, 'by', by, 'dg', digest)
  end
  local posts, n = log.posts, 3 * log.posted
  posts[n + 1], posts[n + 2], posts[n + 3] = kind, cause or 'null', data
  log.posted = log.posted + 1
  log.by = by
  return version
end

-- A feed that nobody ever asked for does not exist, and costs a look per call.
local function is_feed(feed)
  local known = memory.feeds[feed]
  if known == nil then
    known = redis.call('EXISTS', feed) == 1
    memory.feeds[feed] = known
  end
  return known
end

-- What was appended, as JSON: [[type, cause, data]…]. Joined at once: each text in between would be
-- hashed as a whole.
local function posted(log)
  local posts, parts, n = log.posts, {}, 0
  for i = 1, 3 * log.posted, 3 do
    parts[n + 1], parts[n + 2], parts[n + 3] = '],["', posts[i], '",'
    parts[n + 4], parts[n + 5], parts[n + 6] = posts[i + 1], ',', posts[i + 2]
    n = n + 6
  end
  if n == 0 then return '[]' end
  parts[1], parts[n + 1] = '[["', ']]'
  return table.concat(parts)
end

-- Post what was appended, as one entry: to the lane's feed, for its engine, and to the partition's,
-- for subscribers. What the engine itself appended, leaving itself nothing to do, is no news to it
-- (`log.is_known`). `prev` is the digest that the entry follows on: a reader with another one has a
-- log that was rolled back.
local function post(log)
  local events
  local function post_to(feed)
    if not is_feed(feed) then return end
    events = events or posted(log)
    redis.call('XADD', feed, '*', 'w', log.id, 'v', log.first, 'n', log.posted, 'ts', ts, 'by', log.by,
      'lane', log.lane, 'dg', log.digest, 'prev', log.before, 'e', events)
  end
  if not log.is_known then post_to(flow_key(log.lane .. ':feed')) end
  post_to(flow_key('feed'))
end

local function set_meta(log, field, value)
  local changes = log.changes
  changes[#changes + 1] = field
  changes[#changes + 1] = value
end

-- Whether a workflow may have something, which saves looking for it: limits of steps ("l"), arguments of
-- steps ("a"), effects or agents ("e"). Of those that were created without these letters nobody knows.
local function may_have(log, letter)
  return not log.has or string.find(log.has, letter, 1, true) ~= nil
end

local function note(log, letter)
  if may_have(log, letter) then return end
  log.has = log.has .. letter
  set_meta(log, 'has', log.has)
end

-- Write what has changed about a log, and post what was appended.
local function close_log(log)
  if log.running ~= log.was_running then set_meta(log, 'running', log.running) end
  if log.first then
    set_meta(log, 'v', log.version)
    set_meta(log, 'dg', log.digest)
  end
  if #log.changes > 0 then redis.call('HSET', log.meta, unpack(log.changes)) end
  log.was_running, log.changes = log.running, {}
  if not log.first then return end
  post(log)
  log.first, log.posted, log.before, log.is_known = false, 0, log.digest, false
end

local function task_json(step, index, attempt)
  return '{"step":"' .. step .. '","index":' .. index .. ',"attempt":' .. attempt
end
