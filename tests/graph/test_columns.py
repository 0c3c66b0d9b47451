"""What is written in groups of rows reads back whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easynlp_fashionklip.graph import columns as module
from easynlp_fashionklip.graph.columns import Coded, write_columns
from easynlp_fashionklip.graph.csr import from_pairs


@pytest.mark.parametrize("rows", [0, 1, 3, 4, 7])
def test_groups_of_rows(tmp_path: Path, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_OF_A_GROUP", 3)
    words = pa.array([["a"], [], ["b", "c"]], pa.list_(pa.string()))
    index = np.arange(rows) % 3
    write_columns({"n": pa.array(np.arange(rows)), "words": Coded(index, words)}, tmp_path / "t.parquet")
    table = pq.read_table(tmp_path / "t.parquet")
    assert table.column("n").to_pylist() == list(range(rows))
    assert table.column("words").to_pylist() == [words[i].as_py() for i in index]
    assert table.schema.field("words").type == pa.list_(pa.string())


def test_pairs_in_any_order_make_the_same_table() -> None:
    rng = np.random.default_rng(0)
    rows, values = rng.integers(0, 9, 200), rng.integers(0, 30, 200)
    expected = sorted(set(zip(rows.tolist(), values.tolist(), strict=True)))
    for order in (np.arange(200), np.lexsort((values, rows))):
        offsets, found = from_pairs(rows[order], values[order], 10)
        assert [(row, value) for row in range(10) for value in found[offsets[row] : offsets[row + 1]]] == expected
    distinct = np.array(expected)
    offsets, found = from_pairs(distinct[:, 0], distinct[:, 1], 10)
    assert found.tolist() == distinct[:, 1].tolist()
    assert offsets.tolist() == [int((distinct[:, 0] < row).sum()) for row in range(11)]
