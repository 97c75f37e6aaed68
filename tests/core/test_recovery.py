"""A replica in a later incarnation: it stands on what the recovery fixed, and hears nothing older.

Source: docs/spec/durability.md, section 11.
"""

from dataclasses import replace

import pytest

from cretonode.core.certificate import check_shape_untrusted
from cretonode.core.committee import Committee
from cretonode.core.effects import Accuse, Store
from cretonode.core.messages import (
    Checkpoint,
    Commit,
    Message,
    PrePrepare,
    VertexMessage,
    ViewChange,
    genesis_position,
)
from cretonode.core.records import Accepted, AmnesiaBegun, fold
from cretonode.core.recovery import Recovery, incarnation_of, index_before
from cretonode.core.replica import Replica
from cretonode.core.state import Restored
from cretonode.core.statements import claims_of, recovery_claims, statement_of
from cretonode.errors import MalformedMessage
from cretonode.identifiers import (
    AuthorIndex,
    Digest,
    Incarnation,
    SequenceNumber,
    ValidatorIndex,
    VertexHash,
)
from tests.core.replicas import (
    COMMITTEE,
    Driven,
    Known,
    anchor,
    anchors,
    batch_of,
    brief,
    checkpoint,
    commit,
    committed,
    make_replica,
    of,
    persisted,
    plain,
    pre_prepare,
    prepare,
    prepared,
    said,
    stable,
    view_change,
    votes_of,
)

OLD = anchors(0, 9)  # of incarnation 0: 1 to 9


def recovery_at(base: Known, final: Known | None = None) -> Recovery:
    final = base if final is None else final
    return Recovery(
        previous=Incarnation(0),
        incarnation=Incarnation(2),
        final=brief(final).sequence,
        final_anchor=brief(final).hash,
        checkpoint=SequenceNumber(0),
        digest=Digest(bytes(32)),
        base=brief(base).sequence,
        base_anchor=brief(base).hash,
        votes=votes_of((0, 1, 2)),
    )


def recovered(base: Known, *, final: int, me: int = 1, amnesiac: bool = False) -> Driven:
    """Return a replica with `final` final sequences that has applied a recovery to `base`."""
    before = make_replica(me)
    before.finalize(0, *OLD[:final])
    before.disk.write([Store(message) for message in OLD[final : brief(base).sequence]])
    committee = COMMITTEE.recovered(recovery_at(base, OLD[final - 1]))
    before.disk.sync()
    journal = [AmnesiaBegun(bytes(32))] if amnesiac else []
    before.disk.renew(list(journal))
    restored = replace(before.disk.restore(), promises=fold(journal))
    core = Replica(committee, ValidatorIndex(me), before.replica.state.timing, restored)
    after = Driven(committee, ValidatorIndex(me), core, before.disk, before.now_ms)
    after.start()
    return after


def new(author: int, previous: Known, *tips: Known, index: int = 1) -> VertexMessage:
    """Return an anchor of the new incarnation."""
    return anchor(author, index_before(Incarnation(2)) + index, previous, *tips)


def test_view_0_is_open_on_what_the_recovery_fixed() -> None:
    tested = recovered(OLD[4], final=5)
    state = tested.replica.state
    assert (state.view, state.base, state.high) == (0, tested.committee.origin, None)
    assert state.low == 5, "nothing is voted there any more"
    following = new(0, OLD[4])
    effects = tested.hear(following, pre_prepare(0, following))
    assert [accepted.sequence for accepted in persisted(effects, Accepted)] == [6]


def test_a_base_that_is_not_final_becomes_final_with_what_follows() -> None:
    """Sequences 6 and 7 were prepared, and perhaps final somewhere."""
    tested = recovered(OLD[6], final=5)
    following = new(0, OLD[6])
    tested.hear_all(following, pre_prepare(0, following))
    assert tested.replica.state.final == 5
    tested.hear_all(committed(0, following))
    assert tested.replica.state.final == 8
    assert tested.replica.execution.anchors[SequenceNumber(7)] == OLD[6].vertex.hash


def test_the_leader_proposes_above_such_a_base_with_nothing_else_to_order() -> None:
    tested = recovered(OLD[6], final=5, me=0)
    tested.wait(1_000)
    proposed = said(tested.everything, PrePrepare)
    assert [message.sequence for message in proposed] == [8]
    own = said(tested.everything, VertexMessage)[0].vertex
    assert own.parents[0] == OLD[6].vertex.hash
    assert incarnation_of(own.index) == 2


def test_own_indexes_begin_above_all_of_the_old_incarnation() -> None:
    """So what a lost journal had taken is never taken twice."""
    tested = recovered(OLD[4], final=5)
    tested.do(batch_of(b"new"))
    assert (
        said(tested.everything, VertexMessage)[0].vertex.index == index_before(Incarnation(2)) + 1
    )


def test_a_view_change_reports_the_base_without_a_certificate() -> None:
    tested = recovered(OLD[4], final=5)
    tested.hear(*(replace(view_change(1, a), high=tested.committee.origin) for a in (2, 3)))
    word = said(tested.everything, ViewChange)[0]
    assert (word.high, word.certificate) == (tested.committee.origin, None)
    check_shape_untrusted(tested.committee, word)


def test_genesis_is_no_base_any_more() -> None:
    committee = COMMITTEE.recovered(recovery_at(OLD[4]))
    assert committee.origin != genesis_position(committee.genesis)
    with pytest.raises(MalformedMessage, match="without its prepare certificate"):
        check_shape_untrusted(committee, view_change(1, 2))


