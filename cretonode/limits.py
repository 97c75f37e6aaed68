"""Every bound in one place. What a stranger can grow stops at one of these.

What is part of consensus (window, checkpoint interval, dedup window) is a genesis parameter; its
default and its range stand here.
"""

from typing import Final

# --- committee
VALIDATORS_MAX: Final = 128

# --- vertices
TRANSACTION_BYTES_MAX: Final = 256 * 1024
PAYLOAD_BYTES_MAX: Final = 512 * 1024  # one vertex's blob: length table and transactions
PAYLOAD_TRANSACTIONS_MAX: Final = 4096
PARENTS_MAX: Final = VALIDATORS_MAX + 1  # an anchor: the previous anchor, one vertex per author
AUTHOR_UNFINAL_MAX: Final = 64  # an author stops at so many own vertices that are not final
AUTHOR_HELD_MAX: Final = 4 * AUTHOR_UNFINAL_MAX  # so many of one author's are held by others
AUTHOR_ORPHANS_MAX: Final = AUTHOR_UNFINAL_MAX  # waiting for a parent
BATCH_AGE_MAX: Final = 32  # sequences from taking a batch to the anchor that carries it
HISTORY_TRANSACTIONS_MAX: Final = 65_536  # ordered by one anchor
TIMESTAMP_DRIFT_MS_MAX: Final = 60_000  # an anchor's time against the voter's clock

# --- consensus parameters: default, low, high
WINDOW_DEFAULT: Final = 256  # sequences in flight, high watermark minus low watermark (PBFT 4.3)
CHECKPOINT_INTERVAL_DEFAULT: Final = 64
DEDUP_WINDOW_DEFAULT: Final = 512  # sequences within which a transaction is executed once
DEDUP_TRANSACTIONS_MAX: Final = 4 * 1024 * 1024  # remembered; past it the oldest sequences go
WINDOW_MAX: Final = 4096
DEDUP_WINDOW_MAX: Final = 65_536

# --- messages
SIGNATURE_BYTES: Final = 64 + 4627  # Ed25519, then ML-DSA-87
FRAME_BYTES_MAX: Final = 2 * 1024 * 1024
MESSAGE_DEPTH_MAX: Final = 8
FETCH_HASHES_MAX: Final = 64
FETCH_SLOTS_MAX: Final = 64
BEHIND_SEQUENCES: Final = 8  # behind by so many, ranges are fetched; see `Parameters`
HEADERS_MAX: Final = 4096  # in one answer to a range request
HEADERS_BYTES_MAX: Final = 1024 * 1024  # of them together, encoded
HEADERS_AHEAD_MAX: Final = 1024  # certified and not handed on: then no range is asked for
FETCH_BYTES_MAX: Final = 1024 * 1024  # asked of one peer at once, unless one vertex is larger
FETCH_REQUESTS_MAX: Final = 2  # of one peer under way, so that it never waits for the next
FETCH_REQUESTS_ALL: Final = 4  # of a peer that alone did not fail
FETCH_WINDOW_BYTES_MAX: Final = 32 * 1024 * 1024  # asked for, or here and not handed on
LOOKUP_HASHES_MAX: Final = 256
FINAL_RECALLED_MAX: Final = 4096  # final vertices that old parents brought back into memory
INDEXES_MAX: Final = 4096  # vertices by (author, index), beyond what the graph holds
FUTURE_VIEW_MESSAGES_MAX: Final = 64  # of one author, kept for a view not yet entered
CHECKPOINTS_SAID_MAX: Final = 32  # own ones that the journal knows while none becomes stable

# --- detection
EVIDENCE_PER_AUTHOR_MAX: Final = 8
VIOLATIONS_PER_AUTHOR_MAX: Final = 64  # kept in memory and on disk, the newest
REASON_CHARACTERS_MAX: Final = 200  # of a ban or violation
DETECTOR_VOTES_MAX: Final = 2048  # of all authors together; about 5 KB each
DETECTOR_VOTES_MIN: Final = 32  # of each author in any case: 16 sequences, two phases
DETECTOR_VIEWS_MAX: Final = 8  # views whose commits and view-changes are remembered, per author
DETECTOR_CHECKPOINTS_MAX: Final = 16  # digests remembered, per author

# --- the way back after amnesia (docs/spec/durability.md, section 8); times in milliseconds
RUN_AHEAD_VIEWS: Final = 1  # so far above the highest attested view an honest replica may have been
REJOIN_REPEAT_MS: Final = 600  # a request is repeated, each time after twice as long, up to
REJOIN_REPEAT_MS_MAX: Final = 4_800
ATTEST_MS: Final = 500  # one validator's requests are answered so often at most
ATTESTED_MAX: Final = 2**62  # views and indexes above it are a liar's, and leave no room above them
INDEX_AHEAD_MAX: Final = 2**40  # so far above all others one attested index may be
AMNESIAC_MS: Final = 2 * REJOIN_REPEAT_MS_MAX  # who asked so long ago is back, or gone
STEP_DOWN_MS: Final = 1_000  # between leaders that leave for one validator, doubled each time up to
STEP_DOWN_MS_MAX: Final = 600_000
assert ATTEST_MS < REJOIN_REPEAT_MS

# --- recovery (docs/spec/durability.md, section 11)
INCARNATION_INDEXES: Final = 2**48  # vertex indexes that one author has in one incarnation
INCARNATION_MAX: Final = 2**13
RECOVERIES_MAX: Final = 16  # of one chain; their signatures are in every recovery file
PROMISED_MAX: Final = 16  # plans that were signed and given up since the last recovery
assert INDEX_AHEAD_MAX * 2 <= INCARNATION_INDEXES
assert (INCARNATION_MAX + 1) * INCARNATION_INDEXES < ATTESTED_MAX

assert WINDOW_DEFAULT % CHECKPOINT_INTERVAL_DEFAULT == 0
assert WINDOW_DEFAULT >= 2 * CHECKPOINT_INTERVAL_DEFAULT, "a checkpoint must settle in time"
assert DEDUP_WINDOW_DEFAULT >= WINDOW_DEFAULT
assert PAYLOAD_TRANSACTIONS_MAX <= HISTORY_TRANSACTIONS_MAX, "every vertex fits an anchor"
assert DEDUP_TRANSACTIONS_MAX >= 2 * BATCH_AGE_MAX * HISTORY_TRANSACTIONS_MAX, (
    "what an anchor carries is judged by all that was executed since it was taken"
)
assert TRANSACTION_BYTES_MAX < PAYLOAD_BYTES_MAX
assert PAYLOAD_BYTES_MAX + 64 * 1024 < FRAME_BYTES_MAX
assert VALIDATORS_MAX * (SIGNATURE_BYTES + 64) * 2 < FRAME_BYTES_MAX, "a NewView fits a frame"
assert HEADERS_BYTES_MAX + (VALIDATORS_MAX * 2 // 3 + 1) * (SIGNATURE_BYTES + 64) * 2 < (
    FRAME_BYTES_MAX
), "an answer to a range request fits a frame, with two certificates"
assert PAYLOAD_BYTES_MAX < FETCH_BYTES_MAX < FETCH_WINDOW_BYTES_MAX
