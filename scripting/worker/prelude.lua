-- Runs in a new state before the script, and leaves it only what a script may have.
local host, name, calls, principal = ...
local ARRAY, DEEPEST, SAFE = { __name = "list" }, 500, 9007199254740991
local NULL = setmetatable({}, {
  __name = "null", __tostring = function() return "null" end, __metatable = false,
  __newindex = function() error("null holds nothing", 2) end,
})
local MISSING = {}
local type, tostring, error, pairs, select, setmetatable = type, tostring, error, pairs, select, setmetatable
local getmetatable, pcall, xpcall, tonumber, rawlen = getmetatable, pcall, xpcall, tonumber, rawlen
local getinfo, traceback, load = debug.getinfo, debug.traceback, load
local find, sub, byte, char, format, gsub = string.find, string.sub, string.byte, string.char, string.format, string.gsub
local concat, unpack, utf8char, utf8len = table.concat, table.unpack, utf8.char, utf8.len
local mathtype, tointeger, mininteger = math.type, math.tointeger, math.mininteger

local FAILURE = { __name = "error", __tostring = function(failure) return failure.kind .. ": " .. failure.message end }

local function fail(kind, message, level)
  error(setmetatable({ kind = kind, message = message }, FAILURE), level)
end

-- Values to JSON text.

local function unstorable(path, problem)
  fail("value", path .. ": " .. problem, 0)
end

local function quoted(text, path)
  if not utf8len(text) then unstorable(path, "a text that is no UTF-8 cannot be stored") end
  return '"' .. gsub(text, '[%c"\\\127]', function(c) return format("\\u%04x", byte(c)) end) .. '"'
end

local function number(value, path)
  if mathtype(value) == "integer" then return format("%d", value) end
  if value ~= value or value == 1 / 0 or value == -1 / 0 then
    unstorable(path, (value ~= value and "nan" or tostring(value)) .. " cannot be stored")
  end
  local whole = tointeger(value)
  if whole and whole >= -SAFE and whole <= SAFE and (whole ~= 0 or 1 / value > 0) then
    return format("%d", whole)
  end
  local text = format("%.17g", value)
  return find(text, "[.e]") and text or text .. ".0"
end

local encode

local function list(value, count, path, depth)
  local parts = {}
  for i = 1, count do parts[i] = encode(value[i], path .. "[" .. i .. "]", depth) end
  return "[" .. concat(parts, ",") .. "]"
end

