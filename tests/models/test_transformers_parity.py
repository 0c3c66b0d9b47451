"""Ours equals transformers' own: embeddings to 1e-5, pictures to 1/255, tokens exactly; and what we save is theirs."""

from __future__ import annotations

import importlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from model_families import FAMILIES, LENGTH, SENTENCES, bert_folder, sentencepiece_file
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor
from transformers import AutoProcessor, AutoTokenizer

from easynlp_fashionklip.models.byte_tokenizer import byte_tokenizer
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.processor import ImagePreprocessing, Processor
from easynlp_fashionklip.models.zoo import load_pretrained

# transformers scales pictures with torchvision where that is installed, which rounds differently (measured: 8e-8 of a
# pixel's value beyond a step of 1 / 255, and 6e-4 in an embedding).
ROUNDED = 1e-7 if find_spec("torchvision") else 0.0

THEIRS = {
    "clip": "CLIPModel",
    "siglip": "SiglipModel",
    "chinese_clip": "ChineseCLIPModel",
    "vision-text-dual-encoder": "VisionTextDualEncoderModel",
}
LONG = " ".join(SENTENCES) * 3
SHAPES = [(41, 61), (97, 33), (32, 32), (20, 21), (301, 203)]


def noise(shape: tuple[int, int]) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8))


def difference(found: Tensor, wanted: Tensor) -> float:
    assert found.shape == wanted.shape
    return float((found - wanted).abs().max())


@pytest.fixture(params=sorted(THEIRS))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ours(family: str) -> DualEncoder:
    return FAMILIES[family]()


@pytest.fixture
def folder(ours: DualEncoder, tmp_path: Path) -> Path:
    ours.save_pretrained(tmp_path)
    return tmp_path


def plain(family: str, folder: Path) -> Any:
    """The folder in plain transformers, complete."""
    model, report = getattr(transformers, THEIRS[family]).from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    return model.eval()


def test_a_saved_model_has_its_embeddings_in_plain_transformers(
    family: str, ours: DualEncoder, folder: Path, pictures: list[Image.Image], texts: list[str]
) -> None:
    inputs = ours.processor(images=pictures, texts=[*texts, LONG])
    with torch.no_grad():
        outputs = plain(family, folder)(**inputs)
        image_embeds, text_embeds = ours(**inputs)
    assert difference(image_embeds, outputs.image_embeds) < 1e-5
    assert difference(text_embeds, outputs.text_embeds) < 1e-5
    assert difference(image_embeds[:1], image_embeds[1:2]) > 1e-3  # or the comparison would say little
    assert difference(text_embeds[:1], text_embeds[1:2]) > 1e-3


def test_logits_are_transformers_own(
    family: str, ours: DualEncoder, folder: Path, pictures: list[Image.Image], texts: list[str]
) -> None:
    """Temperature and bias carry over too."""
    inputs = ours.processor(images=pictures, texts=texts)
    with torch.no_grad():
        wanted = plain(family, folder)(**inputs).logits_per_image
        image_embeds, text_embeds = ours(**inputs)
        found = ours.logit_scale.exp() * image_embeds @ text_embeds.T
        if ours.logit_bias is not None:
            found = found + ours.logit_bias
    torch.testing.assert_close(found, wanted, atol=2e-3, rtol=0)  # 1e-5 times a temperature of up to 117


def test_a_folder_that_transformers_wrote_has_its_embeddings_here(
    family: str, ours: DualEncoder, folder: Path, pictures: list[Image.Image], texts: list[str], tmp_path: Path
) -> None:
    theirs, processor = plain(family, folder), AutoProcessor.from_pretrained(folder)
    theirs.save_pretrained(tmp_path / "theirs")
    processor.save_pretrained(tmp_path / "theirs")
    loaded = load_pretrained(tmp_path / "theirs")
    options = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}
    options["max_length"] = ours.processor.max_length
    inputs = processor(images=pictures, text=texts, **options)
    if family == "siglip":
        inputs.pop("attention_mask")
    with torch.no_grad():
        outputs = theirs(**inputs)
        image_embeds, text_embeds = loaded(**loaded.processor(images=pictures, texts=texts))
    assert difference(image_embeds, outputs.image_embeds) < 1e-5 + 1e4 * ROUNDED
    assert difference(text_embeds, outputs.text_embeds) < 1e-5


