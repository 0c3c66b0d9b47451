"""Scores of worked cases, by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.evaluation.evaluator import RetrievalResult, evaluate_retrieval
from easynlp_fashionklip.evaluation.protocols import FullGallery, PairKeys
from easynlp_fashionklip.evaluation.report import result_as_dict, result_table, write_result


def on_circle(*degrees: float) -> np.ndarray:
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def keys(product: list[int], text: list[int] | None = None) -> PairKeys:
    return PairKeys(np.array(product), np.array(text if text is not None else [100 + n for n in range(len(product))]))


IMAGES = on_circle(0, 10, 50)
TEXTS = on_circle(12, 1, 49)
# Picture 0: nearest texts 1, 0 -> its own is second. Picture 1: nearest 0, 1 -> second. Picture 2: first.


def test_worked_case() -> None:
    scores = evaluate_retrieval(IMAGES, TEXTS, keys([1, 2, 3]), recall_at=(1, 2)).scores
    assert scores["image_to_text_R@1"] == pytest.approx(100 / 3)
    assert scores["image_to_text_R@2"] == pytest.approx(100)
    assert scores["image_to_text_MRR"] == pytest.approx(100 * (0.5 + 0.5 + 1) / 3)
    # Text 0 at 12: pictures 1 (2 away), 0 (12). Text 1 at 1: 0, 1. Text 2: first.
    assert scores["text_to_image_R@1"] == pytest.approx(100 / 3)
    assert scores["mean_recall"] == pytest.approx((100 / 3 + 100) / 2)


def test_same_product_is_a_hit_and_so_is_the_same_text() -> None:
    assert evaluate_retrieval(IMAGES, TEXTS, keys([7, 7, 3])).scores["image_to_text_R@1"] == 100
    assert evaluate_retrieval(IMAGES, TEXTS, keys([1, 2, 3], [5, 5, 6])).scores["image_to_text_R@1"] == 100


def test_embeddings_that_are_all_equal_score_nothing() -> None:
    same = on_circle(*[30] * 20)
    scores = evaluate_retrieval(same, same, keys(list(range(20)))).scores
    assert scores["mean_recall"] == 0


def test_chunks_do_not_change_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    images, texts = (rng.normal(size=(37, 8)) for _ in range(2))
    pair_keys = PairKeys(rng.integers(0, 20, 37), rng.integers(0, 30, 37))
    whole = FullGallery().ranks(images, texts, pair_keys)
    monkeypatch.setattr("easynlp_fashionklip.evaluation.protocols.CHUNK", 5)
    assert np.array_equal(FullGallery().ranks(images, texts, pair_keys), whole)
    assert whole.min() == 1
    loop = []
    for query in range(37):
        scores = texts @ images[query]
        hits = (pair_keys.product == pair_keys.product[query]) | (pair_keys.text == pair_keys.text[query])
        loop.append(1 + sum(scores[other] >= scores[hits].max() for other in range(37) if not hits[other]))
    assert whole.tolist() == loop


def test_default_cut_offs_are_the_papers() -> None:
    scores = evaluate_retrieval(IMAGES, TEXTS, keys([1, 2, 3])).scores
    recalls = [name for name in scores if "R@" in name]
    assert recalls == [f"{way}_R@{k}" for way in ("image_to_text", "text_to_image") for k in (1, 5, 10)]
    assert scores["mean_recall"] == pytest.approx(np.mean([scores[name] for name in recalls]))


@pytest.fixture
def result() -> RetrievalResult:
    return evaluate_retrieval(IMAGES, TEXTS, keys([1, 2, 3]))


def test_table_for_people(result: RetrievalResult) -> None:
    lines = result_table(result, "model on table").splitlines()
    assert lines[0] == "model on table"
    assert lines[2].split() == ["image", "->", "text", "33.33", "100.00", "100.00", "66.67"]
    assert lines[4].split() == ["mean", "recall", "77.78"]
    assert "3 pairs (full)" in lines[5]


def test_file_for_programs(result: RetrievalResult, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "evaluation.json"
    write_result(path, result, {"checkpoint": "out", "seed": 7})
    written = json.loads(path.read_text())
    assert written == result_as_dict(result, {"checkpoint": "out", "seed": 7})
    assert written["image_to_text_R@1"] == 33.3333
    assert (written["protocol"], written["gallery_size"], written["unit"]) == ("full", 3, "percent")
    assert [path.name for path in path.parent.iterdir()] == ["evaluation.json"]


def test_a_place_that_cannot_be_written(result: RetrievalResult, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write .*--outputs"):
        write_result(tmp_path / "file" / "evaluation.json", result, {})
