/**
 * The steps of the protocol that the store carries out, each as a whole: Lua scripts. All keys of one script have the same
 * hash tag, so they are on one node of a cluster. Times are the store's own: members' clocks may differ.
 */
import { BUDGET } from './budget-script.ts';

/**
 * A stored value is `GENERATION:SEALED`. Generations come from the store's clock, so that they keep growing when the store has
 * lost everything. One that is far in the future was not written by a member.
 * `stored` returns generation, value, and what is wrong: 0 nothing, 1 not of this form, 2 the value that the member refused.
 * `longest` is in bytes; without it, that of a token.
 */
const STORED = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local latest = now + 86400000
local function stored(key, refused, longest)
  local length = redis.pcall('STRLEN', key)
  if length == 0 then return nil, nil, 0 end
  if type(length) ~= 'number' or length > (longest or 32768) then return nil, nil, 1 end
  local value = redis.call('GET', key)
  local generation = tonumber(string.match(value, '^(%d+):') or '')
  if generation == nil or generation > latest then return nil, nil, 1 end
  if refused ~= '' and redis.sha1hex(value) == refused then return nil, nil, 2 end
  return generation, value, 0
end
`;

/**
 * Looks for a token that is newer than the one known; takes the lock where there is none and `lockMs` is not 0. The lock is
 * short at first, and `hold` makes it longer: a member that has given this command up leaves nothing for long.
 * KEYS: token, lock, generation, verdict; ARGV: known generation, holder, claimMs, lockMs, SHA-1 of a token and of a verdict that
 * were refused. Returns one of: `token` value remaining-ms · `verdict` value · `claimed` generation odd · `busy` remaining-ms
 * holder · `none`; odd: what `stored` says is wrong with the token.
 */
const ACQUIRE = `${STORED}
local known = tonumber(ARGV[1])
if known > latest then known = 0 end
local generation, value, odd = stored(KEYS[1], ARGV[5])
if generation and generation > known then return {'token', value, redis.call('PTTL', KEYS[1])} end
local lockMs = tonumber(ARGV[4])
if lockMs == 0 then return {'none'} end
local refusedAt, verdict = stored(KEYS[4], ARGV[6])
if refusedAt and refusedAt > known then
  local left = redis.call('PTTL', KEYS[4])
  if left > 0 and left <= 30000 then return {'verdict', verdict} end
end
if not redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[3]) then
  local left = redis.call('PTTL', KEYS[2])
  if left < 0 or left > math.max(60000, lockMs) then
    left = lockMs
    redis.call('PEXPIRE', KEYS[2], left)
  end
  local holder = redis.pcall('GETRANGE', KEYS[2], 0, 63)
  return {'busy', left, type(holder) == 'string' and holder or ''}
end
if odd > 0 then redis.call('DEL', KEYS[1]) end
local last = redis.pcall('GETRANGE', KEYS[3], 0, 15)
last = type(last) == 'string' and string.match(last, '^%d+$') and tonumber(last) or 0
if last > latest then last = 0 end
local next = string.format('%.0f', math.max(now, known + 1, last + 1))
redis.call('SET', KEYS[3], next, 'PX', 172800000)
return {'claimed', next, odd}
`;

/** Makes the lock longer, if it is still the caller's. KEYS: lock; ARGV: holder, lockMs. Returns 1 when it is. */
const HOLD = `
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`;

/**
 * Stores a token and gives the lock back, if the lock is still the caller's and nothing newer is there: a member that was
 * stopped for longer than its lock cannot overwrite what another one has fetched since.
 * A token that has ended meanwhile is not stored; the others fetch at once.
 * KEYS: token, lock; ARGV: holder, generation, value, remaining-ms, channel, news. Returns 1 when it is stored.
 */
const PUT = `${STORED}
if redis.pcall('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
local generation = stored(KEYS[1], '')
if generation and generation >= tonumber(ARGV[2]) then return 0 end
local isAlive = tonumber(ARGV[4]) > 0
if isAlive then redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4]) end
redis.call('PUBLISH', ARGV[5], ARGV[6])
return isAlive and 1 or 0
`;

/**
 * Gives the lock up after a failure: at once when the identity server refused the secret, which is noted for those that have
 * the same; else a little later, so that the members together do not ask a server in trouble more often than one would.
 * KEYS: lock, verdict; ARGV: holder, sealed verdict or nothing, its ms, pause-ms, channel, news. Returns 1 when it was the caller's.
 */
const GIVE_UP = `
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('PEXPIRE', KEYS[1], ARGV[4]) end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[5], ARGV[6])
return 1
`;

/**
 * Says that a member lives, and forgets those that have not for a while; but what each host with secrets said last stays for a
 * day. KEYS: times, details, since, heardTimes, heard; ARGV: member, details, ms after which it counts as gone, name of its
 * host or nothing, ms after which that is forgotten, names of the host by older keys. Returns the number of members.
 */
const BEAT = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function forget(times, details, names)
  for _, name in ipairs(names) do
    redis.call('ZREM', times, name)
    redis.call('HDEL', details, name)
  end
end
local function say(times, details, name, value, ms)
  forget(times, details, redis.call('ZRANGEBYSCORE', times, '-inf', now - ms))
  -- The store may have evicted the times alone.
  if redis.call('ZCARD', times) == 0 then redis.call('DEL', details) end
  if name == '' then return end
  redis.call('ZADD', times, now, name)
  redis.call('HSET', details, name, value)
end
say(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3])
say(KEYS[4], KEYS[5], ARGV[4], ARGV[1] .. ':' .. ARGV[2], ARGV[5])
forget(KEYS[4], KEYS[5], {unpack(ARGV, 6)})
redis.call('SET', KEYS[3], now, 'NX')
for at, key in ipairs(KEYS) do redis.call('PEXPIRE', key, at > 3 and ARGV[5] or ARGV[3] * 2) end
return redis.call('ZCARD', KEYS[1])
`;

