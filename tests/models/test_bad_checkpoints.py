"""Folders whose parts do not belong together: refused in one sentence that names file, value and remedy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from model_families import FAMILIES, bert_tokenizer, siglip_tokenizer

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.backends import BACKENDS
from easynlp_fashionklip.models.zoo import load_pretrained

Save = Callable[[str], Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def save(family: str) -> Path:
        folder = tmp_path / family
        FAMILIES[family]().save_pretrained(folder)
        return folder

    return save


def change(path: Path, **values: Any) -> None:
    content = json.loads(path.read_text()) | values
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


@pytest.mark.parametrize("model_type", ["blip", "", None, 3, ["clip"], {"clip": 1}])
def test_a_model_type_that_is_unknown_names_the_known_ones(save: Save, model_type: Any) -> None:
    folder = save("clip")
    change(folder / "config.json", model_type=model_type)
    with pytest.raises(InputError) as caught:
        load_pretrained(folder)
    assert all(known in str(caught.value) for known in BACKENDS)
    assert {"clip", "siglip", "chinese_clip", "vision-text-dual-encoder"} <= set(BACKENDS)


@pytest.mark.parametrize(
    ("family", "named", "found"),
    [
        ("clip", {"processor_class": "SiglipProcessor"}, "Siglip"),
        ("clip", {"image_processor_type": "ChineseCLIPImageProcessorFast"}, "ChineseCLIP"),
        ("siglip", {"processor_class": "ChineseCLIPProcessor"}, "ChineseCLIP"),
        ("siglip", {"image_processor_type": "Siglip2ImageProcessor"}, "Siglip2"),
        ("chinese_clip", {"image_processor_type": None, "feature_extractor_type": "SiglipImageProcessor"}, "Siglip"),
    ],
)
def test_a_processor_of_another_family_is_refused(save: Save, family: str, named: dict[str, Any], found: str) -> None:
    folder = save(family)
    change(folder / "preprocessor_config.json", **named)
    own = {"clip": "CLIP", "siglip": "Siglip", "chinese_clip": "ChineseCLIP"}[family]
    message = rf"preprocessor_config.json is of the family {found}, and the model beside it is not \({own}\); put the"
    with pytest.raises(InputError, match=message):
        load_pretrained(folder)


def test_a_processor_config_of_another_family_is_refused(save: Save) -> None:
    folder = save("clip")
    content = json.loads((folder / "preprocessor_config.json").read_text())
    content.pop("processor_class")
    (folder / "preprocessor_config.json").unlink()
    whole = {"processor_class": "SiglipProcessor", "image_processor": content}
    (folder / "processor_config.json").write_text(json.dumps(whole))
    with pytest.raises(InputError, match="processor_config.json is of the family Siglip"):
        load_pretrained(folder)


@pytest.mark.parametrize("family", ["siglip", "chinese_clip", "vision-text-dual-encoder"])
def test_clips_image_processor_serves_every_family(save: Save, family: str) -> None:
    """It can be told to do what the others do, and was what such folders named."""
    folder = save(family)
    change(folder / "preprocessor_config.json", processor_class=None, image_processor_type="CLIPImageProcessor")
    found, expected = load_pretrained(folder).processor, FAMILIES[family]().processor
    assert found.preprocessing.to_dict() == expected.preprocessing.to_dict()


@pytest.mark.parametrize("kind", ["Wav2Vec2FeatureExtractor", "VideoMAEImageProcessor"])
def test_a_processor_of_something_else_is_named(save: Save, kind: str) -> None:
    folder = save("clip")
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_extractor_type": kind, "feature_size": 1}))
    stem = kind.removesuffix("FeatureExtractor").removesuffix("ImageProcessor")
    with pytest.raises(InputError, match=f"does not say how to resize pictures .*of the kind {stem}"):
        load_pretrained(folder)


def test_a_tokenizer_that_is_too_large_is_refused(save: Save) -> None:
    folder = save("clip")
    for path in folder.glob("tokenizer*"):
        path.unlink()
    siglip_tokenizer().save_pretrained(folder)
    with pytest.raises(InputError, match=r"clip: its tokenizer knows \d+ tokens and its text model 258, so it is that"):
        load_pretrained(folder)


def test_a_tokenizer_that_ends_texts_elsewhere_is_refused(save: Save) -> None:
    """CLIP's embedding is read at the end-of-text token: with another the first token would be taken, in silence."""
    folder = save("clip")
    for path in folder.glob("tokenizer*"):
        path.unlink()
    bert_tokenizer().save_pretrained(folder)
    with pytest.raises(InputError, match="reads the embedding at token 257 and its tokenizer ends texts with"):
        load_pretrained(folder)


