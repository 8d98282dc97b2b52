-- What a script of Redis sees, and how it is run. `send` takes a command to the server of this process.
local send, sha1hex, cjson, cmsgpack = ...

local getinfo = debug.getinfo
local registered  -- while a library is loaded: name -> function

-- An answer: one value; true in front of the values of an array; false in front of a status; nil in
-- front of an error. A lone false is Redis' nil.
local function receive(first, ...)
  if first == true then return { ... } end
  if first == false and ... then return { ok = ... } end
  if first == nil then return nil, { err = ... } end
  return first
end

local redis = {
  sha1hex = function(text) return sha1hex(tostring(text)) end,
  status_reply = function(text) return { ok = text } end,
  error_reply = function(text)
    return { err = string.find(text, ' ', 1, true) and text or 'ERR ' .. text }
  end,
  log = function() end,
  setresp = function() end,
  LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3,
}

function redis.call(...)
  local answer, problem = receive(send(...))
  if problem then error(problem, 0) end
  return answer
end

function redis.pcall(...)
  local answer, problem = receive(send(...))
  return problem or answer
end

function redis.register_function(name, callback)
  if not registered then
    error('redis.register_function can only be called on FUNCTION LOAD command')
  end
  if type(name) == 'table' then name, callback = name.function_name, name.callback end
  registered[name] = callback
end

local names = {
  'assert', 'error', 'getmetatable', 'ipairs', 'next', 'pairs', 'pcall', 'rawequal', 'rawget', 'rawset', 'select',
  'setmetatable', 'tonumber', 'tostring', 'type', 'unpack', 'xpcall', 'string', 'table', 'coroutine',
}
local globals = { redis = redis, cjson = cjson, cmsgpack = cmsgpack, os = { clock = os.clock } }
for _, name in ipairs(names) do globals[name] = _G[name] end
-- Without `random`: the C library's is shared by all that runs in this process.
globals.math = {}
for name, value in pairs(math) do globals.math[name] = value end
globals.math.random, globals.math.randomseed = nil, nil
globals._G = globals

-- What fails is told by its text.
local function tell(done, problem, ...)
  if not done and type(problem) == 'table' then return done, problem.err end
  return done, problem, ...
end

function globals.pcall(...) return tell(pcall(...)) end

function globals.loadstring(text, name)
  local chunk, problem = loadstring(text, name)
  return chunk and setfenv(chunk, globals), problem
end
setmetatable(globals, {
  __index = function(_, name)
    error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
  end,
  __newindex = function() error('Attempt to modify a readonly table', 2) end,
})

local host = {}

function host.compile(text, name)
  local chunk, problem = loadstring(text, name)
  if not chunk then return nil, problem end
  return setfenv(chunk, globals)
end

-- The functions that a library registers: {name, function, …}, or nil and the problem.
function host.load(chunk)
  registered = {}
  local done, problem = pcall(chunk)
  local found = {}
  for name, callback in pairs(registered) do
    found[#found + 1] = name
    found[#found + 1] = callback
  end
  registered = nil
  if not done then return nil, type(problem) == 'table' and problem.err or problem end
  return found
end

local function explain(problem)
  local level = 2
  local place = getinfo(level, 'Sl')
  while place and (place.what == 'C' or place.what == 'tail' or place.source == '@sandbox') do
    level = level + 1
    place = getinfo(level, 'Sl')
  end
  if type(problem) ~= 'table' then problem = { err = 'ERR ' .. tostring(problem) } end
  if place then problem.source, problem.line = place.source, place.currentline end
  return problem
end

local function finish(done, value)
  if done then return value end
  return nil, value.err or 'ERR unknown error', value.source, value.line
end

function host.call(callback, count, ...)
  local keys, args = {}, { ... }
  for i = 1, count do keys[i] = table.remove(args, 1) end
  return finish(xpcall(function() return callback(keys, args) end, explain))
end

-- A script has its keys and arguments as globals.
function host.eval(chunk, count, ...)
  return host.call(function(keys, args)
    rawset(globals, 'KEYS', keys)
    rawset(globals, 'ARGV', args)
    return chunk()
  end, count, ...)
end

return host
