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
bit asked[MEMBERS];      /* the secret of the look, then of the token request that is on its way */
byte claim[MEMBERS];     /* the generation of that request */
byte waitsFor[MEMBERS];  /* generation of the lock, NOBODY = look at once */
bool hasWaited[MEMBERS]; /* for an earlier lock in the same flight */
bool isSpread[MEMBERS];
mtype reply[MEMBERS];    /* to the look of the flight */
byte found[MEMBERS];
mtype peekReply[MEMBERS];
byte peekFound[MEMBERS];

/* The command of a write on its way to the store, its generation (0 = none), and the reply (0 = none). */
mtype sent[MEMBERS];
byte sentClaim[MEMBERS];
bool isVerdict[MEMBERS];
bit verdictOn[MEMBERS];
mtype wrote[MEMBERS];

byte faults = FAULTS;
byte renewals = RENEWALS;
/* No lock has expired early, nothing was lost, nobody died. */
bool isCalm = true;
byte newest; /* generation obtained */
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

/* Before each write of the store: the replica gets what was written before. */
inline replicate() {
  replica.token = store.token; replica.unreadable = store.unreadable;
  replica.lock = store.lock; replica.holder = store.holder; replica.paused = store.paused;
  replica.last = store.last;
  replica.refused[0] = store.refused[0]; replica.refused[1] = store.refused[1]
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

inline free() {
  store.lock = 0; store.holder = NOBODY; store.paused = false
}

/* ACQUIRE of scripts.ts. */
inline acquire() {
  if
  :: store.token > known[m] ->
    found[m] = store.token;
    reply[m] = (store.unreadable -> e_unreadable : e_token)
  :: store.token <= known[m] && store.refused[VERDICT(secret[m])] -> reply[m] = e_refused
  :: store.token <= known[m] && !store.refused[VERDICT(secret[m])] && store.lock != 0 ->
    found[m] = store.lock;
    reply[m] = e_busy
  :: store.token <= known[m] && !store.refused[VERDICT(secret[m])] && store.lock == 0 ->
    replicate();
    store.last = (store.last > known[m] -> store.last : known[m]);
    store.last = (!isBehind && clock > store.last -> clock : store.last) + 1;
    clock = (clock > store.last -> clock : store.last);
    store.lock = store.last; store.holder = m; store.paused = false;
    found[m] = store.last;
    reply[m] = e_claimed
  fi
}

/* The look of a flight: its command or its reply may be lost. */
inline look() {
  asked[m] = secret[m];
  if
  :: acquire()
  :: faults > 0 -> faults--; isCalm = false; reply[m] = e_unanswered
  :: faults > 0 -> faults--; isCalm = false; acquire(); found[m] = 0; reply[m] = e_unanswered
  fi
}

/* PUT of scripts.ts. */
inline put() {
#ifdef MISTAKE_NO_FENCING
  if
  :: true ->
    replicate();
    if :: store.holder == m -> free() :: else fi;
    assert(sentClaim[m] > store.token);
    store.token = sentClaim[m]; store.unreadable = false; wrote[m] = e_stored
  fi
#else
  if
  :: IS_MINE ->
    replicate();
    free();
    if
    :: sentClaim[m] > store.token ->
      store.token = sentClaim[m]; store.unreadable = false; wrote[m] = e_stored
    :: else -> wrote[m] = e_superseded
    fi
  :: else -> wrote[m] = e_superseded
  fi
#endif
}

/* GIVE_UP of scripts.ts. */
inline giveUp() {
  if
  :: IS_MINE ->
    replicate();
    if
    :: isVerdict[m] -> store.refused[VERDICT(verdictOn[m])] = true; free()
    :: else -> store.paused = true
    fi;
    wrote[m] = e_released
  :: else -> wrote[m] = e_releasedBefore
  fi
}

/* A member sends requests with this token from now on. */
inline use(generation) {
  assert(generation > used[m] || (generation == used[m] && !isOver[m]));
  used[m] = generation; isOver[m] = false;
  hasToken[m] = true; wants[m] = false
}

/* A token that was found: replies may come in another order than that of the looks. */
inline useFound(generation) {
  known[m] = (generation > known[m] -> generation : known[m]);
#ifdef MISTAKE_LATE_REPLY
  use(generation)
#else
  if
  :: generation > used[m] -> use(generation)
  :: else -> hasToken[m] = true; wants[m] = false
  fi
#endif
}

/* The write of this member leaves for the store; one that is still on its way is lost. */
inline send(what) {
  sent[m] = what; sentClaim[m] = claim[m]; wrote[m] = 0
}

inline endLook() {
  asked[m] = 0; found[m] = 0; reply[m] = 0
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

proctype Member(byte m) {
end:
  do
  /* Flight. */
  :: atomic { flight[m] == s_rest && wants[m] && !wasToldNo[m] ->
      fly(e_want); look() }
  :: atomic { flight[m] == s_looking && reply[m] == e_token ->
      fly(e_token); useFound(found[m]); endLook(); hasWaited[m] = false }
  :: atomic { flight[m] == s_looking && reply[m] == e_unreadable ->
      fly(e_unreadable); known[m] = (found[m] > known[m] -> found[m] : known[m]);
      waitsFor[m] = NOBODY; endLook() }
  :: atomic { flight[m] == s_looking && reply[m] == e_refused ->
      /* Told no because of a secret that the identity server would take: somebody else's. */
      assert(asked[m] == WRONG);
      fly(e_refused); wasToldNo[m] = true; endLook(); hasWaited[m] = false }
  :: atomic { flight[m] == s_looking && reply[m] == e_claimed ->
      fly(e_claimed); claim[m] = found[m]; endLook(); hasWaited[m] = false; asked[m] = secret[m];
      checkTheOnlyRequest() }
  :: atomic { flight[m] == s_looking && reply[m] == e_busy ->
      fly(e_busy); waitsFor[m] = found[m]; endLook() }
  :: atomic { flight[m] == s_looking && reply[m] == e_unanswered ->
      fly(e_unanswered); endLook() }
  /* By news, or by the timer: the lock has gone. */
  :: atomic { flight[m] == s_waiting && waitsFor[m] != store.lock ->
      fly(e_look); hasWaited[m] = hasWaited[m] || waitsFor[m] != NOBODY; waitsFor[m] = 0; look() }
  /* The deadline is beyond the life of one lock. */
  :: atomic { flight[m] == s_waiting && waitsFor[m] == store.lock && (hasWaited[m] || store.paused) ->
      isCalm = false; fly(e_alone); hasWaited[m] = false; waitsFor[m] = 0 }
  :: atomic { flight[m] == s_down && !isSpread[m] -> isSpread[m] = true; fly(e_look); look() }
  :: atomic { flight[m] == s_down && isSpread[m] -> fly(e_alone); hasWaited[m] = false }

  /* The identity server. */
  :: atomic { flight[m] == s_fetching && write[m] == s_rest && asked[m] == RIGHT ->
      fly(e_obtained); writes(e_obtained);
      use(claim[m]); isSpread[m] = true;
      newest = (claim[m] > newest -> claim[m] : newest);
#ifndef MISTAKE_KNOWN_LATE
      known[m] = (claim[m] > known[m] -> claim[m] : known[m]);
#endif
      writes(e_put); send(e_put); claim[m] = 0; asked[m] = 0 }
  :: atomic { flight[m] == s_fetching && write[m] == s_rest && (asked[m] == WRONG || faults > 0) ->
      fly(e_failed); writes(e_failed);
      isVerdict[m] = (asked[m] == WRONG);
      faults = (asked[m] == WRONG -> faults : faults - 1);
#ifdef MISTAKE_LATER_SECRET
      verdictOn[m] = secret[m];
#else
      verdictOn[m] = asked[m];
#endif
      writes(e_giveUp); send(e_giveUp); claim[m] = 0; asked[m] = 0 }
  :: atomic { flight[m] == s_fetchingAlone && secret[m] == RIGHT ->
      fly(e_obtainedAlone); isOver[m] = true; isSpread[m] = true; hasToken[m] = true; wants[m] = false }
  :: atomic { flight[m] == s_fetchingAlone && secret[m] == WRONG -> fly(e_failedAlone); wasToldNo[m] = true }

  /* What follows a request. */
  :: atomic { write[m] == s_putting && wrote[m] == e_stored ->
      writes(e_stored); known[m] = (sentClaim[m] > known[m] -> sentClaim[m] : known[m]); sentClaim[m] = 0; wrote[m] = 0 }
  :: atomic { write[m] == s_putting && wrote[m] == e_superseded && peek[m] == s_rest ->
      writes(e_superseded); peeks(e_superseded); sentClaim[m] = 0; wrote[m] = 0 }
  :: atomic { write[m] == s_givingUp && wrote[m] != 0 ->
      if
      :: wrote[m] == e_released -> writes(e_released)
      :: else -> writes(e_releasedBefore)
      fi;
      sentClaim[m] = 0; isVerdict[m] = false; verdictOn[m] = 0; wrote[m] = 0 }
  /* The command may still be on its way. */
  :: atomic { faults > 0 && (write[m] == s_putting || write[m] == s_givingUp) ->
      faults--; isCalm = false;
      if
      :: write[m] == s_putting -> writes(e_putUnanswered)
      :: else -> writes(e_giveUpUnanswered)
      fi;
      if :: sent[m] == 0 -> sentClaim[m] = 0 :: else fi;
      wrote[m] = 0 }

  /* A look without a caller. */
  :: atomic { (peek[m] == s_behind || (peek[m] == s_rest && hasToken[m] && store.token > known[m])) ->
      peeks(e_peek);
      if
      :: store.token > known[m] -> peekFound[m] = store.token; peekReply[m] = (store.unreadable -> e_peekUnreadable : e_taken)
      :: else -> peekReply[m] = e_nothing
      fi }
  :: atomic { peek[m] == s_peeking && peekReply[m] == e_taken ->
      peeks(e_taken);
      /* News were lost, or it would be the flight that takes it. */
      if :: flight[m] == s_rest || flight[m] == s_fetchingAlone :: else -> isCalm = false fi;
      useFound(peekFound[m]); peekFound[m] = 0; peekReply[m] = 0 }
  :: atomic { peek[m] == s_peeking && peekReply[m] == e_nothing -> peeks(e_nothing); peekReply[m] = 0 }
  :: atomic { peek[m] == s_peeking && peekReply[m] == e_peekUnreadable ->
      peeks(e_peekUnreadable); known[m] = (peekFound[m] > known[m] -> peekFound[m] : known[m]);
      peekFound[m] = 0; peekReply[m] = 0 }
  :: atomic { peek[m] == s_peeking && faults > 0 ->
      faults--; isCalm = false; peeks(e_peekUnanswered); peekFound[m] = 0; peekReply[m] = 0 }
  od
}

#ifdef MISTAKE_NO_EXPIRY
#define CAN_EXPIRE false
#else
#define CAN_EXPIRE true
#endif

/* The lock is still of use to this member, or will be. */
#define isAlive(m) (m != NOBODY && (flight[m] == s_fetching && claim[m] == store.lock || \
  flight[m] == s_looking && reply[m] == e_claimed && found[m] == store.lock || \
  sent[m] != 0 && sentClaim[m] == store.lock))

