"""The node's keys on disk: `node.key`, which is secret, and `node.pub`, which is for sharing.

The secret file is canonical CBOR: [magic, version, node id, protection, payload, checksum]. The
payload is the 64-byte seed, or the seed under AES-256-GCM with a key that scrypt makes of a
passphrase. The checksum tells damage from a wrong passphrase. Files appear whole or not at all,
are never overwritten, and a file that others could read or have made is refused.
Source: docs/crypto.md, section "Key files"; RFC 7914 (scrypt); NIST SP 800-38D (GCM).
"""

import base64
import errno
import os
import secrets
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from cretonode.crypto import canonical
from cretonode.crypto.hashing import hash_of
from cretonode.crypto.signatures import SEED_BYTES, PublicKey, SecretKey
from cretonode.errors import KeyStoreError, MalformedMessage
from cretonode.identifiers import HASH_BYTES

KEY_FILE: Final = "node.key"
PUBLIC_FILE: Final = "node.pub"
VERSION: Final = 1

_MAGIC: Final = "cretonode secret key"
_PUBLIC_MAGIC: Final = "cretonode-public-key"
_FILE_BYTES_MAX: Final = 4096  # of the secret file; a whole one has about 250
_PUBLIC_FILE_BYTES_MAX: Final = 8192  # a whole one has about 3700
_GCM_TAG_BYTES: Final = 16
_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_COST_LOG2: Final = 17  # 128 MiB and under half a second, for each guess of an attacker too
_COST_LOG2_MAX: Final = 18  # 256 MiB: what a hostile file can make us spend
_BLOCK_SIZE: Final = 8
_PARALLELISM_MAX: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """How a passphrase protects a payload: the costs of scrypt, and what must not repeat."""

    cost_log2: int
    block_size: int
    parallelism: int
    salt: bytes
    nonce: bytes

    def as_value(self) -> canonical.Value:
        """Return the fields in the order of the file."""
        return [self.cost_log2, self.block_size, self.parallelism, self.salt, self.nonce]


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedKey:
    """The contents of a secret file whose form and checksum are right."""

    node_id: bytes
    protection: Protection | None
    payload: bytes


def generate(directory: Path, passphrase: bytes | None) -> SecretKey:
    """Make a key, write both files into `directory` (made with mode 0700), and return the key.

    Raises: KeyStoreError, when a key is there already or the directory will not do.
    """
    key = SecretKey(secrets.token_bytes(SEED_BYTES))
    with _opened_directory(directory, create=True) as directory_fd:
        for name in (KEY_FILE, PUBLIC_FILE):
            if _exists(name, directory_fd):
                raise KeyStoreError(
                    f"{directory / name} exists already and is never overwritten; "
                    "move it away to make this node another identity"
                )
        data = _encode_secret(key, passphrase, path=directory / KEY_FILE)
        public = render_public_file(key.public_key)
        with (
            _draft(directory / KEY_FILE, data, directory_fd=directory_fd, mode=0o600) as key_draft,
            _draft(
                directory / PUBLIC_FILE, public, directory_fd=directory_fd, mode=0o644
            ) as public_draft,
        ):
            # The secret file first: a public file without it means that a key was lost.
            _publish(key_draft, directory / KEY_FILE, directory_fd=directory_fd)
            _publish(public_draft, directory / PUBLIC_FILE, directory_fd=directory_fd)
        os.fsync(directory_fd)
    return key


def load(directory: Path, passphrase: bytes | None) -> SecretKey:
    """Return the key that `generate` left in `directory`; write `node.pub` where it is missing.

    Raises: KeyStoreError, which names the path and what is wrong with it.
    """
    path = directory / KEY_FILE
    with _opened_directory(directory, create=False) as directory_fd:
        data = _read_private(path, directory_fd=directory_fd)
    try:
        sealed = decode_secret_untrusted(data)
    except MalformedMessage as error:
        raise KeyStoreError(f"{path} {error}") from None
    key = _unsealed(sealed, passphrase, path=path)
    _check_public_file(directory, key.public_key)
    return key


