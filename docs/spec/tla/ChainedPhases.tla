--------------------------- MODULE ChainedPhases ---------------------------
(***************************************************************************)
(* The protocol of ChainedPBFT.tla, folded so that three and four views    *)
(* and three sequences can be searched to the end. The folding rests on    *)
(* who reads what, not on the protocol being right.                        *)
(*                                                                         *)
(*  F1 A step of view v reads only statements of views up to v, reading is *)
(*     a choice, and statements stay. Later steps of a lower view can be   *)
(*     moved before steps of higher ones: nothing becomes impossible and   *)
(*     the end is the same. So views run one after the other, in each all  *)
(*     prepares before all commits. Of a closed view the certificates and  *)
(*     each replica's high are kept, which is the gain.                    *)
(*  F2 Entering a view and staying mute is like not entering it: everybody *)
(*     enters every view, and the timeout certificate stays a free choice. *)
(*  F3 (Fold) More prepares disable nothing and repair nothing: a replica  *)
(*     votes some chain up to the last sequence.                           *)
(*  F4 (Fold) Committing all certified anchors below the highest that a    *)
(*     replica commits in a view raises its high no further.               *)
(*                                                                         *)
(* Fold = FALSE enumerates all votes and commits. F1 fails for faults that *)
(* speak in old views: those are checked in ChainedPBFT. Every run of this *)
(* module is one of ChainedPBFT, so kills are real.                        *)
(* Functions are named at the same actions there.                          *)
(***************************************************************************)
EXTENDS Integers, Sequences, FiniteSets, TLC

CONSTANTS Honest, Liars, Quorum, CommitQuorum, TimeoutQuorum, Choices, LastSequence, LastView,
          LyingLeaders, Learn, Planted,
          Fold,   \* use F3 and F4
          Window, \* W: how far above `low` a sequence may be (0: no window)
          Rule    \* how the window is measured, see Limit

Views == 0..LastView
Anchors == UNION {[1..s -> Choices] : s \in 1..LastSequence}
Symmetry == Permutations(Honest) \cup Permutations(Choices)
Parent(h) == SubSeq(h, 1, Len(h) - 1)
Prefix(h, g) == Len(h) <= Len(g) /\ SubSeq(g, 1, Len(h)) = h
Related(h, g) == Prefix(h, g) \/ Prefix(g, h)
Genesis == <<-1, <<>>>>
Above(p, q) == p[1] > q[1] \/ (p[1] = q[1] /\ Len(p[2]) > Len(q[2]))
Max(a, b) == IF a > b THEN a ELSE b
Min(a, b) == IF a < b THEN a ELSE b

VARIABLES
  current,   \* the view being played
  stage,     \* "prepare", "commit", "end", or the outcome of healing
  prepared,  \* all prepare certificates, <<view, anchor>>
  committed, \* all commit certificates
  high,      \* position of each honest replica's high certificate
  said,      \* fault "crossview": anchors each replica committed in any view
  hurt       \* who lost what; see Rejoin.tla
vars == <<current, stage, prepared, committed, high, said, hurt>>

Init == /\ current = 0 /\ stage = "prepare" /\ prepared = {} /\ committed = {}
        /\ said = [c \in Honest |-> {}]
        /\ high = [c \in Honest |-> Genesis] /\ hurt = <<"none">>

(* --- opening a view --- *)
Claims(v) == IF Liars = 0 THEN {}
             ELSE IF "unproven" \in Planted THEN (0..(v-1)) \X Anchors ELSE prepared
Higher(p, q) == IF "seqonly" \in Planted THEN Len(p[2]) > Len(q[2]) ELSE Above(p, q)
Tops(X) == {p \in X : \A q \in X : ~Higher(q, p)}
BasesOf(X, v) ==
  IF "anypc" \in Planted THEN X \cup Claims(v) \cup {Genesis}
  ELSE Tops(X) \cup {p \in Claims(v) : \A q \in X : Higher(p, q)}

\* Amnesia (Rejoin.tla): hurt is <<"wiped", c, attested, old high, view, ahead>>
\* or <<"back", c, attested, old high, view, ahead>>.
Mute(c) == hurt[1] = "wiped" /\ hurt[2] = c
\* View-changes said before the journal was lost still exist, for the view of
\* the loss up to `ahead` views on, and report the old high.
OldWord(c, v) == /\ hurt[1] \in {"wiped", "back"} /\ hurt[2] = c
                 /\ v >= hurt[5] /\ v <= hurt[5] + hurt[6]
Words(c, v) ==
  (IF Mute(c) THEN {} ELSE {IF "nolock" \in Planted THEN Genesis ELSE high[c]})
    \cup (IF OldWord(c, v) THEN {hurt[4]} ELSE {})
Bases(v) == IF v = 0 THEN {Genesis}
  ELSE LET R == {c \in Honest : Words(c, v) # {}}
           N == {T \in SUBSET R : Cardinality(T) + Liars = TimeoutQuorum}
       IN UNION {UNION {BasesOf({f[c] : c \in S}, v) :
            f \in {g \in [S -> UNION {Words(c, v) : c \in S}] : \A c \in S : g[c] \in Words(c, v)}} :
              S \in N}

(* --- what one replica can have prepared in view v --- *)
Path(n, t) == {SubSeq(t, 1, s) : s \in (n+1)..Len(t)}
\* committee.Committee.high_watermark; `low` at its best: all that is final is
\* stable. Rule "low" leaves its second term out.
Low == IF committed = {} THEN 0 ELSE
  LET m == CHOOSE p \in committed : \A q \in committed : Len(q[2]) <= Len(p[2]) IN Len(m[2])
Limit(b) == CASE Window = 0         -> LastSequence + 1
              [] Rule = "low"       -> Low + Window
              [] Rule = "low or base" -> Max(Low + Window, Len(b[2]) + 1)
OneChain(B) == {{}} \cup UNION {{Path(Len(b[2]), t) : t \in {h \in Anchors :
     /\ Len(h) > Len(b[2]) /\ Prefix(b[2], h) /\ Len(h) <= Limit(b)
     /\ (Fold /\ "twobases" \notin Planted) => Len(h) = Min(LastSequence, Limit(b))}} : b \in B}
OnePerSequence(X) == \A h, g \in X : Len(h) = Len(g) => h = g
VoteSets(v) ==
  LET B == Bases(v)
      O == OneChain(B)
  IN CASE "twobases" \in Planted -> {X \in {Y \cup Z : Y, Z \in O} : OnePerSequence(X)}
       [] "noparent" \in Planted -> O \cup {X \in {{h, g} : h \in UNION O, g \in Anchors} :
            \E h, g \in X : Len(g) = Len(h) + 1 /\ \E b \in B : Parent(h) = b[2]}
       [] OTHER -> O

\* Variant "offbase": in each view one replica, its leader, may propose on any
\* branch as high as a base: proposer.Proposer._may_propose.
OffBase(v) == IF "offbase" \notin Planted THEN {}
  ELSE UNION {{Path(Len(b[2]), t) : t \in {h \in Anchors : Len(h) > Len(b[2])}} : b \in Bases(v)}

Consistent(v, X) ==
  v \in LyingLeaders \/ \E t \in Anchors, n \in 0..LastSequence : \A c \in Honest :
     X[c] \subseteq Path(n, t) /\ (X[c] # {} => \E h \in X[c] : Len(h) = n + 1)

Formed(X) == {h \in UNION {X[c] : c \in Honest} :
                Cardinality({c \in Honest : h \in X[c]}) + Liars >= Quorum}
Now == {p \in prepared : p[1] = current}

\* Variant "jump", as in ChainedPBFT: an anchor stands on the one before it, on
\* a base when it is the lowest, or on what this view certified.
JumpSets == {X \in SUBSET Anchors : OnePerSequence(X)}
Standing(X, c, B) == LET F == Formed(X) IN \A h \in X[c] :
  \/ Parent(h) \in X[c]
  \/ Parent(h) \in F
  \/ Parent(h) \in B /\ \A g \in X[c] : Len(h) <= Len(g)

PrepareAll ==
  /\ stage = "prepare"
  /\ LET B == {b[2] : b \in Bases(current)}
         V == VoteSets(current)
     IN \E X \in [Honest -> IF "jump" \in Planted THEN JumpSets ELSE V \cup OffBase(current)] :
       /\ IF "jump" \in Planted THEN \A c \in Honest : Standing(X, c, B)
          ELSE Cardinality({c \in Honest : X[c] \notin V}) <= 1
       /\ \A c \in Honest : Mute(c) => X[c] = {}
       /\ Consistent(current, X)
       /\ prepared' = prepared \cup {<<current, h>> : h \in Formed(X)}
  /\ stage' = "commit"
  /\ UNCHANGED <<current, committed, high, said, hurt>>

Best(P, d) == IF P = {} THEN d ELSE
  LET m == CHOOSE p \in P : \A q \in P : ~Above(q, p) IN IF Above(m, d) THEN m ELSE d
CommitSets ==
  IF Fold /\ "lockdown" \notin Planted
  THEN {{}} \cup {{p \in Now : Len(p[2]) <= Len(m[2])} : m \in Now}
  ELSE SUBSET Now
CommitAll ==
  /\ stage = "commit"
  /\ \E K \in [Honest -> CommitSets] :
       /\ \A c \in Honest : Mute(c) => K[c] = {}
       /\ said' = IF "crossview" \in Planted
                  THEN [c \in Honest |-> said[c] \cup {p[2] : p \in K[c]}] ELSE said
       /\ committed' = committed \cup
            (CASE "crossview" \in Planted ->
                    {p \in Now : Cardinality({c \in Honest : p[2] \in said'[c]}) + Liars >= CommitQuorum}
               [] "descend" \in Planted ->
                    {p \in {<<current, SubSeq(q[2], 1, Min(s, Len(q[2])))>> : q \in Now, s \in 1..LastSequence} :
                      /\ p[2] # <<>>
                      /\ Cardinality({c \in Honest : \E q \in K[c] : Prefix(p[2], q[2])}) + Liars >= CommitQuorum}
               [] OTHER ->
                    {p \in Now : Cardinality({c \in Honest : p \in K[c]}) + Liars >= CommitQuorum})
       /\ \E L \in [Honest -> IF Learn THEN prepared \cup {Genesis} ELSE {Genesis}] :
            /\ \A c \in Honest : Mute(c) => L[c] = Genesis
            /\ high' = [c \in Honest |->
              CASE "lockdown" \in Planted /\ K[c] # {} ->  \* the lowest one came last
                     (CHOOSE p \in K[c] : \A q \in K[c] : ~Above(p, q))
                [] "seqlock" \in Planted ->
                     (IF K[c] # {} /\ Len(Best(K[c], Genesis)[2]) > Len(high[c][2])
                      THEN Best(K[c], Genesis) ELSE high[c])
                [] OTHER -> Best(K[c] \cup {L[c]}, high[c])]
  /\ IF current < LastView THEN current' = current + 1 /\ stage' = "prepare"
     ELSE current' = current /\ stage' = "end"
  /\ UNCHANGED <<prepared, hurt>>

(***************************************************************************)
(* Healing: from here on everything is delivered, liars are silent, and an *)
(* honest leader runs the view. It takes any timeout certificate it may    *)
(* have (liars may have spoken before) and proposes one anchor on the base.*)
(* Fewer than q honest prepares: nothing can be decided in this view.      *)
(* "stuck" for every certificate: never again, as the next view is alike.  *)
(***************************************************************************)
WouldVote(c, b) == /\ Len(b[2]) + 1 <= Limit(b)
                   /\ "ownlock" \in Planted => ~Above(high[c], b)
Outcome(b) == IF Cardinality({c \in Honest : WouldVote(c, b)}) >= Quorum THEN "decided" ELSE "stuck"
Heal == /\ Window > 0 \/ {"heal", "ownlock"} \cap Planted # {}
        /\ stage = "prepare" /\ current > 0
        /\ \E b \in Bases(current) : stage' = Outcome(b)
        /\ UNCHANGED <<current, prepared, committed, high, said, hurt>>

Next == PrepareAll \/ CommitAll \/ Heal
Spec == Init /\ [][Next]_vars

(* --- what must hold --- *)
Agreement == \A p, q \in committed : Related(p[2], q[2])
UniqueCertificates == \A p, q \in prepared : p[1] = q[1] => Related(p[2], q[2])
Kept == \A p \in committed, q \in prepared : q[1] > p[1] => Prefix(p[2], q[2]) /\ p[2] # q[2]
BaseKept == stage = "prepare" =>
  \A p \in committed : p[1] < current => \A b \in Bases(current) : Prefix(p[2], b[2])
NeverStuck == stage # "stuck"
NotAllStuck == (stage = "prepare" /\ current > 0) => \E b \in Bases(current) : Outcome(b) = "decided"

(* --- goals, to be violated --- *)
NeverTop == ~\E p \in committed : p[1] = LastView /\ Len(p[2]) = LastSequence
\* an anchor prepared in an earlier view only, and final through its child
NeverIndirect == ~\E p \in committed : \E q \in prepared :
   /\ q[1] < p[1] /\ q[2] = Parent(p[2]) /\ <<p[1], q[2]>> \notin prepared
   /\ \A r \in committed : r[2] # q[2]
=============================================================================