def test_the_saved_processor_is_theirs(family: str, ours: DualEncoder, folder: Path) -> None:
    processor = AutoProcessor.from_pretrained(folder)
    assert type(processor).__name__ == f"{ours.backend.processor_name}Processor"
    std = torch.tensor(ours.processor.preprocessing.std)[:, None, None]
    texts = [*SENTENCES, LONG]
    for shape in SHAPES:
        found = ours.processor.transform(noise(shape))
        wanted = processor(images=noise(shape), return_tensors="pt")["pixel_values"][0]
        assert difference(found * std, wanted * std) <= 1 / 255 + ROUNDED
    options = {"padding": "max_length" if family == "siglip" else True, "truncation": True}
    options["max_length"] = ours.processor.max_length
    assert torch.equal(
        ours.processor.tokenize(texts)["input_ids"], processor(text=texts, return_tensors="pt", **options)["input_ids"]
    )


def test_training_and_saving_keep_it_theirs(
    family: str, ours: DualEncoder, pictures: list[Image.Image], texts: list[str], step: Any, tmp_path: Path
) -> None:
    step(ours, pictures, texts)
    ours.eval().save_pretrained(tmp_path)
    inputs = ours.processor(images=pictures, texts=texts)
    with torch.no_grad():
        outputs = plain(family, tmp_path)(**inputs)
        image_embeds, text_embeds = ours(**inputs)
    assert difference(image_embeds, outputs.image_embeds) < 1e-5
    assert difference(text_embeds, outputs.text_embeds) < 1e-5


# ------------------------------------------------------------------------------------------------------------ pictures

REFERENCES = {
    "CLIP": {},
    "CLIP, larger before the crop": {"size": {"shortest_edge": 40}},
    "CLIP, bilinear": {"resample": 2},
    "ChineseCLIP": {},
    "Siglip": {},
    "Siglip, bilinear as SigLIP 2": {"resample": 2},
    "ViT": {},
    "ConvNext": {"size": {"shortest_edge": 32}, "crop_pct": 0.8},
    "ConvNext, large": {"size": {"shortest_edge": 384}, "crop_pct": 0.875},
}
MODULES = {"CLIP": "clip", "ChineseCLIP": "chinese_clip", "Siglip": "siglip", "ViT": "vit", "ConvNext": "convnext"}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", REFERENCES)
def test_pictures_equal_the_reference_processor(name: str, shape: tuple[int, int]) -> None:
    """Bicubic and bilinear, centre crop and squash, mean and std; only the size is the test's."""
    kind = name.split(",")[0]
    path = f"transformers.models.{MODULES[kind]}.image_processing_pil_{MODULES[kind]}"
    pytest.importorskip(path, reason="this transformers has no image processors without torchvision")
    crops = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    sizes = {"size": {"height": 32, "width": 32}} if kind in ("Siglip", "ViT") else crops
    options = REFERENCES[name] if kind == "ConvNext" else sizes | REFERENCES[name]
    reference = getattr(importlib.import_module(path), f"{kind}ImageProcessorPil")(**options)
    preprocessing = ImagePreprocessing.from_dict(json.loads(reference.to_json_string()))
    found = Processor(preprocessing, byte_tokenizer(8), 8).transform(noise(shape))
    wanted = reference(noise(shape), return_tensors="pt")["pixel_values"][0]
    std = torch.tensor(preprocessing.std)[:, None, None]
    assert difference(found * std, wanted * std) <= 1 / 255 + ROUNDED


@pytest.mark.parametrize("kind", ["Siglip", "CLIP"])
def test_what_a_file_leaves_out_is_the_familys_own(kind: str) -> None:
    content = {"image_processor_type": f"{kind}ImageProcessor", "size": {"height": 32, "width": 32}}
    content |= {"do_center_crop": False}
    found = ImagePreprocessing.from_dict(content)
    assert found.mean == pytest.approx((0.5,) * 3 if kind == "Siglip" else (0.48145466, 0.4578275, 0.40821073))
    assert found.resize_mode == "squash"


# -------------------------------------------------------------------------------------------------------------- tokens


def clip_bpe(folder: Path) -> None:
    """CLIP's kind of BPE, with an end-of-word mark, trained on a few sentences."""
    tokenizer = Tokenizer(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        end_of_word_suffix="</w>",
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|startoftext|>", "<|endoftext|>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    vocabulary = tokenizer.get_vocab()
    for symbol in pre_tokenizers.ByteLevel.alphabet():
        vocabulary.setdefault(f"{symbol}</w>", len(vocabulary))
    merges = [" ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")
    transformers.CLIPTokenizer.from_pretrained(folder, model_max_length=LENGTH).save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "clip"}))


