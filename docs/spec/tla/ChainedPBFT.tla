---------------------------- MODULE ChainedPBFT ----------------------------
(***************************************************************************)
(* Chained PBFT as docs/spec/consensus.md describes it and cretonode.core  *)
(* runs it: many sequences, anchors chained by their first parents, views  *)
(* that open on one base, timeout certificates between them.               *)
(*                                                                         *)
(* How the world is drawn                                                  *)
(*  - Honest replicas are modelled one by one, liars only by their number. *)
(*    A liar has signed everything, always: each certificate holds Liars   *)
(*    votes for free, each timeout certificate Liars view-changes with     *)
(*    whichever position suits, as long as a prepare certificate proves it.*)
(*  - The leader of a view in LyingLeaders shows each replica another      *)
(*    proposal, another timeout certificate, another base. Runs that must  *)
(*    hold put every view there, so nothing rests on who leads.            *)
(*  - The network is a set of signed statements that only grows. Reading   *)
(*    one is a choice, now or never: loss, delay, reordering, partition    *)
(*    and silence need no actions of their own.                            *)
(*  - Durable before said makes a crash a stuttering step: what was not on *)
(*    disk had not been sent. The faults "lose..." break exactly that.     *)
(*  - An anchor is the tuple of choices from genesis to itself. Its first  *)
(*    parent is the tuple without its last entry, its sequence the length; *)
(*    a hash fixes both in the same way. Other parents take no part in     *)
(*    voting.                                                              *)
(***************************************************************************)
EXTENDS Integers, Sequences, FiniteSets, TLC

CONSTANTS
  Honest,         \* honest replicas: model values, interchangeable
  Liars,          \* how many others there are
  Quorum,         \* votes in a prepare certificate
  CommitQuorum,   \* votes in a commit certificate
  TimeoutQuorum,  \* view-changes in a timeout certificate
  Choices,        \* what a leader can choose between at one sequence
  LastSequence, LastView,
  LyingLeaders,   \* views whose leader may equivocate
  Learn,          \* TRUE: a certificate may raise high without a commit
  Planted         \* planted faults; {} is the protocol

Views == 0..LastView
Anchors == UNION {[1..s -> Choices] : s \in 1..LastSequence}
Symmetry == Permutations(Honest) \cup Permutations(Choices)

Parent(h) == SubSeq(h, 1, Len(h) - 1)
Prefix(h, g) == Len(h) <= Len(g) /\ SubSeq(g, 1, Len(h)) = h
Related(h, g) == Prefix(h, g) \/ Prefix(g, h)

\* A position is <<view, anchor>>. messages.Position.rank compares alike.
Genesis == <<-1, <<>>>>
None    == <<-2, <<>>>>
Above(p, q) == p[1] > q[1] \/ (p[1] = q[1] /\ Len(p[2]) > Len(q[2]))

VARIABLES
  view,         \* view[c]: c votes in nothing below
  prepares,     \* prepares[c][v]: anchors c said prepare (or pre-prepare) for
  commits,      \* commits[c][v]: anchors c said commit for
  high,         \* high[c]: position of c's high certificate
  viewChanges,  \* viewChanges[c][v]: position in c's view-change, or None
  crash         \* what a planted crash lost; <<"none">> otherwise
vars == <<view, prepares, commits, high, viewChanges, crash>>

Init ==
  /\ view = [c \in Honest |-> 0]
  /\ prepares = [c \in Honest |-> [v \in Views |-> {}]]
  /\ commits = [c \in Honest |-> [v \in Views |-> {}]]
  /\ high = [c \in Honest |-> Genesis]
  /\ viewChanges = [c \in Honest |-> [v \in Views |-> None]]
  /\ crash = <<"none">>

(***************************************************************************)
(* Certificates that somebody could assemble.                              *)
(***************************************************************************)
\* slots.Slot.try_prepared
Prepared(v, h) == Cardinality({c \in Honest : h \in prepares[c][v]}) + Liars >= Quorum
PreparedIn(v) == {h \in UNION {prepares[c][v] : c \in Honest} : Prepared(v, h)}

\* slots.Slot.try_committed. Fault "crossview" adds up commits of several
\* views. Variant "descend" lets a commit count for ancestors in its view too.
CommittersOf(v, h) == {c \in Honest :
  CASE "crossview" \in Planted -> \E w \in 0..v : h \in commits[c][w]
    [] "descend"   \in Planted -> \E g \in commits[c][v] : Prefix(h, g)
    [] OTHER                   -> h \in commits[c][v]}
Committed(v, h) == Cardinality(CommittersOf(v, h)) + Liars >= CommitQuorum
Certified == {p \in UNION {{<<v, h>> : h \in UNION {commits[c][v] : c \in Honest}} : v \in Views} :
                Committed(p[1], p[2])}

(***************************************************************************)
(* Opening a view: views.Views._try_open, and what a replica accepts of it:*)
(* certificate.check_shape_untrusted.                                      *)
(***************************************************************************)
\* positions that a liar can prove in its view-change for v
Claims(v) ==
  IF Liars = 0 THEN {}
  ELSE IF "unproven" \in Planted THEN (0..(v-1)) \X Anchors
  ELSE UNION {{<<w, h>> : h \in PreparedIn(w)} : w \in 0..(v-1)}

