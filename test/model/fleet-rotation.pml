/*
 * How the members of a fleet rotate a client secret (src/sidecar/fleet, src/fleet/lease.ts, src/iam/rotation/rotate.ts), for
 * spin: every order of steps and faults within the bounds below. A script is one step of the store; a request to Aritma IAM and
 * a write of a file are steps of their own, so that a holder can sleep past its lease between any two.
 *
 * What is left out. Time: a lease may expire at any moment, under a holder that goes on that is a fault; `overlap` may be over at
 * once. Keys: all members have the same. A journal is a revision: the store's clock gives each write another, so what a revision
 * says is written once (`said`). Members with a secret only in memory: random histories have them (fleet-rotation-history.ts).
 * Bound: a member that nobody has heard of when an attempt begins (`away`) may lose its secret; it gets the next one.
 *
 * -DFAULTS=n and -DATTEMPTS=n are the bounds. -DMISTAKE_... plants a mistake: see the test.
 */
#define MEMBERS 3
#ifndef FAULTS
#define FAULTS 2
#endif
#ifndef ATTEMPTS
#define ATTEMPTS 2
#endif
#define VALUES (ATTEMPTS + 1)
#define REVISIONS 16
#define NOBODY 3
#define NONE 7

/* What a journal says of its attempt. */
mtype = { none, creating, created, verified, promoted, abandoned };
/* Where a rotation of a member is. */
mtype = { idle, opened, listing, beginning, cleaning, making, made, proving, storing, stored, retiring, retired, dropping, dropped };

typedef Journal {
  mtype phase;
  byte attempt;        /* also its value; the first secret is 0 */
  byte current;
  byte lacking         /* places, by bit */
};
/* By revision. */
Journal said[REVISIONS];
byte last = 1;

/* The store. */
byte journal = 1;
byte lease = NOBODY;
bool listed[MEMBERS];
byte told[MEMBERS];
/* 30 s have passed since it was empty. */
bool isComplete = true;
/* A replica that the last write has not reached. */
byte replicaJournal = 1;
byte replicaLease = NOBODY;

/* Aritma IAM. */
bool live[VALUES];

/* The members. */
byte file[MEMBERS];
byte disk[MEMBERS];    /* the journal next to it */
byte loaded[MEMBERS];  /* NONE: it is down */
byte seen[MEMBERS];    /* the newest journal in its memory */
bool isCut[MEMBERS];
bool isFrozen[MEMBERS];
bool isAway[MEMBERS];
mtype at[MEMBERS];
byte base[MEMBERS];    /* the journal that its rotation goes on from */

byte faults = FAULTS;
byte attempts = ATTEMPTS;
/* A secret was created or deleted late, by one that had no lease any more. */
bool isLate;
byte i;

#define isUp(m) (loaded[m] != NONE)
#define canStep(m) (isUp(m) && !isFrozen[m])
#define canReach(m) (canStep(m) && !isCut[m])
#define J said[base[m]]
#define larger(a, b) (a > b -> a : b)
#define placeOf(m) (1 << (m))
#if ATTEMPTS > 1
#define COUNT (live[0] + live[1] + live[2])
#else
#define COUNT (live[0] + live[1])
#endif
#define works(m) (isAway[m] || live[file[m]] || (isUp(m) && loaded[m] != NONE && live[loaded[m] % VALUES]))

/* Nobody is without a secret that works, and there are never more than two, but for one that came late. */
inline check() {
  assert(works(0) && works(1) && works(2));
  assert(COUNT <= 2 || (isLate && COUNT <= 3))
}

inline replicate() {
  if
  :: faults > 0 -> replicaJournal = journal; replicaLease = lease
  :: else
  fi
}

inline fault() {
  faults--;
  if
  :: faults == 0 -> replicaJournal = 0; replicaLease = NOBODY
  :: else
  fi
}

/* `look` of FleetJournal: the newest journal wins, and is put back. */
inline look() {
  if
  :: journal > seen[m] -> seen[m] = journal
  :: journal < seen[m] ->
#ifndef MISTAKE_NOT_PUT_BACK
    replicate(); journal = seen[m]
#else
    skip
#endif
  :: else
  fi
}