@pytest.mark.parametrize("family", ["siglip", "chinese_clip"])
def test_weights_of_another_family_are_refused(save: Save, family: str) -> None:
    folder, other = save(family), save("clip")
    (folder / "pytorch_model.bin").unlink()
    (folder / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    with pytest.raises(InputError, match=rf"{family} (lacks \d+ weights|cannot be loaded)"):
        load_pretrained(folder)


@pytest.mark.parametrize("family", ["siglip", "chinese_clip"])
@pytest.mark.parametrize("change_of", [{"hidden_size": 32}, {"num_hidden_layers": 3}, {"num_attention_heads": 3}])
def test_a_config_that_does_not_fit_the_weights_is_named(save: Save, family: str, change_of: dict[str, int]) -> None:
    folder = save(family)
    text = json.loads((folder / "config.json").read_text())["text_config"] | change_of
    change(folder / "config.json", text_config=text)
    with pytest.raises(InputError, match=folder.name):
        load_pretrained(folder)


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("text", ["[]", '"x"', "{"])
def test_configs_that_are_no_objects_are_named(save: Save, family: str, text: str) -> None:
    folder = save(family)
    (folder / "config.json").write_text(text)
    with pytest.raises(InputError, match="config.json"):
        load_pretrained(folder)


@pytest.mark.parametrize("family", ["siglip", "chinese_clip", "clip"])
@pytest.mark.parametrize("part", ["text_config", "vision_config"])
@pytest.mark.parametrize("value", [[], 3, "x", {"hidden_size": "wide"}, {"hidden_size": -1}])
def test_parts_of_a_config_of_the_wrong_kind_are_named(save: Save, family: str, part: str, value: Any) -> None:
    folder = save(family)
    content = json.loads((folder / "config.json").read_text())
    content[part] = value
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=folder.name):
        load_pretrained(folder)


@pytest.mark.parametrize("family", ["clip", "siglip", "chinese_clip", "vision-text-dual-encoder"])
def test_pictures_smaller_than_a_patch_are_refused(save: Save, family: str) -> None:
    with pytest.raises(
        InputError, match="pictures of 7 px are smaller than a patch of the vision model, 8 px; give image_size=32"
    ):
        load_pretrained(save(family), image_size=7)


def test_a_special_token_beyond_the_vocabulary_is_refused(save: Save) -> None:
    folder = save("chinese_clip")
    change(folder / "tokenizer_config.json", mask_token="[MASX]")
    with pytest.raises(InputError, match="so it is that of another model"):
        load_pretrained(folder)


def test_towers_of_a_pair_of_the_wrong_kind_are_named(save: Save) -> None:
    folder = save("fashionklip-pair")
    text = json.loads((folder / "config.json").read_text())["text"] | {"hidden_size": 2.5}
    change(folder / "config.json", text=text)
    with pytest.raises(InputError, match="does not describe the towers of a fashionklip-pair model"):
        load_pretrained(folder)


def test_sentencepiece_file_that_is_damaged_is_named(save: Save) -> None:
    folder = save("siglip")
    (folder / "spiece.model").write_bytes(b"not a model")
    with pytest.raises(InputError, match="siglip has no tokenizer that can be read"):
        load_pretrained(folder)


def test_float16_weights_become_float32(save: Save) -> None:
    folder = save("siglip")
    weights = torch.load(folder / "pytorch_model.bin", weights_only=True)
    (folder / "model.safetensors").unlink()
    torch.save({key: value.half() for key, value in weights.items()}, folder / "pytorch_model.bin")
    model = load_pretrained(folder)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
