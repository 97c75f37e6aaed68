------------------------------- MODULE Rejoin -------------------------------
(***************************************************************************)
(* Coming back after amnesia: the journal is gone and the replica knows    *)
(* it. It stays mute until enough others have stated the highest view they *)
(* entered and a prepare certificate exists in a view above all of these,  *)
(* made without it. That certificate becomes its high; it says nothing in  *)
(* views up to it. Detected by storage.journal; the way back is the rule   *)
(* of the design, and no function of the core carries it yet.              *)
(*                                                                         *)
(* Whoever voted in view w held a timeout certificate of w, so an honest   *)
(* other had entered w: with n - q + f + 1 attesters one of them is among  *)
(* them. View-changes that the replica said before the loss stay in the    *)
(* world: for the view after those, and for Ahead views more. Ahead = 0    *)
(* means that nobody leaves a view before a quorum was in it.              *)
(*                                                                         *)
(* Faults: "few" believes f + 1 attesters, one of them honest and lagging; *)
(* "nopc" comes back with the attestations alone; "oldpc" takes any        *)
(* prepare certificate.                                                    *)
(***************************************************************************)
EXTENDS ChainedPhases
CONSTANT Ahead   \* by how many views it had run ahead of everybody

Lose(c) ==
  /\ hurt = <<"none">> /\ stage = "prepare" /\ current > 0
  /\ \E attested \in IF "few" \in Planted THEN -1..(current - 1) ELSE {current - 1} :
       hurt' = <<"wiped", c, attested, high[c], current, Ahead>>
  /\ high' = [high EXCEPT ![c] = Genesis]
  /\ UNCHANGED <<current, stage, prepared, committed, said>>

Return(c) ==
  /\ Mute(c) /\ stage = "prepare"
  /\ IF "nopc" \in Planted THEN UNCHANGED high
     ELSE \E p \in prepared :
            /\ "oldpc" \notin Planted => p[1] > hurt[3]
            /\ high' = [high EXCEPT ![c] = p]
  /\ hurt' = <<"back", c, hurt[3], hurt[4], hurt[5], hurt[6]>>
  /\ UNCHANGED <<current, stage, prepared, committed, said>>

RejoinNext == Next \/ \E c \in Honest : Lose(c) \/ Return(c)
RejoinSpec == Init /\ [][RejoinNext]_vars

\* a goal: the replica is back, and its vote was needed for a certificate
NeverBack == ~(hurt[1] = "back" /\ \E p \in committed : p[1] > hurt[5] /\ high[hurt[2]] = p)
=============================================================================
