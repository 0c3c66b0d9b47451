"""Noun phrases of one segment: runs of words around a head noun, and what prepositions attach to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from easynlp_fashionklip.graph import lexicon
from easynlp_fashionklip.graph.modifiers import Modifier, group_modifiers
from easynlp_fashionklip.graph.normalise import head_form
from easynlp_fashionklip.graph.words import Role, Word

MAX_ATTACHMENTS = 4


@dataclass(slots=True)
class NounPhrase:
    """A head noun with modifiers in text order and prepositional attachments (`in white`, `with v-neck`)."""

    head: str
    surface: str
    position: int
    modifiers: tuple[Modifier, ...]
    attachments: list[Modifier] = field(default_factory=list)
    is_object: bool = False

    @property
    def is_garment(self) -> bool:
        """Whether things can be attached to it with `with` from a distance."""
        return not self.is_object and (self.head in lexicon.GARMENTS or self.head not in lexicon.NOUNS)


# -------------------------------------------------------------------------------------------- runs of words -> phrases


def noun_phrases(words: Sequence[Word], flat: bool = False) -> list[NounPhrase]:
    """Noun phrases of a segment with their attachments, in text order.

    Phrases stand between words that end them; `in`, `with` and `has` attach the phrases after them (also the second
    and third of a list) to a phrase before them.
    """
    phrases: list[NounPhrase] = []
    preposition = suspended = slash = -1
    place = -1
    resumed = False
    fronted: list[Modifier] = []
    for start, stop, closing in _runs(words, flat):
        phrase = _phrase(words, start, stop, flat, preposition >= 0)
        named = phrase is not None and stop - start > 1
        if preposition >= 0 and not (resumed and not named):  # "ribbing around the neckline, cuffs and hem"
            attached = _attach(phrases, phrase, words, preposition, (start, stop))
            if attached is not None and words[0].lower in lexicon.MADE_WORDS:
                fronted.append(attached)  # "crafted from calfskin, this bag ..."
        if phrase is not None:
            if phrases and slash == start - 1 and not phrase.modifiers and phrase.is_garment:
                phrase.modifiers = phrases[-1].modifiers  # "black leggings/tights" are one thing with two names
            phrase.is_object = preposition >= 0 or suspended >= 0
            if fronted and phrase.head in lexicon.GARMENTS:
                phrase.attachments, phrase.is_object = fronted, False
                fronted, preposition = [], -1
            if not _is_colour_of(words, preposition, phrase):
                phrases.append(phrase)
        slash = stop if closing.lower == "/" else -1
        if closing.role is Role.PREPOSITION:
            preposition, suspended, resumed = stop, -1, False
        elif closing.role is Role.PLACE or (closing.lower == "of" and suspended >= 0):
            # "with buttons at the neck and a belt": the list goes on after the place
            preposition, suspended = -1, max(preposition, suspended)
            place = stop
        elif closing.role is Role.SOFT and suspended >= 0:
            preposition, suspended = suspended, -1
            resumed = place + 1 < len(words) and words[place + 1].lower not in ("a", "an")
        elif closing.role in (Role.BREAK, Role.NEGATION):
            preposition = suspended = -1
    return phrases


def _is_colour_of(words: Sequence[Word], preposition: int, phrase: NounPhrase) -> bool:
    """`sunglasses in silver`: a colour, though there is a stuff of that name."""
    return (
        preposition >= 0
        and words[preposition].lower == "in"
        and not phrase.modifiers
        and (phrase.head in lexicon.COLOURS)
    )


_END = Word(".", Role.BREAK)
_SHADES = lexicon.COLOURS | lexicon.COLOUR_SHADES
_STUFFS = lexicon.COLOURS | lexicon.MATERIALS


def _runs(words: Sequence[Word], flat: bool) -> Iterator[tuple[int, int, Word]]:
    """(start, stop, word at stop) of the runs between words that end a phrase; runs may be empty."""
    start, has_noun, negated = 0, False, False
    for i, word in enumerate((*words, _END)):
        if flat and word.role is Role.SOFT and has_noun and words[i - 1].role is Role.MODIFIER and i + 1 < len(words):
            continue  # "Polo Neck White, Red T-Shirt"
        if word.role is Role.SOFT and _joins_materials(words, start, i):
            continue  # "satin or cupro lining"
        soft = word.role is Role.SOFT and (_is_colour_alone(words, start, i) or has_noun or _is_plain_break(words, i))
        inner = word.role is Role.DETERMINER and has_noun
        if soft or inner or word.role in (Role.PREPOSITION, Role.NEGATION, Role.PLACE, Role.BREAK):
            yield (i if negated else start), i, word
            start, has_noun = i + 1, False
            negated = word.role is Role.NEGATION or (negated and word.role is Role.SOFT)
        elif word.role in (Role.NOUN, Role.OPEN_NOUN) or (not flat and word.lower in lexicon.STOP_NOUNS):
            has_noun = True


def _is_colour_alone(words: Sequence[Word], start: int, stop: int) -> bool:
    """`in light grey, ribbed cuffs`: the colour after `in` is complete unless another one follows."""
    inside = start and words[start - 1].lower == "in" and start < stop
    following = words[stop + 1].lower if stop + 1 < len(words) else ""
    return (
        bool(inside)
        and words[stop].lower == ","
        and following not in _SHADES
        and all(words[i].lower in _SHADES for i in range(start, stop))
    )


def _joins_materials(words: Sequence[Word], start: int, i: int) -> bool:
    if words[i].lower not in ("and", "or", "&") or start == i or i + 2 >= len(words):
        return False
    before, after, noun = (words[k] for k in (i - 1, i + 1, i + 2))
    stuffs = before.lower in lexicon.MATERIALS and after.lower.partition("_")[0] in lexicon.MATERIALS
    head = head_form(noun.text)
    return (
        stuffs
        and noun.role is Role.NOUN
        and head not in lexicon.MATERIALS
        and words[start:i][0].role
        in (
            Role.NOUN,
            Role.DETERMINER,
        )
    )


def _is_plain_break(words: Sequence[Word], i: int) -> bool:
    """A comma before a determiner or at an end joins nothing."""
    following = words[i + 1].role if i + 1 < len(words) else Role.BREAK
    return following in (Role.DETERMINER, Role.BREAK, Role.PLACE, Role.PREPOSITION)


def _phrase(words: Sequence[Word], start: int, stop: int, flat: bool, attached: bool) -> NounPhrase | None:
    head = _head_position(words, start, stop, flat, attached) if start < stop else -1
    if head < 0:
        return _split_phrase(words, start, stop)
    form = head_form(words[head].text)
    if attached and form == "heels":
        form = "heel"  # heels alone are shoes, with heels a part
    members = list(range(start, head))
    if flat:
        members += [i for i in range(head + 1, stop) if not _is_predicate(words[i].lower)]
    modifiers = group_modifiers(words, members, form)
    if not modifiers and form == "top" and head and words[head - 1].lower in ("the", "on", "at"):
        return None  # "at the top" is a place
    return NounPhrase(form, words[head].lower, head, modifiers)


_NO_DEEDS = lexicon.PATTERNS | lexicon.FIT_WORDS


def _is_predicate(lower: str) -> bool:
    """Whether a word after the noun says what was done, not what it is like: `knitted in wool`, `trimmed with lace`."""
    return (lower.endswith("ed") and lower not in _NO_DEEDS) or lower in lexicon.MADE_WORDS


def _split_phrase(words: Sequence[Word], start: int, stop: int) -> NounPhrase | None:
    """`Slim-fit.`, alone: the compound modifier is a slim fit itself."""
    compound = max((i for i in range(start, stop) if "_" in words[i].text), default=-1)
    if compound < 0:
        return None
    first, _, last = words[compound].lower.rpartition("_")
    form = head_form(last)
    return NounPhrase(form, last, compound, (Modifier(first.replace("_", " "), first.replace("_", " ")),))


_CLOSERS = ("closure", "closures", "construction", "silhouette")


def _head_position(words: Sequence[Word], start: int, stop: int, flat: bool, attached: bool) -> int:
    """Index of the head noun of a run, -1 if nothing in it may be a head."""
    nouns = [i for i in range(start, stop) if words[i].role in (Role.NOUN, Role.OPEN_NOUN)]
    if not nouns:
        return -1
    garments = [i for i in nouns if head_form(words[i].text) in lexicon.GARMENTS]
    last = nouns[-1]
    if any(words[i].lower in _CLOSERS for i in range(last + 1, stop)):
        return -1  # "tonal lace-up closure"
    if words[last].role is Role.NOUN:
        describes = words[last].lower in _STUFFS or words[last].lower == "fit"  # "Cargo Pants Relaxed Fit"
        return garments[-1] if flat and garments and describes else last
    form = head_form(words[last].text)
    described = any(lexicon.is_listed(words[i].lower) for i in range(start, last))
    if ((words[last].is_root and described) or (attached and len(form) > 3)) and form not in lexicon.STOP_NOUNS:
        return last
    return garments[-1] if garments else -1


# --------------------------------------------------------------------------------------------------------- attachments


def _attach(
    phrases: list[NounPhrase], phrase: NounPhrase | None, words: Sequence[Word], preposition: int, run: tuple[int, int]
) -> Modifier | None:
    """Attach what follows a preposition to the phrase it speaks of; return what speaks of none before it."""
    kind = "with" if words[preposition].lower in lexicon.WITH_WORDS else "in"
    attached = _attachment(kind, phrase, words, run)
    if attached is None:
        return None
    governor = _governor(phrases, words, preposition, kind)
    if governor is None or len(governor.attachments) >= MAX_ATTACHMENTS:
        return attached if governor is None else None
    if governor.head not in attached.form.split() and all(
        attached.form != other.form for other in governor.attachments
    ):
        governor.attachments.append(attached)
    return None


def _attachment(kind: str, phrase: NounPhrase | None, words: Sequence[Word], run: tuple[int, int]) -> Modifier | None:
    if phrase is None:
        colours = group_modifiers(words, range(*run), "") if kind == "in" else ()
        colour = colours[-1] if colours else None
        if colour is None or lexicon.rank(colour.form) != 3:
            return None
        return Modifier(f"in {colour.form}", f"in {colour.surface}")
    is_stuff = phrase.head in lexicon.MATERIALS or phrase.head in lexicon.COLOURS
    if (kind == "in" and not is_stuff) or (phrase.head in lexicon.NEEDS_MODIFIER and not phrase.modifiers):
        return None
    if kind == "with" and phrase.head in lexicon.COLOURS and phrase.head not in lexicon.MATERIALS:
        return None
    nearest = phrase.modifiers[-1:]
    form = " ".join([kind, *(modifier.form for modifier in nearest), phrase.head])
    return Modifier(form, " ".join([kind, *(modifier.surface for modifier in nearest), phrase.surface]))


def _governor(phrases: list[NounPhrase], words: Sequence[Word], preposition: int, kind: str) -> NounPhrase | None:
    """What `in ...` / `with ...` belongs to: the garment for parts, else what the parser says, else the phrase before.

    Stuff is never a governor (`shorts in sweatshirt fabric made from a cotton blend`: the shorts are), nor is a fit.
    """
    before = [phrase for phrase in phrases if phrase.position < preposition]
    garments = [phrase for phrase in before if phrase.is_garment]
    if kind == "with" and garments:
        return garments[-1]
    nearest = before[-1] if before and preposition - before[-1].position <= 3 else None
    governor = _syntactic_governor(before, words, preposition) or nearest
    if governor is not None and governor.head in lexicon.MATERIALS:
        return garments[-1] if garments else None
    if governor is not None and governor.head in lexicon.NEEDS_MODIFIER:
        return garments[-1] if garments else governor if governor.modifiers else None
    return governor


def _syntactic_governor(before: list[NounPhrase], words: Sequence[Word], preposition: int) -> NounPhrase | None:
    """The first phrase on the way from the preposition up the parse (`made` in `top made of silk` is passed)."""
    node, seen = words[preposition].governor, set[int]()
    while node >= 0 and node not in seen:
        seen.add(node)
        for phrase in before:
            if phrase.position == node:
                return phrase
        node = words[node].governor
    return None