local function composed(value, path, depth)
  if depth > DEEPEST then unstorable(path, "nests deeper than " .. DEEPEST .. " levels") end
  local count, texts = 0, 0
  for key in pairs(value) do
    if type(key) == "string" then texts = texts + 1
    elseif mathtype(key) == "integer" and key >= 1 then count = count + 1
    else unstorable(path, "a key that is neither a text nor a position cannot be stored") end
  end
  if texts > 0 and count > 0 then
    unstorable(path, "a table has either texts as keys or positions, not both")
  end
  if count > 0 or getmetatable(value) == ARRAY then
    if texts > 0 then unstorable(path, "a list has positions only") end
    if rawlen(value) ~= count then unstorable(path, "a list with holes cannot be stored; use null") end
    return list(value, count, path, depth + 1)
  end
  local parts = {}
  for key, member in pairs(value) do
    parts[#parts + 1] = quoted(key, path) .. ":" .. encode(member, path .. "." .. key, depth + 1)
  end
  return "{" .. concat(parts, ",") .. "}"
end

function encode(value, path, depth)
  if value == NULL then return "null" end
  local kind = type(value)
  if kind == "string" then return quoted(value, path) end
  if kind == "number" then return number(value, path) end
  if kind == "boolean" then return tostring(value) end
  if kind == "table" and value ~= MISSING then return composed(value, path, depth) end
  if value == nil or value == MISSING then
    unstorable(path, "nil is nothing that could be stored; use null, or delete")
  end
  unstorable(path, "a " .. kind .. " cannot be stored")
end

-- JSON text, as the host writes it, to values.

local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

local decode

local function text(source, at)
  local start, from = at + 1, at + 1
  while true do
    local stop = find(source, '["\\]', from)
    if byte(source, stop) == 34 then
      local found = sub(source, start, stop - 1)
      if from == start then return found, stop + 1 end
      local parts, i = {}, 1
      while i <= #found do  -- escapes one by one: what one gives is no part of another
        local slash = find(found, "\\", i, true)
        if not slash then parts[#parts + 1] = sub(found, i) break end
        parts[#parts + 1] = sub(found, i, slash - 1)
        local c = sub(found, slash + 1, slash + 1)
        if c == "u" then
          local code, wide = tonumber(sub(found, slash + 2, slash + 5), 16), 6
          if code >= 0xD800 and code < 0xDC00 then
            code = 0x10000 + ((code - 0xD800) << 10) + tonumber(sub(found, slash + 8, slash + 11), 16) - 0xDC00
            wide = 12
          end
          parts[#parts + 1] = utf8char(code)
          i = slash + wide
        else
          parts[#parts + 1] = ESCAPES[c] or c
          i = slash + 2
        end
      end
      return concat(parts), stop + 1
    end
    from = stop + 2
  end
end

function decode(source, at)
  local c = byte(source, at)
  if c == 34 then return text(source, at) end
  if c == 123 then
    local made, key = {}, nil
    at = at + 1
    while byte(source, at) ~= 125 do
      if byte(source, at) == 44 then at = at + 1 end
      key, at = text(source, at)
      made[key], at = decode(source, at + 1)
    end
    return made, at + 1
  end
  if c == 91 then
    local made, count = setmetatable({}, ARRAY), 0
    at = at + 1
    while byte(source, at) ~= 93 do
      if byte(source, at) == 44 then at = at + 1 end
      count = count + 1
      made[count], at = decode(source, at)
    end
    return made, at + 1
  end
  if c == 116 then return true, at + 4 end
  if c == 102 then return false, at + 5 end
  if c == 110 then return NULL, at + 4 end
  local _, stop = find(source, "^[-+.eE%d]+", at)
  return tonumber(sub(source, at, stop)), stop + 1
end

-- Calls of the host.

local function ask(call, ...)
  local parts = {}
  for i = 1, select("#", ...) do
    local value = select(i, ...)
    parts[i] = (value == nil or value == MISSING) and "[]" or "[" .. encode(value, "argument " .. i .. " of " .. call, 0) .. "]"
  end
  local answer = decode(host('["call","' .. call .. '",[' .. concat(parts, ",") .. "]]"), 1)
  if answer[1] == "ok" then return answer[2] end
  fail(answer[2], answer[3], 0)
end

local function called(call)
  return function(...) return ask(call, ...) end
end

for call in string.gmatch(calls, "[^ ]+") do
  local group, method = string.match(call, "^(%a+)%.([%a_]+)$")
  if group then
    _G[group] = _G[group] or {}
    _G[group][method] = called(call)
  else
    _G[call] = called(call)
  end
end

local function say(...)
  local parts = {}
  for i = 1, select("#", ...) do parts[i] = tostring((select(i, ...))) end
  local line = concat(parts, "\t")
  ask("log", utf8len(line) and line or gsub(line, "[\128-\255]", "?"))
end

log, print, null, missing, me = say, say, NULL, MISSING, principal

function array(value) return setmetatable(value or {}, ARRAY) end

-- What a script may not have: files, programs, other code, what looks into other functions.

local time, clock, date, difftime = os.time, os.clock, os.date, os.difftime
os = { time = time, clock = clock, date = date, difftime = difftime }
io, package, require, debug, dofile, loadfile, python, warn = nil, nil, nil, nil, nil, nil, nil, nil
string.dump = nil
local collect = collectgarbage
function collectgarbage(what)
  if what ~= nil and what ~= "count" and what ~= "collect" then error("only count and collect", 2) end
  return collect(what)
end
_G.load = function(chunk, label, _, ...)
  if select("#", ...) > 0 then return load(chunk, label, "t", (...)) end
  return load(chunk, label, "t")
end

-- Runs the script, and returns what the host is told of its end.

local function place()
  local level = 2
  while true do
    local frame = getinfo(level, "Sl")
    if not frame then return 0 end
    if frame.source == "=" .. name then return frame.currentline end
    level = level + 1
  end
end

local function failed(failure)
  local ours = type(failure) == "table" and getmetatable(failure) == FAILURE
  local kind, message = "error", ""
  if ours then kind, message = tostring(failure.kind), tostring(failure.message)
  elseif type(failure) == "table" and not (getmetatable(failure) or {}).__tostring then
    local fits, encoded = pcall(encode, failure, "", 0)
    message = fits and encoded or tostring(failure)
  else
    message = gsub(tostring(failure), "^" .. gsub(sub(name, 1, 59), "%p", "%%%0") .. ":%d+: ", "")
  end
  local line = place()
  return { kind = kind, message = message, line = line, trace = traceback("", 2) }
end

local function clean(message)
  return utf8len(message) and message or gsub(message, "[\128-\255]", "?")
end

local function told(failure)
  return '["failed",{"kind":' .. quoted(clean(failure.kind), "") .. ',"message":' .. quoted(clean(failure.message), "")
    .. ',"line":' .. format("%d", failure.line) .. ',"trace":' .. quoted(clean(failure.trace), "") .. "}]"
end

return function(source, entry, arguments, typed)
  -- A block that has something to close makes no tail calls, which would lose the script's line.
  local chunk, wrong = nil, nil
  if typed then chunk = load("return " .. source, "=" .. name, "t") end
  if not chunk then chunk, wrong = load("local __ <close> = nil " .. source, "=" .. name, "t") end
  if not chunk then
    local line = string.match(wrong, ":(%d+):")
    return told({ kind = "syntax", message = gsub(wrong, "^.-:%d+: ", ""), line = tonumber(line) or 0, trace = "" })
  end
  local given = decode(arguments, 1)
  local good, result = xpcall(function()
    if entry == "" then return chunk(unpack(given)) end
    local builtin = _G[entry]  -- who sends a message chooses among the script's functions, no others
    chunk()
    local handler = _G[entry]
    if handler == builtin then handler = nil end
    if type(handler) ~= "function" then error("the script has no function " .. entry, 0) end
    return handler(unpack(given))
  end, failed)
  if not good then return told(type(result) == "table" and result or { kind = result == "not enough memory" and "memory" or "error", message = tostring(result), line = 0, trace = "" }) end
  if result == nil then return '["done"]' end
  local fits, encoded = pcall(encode, result, "the result", 0)
  if fits then return '["done",' .. encoded .. "]" end
  return told({ kind = "value", message = encoded.message or tostring(encoded), line = 0, trace = "" })
end
