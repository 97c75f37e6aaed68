"""The replica as a whole: restarts that contradict nothing, and any events in any order."""

import random
from collections.abc import Callable, Iterator

import pytest

from cretonode.core.committee import Committee
from cretonode.core.effects import Accuse, Effect, Finalize, Halt, Lookup, Say, Send, Stable
from cretonode.core.events import (
    Event,
    LookedUp,
    PeerConnected,
    PeerSilent,
    Received,
    StepDown,
    Tick,
)
from cretonode.core.messages import (
    Checkpoint,
    Commit,
    FetchSlots,
    FetchVertices,
    Message,
    NewView,
    Prepare,
    PrePrepare,
    Status,
    Suspect,
    VertexMessage,
    ViewChange,
)
from cretonode.core.records import (
    Accepted,
    BaseAdopted,
    OwnVertex,
    Record,
    SaidCheckpoint,
    StableCheckpoint,
    ViewEntered,
    fold,
)
from cretonode.core.replica import Replica
from cretonode.core.state import Restored
from cretonode.crypto.hashing import hash_of
from cretonode.dag.graph import FinalVertex
from cretonode.identifiers import AuthorIndex, SequenceNumber, ValidatorIndex, View
from tests.core.replicas import (
    COMMITTEE,
    ROOT,
    TIMING,
    Driven,
    alone,
    anchor,
    anchors,
    batch_of,
    checkpoint,
    commit,
    committed,
    make_replica,
    named,
    new_view,
    of,
    persisted,
    plain,
    position,
    pre_prepare,
    prepare,
    prepared,
    said,
    sent,
    signed,
    stable,
    view_change,
    words_of,
)
from tests.core.test_retransmission import status_of
from tests.simulation.disk import final_of
from tests.simulation.oracles import slot_of

A = anchors(0, 12)
DIGEST = hash_of(b"log")


def restored(
    *records: Record, final: FinalVertex = ROOT, pending: tuple[VertexMessage, ...] = ()
) -> Restored:
    return Restored(promises=fold(records), final=final, recent=(final,), pending=pending)


def accepted(view: int, message: VertexMessage) -> Accepted:
    return Accepted(View(view), message.vertex.sequence, named(message))


def final_at(message: VertexMessage) -> FinalVertex:
    return final_of(message.vertex, message.vertex.sequence)


# --- restart: what was said is said again


def test_a_restarted_backup_says_its_votes_again_and_no_others() -> None:
    """SPEC C8: a restarted node never contradicts what it said."""
    before = make_replica()
    before.hear_all(*A[:3], *(pre_prepare(0, message) for message in A[:3]), prepare(0, A[1], 2))
    other = anchor(0, 40)
    after = before.restart()
    assert said(after.at_start, Prepare) == said(before.everything, Prepare)
    assert said(after.at_start, Commit) == said(before.everything, Commit)
    effects = after.hear(other, pre_prepare(0, other))
    assert not said(effects, Prepare)
    assert not persisted(after.everything, Accepted)


def test_a_restarted_replica_commits_nothing_below_its_high_certificate() -> None:
    """SPEC C8. It committed sequence 1 after 2, so the journal does not tell. Were more than f to
    lie, there could be a certificate for another anchor at 1; the commit for 2 covers 1 anyway."""
    before = make_replica()
    before.hear_all(prepared(0, A[1]), prepared(0, A[0]))
    assert [c.sequence for c in said(before.everything, Commit)] == [2, 1]
    after = before.restart()
    assert [c.sequence for c in said(after.at_start, Commit)] == [2]
    effects = after.hear_all(prepared(0, anchor(0, 40)), prepared(0, A[2]))
    assert [c.sequence for c in said(effects, Commit)] == [3], "above it all is as before"
    effects = after.hear_all(new_view(1, prepared(0, A[0])), prepared(1, A[0]))
    assert [(c.view, c.sequence) for c in said(effects, Commit)] == [(1, 1)]


def test_votes_whose_anchors_the_database_lost_wait_for_them() -> None:
    """DESIGN 2, Durability: intact journal, database behind it: refetch, keep voting."""
    sibling = anchor(0, 9)
    after = make_replica(restored=restored(accepted(0, A[0])))
    assert not said(after.at_start, Prepare)
    assert not said(after.hear(sibling, pre_prepare(0, sibling)), Prepare)
    assert [v.anchor for v in said(after.hear(A[0]), Prepare)] == [named(A[0])]


