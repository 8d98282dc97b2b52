-- MessagePack as Redis' scripts have it: a table is an array when its keys are 1 to n, whole numbers are
-- integers. `pack_real` and `unpack_real` do numbers with a fraction.
local pack_real, unpack_real = ...

local byte, char, sub, floor = string.byte, string.char, string.sub, math.floor

local MOST_NESTED = 16

local function unsigned(n, size)
  local bytes = {}
  for i = size, 1, -1 do
    bytes[i] = n % 256
    n = floor(n / 256)
  end
  return char(unpack(bytes, 1, size))
end

local function pack_integer(n)
  if n >= 0 then
    if n < 128 then return char(n) end
    if n < 256 then return char(0xcc, n) end
    if n < 65536 then return '\205' .. unsigned(n, 2) end
    if n < 4294967296 then return '\206' .. unsigned(n, 4) end
    return '\207' .. unsigned(n, 8)
  end
  if n >= -32 then return char(256 + n) end
  if n >= -128 then return char(0xd0, 256 + n) end
  if n >= -32768 then return '\209' .. unsigned(65536 + n, 2) end
  if n >= -2147483648 then return '\210' .. unsigned(4294967296 + n, 4) end
  -- Two's complement by halves: 2^64 + n is beyond what a number holds exactly.
  local high = floor(n / 4294967296)
  return '\211' .. unsigned(4294967296 + high, 4) .. unsigned(n - high * 4294967296, 4)
end

local function head(n, small, most, wide)
  if n <= most then return char(small + n) end
  if wide == 0xd9 then
    if n < 256 then return char(0xd9, n) end
    wide = 0xda
  end
  if n < 65536 then return char(wide) .. unsigned(n, 2) end
  return char(wide + 1) .. unsigned(n, 4)
end

-- How many elements an array has; nil: it is none.
local function length_of(value)
  local count, most = 0, 0
  for key in pairs(value) do
    if type(key) ~= 'number' or key <= 0 or floor(key) ~= key then return nil end
    if key > most then most = key end
    count = count + 1
  end
  return most == count and count or nil
end

local pack

local function pack_table(value, out, depth)
  local length = length_of(value)
  if length then
    out[#out + 1] = head(length, 0x90, 15, 0xdc)
    for i = 1, length do pack(value[i], out, depth + 1) end
    return
  end
  local place, count = #out + 1, 0
  out[place] = ''
  for key, one in pairs(value) do
    count = count + 1
    pack(key, out, depth + 1)
    pack(one, out, depth + 1)
  end
  out[place] = head(count, 0x80, 15, 0xde)
end

function pack(value, out, depth)
  local kind = type(value)
  if kind == 'string' then
    out[#out + 1] = head(#value, 0xa0, 31, 0xd9)
    out[#out + 1] = value
  elseif kind == 'number' then
    if value == floor(value) and value >= -2 ^ 63 and value < 2 ^ 63 then out[#out + 1] = pack_integer(value)
    else out[#out + 1] = pack_real(value) end
  elseif kind == 'boolean' then out[#out + 1] = value and '\195' or '\194'
  elseif kind == 'table' and depth < MOST_NESTED then pack_table(value, out, depth)
  else out[#out + 1] = '\192' end
end

local function missing() error('Missing bytes in input.', 0) end

local function number_at(text, at, size)
  local a, b, c, d, e, f, g, h = byte(text, at, at + size - 1)
  if size == 1 then return a or missing() end
  if size == 2 then return b and a * 256 + b or missing() end
  if size == 4 then return d and ((a * 256 + b) * 256 + c) * 256 + d or missing() end
  if not h then missing() end
  return (((a * 256 + b) * 256 + c) * 256 + d) * 4294967296 + ((e * 256 + f) * 256 + g) * 256 + h
end

local function text_at(text, at, length)
  local last = at + length - 1
  if last > #text then missing() end
  return sub(text, at, last), last + 1
end

local unpack_at

local function array_at(text, at, length)
  local array = {}
  for i = 1, length do array[i], at = unpack_at(text, at) end
  return array, at
end

local function map_at(text, at, length)
  local map = {}
  for _ = 1, length do
    local key, value
    key, at = unpack_at(text, at)
    value, at = unpack_at(text, at)
    map[key] = value
  end
  return map, at
end

local read = {
  [0xc0] = function(_, at) return nil, at end,
  [0xc2] = function(_, at) return false, at end,
  [0xc3] = function(_, at) return true, at end,
  [0xca] = function(text, at) return unpack_real((text_at(text, at, 4))), at + 4 end,
  [0xcb] = function(text, at) return unpack_real((text_at(text, at, 8))), at + 8 end,
}

for i, size in ipairs({ 1, 2, 4, 8 }) do
  read[0xcb + i] = function(text, at) return number_at(text, at, size), at + size end
  read[0xcf + i] = function(text, at)
    local n = number_at(text, at, size)
    if size == 8 then
      local high = number_at(text, at, 4)
      if high >= 2147483648 then n = (high - 4294967296) * 4294967296 + number_at(text, at + 4, 4) end
      return n, at + size
    end
    local all = 2 ^ (8 * size)
    return n >= all / 2 and n - all or n, at + size
  end
end

for i, size in ipairs({ 1, 2, 4 }) do
  local function raw(text, at) return text_at(text, at + size, number_at(text, at, size)) end
  read[0xd8 + i], read[0xc3 + i] = raw, raw
end

for i, size in ipairs({ 2, 4 }) do
  read[0xdb + i] = function(text, at) return array_at(text, at + size, number_at(text, at, size)) end
  read[0xdd + i] = function(text, at) return map_at(text, at + size, number_at(text, at, size)) end
end

function unpack_at(text, at)
  local mark = byte(text, at) or missing()
  if mark < 0x80 then return mark, at + 1 end
  if mark < 0x90 then return map_at(text, at + 1, mark - 0x80) end
  if mark < 0xa0 then return array_at(text, at + 1, mark - 0x90) end
  if mark < 0xc0 then
    local last = at + mark - 0xa0
    if last > #text then missing() end
    return sub(text, at + 1, last), last + 1
  end
  if mark >= 0xe0 then return mark - 256, at + 1 end
  local reader = read[mark] or error('Bad data format in input.', 0)
  return reader(text, at + 1)
end

return {
  pack = function(...)
    local out = {}
    for i = 1, select('#', ...) do pack((select(i, ...)), out, 0) end
    return table.concat(out)
  end,
  unpack = function(text)
    local values, count, at = {}, 0, 1
    while at <= #text do
      count = count + 1
      values[count], at = unpack_at(text, at)
    end
    return unpack(values, 1, count)
  end,
}
