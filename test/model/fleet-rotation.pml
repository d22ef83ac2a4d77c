/*
 * How the members of a fleet rotate a client secret (src/sidecar/fleet, src/fleet/lease.ts, src/iam/rotation/rotate.ts), for
 * spin: every order of steps and faults within the bounds below. A script is one step of the store; a request to Aritma IAM and
 * a write of a file are steps of their own, so that a holder can sleep past its lease between any two.
 *
 * What is left out. Time: a lease may expire at any moment, under a holder that goes on that is a fault; `overlap` may be over at
 * once. Keys: all members have the same. Members with a secret only in memory: random histories have them
 * (fleet-rotation-history.ts). Bound: a member that was silent from before the store was emptied until an attempt began
 * (`isAway`) may lose its secret.
 *
 * Few states, none left out: after each step, `tidy` gives equal names to what differs in name only.
 * -DFAULTS=n and -DATTEMPTS=n are the bounds. -DKINDS=n are the kinds of fault, by bit. -DMISTAKE_... plants a mistake: see the
 * test.
 */
#define MEMBERS 3
#ifndef FAULTS
#define FAULTS 2
#endif
#ifndef ATTEMPTS
#define ATTEMPTS 2
#endif
#define VALUES (ATTEMPTS + 1)
#define REVISIONS 10
#define NOBODY 3
/* Kinds of fault. */
#define CRASH 1
#define SLEEP 2
#define PARTITION 4
#define WIPE 8
#define FAILOVER 16
#define REFUSAL 32
#ifndef KINDS
#define KINDS 63
#endif
#define canFail(kind) (faults > 0 && (KINDS & kind))
#define NONE 7

/* What a journal says of its attempt. */
mtype = { none, creating, created, verified, promoted, abandoned };
/* Where a rotation of a member is. */
mtype = { idle, opened, listing, beginning, cleaning, making, made, proving, storing, writing, stored, retiring, retired, over,
  dropping, dropped };

typedef Journal {
  mtype phase;
  byte attempt;        /* also its value; the first secret is 0 */
  byte current;        /* until the attempt is over: what it replaces */
  byte strays;         /* secrets that earlier attempts have left, by bit */
  byte lacking         /* places, by bit */
};
/* By revision. Only their order counts: `tidy` numbers those anew that somebody still knows. */
Journal said[REVISIONS];

/* The store. */
byte last = 1;
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
/* Those created by a member that had no lease any more, by bit. */
byte late;

/* The members. */
byte file[MEMBERS];
byte disk[MEMBERS];    /* the journal next to it */
byte loaded[MEMBERS];  /* NONE: it is down */
byte seen[MEMBERS];    /* the newest journal in its memory */
bool isCut[MEMBERS];
bool isFrozen[MEMBERS];
bool isSilent[MEMBERS]; /* not listed any more, but the store has its last words */
bool isLost[MEMBERS];   /* not heard of since the store was empty, and that is long enough ago */
bool isAway[MEMBERS];
byte strays[MEMBERS];  /* found, and not yet in a journal */
mtype at[MEMBERS];
byte base[MEMBERS];    /* the journal that its rotation goes on from */

byte faults = FAULTS;
byte attempts = ATTEMPTS;
/* The last attempt that came to its end. */
byte ended;
/* Of one step; 0 after it. */
byte i;
byte places;
byte wanted;

/*
 * Two states are the same when they differ only in which member is which, in how revisions are numbered, or in what nobody can
 * read any more.
 */
