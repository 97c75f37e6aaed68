------------------------------- MODULE Moves -------------------------------
(***************************************************************************)
(* How replicas move from view to view, and nothing else: who may leave,   *)
(* who is pulled along, who is shown that a view is open. Suspicions,      *)
(* timeouts, leaders that leave and loners that are fetched back are all   *)
(* Leave: any moment will do. Liars have said every view-change.           *)
(*                                                                         *)
(* Bound: nobody is more than one view above one that a quorum entered.    *)
(* NotStuck: whatever happened, once the liars fall silent and everything  *)
(* said is heard, some honest replica can move, on honest words alone.     *)
(*                                                                         *)
(* Faults: "eager" leaves a view that is not open whoever is in it;        *)
(* "nojoin" follows nobody; "exact" counts only view-changes for this very *)
(* view before a view that is not open may be left, and follows nobody.    *)
(***************************************************************************)
EXTENDS Naturals, FiniteSets, TLC
CONSTANTS Honest, Liars, Quorum, Faults, LastView, Planted
VARIABLES view, open, said, opened
vars == <<view, open, said, opened>>
Views == 0..LastView
Symmetry == Permutations(Honest)

Init == /\ view = [c \in Honest |-> 0] /\ open = [c \in Honest |-> TRUE]
        /\ said = [c \in Honest |-> {}] /\ opened = [c \in Honest |-> {0}]

LeftFor(v) == {d \in Honest : \E w \in said[d] : w >= v}
Exactly(v) == {d \in Honest : v \in said[d]}
Counted(v) == IF "exact" \in Planted THEN Exactly(v) ELSE LeftFor(v)

\* views.Views._leave
Go(c, v) == /\ view' = [view EXCEPT ![c] = v] /\ open' = [open EXCEPT ![c] = FALSE]
            /\ said' = [said EXCEPT ![c] = @ \cup {v}] /\ UNCHANGED opened

\* views.Views._join
MayJoin(c, v, liars) == /\ v > view[c] /\ {"nojoin", "exact"} \cap Planted = {}
                        /\ Cardinality(LeftFor(v) \ {c}) + liars > Faults
Join(c) == \E v \in Views : MayJoin(c, v, Liars) /\ LeftFor(v) # {} /\ Go(c, v)

\* views.Views._cause_to_leave
MayLeave(c, liars) == \/ open[c]
                      \/ "eager" \in Planted
                      \/ Cardinality(Counted(view[c])) + liars >= Quorum
Leave(c) == view[c] < LastView /\ MayLeave(c, Liars) /\ Go(c, view[c] + 1)

\* views.Views._try_open, views.Views.on_new_view
MayAdopt(c, v, liars) == /\ v >= view[c] /\ ~(v = view[c] /\ open[c])
                         /\ Cardinality(Exactly(v)) + liars >= Quorum
Adopt(c) == \E v \in Views \ {0} :
  /\ MayAdopt(c, v, Liars)
  /\ view' = [view EXCEPT ![c] = v] /\ open' = [open EXCEPT ![c] = TRUE]
  /\ opened' = [opened EXCEPT ![c] = @ \cup {v}] /\ UNCHANGED said

\* state.State.note_certified
Certified(c) == \E v \in Views :
  /\ v > view[c] /\ Cardinality({d \in Honest : v \in opened[d]}) + Liars >= Quorum
  /\ view' = [view EXCEPT ![c] = v] /\ open' = [open EXCEPT ![c] = FALSE]
  /\ UNCHANGED <<said, opened>>

\* views.Views.resume: who entered without a word says after a restart that it did.
Resume(c) == /\ view[c] > 0 /\ ~open[c]
             /\ said' = [said EXCEPT ![c] = @ \cup {view[c]}]
             /\ UNCHANGED <<view, open, opened>>

Next == \E c \in Honest : Join(c) \/ Leave(c) \/ Adopt(c) \/ Certified(c) \/ Resume(c)
Spec == Init /\ [][Next]_vars

Bound == \A c \in Honest : view[c] > 1 =>
  Cardinality({d \in Honest : view[d] >= view[c] - 1}) + Liars >= Quorum
NotStuck == \/ \E c \in Honest : view[c] = LastView
            \/ \E c \in Honest : \/ MayLeave(c, 0)
                                 \/ \E v \in Views : MayJoin(c, v, 0) \/ MayAdopt(c, v, 0)
\* a goal: somebody is one view above one that a quorum entered, alone
NeverAhead == ~\E c \in Honest : view[c] > 1 /\ \A d \in Honest \ {c} : view[d] = view[c] - 1
=============================================================================
