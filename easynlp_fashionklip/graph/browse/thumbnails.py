"""Small JPEGs of the prototypes for the page, as many as its size allows."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import zip_longest

from PIL import Image
from tqdm import tqdm

from easynlp_fashionklip.graph.prototype_pictures import PrototypePictures

SIDE = 96
_QUALITY = 72
_AT_ONCE = 64


@dataclass
class Thumbnails:
    """Base64 of a JPEG by image id; `left_out` counts the pictures for which there was no room."""

    encoded: dict[str, str] = field(default_factory=dict)
    left_out: int = 0


def thumbnails(wanted: Sequence[str], pictures: PrototypePictures, max_bytes: int) -> Thumbnails:
    """Embed the pictures in the order given until their base64 takes `max_bytes`.

    Args:
        wanted: distinct image ids; those that the catalogue lacks and those that cannot be read are passed over.
        pictures: opens them.
        max_bytes: most characters of base64 in all.
    """
    result, size = Thumbnails(), 0
    known = [image_id for image_id in wanted if image_id in pictures]
    with ThreadPoolExecutor() as pool, tqdm(total=len(known), desc="pictures", unit="picture", disable=None) as bar:
        for some in _in_batches(known):
            encoded = pool.map(lambda image_id: _thumbnail(pictures, image_id), some)
            for image_id, one in zip(some, encoded, strict=True):
                bar.update()
                if one is not None and size + len(one) > max_bytes:
                    result.left_out = len(known) - known.index(image_id)
                    return result
                if one is not None:
                    result.encoded[image_id] = one
                    size += len(one)
    return result


def by_rank(image_ids: Sequence[Sequence[str]]) -> list[str]:
    """Distinct image ids of several concepts: the first of each concept, then the second of each, ..."""
    return list(dict.fromkeys(one for rank in zip_longest(*image_ids) for one in rank if one is not None))


def _in_batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE))


def _thumbnail(pictures: PrototypePictures, image_id: str) -> str | None:
    image = pictures.open(image_id, near=SIDE)
    if image is None:
        return None
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_QUALITY, optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii")