c_code {
  static int keyOf(int m) {
    int key = 0, r;
    for (r = 0; r < REVISIONS; r++) key = key * 2 + (now.said[r].lacking >> m & 1);
    key = key * 4 + (now.lease == m) + 2 * (now.replicaLease == m);
    return key;
  }
  static int isAfter(int m, int n) {
#define ORDER(a) if (now.a[m] != now.a[n]) return now.a[m] > now.a[n]
    ORDER(at); ORDER(file); ORDER(loaded); ORDER(seen); ORDER(base); ORDER(disk); ORDER(listed); ORDER(told);
    ORDER(isCut); ORDER(isFrozen); ORDER(isSilent); ORDER(isLost); ORDER(isAway); ORDER(strays);
    return keyOf(m) > keyOf(n);
  }
  static void swap(int m, int n) {
    int r;
    unsigned char kept;
#define SWAP(a) kept = now.a[m]; now.a[m] = now.a[n]; now.a[n] = kept
    SWAP(at); SWAP(file); SWAP(loaded); SWAP(seen); SWAP(base); SWAP(disk); SWAP(listed); SWAP(told);
    SWAP(isCut); SWAP(isFrozen); SWAP(isSilent); SWAP(isLost); SWAP(isAway); SWAP(strays);
#define RENAMED(x) ((x) == m ? n : (x) == n ? m : (x))
    now.lease = RENAMED(now.lease);
    now.replicaLease = RENAMED(now.replicaLease);
    for (r = 0; r < REVISIONS; r++) {
      int had = now.said[r].lacking;
      now.said[r].lacking = had & ~(1 << m | 1 << n) | (had >> m & 1) << n | (had >> n & 1) << m;
    }
  }
  static void number(void) {
    unsigned char to[REVISIONS] = { 0 };
    int m, r, count = 0;
    to[now.journal] = to[now.replicaJournal] = 1;
    for (m = 0; m < MEMBERS; m++) to[now.seen[m]] = to[now.disk[m]] = to[now.base[m]] = 1;
    to[0] = 0;
    for (r = 1; r < REVISIONS; r++) {
      if (!to[r]) continue;
      to[r] = ++count;
      if (count < r) now.said[count] = now.said[r];
    }
    for (r = count + 1; r < REVISIONS; r++) memset(&now.said[r], 0, sizeof now.said[r]);
    now.journal = to[now.journal];
    now.replicaJournal = to[now.replicaJournal];
    for (m = 0; m < MEMBERS; m++) {
      now.seen[m] = to[now.seen[m]];
      now.disk[m] = to[now.disk[m]];
      now.base[m] = to[now.base[m]];
    }
    now.last = count;
  }
  static void tidy(void) {
    int m;
    /* Read again only after a crash. */
    for (m = 0; m < MEMBERS; m++) if (now.loaded[m] != NONE && !(now.faults > 0 && (KINDS & CRASH))) now.disk[m] = 0;
    number();
    if (isAfter(0, 1)) swap(0, 1);
    if (isAfter(1, 2)) swap(1, 2);
    if (isAfter(0, 1)) swap(0, 1);
  }
}
#define done() c_code { tidy(); }

#define isUp(m) (loaded[m] != NONE)
#define canStep(m) (isUp(m) && !isFrozen[m])
#define canReach(m) (canStep(m) && !isCut[m])
#define J said[base[m]]
#ifdef MISTAKE_FORGETS_SILENT
#define isHeard(k) listed[k]
#else
#define isHeard(k) (listed[k] || isSilent[k])
#endif
#define larger(a, b) (a > b -> a : b)
#define placeOf(m) (1 << (m))
#define isLate(v) ((late >> (v)) & 1)
#define counts(v) (live[v] && !isLate(v))
#if ATTEMPTS > 1
#define COUNT (counts(0) + counts(1) + counts(2))
#else
#define COUNT (counts(0) + counts(1))
#endif
#define works(m) (isAway[m] || live[file[m]] || (isUp(m) && live[loaded[m] % VALUES]))

/* Nobody is without a secret that works, and there are never more than two, but for one that came late. */
inline check() {
  assert(works(0) && works(1) && works(2));
  assert(COUNT <= 2)
}

inline replicate() {
  if
  :: canFail(FAILOVER) -> replicaJournal = journal; replicaLease = lease
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

#ifdef MISTAKE_NOT_PUT_BACK
#define PUTS_BACK false
#else
#define PUTS_BACK true
#endif

/* `look` of FleetJournal: the newest journal wins, and is put back. */
inline look() {
  if
  :: journal > seen[m] -> seen[m] = journal
  :: journal < seen[m] && PUTS_BACK -> replicate(); journal = seen[m]
  :: else
  fi
}

#define IS_MINE (lease == m)
#ifdef MISTAKE_LEASE_AGAIN
#define confirm() if :: canReach(m) && lease == NOBODY -> lease = m :: else fi
#else
#define confirm() skip
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
    :: isHeard(i) && told[i] == wanted -> places = places & (7 - placeOf(i))
    :: isHeard(i) && told[i] != wanted -> places = places | placeOf(i)
    :: else
    fi
  }
  i = 0; wanted = 0
}