def exists(directory: Path) -> bool:
    """Return whether `directory` has a secret file, good or bad."""
    return os.path.lexists(directory / KEY_FILE)


def write_public_file(directory: Path, public_key: PublicKey) -> None:
    """Write `node.pub` again where it is missing. Raises: KeyStoreError, when it exists."""
    with _opened_directory(directory, create=False) as directory_fd:
        path, data = directory / PUBLIC_FILE, render_public_file(public_key)
        with _draft(path, data, directory_fd=directory_fd, mode=0o644) as draft:
            _publish(draft, path, directory_fd=directory_fd)
        os.fsync(directory_fd)


def render_public_file(public_key: PublicKey) -> bytes:
    """Return the text of `node.pub`: four lines of a name and a value."""
    return (
        f"{_PUBLIC_MAGIC} {VERSION}\n"
        f"node {public_key.node_id.hex()}\n"
        f"ed25519 {base64.b64encode(public_key.ed25519).decode()}\n"
        f"ml-dsa-87 {base64.b64encode(public_key.mldsa).decode()}\n"
    ).encode()


def parse_public_file_untrusted(data: bytes) -> PublicKey:
    """Return the key in the text of a `node.pub`; only its white space may have changed.

    Raises: MalformedMessage.
    """
    if len(data) > _PUBLIC_FILE_BYTES_MAX:
        raise MalformedMessage(f"a public key file of {len(data)} bytes")
    words = data.split()
    if words[:1] != [_PUBLIC_MAGIC.encode()]:
        raise MalformedMessage("no public key file of this project")
    if words[1:2] != [str(VERSION).encode()]:
        raise MalformedMessage(f"a public key file that is not of version {VERSION}")
    if len(words) != 8:
        raise MalformedMessage(f"a public key file of {len(words)} words; expected 8")
    try:
        encoded = base64.b64decode(words[5], validate=True) + base64.b64decode(
            words[7], validate=True
        )
    except ValueError:
        raise MalformedMessage("a public key file whose keys are not base64") from None
    public_key = PublicKey.decode_untrusted(encoded)
    if words != render_public_file(public_key).split():
        raise MalformedMessage("a public key file whose node id is not that of its keys")
    return public_key


def decode_secret_untrusted(data: bytes) -> SealedKey:
    """Return what a secret file holds. Raises: MalformedMessage, with the end of a sentence."""
    try:
        value = canonical.decode_untrusted(data)
    except MalformedMessage:
        raise MalformedMessage("is truncated, damaged or no key file") from None
    if not isinstance(value, list) or len(value) < 2 or value[0] != _MAGIC:
        raise MalformedMessage("is no key file of this project")
    if value[1] != VERSION or isinstance(value[1], bool):
        raise MalformedMessage(f"has version {value[1]!r}; this release reads {VERSION}")
    checksum = value.pop()
    if checksum != hash_of(canonical.encode(value)):
        raise MalformedMessage("is damaged: its checksum does not fit")
    match value:
        case [_, _, bytes(node_id), None, bytes(payload)]:
            protection, expected = None, SEED_BYTES
        case [_, _, bytes(node_id), list(fields), bytes(payload)]:
            protection, expected = _decode_protection_untrusted(fields), SEED_BYTES + _GCM_TAG_BYTES
        case _:
            raise MalformedMessage("has fields that no key file has")
    if len(node_id) != HASH_BYTES or len(payload) != expected:
        raise MalformedMessage("has fields of a wrong length")
    return SealedKey(node_id=node_id, protection=protection, payload=payload)


