"""Two pretrained towers put together: named, loaded, pooled, given heads; and what cannot be a tower."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from model_families import (
    BERT,
    SIDE,
    VISION,
    awake,
    bert_tokenizer,
    small_clip,
    small_siglip,
)
from PIL import Image
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    PreTrainedModel,
    ResNetConfig,
    ResNetModel,
    T5Config,
    T5Model,
    VisionTextDualEncoderModel,
    ViTConfig,
    ViTForImageClassification,
    ViTModel,
)

from easynlp_fashionklip.config import parse_user_defined_parameters
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.tower_pair import Towers, pair_of_towers, parse_towers
from easynlp_fashionklip.models.zoo import load_pretrained

Save = Callable[..., str]


@pytest.fixture
def saved(tmp_path: Path) -> Save:
    """Saves a model of transformers, with a BERT tokenizer beside those that read texts; returns its folder."""

    def save(model: PreTrainedModel, name: str) -> str:
        folder = tmp_path / name
        awake(model).save_pretrained(folder)
        if model.main_input_name == "input_ids":
            bert_tokenizer().save_pretrained(folder)
        return str(folder)

    return save


def small_bert() -> BertModel:
    return BertModel(BertConfig(**(BERT | {"vocab_size": len(bert_tokenizer()), "pad_token_id": 0})))


@pytest.fixture
def vit(saved: Save) -> str:
    return saved(ViTModel(ViTConfig(**VISION)), "vit")


@pytest.fixture
def bert(saved: Save) -> str:
    return saved(small_bert(), "bert")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vision=a/b text=./c", ("a/b", "./c")),
        ("text=./c vision=a/b", ("a/b", "./c")),
        ("vision=a/b,text=./c", ("a/b", "./c")),
        ("text=./c,vision=a,b", ("a,b", "./c")),
        ("vision='a folder/b' text=c=d", ("a folder/b", "c=d")),
        ("vision=a folder/b,text=c", ("a folder/b", "c")),
        ("starter", None),
        ("./vision=a", None),
    ],
)
def test_names_of_two_towers(name: str, expected: tuple[str, str] | None) -> None:
    assert parse_towers(name) == expected


@pytest.mark.parametrize(
    "name", ["vision=a", "text=b", "vision=a text=", "vision=a vision=b", "vision=a text=b text=c"]
)
def test_half_a_pair_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="does not name one vision and one text model; write 'vision="):
        load_pretrained(name)


@pytest.mark.parametrize("value", ['"vision=a/b text=./c"', "vision=a/b,text=./c"])
def test_the_name_survives_user_defined_parameters(value: str) -> None:
    config = parse_user_defined_parameters(f"cva=false pretrain_model_name_or_path={value} image_size=32")
    assert parse_towers(config.pretrain_model_name_or_path) == Towers("a/b", "./c")


def test_the_towers_keep_their_weights_and_the_heads_follow_the_seed(
    vit: str, bert: str, pictures: list[Image.Image], texts: list[str], tmp_path: Path
) -> None:
    model = load_pretrained(f"vision={vit} text={bert}", seed=3)
    for tower, source in ((model.backend.model.vision_model, ViTModel), (model.backend.model.text_model, BertModel)):
        wanted = source.from_pretrained(vit if source is ViTModel else bert).state_dict()
        assert wanted.keys() == tower.state_dict().keys()
        assert all(torch.equal(value, wanted[key]) for key, value in tower.state_dict().items())
    same, other = (load_pretrained(f"text={bert},vision={vit}", seed=seed).state_dict() for seed in (3, 4))
    mine = model.state_dict()
    assert all(torch.equal(value, same[key]) for key, value in mine.items())
    assert {key for key, value in mine.items() if not torch.equal(value, other[key])} == {
        "backend.model.visual_projection.weight",
        "backend.model.text_projection.weight",
    }
    model.save_pretrained(tmp_path / "pair")
    theirs = VisionTextDualEncoderModel.from_pretrained(tmp_path / "pair").eval()
    inputs = model.processor(images=pictures, texts=texts)
    with torch.no_grad():
        outputs = theirs(**inputs)
        for found, wanted in zip(model(**inputs), (outputs.image_embeds, outputs.text_embeds), strict=True):
            torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    assert "vision_pooling" not in json.loads((tmp_path / "pair" / "config.json").read_text())


def test_towers_without_a_pooler_are_pooled_by_class_token_and_mean(
    saved: Save, pictures: list[Image.Image], texts: list[str], tmp_path: Path, step: Callable[..., None]
) -> None:
    vision = saved(ViTForImageClassification(ViTConfig(**VISION)), "classifier")
    vocabulary = {"vocab_size": len(bert_tokenizer()), "pad_token_id": 0}
    text = saved(
        DistilBertModel(DistilBertConfig(dim=16, hidden_dim=32, n_layers=2, n_heads=2, **vocabulary)), "distil"
    )
    model = load_pretrained(f"vision={vision} text={text}")
    assert (model.backend.vision_pooling, model.backend.text_pooling) == ("cls", "mean")
    inputs = model.processor(images=pictures, texts=texts)
    mask = inputs["attention_mask"].unsqueeze(-1)
    with torch.no_grad():
        backend = model.backend.model
        states = backend.vision_model(inputs["pixel_values"]).last_hidden_state[:, 0]
        torch.testing.assert_close(model.image_tower_output(inputs["pixel_values"]), states)
        words = backend.text_model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
        mean = (words.last_hidden_state * mask).sum(dim=1) / mask.sum(dim=1)
        torch.testing.assert_close(model.text_tower_output(inputs["input_ids"], inputs["attention_mask"]), mean)
    step(model, pictures, texts)
    assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []
    model.eval().save_pretrained(tmp_path / "saved")
    again = load_pretrained(tmp_path / "saved")
    assert (again.backend.vision_pooling, again.backend.text_pooling) == ("cls", "mean")
    with torch.no_grad():
        for found, wanted in zip(again(**inputs), model(**inputs), strict=True):
            torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("mode", "pooling"), [("mean_tokens", "mean"), ("cls_token", "cls"), ("max_tokens", "pooler")])
def test_sentence_transformers_say_how_they_pool(bert: str, vit: str, mode: str, pooling: str) -> None:
    (Path(bert) / "1_Pooling").mkdir()
    (Path(bert) / "1_Pooling" / "config.json").write_text(json.dumps({f"pooling_mode_{mode}": True}))
    model = pair_of_towers(Towers(vit, bert))
    assert model.backend.text_pooling == pooling


def test_towers_of_dual_encoders_are_taken_out(tmp_path: Path, pictures: list[Image.Image], bert: str) -> None:
    clip, siglip = small_clip(), small_siglip()
    clip.save_pretrained(tmp_path / "clip")
    siglip.save_pretrained(tmp_path / "siglip")
    model = load_pretrained(f"vision={tmp_path / 'siglip'} text={tmp_path / 'clip'}")
    inputs = model.processor(images=pictures, texts=["a red dress", "jeans"])
    assert model.processor.preprocessing == siglip.processor.preprocessing
    assert torch.equal(inputs["input_ids"], clip.processor.tokenize(["a red dress", "jeans"])["input_ids"])
    with torch.no_grad():
        pooled = siglip.backend.image_features(inputs["pixel_values"])
        torch.testing.assert_close(model.image_tower_output(inputs["pixel_values"]), pooled, atol=1e-5, rtol=0)
        words = (inputs["input_ids"], inputs["attention_mask"])
        torch.testing.assert_close(model.text_tower_output(*words), clip.text_tower_output(*words))


def test_a_convolutional_tower_takes_any_size(
    saved: Save, bert: str, pictures: list[Image.Image], tmp_path: Path
) -> None:
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    model = load_pretrained(f"vision={saved(ResNetModel(config), 'resnet')} text={bert}", image_size=40)
    model.save_pretrained(tmp_path / "saved")
    again = load_pretrained(tmp_path / "saved")
    pixels = model.processor(images=pictures)["pixel_values"]
    assert pixels.shape == (3, 3, 40, 40)
    with torch.no_grad():
        assert model.image_tower_output(pixels).shape == (3, 16)
        torch.testing.assert_close(again.encode_image(pixels), model.encode_image(pixels))


def test_pictures_are_prepared_as_the_vision_model_says(vit: str, bert: str) -> None:
    content = {"image_processor_type": "ViTImageProcessor", "size": {"height": SIDE, "width": SIDE}, "resample": 2}
    (Path(vit) / "preprocessor_config.json").write_text(json.dumps(content))
    found = load_pretrained(f"vision={vit} text={bert}").processor.preprocessing
    assert (found.image_size, found.resize_mode, found.resample) == (SIDE, "squash", 2)
    assert found.mean == pytest.approx((0.5, 0.5, 0.5))


# ----------------------------------------------------------------------------------------------------------- bad input


def test_towers_the_wrong_way_round_are_named(vit: str, bert: str) -> None:
    with pytest.raises(InputError, match=r"vision=.*bert is a BertModel, which does not take pictures"):
        load_pretrained(f"vision={bert} text={vit}")


def test_an_encoder_decoder_is_refused(saved: Save, vit: str) -> None:
    text = saved(T5Model(T5Config(vocab_size=50, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)), "t5")
    with pytest.raises(InputError, match="text=.*t5: its model_type cannot be a text tower .it is an encoder-decoder"):
        load_pretrained(f"vision={vit} text={text}")


def test_a_text_tower_that_transformers_cannot_rebuild_is_refused(tmp_path: Path, vit: str) -> None:
    small_siglip().save_pretrained(tmp_path / "siglip")
    with pytest.raises(InputError, match="siglip: its model_type cannot be a text tower"):
        load_pretrained(f"vision={vit} text={tmp_path / 'siglip'}")


def test_a_missing_folder_is_named(vit: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        load_pretrained(f"vision={vit} text={tmp_path / 'nowhere'}")


def test_an_unknown_model_type_is_named(vit: str, bert: str) -> None:
    (Path(bert) / "config.json").write_text(json.dumps({"model_type": "brand-new"}))
    with pytest.raises(InputError, match="text=.*brand-new"):
        load_pretrained(f"vision={vit} text={bert}")


def test_lost_weights_are_named(vit: str, bert: str) -> None:
    config = json.loads((Path(bert) / "config.json").read_text()) | {"num_hidden_layers": 3}
    (Path(bert) / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"bert lacks \d+ weights of a BertModel, such as 'encoder.layer.2"):
        load_pretrained(f"vision={vit} text={bert}")


def test_a_tokenizer_of_another_model_is_refused(vit: str, bert: str) -> None:
    BertModel(BertConfig(**(BERT | {"vocab_size": 20, "pad_token_id": 0}))).save_pretrained(bert)
    with pytest.raises(InputError, match="its text model 20, so it is that of another model"):
        load_pretrained(f"vision={vit} text={bert}")


def test_a_text_model_without_tokenizer_is_named(saved: Save, vit: str) -> None:
    text = saved(small_bert(), "bare")
    for path in Path(text).glob("*token*"):
        path.unlink()
    (Path(text) / "vocab.txt").unlink(missing_ok=True)
    with pytest.raises(InputError, match="bare has no tokenizer"):
        load_pretrained(f"vision={vit} text={text}")