inline finish() {
  at[m] = idle; base[m] = 0; strays[m] = 0;
  if :: lease == m && canReach(m) -> lease = NOBODY :: else fi
}

/* NOTE of scripts.ts, and the member's own disk. */
inline write(nextPhase, nextAttempt, nextCurrent, next) {
  if
  :: canReach(m) && MAY_WRITE ->
    replicate();
    wanted = (nextAttempt != 0 -> nextAttempt : J.attempt);
    lack();
    last++; assert(last < REVISIONS);
    said[last].phase = nextPhase; said[last].attempt = nextAttempt; said[last].current = nextCurrent;
    said[last].lacking = (nextPhase == none -> 0 : places);
    said[last].strays = (nextPhase == creating -> strays[m] : 0);
    places = 0; strays[m] = 0;
    /* An older journal never replaces a newer one: what it replaces, its writer has seen. */
#ifndef MISTAKE_LEASE_AGAIN
    assert(journal <= base[m]);
#endif
    /* Nobody goes on with an attempt that is over. */
    assert(nextAttempt == 0 || nextAttempt > ended);
    if :: nextPhase == none -> ended = larger(ended, J.attempt) :: else fi;
    journal = last; seen[m] = last; disk[m] = last; base[m] = last;
    at[m] = next
  :: else -> finish()
  fi
}

/* Whether a rotation that is begun now would come further: one that would not is not begun, which spares endless steps. */
#ifdef MISTAKE_INCOMPLETE
#define CAN_BEGIN (attempts > 0)
#define CAN_GO_ON isComplete
#else
#define CAN_BEGIN (attempts > 0 && isComplete)
#ifdef MISTAKE_GO_ON_AT_ONCE
#define CAN_GO_ON true
#else
#define CAN_GO_ON isComplete
#endif
#endif
#define HAS(k) ((isHeard(k) && told[k] == said[journal].attempt) * placeOf(k))
#define LACKS(k) (isHeard(k) && told[k] != said[journal].attempt)
#ifdef MISTAKE_NO_ACKNOWLEDGEMENT
#define ALL_HAVE true
#else
#define ALL_HAVE ((said[journal].lacking & (7 - (HAS(0) | HAS(1) | HAS(2)))) == 0 && !LACKS(0) && !LACKS(1) && !LACKS(2))
#endif
#define WOULD_GO_ON(m) ( \
  said[journal].phase == none && CAN_BEGIN || said[journal].phase != none && CAN_GO_ON && \
  (said[journal].phase != promoted || file[m] == said[journal].attempt && ALL_HAVE))

/* What earlier attempts have left: neither the current secret nor the one in use. */
inline list() {
  for (i : 1 .. VALUES - 1) {
    if
    :: live[i] && i != J.current && live[J.current] -> strays[m] = strays[m] | placeOf(i)
    :: else
    fi
  }
  i = 0
}

#define IN_USE (placeOf(said[journal].attempt) | placeOf(file[0]) | placeOf(file[1]) | placeOf(file[2]))

inline delete(values) {
  for (i : 0 .. VALUES - 1) {
    if
    :: (values) & placeOf(i) -> live[i] = false; late = late & (255 - placeOf(i))
    :: else
    fi
  }
  i = 0
}

