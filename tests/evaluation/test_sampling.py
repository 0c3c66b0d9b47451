"""Sampled galleries: who may be drawn, how often, and the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.evaluation.gallery import PairGallery
from easynlp_fashionklip.evaluation.pair_protocols import FASHIONSAP, FULL, RULES, SAMPLE, full_gallery, sampled
from easynlp_fashionklip.evaluation.ranking import candidate_ranks
from easynlp_fashionklip.evaluation.sampling import Draws, SamplingRule, check_size, draw


def test_the_published_numbers() -> None:
    assert RULES[SAMPLE] == SamplingRule(queries=1000, negatives=100, redraws=5, by_product=False)
    assert RULES[FASHIONSAP] == SamplingRule(queries=1000, negatives=100, redraws=1, by_product=True)


def check_draws(gallery: PairGallery, rule: SamplingRule, draws: Draws) -> None:
    product, category = np.array(gallery.product_ids), np.array(gallery.categories)
    for queries, lists, filled in zip(draws.queries, draws.candidates, draws.filled, strict=True):
        assert len(set(queries.tolist())) == len(queries)
        if rule.by_product:
            assert len(set(product[queries])) == len(queries)
        for row, candidates, missing in zip(queries, lists, filled, strict=True):
            own, others = candidates[0], candidates[1:]
            assert own == row and len(others) == rule.negatives
            assert len(set(others.tolist())) == len(others)
            assert (product[others] != product[row]).all()
            same = category[others] == category[row]
            assert same.sum() == len(others) - missing
            available = set(np.flatnonzero((category == category[row]) & (product != product[row])).tolist())
            if rule.by_product:
                assert len(set(product[others])) == len(others)
                available = {product[one] for one in available}
            assert missing == max(0, rule.negatives - len(available))  # filled only where fewer exist


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.booleans(), st.integers(1, 12))
def test_negatives_are_other_products_of_the_same_sub_category(
    gallery: Callable[..., PairGallery], seed: int, categories: int, by_product: bool, negatives: int
) -> None:
    made = gallery(rows=50, products=30, categories=categories, seed=seed)
    rule = SamplingRule(queries=20, negatives=negatives, redraws=2, by_product=by_product)
    draws = draw(made, rule, (seed,))
    assert draws.candidates.shape == (2, 20, 1 + negatives)
    check_draws(made, rule, draws)
    again = draw(made, rule, (seed,))
    assert np.array_equal(draws.candidates, again.candidates)


def test_draws_differ_between_redraws_and_seeds(gallery: Callable[..., PairGallery]) -> None:
    rule = SamplingRule(queries=20, negatives=5, redraws=2)
    one, other = draw(gallery(), rule, (0,)), draw(gallery(), rule, (1,))
    assert not np.array_equal(one.candidates[0], one.candidates[1])
    assert not np.array_equal(one.candidates, other.candidates)


def test_draws_do_not_look_at_embeddings(gallery: Callable[..., PairGallery]) -> None:
    rule = SamplingRule(queries=20, negatives=5, redraws=1)
    one = draw(gallery(), rule, (3,))
    assert np.array_equal(one.candidates, draw(gallery(noise=9.0), rule, (3,)).candidates)


def test_every_negative_is_drawn_about_equally_often(gallery: Callable[..., PairGallery]) -> None:
    made = gallery(rows=41, products=41, categories=1)
    draws = draw(made, SamplingRule(queries=41, negatives=10, redraws=40), (0,))
    drawn = np.bincount(draws.candidates[..., 1:].ravel(), minlength=41)
    # 41 * 40 lists; each row is in a list of another row with probability 1/4: mean 400, s.d. 17.3
    assert drawn.sum() == 16_400
    assert drawn.min() > 320 and drawn.max() < 480


def test_ranks_are_those_among_the_drawn(gallery: Callable[..., PairGallery]) -> None:
    made, rule = gallery(), SamplingRule(queries=30, negatives=12, redraws=3)
    run = sampled(made, SAMPLE, seed=5, rule=rule)
    lists = run.candidates["image_to_text_candidates"]
    ranks = run.values["image_to_text_medR"].reshape(3, 30)
    for redraw in range(3):
        for place, row in enumerate(run.candidates["image_to_text_queries"][redraw].tolist()):
            scores = made.texts[lists[redraw, place]].astype(float) @ made.images[row]
            assert ranks[redraw, place] == 1 + (scores[1:] >= scores[0]).sum()
    by_draw = (ranks <= 1).mean(axis=1) * 100
    assert run.scores["image_to_text_R@1"] == pytest.approx(by_draw.mean())
    assert run.spread["image_to_text_R@1"] == pytest.approx(np.std(by_draw, ddof=1))
    assert run.facts["redraws"] == 3 and run.facts["seed"] == 5


def test_it_says_how_often_it_filled(gallery: Callable[..., PairGallery]) -> None:
    made = gallery(rows=40, products=40, categories=4)  # ten products each: nine others
    run = sampled(made, SAMPLE, rule=SamplingRule(queries=40, negatives=12, redraws=1))
    assert run.facts["queries_filled"] == run.facts["queries_drawn"] == 80
    assert run.facts["negatives_from_other_categories"] == 80 * 3
    enough = sampled(made, SAMPLE, rule=SamplingRule(queries=40, negatives=9, redraws=1))
    assert enough.facts["queries_filled"] == enough.facts["negatives_from_other_categories"] == 0


def test_it_says_how_many_negatives_have_the_same_text(gallery: Callable[..., PairGallery]) -> None:
    made = gallery(rows=20, products=20, categories=1)
    captions = ["twin", "twin", *made.captions[2:]]
    twins = PairGallery(made.images, made.texts, made.product_keys, made.product_ids, captions, made.categories)
    run = sampled(twins, FASHIONSAP, rule=SamplingRule(queries=20, negatives=19, redraws=1, by_product=True))
    assert run.facts["candidates_with_the_same_text"] == 4  # each twin meets the other, in both directions


def test_too_small_a_table_is_refused(gallery: Callable[..., PairGallery]) -> None:
    with pytest.raises(InputError, match="39 products beside a query's own .* 100 negatives"):
        check_size(gallery(), by_product=True)
    with pytest.raises(InputError, match="pairs of other products"):
        sampled(gallery(), SAMPLE)
    check_size(gallery(rows=101, products=101), by_product=True)


def test_sampling_is_easier_than_the_full_gallery(gallery: Callable[..., PairGallery]) -> None:
    made = gallery(rows=80, products=80, noise=2.0)
    few = sampled(made, SAMPLE, rule=SamplingRule(queries=80, negatives=8, redraws=2))
    assert few.scores["mean_recall"] > full_gallery(made).scores["mean_recall"]


def test_full_gallery_by_hand(gallery: Callable[..., PairGallery]) -> None:
    """Three products, the first with two pictures: many to many."""
    radians = np.radians([0, 20, 50, 90]), np.radians([12, 12, 1, 80])
    images, texts = (np.stack([np.cos(one), np.sin(one)], axis=1) for one in radians)
    products = ["a", "a", "b", "c"]
    made = PairGallery(images, texts, np.array([1, 1, 2, 3]), products, ["ta", "ta", "tb", "tc"])
    run = full_gallery(made)
    # Picture 0 at 0: texts at 1 (b), 12 (a), 12 (a), 80: second. Picture 1 at 20: 12 first. Picture 2 at 50: own at 1
    # behind 80 (30 away) and both at 12 (38): fourth. Picture 3 first.
    assert run.values["image_to_text_medR"].tolist() == [2, 1, 4, 1]
    # Texts 0 and 1 at 12: picture 1 (8 away) first. Text 2 at 1: pictures 0, 1 nearer than 50: third. Text 3 first.
    assert run.values["text_to_image_medR"].tolist() == [1, 1, 3, 1]
    scores = run.scores
    assert scores["image_to_text_R@1"] == 50 and scores["text_to_image_R@1"] == 75
    assert scores["image_to_text_R@5"] == 100
    assert scores["image_to_text_mean_recall"] == pytest.approx((50 + 100 + 100) / 3)
    assert scores["image_to_text_medR"] == 1.5 and scores["image_to_text_meanR"] == 2.0
    assert scores["image_to_text_MRR"] == pytest.approx(100 * (0.5 + 1 + 0.25 + 1) / 4)
    assert scores["mean_recall"] == pytest.approx((50 + 100 + 100 + 75 + 100 + 100) / 6)
    assert run.protocol == FULL and run.facts["hit_rule"] == "same product id (many to many)"


def test_candidates_in_blocks_rank_alike(gallery: Callable[..., PairGallery], monkeypatch: pytest.MonkeyPatch) -> None:
    made = gallery()
    candidates = draw(made, SamplingRule(queries=30, negatives=9, redraws=1), (0,)).candidates[0]
    whole = candidate_ranks(made.images[candidates[:, 0]], made.texts, candidates)
    monkeypatch.setattr("easynlp_fashionklip.evaluation.ranking._PRODUCTS", 400)
    assert np.array_equal(candidate_ranks(made.images[candidates[:, 0]], made.texts, candidates), whole)
