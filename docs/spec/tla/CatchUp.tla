------------------------------ MODULE CatchUp ------------------------------
(***************************************************************************)
(* Finalizing, also from far behind: a replica believes commit certificates*)
(* and hashes, nothing else. It gets a certificate from the votes of the   *)
(* view it is in, or from a peer, which keeps only the one of its newest   *)
(* final sequence. What lies below comes through first parents.            *)
(*                                                                         *)
(* Faults: "claim" believes a peer's word; "prepared" finalizes on a       *)
(* prepare certificate; "bysequence" fills the sequences below with what a *)
(* peer names for them instead of following first parents; "forget" keeps  *)
(* no certificate when several sequences become final at once.             *)
(***************************************************************************)
EXTENDS ChainedPBFT
VARIABLES
  final,  \* final[c][s]: the anchor c finalized at sequence s
  kept    \* kept[c]: the commit certificate that c shows to peers: execution.latest
catchVars == <<view, prepares, commits, high, viewChanges, crash, final, kept>>
CatchInit == Init /\ final = [c \in Honest |-> <<>>] /\ kept = [c \in Honest |-> None]

Top(c) == IF final[c] = <<>> THEN <<>> ELSE final[c][Len(final[c])]
Chain(h) == [s \in 1..Len(h) |-> SubSeq(h, 1, s)]

\* ordering.Ordering.on_vote counts commits of the own view;
\* retransmission.Retransmission.on_status sends a peer behind the newest one.
Heard(c) ==
  {p \in Certified : p[1] = view[c]} \cup ({kept[d] : d \in Honest \ {c}} \ {None})
  \cup (IF "prepared" \in Planted THEN {<<view[c], h>> : h \in PreparedIn(view[c])} ELSE {})
  \cup (IF "claim" \in Planted THEN {<<view[c], h>> : h \in Anchors} ELSE {})

\* execution.Execution.learn, _finalize_to: down the first parents to the own
\* final anchor, then up. A walk that misses it halts the replica.
Finalize(c) == \E p \in Heard(c) :
  /\ Len(p[2]) > Len(final[c])
  /\ Prefix(Top(c), p[2])
  /\ IF "bysequence" \in Planted
     THEN \E f \in [1..Len(p[2]) -> Anchors] :
            /\ \A s \in 1..Len(final[c]) : f[s] = final[c][s]
            /\ f[Len(p[2])] = p[2]
            /\ \A s \in 1..Len(p[2]) : Len(f[s]) = s
            /\ \A s \in 1..Len(p[2]) : \E d \in Honest, v \in Views : f[s] \in prepares[d][v]
            /\ final' = [final EXCEPT ![c] = f]
     ELSE final' = [final EXCEPT ![c] = Chain(p[2])]
  /\ kept' = [kept EXCEPT ![c] =
       IF "forget" \in Planted /\ Len(p[2]) > Len(final[c]) + 1 THEN None ELSE p]
  /\ UNCHANGED vars

CatchNext == (Next /\ UNCHANGED <<final, kept>>) \/ \E c \in Honest : Finalize(c)
CatchSpec == CatchInit /\ [][CatchNext]_catchVars

\* What replicas finalized is the same, sequence by sequence.
FinalAgreement == \A c, d \in Honest : \A s \in 1..Len(final[c]) :
                    s <= Len(final[d]) => final[c][s] = final[d][s]
\* Whoever is behind c can be brought as far as c: it shows a certificate for
\* what it finalized last.
Shown == \A c \in Honest : final[c] # <<>> =>
           /\ kept[c] # None /\ kept[c][2] = Top(c) /\ kept[c] \in Certified
\* a goal: several sequences at once, with a certificate from a peer of a view left
NeverCaughtUp == ~\E c \in Honest : Len(final[c]) = LastSequence /\ kept[c][1] < view[c]
=============================================================================
