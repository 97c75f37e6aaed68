"""One configuration key: what is known of it, and the check of a value for it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from cretonode.config.forms import Form
from cretonode.config.wording import number, shown

Value: TypeAlias = bool | int | float | str | tuple[str, ...]

TEXT_CHARACTERS_MAX: Final = 1024
LIST_ITEMS_MAX: Final = 1024

_WHOLE_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,30}", re.ASCII)
_DECIMAL_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?", re.ASCII)
_BOOLEANS: Final = {"true": True, "false": False}
_TYPE_NAMES: Final[Mapping[type, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    tuple: "a list of texts",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a section's field says of its key beside its name, type and default."""

    doc: str  # sentences for the operator
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    answers: Mapping[str, str] | None = None  # what to say to a value people may well try
    form: Form | None = None  # of a text, or of each text in a list
    needs: str = ""  # another key, without whose being true this one does nothing
    effect: str | None = None  # why the key does nothing yet; None when it works


def about(
    doc: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    answers: Mapping[str, str] | None = None,
    form: Form | None = None,
    needs: str = "",
    effect: str | None = None,
) -> dict[str, About]:
    """Return the metadata of a section's field."""
    known = About(
        doc=doc,
        unit=unit,
        low=low,
        high=high,
        choices=choices,
        answers=answers,
        form=form,
        needs=needs,
        effect=effect,
    )
    return {"about": known}


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of node.toml."""

    section: str
    name: str
    default: Value
    about: About

    @property
    def path(self) -> str:
        """The key as flags and messages name it."""
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable that overrides the key."""
        return f"CRETO_{self.section}_{self.name}".upper()

    @property
    def kind(self) -> str:
        """The type of the key's values, in words."""
        return _TYPE_NAMES[type(self.default)]

    @property
    def allowed(self) -> str:
        """What the key accepts, in words."""
        about = self.about
        if about.choices:
            return " or ".join(f'"{choice}"' for choice in about.choices)
        if about.low is not None and about.high is not None:
            unit = f" {about.unit}" if about.unit else ""
            return f"{number(about.low)} to {number(about.high)}{unit}"
        if about.form is not None:
            many = isinstance(self.default, tuple)
            return f"a list; each item {about.form.allowed}" if many else about.form.allowed
        return self.kind

    def raw_of(self, text: str) -> object:
        """Return what a variable or a flag writes, in this key's type where it can be read so."""
        word = text.strip()
        match self.default:
            case bool():
                return _BOOLEANS.get(word.lower(), text)
            case int():
                return int(word) if _WHOLE_NUMBER.fullmatch(word) else text
            case float():
                return float(word) if _DECIMAL_NUMBER.fullmatch(word) else text
            case tuple():
                return [item for item in map(str.strip, text.split(",")) if item]
            case str():
                return text

    def problems(self, raw: object) -> Iterator[str]:
        """Yield every rule that `raw` breaks: `section.key is VALUE; expected WHAT`."""
        value = self._typed(raw)
        if value is None:
            detail = "" if self.kind == self.allowed else f": {self.allowed}"
            yield f"{self.path} is {shown(raw)}; expected {self.kind}{detail}"
        elif isinstance(value, tuple):
            if len(value) > LIST_ITEMS_MAX:
                yield f"{self.path} has {len(value)} items; expected at most {LIST_ITEMS_MAX}"
            for position, item in enumerate(value[:LIST_ITEMS_MAX]):
                yield from self._problems_of_text(item, f"{self.path}[{position}]")
        elif isinstance(value, str):
            yield from self._problems_of_text(value, self.path)
        elif not self._within(value):
            yield f"{self.path} is {shown(value)}; expected {self.allowed}"

    def value_of(self, raw: object) -> Value:
        """Return the value that `raw` is. Call it only when `problems` found none."""
        value = self._typed(raw)
        assert value is not None, (self.path, raw)
        if isinstance(self.default, float) and isinstance(value, int):
            return float(value)
        return value

    def _within(self, value: float) -> bool:
        low, high = self.about.low, self.about.high
        return low is None or high is None or low <= value <= high  # NaN is never

    def _typed(self, raw: object) -> Value | None:
        """Return `raw` when it has this key's type. A boolean is no number here."""
        match self.default:
            case bool():
                return raw if isinstance(raw, bool) else None
            case int():
                return raw if isinstance(raw, int) and not isinstance(raw, bool) else None
            case float():
                return raw if isinstance(raw, int | float) and not isinstance(raw, bool) else None
            case str():
                return raw if isinstance(raw, str) else None
            case tuple():
                items = raw if isinstance(raw, list | tuple) else [None]
                texts = tuple(item for item in items if isinstance(item, str))
                return texts if len(texts) == len(items) else None

    def _problems_of_text(self, text: str, path: str) -> Iterator[str]:
        about = self.about
        if about.answers is not None and text in about.answers:
            yield f"{path} is {shown(text)}; {about.answers[text]}"
        elif len(text) > TEXT_CHARACTERS_MAX:
            yield f"{path} has {len(text)} characters; expected at most {TEXT_CHARACTERS_MAX}"
        elif about.choices and text not in about.choices:
            yield f"{path} is {shown(text)}; expected {self.allowed}"
        elif about.form is not None and not about.form.accepts(text):
            yield f"{path} is {shown(text)}; expected {about.form.allowed}"