def test_a_restarted_leader_proposes_the_same_again() -> None:
    """SPEC C8."""
    before = make_replica(0)
    before.do(batch_of(b"a"))
    before.now_ms += 1_000
    before.do(batch_of(b"b"))
    after = before.restart()
    assert said(after.at_start, PrePrepare) == said(before.everything, PrePrepare)
    after.come_back(after.at_start)
    after.now_ms += 1_000
    (proposal,) = said(after.do(batch_of(b"c")), PrePrepare)
    assert proposal.sequence == 3


def test_a_leader_whose_promised_anchor_is_lost_steps_down() -> None:
    """The crash came before the proposal was whole on disk: nobody heard of it, and another must
    not take its place in this view."""
    after = make_replica(0, restored=restored(accepted(0, A[0])))
    assert [m.view for m in said(after.at_start, ViewChange)] == [1]
    effects = after.come_back(after.at_start) + after.do(batch_of(b"x"))
    assert not said(effects, PrePrepare)


def test_a_leader_that_lost_only_a_later_promise_says_nothing_in_that_view() -> None:
    first, second = A[0], A[1]
    records = (OwnVertex(AuthorIndex(1), named(first)), accepted(0, first), accepted(0, second))
    after = make_replica(0, restored=restored(*records, pending=(first,)))
    assert [m.view for m in said(after.at_start, ViewChange)] == [1]
    assert not said(after.at_start, PrePrepare)


def test_a_restart_in_a_view_change_repeats_the_exact_view_change() -> None:
    """DESIGN 2, Durability: the exact ViewChange bytes."""
    before = make_replica(2)
    before.hear_all(prepared(0, A[1]), view_change(1, 0), view_change(1, 3))
    after = before.restart()
    (message,) = said(after.at_start, ViewChange)
    assert message == said(before.everything, ViewChange)[0]
    assert after.replica.state.view == 1
    assert not said(after.hear(A[0], pre_prepare(0, A[0]), prepared(0, A[0])), Prepare)


def test_a_restarted_leader_repeats_the_exact_new_view() -> None:
    """A second, different one would be an equivocation."""
    before = make_replica(1)
    before.hear_all(view_change(1, 2, prepared(0, A[0])), view_change(1, 3))
    after = before.restart()
    assert said(after.at_start, NewView) == said(before.everything, NewView)
    effects = after.come_back(after.at_start)
    effects += after.hear_all(view_change(1, 0, prepared(0, A[1])), view_change(1, 2))
    assert not said(effects, NewView)
    assert not of(effects, Accuse)


def test_the_base_of_a_view_outlives_a_restart() -> None:
    """DESIGN 2, Phases; mutant "losebase" forks."""
    before = make_replica(2)
    before.hear_all(A[0], new_view(1, prepared(0, A[0])))
    after = before.restart()
    b1, b2 = anchor(1, 1), anchor(1, 2, A[0])
    effects = after.hear(new_view(1), b1, pre_prepare(1, b1))
    assert not said(effects, Prepare)
    assert not persisted(effects, BaseAdopted)
    effects = make_replica(2, restored=restored(*_journal(before), pending=(A[0],))).hear(
        b2, pre_prepare(1, b2)
    )
    assert [v.sequence for v in said(effects, Prepare)] == [2]


def test_checkpoints_above_the_stable_one_are_stated_again() -> None:
    before = make_replica()
    before.finalize(0, *A[:8])
    digest = before.replica.checkpoints.own[SequenceNumber(4)]
    before.hear(stable(4, digest))
    after = before.restart()
    assert said(after.at_start, Checkpoint) == said(before.everything, Checkpoint)[1:]
    assert after.replica.state.low == 4


