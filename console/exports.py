"""What `E` writes: the records behind the rows that are seen, as numbers and not as they look.

Each field by its name in the operator's protocol, with its unit at the end (`round_trip_ms`,
`payload_bytes`); times by ISO 8601 in UTC, hashes and ids in hexadecimal digits. Pure.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Raw = int | float | str | bool | None
Record = Mapping[str, Raw]

TIMES: Final = frozenset({"at_ms", "since_ms", "until_ms", "timestamp_ms"})  # the rest are lengths
YEAR_9999_MS: Final = 253_402_300_799_999  # its last millisecond
STEERING: Final = ("=", "+", "@", "\t", "\r")  # what makes a spreadsheet take a text for a formula


def recorded(record: "DataclassInstance", **instead: Raw) -> dict[str, Raw]:
    """Return the fields of a record, those of `instead` in their place or after them."""
    found: dict[str, Raw] = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if field.name in TIMES:
            found[field.name.removesuffix("_ms")] = iso_time(value)
        elif isinstance(value, bytes):
            found[field.name] = value.hex()
        else:
            found[field.name] = value
    return {**found, **instead}


def iso_time(at_ms: int | None) -> str | None:
    """Return a Unix time as `2026-03-01T12:00:00.000Z`."""
    if at_ms is None:
        return None
    if not 0 <= at_ms <= YEAR_9999_MS:
        return None  # a vertex has its author's clock, and that may say anything
    whole = datetime.fromtimestamp(at_ms // 1000, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03}Z"


def as_json(records: Sequence[Record]) -> str:
    """Return records as a JSON array of objects."""
    return json.dumps(records, indent=2, ensure_ascii=False) + "\n"


def as_csv(records: Sequence[Record]) -> str:
    """Return records as CSV (RFC 4180), nothing at all for None.

    What a spreadsheet would run begins with an apostrophe.
    """
    out = io.StringIO()
    titles = list(records[0]) if records else []
    writer = csv.writer(out)
    writer.writerow(titles)
    writer.writerows([_cell(record[title]) for title in titles] for record in records)
    return out.getvalue()


def _cell(value: Raw) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return str(value)
    formula = value.startswith(STEERING) or (value.startswith("-") and len(value) > 1)
    return f"'{value}" if formula else value
