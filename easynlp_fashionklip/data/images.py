"""Open pictures of any origin safely: every defect is an `InputError`, every result an upright RGB image."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from easynlp_fashionklip.data.image_headers import BrokenHeaderError, is_complete, picture_size
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.records import ImageReference

MIN_SIDE = 8
MAX_PIXELS = 100_000_000

Image.init()
# Raster formats that Pillow decodes itself; EPS, for one, would start Ghostscript. JPEG includes MPO.
FORMATS = tuple(
    name
    for name in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "JPEG2000", "PPM", "AVIF")
    if name in Image.OPEN
)
_ORIENTATION = 0x0112
_SKIP_REMEDY = "replace the picture, or pass on_bad_row=skip to leave such rows out"
# What Pillow's decoders raise on damaged data, besides OSError: each plugin lets other errors through.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def _bad(ref: ImageReference, reason: str, remedy: str = _SKIP_REMEDY) -> InputError:
    return InputError(f"{ref.origin}: {reason}; {remedy}.")


def _open_file(ref: ImageReference) -> BinaryIO:
    if ref.encoded is not None:
        return io.BytesIO(ref.encoded)
    if ref.path is None:
        raise _bad(ref, "it names no picture", "give a path or base64")
    try:
        return ref.path.open("rb")
    except FileNotFoundError as error:
        remedy = "correct the path (it is taken relative to the table's folder), or pass on_bad_row=skip"
        raise _bad(ref, f"the picture {ref.path} does not exist", remedy) from error
    except OSError as error:
        raise _bad(ref, f"the picture {ref.path} cannot be opened ({error.strerror or error})") from error


@contextmanager
def _opened(ref: ImageReference) -> Iterator[BinaryIO]:
    """The picture's bytes, known not to be empty; failures while they are read become InputErrors."""
    with _open_file(ref) as file:
        try:
            if not file.read(1):
                raise _bad(ref, "the picture's file is empty")
            file.seek(0)
            yield file
        except InputError:
            raise
        except BrokenHeaderError as error:
            raise _bad(ref, f"the picture cannot be read: {error}") from error
        except UnidentifiedImageError as error:
            raise _bad(ref, "this is not a picture (JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF)") from error
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise _bad(ref, "the picture has far too many pixels", "make it smaller") from error
        except _DECODER_ERRORS as error:
            raise _bad(ref, f"the picture is damaged or truncated ({error})") from error


def _refuse_size(ref: ImageReference, size: tuple[int, int], min_side: int, max_pixels: int) -> None:
    width, height = size
    if min(size) < min_side:
        raise _bad(ref, f"the picture is {width} x {height} pixels, smaller than {min_side} on a side")
    if width * height > max_pixels:
        reason = f"the picture is {width} x {height} pixels, more than the {max_pixels:,} allowed"
        raise _bad(ref, reason, "make it smaller")


def _identify(ref: ImageReference, file: BinaryIO, min_side: int, max_pixels: int) -> Image.Image:
    # The size of JPEG and PNG is checked before Pillow sees the file, which would warn about big ones on its own.
    size = picture_size(file)
    if size is not None:
        _refuse_size(ref, size, min_side, max_pixels)
    file.seek(0)
    image = Image.open(file, formats=FORMATS)
    _refuse_size(ref, image.size, min_side, max_pixels)
    return image


def _upright(image: Image.Image) -> Image.Image:
    """Turn the picture as its EXIF orientation says; a damaged EXIF block leaves it as stored."""
    try:
        if image.getexif().get(_ORIENTATION, 1) == 1:
            return image
        return ImageOps.exif_transpose(image)
    except _DECODER_ERRORS:
        return image


def _eight_bit(image: Image.Image) -> Image.Image:
    """Scale 16-bit, 32-bit and float grey to 8 bits; Pillow's own conversion clips instead."""
    values = np.asarray(image).astype(np.float32)
    if image.mode == "F":
        high = float(values.max(initial=0.0))
        scale = 255.0 if high <= 1.0 else 1.0 if high <= 255.0 else 255.0 / 65535.0
    else:
        scale = 255.0 / 65535.0
    return Image.fromarray(np.clip(np.rint(values * scale), 0, 255).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    """Composite transparency onto white, the ground of a packshot."""
    layer = image.convert("RGBA")
    ground = Image.new("RGBA", layer.size, (255, 255, 255, 255))
    return Image.alpha_composite(ground, layer).convert("RGB")


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a decoded image of any mode (grey, palette, CMYK, alpha, 16 bits) to RGB."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _eight_bit(image).convert("RGB")
    if image.has_transparency_data:
        return _on_white(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def open_image(
    ref: ImageReference, *, near: int | None = None, min_side: int = MIN_SIDE, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """Decode a picture into an upright RGB image, the first frame of an animated one.

    Args:
        ref: where the picture is.
        near: the side in pixels that it will be scaled to; lets a big JPEG be decoded at 1/2, 1/4 or 1/8 of its size,
            never below twice `near`.
        min_side: smallest width and height accepted.
        max_pixels: largest width x height accepted, looked up in the header before anything is decoded.

    Raises:
        InputError: missing, empty, not a picture, truncated, too small or too large.
    """
    with _opened(ref) as file, _identify(ref, file, min_side, max_pixels) as image:
        if near is not None and image.format in ("JPEG", "MPO"):
            image.draft(None, (2 * near, 2 * near))
        image.load()
        result = to_rgb(_upright(image))
        # A copy lets go of the file; a conversion already has.
        return result.copy() if result is image else result


def read_bytes(ref: ImageReference) -> bytes:
    """The bytes of a picture's file as they are.

    Raises:
        InputError: the file is missing, empty or cannot be read.
    """
    if ref.encoded is not None:
        return ref.encoded
    with _opened(ref) as file:
        return file.read()


def describe_image(ref: ImageReference) -> tuple[str, tuple[int, int]]:
    """Format ("JPEG", "PNG", ...), width and height of a picture, from its header.

    Raises:
        InputError: as `open_image`.
    """
    with _opened(ref) as file, _identify(ref, file, 1, MAX_PIXELS) as image:
        return image.format or "", image.size


def check_image(
    ref: ImageReference, *, decode: bool = False, min_side: int = MIN_SIDE, max_pixels: int = MAX_PIXELS
) -> None:
    """Find out whether a picture can be used.

    Without `decode` only the header and the end-of-file marker are read (JPEG, PNG) or the file is identified (others).

    Raises:
        InputError: as `open_image`.
    """
    with _opened(ref) as file:
        size = picture_size(file)
        if size is None:
            _identify(ref, file, min_side, max_pixels)
        else:
            _refuse_size(ref, size, min_side, max_pixels)
            if not is_complete(file):
                raise _bad(ref, "the picture is truncated (its end marker is missing)")
    if decode:
        open_image(ref, min_side=min_side, max_pixels=max_pixels)
