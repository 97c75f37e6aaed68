"""Opening what a node keeps, in the order that finds a mistake before anything is changed."""

import secrets
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog
import trio

from cretonode.config.schema import Config, StorageSection
from cretonode.core.amnesia import can_rejoin
from cretonode.core.committee import Committee
from cretonode.core.records import AmnesiaBegun, Promises, fold
from cretonode.core.state import Restored
from cretonode.dag.graph import genesis_vertex
from cretonode.errors import ConfigError, StorageError
from cretonode.identifiers import NodeId, ValidatorIndex, short
from cretonode.storage.amnesia import begin_again
from cretonode.storage.backend import Compression, DatabaseOptions
from cretonode.storage.datadir import DataDirectory, open_data_directory
from cretonode.storage.errors import (
    JournalDamaged,
    JournalError,
    JournalMissing,
    JournalOutdated,
)
from cretonode.storage.identity import Identity
from cretonode.storage.journal import Journal, Opened
from cretonode.storage.lock import lock_directory
from cretonode.storage.renewal import finish_renewal
from cretonode.storage.rocksdb import RocksBackend
from cretonode.storage.store import Store, open_store
from cretonode.wire.records import decode_record, encode_record

CLOSE_S: Final = 3.0  # for the last flush when the node stops
NONCE_BYTES: Final = 32

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@dataclass(slots=True)
class Disk:
    """The open journal and database, and where they say the node stands."""

    journal: Journal
    promises: Promises
    store: Store
    committee: Committee  # in the incarnation that the database has entered
    _restored: Restored | None

    def take_restored(self) -> Restored:
        """Return where the node stands, once: what is not final in it may be large."""
        assert self._restored is not None, "it was taken"
        restored, self._restored = self._restored, None
        return restored


@asynccontextmanager
async def open_disk(
    config: Config, committee: Committee, me: ValidatorIndex, node_id: NodeId
) -> AsyncGenerator[Disk]:
    """Yield the node's disk, held by this process alone; flush and close it on the way out.

    Raises: StorageError and its kinds, each one sentence that names the file.
    """
    identity = Identity(committee.chain_id, committee.genesis, node_id)
    with ExitStack() as stack:
        disk = await trio.to_thread.run_sync(_open, stack, config, committee, me, identity)
        try:
            yield disk
        except BaseException:
            # What ended the node says more than that a disk which failed cannot be closed either.
            try:
                await _close(stack)
            except StorageError as error:
                log.warning("disk_close_failed", cause=str(error))
            raise
        await _close(stack)


async def _close(stack: ExitStack) -> None:
    """Raises: StorageError."""
    with trio.move_on_after(CLOSE_S, shield=True) as closing:
        await trio.to_thread.run_sync(stack.close, abandon_on_cancel=True)
    if closing.cancelled_caught:
        # As after a crash: what was promised is in the journal, and start recovers it.
        log.error("disk_not_closed", waited_s=CLOSE_S, meaning="the disk does not answer")


def _open(
    stack: ExitStack,
    config: Config,
    committee: Committee,
    me: ValidatorIndex,
    identity: Identity,
) -> Disk:
    directory = open_data_directory(Path(config.node.data_dir), identity)
    stack.enter_context(lock_directory(directory.path))
    backend = RocksBackend(Path(config.storage.path), options_of(config.storage))
    stack.callback(backend.close)
    store = open_store(backend, identity, committee.parameters)
    committee = in_incarnation(committee, store)
    check_promise(committee, store)
    finish_renewal(directory, committee.incarnations[me], store.journal_marker())
    opened = _open_journal(directory, committee, me, store)
    stack.callback(opened.journal.close)
    stack.callback(store.sync)
    if opened.torn_bytes:
        log.info("journal_tail_dropped", bytes=opened.torn_bytes, meaning="never sent to anybody")
    if opened.records and store.journal_marker() is None:
        log.warning(
            "database_empty",
            path=config.storage.path,
            meaning="the vote journal is not empty: what was final is fetched from the others",
        )
    _tell_of_cut_log(backend, store, opened)
    promises = fold(decode_record(record) for record in opened.records)
    if promises.amnesia is not None:
        log.warning("amnesiac", meaning="silent until enough others have attested how far they are")
    restored = store.restore(genesis_vertex(committee.genesis), promises)
    # The performer folds on; the replica starts from its own copy.
    own = fold(decode_record(record) for record in opened.records)
    restored = replace(restored, promises=promises)
    return Disk(opened.journal, own, store, committee, restored)


