"""Picture embeddings beside a graph: what is written is read, and damage is told with the file's name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.pictures import open_embeddings, write_pictures
from easynlp_fashionklip.graph.store import ConceptGraph
from easynlp_fashionklip.graph.tables import Pictures


@pytest.fixture()
def pictures(graph: ConceptGraph) -> Pictures:
    ids = graph.tables.product_ids
    return Pictures(ids, np.arange(len(ids)), np.random.default_rng(0).normal(size=(len(ids), 3)).astype(np.float32))


def test_round_trip(graph: ConceptGraph, pictures: Pictures, tmp_path: Path) -> None:
    graph.with_pictures(pictures, embedding_dim=3, encoder_digest="abc").save(tmp_path / "graph")
    loaded = ConceptGraph.load(tmp_path / "graph")
    found = loaded.tables.pictures
    assert found is not None
    assert found.product_ids == pictures.product_ids
    assert np.array_equal(found.keys, pictures.keys) and np.array_equal(found.embeds, pictures.embeds)
    assert loaded.info.encoder_digest == "abc"


@pytest.mark.parametrize("damage", ["missing", "cut", "nonsense", "float64", "fewer", "pickled", "no list"])
def test_damage(graph: ConceptGraph, pictures: Pictures, tmp_path: Path, damage: str) -> None:
    graph.with_pictures(pictures, embedding_dim=3).save(tmp_path / "graph")
    path = tmp_path / "graph" / "embeddings.npy"
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-5])
    elif damage == "nonsense":
        path.write_bytes(b"nonsense")
    elif damage == "float64":
        np.save(path, pictures.embeds.astype(np.float64))
    elif damage == "fewer":
        np.save(path, pictures.embeds[1:])
    elif damage == "pickled":
        np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    else:
        path = tmp_path / "graph" / "pictures.parquet"
        path.unlink()
    with pytest.raises(InputError, match=path.name) as raised:
        ConceptGraph.load(tmp_path / "graph")
    assert "rebuild" in str(raised.value)


def test_rows_and_pictures_must_agree(pictures: Pictures, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="4 embeddings come for 5 pictures"):
        write_pictures(Pictures(pictures.product_ids, pictures.keys, pictures.embeds[1:]), tmp_path)


def test_changes_do_not_reach_the_file(pictures: Pictures, tmp_path: Path) -> None:
    write_pictures(pictures, tmp_path)
    open_embeddings(tmp_path / "embeddings.npy")[:] = 0
    assert np.array_equal(open_embeddings(tmp_path / "embeddings.npy"), pictures.embeds)