def test_an_index_is_never_used_twice() -> None:
    """DESIGN 2, Vertex. The database may hold a vertex that the journal lost, and the other way
    round."""
    lost_by_database = restored(OwnVertex(AuthorIndex(5), named(A[0])))
    after = make_replica(2, restored=lost_by_database)
    assert said(after.do(batch_of(b"a")), VertexMessage)[0].vertex.index == 6
    own = plain(2, 3)
    after = make_replica(2, restored=restored(pending=(own,)))
    assert persisted(after.at_start, OwnVertex) == [OwnVertex(AuthorIndex(3), named(own))]
    (message,) = said(after.do(batch_of(b"a")), VertexMessage)
    assert (message.vertex.index, message.vertex.parents[0]) == (4, named(own))


def test_the_index_of_an_own_vertex_that_waits_for_a_parent_is_taken_too() -> None:
    """DESIGN 2, Vertex. The journal lost OwnVertex(3), the database kept the vertex, and its anchor
    became final too long ago to be in memory: at start it is an orphan. It is admitted when the
    lookup answers; a second vertex 3 would then prove this honest validator an equivocator."""
    own = plain(2, 3, A[1])
    before = restored(OwnVertex(AuthorIndex(2), named(A[0])), final=final_at(A[7]), pending=(own,))
    tested = make_replica(2, restored=before)
    tested.step(LookedUp((final_at(A[1]),), ()))
    (message,) = said(tested.do(batch_of(b"a")), VertexMessage)
    assert message.vertex.index == 4
    assert not of(tested.everything, Accuse)


def test_a_restart_in_the_middle_goes_on_to_the_same_log() -> None:
    """SPEC C8."""
    running, stopped = alone(), alone()
    for number in range(3):
        for tested in (running, stopped):
            tested.now_ms += 1_000
            tested.do(batch_of(b"%d" % number))
    again = stopped.restart()
    for tested in (running, again):
        tested.now_ms += 1_000
        tested.do(batch_of(b"last"))
    assert running.replica.state.log == again.replica.state.log


# --- restart: the journal is ahead of the database


def test_nothing_is_voted_at_or_below_the_stable_checkpoint() -> None:
    """SPEC C3, C8; DESIGN 2, Durability: a database behind the journal is normal after a power
    loss. A stable checkpoint lets the journal forget the votes it covers (records._settle). With
    the database at 2 and the checkpoint at 4, this replica prepared A3 and has forgotten it; when
    it now prepares another anchor at (0, 3) it contradicts itself, and enough such replicas and
    one lying leader finalize a second anchor there."""
    journal: list[Record] = [accepted(0, message) for message in A[:4]]
    journal += [SaidCheckpoint(SequenceNumber(4), DIGEST), StableCheckpoint(stable(4, DIGEST))]
    before = restored(*journal, final=final_at(A[1]))
    tested = make_replica(restored=before)
    other = anchor(0, 50, A[1])
    effects = tested.hear(other, pre_prepare(0, other))
    assert not said(effects, Prepare)


def test_a_leader_proposes_nothing_at_or_below_the_stable_checkpoint() -> None:
    """The same for a leader, and here nobody needs to lie: after the power loss it makes a second
    anchor for a sequence it had proposed, and is banned for it."""
    journal: list[Record] = [
        r for m in A[:4] for r in (accepted(0, m), OwnVertex(m.vertex.index, named(m)))
    ]
    journal += [SaidCheckpoint(SequenceNumber(4), DIGEST), StableCheckpoint(stable(4, DIGEST))]
    tested = make_replica(0, restored=restored(*journal, final=final_at(A[1])))
    effects = tested.at_start + tested.come_back(tested.at_start) + tested.do(batch_of(b"new"))
    assert not said(effects, PrePrepare)


def test_a_checkpoint_the_journal_lost_is_stated_after_all() -> None:
    """PBFT 4.3. The database kept sequence 4, the journal lost SaidCheckpoint(4): without it this
    replica can neither state the checkpoint nor take a certificate for it."""
    before = make_replica()
    before.finalize(0, *A[:4])
    digest = before.replica.checkpoints.own[SequenceNumber(4)]
    before.disk.journal = [r for r in before.disk.journal if not isinstance(r, SaidCheckpoint)]
    after = before.restart()
    assert [m.digest for m in said(after.at_start, Checkpoint)] == [digest]
    assert of(after.hear(stable(4, digest)), Stable)


# --- any events in any order