Higher(p, q) == IF "seqonly" \in Planted THEN Len(p[2]) > Len(q[2]) ELSE Above(p, q)
Tops(X) == {p \in X : \A q \in X : ~Higher(q, p)}

\* Bases that X, the positions of the honest members of a timeout certificate,
\* admits. Liars fill the rest: a certificate of honest view-changes alone has
\* the highest position of some subset of them.
BasesOf(X, v) ==
  IF "anypc" \in Planted THEN X \cup Claims(v) \cup {Genesis}
  ELSE Tops(X) \cup {p \in Claims(v) : \A q \in X : Higher(p, q)}
Bases(v) ==
  IF v = 0 THEN {Genesis}
  ELSE IF "mixvc" \in Planted   \* view-changes for lower views are counted too
  THEN LET R == {c \in Honest : \E w \in 1..v : viewChanges[c][w] # None}
       IN UNION {UNION {BasesOf({viewChanges[c][f[c]] : c \in S}, v) :
              f \in {g \in [S -> 1..v] : \A c \in S : viewChanges[c][g[c]] # None}} :
                   S \in {T \in SUBSET R : Cardinality(T) + Liars = TimeoutQuorum}}
  ELSE LET R == {c \in Honest : viewChanges[c][v] # None}
       IN UNION {BasesOf({viewChanges[c][v] : c \in S}, v) :
                   S \in {T \in SUBSET R : Cardinality(T) + Liars = TimeoutQuorum}}

(***************************************************************************)
(* Voting.                                                                 *)
(***************************************************************************)
\* what c knows of its votes in v: ordering.Ordering.accepted
Accepted(c, v) == IF crash[1] = "votes" /\ crash[2] = c /\ crash[3] = v
                  THEN prepares[c][v] \ crash[4] ELSE prepares[c][v]

\* a leader outside LyingLeaders keeps to one base and one chain in its view
Consistent(v, h, first) ==
  v \in LyingLeaders \/ \A d \in Honest : \A g \in prepares[d][v] :
     Related(g, h) /\ (first => \E k \in prepares[d][v] : Len(k) = Len(h))

\* views.Views.on_new_view, ordering.Ordering._on_base: the first anchor a
\* replica accepts in a view stands on the base it adopted there. That base is
\* from then on the parent of the lowest anchor it accepted.
FirstVote(c, v, h) ==
  /\ Accepted(c, v) = {}
  /\ \E b \in Bases(v) : Parent(h) = b[2]
  /\ Consistent(v, h, TRUE)

\* ordering.Ordering._accept_next, _fits: every later one stands on the one
\* accepted before, without waiting for a certificate.
NextVote(c, v, h) ==
  LET A == Accepted(c, v)
      fresh == \A g \in A : Len(g) # Len(h)
      above == \A g \in A : Len(g) < Len(h)
      onBase == \E b \in Bases(v) : Parent(h) = b[2]
  IN
  /\ A # {}
  /\ \/ Parent(h) \in A /\ above
     \* fault: the first parent is not compared with the accepted anchor
     \/ "noparent" \in Planted /\ above /\ (\E g \in A : Len(g) = Len(h) - 1)
     \* fault: a second base is taken while nothing is accepted at its child
     \/ "twobases" \in Planted /\ fresh /\ onBase
     \* fault: votes outlived a crash, the adopted base did not
     \/ crash[1] = "base" /\ crash[2] = c /\ fresh /\ onBase
  /\ Consistent(v, h, FALSE)

\* execution.follow: a commit certificate of this view moved the final anchor
\* past what was accepted; votes go on from there. The model lets a prepare
\* certificate do the same, which is more than the code does.
JumpVote(c, v, h) ==
  /\ "jump" \in Planted
  /\ \A g \in Accepted(c, v) : Len(g) < Len(h)
  /\ Parent(h) \in PreparedIn(v)
  /\ Consistent(v, h, FALSE)

\* ordering.Ordering._vote, proposer.Proposer._propose. "oldprepare" is no
\* fault: a late prepare changes no high, so it could have come earlier.
Prepare(c, v, h) ==
  /\ IF "oldprepare" \in Planted THEN v <= view[c] ELSE v = view[c]
  /\ h \notin prepares[c][v]
  /\ FirstVote(c, v, h) \/ NextVote(c, v, h) \/ JumpVote(c, v, h)
  /\ prepares' = [prepares EXCEPT ![c][v] = @ \cup {h}]
  /\ UNCHANGED <<view, commits, high, viewChanges, crash>>

\* ordering.Ordering._try_commit, state.State.raise_high. c need not have
\* accepted h, nor hold certificates of lower sequences.
Commit(c, v, h) ==
  /\ IF "oldcommit" \in Planted THEN v <= view[c] ELSE v = view[c]
  /\ h \notin commits[c][v]
  /\ Prepared(v, h)
  /\ commits' = [commits EXCEPT ![c][v] = @ \cup {h}]
  /\ high' = [high EXCEPT ![c] =
       CASE "lockdown" \in Planted -> <<v, h>>     \* the latest, not the highest
         [] "seqlock"  \in Planted -> IF Len(h) > Len(@[2]) THEN <<v, h>> ELSE @
         [] OTHER -> IF Above(<<v, h>>, @) THEN <<v, h>> ELSE @]
  /\ UNCHANGED <<view, prepares, viewChanges, crash>>

\* state.State.raise_high, called by views.Views.on_new_view. The code learns
\* only the certificate of the base; the model any.
LearnCertificate(c, v, h) ==
  /\ Learn /\ v <= view[c]
  /\ h \in PreparedIn(v) /\ Above(<<v, h>>, high[c])
  /\ high' = [high EXCEPT ![c] = <<v, h>>]
  /\ UNCHANGED <<view, prepares, commits, viewChanges, crash>>

\* views.Views._leave, views.Views._enter: for a higher view, whatever the
\* cause. Entering without a view-change is one that nobody reads.
Enter(c, v) ==
  /\ v > view[c]
  /\ view' = [view EXCEPT ![c] = v]
  /\ viewChanges' = [viewChanges EXCEPT ![c][v] = IF @ # None THEN @
              ELSE IF "nolock" \in Planted THEN Genesis ELSE high[c]]
  /\ UNCHANGED <<prepares, commits, high, crash>>

\* One crash of a replica that had said something before it was durable.
\* records.Promises.apply names the record that the fault leaves out.
Crash(c) ==
  /\ crash = <<"none">>
  /\ \/ /\ "loselock" \in Planted /\ high[c] # Genesis       \* HighCertificate
        /\ high' = [high EXCEPT ![c] = Genesis]
        /\ crash' = <<"lock">>
        /\ UNCHANGED <<view, prepares, commits, viewChanges>>
     \/ /\ "losevote" \in Planted /\ prepares[c][view[c]] # {}   \* Accepted
        /\ crash' = <<"votes", c, view[c], prepares[c][view[c]]>>
        /\ UNCHANGED <<view, prepares, commits, high, viewChanges>>
     \/ /\ "losebase" \in Planted /\ prepares[c][view[c]] # {}   \* BaseAdopted
        /\ crash' = <<"base", c>>
        /\ UNCHANGED <<view, prepares, commits, high, viewChanges>>
     \/ /\ "loseview" \in Planted /\ view[c] > 0                 \* ViewEntered
        /\ \E v \in 0..(view[c]-1) : view' = [view EXCEPT ![c] = v]
        /\ crash' = <<"view">>
        /\ UNCHANGED <<prepares, commits, high, viewChanges>>

Next == \E c \in Honest :
  \/ \E v \in Views : Enter(c, v)
  \/ \E v \in Views, h \in Anchors : Prepare(c, v, h)
  \/ \E v \in Views : \E h \in PreparedIn(v) : Commit(c, v, h)
  \/ \E v \in Views : \E h \in PreparedIn(v) : LearnCertificate(c, v, h)
  \/ Planted # {} /\ Crash(c)

Spec == Init /\ [][Next]_vars

(***************************************************************************)
(* What must hold.                                                         *)
(***************************************************************************)
TypeOK ==
  /\ view \in [Honest -> Views]
  /\ \A c \in Honest, v \in Views : prepares[c][v] \subseteq Anchors /\ commits[c][v] \subseteq Anchors
  /\ \A c \in Honest : high[c] = Genesis \/ high[c] \in Views \X Anchors

\* Any two commit certificates lie on one chain.
Agreement == \A p, q \in Certified : Related(p[2], q[2])

\* One prepare certificate for (view, sequence); more: those of a view are a chain.
UniqueCertificates == \A v \in Views : \A h, g \in PreparedIn(v) : Related(h, g)

\* The heart of the proof: what is committed is under every certificate of a
\* later view, and under every base that a later leader can prove.
Kept == \A p \in Certified : \A w \in Views : w > p[1] =>
          \A g \in PreparedIn(w) : Prefix(p[2], g) /\ g # p[2]
BaseKept == \A p \in Certified : \A w \in Views : w > p[1] =>
          \A b \in Bases(w) : Prefix(p[2], b[2])

\* Each voter of a prepare certificate has voted the chain below it: nothing
\* else can be prepared there, though no certificate need exist there.
Implied == \A v \in Views : \A h \in PreparedIn(v) : \A s \in 1..(Len(h)-1) :
   \A c \in Honest : h \in prepares[c][v] =>
      \A g \in prepares[c][v] : Len(g) = s => Prefix(g, h)

(***************************************************************************)
(* Goals: violated on purpose, to show that the model reaches them.        *)
(***************************************************************************)
NeverTwoBases == ~\E v \in Views, c, d \in Honest :
   /\ prepares[c][v] # {} /\ prepares[d][v] # {}
   /\ (\E h \in prepares[c][v] : Len(h) = 1) /\ (\A h \in prepares[d][v] : Len(h) > 1)
=============================================================================
