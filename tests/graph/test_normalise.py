"""Spelling, segments, tokens and singulars."""

from __future__ import annotations

import pytest

from easynlp_fashionklip.graph.normalise import clean_text, head_form, split_segments, tokenise, unify_spelling


@pytest.mark.parametrize(
    ("written", "unified"),
    [
        ("T Shirt", "t-shirt"),
        ("tee-shirts", "t-shirts"),
        ("Tshirts", "t-shirts"),
        ("V neck", "v-neck"),
        ("V-necked top", "v-neck top"),
        ("round-necked jumper", "round_neck jumper"),
        ("long-sleeved top", "long_sleeve top"),
        ("high-waisted jeans", "high_waist jeans"),
        ("imitation leather", "imitation leather"),
        ("faux leather", "faux-leather"),
        ("all over pattern", "all-over pattern"),
        ("short dress", "short dress"),
    ],
)
def test_one_spelling_per_thing(written: str, unified: str) -> None:
    """Every variant reads the same, other words stay."""
    assert unify_spelling(written) == unified


@pytest.mark.parametrize(
    ("noun", "form"),
    [
        ("watches", "watch"),
        ("shoes", "shoe"),
        ("dresses", "dress"),
        ("dress", "dress"),
        ("accessories", "accessory"),
        ("hoodies", "hoodie"),
        ("scarves", "scarf"),
        ("sleeves", "sleeve"),
        ("Jeans", "jeans"),
        ("trouser", "trousers"),
        ("shorts", "shorts"),
        ("short", "short"),
        ("leggings", "leggings"),
        ("tights", "tights"),
        ("T-shirts", "t-shirt"),
        ("canvas", "canvas"),
        ("flip-flops", "flip-flop"),
    ],
)
def test_head_form_is_singular_unless_the_language_has_none(noun: str, form: str) -> None:
    """Heads are singular, pluralia tantum plural."""
    assert head_form(noun) == form


def test_care_notes_praise_and_bare_numbers_are_no_segments() -> None:
    """Only what speaks of looks stays."""
    text = "Black dress. Machine wash at 40. For you and me! Do not bleach. 100%. Wear it with jeans. Two pockets."
    assert split_segments(text) == ["Black dress.", "Two pockets."]


def test_a_title_may_speak_to_the_reader() -> None:
    """`My` in a product name is no praise."""
    assert split_segments("My Fab Eyewear Black Sunglasses.") == ["My Fab Eyewear Black Sunglasses."]


def test_markup_and_broken_entities_are_cleaned() -> None:
    """Tags and entities, whole or broken, leave a blank."""
    assert clean_text("<b>men& rsquo s</b> &amp; women\u2019s").split() == ["men", "s", "&", "women's"]


def test_tokens_keep_hyphens_and_split_slashes() -> None:
    """`3/4` is a number, `leggings/tights` two words."""
    assert tokenise("leggings/tights, 3/4 v-neck") == ["leggings", "/", "tights", ",", "3/4", "v-neck"]
    assert tokenise("a b/") == ["a", "b", "/"]


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("A hoodie with a hood, so you can wear it anywhere.", ["A hoodie with a hood"]),
        ("Wear it with jeans, a belt and boots.", []),
        ("Shell: 60% Acrylic, 40% Wool", ["acrylic wool shell"]),
        ("Lining: 80% polyester, 20% recycled polyester", ["polyester lining"]),
        ("Sleeve Length: Long Sleeves", ["Long Sleeves"]),
        ("Neck: Mandarin Collar", ["Mandarin Collar"]),
        ("Frame: Full Rim", ["full rim frame"]),
        ("Piqué top in bouclé", ["Pique top in boucle"]),
        ("Jeweled sandals, paneled skirt", ["Jewelled sandals, panelled skirt"]),
    ],
)
def test_what_is_left_of_a_text(text: str, segments: list[str]) -> None:
    """Advice ends a sentence, lists of stuffs describe their part, keys repeat their value, spelling is one."""
    assert split_segments(text) == segments


def test_a_coat_of_two_stuffs() -> None:
    """A hyphen between stuffs joins two modifiers, not one."""
    assert tokenise("wool-cashmere coat") == ["wool", "cashmere", "coat"]