def bert(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(bert_folder(), config=transformers.BertConfig())
    tokenizer.model_max_length = LENGTH
    tokenizer.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "chinese_clip"}))


def sentencepiece_siglip(folder: Path) -> None:
    transformers.SiglipTokenizer(str(sentencepiece_file()), model_max_length=LENGTH).save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "siglip"}))


def siglip2(folder: Path) -> None:
    """SigLIP 2's: Gemma's BPE with byte fallback, which lower-cases and closes each text with <eos>."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace(" ", "▁")])
    all_bytes = [f"<0x{number:02X}>" for number in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=[*special, *all_bytes], show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    merges = [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
    written = transformers.Siglip2Tokenizer(
        vocab=tokenizer.get_vocab(), merges=merges, add_eos_token=True, padding_side="right", model_max_length=LENGTH
    )
    written.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "siglip"}))


KINDS = {
    "CLIP BPE": clip_bpe,
    "BERT": bert,
    "SigLIP sentencepiece": sentencepiece_siglip,
    "SigLIP 2 BPE": siglip2,
}


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_equal_the_reference_and_long_texts_keep_their_end(kind: str, tmp_path: Path) -> None:
    KINDS[kind](tmp_path)
    reference = AutoTokenizer.from_pretrained(tmp_path)
    pads = kind.startswith("SigLIP")
    ours = Processor.from_pretrained(tmp_path, image_size=32, max_length=LENGTH, pads_texts=pads)
    texts = [*SENTENCES, LONG, "", "Red DRESS!", "x"]
    options = {"padding": "max_length" if pads else True, "truncation": True, "max_length": LENGTH}
    wanted, found = reference(texts, return_tensors="pt", **options), ours.tokenize(texts)
    assert torch.equal(found["input_ids"], wanted["input_ids"])
    if not pads:
        assert torch.equal(found["attention_mask"], wanted["attention_mask"])
    end = reference.sep_token_id if kind == "BERT" else reference.eos_token_id
    assert found["input_ids"][len(SENTENCES), -1] == end
    assert found["input_ids"].shape == (len(texts), LENGTH)
    assert len({tuple(row) for row in found["input_ids"].tolist()}) >= len(texts) - 1


def test_siglip2_reads_small_letters_whatever_its_checkpoint_says(tmp_path: Path) -> None:
    """The released ones name Gemma's tokenizer, which keeps capitals."""
    siglip2(tmp_path)
    expected = AutoTokenizer.from_pretrained(tmp_path)(["Red DRESS"])["input_ids"]
    config = json.loads((tmp_path / "tokenizer_config.json").read_text()) | {"tokenizer_class": "GemmaTokenizer"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    plain_gemma = AutoTokenizer.from_pretrained(tmp_path)
    assert type(plain_gemma).__name__ == "GemmaTokenizer"
    assert plain_gemma(["Red DRESS"])["input_ids"] != expected
    options = {"image_size": 32, "max_length": LENGTH, "family": "Siglip", "pads_texts": True}
    ours = Processor.from_pretrained(tmp_path, **options)
    found = ours.tokenize(["Red DRESS", "red dress"])["input_ids"]
    assert found[0].tolist()[: len(expected[0])] == expected[0]
    assert torch.equal(found[0], found[1])
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "config.json").write_text(json.dumps({"model_type": "siglip"}))
    ours.save_pretrained(tmp_path / "saved", "Siglip")
    assert AutoTokenizer.from_pretrained(tmp_path / "saved")(["Red DRESS"])["input_ids"] == expected


def test_texts_are_padded_as_siglip_was_trained_whatever_their_limit(tmp_path: Path) -> None:
    """A lower limit cuts words, and the place from which the embedding is read stays."""
    sentencepiece_siglip(tmp_path)
    ours = Processor.from_pretrained(tmp_path, image_size=32, max_length=LENGTH, pads_texts=True)
    ours.max_length = 6
    found = ours.tokenize([SENTENCES[0], "a"])
    assert found["input_ids"].shape == found["attention_mask"].shape == (2, LENGTH)
    assert found["attention_mask"].all()
    end, pad = ours.tokenizer.eos_token_id, ours.tokenizer.pad_token_id
    assert found["input_ids"][0, 5] == end
    assert (found["input_ids"][0, 6:] == pad).all()


def test_unit_norm(ours: DualEncoder, pictures: list[Image.Image], texts: list[str]) -> None:
    with torch.no_grad():
        for embeds in ours(**ours.processor(images=pictures, texts=texts)):
            torch.testing.assert_close(embeds, F.normalize(embeds, dim=-1))
