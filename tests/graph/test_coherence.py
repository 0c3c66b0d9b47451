"""Coherence against plain loops, and what it is for: sets that pictures show above sets drawn by lot."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from easynlp_fashionklip.graph import coherence as module
from easynlp_fashionklip.graph.builder import attach_prototypes, is_visual
from easynlp_fashionklip.graph.coherence import visual_coherence
from easynlp_fashionklip.graph.report import concept_text, stats_text
from easynlp_fashionklip.graph.statistics import graph_statistics
from easynlp_fashionklip.graph.store import ConceptGraph


def _csr(lists: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.cumsum([0] + [len(one) for one in lists]), np.array([row for one in lists for row in one], dtype=np.int32)


def _pictures(count: int = 60) -> torch.Tensor:
    """Three kinds of pictures in turn, in a narrow cone, as encoders make them."""
    rng = torch.Generator().manual_seed(4)
    kinds = torch.randn(3, 8, generator=rng)
    noise = torch.randn(count, 8, generator=rng)
    return normalize(5.0 + kinds[torch.arange(count) % 3] + 0.5 * noise, dim=1)


def _oracle(embeds: torch.Tensor, rows: list[int], neighbours: int) -> float:
    """One concept, a loop at a time; every picture stands for the others."""
    values = embeds.double().numpy()
    centred = values - values.mean(0)
    variance, axes = np.linalg.eigh(centred.T @ centred / len(values))
    space = centred @ (axes / np.sqrt(variance + variance.mean()))
    space /= np.linalg.norm(space, axis=1, keepdims=True)
    others = [i for i in range(len(values)) if i not in rows]
    wins = shared = 0.0
    for i in rows:
        own = np.mean([space[j] for j in rows if j != i], axis=0) @ space[i]
        wins += np.mean([own > np.mean([space[j] for j in rows], axis=0) @ space[k] for k in others])
        near = sorted((j for j in range(len(values)) if j != i), key=lambda j: -float(space[i] @ space[j]))[:neighbours]
        shared += sum(j in rows for j in near)
    expected = (len(rows) - 1) / (len(values) - 1)
    purity = (shared / (len(rows) * min(neighbours, len(rows) - 1)) - expected) / (1 - expected)
    return (2 * wins / len(rows) - 1 + purity) / 2


SETS = [list(range(0, 60, 3)), [0, 3, 6, 9, 12], list(range(7)), [1, 2, 3], list(range(60)), [], list(range(1, 59, 2))]


@pytest.mark.parametrize("small", [False, True])
def test_like_plain_loops(small: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks smaller than the data do not show; too few pictures, or all of them, say nothing."""
    if small:
        for name in ("_CONCEPTS_AT_ONCE", "_ROWS_AT_ONCE", "_MENTIONS_AT_ONCE"):
            monkeypatch.setattr(module, name, 4)
    embeds = _pictures()
    found = visual_coherence(embeds, *_csr(SETS))
    assert found.dtype == np.float32
    for value, rows in zip(found, SETS, strict=True):
        if 5 <= len(rows) < 60:
            assert value == pytest.approx(_oracle(embeds, rows, 20), abs=1e-5)
        else:
            assert np.isnan(value)


def test_a_kind_is_coherent_and_a_lot_is_not() -> None:
    """Also where one lot happens to be the larger set; half precision changes little."""
    rng = np.random.default_rng(5)
    embeds = _pictures(600)
    kind, lots = list(range(0, 600, 3)), [sorted(rng.choice(600, size, replace=False)) for size in (10, 50, 300)]
    found = visual_coherence(embeds, *_csr([kind, kind[:10], *lots]))
    assert found[0] > 0.9
    assert found[1] > 0.35  # neighbours of ten pictures of a kind are mostly the others of the kind
    assert (np.abs(found[2:]) < 0.25).all()
    assert np.allclose(visual_coherence(embeds.half().numpy(), *_csr([kind, *lots])), found[[0, 2, 3, 4]], atol=0.02)


