"""Mining concept phrases from texts: a pure function from a batch of texts to compact arrays of mentions."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from easynlp_fashionklip.graph import lexicon
from easynlp_fashionklip.graph.normalise import split_segments, tokenise
from easynlp_fashionklip.graph.noun_phrases import Modifier, NounPhrase, noun_phrases
from easynlp_fashionklip.graph.words import Role, Word, flat_words, is_flat, parsed_words

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from spacy.language import Language
    from spacy.tokens import Doc

MAX_WORDS = 6
Progress = Callable[[int], None]
_TEXTS_AT_ONCE = 2048
_PARSED_AT_ONCE = 128


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


@dataclass(frozen=True)
class MinedTexts:
    """Which concept phrases N texts mention.

    `phrase_index[offsets[i]:offsets[i + 1]]` (int32, ascending, distinct) indexes `phrases`, `heads` and `modifiers`
    for text i; `surfaces[p]` counts in how many mentions phrase p is spelt how.
    """

    offsets: NDArray[np.int64]
    phrase_index: NDArray[np.int32]
    phrases: list[str]
    heads: list[str]
    modifiers: list[tuple[str, ...]]
    surfaces: list[dict[str, int]]

    def __len__(self) -> int:
        """Number of texts."""
        return len(self.offsets) - 1

    def mentions(self, text: int) -> list[str]:
        """Phrases of one text."""
        return [self.phrases[p] for p in self.phrase_index[self.offsets[text] : self.offsets[text + 1]]]

    def commonest_surface(self, phrase: int) -> str:
        """Commonest spelling of a phrase, the alphabetically first of equals."""
        counts = self.surfaces[phrase]
        return min(counts, key=lambda surface: (-counts[surface], surface))


# ------------------------------------------------------------------------------------------------ phrases of a segment


def phrases_of_doc(doc: Doc) -> list[ConceptPhrase]:
    """Concept phrases of one parsed segment (tags or parts of speech, and heads, must be set)."""
    return _phrases_of_words(parsed_words(doc), flat=False)


def phrases_of_title(words: Sequence[str]) -> list[ConceptPhrase]:
    """Concept phrases of a Title Case segment or tag list, which no parser reads well."""
    return _phrases_of_words(flat_words(words), flat=True)


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
    """The grains of a noun phrase: head alone, each modifier alone, peeled from the left; the same with attachments.

    `short sleeve t-shirt in white` gives itself, `short sleeve t-shirt`, `t-shirt in white` and `t-shirt`. Linear in
    the number of modifiers and attachments, not exponential.
    """
    modifiers = phrase.modifiers
    grains: dict[tuple[Modifier, ...], None] = {(): None}
    grains.update({(modifier,): None for modifier in modifiers})
    grains.update({modifiers[start:]: None for start in range(len(modifiers))})
    for grain in grains:
        if grain or phrase.head not in lexicon.NEEDS_MODIFIER:
            yield from _concept(phrase, grain, None)
    with_all = len(phrase.attachments) == 1
    for attachment in phrase.attachments:
        for grain in dict.fromkeys(((), modifiers) if with_all or attachment.form.startswith("in ") else ((),)):
            if grain or phrase.head not in lexicon.NEEDS_MODIFIER:
                yield from _concept(phrase, grain, attachment)


def _concept(phrase: NounPhrase, grain: tuple[Modifier, ...], attachment: Modifier | None) -> Iterator[ConceptPhrase]:
    before = sorted((modifier.form for modifier in grain), key=lambda form: (lexicon.rank(form), form))
    after = [attachment.form] if attachment else []
    text = canonical_phrase(phrase.head, (*before, *after))
    if len(text.split()) <= MAX_WORDS:
        spelt = [modifier.surface for modifier in grain] + [phrase.surface]
        surface = " ".join(spelt + ([attachment.surface] if attachment else []))
        yield ConceptPhrase(text, phrase.head, (*before, *after), surface)


def canonical_phrase(head: str, modifiers: Iterable[str]) -> str:
    """Write a head and its modifiers in canonical order; attachments (`in ...`, `with ...`) come last."""
    before = [form for form in modifiers if not is_attachment(form)]
    after = [form for form in modifiers if is_attachment(form)]
    return " ".join([*sorted(before, key=lambda form: (lexicon.rank(form), form)), head, *sorted(after)])


def is_attachment(modifier: str) -> bool:
    """Whether a modifier follows its head."""
    return modifier.startswith(("in ", "with "))


# ---------------------------------------------------------------------------------------------------- batches of texts


class _Tables:
    """Phrases and spellings met so far, as indices; one Python object per distinct phrase, none per mention."""

    def __init__(self) -> None:
        self.concepts: dict[str, int] = {}
        self.heads: list[str] = []
        self.modifiers: list[tuple[str, ...]] = []
        self.spellings: dict[tuple[int, str], int] = {}
        self.phrase_of_spelling = array("i")

    def spelling(self, concept: ConceptPhrase) -> int:
        phrase = self.concepts.setdefault(concept.phrase, len(self.concepts))
        if phrase == len(self.heads):
            self.heads.append(concept.head)
            self.modifiers.append(concept.modifiers)
        index = self.spellings.setdefault((phrase, concept.surface), len(self.spellings))
        if index == len(self.phrase_of_spelling):
            self.phrase_of_spelling.append(phrase)
        return index


class _SegmentCache:
    """Spelling indices of every distinct segment: shop texts repeat themselves, each sentence is parsed once."""

    def __init__(self, nlp: Language | None) -> None:
        self.nlp = nlp
        self.tables = _Tables()
        self.row: dict[bytes, int] = {}
        self.names: dict[int, frozenset[str]] = {}
        self.starts = array("q", [0])
        self.spellings = array("i")

    @staticmethod
    def key(segment: str) -> bytes:
        return hashlib.blake2b(segment.encode("utf-8", "surrogatepass"), digest_size=12).digest()

    def add(self, segments: Iterable[str]) -> None:
        """Mine the segments that are new."""
        parsed: list[list[str]] = []
        parsed_keys: list[bytes] = []
        for segment in dict.fromkeys(segments):
            key = self.key(segment)
            if key in self.row:
                continue
            words = tokenise(segment)
            if is_flat(words) or self.nlp is None:
                self.names[len(self.row)] = names_of_title(words)
                self._store(key, phrases_of_title(words))
            else:
                parsed.append(words)
                parsed_keys.append(key)
        for key, doc in zip(parsed_keys, self._parse(parsed), strict=True):
            self._store(key, phrases_of_doc(doc))

    def _parse(self, segments: list[list[str]]) -> Iterator[Doc]:
        if not segments or self.nlp is None:
            return iter(())
        from spacy.tokens import Doc

        vocab = self.nlp.vocab
        # A sentence's first word is capitalised for its place alone.
        docs = (Doc(vocab, words=[words[0].lower(), *words[1:]]) for words in segments)
        return iter(self.nlp.pipe(docs, batch_size=_PARSED_AT_ONCE))

    def _store(self, key: bytes, concepts: Iterable[ConceptPhrase]) -> None:
        self.row[key] = len(self.starts) - 1
        self.spellings.extend(self.tables.spelling(concept) for concept in concepts)
        self.starts.append(len(self.spellings))

    def spellings_of_text(self, segments: Sequence[str]) -> Iterator[int]:
        """Spelling indices of a text's segments, less the concepts modified by a name that its title gives."""
        rows = [self.row[self.key(segment)] for segment in segments]
        names = frozenset[str]().union(*(self.names.get(row, ()) for row in rows))
        modifiers, phrase_of = self.tables.modifiers, self.tables.phrase_of_spelling
        for row in rows:
            for spelling in self.spellings[self.starts[row] : self.starts[row + 1]]:
                words = (word for modifier in modifiers[phrase_of[spelling]] for word in modifier.split())
                if not names or names.isdisjoint(words):
                    yield spelling


