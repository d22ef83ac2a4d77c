/**
 * The steps of the protocol that the store carries out, each as a whole: Lua scripts. All keys of one script have the same
 * hash tag, so they are on one node of a cluster. Times are the store's own: members' clocks may differ.
 */

/**
 * A stored token is `GENERATION:SEALED`. Generations come from the store's clock, so that they keep growing when the store
 * has lost everything. One that is absurdly large was not written by a member.
 */
const STORED = `
local function stored(key, most)
  local length = redis.pcall('STRLEN', key)
  if type(length) ~= 'number' or length == 0 or length > most then return nil, nil, length ~= 0 end
  local value = redis.call('GET', key)
  local generation = tonumber(string.match(value, '^(%d+):') or '')
  if generation == nil or generation >= 1e15 then return nil, nil, true end
  return generation, value, false
end
`;

/**
 * Looks for a token that is newer than the one known; takes the lock where there is none and `lockMs` is not 0.
 * KEYS: token, lock, generation, refused; ARGV: known generation, most bytes, name of the lock's holder, lockMs.
 * Returns one of: `token` value remaining-ms · `refused` · `claimed` generation odd · `busy` remaining-ms · `none`;
 * odd: 1 when the value there cannot be one of a member.
 */
const ACQUIRE = `${STORED}
local known = tonumber(ARGV[1])
local generation, value, odd = stored(KEYS[1], tonumber(ARGV[2]))
if generation and generation > known then return {'token', value, redis.call('PTTL', KEYS[1])} end
if ARGV[4] == '0' then return {'none'} end
if redis.pcall('EXISTS', KEYS[4]) == 1 then return {'refused'} end
if not redis.call('SET', KEYS[2], ARGV[3], 'NX', 'PX', ARGV[4]) then return {'busy', redis.call('PTTL', KEYS[2])} end
local time = redis.call('TIME')
local last = redis.pcall('GET', KEYS[3])
last = type(last) == 'string' and tonumber(last) or 0
if last >= 1e15 then last = 0 end
local next = math.max(time[1] * 1000 + math.floor(time[2] / 1000), known + 1, last + 1)
next = string.format('%.0f', next)
redis.call('SET', KEYS[3], next, 'PX', 172800000)
return {'claimed', next, odd and 1 or 0}
`;

/**
 * Stores a token and gives the lock back, if the lock is still the caller's and nothing newer is there: a member that was
 * stopped for longer than its lock cannot overwrite what another one has fetched since.
 * KEYS: token, lock; ARGV: holder, generation, value, remaining-ms, channel, news. Returns 1 when it is stored.
 */
const PUT = `${STORED}
if redis.pcall('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
local generation = stored(KEYS[1], 1048576)
if generation and generation >= tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
redis.call('PUBLISH', ARGV[5], ARGV[6])
return 1
`;

/**
 * Gives the lock up after a failure: at once when the identity server refused the secret, which is noted for those that have
 * the same; else a little later, so that the members together do not ask a server in trouble more often than one would.
 * KEYS: lock, refused; ARGV: holder, refused-ms or 0, pause-ms, channel, news.
 */
const GIVE_UP = `
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return 1
end
redis.call('SET', KEYS[2], '1', 'PX', ARGV[2])
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[4], ARGV[5])
return 1
`;

/**
 * Says that a member lives, and forgets those that have not for a while.
 * KEYS: times, details; ARGV: member, details, ms after which it counts as gone. Returns the number of members.
 */
const BEAT = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[3])
for _, member in ipairs(gone) do
  redis.call('ZREM', KEYS[1], member)
  redis.call('HDEL', KEYS[2], member)
end
if ARGV[1] ~= '' then
  redis.call('ZADD', KEYS[1], now, ARGV[1])
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[3] * 2) end
return redis.call('ZCARD', KEYS[1])
`;

export const SCRIPTS = { acquire: ACQUIRE, put: PUT, giveUp: GIVE_UP, beat: BEAT } as const;

export type ScriptName = keyof typeof SCRIPTS;
