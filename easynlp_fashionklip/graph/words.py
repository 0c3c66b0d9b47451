"""Words of a segment and what each can do in a noun phrase: by the word lists, and by the tags of a parse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from easynlp_fashionklip.graph import lexicon
from easynlp_fashionklip.graph.normalise import head_form, is_title_case

if TYPE_CHECKING:
    from spacy.tokens import Doc


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
    PLACE = "place"  # "at", "on": what follows says where, and a list goes on after it
    BREAK = "break"


@dataclass(slots=True)  # never changed; freezing it would double the time to make one, and there is one a word
class Word:
    """One word with its role; `governor` is the index of its syntactic head (itself at the root, -1 unparsed)."""

    text: str
    role: Role
    governor: int = -1
    is_root: bool = False
    lower: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.lower = self.text.lower()


def is_flat(words: Sequence[str]) -> bool:
    """Whether a segment is better read without a parser: Title Case, or made of listed words alone."""
    letters = [word for word in words if word[0].isalpha()]
    if not letters or is_title_case(words):
        return True
    return all(_flat_role(word) not in (Role.SKIPPED, Role.BREAK) for word in letters)


def _function_role(lower: str, previous: str) -> Role | None:
    """Role of words that mean the same wherever they stand."""
    if lower in "'\"":
        return Role.SKIPPED
    if lower in lexicon.PLACE_WORDS:
        return Role.PLACE
    if lower in lexicon.SOFT_WORDS:
        return Role.SOFT
    if lower in lexicon.NEGATIONS:
        return Role.NEGATION
    if lower == "in" or lower in lexicon.WITH_WORDS or (lower in ("of", "from") and previous in lexicon.MADE_WORDS):
        return Role.PREPOSITION
    if lower in ("a", "an", "the", "its", "their"):
        return Role.DETERMINER
    if lower in ("of", "from", "by", "for", "to", "is", "are"):
        return Role.BREAK
    return None if lower[0].isalnum() else Role.BREAK


@lru_cache(maxsize=65536)
def _listed_role(lower: str) -> Role | None:
    if "_" in lower:
        return Role.MODIFIER
    if lower in lexicon.STOP_MODIFIERS and lower not in lexicon.COLOUR_SHADES and lower not in lexicon.FIT_WORDS:
        return Role.SKIPPED
    if lexicon.is_noun(head_form(lower)) and not (lower in lexicon.MODIFIERS and lower not in lexicon.NOUNS):
        return Role.NOUN
    return Role.MODIFIER if lexicon.is_modifier(lower) or lower in lexicon.FIT_WORDS else None


@lru_cache(maxsize=65536)
def _flat_role(word: str, previous: str = "") -> Role:
    lower = word.lower()
    known = _function_role(lower, previous) or _listed_role(lower)
    return known or (Role.MODIFIER if _is_participle(lower) else Role.SKIPPED)


def _is_participle(lower: str) -> bool:
    """`Gold-Plated`, `Mirrored`: hardly ever a name."""
    return len(lower) > 5 and lower.endswith("ed") and lower not in lexicon.STOP_MODIFIERS


def flat_words(words: Sequence[str]) -> list[Word]:
    """Roles of a title's words from the lists alone; names before the gender ("Red Tape Men ...") are skipped."""
    result = [
        Word(word, _flat_role(word, words[i - 1].lower() if i and word.lower() in ("of", "from") else ""))
        for i, word in enumerate(words)
    ]
    gender = next((i for i, word in enumerate(result) if word.lower in lexicon.GENDERS), 0)
    before = result[:gender]
    named = any(word.role is Role.SKIPPED for word in before)
    before_noun, after_noun = (
        any(head_form(word.lower) in lexicon.GARMENTS for word in part) for part in (before, result[gender:])
    )
    described = before[:1] and before[0].role is Role.SKIPPED and len(before) > 2
    if described and all(word.role in (Role.MODIFIER, Role.NOUN) for word in before[1:]):
        return _inner_places(_named_kinds(result) if is_title_case(words) else result)
    if named and (after_noun or not before_noun):
        result[:gender] = [word if _describes(word.lower) else Word(word.text, Role.SKIPPED) for word in before]
    return _inner_places(_named_kinds(result) if is_title_case(words) else result)


_KINDS = lexicon.GARMENTS | {"print", "collar"}
_STOPPED = lexicon.STOP_MODIFIERS | lexicon.STOP_NOUNS


def _named_kinds(words: list[Word]) -> list[Word]:
    """`Gold-Toned Meenakari Choker`, `Blue Space Print ...`: an unknown word between a known one and a noun."""
    result = list(words)
    for i in range(1, len(words) - 1):
        before, word, after = words[i - 1], words[i], words[i + 1]
        known = (
            before.role is Role.MODIFIER and before.lower not in lexicon.GENDERS and before.lower not in lexicon.COLOURS
        )
        kind = after.role is Role.NOUN and head_form(after.lower) in _KINDS
        unknown = word.role is Role.SKIPPED and word.lower not in _STOPPED
        if (
            unknown
            and kind
            and (known or head_form(after.lower) == "print")
            and len(word.text) > 3
            and word.text.isalpha()
        ):
            result[i] = Word(word.text, Role.MODIFIER, word.governor, word.is_root)
    return result


def _describes(lower: str) -> bool:
    """Whether a word before the gender is more likely a description than a part of a name (`Red Tape Men ...`)."""
    sleeve = lower in ("long", "short", "sleeve", "slim", "fit", "neck", "round", "regular")
    return sleeve or lower in lexicon.PATTERNS or lower.endswith("neck") or lower in lexicon.SOFT_WORDS or "_" in lower


