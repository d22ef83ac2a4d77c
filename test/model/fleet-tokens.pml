/*
 * How the members of a fleet share one token through a store (src/fleet/shared-token.ts and src/fleet/scripts.ts), for spin:
 * every order of steps and faults within the bounds below. A sidecar is a member; a script is one step of the store.
 *
 * What is left out. Time: a lock may expire at any moment, so a member that sleeps past its lock is one whose next step
 * comes late; under a holder that still wants it, that is one of the faults. A caller's deadline comes only after a lock
 * that was given up, or after a second lock. Keys: all members have the same. News: a member that waits may look again when
 * the lock it waits for has gone, whether news or its timer told it so; a member with a token may look at any moment, or
 * never. Both are what it does when news are lost, too.
 *
 * -DFAULTS=n and -DRENEWALS=n are the bounds. -DMISTAKE_... plants a mistake: see the test.
 */
#define MEMBERS 3
#ifndef FAULTS
#define FAULTS 2
#endif
#ifndef RENEWALS
#define RENEWALS 2
#endif

/* The states in member-steps.h. */
mtype = { s_rest, s_looking, s_waiting, s_down, s_claiming, s_fetching, s_fetchingAlone, s_obtaining, s_putting, s_failing,
  s_givingUp, s_behind, s_peeking };

#define WRONG 0
#define RIGHT 1
#define NOBODY 255

/* The store. A lock is the claim that it was given for: a generation, and the member. */
typedef Store {
  byte token;      /* generation, 0 = none */
  bool isBad;      /* what is there cannot be opened */
  byte lock;       /* generation, 0 = free */
  byte holder;
  bool paused;     /* its holder has given up; it expires soon */
  byte last;       /* the generation given last */
  byte refused[2]  /* by secret: the generation of the request that was refused; 0 = none */
};
Store store;
/* A replica that the last write has not reached. */
Store replica;
/* The store's clock gives generations; after a failover it may be behind: then they only follow what members and store know. */
byte clock;
bool isBehind;

/* The members. */
mtype flight[MEMBERS];
mtype write[MEMBERS];
mtype peek[MEMBERS];
bool wants[MEMBERS];
bool wasToldNo[MEMBERS];
bool hasToken[MEMBERS];
byte known[MEMBERS];     /* #known of the program */
byte used[MEMBERS];      /* the newest generation used */
bool isOver[MEMBERS];    /* the token of that generation was refused by an API, or replaced by one without generation */
bit secret[MEMBERS];
bit asked[MEMBERS];      /* the secret when the lock was claimed; the request that follows may have a newer one */
byte bad[MEMBERS];       /* generation of a value that this member could not open: counts as absent */
byte claim[MEMBERS];     /* the generation of that request */
byte waitsFor[MEMBERS];  /* generation of the lock, NOBODY = look at once */
bool hasWaited[MEMBERS]; /* for an earlier lock in the same flight */
bool isSpread[MEMBERS];
byte found[MEMBERS];     /* generation in the reply to the look of the flight, until it is opened */
byte peeked[MEMBERS];    /* the same for the look without a caller */

/* The command of a write on its way to the store. */
mtype = { nothing, store_token, note_failure, note_refusal };
mtype sent[MEMBERS];
byte sentClaim[MEMBERS];
bit sentSecret[MEMBERS];

byte faults = FAULTS;
byte renewals = RENEWALS;
/* No lock has expired early, nothing was lost, nobody died; and the newest generation obtained while that is so. */
bool isCalm = true;
byte newest;
byte i;

#ifdef SHOW_STEPS
/* Each row that is taken, once: the test wants all of them. */
c_decl { static unsigned char shown[256]; }
#define SHOW(row, text) c_code { if (!shown[row]) { shown[row] = 1; printf("row %s\n", text); } }
#else
#define SHOW(row, text) skip
#endif

