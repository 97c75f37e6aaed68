import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cretonode.crypto import canonical, keystore
from cretonode.crypto.hashing import hash_of
from cretonode.crypto.signatures import SecretKey
from cretonode.errors import KeyStoreError, MalformedMessage

PASSPHRASE = b"correct horse"
KEY = SecretKey(bytes(range(64)))
PUBLIC_TEXT = keystore.render_public_file(KEY.public_key)


@pytest.fixture(autouse=True)
def _cheap_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keystore, "_COST_LOG2", 4)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A key directory with an unprotected key in it."""
    keystore.generate(tmp_path / "keys", None)
    return tmp_path / "keys"


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def refused(directory: Path, passphrase: bytes | None = None) -> str:
    """Return the one sentence that refuses the key; it names the file or its directory."""
    with pytest.raises(KeyStoreError) as caught:
        keystore.load(directory, passphrase)
    sentence = str(caught.value)
    assert str(directory) in sentence
    assert "\n" not in sentence
    return sentence


def secret_of(directory: Path) -> list[canonical.Value]:
    value = canonical.decode_untrusted((directory / keystore.KEY_FILE).read_bytes())
    assert isinstance(value, list)
    return value


def put_secret(directory: Path, fields: list[canonical.Value]) -> None:
    """Write a secret file of `fields` with the checksum that belongs to them."""
    fields = [*fields[:5], hash_of(canonical.encode(fields[:5]))]
    (directory / keystore.KEY_FILE).write_bytes(canonical.encode(fields))


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE, b"\x00\xff"])
def test_a_generated_key_loads_again(tmp_path: Path, passphrase: bytes | None) -> None:
    directory = tmp_path / "deep" / "keys"
    assert not keystore.exists(directory)
    made = keystore.generate(directory, passphrase)
    assert keystore.exists(directory)
    assert keystore.load(directory, passphrase) == made


def test_a_public_file_of_another_node_is_refused(directory: Path) -> None:
    (directory / keystore.PUBLIC_FILE).write_bytes(PUBLIC_TEXT)
    assert "node.pub does not belong to node.key" in refused(directory)
    (directory / keystore.PUBLIC_FILE).write_bytes(b"nonsense")
    assert "node.pub is no public key file" in refused(directory)


def test_a_missing_public_file_is_written_anew(directory: Path) -> None:
    before = (directory / keystore.PUBLIC_FILE).read_bytes()
    (directory / keystore.PUBLIC_FILE).unlink()
    keystore.load(directory, None)
    assert (directory / keystore.PUBLIC_FILE).read_bytes() == before


def test_two_generated_keys_differ(tmp_path: Path) -> None:
    assert keystore.generate(tmp_path / "a", None) != keystore.generate(tmp_path / "b", None)


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_files_are_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    """SPEC K4."""
    before = os.umask(umask)
    try:
        keystore.generate(tmp_path / "keys", None)
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "keys") == 0o700
    assert mode_of(tmp_path / "keys" / keystore.KEY_FILE) == 0o600
    assert mode_of(tmp_path / "keys" / keystore.PUBLIC_FILE) == 0o644
    assert len(list((tmp_path / "keys").iterdir())) == 2


def test_a_protected_file_does_not_hold_the_seed(tmp_path: Path) -> None:
    key = keystore.generate(tmp_path / "keys", PASSPHRASE)
    data = (tmp_path / "keys" / keystore.KEY_FILE).read_bytes()
    assert key.reveal_ed25519_seed() not in data
    assert key.reveal_mldsa_seed() not in data


@pytest.mark.parametrize("name", [keystore.KEY_FILE, keystore.PUBLIC_FILE])
def test_a_file_that_exists_is_never_overwritten(tmp_path: Path, name: str) -> None:
    directory = tmp_path / "keys"
    directory.mkdir(mode=0o700)
    (directory / name).write_bytes(b"precious")
    with pytest.raises(KeyStoreError, match=f"{name} exists already"):
        keystore.generate(directory, None)
    assert (directory / name).read_bytes() == b"precious"
    assert [path.name for path in directory.iterdir()] == [name]


def test_a_key_that_appears_meanwhile_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two first starts at once: one of them makes the key, the other is refused."""
    directory = tmp_path / "keys"
    first = keystore.generate(directory, None)
    monkeypatch.setattr(keystore, "_exists", lambda *_: False)
    with pytest.raises(KeyStoreError, match="exists already"):
        keystore.generate(directory, None)
    assert keystore.load(directory, None) == first
    assert len(list(directory.iterdir())) == 2