def parsed_words(doc: Doc) -> list[Word]:
    """Roles of the words of a parsed segment."""
    texts = [token.text for token in doc]
    tags, parts, governors = _annotations(doc)
    verbless = not any(map(_is_finite, texts, tags))
    words, previous = [], ""
    for i, text in enumerate(texts):
        role = _parsed_role(text, tags[i], parts[i], previous, i == 0)
        words.append(Word(text, role, governors[i], verbless and governors[i] == i))
        previous = text.lower() if text.lower() in lexicon.MADE_WORDS else ""  # others change no role
    return _inner_places(_made_of(_mistagged(_without_makers(words), tags)))


def _without_makers(words: list[Word]) -> list[Word]:
    """`Maison Belrive's overcoat`: the words up to a name's possessive say who made it."""
    for i, word in enumerate(words[:4]):
        named = word.text[0].isupper() and word.lower.endswith("'s") and word.lower not in lexicon.GENDERS
        if named and not any(lexicon.is_listed(other.lower) for other in words[:i]):
            return [*(Word(other.text, Role.SKIPPED, other.governor) for other in words[: i + 1]), *words[i + 1 :]]
    return words


def _made_of(words: list[Word]) -> list[Word]:
    """`a jacket of nylon twill`: here "of" says what "in" says elsewhere."""
    return [
        Word(word.text, Role.PREPOSITION, word.governor)
        if word.lower == "of"
        and 0 < i < len(words) - 1
        and head_form(words[i - 1].lower) in lexicon.GARMENTS
        and any(other.lower in lexicon.MATERIALS for other in words[i + 1 : i + 4])
        else word
        for i, word in enumerate(words)
    ]


_VERBS = lexicon.word_set(
    "add buy choose come comes complete enjoy feature features get give keep layer let make meet offer offers pair "
    "shop show style take team tie try wear work works"
)


def _mistagged(words: list[Word], tags: list[str]) -> list[Word]:
    """`gripper hem`, `a sunray dial`: what the tagger takes for a verb, right before a listed noun, describes it."""
    result = list(words)
    for i, (word, after) in enumerate(pairwise(words)):
        if word.role is not Role.BREAK or after.role is not Role.NOUN or not tags[i].startswith(("VB", "RB")):
            continue
        opens = i == 0 or words[i - 1].role in (Role.SOFT, Role.PREPOSITION, Role.DETERMINER, Role.MODIFIER)
        gerund = word.lower.endswith("ing") and not (i and words[i - 1].lower in ("with", "a", "an", "the"))
        plain = word.text.isalpha() and len(word.text) > 3 and not word.lower.endswith(("ly", "s")) and not gerund
        if opens and plain and word.lower not in _VERBS and not (i == 0 and tags[i] == "VBD"):
            result[i] = Word(word.text, Role.MODIFIER, word.governor, word.is_root)
    return result


def _inner_places(words: list[Word]) -> list[Word]:
    """`zipped inside pocket`: a place word right before a noun says where the thing is, and ends nothing."""
    if all(word.role is not Role.PLACE for word in words):
        return words
    return [
        Word(word.text, Role.SKIPPED, word.governor, word.is_root)
        if word.role is Role.PLACE and word.lower in ("inside", "outside") and after.role is Role.NOUN
        else word
        for word, after in zip(words, [*words[1:], *words[-1:]], strict=True)
    ]


def _annotations(doc: Doc) -> tuple[list[str], list[str], list[int]]:
    """Tags, parts of speech and positions of the syntactic heads, without an object for each token."""
    table = doc.to_array(["TAG", "POS", "HEAD"])
    string_of = {code: doc.vocab.strings[int(code)] for code in set(table[:, :2].ravel().tolist())}
    tags, parts = ([string_of[code] for code in table[:, column].tolist()] for column in (0, 1))
    steps = table[:, 2].astype("int64").tolist()  # heads are stored as signed distances
    return tags, parts, [i + step for i, step in enumerate(steps)]


def _is_finite(text: str, tag: str) -> bool:
    return tag in ("VBZ", "VBP", "VBD", "MD") and _listed_role(text.lower()) is None


@lru_cache(maxsize=65536)
def _parsed_role(text: str, tag: str, part: str, previous: str, is_first: bool) -> Role:
    lower = text.lower()
    known = _function_role(lower, previous) or _listed_role(lower)
    if known is not None:
        return known
    if any(letter.isdigit() for letter in lower) or tag.startswith(("RB", "CD", "JJR", "JJS")):
        return Role.SKIPPED
    if (not is_first and text[0].isupper()) or len(lower) < 3 or not lower.replace("-", "").replace("'", "").isalpha():
        return Role.SKIPPED
    return _open_role(lower, tag, part)


def _open_role(lower: str, tag: str, part: str) -> Role:
    if lower.removesuffix("'s") in lexicon.STOP_NOUNS:
        return Role.SKIPPED
    """Role of an unlisted word by its tag (pipeline) or part of speech (documents made by hand)."""
    if tag.startswith("NN") or (not tag and part in ("NOUN", "PROPN")):
        return Role.SKIPPED if lower in lexicon.STOP_MODIFIERS else Role.OPEN_NOUN
    participle = tag in ("VBD", "VBG", "VB") and _is_participle(lower)
    if tag in ("JJ", "VBN") or participle or (not tag and part == "ADJ"):
        return Role.MODIFIER
    return Role.DETERMINER if tag in ("DT", "PRP$", "PDT") else Role.BREAK
