"""The graph on disk: round trip, plain Parquet, atomic writing, and a sentence for every fault."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch.nn.functional import normalize

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph import directory
from easynlp_fashionklip.graph import format as module
from easynlp_fashionklip.graph.builder import attach_prototypes
from easynlp_fashionklip.graph.store import ConceptGraph

PRODUCTS = ["p0", "p1", "p2", "p3", "p4"]


@pytest.fixture()
def saved(graph: ConceptGraph, tmp_path: Path) -> Path:
    """A graph with prototypes, on disk."""
    images = normalize(torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    prompts = normalize(torch.randn(len(graph), 4, generator=torch.Generator().manual_seed(1)), dim=1)
    attach_prototypes(graph, prompts, images, PRODUCTS, encoder="toy").save(tmp_path / "graph")
    return tmp_path / "graph"


def test_round_trip(saved: Path, graph: ConceptGraph) -> None:
    """Everything comes back, and saving again writes the same bytes."""
    loaded = ConceptGraph.load(saved)
    assert loaded.concepts == graph.concepts
    assert loaded.tables.concepts == graph.tables.concepts
    for i in range(len(graph)):
        assert (loaded.parents(i), loaded.primary_parent(i)) == (graph.parents(i), graph.primary_parent(i))
        assert loaded.prototypes(i)
    for mine, theirs in zip(loaded.mentions_of(PRODUCTS), graph.mentions_of(PRODUCTS), strict=True):
        assert np.array_equal(mine, theirs)
    loaded.save(saved.with_name("again"))
    for path in saved.iterdir():
        assert path.read_bytes() == (saved.with_name("again") / path.name).read_bytes(), path.name


def test_a_loaded_graph_grows_like_the_one_in_memory(graph: ConceptGraph, tmp_path: Path, blank: object) -> None:
    """Rare mentions are on disk too."""
    from easynlp_fashionklip.graph.builder import build_graph

    sparse = build_graph(["Black Cap", "Red Hat", "Blue Hat"], ["a", "b", "c"], blank, min_frequency=2)  # type: ignore[arg-type]
    sparse.save(tmp_path / "sparse")
    for one in (sparse, ConceptGraph.load(tmp_path / "sparse")):
        grown = one.expand(["Black Cap"], ["d"], blank)  # type: ignore[arg-type]
        assert [concept.phrase for concept in grown.concepts] == ["hat", "black cap", "cap"]


def test_readable_with_pyarrow_alone(saved: Path) -> None:
    """The documented columns; a mention by product id."""
    concepts = pq.read_table(saved / "concepts.parquet")
    assert concepts.column_names[:6] == ["concept_id", "phrase", "surface", "head", "depth", "frequency"]
    mentions = pq.read_table(saved / "mentions.parquet").to_pylist()
    phrase = concepts.column("phrase").to_pylist()
    assert {phrase[row["concept_id"]] for row in mentions if row["product_id"] == "p1"} == {"t-shirt", "black t-shirt"}
    described = json.loads((saved / "graph.json").read_text())
    assert (described["format_version"], described["encoder"], described["embedding_dim"]) == (1, "toy", 4)
    assert described["prompt"] == "a photo of {surface}" and described["counts"]["concepts"] == len(phrase)


@pytest.mark.parametrize("stage", ["_write_files", "_swap"])
def test_a_failing_save_leaves_the_old_graph(
    saved: Path, graph: ConceptGraph, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it fails while writing or while renaming, and nothing is left beside it."""
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    if stage == "_write_files":
        monkeypatch.setattr(module, "write_columns", _raise)
    else:
        rename = Path.rename
        monkeypatch.setattr(directory, "_exchange", lambda one, other: False)
        monkeypatch.setattr(Path, "rename", lambda a, b: _raise() if a.name.endswith(".tmp") else rename(a, b))
    with pytest.raises(InputError, match="the disk is full; free some space"):
        graph.save(saved)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def _raise(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_save_killed_between_its_renames_is_mended(saved: Path) -> None:
    """The old graph waits beside its place."""
    saved.rename(saved.with_name(".graph.previous"))
    assert len(ConceptGraph.load(saved)) and saved.is_dir()


def test_other_peoples_files_are_not_replaced(saved: Path, graph: ConceptGraph, tmp_path: Path) -> None:
    """A directory with something else in it, a file."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("keep")
    with pytest.raises(InputError, match="holds other files and no graph"):
        graph.save(tmp_path / "notes")
    with pytest.raises(InputError, match="is a file"):
        graph.save(tmp_path / "notes" / "a.txt")


def _rewrite(folder: Path, name: str, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(folder / name)), folder / name)


def _set(name: str, column: str, values: Callable[[pa.Table], pa.Array]) -> Callable[[Path], None]:
    def change(table: pa.Table) -> pa.Table:
        return table.set_column(table.column_names.index(column), column, values(table))

    return lambda folder: _rewrite(folder, name, change)


def _describe(folder: Path, **values: object) -> None:
    path = folder / "graph.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no json": (lambda folder: (folder / "graph.json").unlink(), "holds no concept graph"),
    "bad json": (lambda folder: (folder / "graph.json").write_text("{"), "graph.json cannot be read as JSON"),
    "version": (lambda folder: _describe(folder, format_version=9), "format_version 9, this release reads 1"),
    "json type": (lambda folder: _describe(folder, embedding_dim="x"), "graph.json: embedding_dim is 'x'"),
    "missing": (lambda folder: (folder / "is_a.parquet").unlink(), "is_a.parquet: is missing"),
    "truncated": (lambda folder: (folder / "is_a.parquet").write_bytes(b"PAR1"), "is_a.parquet cannot be read"),
    "column": (
        lambda folder: _rewrite(folder, "concepts.parquet", lambda table: table.drop_columns(["head"])),
        "concepts.parquet: has no column 'head'",
    ),
    "type": (
        _set("concepts.parquet", "frequency", lambda table: pa.array(["x"] * len(table))),
        "column 'frequency' is string, not int64",
    ),
    "empty cell": (
        _set("concepts.parquet", "head", lambda table: pa.array([None] * len(table), pa.string())),
        "column 'head' has empty cells",
    ),
    "ids": (
        _set("concepts.parquet", "concept_id", lambda table: pa.array(range(1, len(table) + 1))),
        "concept_id is not 0, 1, 2",
    ),
    "reference": (
        _set("prototypes.parquet", "concept_id", lambda table: pa.array([99] * len(table))),
        "prototypes.parquet: concept id 99 is not in concepts.parquet",
    ),
    "product": (
        _set("products.parquet", "product_id", lambda table: pa.array(["q"] * len(table))),
        "mentions.parquet: product 'p0' is not in products.parquet",
    ),
    "cycle": (
        lambda folder: _rewrite(
            folder,
            "is_a.parquet",
            lambda table: pa.table({"child_id": [0, 1], "parent_id": [1, 0], "primary": [True, True]}),
        ),
        "is_a.parquet: is-a has a cycle",
    ),
}


@pytest.mark.parametrize("fault", _FAULTS)
def test_every_fault_names_file_and_remedy(saved: Path, fault: str) -> None:
    """The sentence says what to do."""
    spoil, sentence = _FAULTS[fault]
    spoil(saved)
    with pytest.raises(InputError, match=sentence) as raised:
        ConceptGraph.load(saved)
    assert "fashionklip graph build" in str(raised.value) and str(saved) in str(raised.value)


def test_plain_strings_are_read_like_dictionaries(saved: Path, graph: ConceptGraph) -> None:
    """Other tools rewrite mentions without the dictionary, as int32 and large_string."""

    def change(table: pa.Table) -> pa.Table:
        return pa.table(
            {
                "product_id": table.column("product_id").cast(pa.large_string()),
                "concept_id": table.column("concept_id").cast(pa.int32()),
            }
        )

    _rewrite(saved, "mentions.parquet", change)
    assert np.array_equal(ConceptGraph.load(saved).mentions_of(PRODUCTS)[1], graph.mentions_of(PRODUCTS)[1])