def test_old_views_move_nobody() -> None:
    """Views count anew; what an old view certified is believed for what it made final."""
    tested = recovered(OLD[4], final=3)
    tested.hear_all(*OLD[3:5], committed(37, OLD[4]))
    assert tested.replica.state.final == 5
    assert tested.replica.state.view == 0
    assert tested.replica.state.low == 5


def test_a_checkpoint_of_an_old_sequence_is_not_stated_anew() -> None:
    tested = recovered(OLD[4], final=3)
    tested.hear_all(*OLD[3:5], committed(0, OLD[4]))
    assert tested.replica.state.final == 5
    assert not said(tested.everything, Checkpoint), "sequence 4 is one, of the old incarnation"
    following = new(0, OLD[4])
    line = [following, *anchors(0, 2, following, index=index_before(Incarnation(2)) + 2)]
    tested.finalize(0, *line)
    assert [word.sequence for word in said(tested.everything, Checkpoint)] == [8]


def test_an_old_checkpoint_certificate_is_taken_while_catching_up() -> None:
    tested = recovered(OLD[7], final=3)
    tested.hear_all(*OLD[3:6], committed(0, OLD[5]))
    digest = tested.replica.checkpoints.own[SequenceNumber(4)]
    tested.hear(stable(4, digest))
    assert tested.replica.state.low == 4


def test_what_was_signed_in_an_old_incarnation_accuses_nobody() -> None:
    """A commit of an old view and a view-change of the new incarnation do not contradict."""
    tested = recovered(OLD[4], final=3)
    tested.hear_all(*OLD[3:5], committed(0, OLD[4], (0, 2, 3)))
    high = tested.committee.origin
    tested.hear(*(replace(view_change(1, author), high=high) for author in (2, 3)))
    assert not of(tested.everything, Accuse)


def test_certificates_verify_in_the_incarnation_that_decided_their_sequence() -> None:
    committee = COMMITTEE.recovered(recovery_at(OLD[4]))
    later = replace(committed(0, OLD[4]), sequence=SequenceNumber(6))
    for certificate, of_committee in ((committed(0, OLD[4]), COMMITTEE), (later, committee)):
        vote = Commit(
            view=certificate.view,
            sequence=certificate.sequence,
            anchor=certificate.anchor,
            author=ValidatorIndex(0),
        )
        claim = next(iter(claims_of(committee, certificate)))
        assert claim.statement == statement_of(of_committee, vote)


@pytest.mark.parametrize(
    "old",
    [
        prepared(0, OLD[0]),
        pre_prepare(0, OLD[0]),
        prepare(0, OLD[0], 1),
        commit(0, OLD[0], 1),
        checkpoint(4, Digest(bytes(32)), 1),
        replace(view_change(1, 1, prepared(0, OLD[0])), certificate=None),
    ],
    ids=lambda message: type(message).__name__,
)
def test_no_old_vote_or_prepare_certificate_verifies_in_the_new_incarnation(old: Message) -> None:
    """Also for sequences that the old one decided: a position of it compares with nothing."""
    committee = COMMITTEE.recovered(recovery_at(OLD[4]))
    before = {claim.statement for claim in claims_of(COMMITTEE, old)}
    assert before.isdisjoint(claim.statement for claim in claims_of(committee, old))


def test_a_vertex_of_an_incarnation_that_has_not_begun_is_malformed() -> None:
    early = plain(1, index_before(Incarnation(1)) + 1)
    with pytest.raises(MalformedMessage, match="has not begun"):
        check_shape_untrusted(COMMITTEE, early)
    check_shape_untrusted(COMMITTEE.recovered(recovery_at(OLD[4])), early)


def test_who_signs_a_recovery_does_so_in_the_incarnation_it_leaves() -> None:
    """A signature binds chain, genesis document and every place that the recovery names."""
    recovery = recovery_at(OLD[4])
    base = next(iter(recovery_claims(COMMITTEE, recovery))).statement
    later: Committee = COMMITTEE.recovered(recovery)
    assert next(iter(recovery_claims(later, recovery))).statement == base
    changed = [
        replace(recovery, previous=Incarnation(1)),
        replace(recovery, incarnation=Incarnation(3)),
        replace(recovery, final=SequenceNumber(4)),
        replace(recovery, final_anchor=VertexHash(bytes(32))),
        replace(recovery, checkpoint=SequenceNumber(4)),
        replace(recovery, digest=Digest(b"x" * 32)),
        replace(recovery, base=SequenceNumber(9)),
        replace(recovery, base_anchor=VertexHash(bytes(32))),
    ]
    others = [next(iter(recovery_claims(COMMITTEE, other))).statement for other in changed]
    elsewhere = replace(COMMITTEE, genesis=VertexHash(bytes(32)))
    others.append(next(iter(recovery_claims(elsewhere, recovery))).statement)
    assert len({base, *others}) == len(others) + 1


def test_an_amnesiac_of_the_new_incarnation_is_silent() -> None:
    tested = recovered(OLD[4], final=5, amnesiac=True)
    following = new(0, OLD[4])
    tested.hear(following, pre_prepare(0, following))
    assert not persisted(tested.everything, Accepted)
    assert tested.replica.proposer.index == index_before(Incarnation(2))


def test_a_fresh_chain_has_genesis_for_its_origin() -> None:
    assert COMMITTEE.origin == genesis_position(COMMITTEE.genesis)
    assert not COMMITTEE.is_past(SequenceNumber(1))
    assert index_before(Incarnation(0)) == AuthorIndex(0)
    assert Restored(final=make_replica().replica.state.chain.final).promises.own_index == 0
