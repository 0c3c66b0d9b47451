"""Product search and zero-shot labels, beside scikit-learn and plain loops."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.evaluation.breakdown import kind_scores
from easynlp_fashionklip.evaluation.gallery import PairGallery
from easynlp_fashionklip.evaluation.queries import SearchQuery, category_queries, read_queries
from easynlp_fashionklip.evaluation.search_protocols import marqo_queries, marqo_search, multi_field, product_search
from easynlp_fashionklip.evaluation.zero_shot import classify, labels_of, prompts_of

IDS = ["a", "b", "c", "d"]


def search_queries(gallery: PairGallery, count: int, seed: int = 0) -> list[SearchQuery]:
    random, ids = np.random.default_rng(seed), sorted(set(gallery.product_ids))
    sizes = random.integers(1, 15, count)
    return [
        SearchQuery(str(n), f"query {n}", tuple(random.permutation(ids)[:size].tolist()), "odd" if n % 2 else "even")
        for n, size in enumerate(sizes)
    ]


def test_measures_equal_scikit_learns(gallery: Callable[..., PairGallery]) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    made = gallery(rows=40, products=40)
    queries = search_queries(made, 12)
    embeds = np.random.default_rng(3).normal(size=(12, 16))
    run = product_search(made, queries, embeds)
    for n, query in enumerate(queries):
        scores = made.images.astype(float) @ embeds[n]
        truth = np.array([product in query.item_ids for product in made.product_ids])
        order = np.argsort(-scores)
        assert run.values["mAP"][n] == pytest.approx(sklearn.average_precision_score(truth, scores))
        assert run.values["nDCG@10"][n] == pytest.approx(sklearn.ndcg_score([truth], [scores], k=10))
        assert run.values["P@10"][n] == truth[order[:10]].mean()
        assert run.values["found@10"][n] == truth[order[:10]].sum() / truth.sum()
        assert run.values["R@5"][n] == truth[order[:5]].any()
        assert run.values["MRR"][n] == 1 / (1 + np.flatnonzero(truth[order])[0])
    assert run.scores["mAP"] == pytest.approx(100 * run.values["mAP"].mean())


def test_by_kind_of_query(gallery: Callable[..., PairGallery]) -> None:
    made = gallery()
    queries = search_queries(made, 9)
    run = product_search(made, queries, np.random.default_rng(0).normal(size=(9, 16)))
    kinds = kind_scores(run)
    assert {kind: count for kind, (count, _) in kinds.items()} == {"even": 5, "odd": 4}
    assert kinds["odd"][1]["mAP"] == pytest.approx(100 * run.values["mAP"][1::2].mean())


def test_a_product_of_several_pictures_counts_once(gallery: Callable[..., PairGallery]) -> None:
    made = gallery(rows=80, products=20)  # four pictures a product
    queries = [SearchQuery("0", "all but p0", tuple(f"p{n}" for n in range(1, 20)))]
    run = product_search(made, queries, made.images[:1])
    assert run.values["P@10"][0] == 0.9 and run.values["R@1"][0] == 0  # p0 is first, and once among the first ten


def test_documents_of_two_fields(gallery: Callable[..., PairGallery]) -> None:
    made = gallery()
    documents = multi_field(made.images, made.texts)
    assert np.allclose(np.linalg.norm(documents, axis=1), 1)
    by_hand = 0.9 * made.images[3].astype(float) + 0.1 * made.texts[3]
    assert np.allclose(documents[3], by_hand / np.linalg.norm(by_hand))
    queries = search_queries(made, 6)
    embeds = np.random.default_rng(1).normal(size=(6, 16))
    run = marqo_search(made, queries, embeds)
    for n, query in enumerate(queries):
        best = {
            p: max(documents[row] @ embeds[n] for row in range(60) if made.product_ids[row] == p)
            for p in set(made.product_ids)
        }
        first = sorted(best, key=lambda p: -best[p])[:10]
        hits = [p in query.item_ids for p in first]
        assert run.values["P@1"][n] == hits[0] and run.values["P@10"][n] == sum(hits) / 10
        assert run.values["AvgP"][n] == pytest.approx((hits[0] + sum(hits) / 10) / 2)
        assert run.values["MRR@10"][n] == pytest.approx(1 / (1 + hits.index(True)) if any(hits) else 0)


def test_a_category_is_a_query_for_its_products() -> None:
    queries = category_queries(["shoe", "hat", " shoe", ""], IDS, "category")
    assert [(query.text, query.item_ids, query.kind) for query in queries] == [
        ("hat", ("b",), "category"),
        ("shoe", ("a", "c"), "category"),
    ]


def test_at_most_2000_queries_are_drawn() -> None:
    many = [SearchQuery(str(n), f"q{n}", ("a",)) for n in range(2500)]
    drawn = marqo_queries(many, seed=1)
    assert len(drawn) == 2000 and drawn == marqo_queries(many, seed=1) != marqo_queries(many, seed=2)
    assert [int(query.query_id) for query in drawn] == sorted(int(query.query_id) for query in drawn)
    assert marqo_queries(many[:3], seed=1) == many[:3]
    with pytest.raises(InputError, match="no row has a category"):
        marqo_queries([], seed=0)


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in lines))
    return path


def test_both_forms_of_query_files(tmp_path: Path) -> None:
    """With a kind, as the catalogues have it, and without, as the release does; numbers may be ids."""
    path = write(
        tmp_path / "q.jsonl",
        {"query_id": 7, "query_text": "red hat", "kind": "colour", "item_ids": ["a", "b", "a"]},
        "",
        {"query_id": "x", "query_text": "hat", "item_ids": [3]},
    )
    assert read_queries(path, [*IDS, "3"]) == [
        SearchQuery("7", "red hat", ("a", "b"), "colour"),
        SearchQuery("x", "hat", ("3",)),
    ]


def test_a_byte_order_mark_is_no_part_of_the_first_query(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps({"query_id": 1, "query_text": "hat", "item_ids": ["a"]}), encoding="utf-8-sig")
    assert read_queries(path, IDS) == [SearchQuery("1", "hat", ("a",))]


GOOD = {"query_id": 1, "query_text": "hat", "item_ids": ["a"]}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "q.jsonl holds no queries"),
        (["", "  "], "q.jsonl holds no queries"),
        ([GOOD, "{"], "line 2: this is not JSON"),
        ([GOOD, [1]], "line 2: this is not a JSON object"),
        ([GOOD, {**GOOD, "query_id": 2, "item_ids": []}], "line 2: the query has no relevant products"),
        ([{**GOOD, "item_ids": ["a", "zz"]}], "line 1: product 'zz' is not in the table"),
        ([{**GOOD, "item_ids": "a"}], "item_ids is no list"),
        ([{**GOOD, "item_ids": [{"a": 1}]}], "item_ids is no list"),
        ([{**GOOD, "query_text": " "}], "query_text is ' '"),
        ([{**GOOD, "query_text": None}], "query_text is 'None'"),
        ([GOOD, GOOD], "line 2: query_id '1' is already on line 1"),
        ([{"query_id": 1, "item_ids": ["a"]}], "has no 'query_text'"),
        (["[" * 100_000], "line 1: this is not JSON (it is nested too deeply)"),
        ([{**GOOD, "query_text": "\ud800"}], "line 1: this is not JSON ('utf-8' codec can't encode"),
        ([{**GOOD, "kind": "\ud800"}], "line 1: this is not JSON ('utf-8' codec can't encode"),
        ([{"x" * 999: 1}], f"it has '{'x' * 60}'."),
    ],
)
def test_bad_query_files(tmp_path: Path, lines: list[object], message: str) -> None:
    with pytest.raises(InputError) as told:
        read_queries(write(tmp_path / "q.jsonl", *lines), IDS)
    assert message in str(told.value)


def test_query_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_queries(tmp_path / "none.jsonl", IDS)
    (tmp_path / "bytes").write_bytes(b'{"query_id": "\xff\xfe"}')
    with pytest.raises(InputError, match="not UTF-8"):
        read_queries(tmp_path / "bytes", IDS)


# ---- labels


def test_labels_equal_scikit_learns(gallery: Callable[..., PairGallery]) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    made = gallery(rows=90, products=60, categories=5)
    labels = labels_of(made)
    embeds = np.random.default_rng(2).normal(size=(5, 16))
    run = classify(made, labels, embeds)
    truth = np.array([labels.index(one) for one in made.categories])
    predicted = (made.images.astype(float) @ embeds.T).argmax(axis=1)
    assert np.array_equal(run.values["weighted_F1"], np.stack([truth, predicted], axis=1))
    assert run.scores["accuracy"] == pytest.approx(100 * (truth == predicted).mean())
    for name, average in (("weighted_F1", "weighted"), ("macro_F1", "macro")):
        expected = sklearn.f1_score(truth, predicted, average=average, zero_division=0)
        assert run.scores[name] == pytest.approx(100 * expected)


def test_labels_that_tie_are_wrong(gallery: Callable[..., PairGallery]) -> None:
    made = gallery(categories=3)
    run = classify(made, labels_of(made), np.ones((3, 16)))
    assert run.scores["accuracy"] == 0 and run.scores["weighted_F1"] == 0


def test_pictures_without_label_are_left_out_and_counted(gallery: Callable[..., PairGallery]) -> None:
    made = gallery(rows=40, products=40)
    some = ["" if n < 5 else one for n, one in enumerate(made.categories)]
    blank = PairGallery(made.images, made.texts, made.product_keys, made.product_ids, made.captions, some)
    run = classify(blank, labels_of(blank), np.random.default_rng(0).normal(size=(4, 16)))
    assert run.facts["queries"] == 35 and run.facts["pictures_without_label"] == 5


def test_prompts() -> None:
    assert prompts_of(["Shoe"], "a photo of a {label}, {x}") == ["a photo of a Shoe, {x}"]
    with pytest.raises(InputError, match="has no place for the label"):
        prompts_of(["Shoe"], "a photo")


def test_one_label_is_refused(gallery: Callable[..., PairGallery]) -> None:
    with pytest.raises(InputError, match="1 different label"):
        labels_of(gallery(categories=1))