#include "member-steps.h"
#define NAME_(to) s_##to
#define NAME(to) NAME_(to)
/* Moves a part by a row of the table; a row that is not there is not defined, which spin refuses. */
#define go(part, from, event) \
  SHOW(__COUNTER__, #part "_" #from "_" #event); assert(part[m] == s_##from); part[m] = NAME(part##_##from##_##event)

inline copyStore(to, from) {
  to.token = from.token; to.isBad = from.isBad;
  to.lock = from.lock; to.holder = from.holder; to.paused = from.paused;
  to.last = from.last;
  to.refused[0] = from.refused[0]; to.refused[1] = from.refused[1]
}

inline wipe(what) {
  what.token = 0; what.isBad = false;
  what.lock = 0; what.holder = NOBODY; what.paused = false;
  what.last = 0;
  what.refused[0] = 0; what.refused[1] = 0
}

/* Before each write of the store: the replica gets what was written before. */
inline replicate() {
  if
  :: faults > 0 -> copyStore(replica, store)
  :: else
  fi
}

inline disturb() {
  isCalm = false; newest = 0
}

inline fault() {
  faults--; disturb();
  /* Not needed any more: fewer states. */
  if
  :: faults == 0 -> wipe(replica)
  :: else
  fi
}

inline free() {
  store.lock = 0; store.holder = NOBODY; store.paused = false
}

#ifdef MISTAKE_ONE_VERDICT
#define VERDICT(of) 0
#else
#define VERDICT(of) of
#endif

#ifdef MISTAKE_HOLDER_ONLY
#define IS_MINE (store.lock != 0 && store.holder == m)
#else
#define IS_MINE (store.lock == sentClaim[m] && store.holder == m)
#endif

#define larger(a, b) (a > b -> a : b)

/* A member sends requests with this token from now on. */
inline use(generation) {
  assert(generation > used[m] || (generation == used[m] && !isOver[m]));
  used[m] = generation; isOver[m] = false;
  hasToken[m] = true; wants[m] = false
}

/* A fetch that has begun meanwhile finds it by itself. */
#ifdef MISTAKE_LATE_TOKEN
#define USE_PEEKED true
#else
#define USE_PEEKED (flight[m] == s_rest && peeked[m] > known[m])
#endif

/* While nothing has gone wrong, one member asks, and only for what nobody has obtained yet. */
inline checkTheOnlyRequest() {
  if
  :: isCalm ->
    assert(newest <= known[m]);
    for (i : 0 .. MEMBERS - 1) { assert(i == m || (flight[i] != s_fetching && flight[i] != s_fetchingAlone)) }
    i = 0
  :: else
  fi
}

#define IS_SPOILT (store.isBad && store.token == bad[m])
#define IS_NEWER (store.token > known[m] && !IS_SPOILT)

/* ACQUIRE of scripts.ts: gives the generation to the lock. */
inline takeLock() {
  replicate();
  store.last = larger(store.last, known[m]);
  store.last = (!isBehind && clock > store.last -> clock : store.last) + 1;
  clock = larger(clock, store.last);
  store.lock = store.last; store.holder = m; store.paused = false;
  if
  :: IS_SPOILT -> store.token = 0; store.isBad = false
  :: else
  fi
}

#define IS_REFUSED (store.refused[VERDICT(secret[m])] > known[m])

/* A look of a flight, and what the member does with the reply. Only a token can wait meanwhile: it must be opened. */
inline look() {
  if
  :: IS_NEWER && !store.isBad -> found[m] = store.token
  :: IS_NEWER && store.isBad -> go(flight, looking, useless); bad[m] = store.token; waitsFor[m] = NOBODY
  /* It ends too soon. */
  :: IS_NEWER && faults > 0 -> fault(); go(flight, looking, useless); known[m] = store.token; waitsFor[m] = NOBODY
  :: !IS_NEWER && IS_REFUSED ->
    /* Told no because of a secret that the identity server would take: somebody else's. */
    assert(secret[m] == WRONG);
    go(flight, looking, refused); wasToldNo[m] = true; hasWaited[m] = false
  :: !IS_NEWER && !IS_REFUSED && store.lock != 0 ->
    go(flight, looking, busy); waitsFor[m] = store.lock
  :: !IS_NEWER && !IS_REFUSED && store.lock == 0 ->
    takeLock();
    go(flight, looking, claimed); claim[m] = store.lock; asked[m] = secret[m]; hasWaited[m] = false;
    /* Lost, it is a lock that expires under its holder. */
    go(flight, claiming, hold);
    checkTheOnlyRequest()
  /* The command is lost, or its reply. */
  :: faults > 0 -> fault(); go(flight, looking, unanswered)
  :: faults > 0 && !IS_NEWER && store.lock == 0 -> takeLock(); fault(); go(flight, looking, unanswered)
  fi
}

/* The secrets are those of the claim; if they are others now, nobody knows which were refused. */
#ifdef MISTAKE_LATER_SECRET
#define NOTES_REFUSAL (asked[m] == WRONG || secret[m] == WRONG)
#else
#define NOTES_REFUSAL (asked[m] == WRONG && secret[m] == WRONG)
#endif

/* A write that comes late never ends the lock of another request. */
inline checkItsOwnLock() {
  assert(store.lock == sentClaim[m] && store.holder == m)
}

/* PUT of scripts.ts; sets `isStored`. */
inline put() {
#ifdef MISTAKE_NO_FENCING
  isStored = true; replicate();
  if :: store.holder == m -> free() :: else fi;
#else
  isStored = IS_MINE;
  if :: isStored -> replicate(); checkItsOwnLock(); free(); isStored = (sentClaim[m] > store.token) :: else fi;
#endif
  if
  :: isStored ->
    assert(sentClaim[m] > store.token);
    store.token = sentClaim[m]; store.isBad = false
  :: else
  fi
}

/* GIVE_UP of scripts.ts; sets `isStored`. */
inline giveUp() {
  isStored = IS_MINE;
  if :: isStored -> checkItsOwnLock() :: else fi;
  if
  :: isStored && sent[m] == note_refusal ->
    replicate(); store.refused[VERDICT(sentSecret[m])] = sentClaim[m]; free()
  :: isStored && sent[m] == note_failure -> replicate(); store.paused = true
  :: else
  fi
}

inline endWrite() {
  sent[m] = nothing; sentClaim[m] = 0; sentSecret[m] = 0
}

proctype Member(byte m) {
  bool isStored;
end:
  do
  :: atomic { flight[m] == s_rest && wants[m] && !wasToldNo[m] -> go(flight, rest, want);
ask:  look() }
  :: atomic { flight[m] == s_looking ->
      go(flight, looking, token); known[m] = found[m]; use(found[m]); found[m] = 0; hasWaited[m] = false }
  /* By news, or by the timer: the lock has gone. */
  :: atomic { flight[m] == s_waiting && waitsFor[m] != store.lock ->
      go(flight, waiting, look); hasWaited[m] = hasWaited[m] || waitsFor[m] != NOBODY; waitsFor[m] = 0; goto ask }
  /* The deadline, which is beyond the life of one lock: others have failed, or it was another's only try. */
  :: atomic { flight[m] == s_waiting && waitsFor[m] == store.lock && hasWaited[m] ->
      go(flight, waiting, timedOut); hasWaited[m] = false; waitsFor[m] = 0 }
  :: atomic { flight[m] == s_waiting && waitsFor[m] == store.lock && !hasWaited[m] && store.paused ->
      disturb(); go(flight, waiting, alone); waitsFor[m] = 0 }
  :: atomic { flight[m] == s_down && !isSpread[m] -> isSpread[m] = true; go(flight, down, look); goto ask }
  :: atomic { flight[m] == s_down && isSpread[m] -> go(flight, down, alone); hasWaited[m] = false }

  /* The identity server responds. */
  :: atomic { flight[m] == s_fetching && write[m] == s_rest && (asked[m] == RIGHT || secret[m] == RIGHT) ->
      go(flight, fetching, obtained); go(write, rest, obtained);
      use(claim[m]); isSpread[m] = true;
      newest = (isCalm && claim[m] > newest -> claim[m] : newest);
#ifndef MISTAKE_KNOWN_LATE
      known[m] = larger(claim[m], known[m]);
#endif
      go(write, obtaining, put); sent[m] = store_token; sentClaim[m] = claim[m]; claim[m] = 0; asked[m] = 0 }
  :: atomic { flight[m] == s_fetching && write[m] == s_rest && (asked[m] == WRONG || secret[m] == WRONG || faults > 0) ->
      go(flight, fetching, failed); go(write, rest, failed); go(write, failing, giveUp);
      sentClaim[m] = claim[m];
      if
      :: NOTES_REFUSAL -> sent[m] = note_refusal; sentSecret[m] = asked[m]
      :: !NOTES_REFUSAL -> sent[m] = note_failure;
        faults = (asked[m] == RIGHT && secret[m] == RIGHT -> faults - 1 : faults)
      fi;
      claim[m] = 0; asked[m] = 0 }
  :: atomic { flight[m] == s_fetchingAlone && secret[m] == RIGHT ->
      go(flight, fetchingAlone, obtainedAlone); isOver[m] = true; isSpread[m] = true; hasToken[m] = true; wants[m] = false }
  :: atomic { flight[m] == s_fetchingAlone && secret[m] == WRONG -> go(flight, fetchingAlone, failedAlone); wasToldNo[m] = true }

  /* The store carries out a write; nobody may wait for the reply any more. */
  :: atomic { sent[m] == store_token && (write[m] == s_rest || peek[m] == s_rest) ->
      put();
      if
      :: write[m] == s_rest
      :: write[m] == s_putting && isStored -> go(write, putting, stored); known[m] = larger(sentClaim[m], known[m])
      :: write[m] == s_putting && !isStored -> go(write, putting, superseded); go(peek, rest, superseded)
      :: write[m] == s_putting && faults > 0 -> fault(); go(write, putting, putUnanswered)
      fi;
      endWrite(); isStored = false }
  :: atomic { sent[m] == note_failure || sent[m] == note_refusal ->
      giveUp();
      if
      :: write[m] == s_rest
      :: write[m] == s_givingUp && isStored -> go(write, givingUp, released)
      :: write[m] == s_givingUp && !isStored -> go(write, givingUp, releasedBefore)
      :: write[m] == s_givingUp && faults > 0 -> fault(); go(write, givingUp, giveUpUnanswered)
      fi;
      endWrite(); isStored = false }
  /* Late, or lost. */
  :: atomic { faults > 0 && (write[m] == s_putting || write[m] == s_givingUp) ->
      fault();
      if
      :: write[m] == s_putting -> go(write, putting, putUnanswered)
      :: else -> go(write, givingUp, giveUpUnanswered)
      fi;
      if :: endWrite() :: skip fi }

  /* A look without a caller. */
  :: atomic { peek[m] == s_behind || (peek[m] == s_rest && hasToken[m] && IS_NEWER) ->
      if
      :: peek[m] == s_behind -> go(peek, behind, peek)
      :: else -> go(peek, rest, peek)
      fi;
      if
      :: IS_NEWER && !store.isBad -> peeked[m] = store.token
      :: IS_NEWER && store.isBad -> go(peek, peeking, unusable); bad[m] = store.token
      :: !IS_NEWER -> go(peek, peeking, nothing)
      :: faults > 0 -> fault(); go(peek, peeking, peekUnanswered)
      fi }
  :: atomic { peek[m] == s_peeking && USE_PEEKED ->
      go(peek, peeking, taken);
      known[m] = peeked[m]; use(peeked[m]); peeked[m] = 0 }
  :: atomic { peek[m] == s_peeking && !USE_PEEKED ->
      go(peek, peeking, unusable); peeked[m] = 0 }
  od
}

#ifdef MISTAKE_NO_EXPIRY
#define CAN_EXPIRE false
#else
#define CAN_EXPIRE true
#endif

/* The lock is still of use to this member. */
#define isHeldBy(m) (m != NOBODY && \
  (flight[m] == s_fetching && claim[m] == store.lock || sent[m] != nothing && sentClaim[m] == store.lock))

