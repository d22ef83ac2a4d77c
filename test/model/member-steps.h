/*
 * The steps of one member, each as `part_from_event to`: the model's members move only by these rows (fleet-tokens.pml), and
 * the steps of the program are checked against the same rows (test/support/fleet-trace.ts).
 *
 * flight: one call of SharedToken.fetch. write: what follows a token request under a lock. peek: a look for a newer token
 * that nobody waits for. A part begins in `rest` and ends there. An event that stands in several parts moves all of them.
 */
#define flight_rest_want looking

#define flight_looking_token rest
#define flight_looking_useless waiting
#define flight_looking_refused rest
#define flight_looking_claimed claiming
#define flight_looking_busy waiting
#define flight_looking_unanswered down

#define flight_waiting_look looking
#define flight_waiting_alone fetchingAlone
#define flight_waiting_timedOut rest
#define flight_down_look looking
#define flight_down_alone fetchingAlone

#define flight_claiming_hold fetching
#define flight_fetching_obtained rest
#define flight_fetching_failed rest
#define flight_fetchingAlone_obtainedAlone rest
#define flight_fetchingAlone_failedAlone rest

#define write_rest_obtained obtaining
#define write_obtaining_put putting
#define write_putting_stored rest
#define write_putting_superseded rest
#define write_putting_putUnanswered rest

#define write_rest_failed failing
#define write_failing_giveUp givingUp
#define write_givingUp_released rest
#define write_givingUp_releasedBefore rest
#define write_givingUp_giveUpUnanswered rest

#define peek_rest_superseded behind
#define peek_rest_peek peeking
#define peek_behind_peek peeking
#define peek_peeking_taken rest
#define peek_peeking_nothing rest
#define peek_peeking_unusable rest
#define peek_peeking_peekUnanswered rest

/* A process that dies and starts again, at any step; then all of its parts are at rest. */
#define flight_looking_crash rest
#define flight_waiting_crash rest
#define flight_down_crash rest
#define flight_fetching_crash rest
#define flight_fetchingAlone_crash rest
#define flight_rest_crash rest
