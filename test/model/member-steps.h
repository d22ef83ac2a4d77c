/*
 * The steps of one member, STEP(part, from, event, to): the model's members move only by these rows (fleet-tokens.pml), and
 * the steps of the program are checked against the same rows (test/support/fleet-trace.ts).
 *
 * flight: one call of SharedToken.fetch. write: what follows a token request under a lock. peek: a look for a newer token
 * that nobody waits for. A part begins in `rest` and ends there. An event that stands in several parts moves all of them.
 */
STEP(flight, rest, want, looking)

STEP(flight, looking, token, rest)
STEP(flight, looking, unreadable, waiting)
STEP(flight, looking, refused, rest)
STEP(flight, looking, claimed, fetching)
STEP(flight, looking, busy, waiting)
STEP(flight, looking, unanswered, down)

STEP(flight, waiting, look, looking)
STEP(flight, waiting, alone, fetchingAlone)
STEP(flight, down, look, looking)
STEP(flight, down, alone, fetchingAlone)

STEP(flight, fetching, obtained, rest)
STEP(flight, fetching, failed, rest)
STEP(flight, fetchingAlone, obtainedAlone, rest)
STEP(flight, fetchingAlone, failedAlone, rest)

STEP(write, rest, obtained, obtaining)
STEP(write, obtaining, put, putting)
STEP(write, putting, stored, rest)
STEP(write, putting, superseded, rest)
STEP(write, putting, putUnanswered, rest)

STEP(write, rest, failed, failing)
STEP(write, failing, giveUp, givingUp)
STEP(write, givingUp, released, rest)
STEP(write, givingUp, releasedBefore, rest)
STEP(write, givingUp, giveUpUnanswered, rest)

STEP(peek, rest, superseded, behind)
STEP(peek, rest, peek, peeking)
STEP(peek, behind, peek, peeking)
STEP(peek, peeking, taken, rest)
STEP(peek, peeking, nothing, rest)
STEP(peek, peeking, peekUnreadable, rest)
STEP(peek, peeking, peekUnanswered, rest)

/* A process that dies and starts again, at any step; then all of its parts are at rest. */
STEP(flight, looking, crash, rest)
STEP(flight, waiting, crash, rest)
STEP(flight, down, crash, rest)
STEP(flight, fetching, crash, rest)
STEP(flight, fetchingAlone, crash, rest)
STEP(flight, rest, crash, rest)