inline expire() {
  if
  :: replica.lock == store.lock && replica.holder == store.holder ->
    replica.lock = 0; replica.holder = NOBODY; replica.paused = false
  :: else
  fi;
  free()
}

/* No fault: the holder of the lock has given up, or will never come back to it. */
proctype Time() {
end:
  do
  :: atomic { store.lock != 0 && store.paused -> expire() }
  :: atomic { store.lock != 0 && !store.paused && CAN_EXPIRE && !isHeldBy(store.holder) -> disturb(); expire() }
  od
}

inline restart() {
  if
  :: flight[m] == s_rest -> go(flight, rest, crash)
  :: flight[m] == s_looking -> go(flight, looking, crash)
  :: flight[m] == s_waiting -> go(flight, waiting, crash)
  :: flight[m] == s_down -> go(flight, down, crash)
  :: flight[m] == s_fetching -> go(flight, fetching, crash)
  :: flight[m] == s_fetchingAlone -> go(flight, fetchingAlone, crash)
  fi;
  write[m] = s_rest; peek[m] = s_rest;
  wants[m] = true; wasToldNo[m] = false; hasToken[m] = false;
  known[m] = 0; bad[m] = 0; used[m] = 0; isOver[m] = false;
  claim[m] = 0; asked[m] = 0; waitsFor[m] = 0; hasWaited[m] = false; isSpread[m] = false; found[m] = 0; peeked[m] = 0;
  endWrite();
  /* It is another holder now. */
  if :: store.holder == m -> store.holder = NOBODY :: else fi;
  if :: replica.holder == m -> replica.holder = NOBODY :: else fi
}

