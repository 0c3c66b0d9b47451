"""Mining concept phrases from texts: a pure function from a batch of texts to compact arrays of mentions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from easynlp_fashionklip.graph import lexicon
from easynlp_fashionklip.graph.any_language import parsed_noun_phrases, surface_of
from easynlp_fashionklip.graph.mined import MinedTexts, Progress
from easynlp_fashionklip.graph.modifiers import Modifier
from easynlp_fashionklip.graph.noun_phrases import NounPhrase, noun_phrases
from easynlp_fashionklip.graph.words import Role, Word, flat_words, parsed_words

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

__all__ = [
    "ConceptPhrase",
    "MinedTexts",
    "Progress",
    "canonical_phrase",
    "is_attachment",
    "mine",
    "names_of_title",
    "phrases_in_any_language",
    "phrases_of_doc",
    "phrases_of_title",
    "sub_phrases",
]

MAX_WORDS = 6


@dataclass(frozen=True, slots=True)
class ConceptPhrase:
    """A mined phrase in normal form.

    `head` and the set of `modifiers` are its identity; `phrase` writes both in one canonical order, so that
    `soft black dress` and `black soft dress` are one concept. `surface` is how the text spells it.
    """

    phrase: str
    head: str
    modifiers: tuple[str, ...]
    surface: str


# ------------------------------------------------------------------------------------------------ phrases of a segment


def phrases_of_doc(doc: Doc) -> list[ConceptPhrase]:
    """Concept phrases of one parsed segment (tags or parts of speech, and heads, must be set)."""
    return _phrases_of_words(parsed_words(doc), flat=False)


def phrases_of_title(words: Sequence[str]) -> list[ConceptPhrase]:
    """Concept phrases of a Title Case segment or tag list, which no parser reads well."""
    return _phrases_of_words(flat_words(words), flat=True)


def phrases_in_any_language(doc: Doc) -> list[ConceptPhrase]:
    """Concept phrases of a segment parsed by a pipeline of another language than English."""
    found: dict[str, ConceptPhrase] = {}
    for noun in parsed_noun_phrases(doc):
        grains = dict.fromkeys([(), *((modifier,) for modifier in noun.modifiers), noun.modifiers])
        for grain in grains:
            forms = tuple(sorted({modifier.form for modifier in grain}))
            phrase = " ".join((noun.head, *forms))
            found.setdefault(phrase, ConceptPhrase(phrase, noun.head, forms, surface_of(doc, noun, grain)))
    return list(found.values())


def names_of_title(words: Sequence[str]) -> frozenset[str]:
    """Unlisted capitalised words of a title: names, also where the prose after it writes them in lower case."""
    return frozenset(
        word.lower
        for word in flat_words(words)
        if word.role is Role.SKIPPED and word.text[0].isupper() and not lexicon.is_listed(word.lower)
    )


def _phrases_of_words(words: Sequence[Word], flat: bool) -> list[ConceptPhrase]:
    found: dict[str, ConceptPhrase] = {}
    for phrase in noun_phrases(words, flat):
        for concept in sub_phrases(phrase):
            found.setdefault(concept.phrase, concept)
    return list(found.values())


def sub_phrases(phrase: NounPhrase) -> Iterator[ConceptPhrase]:
    """The grains of a noun phrase: head, each modifier alone and with the nearest, peeled from the left; attachments.

    `short sleeve t-shirt in white` gives itself, `short sleeve t-shirt`, `t-shirt in white` and `t-shirt`. Linear in
    the number of modifiers and attachments, not exponential.
    """
    modifiers = phrase.modifiers
    grains: dict[tuple[Modifier, ...], None] = {(): None}
    grains.update({(modifier,): None for modifier in modifiers})
    grains.update({modifiers[start:]: None for start in range(len(modifiers))})
    grains.update({(modifier, modifiers[-1]): None for modifier in modifiers[:-2]})  # `black (ribbed) vest top`
    for grain in grains:
        if grain or phrase.head not in lexicon.NEEDS_MODIFIER:
            yield from _concept(phrase.head, phrase.surface, grain, None)
    with_all = len(phrase.attachments) == 1
    for attachment in phrase.attachments:
        for grain in dict.fromkeys(((), modifiers) if with_all or attachment.form.startswith("in ") else ((),)):
            if grain or phrase.head not in lexicon.NEEDS_MODIFIER:
                yield from _concept(phrase.head, phrase.surface, grain, attachment)


@lru_cache(maxsize=65536)
def _concept(
    head: str, surface: str, grain: tuple[Modifier, ...], attachment: Modifier | None
) -> tuple[ConceptPhrase, ...]:
    before = sorted((modifier.form for modifier in grain), key=lambda form: (lexicon.rank(form), form))
    after = [attachment.form] if attachment else []
    text = canonical_phrase(head, (*before, *after))
    if len(text.split()) > MAX_WORDS:
        return ()
    spelt = [*(modifier.surface for modifier in grain), surface, *([attachment.surface] if attachment else [])]
    return (ConceptPhrase(text, head, (*before, *after), " ".join(spelt)),)


def canonical_phrase(head: str, modifiers: Iterable[str]) -> str:
    """Write a head and its modifiers in canonical order; attachments (`in ...`, `with ...`) come last."""
    before = [form for form in modifiers if not is_attachment(form)]
    after = [form for form in modifiers if is_attachment(form)]
    return " ".join([*sorted(before, key=lambda form: (lexicon.rank(form), form)), head, *sorted(after)])


def is_attachment(modifier: str) -> bool:
    """Whether a modifier follows its head."""
    return modifier.startswith(("in ", "with "))


# ---------------------------------------------------------------------------------------------------- batches of texts


def mine(
    texts: Iterable[str], nlp: Language | None, progress: Progress | None = None, processes: int = 1
) -> MinedTexts:
    """Mine the concept phrases of texts on this machine (`graph.engines` has other ways).

    Args:
        texts: N texts; read once, in order.
        nlp: pipeline from `load_spacy`; None reads everything as titles, with the word lists alone.
        progress: called with the number of texts done since the last call.
        processes: how many processes read them, -1 to choose by cores; the result is the same.

    The result of a text depends on that text alone, so batches may be mined anywhere and joined.
    """
    from easynlp_fashionklip.graph.engines import LocalEngine  # it reads segments with the functions above

    return LocalEngine(nlp, processes).mine(texts, progress)