inline expire() {
  if :: replica.lock == store.lock && replica.holder == store.holder -> replica.lock = 0; replica.holder = NOBODY; replica.paused = false :: else fi;
  free()
}

/* Carries the writes; and locks expire. Neither is a fault. */
active proctype Network() {
  byte m;
end:
  do
  :: atomic { sent[0] != 0 -> m = 0; goto deliver }
  :: atomic { sent[1] != 0 -> m = 1; goto deliver }
  :: atomic { sent[2] != 0 -> m = 2;
deliver:
      if
      :: sent[m] == e_put -> put()
      :: else -> giveUp()
      fi;
      sent[m] = 0;
      /* Nobody waits for the reply any more. */
      if :: write[m] == s_rest -> wrote[m] = 0; sentClaim[m] = 0 :: else fi;
      m = 0 }
  /* Its holder has given up, or will never come back to it. */
  :: atomic { store.lock != 0 && (store.paused || CAN_EXPIRE && !isAlive(store.holder)) ->
      isCalm = isCalm && store.paused; expire() }
  od
}

/* What goes wrong, until it ends: at the latest when the faults are used up. */
active proctype World() {
  byte m;
  do
  /* An API refuses the token of a member. */
  :: atomic { renewals > 0 ->
      select (m : 0 .. MEMBERS - 1);
      if
      :: flight[m] == s_rest && hasToken[m] ->
        renewals--; isOver[m] = true; hasToken[m] = false; wants[m] = true
      :: else
      fi; m = 0 }
  :: atomic { faults > 0 -> faults--; isCalm = false;
      if
      /* A member dies, and starts again. */
      :: select (m : 0 .. MEMBERS - 1);
        fly(e_crash); write[m] = s_rest; peek[m] = s_rest;
        wants[m] = true; wasToldNo[m] = false; hasToken[m] = false; known[m] = 0; used[m] = 0; isOver[m] = false;
        isSpread[m] = false; hasWaited[m] = false; waitsFor[m] = 0; claim[m] = 0; endLook(); peekFound[m] = 0; peekReply[m] = 0;
        sent[m] = 0; sentClaim[m] = 0; isVerdict[m] = false; verdictOn[m] = 0; wrote[m] = 0;
        if :: store.holder == m -> store.holder = NOBODY :: else fi;
        if :: replica.holder == m -> replica.holder = NOBODY :: else fi
      /* The store is wiped. */
      :: replicate(); store.token = 0; store.unreadable = false; free(); store.last = 0;
        store.refused[0] = false; store.refused[1] = false
      /* The replica becomes the store; its clock may be behind. */
      :: store.token = replica.token; store.unreadable = replica.unreadable;
        store.lock = replica.lock; store.holder = replica.holder; store.paused = replica.paused;
        store.last = replica.last; store.refused[0] = replica.refused[0]; store.refused[1] = replica.refused[1];
        if :: isBehind = true :: skip fi
      /* Somebody spoils the value. */
      :: store.token != 0 -> store.unreadable = true
      /* A lock expires under its holder, which sleeps or takes too long. */
      :: store.lock != 0 && CAN_EXPIRE && isAlive(store.holder) -> expire()
      /* A verdict expires. */
      :: store.refused[WRONG] -> store.refused[WRONG] = false
      /* The member with the wrong secret gets the right one. */
      :: secret[2] == WRONG -> secret[2] = RIGHT; if :: wasToldNo[2] -> wasToldNo[2] = false :: else fi
      fi; m = 0 }
  :: break
  od
}

/* When nothing more can happen, each member has a token, or was told that its secret is wrong. */
active proctype Rest() {
  timeout ->
  for (i : 0 .. MEMBERS - 1) {
    assert(flight[i] == s_rest && write[i] == s_rest && peek[i] == s_rest);
    assert(!wants[i] || (wasToldNo[i] && secret[i] == WRONG))
  }
}

init {
  atomic {
    for (i : 0 .. MEMBERS - 1) {
      flight[i] = s_rest; write[i] = s_rest; peek[i] = s_rest;
      wants[i] = true; secret[i] = (i == 2 -> WRONG : RIGHT)
    }
    i = 0;
    store.holder = NOBODY; replica.holder = NOBODY;
    run Member(0); run Member(1); run Member(2)
  }
}
