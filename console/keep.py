"""Files that the console leaves on request: exported rows, copied text, pictures of the screen.

A file that exists is never overwritten, but for the one that holds what was copied last.
"""

import errno
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

MODE: Final = 0o600
TRIES: Final = 100
FONTS: Final = "DejaVu Sans Mono, Menlo, Consolas, monospace"
COPIED_NAME: Final = "copied.txt"

_FONT_FACE: Final = re.compile(r"@font-face \{[^}]*\}")


def self_contained(svg: str) -> str:
    """Return a picture of the screen that fetches no font from anywhere."""
    svg = _FONT_FACE.sub("", svg).replace("Fira Code, monospace", FONTS)
    return "\n".join(line.rstrip() for line in svg.splitlines() if line.strip()) + "\n"


def write_new(directory: Path, stem: str, suffix: str, text: str) -> Path:
    """Return the new file that holds `text`: its name says what and when.

    Raises: OSError, with the path; then no part of the file is left.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    for i in range(TRIES):
        path = directory / f"creto-{stem}-{stamp}{f'-{i}' if i else ''}.{suffix}"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
        except FileExistsError:
            continue
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise OSError(error.errno, error.strerror, str(path)) from None
        return path
    words = f"there are {TRIES} files of this second already"
    raise FileExistsError(errno.EEXIST, words, str(directory))


def state_directory(environment: Mapping[str, str]) -> Path:
    """Return where the copied text goes."""
    home = environment.get("HOME") or str(Path.home())
    return Path(environment.get("XDG_STATE_HOME") or Path(home, ".local/state")) / "creto-console"


def write_copied(text: str, environment: Mapping[str, str]) -> Path:
    """Return the file that holds what was copied last. Raises: OSError."""
    directory = state_directory(environment)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / COPIED_NAME
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, MODE), "w", encoding="utf-8") as file:
        file.write(text)
    return path