def mine(texts: Iterable[str], nlp: Language | None, progress: Progress | None = None) -> MinedTexts:
    """Mine the concept phrases of texts.

    Args:
        texts: N texts; read once, in order.
        nlp: pipeline from `load_spacy`; None reads everything as titles, with the word lists alone.
        progress: called with the number of texts done since the last call.

    The result of a text depends on that text alone, so batches may be mined anywhere and joined.
    """
    cache = _SegmentCache(nlp)
    found, offsets, counts = array("i"), array("q", [0]), array("q")
    phrase_of = cache.tables.phrase_of_spelling
    for batch in _batches(texts, _TEXTS_AT_ONCE):
        segments = [split_segments(text) for text in batch]
        cache.add(segment for text in segments for segment in text)
        counts.extend([0] * (len(phrase_of) - len(counts)))
        for text in segments:
            spellings = list(cache.spellings_of_text(text))
            for spelling in spellings:
                counts[spelling] += 1
            found.extend(sorted({phrase_of[spelling] for spelling in spellings}))
            offsets.append(len(found))
        if progress is not None:
            progress(len(batch))
    return _mined(found, offsets, counts, cache.tables)


def _batches(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    batch: list[str] = []
    for text in texts:
        batch.append(text)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _mined(found: array[int], offsets: array[int], counts: array[int], tables: _Tables) -> MinedTexts:
    """Distinct phrases of the texts, one text after the other, and counts of the spellings."""
    surfaces: list[dict[str, int]] = [{} for _ in tables.heads]
    for (index, surface), spelling in tables.spellings.items():
        surfaces[index][surface] = counts[spelling]
    return MinedTexts(
        offsets=np.array(offsets, dtype=np.int64),
        phrase_index=np.array(found, dtype=np.int32),
        phrases=list(tables.concepts),
        heads=tables.heads,
        modifiers=tables.modifiers,
        surfaces=surfaces,
    )