Make = Callable[[random.Random], Message]


def messages(rng: random.Random) -> list[Message]:
    """Everything well-formed that validators 0, 2 and 3 could have said, all of them lying.

    Only the certificates are what at most f liars can bring about: they are of one chain.
    """
    fork = anchors(0, 3, A[2], index=30)
    b = [anchor(2, 50, A[3], plain(2, 1)), anchor(3, 90, A[3], plain(2, 1))]
    branches = [plain(3, index) for index in range(2, 12)]
    chain = [plain(2, 1)]
    for index in range(2, 9):
        chain.append(plain(2, index, chain[-1], rng.choice([ROOT, A[0], A[2]])))
    found: list[Message] = [*A[:8], *fork, *b, *branches, *chain]
    found += [plain(3, 2, transactions=(b"two",)), plain(3, 77, height=9), plain(0, 90, fork[2])]
    for view in range(4):
        for message in (*A[:8], *fork, *b):
            if message.vertex.author == view % 4:
                found.append(pre_prepare(view, message))
            found += [prepare(view, message, a) for a in (2, 3) if a != view % 4]
            found += [commit(view, message, a) for a in (0, 2, 3)]
    found += [prepared(0, message, (0, 2, 3)) for message in A[:6]]
    found += [committed(0, message, (0, 2, 3)) for message in A[:4]]
    found += [view_change(view, a) for view in (1, 2, 3) for a in (0, 2, 3)]
    found += [view_change(view, 3, prepared(0, A[5], (0, 2, 3))) for view in (1, 2, 4)]
    found += [new_view(view, prepared(0, A[5], (0, 2, 3)), (0, 2, 3)) for view in (2, 3, 4)]
    found += [new_view(4, prepared(0, A[4], (0, 2, 3)), (0, 2, 3))]
    found += [signed(Suspect(view=View(v), author=ValidatorIndex(a))) for v in (0, 1) for a in (2,)]
    found += [checkpoint(s, DIGEST, 3) for s in (4, 5, 8, 400)]
    found += [FetchVertices(hashes=(named(A[0]),)), FetchSlots(first=SequenceNumber(1), count=9)]
    for final in (0, 3, 9_000):
        found.append(status_of(view=rng.randint(0, 3), final=final, newest=(2, 1, 9, 0)))
        found.append(status_of(has_base=False, low=rng.randint(0, 8)))
    rng.shuffle(found)
    return found


