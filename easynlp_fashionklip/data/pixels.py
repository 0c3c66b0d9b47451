"""Pictures that a format keeps as pixels, as the bytes of a picture file: everything else takes those."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

_PPM_START = b"P6\n"


def encode_pixels(pixels: np.ndarray) -> bytes:
    """uint8 H x W x 3 as a PPM file: a line of size and the bytes as they are, so that nothing is compressed."""
    height, width, channels = pixels.shape
    if pixels.dtype != np.uint8 or channels != 3:
        raise ValueError(f"pixels of {pixels.dtype} and shape {pixels.shape}")
    return _PPM_START + f"{width} {height}\n255\n".encode() + np.ascontiguousarray(pixels).tobytes()


def is_raw(content: bytes) -> bool:
    """Whether a picture's bytes are those of `encode_pixels`."""
    return content.startswith(_PPM_START)


def as_png(content: bytes) -> bytes:
    """The same pixels as PNG, for files that are kept."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(content), formats=("PPM",)) as image:
        image.save(buffer, "PNG")
    return buffer.getvalue()
