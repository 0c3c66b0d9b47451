"""Opening pictures: every bad kind is one sentence, every good kind the right RGB."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence

from easynlp_fashionklip.data.image_reference import image_reference
from easynlp_fashionklip.data.images import check_image, open_image
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.records import ImageReference

ORIGIN = "train.csv, line 7, column 'image', value 'images/3.jpg'"
# But for the tables of other tests, which are closed when Python collects them, now perhaps.
NO_WARNINGS = pytest.mark.filterwarnings("error", r"ignore:unclosed file .*csv':ResourceWarning")


def file_of(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(width: int = 64, height: int = 48) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8))


def ref(data: bytes) -> ImageReference:
    return ImageReference(ORIGIN, encoded=data)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to no pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 10)) + chunk(b"IEND", b"")


JPEG = file_of(noise(), "JPEG")
PNG = file_of(noise(), "PNG")
HALF_WEBP = file_of(noise(), "WEBP")[:600]
HUGE_GIF = (
    b"GIF89a" + struct.pack("<HH", 30_000, 30_000) + b"\0\0\0" + b",\0\0\0\0" + struct.pack("<HH", 9, 9) + b"\0\x02\0;"
)

BAD = {
    "empty": (b"", "file is empty"),
    "text": (b"<html>404 not found</html>", "not a picture"),
    "truncated jpeg": (JPEG[: len(JPEG) // 2], "truncated"),
    "truncated jpeg header": (JPEG[:30], "truncated"),
    "jpeg without its end": (JPEG[:-2], "truncated"),
    "truncated png": (PNG[: len(PNG) // 2], "truncated"),
    "truncated png header": (PNG[:20], "truncated"),
    "1 x 1": (file_of(Image.new("RGB", (1, 1))), "1 x 1 pixels, smaller than 8"),
    "1 x 1 gif": (file_of(Image.new("P", (1, 1)), "GIF"), "1 x 1 pixels, smaller than 8"),
    "thin jpeg": (file_of(Image.new("RGB", (200, 4)), "JPEG"), "200 x 4 pixels, smaller than 8"),
    "png bomb": (png_header(30_000, 30_000), "30000 x 30000 pixels, more than the 100,000,000 allowed"),
    "gif bomb": (HUGE_GIF, "too many pixels"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 90 90\n", "not a picture"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_pictures_are_named_by_the_cheap_check(kind: str) -> None:
    data, words = BAD[kind]
    with pytest.raises(InputError) as caught:
        check_image(ref(data), decode=False)
    assert str(caught.value).startswith(ORIGIN) and words in str(caught.value)
    assert str(caught.value).endswith(".") and ";" in str(caught.value)


@pytest.mark.parametrize("kind", [kind for kind in BAD if kind != "jpeg without its end"])
@NO_WARNINGS
def test_bad_pictures_do_not_open(kind: str) -> None:
    with pytest.raises(InputError, match="line 7") as caught:
        open_image(ref(BAD[kind][0]))
    assert str(caught.value).startswith(ORIGIN)


@NO_WARNINGS
def test_a_picture_that_pillow_would_warn_about_is_refused_without_the_warning() -> None:
    with pytest.raises(InputError, match="12000 x 11000 pixels"):
        open_image(ref(png_header(12_000, 11_000)))


def test_damage_inside_is_found_by_decoding_only() -> None:
    damaged = file_of(noise(), "PNG")
    middle = len(damaged) // 2
    damaged = damaged[:middle] + bytes(40) + damaged[middle + 40 :]
    check_image(ref(damaged), decode=False)
    with pytest.raises(InputError, match="damaged or truncated"):
        check_image(ref(damaged), decode=True)


def test_truncated_webp_is_found_by_decoding() -> None:
    with pytest.raises(InputError, match="line 7"):
        check_image(ref(HALF_WEBP), decode=True)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "no.jpg", "does not exist"), (tmp_path, "cannot be opened")):
        reference = ImageReference(ORIGIN, path=path)
        for action in (open_image, check_image):
            with pytest.raises(InputError, match=words):
                action(reference)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=120, deadline=None, derandomize=True, database=None)
@given(
    source=st.sampled_from([JPEG, PNG, file_of(noise(), "WEBP"), file_of(noise(), "GIF"), file_of(noise(), "TIFF")]),
    place=st.floats(0, 1, exclude_max=True),
    junk=st.binary(min_size=1, max_size=12),
)
def test_any_damage_gives_an_rgb_image_or_an_input_error(source: bytes, place: float, junk: bytes) -> None:
    at = int(place * len(source))
    data = source[:at] + junk + source[at + len(junk) :]
    try:
        check_image(ref(data))
        image = open_image(ref(data))
    except InputError:
        return
    assert image.mode == "RGB" and min(image.size) >= 8


RED = (255, 0, 0)


def pixel(data: bytes, at: tuple[int, int] = (8, 8)) -> tuple[int, ...]:
    check_image(ref(data), decode=True)
    image = open_image(ref(data))
    assert image.mode == "RGB"
    return tuple(int(value) for value in np.asarray(image)[at[1], at[0]])


def near(found: tuple[int, ...], expected: tuple[int, ...], tolerance: int = 6) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(found, expected, strict=True))


def test_cmyk_jpeg() -> None:
    assert near(pixel(file_of(Image.new("RGB", (16, 16), RED).convert("CMYK"), "JPEG")), RED)


def test_palette() -> None:
    assert pixel(file_of(Image.new("RGB", (16, 16), RED).convert("P", palette=Image.Palette.ADAPTIVE))) == RED


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_alpha_lies_on_white(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    half = Image.new("RGBA", (16, 16), (255, 0, 0, 128))
    half.paste((0, 0, 0, 0), (0, 0, 4, 4))
    data = file_of(half, kind, **options)
    assert near(pixel(data), (255, 127, 127), 1)
    assert pixel(data, (0, 0)) == (255, 255, 255)


def test_transparent_palette_entry_lies_on_white() -> None:
    image = Image.new("P", (16, 16), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.paste(1, (8, 0, 16, 16))
    data = file_of(image, "PNG", transparency=0)
    assert pixel(data, (0, 0)) == (255, 255, 255)
    assert pixel(data, (12, 0)) == RED


def test_grey_with_alpha_and_plain_grey_and_bilevel() -> None:
    assert pixel(file_of(Image.new("LA", (16, 16), (0, 0)))) == (255, 255, 255)
    assert pixel(file_of(Image.new("L", (16, 16), 90))) == (90, 90, 90)
    assert pixel(file_of(Image.new("1", (16, 16), 1))) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(kind: str) -> None:
    deep = Image.fromarray(np.full((16, 16), 257 * 100, dtype=np.uint16))
    assert pixel(file_of(deep, kind)) == (100, 100, 100)


def test_float_grey() -> None:
    data = file_of(Image.fromarray(np.full((16, 16), 0.2, dtype=np.float32)), "TIFF")
    assert pixel(data) == (51, 51, 51)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied(kind: str) -> None:
    image = Image.new("RGB", (32, 16), (0, 0, 0))
    image.paste((255, 255, 255), (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = 6
    opened = open_image(ref(file_of(image, kind, exif=exif.tobytes())))
    assert opened.size == (16, 32)
    assert np.asarray(opened)[4].mean() > 200 > 50 > np.asarray(opened)[28].mean()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_leaves_the_picture_as_stored() -> None:
    assert open_image(ref(file_of(noise(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"))).size == (64, 48)


def test_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, (0, 255, 0))]
    for kind in ("GIF", "WEBP", "PNG"):
        data = file_of(frames[0], kind, save_all=True, append_images=frames[1:])
        assert len(list(ImageSequence.Iterator(Image.open(io.BytesIO(data))))) == 2
        assert near(pixel(data), RED)


def test_near_decodes_a_fraction_but_at_least_twice_the_target() -> None:
    big = file_of(Image.new("RGB", (1200, 800), RED), "JPEG")
    assert open_image(ref(big), near=100).size == (300, 200)
    assert open_image(ref(big), near=101).size == (600, 400)
    assert open_image(ref(big), near=500).size == (1200, 800)
    assert open_image(ref(big)).size == (1200, 800)
    assert open_image(ref(file_of(Image.new("CMYK", (1200, 800)), "JPEG")), near=100).size == (300, 200)


def test_bytes_after_the_end_marker_are_no_truncation() -> None:
    for data in (JPEG, PNG):
        check_image(ref(data + b"trailer" * 2000), decode=True)


def test_an_end_marker_in_the_thumbnail_does_not_hide_truncation() -> None:
    thumbnail = b"\xff\xd8" + b"\0" * 50 + b"\xff\xd9"
    data = file_of(noise(), "JPEG", comment=thumbnail)
    with pytest.raises(InputError, match="end marker"):
        check_image(ref(data[: len(data) * 2 // 3]))


@pytest.mark.parametrize("data", [JPEG, PNG, file_of(noise(), "WEBP"), file_of(noise(), "GIF")])
@pytest.mark.parametrize(
    "encode",
    [
        lambda data: base64.b64encode(data).decode(),
        lambda data: base64.urlsafe_b64encode(data).decode(),
        lambda data: base64.urlsafe_b64encode(data).decode().rstrip("="),
        lambda data: base64.encodebytes(data).decode(),
        lambda data: "data:image/jpeg;base64," + base64.b64encode(data).decode(),
    ],
    ids=["standard", "urlsafe", "unpadded", "lines", "data-url"],
)
def test_base64_of_any_dialect(data: bytes, encode: object, tmp_path: Path) -> None:
    reference = image_reference(encode(data), tmp_path, "a.tsv, line 1, column 'image'")  # type: ignore[operator]
    assert reference.encoded == data and reference.path is None
    assert "value '" in reference.origin and "base64" in reference.origin and len(reference.origin) < 120


@pytest.mark.parametrize(
    "value", ["images/1.jpg", "/9j/pictures/shop/2024/season/dress/1.jpg", "9", "UklGR", " a b.png "]
)
def test_paths_are_relative_to_the_folder(value: str, tmp_path: Path) -> None:
    reference = image_reference(value, tmp_path, "a.csv, line 2, column 'image'")
    assert reference.path == tmp_path / value.strip() and reference.encoded is None
    assert reference.origin == f"a.csv, line 2, column 'image', value {value.strip()!r}"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "cell is empty"),
        ("  ", "cell is empty"),
        ("https://shop.example/1.jpg", "web addresses are not fetched"),
        ("a\0b.jpg", "NUL"),
        (base64.b64encode(JPEG).decode()[:1500] + "*", "not valid base64"),
        ("data:image/png;base64,@@@@", "not valid base64"),
        (base64.b64encode(JPEG).decode()[:1501], "not valid base64"),
    ],
)
def test_bad_picture_cells(value: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words) as caught:
        image_reference(value, tmp_path, "a.tsv, line 3, column 'image'")
    assert str(caught.value).startswith("a.tsv, line 3, column 'image'") and len(str(caught.value)) < 300
