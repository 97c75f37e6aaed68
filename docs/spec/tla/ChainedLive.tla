---------------------------- MODULE ChainedLive ----------------------------
(***************************************************************************)
(* Can a decision always still happen? Views below the last are played as  *)
(* in ChainedPBFT, liars and all. At some moment the network heals: every  *)
(* honest replica enters the last view, its honest leader takes any timeout*)
(* certificate that can be formed, and the liars fall silent, so that every*)
(* quorum has to come from honest replicas. TLC's deadlock check finds a   *)
(* state in which the view has not decided and nobody can do anything.     *)
(* Fault "ownlock": a replica refuses a base below its own high.           *)
(***************************************************************************)
EXTENDS ChainedPBFT
VARIABLE healed   \* <<"no">>, <<"yes", base, proposed anchor>> or <<"decided">>
Last == LastView
liveVars == <<view, prepares, commits, high, viewChanges, crash, healed>>
LiveInit == Init /\ healed = <<"no">>

Before == /\ healed = <<"no">> /\ Next /\ UNCHANGED healed
          /\ \A c \in Honest : prepares'[c][Last] = {} /\ commits'[c][Last] = {}

\* views.Views._join, views.Views._try_open; then proposer.Proposer._may_propose:
\* the leader proposes at base + 1 at once, empty if need be.
Heal ==
  /\ healed = <<"no">>
  /\ view' = [c \in Honest |-> Last]
  /\ viewChanges' = [c \in Honest |->
       [viewChanges[c] EXCEPT ![Last] = IF @ # None THEN @ ELSE high[c]]]
  /\ \E S \in {T \in SUBSET Honest : Cardinality(T) + Liars = TimeoutQuorum} :
       \E b \in BasesOf({viewChanges'[c][Last] : c \in S}, Last), x \in Choices :
         healed' = <<"yes", b, Append(b[2], x)>>
  /\ UNCHANGED <<prepares, commits, high, crash>>

\* ordering.Ordering._accept_next
Vote(c) ==
  /\ healed[1] = "yes" /\ prepares[c][Last] = {}
  /\ "ownlock" \in Planted => ~Above(high[c], healed[2])
  /\ prepares' = [prepares EXCEPT ![c][Last] = {healed[3]}]
  /\ UNCHANGED <<view, commits, high, viewChanges, crash, healed>>

\* ordering.Ordering._try_commit
Seal(c) ==
  /\ healed[1] = "yes" /\ commits[c][Last] = {}
  /\ Cardinality({d \in Honest : healed[3] \in prepares[d][Last]}) >= Quorum
  /\ commits' = [commits EXCEPT ![c][Last] = {healed[3]}]
  /\ high' = [high EXCEPT ![c] = <<Last, healed[3]>>]
  /\ UNCHANGED <<view, prepares, viewChanges, crash, healed>>

\* execution.Execution.advance
Decide ==
  /\ healed[1] = "yes" /\ Cardinality({c \in Honest : healed[3] \in commits[c][Last]}) >= CommitQuorum
  /\ healed' = <<"decided">> /\ UNCHANGED vars
Rest == healed = <<"decided">> /\ UNCHANGED liveVars

LiveNext == Before \/ Heal \/ Decide \/ Rest \/ \E c \in Honest : Vote(c) \/ Seal(c)
LiveSpec == LiveInit /\ [][LiveNext]_liveVars
=============================================================================