def _decode_protection_untrusted(fields: list[canonical.Value]) -> Protection:
    match fields:
        case [int(cost_log2), int(block_size), int(parallelism), bytes(salt), bytes(nonce)]:
            within = (
                1 <= cost_log2 <= _COST_LOG2_MAX
                and block_size == _BLOCK_SIZE
                and 1 <= parallelism <= _PARALLELISM_MAX
            )
        case _:
            raise MalformedMessage("has fields that no key file has")
    if not within:
        raise MalformedMessage(
            f"asks for scrypt with N=2**{cost_log2}, r={block_size}, p={parallelism}; allowed "
            f"are N up to 2**{_COST_LOG2_MAX}, r={_BLOCK_SIZE} and p up to {_PARALLELISM_MAX}"
        )
    if len(salt) != _SALT_BYTES or len(nonce) != _NONCE_BYTES:
        raise MalformedMessage("has fields of a wrong length")
    return Protection(
        cost_log2=cost_log2,
        block_size=block_size,
        parallelism=parallelism,
        salt=salt,
        nonce=nonce,
    )


def _encode_secret(key: SecretKey, passphrase: bytes | None, *, path: Path) -> bytes:
    protection: Protection | None = None
    payload = key.reveal_seed()
    if passphrase is not None:
        if not passphrase:
            raise KeyStoreError(f"the passphrase for {path} is empty")
        protection = Protection(
            cost_log2=_COST_LOG2,
            block_size=_BLOCK_SIZE,
            parallelism=1,
            salt=secrets.token_bytes(_SALT_BYTES),
            nonce=secrets.token_bytes(_NONCE_BYTES),
        )
        cipher = AESGCM(_key_of(passphrase, protection))
        payload = cipher.encrypt(protection.nonce, payload, _sealed_header(key.node_id, protection))
    shown = None if protection is None else protection.as_value()
    value: list[canonical.Value] = [_MAGIC, VERSION, key.node_id, shown, payload]
    return canonical.encode([*value, hash_of(canonical.encode(value))])


def _unsealed(sealed: SealedKey, passphrase: bytes | None, *, path: Path) -> SecretKey:
    seed = sealed.payload
    if sealed.protection is None:
        if passphrase is not None:
            raise KeyStoreError(f"{path} is not protected, yet a passphrase was given for it")
    else:
        if passphrase is None:
            raise KeyStoreError(f"{path} needs its passphrase")
        cipher = AESGCM(_key_of(passphrase, sealed.protection))
        header = _sealed_header(sealed.node_id, sealed.protection)
        try:
            seed = cipher.decrypt(sealed.protection.nonce, seed, header)
        except InvalidTag:
            raise KeyStoreError(f"{path} does not open with this passphrase") from None
    key = SecretKey(seed)
    if key.node_id != sealed.node_id:
        raise KeyStoreError(f"{path} names a node that its key does not belong to")
    return key


def _key_of(passphrase: bytes, protection: Protection) -> bytes:
    scrypt = Scrypt(
        salt=protection.salt,
        length=32,
        n=2**protection.cost_log2,
        r=protection.block_size,
        p=protection.parallelism,
    )
    try:
        return scrypt.derive(passphrase)
    except MemoryError:
        needed = 128 * protection.block_size * 2**protection.cost_log2 // 2**20
        raise KeyStoreError(f"the passphrase needs {needed} MiB of memory to be checked") from None


def _check_public_file(directory: Path, public_key: PublicKey) -> None:
    """Refuse a `node.pub` of another key: its owner would hand it to whoever writes genesis."""
    path = directory / PUBLIC_FILE
    try:
        # Not to block on a pipe somebody put there; a plain file does not mind the flag.
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        if os.access(directory, os.W_OK):  # a mounted secret may be read-only, and does without
            write_public_file(directory, public_key)
        return
    except OSError as error:
        raise KeyStoreError(f"{path} cannot be opened: {error.strerror}") from error
    try:
        found = parse_public_file_untrusted(os.read(file, _PUBLIC_FILE_BYTES_MAX + 1))
    except OSError as error:
        raise KeyStoreError(f"{path} cannot be read: {error.strerror}") from error
    except MalformedMessage as error:
        raise KeyStoreError(f"{path} is {error}; remove it and start writes it anew") from None
    finally:
        os.close(file)
    if found.encode() != public_key.encode():
        raise KeyStoreError(
            f"{path} does not belong to {KEY_FILE} beside it; remove it and start writes it anew"
        )


