"""Noun phrases of one segment, from its spaCy parse or, for titles and tag lists, from the word lists alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from easynlp_fashionklip.graph import lexicon
from easynlp_fashionklip.graph.normalise import head_form

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

MAX_MODIFIERS = 4
MAX_ATTACHMENTS = 4


class Role(Enum):
    """What a word can do in a noun phrase."""

    NOUN = "noun"  # head or modifier, known
    OPEN_NOUN = "open noun"  # modifier, and head only where it is what a fragment is about
    MODIFIER = "modifier"
    SKIPPED = "skipped"  # says nothing, but does not end a phrase: brand, number, "beautiful"
    DETERMINER = "determiner"  # starts a phrase
    SOFT = "soft"  # comma, "and": ends a phrase that has its noun, joins modifiers
    PREPOSITION = "preposition"  # "in", "with"
    NEGATION = "negation"
    BREAK = "break"


@dataclass(frozen=True, slots=True)
class Word:
    """One word with its role; `governor` is the index of its syntactic head (itself at the root, -1 unparsed)."""

    text: str
    role: Role
    governor: int = -1
    is_root: bool = False

    @property
    def lower(self) -> str:
        """Lower-case text."""
        return self.text.lower()


@dataclass(frozen=True, slots=True)
class Modifier:
    """A modifier or attachment: `form` is its normal form, `surface` how the text spells it (lower case)."""

    form: str
    surface: str


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


# ---------------------------------------------------------------------------------------------------- roles of words


def is_flat(words: Sequence[str]) -> bool:
    """Whether a segment is better read without a parser: Title Case, or made of listed words alone."""
    letters = [word for word in words if word[0].isalpha()]
    if not letters:
        return True
    # Hyphenated words of one spelling ("t-shirt") were written in lower case by `unify_spelling`.
    capitalised = sum(word[0].isupper() for word in letters)
    judged = [word for word in letters if "-" not in word]
    if capitalised >= 2 and capitalised >= 0.6 * max(len(judged), 1):
        return True
    return all(_flat_role(word) not in (Role.SKIPPED, Role.BREAK) for word in letters)


def _function_role(lower: str, previous: str) -> Role | None:
    """Role of words that mean the same wherever they stand."""
    if lower in lexicon.SOFT_WORDS:
        return Role.SOFT
    if lower in lexicon.NEGATIONS:
        return Role.NEGATION
    if lower == "in" or lower in lexicon.WITH_WORDS or (lower in ("of", "from") and previous in lexicon.MADE_WORDS):
        return Role.PREPOSITION
    if lower in ("a", "an", "the", "its", "their"):
        return Role.DETERMINER
    if lower in ("of", "from", "by", "for", "at", "on", "to", "over", "under", "along", "around", "is", "are"):
        return Role.BREAK
    return None if lower[0].isalnum() else Role.BREAK


def _listed_role(lower: str) -> Role | None:
    if lower in lexicon.STOP_MODIFIERS and lower not in lexicon.COLOUR_SHADES and lower not in lexicon.FIT_WORDS:
        return Role.SKIPPED
    if lexicon.is_noun(head_form(lower)) and not (lower in lexicon.MODIFIERS and lower not in lexicon.NOUNS):
        return Role.NOUN
    return Role.MODIFIER if lexicon.is_modifier(lower) or lower in lexicon.FIT_WORDS else None


def _flat_role(word: str, previous: str = "") -> Role:
    lower = word.lower()
    return _function_role(lower, previous) or _listed_role(lower) or Role.SKIPPED


def flat_words(words: Sequence[str]) -> list[Word]:
    """Roles of a title's words from the lists alone; names before the gender ("Red Tape Men ...") are skipped."""
    result = [Word(word, _flat_role(word, words[i - 1].lower() if i else "")) for i, word in enumerate(words)]
    gender = next((i for i, word in enumerate(result) if word.lower in lexicon.GENDERS), 0)
    if any(word.role is not Role.MODIFIER for word in result[:gender]):
        result[:gender] = [Word(word.text, Role.SKIPPED) for word in result[:gender]]
    return result


