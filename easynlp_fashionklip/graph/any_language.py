"""Concept phrases in other languages than English: nouns and what the parse hangs on them, without word lists.

The word lists and the reading of titles are English. What every spaCy pipeline with a parser gives are parts of speech
and dependencies, those of Universal Dependencies or, for Chinese, much like them: `amod`, `compound`, `nmod`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from easynlp_fashionklip.graph.modifiers import MAX_MODIFIERS, Modifier
from easynlp_fashionklip.graph.noun_phrases import NounPhrase

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc, Token

ENGLISH = "en"
_NOUNS = ("NOUN",)
_DESCRIBING = ("ADJ", "NOUN")
_RELATIONS = ("amod", "compound", "nmod")
_MOST_MODIFIER_WORDS = 3


def is_english(nlp: Language | None) -> bool:
    """Whether the word lists fit a pipeline's language; without one they are all there is."""
    return nlp is None or nlp.lang == ENGLISH


def parsed_noun_phrases(doc: Doc) -> Iterator[NounPhrase]:
    """The nouns of a parsed text that describe no other noun, with their adjectives, compounds and attributes.

    `vestido rojo de algodón` has the head `vestido` and the modifiers `rojo` and `de algodón`.
    """
    # The children of a token are looked up in memory that spaCy fills only when it parses: without, it can crash.
    parsed = doc.has_annotation("DEP")
    for token in doc:
        if token.pos_ in _NOUNS and not _describes_noun(token) and _is_word(token):
            found = [_modifier(child) for child in (token.children if parsed else ()) if _describes(child)]
            modifiers = tuple(one for one in found if one is not None)[-MAX_MODIFIERS:]
            yield NounPhrase(_form(token), token.lower_, token.i, modifiers)


def surface_of(doc: Doc, phrase: NounPhrase, modifiers: tuple[Modifier, ...]) -> str:
    """A phrase with some of its modifiers as the text orders and spaces them."""
    head = doc[phrase.position]
    if not modifiers:
        return str(head.lower_)
    chosen = {modifier.form for modifier in modifiers}
    kept = {head.i}
    for child in head.children:
        modifier = _modifier(child) if _describes(child) else None
        if modifier is not None and modifier.form in chosen:
            kept.update(_words(child))
    return "".join(doc[i].lower_ + doc[i].whitespace_ for i in sorted(kept)).strip()


def _describes(token: Token) -> bool:
    return token.pos_ in _DESCRIBING and token.dep_.partition(":")[0] in _RELATIONS


def _describes_noun(token: Token) -> bool:
    return token.head.i != token.i and token.head.pos_ in _NOUNS and _describes(token)


def _words(token: Token) -> list[int]:
    """The positions of a modifier's words, its preposition and articles among them."""
    return [one.i for one in token.subtree if one.pos_ != "PUNCT"]


def _modifier(token: Token) -> Modifier | None:
    words = _words(token)
    if len(words) > _MOST_MODIFIER_WORDS or not _is_word(token):
        return None
    own = [token.doc[i] for i in words]
    form = " ".join(_form(one) if one.i == token.i else one.lower_ for one in own)
    return Modifier(form, "".join(one.lower_ + one.whitespace_ for one in own).strip())


def _form(token: Token) -> str:
    return (token.lemma_ or token.text).lower().strip() or token.lower_


def _is_word(token: Token) -> bool:
    return token.text.replace("-", "").isalpha()