#ifdef MISTAKE_LEASE_AGAIN
#define IS_MINE (lease == m || lease == NOBODY)
#else
#define IS_MINE (lease == m)
#endif

#ifdef MISTAKE_NO_FENCING
#define MAY_WRITE true
#else
#ifdef MISTAKE_LEASE_AGAIN
#define MAY_WRITE IS_MINE
#else
#define MAY_WRITE (IS_MINE && journal <= base[m])
#endif
#endif

/* The places that lack `wanted`, as far as known. */
inline lack() {
  places = said[base[m]].lacking;
  for (i : 0 .. MEMBERS - 1) {
    if
    :: listed[i] && told[i] == wanted -> places = places & (7 - placeOf(i))
    :: listed[i] && told[i] != wanted -> places = places | placeOf(i)
    :: else
    fi
  }
  i = 0; wanted = 0
}

inline finish() {
  at[m] = idle; base[m] = 0;
  if :: lease == m && canReach(m) -> lease = NOBODY :: else fi
}

/* NOTE of scripts.ts, and the member's own disk. */
inline write(nextPhase, nextAttempt, nextCurrent, next) {
  if
  :: canReach(m) && MAY_WRITE ->
    replicate();
#ifdef MISTAKE_LEASE_AGAIN
    lease = m;
#endif
    wanted = (nextAttempt != 0 -> nextAttempt : said[base[m]].attempt);
    lack();
    last++; assert(last < REVISIONS);
    said[last].phase = nextPhase; said[last].attempt = nextAttempt; said[last].current = nextCurrent;
    said[last].lacking = (nextPhase == none -> 0 : places);
    places = 0;
    /* An older journal never replaces a newer one: what it replaces, its writer has seen. */
    assert(journal <= base[m]);
    journal = last; seen[m] = last; disk[m] = last; base[m] = last;
    at[m] = next
  :: else -> finish()
  fi
}

/* Whether a rotation that is begun now would come further: one that would not is not begun, which spares endless steps. */
#define CAN_BEGIN (attempts > 0 && isComplete)
#define HAS(k) ((listed[k] && told[k] == said[journal].attempt) * placeOf(k))
#define LACKS(k) (listed[k] && told[k] != said[journal].attempt)
#ifdef MISTAKE_NO_ACKNOWLEDGEMENT
#define ALL_HAVE true
#else
#define ALL_HAVE ((said[journal].lacking & (7 - (HAS(0) | HAS(1) | HAS(2)))) == 0 && !LACKS(0) && !LACKS(1) && !LACKS(2))
#endif
#define WOULD_GO_ON(m) ( \
  said[journal].phase == none && CAN_BEGIN || said[journal].phase != none && \
  (said[journal].phase != promoted || file[m] == said[journal].attempt && ALL_HAVE))

/* Those of this journal that are neither its current secret nor the one in use. */
inline list() {
  strays = 0;
  for (i : 1 .. VALUES - 1) {
    if
    :: live[i] && i != J.current && live[J.current] -> strays = strays | placeOf(i)
    :: else
    fi
  }
  i = 0
}

inline clean() {
  for (i : 1 .. VALUES - 1) {
    if
    :: strays & placeOf(i) -> live[i] = false
    :: else
    fi
  }
  i = 0; strays = 0; isLate = isLate && lease != m
}