def in_incarnation(committee: Committee, store: Store) -> Committee:
    """Return the committee after the recoveries that this node has applied."""
    for recovery in store.recoveries():
        committee = committee.recovered(recovery)
    return committee


def check_promise(committee: Committee, store: Store) -> None:
    """Pass unless a recovery was signed here and not applied. Raises: ConfigError."""
    promised, current = store.promised(), max(committee.incarnations)
    if promised is not None and promised[0] > current:
        raise ConfigError(
            f"this node has signed a recovery to incarnation {promised[0]}, and with it promised "
            f"to say nothing in incarnation {current} any more: run `cretonode recover apply` with "
            "the signed files; or, when that recovery was given up, take part in another "
            "(docs/recover.md)"
        )


def _tell_of_cut_log(backend: RocksBackend, store: Store, opened: Opened) -> None:
    """Log that the database's log was cut, and whether the journal knows of more than is left.

    An own vertex of an earlier turn was synced, and with it all that was written before.
    """
    if backend.log_cut is None:
        return
    settled = fold(decode_record(record) for record in opened.records[: opened.settled])
    own = settled.own_vertex
    if own is None or store.get_vertex(own) is not None:
        meaning = "what was not synced is dropped: normal after a power cut, and only then"
        log.warning("database_log_cut", cause=backend.log_cut, meaning=meaning)
    else:
        meaning = (
            "the disk damaged what was synced: what was final is fetched from the others; "
            "transactions that only this node had are lost"
        )
        log.error(
            "database_log_cut", cause=backend.log_cut, missing_vertex=short(own), meaning=meaning
        )


def _open_journal(
    directory: DataDirectory, committee: Committee, me: ValidatorIndex, store: Store
) -> Opened:
    """Open the vote journal; begin a new one, as an amnesiac, when it does not know all it held."""
    incarnation = committee.incarnations[me]
    try:
        return directory.open_journal(incarnation, at_least=store.journal_marker())
    except (JournalMissing, JournalDamaged, JournalOutdated) as error:
        if not can_rejoin(committee):
            raise JournalError(
                f"{error}; the other {committee.size - 1} of {committee.size} validators cannot "
                f"go on without this one ({committee.quorum} votes are needed), so it cannot "
                "rejoin them: only a new incarnation of the network helps (`cretonode recover`)"
            ) from error
        first = encode_record(AmnesiaBegun(secrets.token_bytes(NONCE_BYTES)))
        kept = begin_again(directory, incarnation, first, store.put_journal_marker)
        log.error("journal_lost", cause=str(error), kept=str(kept) if kept else "nothing")
    return directory.open_journal(incarnation, at_least=store.journal_marker())


def options_of(storage: StorageSection) -> DatabaseOptions:
    """Return the database options that the configuration asks for."""
    return DatabaseOptions(
        cache_size_mb=storage.cache_size_mb,
        write_buffer_mb=storage.write_buffer_mb,
        write_buffers_max=storage.write_buffers_max,
        max_open_files=storage.max_open_files,
        compression=Compression.LZ4 if storage.compression else Compression.NONE,
        bloom_bits_per_key=storage.bloom_bits_per_key if storage.enable_bloom_filters else 0,
        levels=storage.levels,
        file_size_mb=storage.file_size_mb,
        background_threads=storage.background_threads,
    )
