"""Words of a segment and what each can do in a noun phrase: by the word lists, and by the tags of a parse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from easynlp_fashionklip.graph import lexicon
from easynlp_fashionklip.graph.normalise import head_form, is_title_case

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token


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


def is_flat(words: Sequence[str]) -> bool:
    """Whether a segment is better read without a parser: Title Case, or made of listed words alone."""
    letters = [word for word in words if word[0].isalpha()]
    if not letters or is_title_case(words):
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
        previous = doc[token.i - 1].text.lower() if token.i else ""
        is_root = verbless and token.head.i == token.i
        words.append(Word(token.text, _parsed_role(token, previous), token.head.i, is_root))
    return words


def _is_finite(token: Token) -> bool:
    return token.tag_ in ("VBZ", "VBP", "VBD", "MD") and _listed_role(token.text.lower()) is None


def _parsed_role(token: Token, previous: str) -> Role:
    lower = token.text.lower()
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
        return Role.SKIPPED if token.text.lower() in lexicon.STOP_MODIFIERS else Role.OPEN_NOUN
    if tag in ("JJ", "VBN") or (not tag and pos == "ADJ"):
        return Role.MODIFIER
    return Role.DETERMINER if tag in ("DT", "PRP$", "PDT") else Role.BREAK