class Stranger:
    """A source of events that owes the replica nothing but its own words and lookups."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.calm = seed % 2 == 1  # every second world is calmer, so that more becomes final
        self.tested = make_replica()
        self.others = messages(self.rng)
        if self.calm:
            self.others = [m for m in self.others if _keeps_the_view(m)]
        self.owed: list[Event] = []

    def events(self, count: int) -> Iterator[Event]:
        rng = self.rng
        for _ in range(count):
            kind = rng.randint(0, 19)
            if kind < 12:
                yield Received(ValidatorIndex(rng.choice((0, 2, 3))), rng.choice(self.others))
            elif kind < 16 and self.owed:
                yield self.owed.pop(0)
            elif kind == 16:
                yield PeerConnected(ValidatorIndex(rng.choice((0, 2, 3))))
            elif kind == 17 and not self.calm:
                yield rng.choice((StepDown(), PeerSilent(ValidatorIndex(rng.choice((0, 2, 3))))))
            elif kind == 18 and self.tested.replica.wants_batch():
                yield batch_of(b"own %d" % rng.randint(0, 99))
            else:
                yield Tick()

    def take(self, event: Event) -> list[Effect]:
        tested = self.tested
        effects = tested.step(event)
        for effect in effects:
            if isinstance(effect, Say):
                self.owed.append(Received(tested.me, signed(effect.statement)))
            elif isinstance(effect, Lookup):
                self.owed.append(tested.looked_up(effect))
        return effects

    def pass_time(self) -> None:
        tested = self.tested
        if self.rng.random() < 0.3:
            tested.now_ms += self.rng.choice((0, 1, 5, 60, 400, 1_000))
        elif self.rng.random() < 0.05:
            tested.now_ms = max(tested.now_ms, min(tested.replica.deadline_ms(), 2**50))


def _keeps_the_view(message: Message) -> bool:
    """True for what a quiet view 0 consists of: no other chain, no other view, no suspicion."""
    if isinstance(message, PrePrepare | Prepare | Commit):
        return message.view == 0 and message.anchor in map(named, A)
    if isinstance(message, VertexMessage):
        return message.author != 0 or message in A
    return not isinstance(message, ViewChange | NewView | Suspect)


@pytest.mark.parametrize("seed", range(60))
def test_events_in_any_order_break_nothing(seed: int) -> None:
    """House style 8, 11, 12; SPEC C8. Nothing valid raises; every word is covered by the journal
    and contradicts no other; the deadline is never in the past; the same events give the same
    effects; and with one liar nobody halts."""
    stranger = Stranger(seed)
    tested = stranger.tested
    twin = make_replica()
    words: dict[object, object] = {}
    for event in stranger.events(400):
        stranger.pass_time()
        twin.now_ms = tested.now_ms
        effects = stranger.take(event)
        assert twin.step(event) == effects
        assert not of(effects, Halt), of(effects, Halt)
        assert tested.replica.deadline_ms() > tested.now_ms
        assert tested.replica.deadline_ms() == twin.replica.deadline_ms()
        for word in words_of(effects):
            key, value = slot_of(word)
            assert words.setdefault(key, value) == value, (key, value)
        for accusation in of(effects, Accuse):
            assert accusation.author != tested.me
    sequences = [f.sequence for f in of(tested.everything, Finalize)]
    assert sequences == list(range(1, len(sequences) + 1))


@pytest.mark.parametrize("seed", range(60, 100))
def test_a_restart_at_any_moment_contradicts_nothing(seed: int) -> None:
    """SPEC C8: whatever prefix of the last unsynced writes survived, in journal and database."""
    stranger = Stranger(seed)
    rng = stranger.rng
    words: dict[object, object] = {}
    for number, event in enumerate(stranger.events(300)):
        stranger.pass_time()
        tested = stranger.tested
        tested.disk.sync()
        effects = stranger.take(event)
        crashed = number % 40 == 39
        if not crashed:  # else the shell died before it signed or sent anything of this step
            _note_words(words, effects)
            continue
        tested.disk.crash(rng)
        again = Driven(tested.committee, tested.me, _replica(tested), tested.disk, tested.now_ms)
        stranger.tested = again
        stranger.owed = []
        effects = again.start()
        _note_words(words, effects)
        for effect in effects:
            if isinstance(effect, Say):
                stranger.owed.append(Received(again.me, signed(effect.statement)))
            elif isinstance(effect, Lookup):
                stranger.owed.append(again.looked_up(effect))


def _note_words(words: dict[object, object], effects: list[Effect]) -> None:
    for word in words_of(effects):
        key, value = slot_of(word)
        assert words.setdefault(key, value) == value, (key, words[key], value)


def _replica(tested: Driven):

    return Replica(tested.committee, tested.me, TIMING, tested.disk.restore())


def _journal(tested: Driven) -> list[Record]:
    return list(tested.disk.journal)


# --- small promises


def test_a_status_goes_to_everybody_at_start() -> None:
    tested = make_replica()
    assert [e.peer for e in of(tested.at_start, Send)] == [0, 2, 3]
    assert len(sent(tested.at_start, Status)) == 3


def test_time_never_goes_back() -> None:
    """House style 12: the shell's promise."""
    tested = make_replica()
    tested.wait(10)
    tested.now_ms -= 1
    with pytest.raises(AssertionError):
        tested.step(Tick())


def test_a_view_from_the_journal_is_where_it_resumes() -> None:
    """House style 6: a replica that restarts in view 0 could vote twice in a view it had left."""
    journal = [ViewEntered(View(3)), BaseAdopted(View(3), position(0, A[0]))]
    tested = make_replica(2, restored=restored(*journal, pending=(A[0],)))
    effects = tested.hear(pre_prepare(0, A[0]), prepared(0, A[0]), new_view(2), prepared(2, A[0]))
    for kind in (Prepare, Commit, ViewChange):
        assert not said(effects, kind)
    assert isinstance(COMMITTEE, Committee)
