"""Concept phrases from parsed segments (documents made by hand), titles and batches of texts."""

from __future__ import annotations

import numpy as np
import pytest
from spacy.language import Language
from spacy.tokens import Doc
from spacy.vocab import Vocab

from easynlp_fashionklip.graph.mining import canonical_phrase, mine, phrases_of_doc, phrases_of_title
from easynlp_fashionklip.graph.normalise import tokenise, unify_spelling


def _doc(*rows: tuple[str, str, int, str]) -> Doc:
    """A parse: (word, part of speech, index of its head, dependency) each."""
    words, pos, heads, deps = zip(*rows, strict=True)
    return Doc(Vocab(), words=list(words), pos=list(pos), heads=list(heads), deps=list(deps))


def _parsed(*rows: tuple[str, str, int, str]) -> list[str]:
    return [concept.phrase for concept in phrases_of_doc(_doc(*rows))]


def _titled(title: str) -> set[str]:
    return {concept.phrase for concept in phrases_of_title(tokenise(unify_spelling(title)))}


def test_the_designs_example_has_its_four_grains() -> None:
    """Peeled modifiers and a prepositional attachment."""
    found = _parsed(
        ("short", "ADJ", 1, "amod"),
        ("sleeve", "NOUN", 2, "compound"),
        ("t-shirt", "NOUN", 2, "ROOT"),
        ("in", "ADP", 2, "prep"),
        ("white", "ADJ", 3, "pobj"),
    )
    assert set(found) == {"t-shirt", "short sleeve t-shirt", "t-shirt in white", "short sleeve t-shirt in white"}


def test_a_compound_modifier_of_unlisted_words_follows_the_parse() -> None:
    """`paper` depends on `bag`, so both are one modifier; otherwise they are two."""
    joined = (("plumeti", "ADJ", 1, "amod"), ("wobble", "NOUN", 2, "compound"), ("skirt", "NOUN", 2, "ROOT"))
    assert set(_parsed(*joined)) == {"skirt", "plumeti wobble skirt"}
    apart = (("plumeti", "ADJ", 2, "amod"), ("wobble", "NOUN", 2, "compound"), ("skirt", "NOUN", 2, "ROOT"))
    assert {"plumeti skirt", "wobble skirt"} <= set(_parsed(*apart))


def test_parts_attach_to_the_garment_also_in_a_list() -> None:
    """The parser hangs the second part anywhere; both belong to the jeans."""
    found = _parsed(
        ("jeans", "NOUN", 0, "ROOT"),
        ("with", "ADP", 0, "prep"),
        ("a", "DET", 4, "det"),
        ("high", "ADJ", 4, "amod"),
        ("waist", "NOUN", 1, "pobj"),
        ("and", "CCONJ", 4, "cc"),
        ("slim", "ADJ", 7, "amod"),
        ("legs", "NOUN", 4, "conj"),
    )
    assert {"jeans", "jeans with high waist", "jeans with slim leg", "high waist", "slim leg"} == set(found)


def test_stuff_made_of_stuff_belongs_to_the_garment() -> None:
    """`shorts in fabric made from cotton` has no `fabric in cotton`."""
    found = _parsed(
        ("shorts", "NOUN", 0, "ROOT"),
        ("in", "ADP", 0, "prep"),
        ("denim", "NOUN", 1, "pobj"),
        ("made", "VERB", 2, "acl"),
        ("from", "ADP", 3, "prep"),
        ("cotton", "NOUN", 4, "pobj"),
    )
    assert set(found) == {"shorts", "shorts in denim", "denim", "shorts in cotton", "cotton"}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([("great", "ADJ", 1, "amod"), ("comfort", "NOUN", 1, "ROOT")], "abstract"),
        ([("20", "NUM", 1, "nummod"), ("denier", "NOUN", 1, "ROOT")], "measurement"),
        ([("size", "NOUN", 1, "compound"), ("xs", "NOUN", 1, "ROOT")], "size"),
        ([("no", "DET", 1, "det"), ("collar", "NOUN", 1, "ROOT")], "absent"),
        ([("looks", "VERB", 0, "ROOT"), ("good", "ADJ", 0, "acomp")], "verb"),
    ],
)
def test_what_is_no_concept(words: list[tuple[str, str, int, str]], reason: str) -> None:
    """Nothing is mined from abstract nouns, measurements, sizes, negated parts and verbs."""
    assert _parsed(*words) == [], reason


def test_numbers_and_empty_adjectives_do_not_modify() -> None:
    """`two beautiful 100 % cotton dresses` is a cotton dress."""
    found = _parsed(
        ("two", "NUM", 5, "nummod"),
        ("beautiful", "ADJ", 5, "amod"),
        ("100", "NUM", 3, "nummod"),
        ("%", "NOUN", 4, "compound"),
        ("cotton", "NOUN", 5, "compound"),
        ("dresses", "NOUN", 5, "ROOT"),
    )
    assert set(found) == {"dress", "cotton dress"}


def test_brands_in_prose_are_known_by_their_capital() -> None:
    """A capitalised unlisted word modifies nothing."""
    found = _parsed(("embroidered", "ADJ", 2, "amod"), ("Kangol", "PROPN", 2, "compound"), ("logo", "NOUN", 2, "ROOT"))
    assert set(found) == {"logo", "embroidered logo"}


def test_an_unlisted_noun_heads_only_a_described_fragment() -> None:
    """`striped cushion` is a concept, `cushion` beside a verb or alone is none."""
    fragment = (("striped", "ADJ", 1, "amod"), ("cushion", "NOUN", 1, "ROOT"))
    assert set(_parsed(*fragment)) == {"cushion", "striped cushion"}
    assert _parsed(("cushion", "NOUN", 0, "ROOT")) == []


