"""EasyNLP's predictor: text and image embeddings as `text_feat` / `image_feat` columns, or as an .npz file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from easynlp_fashionklip.app.compat import Predictor
from easynlp_fashionklip.data.collate import PairCollator
from easynlp_fashionklip.data.dataset import Batch, PairDataset, iterate_batches
from easynlp_fashionklip.data.image_reference import image_reference
from easynlp_fashionklip.data.images import open_image
from easynlp_fashionklip.data.loader import build_loader
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.data.samplers import ShardedSequentialSampler
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.inference.encode import evaluating, model_device
from easynlp_fashionklip.models.dual_encoder import DualEncoder

TEXT_FEAT, IMAGE_FEAT = "text_feat", "image_feat"
TEXTS = "texts"
SEPARATORS = {"comma": ",", "space": " ", "tab": "\t"}


class FashionKLIPPredictor(Predictor):
    """Embeds records: `run([{"text": ..., "image": ...}, ...])` as EasyNLP calls it, or batches with their texts.

    Args:
        encoder: the dual encoder.
        text: key of the text in a record, or None.
        image: key of the picture (path or base64) in a record, or None.
        separator: between the numbers of an embedding; EasyNLP's own `clip` app writes tabs.
    """

    def __init__(
        self, encoder: DualEncoder, text: str | None = None, image: str | None = None, separator: str = ","
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.text = text
        self.image = image
        self.separator = separator

    def preprocess(self, in_data: Sequence[Mapping[str, str]]) -> Batch:
        """Records -> `pixel_values` (B x 3 x H x W) and/or `input_ids`, `attention_mask` (B x L) and `texts` (B)."""
        processor, images, texts = self.encoder.processor, None, None
        if self.text is not None:
            texts = [record[self.text] for record in in_data]
        if self.image is not None:
            references = [
                image_reference(record[self.image], Path("."), f"record {number}")
                for number, record in enumerate(in_data)
            ]
            images = [open_image(reference, near=processor.image_size) for reference in references]
        batch: Batch = processor(images=images, texts=texts)
        return batch if texts is None else {**batch, TEXTS: texts}

    def predict(self, in_data: Batch) -> dict[str, np.ndarray]:
        """A batch -> `text_feat` and/or `image_feat`, float32 (B, d) of unit vectors.

        A model that knows concepts looks for them in the batch's `texts`.
        """
        device = model_device(self.encoder)
        outputs: dict[str, np.ndarray] = {}
        with evaluating(self.encoder):
            if "input_ids" in in_data:
                ids, mask = in_data["input_ids"].to(device), in_data["attention_mask"].to(device)
                outputs[TEXT_FEAT] = _numpy(self.encoder.encode_text(ids, mask))
                concepts = self.encoder.concepts
                if concepts is not None and TEXTS not in in_data:
                    raise ValueError(f"a model that knows concepts needs the texts of a batch, under {TEXTS!r}")
                if concepts is not None:
                    outputs[TEXT_FEAT] = concepts.enrich(outputs[TEXT_FEAT], concepts.mentions(in_data[TEXTS]))
            if "pixel_values" in in_data:
                outputs[IMAGE_FEAT] = _numpy(self.encoder.encode_image(in_data["pixel_values"].to(device)))
        return outputs

    def postprocess(self, result: Mapping[str, np.ndarray]) -> list[dict[str, str]]:
        """Embeddings -> one dictionary of written numbers per record."""
        rows = len(next(iter(result.values())))
        return [{name: self._written(embeds[row]) for name, embeds in result.items()} for row in range(rows)]

    def _written(self, vector: np.ndarray) -> str:
        return self.separator.join(f"{value:.7g}" for value in vector)


def _numpy(embeds: torch.Tensor) -> np.ndarray:
    array: np.ndarray = embeds.float().cpu().numpy()
    return array


def predict_table(
    predictor: FashionKLIPPredictor,
    table: PairTable,
    output: Path,
    *,
    append_cols: Sequence[str] = (),
    output_schema: Sequence[str] = (),
    batch_size: int = 128,
    workers: int = -1,
) -> int:
    """Write the embeddings of a table's rows, in order, to a TSV without header, or to an .npz; returns the row count.

    The file appears whole or not at all.

    Raises:
        InputError: an unknown column, an unreadable row, or a place that cannot be written.
    """
    available = [name for name, column in _features(table) if column]
    chosen = list(output_schema) or available
    _require(chosen, available, "--output_schema", "name --first_sequence (text) or --second_sequence (image) for it")
    _require(append_cols, table.catalogue.columns, "--append_cols", f"{table.catalogue.path} has no such column")
    writer = NpzWriter if output.suffix == ".npz" else TsvWriter
    temporary = output.with_name(output.name + ".part")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with writer(temporary) as write, tqdm(total=len(table), desc="predicting", unit="row", disable=None) as bar:
            for batch in iterate_batches(_loader(predictor.encoder, table, batch_size, workers)):
                cells = [table.cells(row) for row in batch["rows"].tolist()]
                embeds = predictor.predict({**batch, TEXTS: [table.text_of(one) for one in cells]})
                extra = {name: [cell[name] for cell in cells] for name in append_cols}
                write(predictor, {name: embeds[name] for name in chosen}, extra)
                bar.update(len(cells))
        os.replace(temporary, output)
    except OSError as error:
        raise InputError(f"cannot write {output} ({error.strerror}); give another --outputs.") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return len(table)


def _features(table: PairTable) -> list[tuple[str, str | None]]:
    return [(TEXT_FEAT, table.text_column), (IMAGE_FEAT, table.image_column)]


def _require(asked: Sequence[str], known: Sequence[str], flag: str, remedy: str) -> None:
    for name in asked:
        if name not in known:
            raise InputError(f"{flag}: {name!r} is not one of {', '.join(known)}; {remedy}.")


def _loader(encoder: DualEncoder, table: PairTable, batch_size: int, workers: int) -> Any:
    dataset = PairDataset(table, encoder.processor.pixels, near=encoder.processor.image_size)
    collate = PairCollator(encoder.processor.tokenize, table)
    return build_loader(dataset, ShardedSequentialSampler(len(table), batch_size), collate, workers=workers)


class TsvWriter(AbstractContextManager[Any]):
    """Rows of tab-separated columns; tabs and line breaks inside appended cells become blanks."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")

    def __enter__(self) -> Any:
        return self._write

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _write(
        self, predictor: FashionKLIPPredictor, embeds: Mapping[str, np.ndarray], extra: Mapping[str, Sequence[str]]
    ) -> None:
        for number, features in enumerate(predictor.postprocess(embeds)):
            cells = [*features.values(), *(" ".join(values[number].split()) for values in extra.values())]
            self._file.write("\t".join(cells) + "\n")


class NpzWriter(AbstractContextManager[Any]):
    """Arrays of all rows: float32 (N, d) per feature, text (N,) per appended column."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._parts: dict[str, list[np.ndarray]] = {}

    def __enter__(self) -> Any:
        return self._write

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            with self._path.open("wb") as file:
                np.savez(
                    file,
                    **{  # type: ignore[arg-type]
                        name: np.concatenate(parts) for name, parts in self._parts.items()
                    },
                )

    def _write(
        self, predictor: FashionKLIPPredictor, embeds: Mapping[str, np.ndarray], extra: Mapping[str, Sequence[str]]
    ) -> None:
        for name, part in {**embeds, **{name: np.array(values) for name, values in extra.items()}}.items():
            self._parts.setdefault(name, []).append(part)
