"""Pictures and texts to tensors: against hand computation and transformers' own processors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.byte_tokenizer import BOS_ID, EOS_ID, byte_tokenizer
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.processor import ImagePreprocessing, Processor

ZERO, ONE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def make(
    size: int = 32, mode: str = "crop", *, mean: tuple[float, ...] = ZERO, std: tuple[float, ...] = ONE, **settings: Any
) -> Processor:
    return Processor(ImagePreprocessing(size, mean, std, mode, **settings), byte_tokenizer(24), 24)


def two_halves(width: int, height: int) -> Image.Image:
    """Left half red, right half blue."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[:, : width // 2, 0] = 255
    pixels[:, width // 2 :, 2] = 255
    return Image.fromarray(pixels)


@pytest.mark.parametrize("shape", [(40, 60), (97, 33), (32, 32), (20, 21)])
@pytest.mark.parametrize("shortest_edge", [0, 40])
def test_crop_equals_transformers(shape: tuple[int, int], shortest_edge: int) -> None:
    module = pytest.importorskip("transformers.models.clip.image_processing_pil_clip")
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    preprocessing = ImagePreprocessing(32, shortest_edge=shortest_edge)
    theirs = module.CLIPImageProcessorPil(**preprocessing.to_dict())
    found = Processor(preprocessing, byte_tokenizer(8), 8).transform(Image.fromarray(pixels))
    wanted = theirs(Image.fromarray(pixels), return_tensors="pt")["pixel_values"][0]
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


def test_normalisation_by_hand() -> None:
    picture = Image.new("RGB", (50, 30), (255, 0, 51))
    values = make(16, mean=(0.5, 0.25, 0.0), std=(0.5, 0.5, 0.1)).transform(picture)
    assert values.shape == (3, 16, 16)
    assert values.dtype == torch.float32
    for channel, wanted in enumerate([1.0, -0.5, 2.0]):
        torch.testing.assert_close(values[channel], torch.full((16, 16), wanted))


def test_crop_keeps_the_centre() -> None:
    values = make(10).transform(two_halves(30, 10))
    assert values[0, :, :4].min() > 0.9
    assert values[2, :, 6:].min() > 0.9


def test_pad_keeps_the_whole_picture_on_white() -> None:
    values = make(30, "pad").transform(Image.new("RGB", (10, 30), (0, 0, 0)))
    dark = (values.sum(dim=0) < 1.5).nonzero()
    assert (values[:, :, :9] == 1).all()
    assert (values[:, :, 21:] == 1).all()
    assert dark[:, 0].unique().tolist() == list(range(30))
    assert dark[:, 1].unique().tolist() == list(range(10, 20))


def test_squash_keeps_the_whole_picture_without_ground() -> None:
    values = make(20, "squash").transform(two_halves(60, 20))
    assert values[0, :, :8].min() > 0.99
    assert values[2, :, 12:].min() > 0.99


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_pictures_of_other_modes_are_taken(mode: str) -> None:
    assert make(8).transform(Image.new(mode, (9, 9))).shape == (3, 8, 8)


@pytest.mark.parametrize("size", [(1, 400), (400, 1), (1, 1)])
@pytest.mark.parametrize("mode", ["crop", "pad", "squash"])
@pytest.mark.parametrize("train", [False, True])
def test_extreme_shapes_are_taken(mode: str, size: tuple[int, int], train: bool) -> None:
    values = make(16, mode).transform(Image.new("RGB", size), train=train, rng=np.random.default_rng(0))
    assert values.shape == (3, 16, 16)


def test_training_follows_the_generator() -> None:
    picture = two_halves(48, 64)
    processor = make(32, "pad")
    first, again, other = (
        processor.transform(picture, train=True, rng=np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    with pytest.raises(ValueError, match="numpy generator"):
        processor.transform(picture, train=True)


@pytest.mark.parametrize(
    ("mode", "size"), [("crop", (64, 64)), ("pad", (64, 64)), ("squash", (64, 64)), ("squash", (200, 20))]
)
def test_training_flips_half_and_keeps_60_percent(mode: str, size: tuple[int, int]) -> None:
    # Each pixel holds its own position, so that the corners tell which part was cut out and whether it was flipped.
    width, height = size
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    picture = Image.fromarray(np.stack([x, y, x], axis=-1).round().astype(np.uint8))
    processor, rng = make(32, mode), np.random.default_rng(0)
    flips, areas = 0, []
    for _ in range(200):
        values = processor.transform(picture, train=True, rng=rng)
        across, down = values[0, 16, -1] - values[0, 16, 0], values[1, -1, 16] - values[1, 0, 16]
        flips += across.item() < 0
        areas.append(abs(across.item()) * down.item())
    assert 70 < flips < 130
    assert min(areas) > 0.5
    assert np.mean(areas) == pytest.approx(0.78, abs=0.05)


def test_end_token_survives_truncation() -> None:
    processor = make()
    tokens = processor.tokenize(["x" * 500, "ab"])
    assert tokens["input_ids"].shape == (2, 24)
    assert tokens["input_ids"][0, 0] == BOS_ID
    assert tokens["input_ids"][0, -1] == EOS_ID
    assert (tokens["input_ids"][0] == EOS_ID).sum() == 1
    assert tokens["attention_mask"].sum(dim=1).tolist() == [24, 4]


def test_texts_are_padded_to_the_longest() -> None:
    tokens = make().tokenize(["abc", "a"])
    assert tokens.keys() == {"input_ids", "attention_mask"}
    assert tokens["input_ids"].shape == (2, 5)
    assert tokens["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]


def test_call_gives_what_was_asked_for(pictures: list[Image.Image]) -> None:
    processor = make()
    assert processor(images=pictures).keys() == {"pixel_values"}
    assert processor(texts=["a"]).keys() == {"input_ids", "attention_mask"}
    both = processor(images=pictures, texts=["a", "b", "c"])
    assert both["pixel_values"].shape == (3, 3, 32, 32)
    assert both["input_ids"].shape == (3, 3)


def test_nothing_gives_empty_tensors() -> None:
    empty = make()(images=[], texts=[])
    assert empty["pixel_values"].shape == (0, 3, 32, 32)
    assert empty["input_ids"].shape == (0, 0)


@pytest.mark.parametrize(
    "preprocessing",
    [
        ImagePreprocessing(32),
        ImagePreprocessing(32, shortest_edge=40),
        ImagePreprocessing(48, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "pad"),
        ImagePreprocessing(48, resize_mode="squash", resample=2),
    ],
)
def test_preprocessing_comes_back(preprocessing: ImagePreprocessing) -> None:
    again = ImagePreprocessing.from_dict(json.loads(json.dumps(preprocessing.to_dict())))
    assert again.to_dict() == preprocessing.to_dict()


@pytest.mark.parametrize(
    ("content", "size", "mode", "edge"),
    [
        ({"size": 224, "do_center_crop": True, "crop_size": 224}, 224, "crop", 224),
        ({"size": 224, "feature_extractor_type": "CLIPFeatureExtractor"}, 224, "crop", 224),
        ({"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}}, 224, "crop", 256),
        ({"size": {"shortest_edge": 336}, "do_center_crop": True}, 336, "crop", 336),
        ({"size": 224, "feature_extractor_type": "ViTFeatureExtractor"}, 224, "squash", 0),
        ({"size": {"height": 224, "width": 224}, "image_processor_type": "ViTImageProcessor"}, 224, "squash", 0),
        ({"size": {"height": 64, "width": 64}, "resize_mode": "pad", "do_center_crop": False}, 64, "pad", 0),
    ],
)
def test_forms_of_size_that_exist(content: dict[str, Any], size: int, mode: str, edge: int) -> None:
    found = ImagePreprocessing.from_dict(content)
    assert (found.image_size, found.resize_mode, found.shortest_edge) == (size, mode, edge)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "size"),
        ({"size": {"height": 224, "width": 112}, "do_center_crop": False}, "not a square"),
        ({"size": {"height": 256, "width": 256}, "do_center_crop": True, "crop_size": 224}, "crops 224 px"),
        ({"size": "big"}, "big"),
        ({"size": 32, "resize_mode": "stretch"}, "'stretch' is not one of crop, pad, squash"),
    ],
)
def test_preprocessing_that_cannot_be_used_is_named(content: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"there.json does not say how to resize pictures .*{message}"):
        ImagePreprocessing.from_dict(content, origin="there.json")


def test_rescaling_of_other_checkpoints_is_honoured() -> None:
    # (x / 128 - 0.5) / 0.25 at x = 255, then x without rescaling or normalising.
    content = {"size": 8, "rescale_factor": 1 / 128, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    white = Image.new("RGB", (8, 8), (255, 255, 255))
    processor = Processor(ImagePreprocessing.from_dict(content), byte_tokenizer(8), 8)
    assert processor.transform(white)[0, 0, 0].item() == pytest.approx((255 / 128 - 0.5) / 0.25, rel=1e-5)
    raw = ImagePreprocessing.from_dict({"size": 8, "do_rescale": False, "do_normalize": False})
    assert Processor(raw, byte_tokenizer(8), 8).transform(white)[0, 0, 0].item() == pytest.approx(255, rel=1e-5)


def test_another_size_keeps_the_margin_of_the_crop() -> None:
    larger = ImagePreprocessing(224, shortest_edge=256).with_image_size(448)
    assert (larger.image_size, larger.shortest_edge) == (448, 512)
    assert ImagePreprocessing(224).with_image_size(448).shortest_edge == 0


def test_checkpoint_without_preprocessing_is_treated_as_clip(
    clip: DualEncoder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clip.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    processor = Processor.from_pretrained(tmp_path, image_size=32, max_length=77)
    assert processor.preprocessing == clip.processor.preprocessing
    assert "no preprocessor_config.json" in caplog.text


def test_combined_processor_config_is_read(clip: DualEncoder, tmp_path: Path) -> None:
    clip.save_pretrained(tmp_path)
    content = json.loads((tmp_path / "preprocessor_config.json").read_text()) | {
        "crop_size": {"height": 24, "width": 24}
    }
    (tmp_path / "preprocessor_config.json").unlink()
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": content}))
    assert Processor.from_pretrained(tmp_path, image_size=99, max_length=77).image_size == 24


def test_lower_limit_of_text_length_holds(clip: DualEncoder, tmp_path: Path) -> None:
    clip.processor.max_length = 40
    clip.processor.tokenizer.model_max_length = 40
    clip.save_pretrained(tmp_path)
    assert Processor.from_pretrained(tmp_path, image_size=32, max_length=77).max_length == 40
    assert Processor.from_pretrained(tmp_path, image_size=32, max_length=20).max_length == 20


def test_tokenizer_without_padding_is_refused() -> None:
    tokenizer = byte_tokenizer(8)
    tokenizer.pad_token = None
    with pytest.raises(InputError, match="no padding token"):
        Processor(ImagePreprocessing(8), tokenizer, 8)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("mode", ["crop", "pad", "squash"])
def test_bytes_normalised_later_are_the_pictures_normalised_at_once(mode: str, train: bool) -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    processor, picture = make(32, mode, mean=mean, std=std), two_halves(60, 48)
    pixels = processor.pixels(picture, train, np.random.default_rng(5))
    assert pixels.dtype == torch.uint8 and pixels.shape == (3, 32, 32)
    at_once = processor.transform(picture, train, np.random.default_rng(5))
    by_hand = (pixels.double() / 255 - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    torch.testing.assert_close(at_once, by_hand.float())
    batch = processor.normalise(torch.stack([pixels, pixels.flip(2)]))
    assert torch.equal(batch[0], at_once) and torch.equal(batch[1], at_once.flip(2))


def test_the_encoder_takes_bytes(pair: DualEncoder) -> None:
    picture = two_halves(60, 48)
    with torch.no_grad():
        from_bytes = pair.encode_image(pair.processor.pixels(picture)[None])
        from_values = pair.encode_image(pair.processor.transform(picture)[None])
    torch.testing.assert_close(from_bytes, from_values)