def test_titles_lose_brands_and_names() -> None:
    """What stands before the gender, and what no list knows, is a name."""
    found = _titled("Red Tape Men Federer Black Formal Shoes")
    assert {"shoe", "men's shoe", "black shoe", "formal shoe"} <= found
    assert not any("red" in phrase or "federer" in phrase for phrase in found)


def test_titles_with_trailing_colours_and_slashes() -> None:
    """Colours may follow the noun; alternatives are apart."""
    assert {"t-shirt", "navy blue t-shirt"} <= _titled("Nike T-shirt Navy Blue")
    assert {"black leggings", "tights"} <= _titled("Black leggings/tights")


def test_a_fit_after_the_garment_of_a_title_describes_it() -> None:
    """The last noun of `Cargo Pants Relaxed Fit` is not what is sold."""
    found = _titled("Dockhand Men's Cargo Pants Relaxed Fit")
    assert {"pants", "cargo pants", "relaxed fit pants"} <= found
    assert "relaxed fit" not in found


def test_makers_do_not_modify(nlp: Language) -> None:
    """What stands before a name's possessive is no modifier."""
    phrases = mine(["Maison Belrive's tailored overcoat has horn buttons."], nlp).phrases
    assert "tailored overcoat" in phrases
    assert not any("maison" in phrase or "belrive" in phrase for phrase in phrases)


def test_what_a_thing_is_made_of_may_come_first(nlp: Language) -> None:
    """`Crafted from calfskin, this bag ...` is a bag in calfskin."""
    phrases = mine(["Crafted from supple calfskin, this structured bag is finished with gold hardware."], nlp).phrases
    assert {"calfskin", "bag in calfskin", "structured bag"} <= set(phrases)


def test_at_most_four_modifiers_and_six_words() -> None:
    """The farthest modifiers go, longer phrases are not written."""
    found = _titled("Short Striped Black Cotton Denim Quilted Long Sleeve Dress with Round Collar")
    assert all(len(phrase.split()) <= 6 for phrase in found)
    assert "short dress" not in found and "quilted dress" in found


def test_word_order_is_not_identity() -> None:
    """One canonical order, colours before materials."""
    assert canonical_phrase("dress", ["cotton", "black"]) == canonical_phrase("dress", ["black", "cotton"])
    assert canonical_phrase("dress", ["in lace", "black"]) == "black dress in lace"


def test_mined_arrays_of_titles() -> None:
    """Offsets, distinct ascending phrases, counted spellings."""
    mined = mine(["White T-Shirts", "", "White Tee-Shirts. White T-Shirt"], None)
    assert mined.offsets.dtype == np.int64 and mined.phrase_index.dtype == np.int32
    assert [mined.mentions(i) for i in range(3)] == [["t-shirt", "white t-shirt"], [], ["t-shirt", "white t-shirt"]]
    assert mined.surfaces[mined.phrases.index("t-shirt")] == {"t-shirts": 2, "t-shirt": 1}
    assert mined.commonest_surface(mined.phrases.index("white t-shirt")) == "white t-shirts"


def test_a_segment_that_begins_with_and() -> None:
    """There is nothing before it, neither at the end of the segment."""
    assert "cotton lining" in _titled("& Cotton Lining In Cotton")


def test_names_of_the_title_do_not_modify_in_its_prose(nlp: Language) -> None:
    """`Kappa` is a brand in the first text; the second only says kappa."""
    texts = ["Kappa Men Black Cap. Cap with a kappa logo.", "Black Cap. Cap with a kappa logo."]
    first, second = (set(mine([text], nlp).mentions(0)) for text in texts)
    assert "kappa logo" in second and "kappa logo" not in first and "logo" in first


def test_progress_counts_texts() -> None:
    """Every text is reported once."""
    done: list[int] = []
    mine(["Black Cap"] * 5000, None, done.append)
    assert sum(done) == 5000 and len(done) > 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Black underwear tights.", {"tights", "black tights"}),
        ("Round-necked T-shirt in soft cotton jersey.", {"t-shirt", "round neck t-shirt", "t-shirt in cotton jersey"}),
        (
            "5-pocket jeans in washed stretch denim with a high waist, zip fly and slim legs.",
            {"5-pocket jeans", "jeans in stretch denim", "jeans with high waist", "jeans with zip fly", "slim leg"},
        ),
        (
            "Grey tunic made of 100% cotton, has a mandarin collar, cap sleeves and a small slit.",
            {"grey tunic", "tunic with mandarin collar", "tunic with cap sleeve", "cotton", "slit"},
        ),
        ("Short, airy lace dress with a V-neck opening.", {"short dress", "lace dress", "dress with v-neck opening"}),
    ],
)
def test_real_sentences(nlp: Language, text: str, expected: set[str]) -> None:
    """The installed pipeline reads shop prose."""
    assert expected <= set(mine([text], nlp).mentions(0))


@pytest.mark.parametrize("text", ["Machine wash cold.", "Feel the comfort.", "Width 15 cm.", "Size: XS - UK 8", "$ 20"])
def test_real_noise(nlp: Language, text: str) -> None:
    """Care, slogans, sizes, measurements and prices give nothing."""
    assert mine([text], nlp).mentions(0) == []


def test_a_text_is_mined_alike_in_any_batch(nlp: Language) -> None:
    """Mining depends on the text alone."""
    texts = ["Black dress. Dress in lace with long sleeves.", "Jeans in denim.", "Dress in lace with long sleeves."]
    together = mine(texts, nlp)
    assert [together.mentions(i) for i in range(3)] != [[], [], []]
    for i, text in enumerate(texts):
        assert set(mine([text], nlp).mentions(0)) == set(together.mentions(i))