def _sealed_header(node_id: bytes, protection: Protection) -> bytes:
    """Return what AES-GCM authenticates besides the seed: every other field of the file."""
    return canonical.encode([_MAGIC, VERSION, node_id, protection.as_value()])


@contextmanager
def _opened_directory(directory: Path, *, create: bool) -> Generator[int]:
    """Open `directory`, check that it is ours alone, and turn system errors into ours."""
    try:
        if create and not directory.exists():
            directory.parent.mkdir(parents=True, exist_ok=True)
            directory.mkdir(mode=0o700)
            _sync_directory(directory.parent)
        directory_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise KeyStoreError(f"the key directory {directory}: {error.strerror}") from error
    try:
        _check_private(os.fstat(directory_fd), path=directory, mode="700")
        yield directory_fd
    except OSError as error:
        raise KeyStoreError(f"the key directory {directory}: {error.strerror}") from error
    finally:
        os.close(directory_fd)


def _check_private(status: os.stat_result, *, path: Path, mode: str) -> None:
    """Refuse what others may read or own. Looks at the bits: to root, access never fails."""
    if status.st_uid != os.geteuid():
        raise KeyStoreError(f"{path} belongs to user {status.st_uid}, not to {os.geteuid()}")
    bits = stat.S_IMODE(status.st_mode)
    if bits & 0o077:
        raise KeyStoreError(f"{path} is open to others (mode {bits:04o}); chmod {mode} {path}")


def _read_private(path: Path, *, directory_fd: int) -> bytes:
    # Not to block on a pipe somebody put there; a plain file does not mind the flag.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        file = os.open(path.name, flags, dir_fd=directory_fd)
    except FileNotFoundError:
        raise KeyStoreError(f"{path} is missing") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise KeyStoreError(f"{path} is a symbolic link; it must be a plain file") from None
        raise KeyStoreError(f"{path} cannot be opened: {error.strerror}") from error
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise KeyStoreError(f"{path} is not a plain file")
        _check_private(status, path=path, mode="600")
        data = os.read(file, _FILE_BYTES_MAX + 1)
    finally:
        os.close(file)
    if not data:
        raise KeyStoreError(f"{path} is empty")
    if len(data) > _FILE_BYTES_MAX:
        raise KeyStoreError(f"{path} is over {_FILE_BYTES_MAX} bytes long, so no key file")
    return data


@contextmanager
def _draft(path: Path, data: bytes, *, directory_fd: int, mode: int) -> Generator[str]:
    """Write `data` durably under a passing name beside `path`, gone again afterwards."""
    name = f"{path.name}.{secrets.token_hex(8)}.partial"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        file = os.open(name, flags, 0o600, dir_fd=directory_fd)
        try:
            os.fchmod(file, mode)
            written = os.write(file, data)
            if written != len(data):
                raise KeyStoreError(f"{path}: the disk took {written} of {len(data)} bytes")
            os.fsync(file)
        finally:
            os.close(file)
        yield name
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory_fd)


def _publish(draft: str, path: Path, *, directory_fd: int) -> None:
    """Give the draft its name. A link, not a rename: it fails where the name is taken."""
    try:
        os.link(draft, path.name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
    except FileExistsError:
        raise KeyStoreError(f"{path} exists already and is never overwritten") from None


def _exists(name: str, directory_fd: int) -> bool:
    try:
        os.lstat(name, dir_fd=directory_fd)
    except FileNotFoundError:
        return False
    return True


def _sync_directory(directory: Path) -> None:
    directory_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory_fd)
    finally:
        os.close(directory_fd)
