"""Captions say what is true of the product, in varied words, and name the phrases they claim to name."""

from __future__ import annotations

import re

import numpy as np
import pytest

from easynlp_fashionklip.data.sample.attributes import CATEGORY_BY_NAME, PALETTE, Attributes, draw_attributes
from easynlp_fashionklip.data.sample.captions import Caption, modifier_units, write_caption

Worded = tuple[Attributes, Caption]
ARTICLES = re.compile(r"(?<=with )an? ")


@pytest.fixture(scope="module")
def worded() -> list[Worded]:
    products = []
    for position in range(600):
        rng = np.random.default_rng((2, position))
        attributes = draw_attributes(rng)
        products.append((attributes, write_caption(attributes, rng)))
    return products


def normal(caption: str) -> str:
    text = re.sub(r"\bt shirt", "t-shirt", caption.lower())
    return ARTICLES.sub("", text).replace(".", "")


def test_every_phrase_stands_in_its_caption(worded: list[Worded]) -> None:
    for _, caption in worded:
        text = normal(caption.text)
        for phrase in caption.phrases:
            before = " ".join((*phrase.before, phrase.head))
            after = "".join(f" {part}" for part in phrase.after)
            assert re.search(rf"\b{re.escape(before)}s?{re.escape(after)}s?\b", text), (caption.text, phrase)


def test_first_phrase_names_the_category_and_only_true_attributes(worded: list[Worded]) -> None:
    for attributes, caption in worded:
        product = caption.phrases[0]
        names = [noun for noun in CATEGORY_BY_NAME[attributes.category].nouns if noun.head == product.head]
        fitting = [noun for noun in names if product.before[len(product.before) - len(noun.before) :] == noun.before]
        name = max(fitting, key=lambda noun: len(noun.before))
        told = product.before[: len(product.before) - len(name.before)]
        true_units = list(modifier_units(attributes).values())
        assert [unit for unit in true_units if unit in told] == list(told)
        true_parts = {f"in {attributes.colour}", f"with {attributes.neckline}", f"with {attributes.detail}"}
        assert set(product.after) <= true_parts


def test_captions_name_no_colour_but_the_products_two(worded: list[Worded]) -> None:
    for attributes, caption in worded:
        named = set(re.findall(r"[a-z]+", caption.text.lower())) & set(PALETTE)
        assert named <= {attributes.colour, attributes.accent}


def test_captions_have_one_to_three_sentences_and_vary(worded: list[Worded]) -> None:
    sentences = [caption.text.count(".") for _, caption in worded]
    assert set(sentences) == {1, 2, 3}
    assert len({caption.text for _, caption in worded}) > 0.9 * len(worded)
    assert all(caption.text[0].isupper() and caption.text.endswith(".") for _, caption in worded)


def test_not_every_attribute_is_told_every_time(worded: list[Worded]) -> None:
    colour_told = np.mean([attributes.colour in caption.text.lower() for attributes, caption in worded])
    assert 0.8 < colour_told < 1.0


def test_titles_are_in_title_case_and_end_with_the_name(worded: list[Worded]) -> None:
    for attributes, caption in worded:
        assert all(word[0].isupper() for word in caption.title.split())
        assert re.search(rf"\b{re.escape(attributes.category)}s?$", caption.title.lower())
        assert attributes.colour in caption.title.lower()