def parsed_words(doc: Doc) -> list[Word]:
    """Roles of the words of a parsed segment."""
    verbless = not any(_is_finite(token) for token in doc)
    words = []
    for token in doc:
        previous = doc[token.i - 1].lower_ if token.i else ""
        is_root = verbless and token.head.i == token.i
        words.append(Word(token.text, _parsed_role(token, previous), token.head.i, is_root))
    return words


def _is_finite(token: Token) -> bool:
    return token.tag_ in ("VBZ", "VBP", "VBD", "MD") and _listed_role(token.lower_) is None


def _parsed_role(token: Token, previous: str) -> Role:
    lower = token.lower_
    known = _function_role(lower, previous) or _listed_role(lower)
    if known is not None:
        return known
    if any(letter.isdigit() for letter in lower) or token.tag_.startswith(("RB", "CD", "JJR", "JJS")):
        return Role.SKIPPED
    if (token.i and token.text[0].isupper()) or len(lower) < 3 or not lower.replace("-", "").isalpha():
        return Role.SKIPPED
    return _open_role(token)


def _open_role(token: Token) -> Role:
    """Role of an unlisted word by its tag (pipeline) or part of speech (documents made by hand)."""
    tag, pos = token.tag_, token.pos_
    if tag.startswith("NN") or (not tag and pos in ("NOUN", "PROPN")):
        return Role.SKIPPED if token.lower_ in lexicon.STOP_MODIFIERS else Role.OPEN_NOUN
    if tag in ("JJ", "VBN") or (not tag and pos == "ADJ"):
        return Role.MODIFIER
    return Role.DETERMINER if tag in ("DT", "PRP$", "PDT") else Role.BREAK


# -------------------------------------------------------------------------------------------- runs of words -> phrases


def noun_phrases(words: Sequence[Word], flat: bool = False) -> list[NounPhrase]:
    """Noun phrases of a segment with their attachments, in text order.

    Phrases stand between words that end them; `in`, `with` and `has` attach the phrases after them (also the second
    and third of a list) to a phrase before them.
    """
    phrases: list[NounPhrase] = []
    preposition = -1
    for start, stop, closing in _runs(words):
        phrase = _phrase(words, start, stop, flat)
        if preposition >= 0:
            _attach(phrases, phrase, words, preposition, (start, stop))
        if phrase is not None:
            phrase.is_object = preposition >= 0
            phrases.append(phrase)
        if closing.role is Role.PREPOSITION:
            preposition = stop
        elif closing.role in (Role.BREAK, Role.NEGATION):
            preposition = -1
    return phrases


_END = Word(".", Role.BREAK)


def _runs(words: Sequence[Word]) -> Iterator[tuple[int, int, Word]]:
    """(start, stop, word at stop) of the runs between words that end a phrase; runs may be empty."""
    start, has_noun, negated = 0, False, False
    for i, word in enumerate((*words, _END)):
        soft = word.role is Role.SOFT and (has_noun or _is_plain_break(words, i))
        inner = word.role is Role.DETERMINER and has_noun
        if soft or inner or word.role in (Role.PREPOSITION, Role.NEGATION, Role.BREAK):
            yield (i if negated else start), i, word
            start, has_noun = i + 1, False
            negated = word.role is Role.NEGATION or (negated and word.role is Role.SOFT)
        elif word.role in (Role.NOUN, Role.OPEN_NOUN):
            has_noun = True


def _is_plain_break(words: Sequence[Word], i: int) -> bool:
    """A comma before a determiner or at an end joins nothing."""
    following = words[i + 1].role if i + 1 < len(words) else Role.BREAK
    return following in (Role.DETERMINER, Role.BREAK, Role.PREPOSITION)


