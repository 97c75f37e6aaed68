"""How the console looks: glyphs, the colours of tones, and the themes that carry them.

Every tone also has a glyph, so nothing is said by colour alone.
"""

from dataclasses import dataclass, replace
from typing import Final

from textual.theme import BUILTIN_THEMES, Theme

from console.rows import Tone


@dataclass(frozen=True, slots=True, kw_only=True)
class Glyphs:
    """Signs of one set, each one cell wide."""

    good: str
    warn: str
    bad: str
    none: str
    full: str  # of a bar
    empty: str
    rule: str
    up: str
    down: str
    here: str
    edge: str  # between two parts of a line
    late: str
    crossed: str
    forked: str
    missing: str
    unknown: str
    vertex: str  # a final one
    vertex_open: str  # one that waits
    anchor: str
    anchor_open: str
    orphan: str
    arrow: str
    cut: str  # where a text goes on
    ascii_only: bool

    def of(self, tone: Tone) -> str:
        """Return the sign that says `tone` without colour."""
        return {Tone.GOOD: self.good, Tone.WARN: self.warn, Tone.BAD: self.bad}.get(tone, self.none)


UNICODE: Final = Glyphs(
    good="●", warn="▲", bad="✖", none="·", full="█", empty="░", rule="─", up="▲", down="▼",
    here="▶", edge="│", late="◐", crossed="×", forked="‡", missing="○", unknown="·",
    vertex="●", vertex_open="○", anchor="◆", anchor_open="◇", orphan="?", arrow="→",
    cut="…", ascii_only=False,
)  # fmt: skip
ASCII: Final = Glyphs(
    good="*", warn="!", bad="X", none=".", full="#", empty="-", rule="-", up="^", down="v",
    here=">", edge="|", late="~", crossed="x", forked="2", missing="o", unknown=".",
    vertex="*", vertex_open="o", anchor="A", anchor_open="a", orphan="?", arrow=">",
    cut="~", ascii_only=True,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """A style of rich for each tone and part."""

    good: str
    warn: str
    bad: str
    dim: str
    accent: str
    head: str  # of a column
    cursor: str
    cursor_blurred: str
    live: str  # the badge of a verdict
    degraded: str
    stalled: str
    waiting: str

    def of(self, tone: Tone) -> str:
        """Return the style of `tone`."""
        return {
            Tone.PLAIN: "",
            Tone.GOOD: self.good,
            Tone.WARN: self.warn,
            Tone.BAD: self.bad,
            Tone.DIM: self.dim,
            Tone.ACCENT: self.accent,
        }[tone]


@dataclass(frozen=True, slots=True)
class Look:
    """What drawing needs: the glyphs and the palette."""

    glyphs: Glyphs
    palette: Palette


_DARK: Final = Palette(
    good="#6bd490", warn="#f0b84a", bad="bold #ff6b6b", dim="#7c8796", accent="bold #6cb6ff",
    head="bold #9fb0c3", cursor="on #27486b", cursor_blurred="on #25303d",
    live="bold #06130b on #6bd490", degraded="bold #1d1300 on #f0b84a",
    stalled="bold #ffffff on #c62f3b", waiting="bold #ffffff on #4a5666",
)  # fmt: skip
_LIGHT: Final = Palette(
    good="#0b6b35", warn="#8a5200", bad="bold #b3121d", dim="#667080", accent="bold #0a54a8",
    head="bold #3d4a5c", cursor="on #b9d7f7", cursor_blurred="on #dde5ee",
    live="bold #ffffff on #0b6b35", degraded="bold #1d1300 on #f0b84a",
    stalled="bold #ffffff on #b3121d", waiting="bold #ffffff on #667080",
)  # fmt: skip
_CONTRAST: Final = Palette(
    good="bold #00ff5f", warn="bold #ffff00", bad="bold #ff5f5f", dim="#c0c0c0",
    accent="bold #00ffff", head="bold underline #ffffff", cursor="bold #000000 on #ffffff",
    cursor_blurred="underline", live="bold #000000 on #00ff5f",
    degraded="bold #000000 on #ffff00", stalled="bold #ffffff on #d70000",
    waiting="bold #000000 on #c0c0c0",
)  # fmt: skip
_NO_COLOUR: Final = Palette(
    good="", warn="bold", bad="bold", dim="", accent="bold", head="bold underline",
    cursor="reverse", cursor_blurred="underline", live="bold reverse", degraded="bold reverse",
    stalled="bold reverse", waiting="bold reverse",
)  # fmt: skip

DEFAULT_THEME: Final = "dark"
NO_COLOUR: Final = "no-colour"
PALETTES: Final = {
    DEFAULT_THEME: _DARK,
    "light": _LIGHT,
    "contrast": _CONTRAST,
    NO_COLOUR: _NO_COLOUR,
}
_NONE: Final = "ansi_default"  # the terminal's own
_COLOURLESS: Final = {
    name: _NONE if value.startswith("ansi_") else value
    for name, value in BUILTIN_THEMES["ansi-dark"].variables.items()
} | {"input-cursor-text-style": "reverse", "block-cursor-text-style": "reverse"}
THEMES: Final = (
    Theme(
        name=DEFAULT_THEME, primary="#6cb6ff", secondary="#38506b", accent="#6cb6ff",
        warning="#f0b84a", error="#ff6b6b", success="#6bd490", foreground="#d6dde6",
        background="#10151b", surface="#10151b", panel="#1b232d",
    ),
    Theme(
        name="light", primary="#0a54a8", secondary="#b9d7f7", accent="#0a54a8",
        warning="#8a5200", error="#b3121d", success="#0b6b35", foreground="#1c2430",
        background="#fafbfc", surface="#fafbfc", panel="#e6ebf1", dark=False,
    ),
    Theme(
        name="contrast", primary="#00ffff", secondary="#ffffff", accent="#ffff00",
        warning="#ffff00", error="#ff5f5f", success="#00ff5f", foreground="#ffffff",
        background="#000000", surface="#000000", panel="#1c1c1c",
    ),
    replace(
        BUILTIN_THEMES["ansi-dark"], name=NO_COLOUR, primary=_NONE, secondary=_NONE, accent=_NONE,
        warning=_NONE, error=_NONE, success=_NONE, foreground=_NONE, background=_NONE,
        surface=_NONE, panel=_NONE, boost=_NONE, variables=_COLOURLESS,
    ),
)  # fmt: skip
assert {theme.name for theme in THEMES} == set(PALETTES)


def bar(part: float, whole: float, width: int, glyphs: Glyphs) -> str:
    """Return a bar of `width` cells, filled in proportion; anything above none shows one cell."""
    # Both ways: a disk may say that more is free than there is.
    filled = 0 if whole <= 0 else max(0, min(width, int(part / whole * width)))
    if part > 0 and width > 0:
        filled = max(1, filled)
    return glyphs.full * filled + glyphs.empty * (width - filled)
