"""EasyNLP's dataset over our catalogues: rows are indexed and read one at a time, never loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from easynlp_fashionklip import distributed
from easynlp_fashionklip.app.compat import BaseDataset
from easynlp_fashionklip.config import AppConfig
from easynlp_fashionklip.data.catalogue import open_catalogue
from easynlp_fashionklip.data.check import check_pairs
from easynlp_fashionklip.data.collate import PairCollator
from easynlp_fashionklip.data.dataset import PairDataset, RowFailure, Sample
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.data.samplers import SampleIndex
from easynlp_fashionklip.models.processor import Processor


def open_pairs(
    path: str | Path,
    config: AppConfig,
    *,
    text: str | None,
    image: str | None,
    input_schema: str | None = None,
    skip_first_line: bool = False,
    min_rows: int = 1,
) -> PairTable:
    """Open a catalogue, choose its columns and check every row.

    Raises:
        InputError: a missing file or column, or a bad row (see `data.check.check_pairs`).
    """
    catalogue = open_catalogue(path, input_schema=input_schema, skip_first_line=skip_first_line)
    table = PairTable(catalogue, text, image, config.product_id, config.image_root)
    return check_pairs(
        table,
        on_bad_row=config.on_bad_row,
        duplicate_ids=config.duplicate_ids,
        min_rows=min_rows,
        progress=False if distributed.rank() else None,
    )


class FashionKLIPDataset(BaseDataset):
    """EasyNLP's `BaseDataset` over a checked pair table.

    EasyNLP reads a whole file into a list of lines on every process; here `data_rows` is the indexed table, and a row
    is read, decoded and augmented when the loader asks for it.
    """

    def __init__(self, table: PairTable, processor: Processor, *, seed: int = 0, is_training: bool = False) -> None:
        self._table = table
        self._pairs = PairDataset(table, processor.pixels, seed=seed, train=is_training, near=processor.image_size)
        self.batch_fn = PairCollator(processor.tokenize, table)
        super().__init__(str(table.catalogue.path), is_training=is_training)

    def readlines_from_file(self, data_file: str, skip_first_line: bool | None = None) -> Any:
        """The indexed table in place of a list of lines."""
        return self._table

    @property
    def table(self) -> PairTable:
        """The checked rows."""
        return self._table

    @property
    def pairs(self) -> PairDataset:
        """The plain PyTorch dataset behind this one."""
        return self._pairs

    @property
    def label_enumerate_values(self) -> list[str]:
        """No labels: EasyNLP asks for them when it saves."""
        return []

    def __getitem__(self, item: SampleIndex | int) -> Sample | RowFailure:
        return self._pairs[item]
