/*
 * How the members of a fleet share one token through a store (src/fleet/shared-token.ts and src/fleet/scripts.ts), for spin:
 * every order of steps and faults within the bounds below. A sidecar is a member; a script is one step of the store.
 *
 * What is left out. Time: a lock may expire at any moment, so a member that sleeps past its lock is one whose next step comes
 * late. News: a member that waits may look again when the lock it waits for has gone, whether news or its timer told it so; a
 * member with a token may look at any moment, or never. Both are what it does when news are lost, too.
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

/* States and events of member-steps.h. */
mtype = { s_rest, s_looking, s_waiting, s_down, s_fetching, s_fetchingAlone, s_obtaining, s_putting, s_failing, s_givingUp,
  s_behind, s_peeking };
mtype = { e_want, e_token, e_unreadable, e_refused, e_claimed, e_busy, e_unanswered, e_look, e_alone, e_obtained, e_failed,
  e_obtainedAlone, e_failedAlone, e_put, e_stored, e_superseded, e_putUnanswered, e_giveUp, e_released, e_releasedBefore,
  e_giveUpUnanswered, e_peek, e_taken, e_nothing, e_peekUnreadable, e_peekUnanswered, e_crash };

#define WRONG 0
#define RIGHT 1
#define NOBODY 255

/* The store. A lock is the claim that it was given for: a generation, and the member. */
typedef Store {
  byte token;      /* generation, 0 = none */
  bool unreadable; /* what is there cannot be opened */
  byte lock;       /* generation, 0 = free */
  byte holder;
  bool paused;     /* its holder has given up; it expires soon */
  byte last;       /* the generation given last */
  bool refused[2]  /* by secret */
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
bit asked[MEMBERS];      /* the secret of the token request that is on its way */
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
c_decl { static unsigned char shown[64]; }
#define SHOW(row, text) c_code { if (!shown[row]) { shown[row] = 1; printf("row %s\n", text); } }
#else
#define SHOW(row, text) skip
#endif

/* Moves a part by a row of the table; an event without a row from here is an error of the model. */
#define MOVE(part, from, event, to) \
  :: part[m] == s_##from && what == e_##event -> SHOW(__COUNTER__, #part " " #from " " #event " " #to); part[m] = s_##to
#define MOVE_flight(from, event, to)
#define MOVE_write(from, event, to)
#define MOVE_peek(from, event, to)
#define STEP(part, from, event, to) MOVE_##part(from, event, to)

inline fly(what) {
  if
#undef MOVE_flight
#define MOVE_flight(from, event, to) MOVE(flight, from, event, to)
#include "member-steps.h"
#undef MOVE_flight
#define MOVE_flight(from, event, to)
  :: else -> assert(false)
  fi
}

inline writes(what) {
  if
#undef MOVE_write
#define MOVE_write(from, event, to) MOVE(write, from, event, to)
#include "member-steps.h"
#undef MOVE_write
#define MOVE_write(from, event, to)
  :: else -> assert(false)
  fi
}

inline peeks(what) {
  if
#undef MOVE_peek
#define MOVE_peek(from, event, to) MOVE(peek, from, event, to)
#include "member-steps.h"
  :: else -> assert(false)
  fi
}

inline copyStore(to, from) {
  to.token = from.token; to.unreadable = from.unreadable;
  to.lock = from.lock; to.holder = from.holder; to.paused = from.paused;
  to.last = from.last;
  to.refused[0] = from.refused[0]; to.refused[1] = from.refused[1]
}

inline wipe(what) {
  what.token = 0; what.unreadable = false;
  what.lock = 0; what.holder = NOBODY; what.paused = false;
  what.last = 0;
  what.refused[0] = false; what.refused[1] = false
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

/* A token that was found or obtained: meanwhile another look may have brought a newer one, which stays in use. */
inline useNewest(generation) {
#ifdef MISTAKE_LATE_TOKEN
  use(generation)
#else
  if
  :: generation > used[m] -> use(generation)
  :: else -> hasToken[m] = true; wants[m] = false
  fi
#endif
}

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

/* ACQUIRE of scripts.ts: gives the generation to the lock. */
inline takeLock() {
  replicate();
  store.last = larger(store.last, known[m]);
  store.last = (!isBehind && clock > store.last -> clock : store.last) + 1;
  clock = larger(clock, store.last);
  store.lock = store.last; store.holder = m; store.paused = false
}

#define IS_REFUSED store.refused[VERDICT(secret[m])]

/* A look of a flight, and what the member does with the reply. Only a token can wait meanwhile: it must be opened. */
inline look() {
  if
  :: store.token > known[m] && !store.unreadable -> found[m] = store.token
  :: store.token > known[m] && store.unreadable -> fly(e_unreadable); known[m] = store.token; waitsFor[m] = NOBODY
  :: store.token <= known[m] && IS_REFUSED ->
    /* Told no because of a secret that the identity server would take: somebody else's. */
    assert(secret[m] == WRONG);
    fly(e_refused); wasToldNo[m] = true; hasWaited[m] = false
  :: store.token <= known[m] && !IS_REFUSED && store.lock != 0 ->
    fly(e_busy); waitsFor[m] = store.lock
  :: store.token <= known[m] && !IS_REFUSED && store.lock == 0 ->
    takeLock();
    fly(e_claimed); claim[m] = store.lock; asked[m] = secret[m]; hasWaited[m] = false;
    checkTheOnlyRequest()
  /* The command is lost, or its reply. */
  :: faults > 0 -> fault(); fly(e_unanswered)
  :: faults > 0 && store.lock == 0 -> takeLock(); fault(); fly(e_unanswered)
  fi
}

/* PUT of scripts.ts; sets `isStored`. */
inline put() {
#ifdef MISTAKE_NO_FENCING
  isStored = true; replicate();
  if :: store.holder == m -> free() :: else fi;
#else
  isStored = IS_MINE;
  if :: isStored -> replicate(); free(); isStored = (sentClaim[m] > store.token) :: else fi;
#endif
  if
  :: isStored ->
    assert(sentClaim[m] > store.token);
    store.token = sentClaim[m]; store.unreadable = false
  :: else
  fi
}

/* GIVE_UP of scripts.ts; sets `isStored`. */
inline giveUp() {
  isStored = IS_MINE;
  if
  :: isStored && sent[m] == note_refusal ->
    replicate(); store.refused[VERDICT(sentSecret[m])] = true; free()
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
  :: atomic { flight[m] == s_rest && wants[m] && !wasToldNo[m] -> fly(e_want); look() }
  :: atomic { flight[m] == s_looking ->
      fly(e_token); known[m] = larger(found[m], known[m]); useNewest(found[m]); found[m] = 0; hasWaited[m] = false }
  /* By news, or by the timer: the lock has gone. */
  :: atomic { flight[m] == s_waiting && waitsFor[m] != store.lock ->
      fly(e_look); hasWaited[m] = hasWaited[m] || waitsFor[m] != NOBODY; waitsFor[m] = 0; look() }
  /* The deadline is beyond the life of one lock. */
  :: atomic { flight[m] == s_waiting && waitsFor[m] == store.lock && (hasWaited[m] || store.paused) ->
      disturb(); fly(e_alone); hasWaited[m] = false; waitsFor[m] = 0 }
  :: atomic { flight[m] == s_down && !isSpread[m] -> isSpread[m] = true; fly(e_look); look() }
  :: atomic { flight[m] == s_down && isSpread[m] -> fly(e_alone); hasWaited[m] = false }

  /* The identity server responds. */
  :: atomic { flight[m] == s_fetching && write[m] == s_rest && asked[m] == RIGHT ->
      fly(e_obtained); writes(e_obtained);
      useNewest(claim[m]); isSpread[m] = true;
      newest = (isCalm && claim[m] > newest -> claim[m] : newest);
#ifndef MISTAKE_KNOWN_LATE
      known[m] = larger(claim[m], known[m]);
#endif
      writes(e_put); sent[m] = store_token; sentClaim[m] = claim[m]; claim[m] = 0; asked[m] = 0 }
  :: atomic { flight[m] == s_fetching && write[m] == s_rest && (asked[m] == WRONG || faults > 0) ->
      fly(e_failed); writes(e_failed); writes(e_giveUp);
      sentClaim[m] = claim[m];
      if
      :: asked[m] == WRONG ->
        sent[m] = note_refusal;
#ifdef MISTAKE_LATER_SECRET
        sentSecret[m] = secret[m]
#else
        sentSecret[m] = asked[m]
#endif
      :: else -> faults--; sent[m] = note_failure
      fi;
      claim[m] = 0; asked[m] = 0 }
  :: atomic { flight[m] == s_fetchingAlone && secret[m] == RIGHT ->
      fly(e_obtainedAlone); isOver[m] = true; isSpread[m] = true; hasToken[m] = true; wants[m] = false }
  :: atomic { flight[m] == s_fetchingAlone && secret[m] == WRONG -> fly(e_failedAlone); wasToldNo[m] = true }

  /* The store carries out a write; nobody may wait for the reply any more. */
  :: atomic { sent[m] == store_token && (write[m] == s_rest || peek[m] == s_rest) ->
      put();
      if
      :: write[m] == s_rest
      :: write[m] == s_putting && isStored -> writes(e_stored); known[m] = larger(sentClaim[m], known[m])
      :: write[m] == s_putting && !isStored -> writes(e_superseded); peeks(e_superseded)
      :: write[m] == s_putting && faults > 0 -> fault(); writes(e_putUnanswered)
      fi;
      endWrite(); isStored = false }
  :: atomic { sent[m] == note_failure || sent[m] == note_refusal ->
      giveUp();
      if
      :: write[m] == s_rest
      :: write[m] == s_givingUp && isStored -> writes(e_released)
      :: write[m] == s_givingUp && !isStored -> writes(e_releasedBefore)
      :: write[m] == s_givingUp && faults > 0 -> fault(); writes(e_giveUpUnanswered)
      fi;
      endWrite(); isStored = false }
  /* Late, or lost. */
  :: atomic { faults > 0 && (write[m] == s_putting || write[m] == s_givingUp) ->
      fault();
      if
      :: write[m] == s_putting -> writes(e_putUnanswered)
      :: else -> writes(e_giveUpUnanswered)
      fi;
      if :: endWrite() :: skip fi }

  /* A look without a caller. */
  :: atomic { peek[m] == s_behind || (peek[m] == s_rest && hasToken[m] && store.token > known[m]) ->
      peeks(e_peek);
      if
      :: store.token > known[m] && !store.unreadable -> peeked[m] = store.token
      :: store.token > known[m] && store.unreadable -> peeks(e_peekUnreadable); known[m] = store.token
      :: store.token <= known[m] -> peeks(e_nothing)
      :: faults > 0 -> fault(); peeks(e_peekUnanswered)
      fi }
  :: atomic { peek[m] == s_peeking ->
      peeks(e_taken);
      /* News were lost, or it would be the flight that takes it. */
      if :: flight[m] == s_waiting -> disturb() :: else fi;
      known[m] = larger(peeked[m], known[m]); useNewest(peeked[m]); peeked[m] = 0 }
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
  fly(e_crash); write[m] = s_rest; peek[m] = s_rest;
  wants[m] = true; wasToldNo[m] = false; hasToken[m] = false;
  known[m] = 0; used[m] = 0; isOver[m] = false;
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
  :: atomic { faults > 0 && store.token != 0 && !store.unreadable -> store.unreadable = true; fault() }
  /* A lock expires under its holder, which sleeps or takes too long. */
  :: atomic { faults > 0 && store.lock != 0 && CAN_EXPIRE && isHeldBy(store.holder) -> expire(); fault() }
  :: atomic { faults > 0 && store.refused[WRONG] -> store.refused[WRONG] = false; fault() }
  /* The member with the wrong secret gets the right one. */
  :: atomic { faults > 0 && secret[2] == WRONG -> secret[2] = RIGHT; wasToldNo[2] = false; fault() }
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
