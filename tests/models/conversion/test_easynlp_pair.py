"""EasyNLP's `huggingface_clip` folders: its own RoBERTa and picture tower give the same embeddings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.zoo import load_pretrained

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "dress", "blue", "jeans"]
TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
TEXT = TOWER | {
    "vocab_size": len(WORDS),
    "max_position_embeddings": 24,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
}
VISION = TOWER | {"image_size": 32, "patch_size": 8, "hidden_act": "quick_gelu"}


class Application(nn.Module):
    """What EasyNLP's application computes, out of EasyNLP's own towers."""

    def __init__(self) -> None:
        super().__init__()
        roberta = pytest.importorskip("easynlp.modelzoo.models.roberta.modeling_roberta")
        clip = pytest.importorskip("easynlp.modelzoo.models.clip.modeling_clip")
        configs = pytest.importorskip("easynlp.modelzoo.models.clip.configuration_clip")
        text = configs.CLIPTextConfig(**TEXT)
        self.text_encoder = roberta.RobertaModel(text)
        self.vision_encoder = clip.CLIPVisionModel(configs.CLIPVisionConfig(**VISION))
        self.text_projection = nn.Linear(32, 16)
        self.vision_projection = nn.Linear(32, 16)
        self.logit_scale = nn.Parameter(torch.tensor([3.0]))

    def texts(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        pooled = self.text_encoder(input_ids=input_ids, attention_mask=attention_mask)[1]
        return F.normalize(self.text_projection(pooled), dim=-1)

    def pictures(self, pixel_values: Tensor) -> Tensor:
        return F.normalize(self.vision_projection(self.vision_encoder(pixel_values=pixel_values)[1]), dim=-1)


@pytest.fixture
def application() -> Application:
    torch.manual_seed(0)
    return Application().eval()


@pytest.fixture
def folder(application: Application, tmp_path: Path) -> Path:
    torch.save(application.state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    write(tmp_path)
    return tmp_path


def write(folder: Path, **more: Any) -> None:
    content = {"model_type": "clip", "text_config": TEXT, "vision_config": VISION} | more
    (folder / "config.json").write_text(json.dumps(content))


@torch.no_grad()
def test_embeddings_are_easynlps(application: Application, folder: Path, tmp_path: Path) -> None:
    model = load_pretrained(folder)
    tokens = model.processor.tokenize(["red dress", "blue jeans blue jeans"])
    pixel_values = torch.randn(3, 3, 32, 32)
    for one in (model, saved_and_loaded(model, tmp_path / "saved")):
        difference = (one.encode_text(**tokens) - application.texts(**tokens)).abs().max()
        assert difference < 1e-5
        assert (one.encode_image(pixel_values) - application.pictures(pixel_values)).abs().max() < 1e-5
        assert one.logit_scale.item() == 3.0


def saved_and_loaded(model: Any, folder: Path) -> Any:
    model.save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["model_type"] == "easynlp-huggingface-clip"
    return load_pretrained(folder)


@pytest.mark.parametrize("name", ["huggingface_clip", None])
def test_every_name_it_goes_by(folder: Path, name: str | None) -> None:
    write(folder, model_type=name)
    assert load_pretrained(folder).embed_dim == 16


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "vocab.txt").unlink(), "has no vocab.txt"),
        (lambda folder: write(folder, text_config=TEXT | {"vocab_size": "many"}), "config.json"),
        (lambda folder: write(folder, vision_config=3), "does not describe EasyNLP's huggingface_clip"),
        (lambda folder: write(folder, text_config=TEXT | {"num_hidden_layers": 3}), "lacks 'text_model"),
        (lambda folder: torch.save({"other": torch.ones(1)}, folder / "pytorch_model.bin"), "holds 'other'"),
        (lambda folder: (folder / "pytorch_model.bin").write_bytes(b"x"), "is damaged"),
    ],
)
def test_damaged_folders_are_told(folder: Path, damage: Any, words: str) -> None:
    damage(folder)
    with pytest.raises(InputError, match=words):
        load_pretrained(folder)
