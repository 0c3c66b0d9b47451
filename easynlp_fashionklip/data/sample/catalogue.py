"""Writes the sample catalogue: pictures, captions in three splits, and the truth beside them."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL.Image import Image as Picture
from tqdm import tqdm

from easynlp_fashionklip.data.sample.attributes import Attributes, draw_attributes
from easynlp_fashionklip.data.sample.captions import Caption, write_caption
from easynlp_fashionklip.data.sample.draw import draw_product
from easynlp_fashionklip.data.sample.truth import concept_frequencies, concepts_of, is_a_edges, queries_of
from easynlp_fashionklip.errors import InputError

COLUMNS = ("product_id", "image", "caption", "title", "category", "colour", "pattern", "gender")
SPLITS = ("train", "valid", "test")
LEAST_PRODUCTS, MOST_PRODUCTS = 30, 100_000
LEAST_IMAGE_SIZE, MOST_IMAGE_SIZE = 32, 1024
LEAST_HELD_OUT = 10
JPEG_QUALITY = 88


@dataclass(frozen=True)
class SampleSummary:
    """What was written: where, how many products in each split, and the size of the true concept hierarchy."""

    out_dir: Path
    products: int
    train: int
    valid: int
    test: int
    concepts: int
    is_a: int


@dataclass(frozen=True)
class Product:
    """One product before it is drawn. `lot` decides its split; `rng` goes on to draw its picture."""

    product_id: str
    attributes: Attributes
    caption: Caption
    lot: float
    rng: np.random.Generator

    @property
    def image(self) -> str:
        """Where its picture is, relative to the catalogue's folder."""
        return f"images/{self.product_id}.jpg"


def write_sample_catalogue(out_dir: Path, products: int = 2000, seed: int = 0, image_size: int = 160) -> SampleSummary:
    """Draw `products` products and write them with captions, splits, true concepts and queries into `out_dir`.

    Product i depends on (seed, i) alone, so that a larger catalogue begins with the smaller one's products; which
    split it falls into also depends on how many there are. The folder appears complete or not at all.

    Raises:
        InputError: a number is out of range, or `out_dir` is a file, is not empty or cannot be written.
    """
    out_dir = Path(out_dir)
    _check_numbers(products, seed, image_size)
    with _new_directory(out_dir) as folder:
        made = [make_product(seed, position) for position in range(products)]
        by_split = _split(made)
        _write_images(folder, made, image_size)
        for split, members in by_split.items():
            _write_text(folder / f"{split}.csv", _csv_text(members))
        for split in ("valid", "test"):
            _write_jsonl(folder / f"{split}_queries.jsonl", _query_records(split, by_split[split]))
        frequencies = concept_frequencies(product.caption.phrases for product in made)
        edges = is_a_edges(frequencies)
        _write_jsonl(
            folder / "concepts.jsonl",
            (
                {"phrase": concept.text, "head": concept.head, "frequency": count}
                for concept, count in frequencies.items()
            ),
        )
        _write_jsonl(folder / "is_a.jsonl", ({"child": child, "parent": parent} for child, parent in edges))
        _write_jsonl(folder / "truth.jsonl", _truth_records(made, by_split))
    sizes = {split: len(members) for split, members in by_split.items()}
    return SampleSummary(out_dir, products, **sizes, concepts=len(frequencies), is_a=len(edges))


def make_product(seed: int, position: int) -> Product:
    """Product number `position` of the catalogue with this seed, all but its picture."""
    rng = np.random.default_rng((seed, position))
    lot = float(rng.random())
    attributes = draw_attributes(rng)
    return Product(f"s{position:06d}", attributes, write_caption(attributes, rng), lot, rng)


def _check_numbers(products: int, seed: int, image_size: int) -> None:
    for name, value, least, most in (
        ("products", products, LEAST_PRODUCTS, MOST_PRODUCTS),
        ("image_size", image_size, LEAST_IMAGE_SIZE, MOST_IMAGE_SIZE),
        ("seed", seed, 0, 2**32 - 1),
    ):
        if not least <= value <= most:
            raise InputError(f"The sample catalogue's {name} is {value}: give a number from {least} to {most}.")


@contextmanager
def _new_directory(out_dir: Path) -> Iterator[Path]:
    """A temporary folder beside `out_dir` that takes its name at the end, or is removed if anything goes wrong."""
    _check_free(out_dir)
    temporary = out_dir.absolute().with_name(f".{out_dir.absolute().name}.writing-{os.getpid()}")
    try:
        (temporary / "images").mkdir(parents=True)
        yield temporary
        if out_dir.exists():
            out_dir.rmdir()
        temporary.rename(out_dir)
    except OSError as error:
        raise InputError(
            f"The sample catalogue cannot be written to {out_dir} ({error.strerror or error}): choose another folder."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_free(out_dir: Path) -> None:
    if out_dir.exists() and not out_dir.is_dir():
        raise InputError(f"{out_dir} is a file: the sample catalogue needs a new or empty folder.")
    if out_dir.is_dir() and any(out_dir.iterdir()):
        raise InputError(f"{out_dir} is not empty: give the sample catalogue a new or empty folder, or empty this one.")


def _split(products: Sequence[Product]) -> dict[str, list[Product]]:
    """The products of each split, 80/10/10 but at least ten held out each, in the catalogue's order."""
    held_out = max(LEAST_HELD_OUT, len(products) // 10)
    drawn = sorted(products, key=lambda product: (product.lot, product.product_id))
    parts = {"train": drawn[2 * held_out :], "valid": drawn[:held_out], "test": drawn[held_out : 2 * held_out]}
    return {split: sorted(parts[split], key=lambda product: product.product_id) for split in SPLITS}


def _write_images(folder: Path, products: Sequence[Product], image_size: int) -> None:
    for product in tqdm(products, desc="Drawing the sample catalogue", unit="product"):
        rendering = draw_product(product.attributes, product.rng, image_size)
        (folder / product.image).write_bytes(_jpeg(rendering.image))


def _jpeg(picture: Picture) -> bytes:
    encoded = io.BytesIO()
    picture.save(encoded, format="JPEG", quality=JPEG_QUALITY)
    return encoded.getvalue()


def _csv_text(products: Iterable[Product]) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for product in products:
        told = product.attributes
        rows.writerow(
            (product.product_id, product.image, product.caption.text, product.caption.title,
             told.category, told.colour, told.pattern, told.gender)
        )  # fmt: skip
    return text.getvalue()


def _query_records(split: str, products: Sequence[Product]) -> Iterator[dict[str, object]]:
    queries = queries_of([(product.product_id, product.attributes) for product in products])
    for number, query in enumerate(queries):
        yield {
            "query_id": f"{split}-{number:04d}",
            "query_text": query.text,
            "kind": query.kind,
            "item_ids": list(query.item_ids),
        }


def _truth_records(products: Iterable[Product], by_split: dict[str, list[Product]]) -> Iterator[dict[str, object]]:
    split_of = {product.product_id: split for split, members in by_split.items() for product in members}
    for product in products:
        phrases = product.caption.phrases
        yield {
            "product_id": product.product_id,
            "split": split_of[product.product_id],
            "attributes": asdict(product.attributes),
            "phrases": [phrase.text for phrase in phrases],
            "concepts": [concept.text for concept in concepts_of(phrases)],
        }


def _write_jsonl(path: Path, records: Iterable[dict[str, object]]) -> None:
    _write_text(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