@pytest.mark.parametrize("call", ["open", "write", "fsync", "link", "fchmod"])
@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, failure: BaseException
) -> None:
    directory = tmp_path / "keys"
    directory.mkdir(mode=0o700)
    genuine = getattr(os, call)

    def fail(*arguments: object, **options: object) -> object:
        if call == "open" and arguments[0] == directory:
            return genuine(*arguments, **options)
        raise failure

    monkeypatch.setattr(os, call, fail)
    with pytest.raises((KeyStoreError, KeyboardInterrupt)):
        keystore.generate(directory, None)
    monkeypatch.undo()
    assert list(directory.iterdir()) == []


def test_a_public_file_that_cannot_be_written_leaves_no_secret_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = os.write

    def fail_on_text(file: int, data: bytes) -> int:
        if data == data.rstrip(b"\n"):
            return genuine(file, data)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", fail_on_text)
    with pytest.raises(KeyStoreError, match="No space left"):
        keystore.generate(tmp_path / "keys", None)
    assert list((tmp_path / "keys").iterdir()) == []


def test_a_write_cut_short_by_the_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = os.write
    monkeypatch.setattr(os, "write", lambda file, data: genuine(file, data[:10]))
    with pytest.raises(KeyStoreError, match="took 10 of"):
        keystore.generate(tmp_path / "keys", None)
    assert list((tmp_path / "keys").iterdir()) == []


def test_files_and_directory_are_on_the_disk_before_the_key_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """House style 22. Both drafts are synced before either has its name, the directory after."""
    calls: list[str] = []
    fsync, link = os.fsync, os.link

    def noted_fsync(file: int) -> None:
        calls.append("directory" if stat.S_ISDIR(os.fstat(file).st_mode) else "file")
        fsync(file)

    def noted_link(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        calls.append(target)
        link(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "link", noted_link)
    (tmp_path / "keys").mkdir(mode=0o700)
    keystore.generate(tmp_path / "keys", None)
    assert calls == ["file", "file", "node.key", "node.pub", "directory"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o777])
def test_a_secret_file_open_to_others_is_refused(directory: Path, mode: int) -> None:
    path = directory / keystore.KEY_FILE
    path.chmod(mode)
    assert refused(directory) == f"{path} is open to others (mode {mode:04o}); chmod 600 {path}"


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o720, 0o702, 0o755])
def test_a_directory_open_to_others_is_refused(directory: Path, mode: int) -> None:
    directory.chmod(mode)
    sentence = f"{directory} is open to others (mode {mode:04o}); chmod 700 {directory}"
    assert refused(directory) == sentence
    with pytest.raises(KeyStoreError, match="open to others"):
        keystore.generate(directory, None)


def test_a_read_only_secret_file_is_fine(directory: Path) -> None:
    (directory / keystore.KEY_FILE).chmod(0o400)
    assert keystore.load(directory, None).reveal_seed()


def test_keys_of_another_user_are_refused(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert refused(directory) == f"{directory} belongs to user {owner}, not to {owner + 1}"


def test_a_secret_file_of_another_user_is_refused(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = os.fstat

    def as_if_foreign(file: int) -> os.stat_result:
        status = genuine(file)
        if not stat.S_ISREG(status.st_mode):
            return status
        fields = list(status)
        fields[stat.ST_UID] += 1
        return os.stat_result(fields)

    monkeypatch.setattr(os, "fstat", as_if_foreign)
    assert f"{keystore.KEY_FILE} belongs to user" in refused(directory)


def remove(path: Path) -> None:
    path.unlink()


def make_symlink(path: Path) -> None:
    path.rename(path.with_name("real"))
    path.symlink_to("real")


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def make_directory(path: Path) -> None:
    path.unlink()
    path.mkdir(mode=0o700)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def fill(path: Path) -> None:
    path.write_bytes(bytes(5000))


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-60] ^= 1
    path.write_bytes(data)


def replace_by_text(path: Path) -> None:
    path.write_bytes(b"-----BEGIN PRIVATE KEY-----\n")


def replace_by_cbor(path: Path) -> None:
    path.write_bytes(canonical.encode(["something else", 1]))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (remove, "is missing"),
        (make_symlink, "is a symbolic link"),
        (make_pipe, "is not a plain file"),
        (make_directory, "is not a plain file"),
        (empty, "is empty"),
        (truncate, "is truncated, damaged or no key file"),
        (lengthen, "is truncated, damaged or no key file"),
        (fill, "is over 4096 bytes long"),
        (damage, "is damaged: its checksum does not fit"),
        (replace_by_text, "is truncated, damaged or no key file"),
        (replace_by_cbor, "is no key file of this project"),
    ],
)
@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_a_secret_file_that_will_not_do_is_refused_by_name(
    tmp_path: Path, passphrase: bytes | None, change: Callable[[Path], None], complaint: str
) -> None:
    keystore.generate(tmp_path / "keys", passphrase)
    path = tmp_path / "keys" / keystore.KEY_FILE
    change(path)
    assert refused(tmp_path / "keys", passphrase).startswith(f"{path} {complaint}")