proctype Member(byte m) {
end:
  do
  /* A look, and what the follower does with it: takes the secret over, unless a rotation of its own has the file. */
  :: atomic { canReach(m) && seen[m] != journal && (PUTS_BACK || seen[m] < journal) -> look(); check(); done() }
  :: atomic { canStep(m) && at[m] == idle && said[seen[m]].phase == promoted && file[m] != said[seen[m]].attempt ->
      file[m] = said[seen[m]].attempt; disk[m] = larger(disk[m], seen[m]); check(); done() }
  :: atomic { canStep(m) && loaded[m] != file[m] -> loaded[m] = file[m]; check(); done() }
  :: atomic { canReach(m) && (!listed[m] || told[m] != loaded[m]) ->
      listed[m] = true; isSilent[m] = false; isLost[m] = false; told[m] = loaded[m]; done() }

  /* One rotation. */
  :: atomic { canReach(m) && at[m] == idle && lease == NOBODY && (seen[m] == journal || !PUTS_BACK) && WOULD_GO_ON(m) ->
      replicate(); lease = m; at[m] = opened; done() }
  :: atomic { canStep(m) && at[m] == opened && !(canReach(m) && IS_MINE) -> finish(); done() }
  :: atomic { canReach(m) && at[m] == opened && IS_MINE ->
      look();
      base[m] = seen[m];
      if
      :: J.phase == none && CAN_BEGIN -> at[m] = listing
      :: J.phase == none && !CAN_BEGIN -> finish()
      :: J.phase != none && !CAN_GO_ON -> finish()
      :: J.phase == creating && CAN_GO_ON -> at[m] = cleaning
      :: J.phase == created && CAN_GO_ON -> at[m] = proving
      :: J.phase == verified && CAN_GO_ON && file[m] == J.attempt -> at[m] = storing
      /* It is tried again, because it may be deleted by now; another member may have it in its file. */
      :: J.phase == verified && CAN_GO_ON && file[m] != J.attempt && live[J.attempt] -> at[m] = storing
      :: J.phase == verified && CAN_GO_ON && file[m] != J.attempt && live[J.attempt] && canFail(REFUSAL) -> fault();
#ifdef MISTAKE_ABANDON_VERIFIED
        write(abandoned, J.attempt, J.current, dropping)
#else
        finish()
#endif
      :: J.phase == verified && CAN_GO_ON && file[m] != J.attempt && !live[J.attempt] -> at[m] = proving
      :: J.phase == promoted && CAN_GO_ON -> at[m] = retiring
      :: J.phase == abandoned && CAN_GO_ON -> at[m] = dropping
      fi;
      done() }
  :: atomic { canStep(m) && at[m] == listing -> list(); at[m] = beginning; done() }
  :: atomic { canStep(m) && at[m] == beginning ->
#ifdef MISTAKE_CLEANED_FIRST
      assert((strays[m] & IN_USE) == 0);
      delete(strays[m]); check();
#endif
      if
      :: attempts > 0 && MAY_WRITE && canReach(m) ->
        /* Those of which the store knows nothing, for long enough. */
        for (i : 0 .. MEMBERS - 1) { isAway[i] = !live[file[i]] || isLost[i] }
        i = 0;
        write(creating, ATTEMPTS + 1 - attempts, J.current, cleaning); attempts--
      :: else -> finish()
      fi;
      done() }
  :: atomic { canStep(m) && at[m] == cleaning ->
      assert((J.strays & IN_USE) == 0);
      delete(J.strays); at[m] = making; check(); done() }
  :: atomic { canStep(m) && at[m] == making ->
      if :: lease != m && !live[J.attempt] -> late = late | placeOf(J.attempt) :: else fi;
      live[J.attempt] = true; at[m] = made; check(); done() }
  :: atomic { canStep(m) && at[m] == made -> confirm(); write(created, J.attempt, J.current, proving); done() }
  :: atomic { canStep(m) && at[m] == proving && live[J.attempt] ->
      confirm(); write(verified, J.attempt, J.current, storing); done() }
  :: atomic { canStep(m) && at[m] == proving && (!live[J.attempt] || canFail(REFUSAL)) ->
      if :: live[J.attempt] -> fault() :: else fi;
      confirm(); write(abandoned, J.attempt, J.current, dropping); done() }
  /* The lease is confirmed before the file is written, and may be over when it is. */
  :: atomic { canStep(m) && at[m] == storing ->
      confirm();
      if :: canReach(m) && IS_MINE -> at[m] = writing :: else -> finish() fi;
      done() }
  :: atomic { canStep(m) && at[m] == writing -> file[m] = J.attempt; at[m] = stored; check(); done() }
  :: atomic { canStep(m) && at[m] == stored -> confirm(); write(promoted, J.attempt, J.current, retiring); done() }
  :: atomic { canStep(m) && at[m] == retiring ->
      if
      :: canReach(m) && IS_MINE && file[m] == J.attempt && live[J.attempt] && journal == base[m] && ALL_HAVE -> at[m] = retired
      :: else -> finish()
      fi;
      done() }
  /* The old one is deleted. */
  :: atomic { canStep(m) && at[m] == retired -> delete(placeOf(J.current)); check(); at[m] = over; done() }
  :: atomic { canStep(m) && at[m] == over -> confirm(); write(none, 0, J.attempt, idle); finish(); done() }
  :: atomic { canStep(m) && at[m] == dropping -> delete(placeOf(J.attempt)); check(); at[m] = dropped; done() }
  :: atomic { canStep(m) && at[m] == dropped -> confirm(); write(none, 0, J.current, idle); finish(); done() }
  od
}

