---------------------------- MODULE Checkpoint ----------------------------
(***************************************************************************)
(* Stable checkpoints, what may be forgotten behind them, and a power cut  *)
(* that leaves the database behind the journal.                            *)
(*                                                                         *)
(* The journal keeps acceptances above the low watermark only. A power cut *)
(* may take final sequences back, even below it: those are fetched again.  *)
(* So a replica may stand before sequences for which it no longer knows    *)
(* what it voted; there it votes for nothing and waits for a certificate.  *)
(*                                                                         *)
(* Faults: "votebelow" votes at or below the low watermark; "rotate" drops *)
(* all acceptances at a stable checkpoint, not only those below; "drophigh"*)
(* drops a high certificate at or below it; "onevote" calls a checkpoint   *)
(* stable that Liars have stated.                                          *)
(***************************************************************************)
EXTENDS ChainedPBFT
CONSTANT Interval   \* K: sequences between checkpoints
VARIABLES
  base,    \* base[c]: the base of c's view, None while the view is not open
  final,   \* final[c]: c's final anchor, as its database has it
  stated,  \* stated[c]: anchors of sequences at which c said checkpoint
  low      \* low[c]: c's stable checkpoint
checkVars == <<view, prepares, commits, high, viewChanges, crash, base, final, stated, low>>
more == <<base, final, stated, low>>
CheckInit == /\ Init
             /\ base = [c \in Honest |-> Genesis] /\ final = [c \in Honest |-> <<>>]
             /\ stated = [c \in Honest |-> {}] /\ low = [c \in Honest |-> 0]

\* records.Promises._settle: what the journal still holds of the view's votes
Remembered(c) ==
  IF "rotate" \in Planted /\ low[c] > 0 THEN {}
  ELSE {h \in prepares[c][view[c]] : Len(h) > low[c]}

\* ordering.Ordering._on_base: the chain starts at the base or, past it, at the
\* final anchor
Bottom(c) == IF Len(base[c][2]) > Len(final[c]) THEN base[c][2] ELSE final[c]

\* ordering.Ordering._accept_next
Accept(c, h) ==
  /\ base[c] # None
  /\ Prefix(Bottom(c), Parent(h))
  /\ Parent(h) = Bottom(c) \/ Parent(h) \in Remembered(c)
  /\ \A g \in Remembered(c) : Len(g) # Len(h)
  /\ "votebelow" \notin Planted => Len(h) > low[c]
  /\ h \notin prepares[c][view[c]]
  /\ prepares' = [prepares EXCEPT ![c][view[c]] = @ \cup {h}]
  /\ UNCHANGED <<view, commits, high, viewChanges, crash, more>>

\* views.Views._enter, then on_new_view: one base in a view, kept through cuts
Leave(c, v) == Enter(c, v) /\ base' = [base EXCEPT ![c] = None] /\ UNCHANGED <<final, stated, low>>
Adopt(c) ==
  /\ base[c] = None
  /\ \E b \in Bases(view[c]) : base' = [base EXCEPT ![c] = b]
  /\ UNCHANGED <<vars, final, stated, low>>

\* execution.Execution._finalize_lowest, checkpoint.Checkpoints.executed
Execute(c) == \E p \in Certified :
  /\ Len(p[2]) > Len(final[c]) /\ Prefix(final[c], p[2])
  /\ final' = [final EXCEPT ![c] = p[2]]
  /\ stated' = [stated EXCEPT ![c] = @ \cup
       {SubSeq(p[2], 1, s) : s \in {t \in 1..Len(p[2]) : t % Interval = 0}}]
  /\ UNCHANGED <<vars, base, low>>

\* checkpoint.Checkpoints._try_stable, on_certificate
StableAt(h) == IF "onevote" \in Planted THEN TRUE
               ELSE Cardinality({c \in Honest : h \in stated[c]}) + Liars >= Quorum

\* checkpoint.Checkpoints._settle: only what was executed here too, and agrees
Settle(c) == \E s \in 1..Len(final[c]) :
  /\ s % Interval = 0 /\ s > low[c]
  /\ StableAt(SubSeq(final[c], 1, s))
  /\ low' = [low EXCEPT ![c] = s]
  /\ high' = IF "drophigh" \in Planted /\ Len(high[c][2]) <= s
             THEN [high EXCEPT ![c] = Genesis] ELSE high
  /\ UNCHANGED <<view, prepares, commits, viewChanges, crash, base, final, stated>>

\* A power cut; replica.Replica takes up promises and a database behind them.
PowerCut(c) == \E s \in 0..(Len(final[c]) - 1) :
  /\ final' = [final EXCEPT ![c] = SubSeq(final[c], 1, s)]
  /\ UNCHANGED <<vars, base, stated, low>>

CheckNext == \E c \in Honest :
  \/ \E h \in Anchors : Accept(c, h)
  \/ \E h \in PreparedIn(view[c]) : Commit(c, view[c], h) /\ UNCHANGED more
  \/ \E v \in Views : Leave(c, v)
  \/ Adopt(c) \/ Execute(c) \/ Settle(c) \/ PowerCut(c)
CheckSpec == CheckInit /\ [][CheckNext]_checkVars

\* An honest replica signs one prepare for (view, sequence).
OneVote == \A c \in Honest, v \in Views : \A g, h \in prepares[c][v] : Len(g) = Len(h) => g = h
\* A low watermark stands on what a quorum of validators executed: enough
\* honest ones have it that the rest can fetch it.
LowIsShared == \A c \in Honest : low[c] > 0 =>
  Cardinality({d \in Honest : \E h \in stated[d] : Len(h) = low[c]}) >= Quorum - Liars
\* Nobody is shut out: what a later view is opened on is at or above every low
\* watermark, so the sequence after it may be voted, however many lost their
\* databases, and its commit certificate brings back all below.
LowUnderBase == (\A c \in Honest : prepares[c][LastView] = {}) =>
  \A b \in Bases(LastView), c \in Honest : LastView > 0 => Len(b[2]) >= low[c]
\* goals
NeverBehind == ~\E c \in Honest : Len(final[c]) < low[c]
=============================================================================