proctype Member(byte m) {
  byte strays;
  byte places;
  byte wanted;
end:
  do
  /* A look, and what the follower does with it: takes the secret over. */
  :: atomic { canReach(m) && (seen[m] != journal) -> look(); check() }
  :: atomic { canStep(m) && at[m] == idle && said[seen[m]].phase == promoted && file[m] != said[seen[m]].attempt ->
      file[m] = said[seen[m]].attempt; disk[m] = larger(disk[m], seen[m]); check() }
  :: atomic { canStep(m) && loaded[m] != file[m] -> loaded[m] = file[m]; check() }
  :: atomic { canReach(m) && (!listed[m] || told[m] != loaded[m]) -> listed[m] = true; told[m] = loaded[m] }

  /* One rotation. */
  :: atomic { canReach(m) && at[m] == idle && lease == NOBODY && seen[m] == journal && WOULD_GO_ON(m) ->
      replicate(); lease = m; at[m] = opened }
  :: atomic { canReach(m) && at[m] == opened ->
      look();
      base[m] = seen[m];
      if
      :: !IS_MINE -> finish()
      :: IS_MINE && J.phase == none && attempts > 0 &&
#ifdef MISTAKE_INCOMPLETE
        true
#else
        isComplete
#endif
        -> at[m] = listing;
        /* Those that the list of members does not have. */
        for (i : 0 .. MEMBERS - 1) { isAway[i] = !live[file[i]] || !listed[i] }
        i = 0
      :: IS_MINE && J.phase == none && (attempts == 0 || !isComplete) -> finish()
      :: IS_MINE && J.phase == creating -> at[m] = making
      :: IS_MINE && J.phase == created -> at[m] = proving
      :: IS_MINE && J.phase == verified && file[m] == J.attempt -> at[m] = storing
      /* It is tried again, because it may be deleted by now; another member may have it in its file. */
      :: IS_MINE && J.phase == verified && file[m] != J.attempt && live[J.attempt] -> at[m] = storing
      :: IS_MINE && J.phase == verified && file[m] != J.attempt && faults > 0 -> fault();
#ifdef MISTAKE_ABANDON_VERIFIED
        at[m] = proving
#else
        finish()
#endif
      :: IS_MINE && J.phase == verified && file[m] != J.attempt && !live[J.attempt] -> at[m] = proving
      :: IS_MINE && J.phase == promoted -> at[m] = retiring
      :: IS_MINE && J.phase == abandoned -> at[m] = dropping
      fi }
  /* What earlier attempts have left is deleted: what IAM has listed before the journal was written. */
  :: atomic { canStep(m) && at[m] == listing -> list(); at[m] = beginning }
  :: atomic { canStep(m) && at[m] == beginning ->
#ifdef MISTAKE_CLEANED_FIRST
      clean();
#endif
      if
      :: attempts > 0 && MAY_WRITE && canReach(m) ->
        for (i : 0 .. MEMBERS - 1) { isAway[i] = isAway[i] || !listed[i] }
        i = 0;
        write(creating, ATTEMPTS + 1 - attempts, J.current, cleaning); attempts--
      :: else -> finish()
      fi }
  :: atomic { canStep(m) && at[m] == cleaning -> clean(); at[m] = making; check() }
  :: atomic { canStep(m) && at[m] == making ->
      isLate = isLate || lease != m;
      live[J.attempt] = true; at[m] = made; check() }
  :: atomic { canStep(m) && at[m] == made -> write(created, J.attempt, J.current, proving) }
  :: atomic { canStep(m) && at[m] == proving && live[J.attempt] -> write(verified, J.attempt, J.current, storing) }
  :: atomic { canStep(m) && at[m] == proving && (!live[J.attempt] || faults > 0) ->
      if :: live[J.attempt] -> fault() :: else fi;
      write(abandoned, J.attempt, J.current, dropping) }
  /* The lease is confirmed before the file is written, and may be over when it is. */
  :: atomic { canReach(m) && at[m] == storing && !IS_MINE -> finish() }
  :: atomic { canStep(m) && at[m] == storing && IS_MINE && file[m] == J.attempt -> at[m] = stored }
  :: atomic { canStep(m) && at[m] == storing && IS_MINE && file[m] != J.attempt -> file[m] = J.attempt; at[m] = stored; check() }
  :: atomic { canStep(m) && at[m] == stored -> write(promoted, J.attempt, J.attempt, retiring) }
  :: atomic { canStep(m) && at[m] == retiring ->
      if
      :: canReach(m) && IS_MINE && file[m] == J.attempt && live[J.attempt] && journal == base[m] && ALL_HAVE -> at[m] = retired
      :: else -> finish()
      fi }
  /* The old one is deleted. */
  :: atomic { canStep(m) && at[m] == retired ->
      for (i : 0 .. VALUES - 1) {
        if :: i < J.attempt -> live[i] = false :: else fi
      }
      i = 0; check(); write(none, 0, J.attempt, idle); finish() }
  :: atomic { canStep(m) && at[m] == dropping -> live[J.attempt] = false; check(); at[m] = dropped }
  :: atomic { canStep(m) && at[m] == dropped -> write(none, 0, J.current, idle); finish() }
  od
}

