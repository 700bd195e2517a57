-- SPDX-License-Identifier: Apache-2.0
-- LUA_INIT_5_4 of a Thaw function: gives math.random a new seed in each invocation.
--
-- Lua 5.4 seeds its generator when it starts, so the numbers would be the same in every clone. The ready point is the
-- first read of standard input. When that read returns, this seeds the generator from the system, unless the program
-- has called math.randomseed with a value, and puts Lua's own functions back. It sees reads by io.read, io.lines and
-- the methods of io.stdin. Older versions of Lua do not seed by themselves.
local stdin, methods = io.stdin, getmetatable(io.stdin).__index
local io, math, pcall, pack, unpack, error = io, math, pcall, table.pack, table.unpack, error
local input, open, parse = io.input, io.open, string.unpack
local own = {read = io.read, lines = io.lines, randomseed = math.randomseed}
local method = {read = methods.read, lines = methods.lines}
local new, explicit, begun = {}, false, false

local function begin()
  if begun then return end
  begun = true
  if io.read == new.read then io.read = own.read end
  if io.lines == new.lines then io.lines = own.lines end
  if math.randomseed == new.randomseed then math.randomseed = own.randomseed end
  if methods.read == new.method_read then methods.read = method.read end
  if methods.lines == new.method_lines then methods.lines = method.lines end
  local random = not explicit and open("/dev/urandom", "rb")
  if random then
    own.randomseed(parse("i8i8", method.read(random, 16)))
    random:close()
  end
end

-- Calls READ, which reads standard input. An error names the caller's line, as without the hook.
local function first(read, ...)
  local results = pack(pcall(read, ...))
  begin()
  if results[1] then return unpack(results, 2, results.n) end
  local message = results[2]:gsub("'%?'", "'read'")
  error(message, 2)
end

local function iterate(next)
  return function(...)
    if begun then return next(...) end
    local results = pack(pcall(next, ...))
    begin()
    if results[1] then return unpack(results, 2, results.n) end
    error(results[2], 0)
  end
end

function new.read(...)
  if begun or input() ~= stdin then return own.read(...) end
  return first(own.read, ...)
end

function new.lines(name, ...)
  if begun or name ~= nil or input() ~= stdin then return own.lines(name, ...) end
  return iterate(own.lines(name, ...))
end

function new.method_read(file, ...)
  if begun or file ~= stdin then return method.read(file, ...) end
  return first(method.read, file, ...)
end

function new.method_lines(file, ...)
  if begun or file ~= stdin then return method.lines(file, ...) end
  return iterate(method.lines(file, ...))
end

function new.randomseed(...)
  explicit = select("#", ...) > 0
  return own.randomseed(...)
end

io.read, io.lines, math.randomseed = new.read, new.lines, new.randomseed
methods.read, methods.lines = new.method_read, new.method_lines

-- Lua runs only one of its two variables; the other is the user's.
local init = os.getenv("LUA_INIT")
if init then
  if init:sub(1, 1) == "@" then
    dofile(init:sub(2))
  else
    assert(load(init, "=LUA_INIT"))()
  end
end
