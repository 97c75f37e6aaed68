------------------------------- MODULE Rejoin -------------------------------
(***************************************************************************)
(* Coming back after amnesia: the journal is gone and the replica knows    *)
(* it. It stays mute until enough others have stated the highest view they *)
(* entered and a prepare certificate exists in a view more than Margin     *)
(* above all of these, made without it. That certificate becomes its high. *)
(* Then it speaks from that certificate's view on (Within), or from the    *)
(* next one on. Functions: core.rejoin.                                    *)
(*                                                                         *)
(* Whoever voted in view w held a timeout certificate of w, so an honest   *)
(* other had entered w: with n - q + f + 1 attesters one of them is among  *)
(* them. View-changes that the replica said before the loss stay in the    *)
(* world: for the view after those, and for Ahead views more. Ahead = 0    *)
(* means that nobody leaves a view before a quorum was in it.              *)
(*                                                                         *)
(* Speaking in view w contradicts a view-change said for a later view than *)
(* w. So Within needs Ahead <= Margin: one less than silence up to the     *)
(* certificate's view needs, and one view change less.                     *)
(*                                                                         *)
(* Faults: "few" believes f + 1 attesters, one of them honest and lagging; *)
(* "nopc" comes back with the attestations alone; "oldpc" takes any        *)
(* prepare certificate.                                                    *)
(***************************************************************************)
EXTENDS ChainedPhases
CONSTANTS Ahead,  \* by how many views it had run ahead of everybody
          Margin, \* by how many views the certificate must be further above
          Within, \* speaks in the view of the certificate, not only above it
          Whole   \* FALSE: the last view is opened and not played, see RejoinNext

\* A loss is left out when no view is left to come back in: who never comes back
\* is like one that says nothing more and keeps its words.
Lose(c) ==
  /\ hurt = <<"none">> /\ stage = "prepare" /\ current > 0
  /\ Planted # {} \/ current + Margin <= LastView
  /\ \E attested \in IF "few" \in Planted THEN -1..(current - 1) ELSE {current - 1} :
       hurt' = <<"wiped", c, attested, high[c], current, Ahead>>
  /\ high' = [high EXCEPT ![c] = Genesis]
  /\ UNCHANGED <<current, stage, prepared, committed, said>>

Return(c) ==
  /\ Mute(c) /\ stage = "prepare"
  /\ IF "nopc" \in Planted THEN UNCHANGED high
     ELSE \E p \in prepared :
            /\ "oldpc" \notin Planted => p[1] > hurt[3] + Margin
            /\ high' = [high EXCEPT ![c] = p]
  /\ hurt' = <<"back", c, hurt[3], hurt[4], hurt[5], hurt[6]>>
  /\ UNCHANGED <<current, stage, prepared, committed, said>>

\* The prepares of a view: the others' certificate first, then its own votes.
ReturnWithin(c) ==
  /\ Within /\ Mute(c) /\ stage = "prepare" /\ current > hurt[3] + Margin
  /\ LET V == VoteSets(current)
     IN \E X \in [Honest -> V] :
       LET Others == Formed([X EXCEPT ![c] = {}])
       IN /\ Others # {}
          /\ Consistent(current, X)
          /\ prepared' = prepared \cup {<<current, h>> : h \in Formed(X)}
          /\ \E h \in Others : high' = [high EXCEPT ![c] = <<current, h>>]
  /\ hurt' = <<"back", c, hurt[3], hurt[4], hurt[5], hurt[6]>>
  /\ stage' = "commit"
  /\ UNCHANGED <<current, committed, said>>

\* With Whole = FALSE the last view is opened only: BaseKept says that whatever it
\* opens on has all that is committed below it, so what it certifies has, too, as
\* every vote in a view stands on one of its bases, and one vote for a sequence by
\* each honest replica is one chain of certificates. So one view more fits.
RejoinNext == /\ Whole \/ current < LastView
              /\ Next \/ \E c \in Honest : Lose(c) \/ Return(c) \/ ReturnWithin(c)
RejoinSpec == Init /\ [][RejoinNext]_vars

\* VIEW: what nothing depends on any more is the same state. Old words count up to
\* the view hurt[5] + hurt[6], then the rest of hurt is history; once the last view
\* has prepared, nobody reads high.
Spent == hurt[1] \in {"wiped", "back"} /\ current > hurt[5] + hurt[6]
History == IF ~Spent THEN hurt
           ELSE IF hurt[1] = "back" THEN <<"back">> ELSE <<"wiped", hurt[2], hurt[3]>>
Relevant == <<current, stage, prepared, committed, said, History,
              IF current = LastView /\ stage # "prepare" THEN <<>> ELSE high>>

\* a goal: the replica is back, and its vote was needed for a certificate
NeverBack == ~(hurt[1] = "back" /\ \E p \in committed : p[1] > hurt[5] /\ high[hurt[2]] = p)
NeverBackWithin == ~(hurt[1] = "back" /\ stage = "prepare" /\ \E p \in committed :
   p[1] = current - 1 /\ p[1] = hurt[5] /\ high[hurt[2]] = p)
=============================================================================