def test_lots_are_zero_in_the_mean() -> None:
    """A hundred lots of six."""
    rng = np.random.default_rng(6)
    lots = [sorted(rng.choice(300, 6, replace=False)) for _ in range(100)]
    assert abs(visual_coherence(_pictures(300), *_csr(lots)).mean()) < 0.05


def test_of_many_pictures_every_nth_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of 60: the score of the even rows, renumbered."""
    embeds, rows = _pictures(), list(range(0, 60, 3))
    monkeypatch.setattr(module, "MOST_PICTURES", 30)
    found = visual_coherence(embeds, *_csr([rows, [1, 3, 5, 7, 9, 11]]))
    even = [row // 2 for row in rows if row % 2 == 0]
    assert found[0] == visual_coherence(embeds[::2], *_csr([even]))[0]
    assert np.isnan(found[1])


def test_copies_are_not_their_own_neighbours() -> None:
    """Thirty copies of a picture: each has twenty others, and itself is not one of them."""
    embeds = _pictures(40)
    embeds[:30] = embeds[0].clone()
    neighbours = module._neighbours(module._whitened(embeds))
    assert neighbours.shape == (40, 20)
    assert all(row not in near for row, near in enumerate(neighbours.tolist()))
    assert (neighbours[:30] < 30).all()


def test_a_graph_keeps_shows_and_uses_it(graph: ConceptGraph, tmp_path: object) -> None:
    """Five pictures a product: t-shirts look alike, the fits do not."""
    products = [f"p{i % 5}" for i in range(60)]
    rng = torch.Generator().manual_seed(0)
    kinds = torch.randn(2, 16, generator=rng)
    embeds = normalize(kinds[[int(one == "p4") for one in products]] + 0.3 * torch.randn(60, 16, generator=rng), dim=1)
    prompts = normalize(torch.randn(len(graph), 16, generator=rng), dim=1)
    assert graph.coherence(0) is None
    assert "coherence" not in stats_text(graph)
    measured = attach_prototypes(graph, prompts, embeds, products)
    measured.save(f"{tmp_path}/graph")
    read = ConceptGraph.load(f"{tmp_path}/graph")
    assert np.array_equal(read.tables.coherence, measured.tables.coherence, equal_nan=True)
    shirt, black = read.find("t-shirt"), read.find("black t-shirt")
    assert shirt is not None and black is not None
    high, low = read.coherence(shirt.concept_id), read.coherence(black.concept_id)
    assert high is not None and low is not None and high > low
    assert f"visual coherence {high:.2f}" in concept_text(read, shirt)
    statistics = graph_statistics(read, top=1)
    assert statistics.coherence_quantiles[-1] == pytest.approx(float(np.nanmax(measured.tables.coherence)))
    assert statistics.least_coherent[0][1] == pytest.approx(float(np.nanmin(measured.tables.coherence)))
    assert "least coherent" in stats_text(read)
    middle = (high + low) / 2
    assert is_visual(read, middle)[[shirt.concept_id, black.concept_id]].tolist() == [True, False]
    hidden = attach_prototypes(graph, prompts, embeds, products, min_coherence=middle)
    assert hidden.prototypes(shirt.concept_id) == measured.prototypes(shirt.concept_id) != []
    assert hidden.prototypes(black.concept_id) == []
    assert len(hidden) == len(graph)


def test_growing_keeps_what_is_known(graph: ConceptGraph) -> None:
    """A concept nobody has looked at is unknown, and is used."""
    known = graph.with_coherence(np.full(len(graph), 0.1, dtype=np.float32))
    grown = known.expand(["Blue Jeans"], ["p9"])
    assert [grown.coherence(i) is None for i in range(len(grown))] == [False] * len(graph) + [True] * (
        len(grown) - len(graph)
    )
    assert len(grown) > len(graph)
    assert is_visual(grown, 0.5).tolist() == [False] * len(graph) + [True] * (len(grown) - len(graph))