#ifdef MISTAKE_NO_EXPIRY
#define CAN_EXPIRE false
#else
#define CAN_EXPIRE true
#endif
#define isNoted(k) (!canReach(k) || listed[k] && seen[k] == journal)

/* No fault: what time brings. */
#define timeOf(m) \
  :: atomic { listed[m] && !canReach(m) -> listed[m] = false; isSilent[m] = true; done() } \
  :: atomic { !isUp(m) -> loaded[m] = file[m]; seen[m] = disk[m]; done() } \
  :: atomic { isCut[m] -> isCut[m] = false; done() } \
  :: atomic { isFrozen[m] -> isFrozen[m] = false; done() }

proctype Time() {
end:
  do
  :: atomic { lease != NOBODY && CAN_EXPIRE && at[lease % MEMBERS] == idle ->
      if :: replicaLease == lease -> replicaLease = NOBODY :: else fi; lease = NOBODY; done() }
  :: atomic { !isComplete && isNoted(0) && isNoted(1) && isNoted(2) ->
      isComplete = true;
      for (i : 0 .. MEMBERS - 1) { isLost[i] = !listed[i] }
      i = 0; done() }
  timeOf(0)
  timeOf(1)
  timeOf(2)
  od
}

/* kill -9; or the network between a member and the store. */
#define worldOf(m) \
  :: atomic { canFail(CRASH) && isUp(m) -> \
      fault(); loaded[m] = NONE; seen[m] = 0; at[m] = idle; base[m] = 0; strays[m] = 0; isFrozen[m] = false; check(); done() } \
  :: atomic { canFail(PARTITION) && !isCut[m] -> fault(); isCut[m] = true; done() }

/* What goes wrong, until it ends. */
proctype World() {
end:
  do
  :: atomic { faults > 0 -> faults = 1; fault(); done() }
  worldOf(0)
  worldOf(1)
  worldOf(2)
  /* A holder sleeps past its lease. */
  :: atomic { canFail(SLEEP) && lease != NOBODY && CAN_EXPIRE && at[lease % MEMBERS] != idle ->
      fault(); isFrozen[lease] = true; lease = NOBODY; done() }
  /* The store is wiped, and its replica; or a replica takes its place. */
  :: atomic { canFail(WIPE) ->
      fault(); replicaJournal = 0; replicaLease = NOBODY; journal = 0; lease = NOBODY; isComplete = false;
      for (i : 0 .. MEMBERS - 1) { listed[i] = false; told[i] = 0; isSilent[i] = false }
      i = 0; done() }
  :: atomic { canFail(FAILOVER) && (replicaJournal != journal || replicaLease != lease) ->
      journal = replicaJournal; lease = replicaLease; fault(); done() }
  od
}

/* When nothing more can happen, no rotation is under way, each member has the current secret, and there is only that one. */
proctype Rest() {
  timeout ->
  assert(lease == NOBODY);
  assert(journal >= seen[0] && journal >= seen[1] && journal >= seen[2]);
  assert(said[journal].phase == none && attempts == 0);
  assert(live[said[journal].current]);
  for (i : 0 .. MEMBERS - 1) { assert(isAway[i] || file[i] == said[journal].current) }
  assert(COUNT == 1 || isLate(said[journal].current))
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