def _phrase(words: Sequence[Word], start: int, stop: int, flat: bool) -> NounPhrase | None:
    head = _head_position(words, start, stop, flat)
    if head < 0:
        return None
    form = head_form(words[head].text)
    members = list(range(start, stop)) if flat else list(range(start, head))
    modifiers = group_modifiers(words, [i for i in members if i != head], form)
    if not modifiers and form == "top" and start and head and words[head - 1].lower == "the":
        return None  # "at the top" is a place
    return NounPhrase(form, words[head].lower, head, modifiers)


def _head_position(words: Sequence[Word], start: int, stop: int, flat: bool) -> int:
    """Index of the head noun of a run, -1 if nothing in it may be a head."""
    nouns = [i for i in range(start, stop) if words[i].role in (Role.NOUN, Role.OPEN_NOUN)]
    garments = [i for i in nouns if head_form(words[i].text) in lexicon.GARMENTS]
    if not nouns:
        return -1
    last = nouns[-1]
    if words[last].role is Role.NOUN:
        is_colour = words[last].lower in lexicon.MATERIALS | lexicon.COLOURS
        return garments[-1] if flat and garments and is_colour else last
    form = head_form(words[last].text)
    if words[last].is_root and form not in lexicon.STOP_NOUNS:
        return last
    return garments[-1] if garments else -1


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


def _joins(words: Sequence[Word], first: int, second: int) -> bool:
    before, after = words[first].lower, words[second].lower
    if before in lexicon.GENDERS or after in lexicon.GENDERS:
        return False
    if before in lexicon.COLOUR_SHADES and after in lexicon.COLOURS:
        return True
    if before == "all-over":
        return after in ("pattern", "print")
    if before in lexicon.COLOURS or before in lexicon.PATTERNS or before in lexicon.STOP_MODIFIERS - lexicon.FIT_WORDS:
        return False
    if head_form(after) in lexicon.COMPOUND_SECONDS:
        return True
    return words[first].governor == second and after not in lexicon.MODIFIERS


def _modifier(group: list[str], head: str) -> Modifier | None:
    surface = " ".join(group)
    if len(group) == 2:
        if head_form(group[1]) in lexicon.STOP_NOUNS and not lexicon.is_listed(group[1]):
            return None  # "high quality"
        last = head_form(group[1]) if head_form(group[1]) in lexicon.COMPOUND_SECONDS else group[1]
        return Modifier(f"{group[0]} {last}", surface)
    word = group[0]
    if word in lexicon.GENDERS:
        return Modifier(lexicon.GENDERS[word], lexicon.GENDERS[word])
    fits = head == "fit" and word in lexicon.FIT_WORDS
    listed = lexicon.is_listed(word)
    stopped = word in lexicon.STOP_MODIFIERS or (not listed and head_form(word) in lexicon.STOP_NOUNS)
    shade = word in lexicon.COLOUR_SHADES and not listed
    unfit = word in lexicon.FIT_WORDS and not listed
    empty = (stopped or shade or unfit) and not fits
    return None if empty or head_form(word) == head or len(word) < 2 else Modifier(word, surface)


# --------------------------------------------------------------------------------------------------------- attachments


def _attach(
    phrases: list[NounPhrase], phrase: NounPhrase | None, words: Sequence[Word], preposition: int, run: tuple[int, int]
) -> None:
    """Attach what follows a preposition to the phrase it speaks of."""
    kind = "with" if words[preposition].lower in lexicon.WITH_WORDS else "in"
    attached = _attachment(kind, phrase, words, run)
    governor = _governor(phrases, words, preposition, kind) if attached else None
    if attached is None or governor is None or len(governor.attachments) >= MAX_ATTACHMENTS:
        return
    if governor.head not in attached.form.split() and all(attached.form != other.form for other in governor.attachments):
        governor.attachments.append(attached)


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
    if kind == "with" and not (phrase.head in lexicon.PARTS or phrase.head in lexicon.GARMENTS):
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
    if governor is not None and (governor.head in lexicon.MATERIALS or governor.head in lexicon.NEEDS_MODIFIER):
        return garments[-1] if garments else None
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