def test_a_missing_directory_is_refused_by_name(tmp_path: Path) -> None:
    assert refused(tmp_path / "nowhere").endswith("No such file or directory")


def test_a_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes(b"")
    assert refused(tmp_path / "keys").endswith("Not a directory")
    with pytest.raises(KeyStoreError, match="Not a directory"):
        keystore.generate(tmp_path / "keys", None)


@pytest.mark.parametrize("version", [0, 2, True, "1", None])
def test_a_file_of_another_version_is_refused(directory: Path, version: canonical.Value) -> None:
    fields = secret_of(directory)
    fields[1] = version
    put_secret(directory, fields)
    assert refused(directory).endswith(f"has version {version!r}; this release reads 1")


def test_a_wrong_passphrase_is_told_from_damage(tmp_path: Path) -> None:
    keystore.generate(tmp_path / "keys", PASSPHRASE)
    assert refused(tmp_path / "keys", b"wrong").endswith("does not open with this passphrase")
    assert refused(tmp_path / "keys", None).endswith("needs its passphrase")


def test_an_unprotected_file_is_not_taken_for_a_protected_one(directory: Path) -> None:
    assert "is not protected" in refused(directory, PASSPHRASE)


def test_an_empty_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match="is empty"):
        keystore.generate(tmp_path / "keys", b"")
    assert list((tmp_path / "keys").iterdir()) == []


@pytest.mark.parametrize("field", [2, 3, 4])
def test_every_field_of_a_protected_file_is_authenticated(tmp_path: Path, field: int) -> None:
    """With a right checksum over changed fields, AES-GCM still refuses."""
    directory = tmp_path / "keys"
    keystore.generate(directory, PASSPHRASE)
    fields = secret_of(directory)
    match fields[field]:
        case bytes(data):
            fields[field] = bytes([data[0] ^ 1]) + data[1:]
        case [cost_log2, *rest]:
            assert isinstance(cost_log2, int)
            fields[field] = [cost_log2 + 1, *rest]
        case other:
            raise AssertionError(other)
    put_secret(directory, fields)
    assert refused(directory, PASSPHRASE).endswith("does not open with this passphrase")


def test_a_key_of_another_node_is_refused(directory: Path) -> None:
    fields = secret_of(directory)
    fields[2] = bytes(32)
    put_secret(directory, fields)
    assert refused(directory).endswith("names a node that its key does not belong to")


@pytest.mark.parametrize(
    ("cost_log2", "block_size", "parallelism"),
    [(19, 8, 1), (63, 8, 1), (0, 8, 1), (17, 9, 1), (17, 1, 1), (17, 8, 0), (17, 8, 5)],
)
def test_a_hostile_file_cannot_ask_for_gigabytes(
    tmp_path: Path, cost_log2: int, block_size: int, parallelism: int
) -> None:
    directory = tmp_path / "keys"
    keystore.generate(directory, PASSPHRASE)
    fields = secret_of(directory)
    protection = fields[3]
    assert isinstance(protection, list)
    fields[3] = [cost_log2, block_size, parallelism, *protection[3:]]
    put_secret(directory, fields)
    assert f"asks for scrypt with N=2**{cost_log2}, " in refused(directory, PASSPHRASE)