/**
 * The live members as they said with their heartbeats, and what each host said last. KEYS: times, details, since, heardTimes,
 * heard. Returns the time in ms, the time since when there was always a member, members with their details in turn, members with
 * their times in turn, and the same two of hosts.
 */
const MEMBERS = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function all(times, details) return redis.call('HGETALL', details), redis.call('ZRANGE', times, 0, -1, 'WITHSCORES') end
local details, times = all(KEYS[1], KEYS[2])
return {now, tonumber(redis.call('GET', KEYS[3]) or now), details, times, all(KEYS[4], KEYS[5])}
`;

/** The journal of a rotation: some hundred bytes, and a hundred for each member that must still take the new secret over. */
const JOURNAL = `${STORED}
local function journal(key) return stored(key, '', 1048576) end
`;

/**
 * Reads the journal of a rotation where it is newer. KEYS: journal, lease; ARGV: known revision.
 * Returns its revision, 0 for none; value, or nothing when it is not newer; ms that the lease is held for yet.
 */
const RECALL = `${JOURNAL}
local revision, value = journal(KEYS[1])
return {revision or 0, (revision or 0) > tonumber(ARGV[1]) and value or '', math.max(0, redis.call('PTTL', KEYS[2]))}
`;

/**
 * Takes the lease for a rotation, or makes it longer. One that is over is not taken again to go on: others may have done and
 * ended anything since. KEYS: lease; ARGV: holder, ms, `take` or `keep`. Returns the time in ms, and who holds the lease now.
 */
const LEASE = `${STORED}
if ARGV[3] == 'take' and redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return {now, ARGV[1]} end
local holder = redis.pcall('GETRANGE', KEYS[1], 0, 255)
if holder ~= ARGV[1] then return {now, type(holder) == 'string' and holder or 'unknown'} end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {now, ARGV[1]}
`;

/**
 * Stores a newer journal, unless it is from a holder whose lease is over, or that has not seen the one that is there. Without a
 * holder it is put back: everybody may who has it, because the store has lost it.
 * KEYS: journal, lease; ARGV: holder or nothing, revision, value, its ms, channel, news, revision that the holder has seen.
 * Returns 1 when it is stored.
 */
const NOTE = `${JOURNAL}
if ARGV[1] ~= '' and redis.pcall('GET', KEYS[2]) ~= ARGV[1] then return 0 end
local revision = journal(KEYS[1])
if revision and (revision >= tonumber(ARGV[2]) or revision > tonumber(ARGV[7])) then return 0 end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
redis.call('PUBLISH', ARGV[5], ARGV[6])
return 1
`;

/** Gives the lease back. KEYS: lease; ARGV: holder. Returns 1 when it was the caller's. */
const RELEASE = `
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
`;

export const SCRIPTS = {
  ...{ acquire: ACQUIRE, hold: HOLD, put: PUT, giveUp: GIVE_UP, beat: BEAT },
  ...{ members: MEMBERS, recall: RECALL, lease: LEASE, note: NOTE, release: RELEASE },
  budget: BUDGET,
} as const;

export type ScriptName = keyof typeof SCRIPTS;

/** Names of what heartbeats write. */
export function memberKeys(prefix: string): string[] {
  return ['times', 'details', 'since', 'heardTimes', 'heard'].map((what) => `${prefix}:{members}:${what}`);
}