#ifdef MISTAKE_NO_EXPIRY
#define CAN_EXPIRE false
#else
#define CAN_EXPIRE true
#endif
#define isNoted(k) (!canReach(k) || listed[k] && seen[k] == journal)

/* No fault: what time brings. */
proctype Time() {
end:
  do
  :: atomic { lease != NOBODY && CAN_EXPIRE && at[lease % MEMBERS] == idle ->
      if :: replicaLease == lease -> replicaLease = NOBODY :: else fi; lease = NOBODY }
  :: atomic { !isComplete && isNoted(0) && isNoted(1) && isNoted(2) -> isComplete = true }
  :: atomic { listed[0] && !canReach(0) -> listed[0] = false; told[0] = 0 }
  :: atomic { listed[1] && !canReach(1) -> listed[1] = false; told[1] = 0 }
  :: atomic { listed[2] && !canReach(2) -> listed[2] = false; told[2] = 0 }
  :: atomic { !isUp(0) -> loaded[0] = file[0]; seen[0] = disk[0] }
  :: atomic { !isUp(1) -> loaded[1] = file[1]; seen[1] = disk[1] }
  :: atomic { !isUp(2) -> loaded[2] = file[2]; seen[2] = disk[2] }
  :: atomic { isCut[0] -> isCut[0] = false }
  :: atomic { isCut[1] -> isCut[1] = false }
  :: atomic { isFrozen[0] -> isFrozen[0] = false }
  :: atomic { isFrozen[1] -> isFrozen[1] = false }
  :: atomic { isFrozen[2] -> isFrozen[2] = false }
  od
}

/* What goes wrong, until it ends. */
proctype World() {
  byte m;
  do
  /* kill -9. */
  :: atomic { faults > 0 -> select (m : 0 .. 1); 
      if :: isUp(m) -> fault(); loaded[m] = NONE; seen[m] = 0; at[m] = idle; base[m] = 0; isFrozen[m] = false; check() :: else fi; m = 0 }
  /* A holder sleeps past its lease. */
  :: atomic { faults > 0 && lease != NOBODY && CAN_EXPIRE && at[lease % MEMBERS] != idle ->
      fault(); isFrozen[lease] = true; lease = NOBODY }
  :: atomic { faults > 0 -> select (m : 0 .. 1); if :: !isCut[m] -> fault(); isCut[m] = true :: else fi; m = 0 }
  /* The store is wiped, or its replica takes its place. */
  :: atomic { faults > 0 ->
      replicate(); fault(); journal = 0; lease = NOBODY; isComplete = false;
      for (i : 0 .. MEMBERS - 1) { listed[i] = false; told[i] = 0 }
      i = 0 }
  :: atomic { faults > 0 && (replicaJournal != journal || replicaLease != lease) ->
      journal = replicaJournal; lease = replicaLease; fault() }
  :: break
  od
}

/* When nothing more can happen, no rotation is under way, each member has the current secret, and there is only that one. */
proctype Rest() {
  timeout ->
  assert(said[journal].phase == none && attempts == 0);
  assert(live[said[journal].current]);
  for (i : 0 .. MEMBERS - 1) { assert(isAway[i] || file[i] == said[journal].current) }
  assert(COUNT == 1 || isLate)
}

init {
  atomic {
    said[1].phase = none; said[0].phase = none;
    for (i : 0 .. MEMBERS - 1) {
      at[i] = idle; seen[i] = 1; disk[i] = 1; listed[i] = true
    }
    i = 0; live[0] = true;
    run Member(0); run Member(1); run Member(2); run Time(); run World(); run Rest()
  }
}
