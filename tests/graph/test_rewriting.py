"""Rules tried only where they can match give what all of them in order give."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easynlp_fashionklip.graph import normalise
from easynlp_fashionklip.graph.rewriting import RewritingRules, apply_in_order, needles_of

WORDS = (
    "t shirt tee shirts v neck necked polka dots half full sleeved round high waist waisted fit colour color block "
    "gray checks chequered sun glasses hair clip alice band slim-fit crew-neck "
    "wide-leg side-pocket floral-print short-heeled faux leather fake suede tie dye d "
    "appliqué İ ſlip slip on ons lace up ups Stand-up COLLAR knee length - / ' x"
)
PIECES = WORDS.split()


@given(st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from([" ", "-", "", " / "])), max_size=12))
def test_shop_spellings_equal_the_rules_in_order(pieces: list[tuple[str, str]]) -> None:
    text = "".join(word + gap for word, gap in pieces)
    assert normalise.unify_spelling(text) == apply_in_order(normalise._SPELLINGS, text)


def test_a_rule_sees_what_an_earlier_one_wrote() -> None:
    rules = RewritingRules([(re.compile("alpha"), "beta"), (re.compile("beta"), "gamma"), (re.compile("alpha"), "x")])
    assert rules.apply("alpha alpha") == "gamma gamma"


@pytest.mark.parametrize(
    ("pattern", "needles"),
    [
        (r"\b(?:v[- ]?neck(?:ed|line)?)\b", {"neck"}),
        (r"colou?r[- ]block(ed)?", {"block"}),
        (r"(faux|fake)[- ](leather|fur)", {"faux", "fake"}),
        (r"hair ?clips?|Band", {"hair", "band"}),
        (r"(ab|cd)?x", set()),
        (r"(ab|c)y", set()),
        (r"ab.cd", {"ab"}),
        (r"(?!ab)cd", {"cd"}),
        (r"ab(?=-(?:x|y)z)(?<!q)cd", {"abcd"}),
        (r"(?P<name>ab)", set()),
    ],
)
def test_needles(pattern: str, needles: set[str]) -> None:
    assert needles_of(pattern) == needles


def test_every_shop_spelling_has_a_needle() -> None:
    assert all(needles_of(pattern.pattern) for pattern, _ in normalise._SPELLINGS)
