-- JSON as Redis' scripts have it (lua-cjson): numbers with 14 digits, `/` escaped, an empty table is an
-- object, null is a value of its own.
local to_utf8 = ...

local byte, find, sub, format = string.byte, string.find, string.sub, string.format
local null = newproxy()

local ESCAPES = {
  ['"'] = '\\"', ['\\'] = '\\\\', ['/'] = '\\/', ['\b'] = '\\b', ['\f'] = '\\f', ['\n'] = '\\n', ['\r'] = '\\r',
  ['\t'] = '\\t', ['\127'] = '\\u007f',
}
local PLAIN = { b = '\b', f = '\f', n = '\n', r = '\r', t = '\t', ['"'] = '"', ['\\'] = '\\', ['/'] = '/' }

local function escape(one) return ESCAPES[one] or format('\\u%04x', byte(one)) end

local function quote(text) return '"' .. string.gsub(text, '[%c"\\/\127]', escape) .. '"' end

local function fail(value, why) error('Cannot serialise ' .. type(value) .. ': ' .. why, 0) end

local function number_text(n)
  if n ~= n or n == math.huge or n == -math.huge then fail(n, 'must not be NaN or Inf') end
  return format('%.14g', n)
end

-- How long an array is; nil: it is an object.
local function length_of(value)
  local most, count = 0, 0
  for key in pairs(value) do
    if type(key) ~= 'number' or key < 1 or math.floor(key) ~= key then return nil end
    most = math.max(most, key)
    count = count + 1
  end
  if count == 0 then return nil end
  if most > 10 and most > count * 2 then fail(value, 'excessively sparse array') end
  return most
end

local encode

local function encode_table(value, depth)
  if depth > 1000 then error('Cannot serialise, excessive depth (1001)', 0) end
  local parts, length = {}, length_of(value)
  if length then
    for i = 1, length do parts[i] = encode(value[i], depth + 1) end
    return '[' .. table.concat(parts, ',') .. ']'
  end
  for key, one in pairs(value) do
    local name
    if type(key) == 'string' then name = quote(key)
    elseif type(key) == 'number' then name = '"' .. number_text(key) .. '"'
    else fail(key, 'table key must be a number or string') end
    parts[#parts + 1] = name .. ':' .. encode(one, depth + 1)
  end
  return '{' .. table.concat(parts, ',') .. '}'
end

function encode(value, depth)
  local kind = type(value)
  if kind == 'string' then return quote(value) end
  if kind == 'number' then return number_text(value) end
  if kind == 'boolean' then return tostring(value) end
  if kind == 'table' then return encode_table(value, depth) end
  if value == nil or value == null then return 'null' end
  fail(value, 'type not supported')
end

local function unexpected(text, at, wanted)
  local found = at > #text and 'T_END' or 'invalid token'
  error('Expected ' .. wanted .. ' but found ' .. found .. ' at character ' .. at, 0)
end

local function skip(text, at) return find(text, '[^ \t\r\n]', at) or #text + 1 end

local function unescape(text)
  text = string.gsub(text, '\\u([dD][89abAB]%x%x)\\u([dD][c-fC-F]%x%x)', function(high, low)
    return to_utf8((tonumber(high, 16) - 0xd800) * 0x400 + tonumber(low, 16) - 0xdc00 + 0x10000)
  end)
  return (string.gsub(text, '\\(.)(%x?%x?%x?%x?)', function(kind, digits)
    if kind == 'u' then return to_utf8(tonumber(digits, 16)) end
    return (PLAIN[kind] or error('Expected value but found invalid escape code', 0)) .. digits
  end))
end

local function string_at(text, at)
  local last = at
  repeat
    last = find(text, '["\\]', last + 1) or unexpected(text, at, 'value')
    local escaped = byte(text, last) == 92
    if escaped then last = last + 1 end
  until not escaped
  local inside = sub(text, at + 1, last - 1)
  if find(inside, '\\', 1, true) then inside = unescape(inside) end
  return inside, last + 1
end

local decode_at

local function object_at(text, at)
  local object = {}
  at = skip(text, at + 1)
  if byte(text, at) == 125 then return object, at + 1 end
  while true do
    if byte(text, at) ~= 34 then unexpected(text, at, 'object key string') end
    local key
    key, at = string_at(text, at)
    at = skip(text, at)
    if byte(text, at) ~= 58 then unexpected(text, at, 'colon') end
    object[key], at = decode_at(text, skip(text, at + 1))
    at = skip(text, at)
    local mark = byte(text, at)
    if mark == 125 then return object, at + 1 end
    if mark ~= 44 then unexpected(text, at, 'comma or object end') end
    at = skip(text, at + 1)
  end
end

local function array_at(text, at)
  local array, count = {}, 0
  at = skip(text, at + 1)
  if byte(text, at) == 93 then return array, at + 1 end
  while true do
    count = count + 1
    array[count], at = decode_at(text, at)
    at = skip(text, at)
    local mark = byte(text, at)
    if mark == 93 then return array, at + 1 end
    if mark ~= 44 then unexpected(text, at, 'comma or array end') end
    at = skip(text, at + 1)
  end
end

local WORDS = { ['true'] = true, ['false'] = false, ['null'] = null }

function decode_at(text, at)
  local mark = byte(text, at)
  if mark == 34 then return string_at(text, at) end
  if mark == 123 then return object_at(text, at) end
  if mark == 91 then return array_at(text, at) end
  local _, last, word = find(text, '^([-+.%w]+)', at)
  local value = word and WORDS[word]
  if value == nil then value = word and tonumber(word) end
  if value == nil then unexpected(text, at, 'value') end
  return value, last + 1
end

return {
  null = null,
  encode = function(value) return encode(value, 1) end,
  decode = function(text)
    local value, at = decode_at(text, skip(text, 1))
    at = skip(text, at)
    if at <= #text then unexpected(text, at, 'the end') end
    return value
  end,
}