def test_a_passphrase_that_needs_more_memory_than_there_is_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Exhausted:
        def __init__(self, **_: object) -> None:
            pass

        def derive(self, _: bytes) -> bytes:
            raise MemoryError

    directory = tmp_path / "keys"
    monkeypatch.setattr(keystore, "Scrypt", Exhausted)
    with pytest.raises(KeyStoreError, match="MiB of memory"):
        keystore.generate(directory, PASSPHRASE)
    assert list(directory.iterdir()) == []


def test_the_default_cost_is_within_what_load_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert 17 == keystore._COST_LOG2 <= keystore._COST_LOG2_MAX


FIELDS: st.SearchStrategy[canonical.Value] = st.recursive(
    st.integers(0, 2**64 - 1) | st.binary(max_size=80) | st.text(max_size=4) | st.none(),
    lambda inner: st.lists(inner, max_size=6),
    max_leaves=12,
)


@given(st.binary(max_size=300) | st.lists(FIELDS, max_size=3).map(lambda tail: sealed_file(tail)))
def test_any_bytes_are_a_secret_file_or_refused(data: bytes) -> None:
    try:
        keystore.decode_secret_untrusted(data)
    except MalformedMessage:
        return
    raise AssertionError("nothing here is a key")


def sealed_file(tail: list[canonical.Value]) -> bytes:
    fields: list[canonical.Value] = ["cretonode secret key", 1, *tail]
    return canonical.encode([*fields, hash_of(canonical.encode(fields))])


def test_the_public_file_is_the_public_key(directory: Path) -> None:
    key = keystore.load(directory, None)
    data = (directory / keystore.PUBLIC_FILE).read_bytes()
    assert keystore.parse_public_file_untrusted(data) == key.public_key
    assert key.node_id.hex().encode() in data
    assert key.reveal_seed()[:16] not in data


def test_a_lost_public_file_is_written_again(directory: Path) -> None:
    path = directory / keystore.PUBLIC_FILE
    before = path.read_bytes()
    public_key = keystore.load(directory, None).public_key
    path.unlink()
    keystore.write_public_file(directory, public_key)
    assert path.read_bytes() == before
    with pytest.raises(KeyStoreError, match="exists already"):
        keystore.write_public_file(directory, KEY.public_key)
    assert path.read_bytes() == before


@pytest.mark.parametrize("change", [lambda t: t.replace(b"\n", b"\r\n"), bytes.strip])
def test_a_public_file_survives_a_mail(change: Callable[[bytes], bytes]) -> None:
    assert keystore.parse_public_file_untrusted(change(PUBLIC_TEXT)) == KEY.public_key


def swap_names(text: bytes) -> bytes:
    return text.replace(b"ed25519", b"ed448")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda _: b"", "no public key file"),
        (lambda t: t.replace(b"cretonode", b"ssh"), "no public key file"),
        (lambda t: t.replace(b"key 1", b"key 2"), "not of version 1"),
        (lambda t: t[:60], "words; expected 8"),
        (lambda t: t + b"more", "9 words; expected 8"),
        (lambda t: t[:-10], "bytes|base64"),
        (lambda t: t[:-10] + b"!" * 10, "base64"),
        (lambda t: t.replace(KEY.node_id.hex().encode(), b"00" * 32), "node id"),
        (lambda t: t.replace(KEY.node_id.hex().encode(), KEY.node_id.hex().upper().encode()), "id"),
        (swap_names, "node id"),
        (lambda t: t * 3, r"of \d+ bytes"),
    ],
)
def test_a_public_file_that_is_none_is_refused(
    change: Callable[[bytes], bytes], complaint: str
) -> None:
    with pytest.raises(MalformedMessage, match=complaint):
        keystore.parse_public_file_untrusted(change(PUBLIC_TEXT))


@given(st.binary(max_size=200), st.integers(0, len(PUBLIC_TEXT)), st.integers(0, 40))
def test_any_text_is_the_public_file_of_its_key_or_refused(
    noise: bytes, start: int, dropped: int
) -> None:
    data = PUBLIC_TEXT[:start] + noise + PUBLIC_TEXT[start + dropped :]
    try:
        key = keystore.parse_public_file_untrusted(data)
    except MalformedMessage:
        return
    assert keystore.render_public_file(key).split() == data.split()
