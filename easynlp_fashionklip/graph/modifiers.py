"""What describes a head noun: words joined to modifiers, empty ones dropped, normal forms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from easynlp_fashionklip.graph import lexicon
from easynlp_fashionklip.graph.normalise import head_form
from easynlp_fashionklip.graph.words import Role, Word

MAX_MODIFIERS = 4


class Modifier(NamedTuple):
    """A modifier or attachment: `form` is its normal form, `surface` how the text spells it (lower case)."""

    form: str
    surface: str


def group_modifiers(words: Sequence[Word], members: Sequence[int], head: str) -> tuple[Modifier, ...]:
    """Modifiers of a head from the words at `members`: compounds joined, empty words dropped, at most four (nearest).

    `short sleeve`, `dark blue` are joined by the lists; other pairs when the first depends on the second in the parse.
    """
    kept = [i for i in members if words[i].role in (Role.NOUN, Role.OPEN_NOUN, Role.MODIFIER)]
    modifiers: list[Modifier] = []
    while kept:
        last = kept.pop()
        group = [last]
        if kept and kept[-1] == last - 1 and _joins(words, kept[-1], last):
            group.insert(0, kept.pop())
        modifier = _modifier([words[i].lower for i in group], head)
        if modifier is not None and all(modifier.form != other.form for other in modifiers):
            modifiers.append(modifier)
    return tuple(reversed(modifiers[:MAX_MODIFIERS]))


_EMPTY = lexicon.STOP_MODIFIERS - lexicon.FIT_WORDS
_SHAPES_AND_STUFFS = lexicon.SHAPES | lexicon.MATERIALS
_TOE_PARTS = ("cap", "box", "ring", "loop", "holder", "counter", "strap", "tab", "patch", "post", "cup", "collar")


def _joins(words: Sequence[Word], first: int, second: int) -> bool:
    before, after = words[first].lower, words[second].lower
    if before in lexicon.GENDERS or after in lexicon.GENDERS:
        return False
    if "_" in before or "_" in after:
        return False
    if (before in lexicon.COLOUR_SHADES or before in lexicon.COLOURS) and after in lexicon.COLOURS:
        return True
    if before in lexicon.COLOUR_SHADES and after in ("brass", "copper"):
        return True
    if (
        after == "shoulder"
        and second + 1 < len(words)
        and head_form(words[second + 1].text) in ("strap", "bag", "chain")
    ):
        return False  # a narrow shoulder strap
    if after in ("toe", "heel") and second + 1 < len(words) and head_form(words[second + 1].text) in _TOE_PARTS:
        return False  # a reinforced toe cap
    if before in lexicon.COLOURS and after in ("melange", "marl", "marled"):
        return True
    if before in ("french", "mulberry", "sterling", "pony", "camel"):
        return after in ("terry", "silk", "silver", "hair")
    if before == "all-over":
        return after in ("pattern", "print")
    if before in lexicon.PATTERNS and head_form(after) == "print":
        return True
    if before in lexicon.COLOURS or before in lexicon.PATTERNS or before in _EMPTY:
        return False
    if head_form(after) in lexicon.COMPOUND_SECONDS:
        return True
    loose = (
        before in _SHAPES_AND_STUFFS
        or (words[first].role is Role.MODIFIER and before in lexicon.MODIFIERS)
        or after in lexicon.MODIFIERS
        or head_form(after) in lexicon.GARMENTS
    )
    return words[first].governor == second and not loose


_PATTERN_FORMS = {
    "check": "checked", "checks": "checked", "checkered": "checked", "chequered": "checked", "stripe": "striped",
    "stripes": "striped", "sequinned": "sequined", "dot": "dotted", "dots": "dotted",
}  # fmt: skip


def _modifier(group: list[str], head: str) -> Modifier | None:
    shaded = group[0] in lexicon.COLOUR_SHADES
    if len(group) == 2 and group[0] in lexicon.STOP_NOUNS and not shaded and not lexicon.is_listed(group[0]):
        group = group[1:]  # "brand tab"
    surface = " ".join(group)
    if len(group) == 2:
        if head_form(group[1]) in lexicon.STOP_NOUNS and not lexicon.is_listed(group[1]):
            return None  # "high quality"
        last = head_form(group[1]) if head_form(group[1]) in lexicon.COMPOUND_SECONDS else group[1]
        return Modifier(f"{group[0]} {last}", surface)
    word = group[0]
    if "_" in word:
        return Modifier(word.replace("_", " "), surface.replace("_", " "))
    if word in lexicon.GENDERS:
        return Modifier(lexicon.GENDERS[word], lexicon.GENDERS[word])
    if word in _PATTERN_FORMS:
        return Modifier(_PATTERN_FORMS[word], surface)
    fits = head in ("fit", "rise", "waist", "leg") and (word in lexicon.FIT_WORDS or word in lexicon.COLOUR_SHADES)
    listed = lexicon.is_listed(word)
    stopped = word in lexicon.STOP_MODIFIERS or (not listed and head_form(word) in lexicon.STOP_NOUNS)
    shade = word in lexicon.COLOUR_SHADES and not listed
    unfit = word in lexicon.FIT_WORDS and not listed
    empty = (stopped or shade or unfit) and not fits
    return None if empty or head_form(word) == head or len(word) < 2 else Modifier(word, surface)
