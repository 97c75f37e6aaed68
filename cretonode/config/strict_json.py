"""JSON read without mercy: no second key of a name, no NaN, no field unknown or missing.

Every refusal is a ConfigError of one sentence, since the text is an operator's file.
"""

import base64
import binascii
import json
from collections.abc import Collection
from typing import Final, NoReturn

from cretonode.config.wording import cut, shown, suggestion
from cretonode.errors import ConfigError

INTEGER_MAX: Final = 2**53 - 1  # what every JSON reader keeps exactly (RFC 8259, section 6)
_NUMBER_CHARACTERS_MAX: Final = 32


def parse_untrusted(text: str) -> object:
    """Return the value of a JSON text. Raises: ConfigError."""
    try:
        value: object = json.loads(
            text,
            object_pairs_hook=_object_untrusted,
            parse_int=_integer_untrusted,
            parse_float=_float_untrusted,
            parse_constant=_refuse_constant,
        )
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"not JSON at line {error.lineno}, column {error.colno}: {cut(error.msg)}"
        ) from None
    except RecursionError:
        raise ConfigError("not JSON that anybody needs: nested too deeply") from None
    return value


def members_untrusted(value: object, names: Collection[str], *, of: str) -> dict[str, object]:
    """Return the fields of the object `of`, which are exactly `names`. Raises: ConfigError."""
    if not isinstance(value, dict):
        raise ConfigError(f"{of} is {shown(value)}; expected an object")
    for name in value:
        if name not in names:
            raise ConfigError(f"{of} has the unknown field {shown(name)}{suggestion(name, names)}")
    for name in names:
        if name not in value:
            raise ConfigError(f'{of} lacks the field "{name}"')
    return value


def items_untrusted(value: object, *, count_max: int, of: str) -> list[object]:
    """Return the items of the list `of`. Raises: ConfigError."""
    if not isinstance(value, list):
        raise ConfigError(f"{of} is {shown(value)}; expected a list")
    if not 1 <= len(value) <= count_max:
        raise ConfigError(f"{of} has {len(value)} items; expected 1 to {count_max}")
    return value


def text_untrusted(value: object, *, of: str) -> str:
    """Return the text that `of` is. Raises: ConfigError."""
    if not isinstance(value, str):
        raise ConfigError(f"{of} is {shown(value)}; expected a text")
    return value


def integer_untrusted(value: object, *, of: str) -> int:
    """Return the whole number, from 0, that `of` is. Raises: ConfigError."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= INTEGER_MAX:
        raise ConfigError(f"{of} is {shown(value)}; expected a whole number, 0 to {INTEGER_MAX}")
    return value


def float_untrusted(value: object, *, of: str) -> float:
    """Return the number that `of` is. Raises: ConfigError."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ConfigError(f"{of} is {shown(value)}; expected a number")
    return float(value)


def octets_untrusted(value: object, *, count: int, of: str) -> bytes:
    """Return the `count` bytes that `of` is in base64. Raises: ConfigError."""
    text = text_untrusted(value, of=of)
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ConfigError(f"{of} is {shown(text)}; expected base64") from None
    if base64.b64encode(data).decode() != text:
        raise ConfigError(f"{of} is not the one base64 text for its bytes")
    if len(data) != count:
        raise ConfigError(f"{of} has {len(data)} bytes; expected {count}")
    return data


def _object_untrusted(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise ConfigError(f"an object has the field {shown(name)} twice")
        found[name] = value
    return found


def _integer_untrusted(digits: str) -> int:
    return int(_bounded_number_untrusted(digits))


def _float_untrusted(digits: str) -> float:
    value = float(_bounded_number_untrusted(digits))
    if value in (float("inf"), float("-inf")):
        raise ConfigError(f"a number is {digits}; no number here is so large")
    return value


def _bounded_number_untrusted(digits: str) -> str:
    if len(digits) > _NUMBER_CHARACTERS_MAX:
        raise ConfigError(f"a number has {len(digits)} characters; no number here is so long")
    return digits


def _refuse_constant(name: str) -> NoReturn:
    raise ConfigError(f"a number is {name}; JSON knows no such number")
