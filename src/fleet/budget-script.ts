/**
 * How the store keeps the budget of a fleet: what all members may begin in one minute. Each member states what it has begun and
 * gets a lot: requests that it may begin without asking. A statement replaces the member's last one, so a command that is lost,
 * late or carried out twice, and a store that was emptied, are made good by the next. Times are the store's own.
 */

/**
 * A value is `FACTS|SECOND:COUNT SECOND:COUNT …`, by the second in which a request was begun at the latest; those of a lot count in
 * its last second, so one of a dead member is over by itself. A second counts until 60 s after its end.
 *
 * KEYS: budget, the member's statement, times and since of the members; ARGV: number of the statement, limit, lot still held, lot
 * wanted, life of a lot in ms, `AGE-MS:COUNT …` of what was begun, members seen, 1 when the store was away, channel, news.
 * Returns the new lot; ms until something may be free, 0 when something is; the number of members. Nothing: a newer statement is there.
 */
export const BUDGET = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local second = math.floor(now / 1000)
local limit, held, want, lotMs = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local last = math.floor((now + lotMs) / 1000)

local function read(key)
  local facts, counts = {}, {}
  local length = redis.pcall('STRLEN', key)
  if type(length) ~= 'number' or length == 0 or length > 4096 then return facts, counts end
  local head, rest = string.match(redis.call('GET', key), '^([%d ]*)|(.*)$')
  for fact in string.gmatch(head or '', '%d+') do table.insert(facts, tonumber(fact)) end
  for at, count in string.gmatch(rest or '', '(%d+):(%d+)') do
    -- The store's clock may have been set back.
    at = math.min(tonumber(at), last)
    if at >= second - 60 then counts[at] = (counts[at] or 0) + tonumber(count) end
  end
  return facts, counts
end

local function write(key, facts, counts)
  local list = {}
  for at, count in pairs(counts) do
    if count > 0 then table.insert(list, string.format('%.0f:%.0f', at, count)) end
  end
  redis.call('SET', key, table.concat(facts, ' ') .. '|' .. table.concat(list, ' '), 'PX', lotMs + 62000)
end

local function sum(counts)
  local all = 0
  for _, count in pairs(counts) do all = all + count end
  return all
end

-- What is begun is free again a minute later. A lot with which nothing is begun goes back about a second after it was given.
local function untilFree(counts, missing, isOfOthers)
  local frees = {}
  for at, count in pairs(counts) do
    local isLot = isOfOthers and at > second
    table.insert(frees, {isLot and 1000 or (at + 61) * 1000 - now, count})
  end
  table.sort(frees, function(one, other) return one[1] < other[1] end)
  for _, free in ipairs(frees) do
    missing = missing - free[2]
    if missing <= 0 then return free[1] end
  end
  return 60000
end

local facts, counts = read(KEYS[1])
local stated, before = read(KEYS[2])
if (stated[1] or 0) >= tonumber(ARGV[1]) then return {} end
for at, count in pairs(before) do counts[at] = math.max(0, (counts[at] or 0) - count) end
local own = {}
for age, count in string.gmatch(ARGV[6], '(%d+):(%d+)') do
  local at = math.floor((now - age) / 1000)
  if at >= second - 60 then
    own[at] = (own[at] or 0) + count
    counts[at] = (counts[at] or 0) + count
  end
end
local begun, free = sum(own), limit - sum(counts)

-- Those that want something share what is free. All do about once a second.
local told, asked, asks, earlier = facts[1] or 0, facts[2] or 0, facts[3] or 0, facts[4] or 0
if asked ~= second then
  earlier = asked == second - 1 and asks or 0
  asked, asks = second, 0
end
if want > 0 then asks = asks + 1 end

local live, since = redis.pcall('ZCARD', KEYS[3]), tonumber(redis.pcall('GET', KEYS[4]))
local members = math.max(1, tonumber(ARGV[7]), type(live) == 'number' and live or 1)
local share = math.max(1, math.floor(limit / members))
-- In the first minute of a store that was emptied or away, nobody knows what the others have begun: no more than the share.
local isNew = ARGV[8] == '1' or not since or (since <= now and now - since <= 61000)
local most = isNew and share or limit
local lot = held + math.max(0, math.min(want - held, math.ceil((free - held) / math.max(asks, earlier, 1)), most - begun - held))
local left, ownLeft = free - lot, most - begun - lot
counts[last] = (counts[last] or 0) + lot
own[last] = (own[last] or 0) + lot
local wait = 0
if left <= 0 then wait = untilFree(counts, 1 - left, lot == 0) end
if ownLeft <= 0 then wait = math.max(wait, untilFree(own, 1 - ownLeft, false)) end

if left <= 0 and (told > now or now - told > 30000) then
  told = now
  redis.call('PUBLISH', ARGV[9], ARGV[10])
end
write(KEYS[1], {string.format('%.0f', told), asked, asks, earlier}, counts)
write(KEYS[2], {ARGV[1]}, own)
return {lot, wait, members}
`;