#define canRenew(m) (flight[m] == s_rest && hasToken[m])

/* What goes wrong, until it ends: at the latest when the faults are used up. */
proctype World() {
  byte m;
  do
  /* An API refuses the token of a member. */
  :: atomic { renewals > 0 && (canRenew(0) || canRenew(1) || canRenew(2)) ->
      if
      :: canRenew(0) -> m = 0
      :: canRenew(1) -> m = 1
      :: canRenew(2) -> m = 2
      fi;
      renewals--; isOver[m] = true; hasToken[m] = false; wants[m] = true;
      m = 0 }
  /* A member dies, and starts again. */
  :: atomic { faults > 0 -> select (m : 0 .. MEMBERS - 1); fault(); restart(); m = 0 }
  /* The store is wiped, or its replica takes its place, maybe with a clock that is behind. */
  :: atomic { faults > 0 -> replicate(); wipe(store); fault() }
  :: atomic { faults > 0 -> copyStore(store, replica); fault(); if :: isBehind = true :: skip fi }
  /* Somebody spoils the value. */
  :: atomic { faults > 0 && store.token != 0 && !store.isBad -> store.isBad = true; fault() }
  /* A lock expires under its holder, which sleeps or takes too long. */
  :: atomic { faults > 0 && store.lock != 0 && CAN_EXPIRE && isHeldBy(store.holder) -> expire(); fault() }
  :: atomic { faults > 0 && store.refused[WRONG] != 0 -> store.refused[WRONG] = 0; fault() }
  /* A member gets another secret. */
  :: atomic { faults > 0 -> secret[2] = 1 - secret[2]; wasToldNo[2] = false; fault() }
  :: break
  od
}

/* When nothing more can happen, each member has a token, or was told that its secret is wrong. */
proctype Rest() {
  timeout ->
  for (i : 0 .. MEMBERS - 1) {
    assert(flight[i] == s_rest && write[i] == s_rest && peek[i] == s_rest);
    assert(!wants[i] || (wasToldNo[i] && secret[i] == WRONG))
  }
}

init {
  atomic {
    for (i : 0 .. MEMBERS - 1) {
      flight[i] = s_rest; write[i] = s_rest; peek[i] = s_rest; sent[i] = nothing;
      wants[i] = true; secret[i] = (i == 2 -> WRONG : RIGHT)
    }
    i = 0;
    store.holder = NOBODY; replica.holder = NOBODY;
    run Member(0); run Member(1); run Member(2); run Time(); run World(); run Rest()
  }
}
