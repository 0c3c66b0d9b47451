"""A convolutional image tower and a sentence encoder, joined by projection heads (model_type `fashionklip-pair`)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel, MobileNetV2Config, MobileNetV2Model

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.backends.base import Backend, mask_padding
from easynlp_fashionklip.models.backends.mobilenet import pooled_features
from easynlp_fashionklip.models.backends.tower import Tower
from easynlp_fashionklip.models.checkpoint import CONFIG, IN_CONFIG, first_line, read_config, read_tensors

HeadKind = Literal["linear", "mlp"]
MODEL_TYPE = "fashionklip-pair"
ALL_LAYERS = -1


@dataclass(frozen=True)
class PairConfig:
    """Everything needed to rebuild the pair without its weights.

    Attributes:
        vision: fields of a `transformers.MobileNetV2Config`.
        text: fields of a `transformers.BertConfig`.
        projection_dim: size d of the shared space.
        vision_head, text_head: one linear layer, or two with a GELU between ("mlp").
        head_hidden_dim: hidden size of an "mlp" head.
        vision_trainable_layers, text_trainable_layers: top blocks that train; 0 freezes the tower, -1 trains it all.
        logit_scale_init_value: log of the inverse temperature of an untrained pair.
    """

    vision: Mapping[str, Any]
    text: Mapping[str, Any]
    projection_dim: int = 256
    vision_head: HeadKind = "linear"
    text_head: HeadKind = "mlp"
    head_hidden_dim: int = 512
    vision_trainable_layers: int = ALL_LAYERS
    text_trainable_layers: int = 0
    logit_scale_init_value: float = math.log(1 / 0.07)
    model_type: str = MODEL_TYPE

    def __post_init__(self) -> None:
        """Reject heads that do not exist and numbers that are none."""
        for name in ("vision_head", "text_head"):
            if getattr(self, name) not in get_args(HeadKind):
                raise InputError(
                    f"{CONFIG}: {name}={getattr(self, name)!r} is not one of {', '.join(get_args(HeadKind))}."
                )
        for name in ("projection_dim", "head_hidden_dim", "vision_trainable_layers", "text_trainable_layers"):
            if type(getattr(self, name)) is not int:
                raise InputError(f"{CONFIG}: {name}={getattr(self, name)!r} is not a whole number.")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in config.json."""
        return asdict(self)

    def to_json_string(self) -> str:
        """The text of config.json."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], origin: str = CONFIG) -> PairConfig:
        """Read what `to_dict` gave; `origin` names the file in messages.

        Raises:
            InputError: for an unknown or missing field, or one of the wrong kind.
        """
        content = {name: value for name, value in content.items() if name != IN_CONFIG}
        known = {entry.name for entry in fields(cls)}
        unknown = sorted(set(content) - known)
        if unknown:
            raise InputError(f"{origin}: unknown field {unknown[0]!r}; known fields: {', '.join(sorted(known))}.")
        try:
            return cls(**content)
        except TypeError as error:
            raise InputError(f"{origin} does not describe a {MODEL_TYPE} model ({first_line(error)}).") from error


def _head(kind: HeadKind, size: int, hidden: int, embed_dim: int) -> nn.Module:
    if kind == "linear":
        return nn.Linear(size, embed_dim)
    return nn.Sequential(nn.Linear(size, hidden), nn.GELU(), nn.Linear(hidden, embed_dim))


def mean_pool(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """Mean of the token states (B x L x h) over the tokens that the mask (B x L) keeps -> B x h."""
    weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


class PairBackend(Backend):
    """MobileNetV2 and a BERT-type sentence encoder with mean pooling, each with a head into the shared space."""

    model_type = MODEL_TYPE
    keeps_text_states = True

    def __init__(self, config: PairConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_dim = config.projection_dim
        vision: Any = MobileNetV2Config(**config.vision)
        text: Any = BertConfig(**config.text)
        if vision.tf_padding:
            raise InputError(
                f"{CONFIG}: vision has tf_padding=true, which this backend does not compute; set it to false."
            )
        self.image_size = vision.image_size
        self.max_text_length = text.max_position_embeddings
        self.pad_token_id = text.pad_token_id
        self.initial_logit_scale = config.logit_scale_init_value
        self.vision_model = MobileNetV2Model(vision)
        self.text_model = BertModel(text, add_pooling_layer=False)
        self.tokenizer_config = text
        conv_1x1: Any = self.vision_model.conv_1x1
        hidden, width = config.head_hidden_dim, conv_1x1.convolution.out_channels
        self.vision_head = _head(config.vision_head, width, hidden, config.projection_dim)
        self.text_head = _head(config.text_head, text.hidden_size, hidden, config.projection_dim)
        self.image_tower = Tower("image", self.vision_model)
        self.text_tower = Tower("text", self.text_model)
        self._checkpointing = False
        self._apply_trainable_layers()

    def _apply_trainable_layers(self) -> None:
        chosen = (self.config.vision_trainable_layers, self.config.text_trainable_layers)
        for tower, layers in zip((self.image_tower, self.text_tower), chosen, strict=True):
            tower.set_trainable(len(tower.blocks) if layers == ALL_LAYERS else layers)
        self.train(self.training)

    def set_trainable_layers(self, *, image: int = -1, text: int = -1) -> None:
        """As `Backend.set_trainable_layers`; the choice is kept in the config and so in checkpoints."""
        super().set_trainable_layers(image=image, text=text)
        self.config = replace(
            self.config,
            vision_trainable_layers=self.image_tower.trainable,
            text_trainable_layers=self.text_tower.trainable,
        )

    def set_gradient_checkpointing(self) -> None:
        """As `Backend.set_gradient_checkpointing`, and in the convolutional tower, whose forward is our own."""
        super().set_gradient_checkpointing()
        self._checkpointing = True

    @property
    def vocabulary_size(self) -> int:
        """How many tokens the text tower has embeddings for."""
        return int(self.text_model.config.vocab_size)

    @classmethod
    def from_pretrained(cls, source: str | Path) -> PairBackend:
        """Load a folder or hub name that `save_pretrained` wrote; see `Backend.from_pretrained`."""
        origin = str(Path(source) / CONFIG)
        config = PairConfig.from_dict(read_config(source), origin=origin)
        try:
            backend = cls(config)
            backend._try()
        except InputError:
            raise
        except Exception as error:  # a field of the wrong kind or size makes transformers raise anything
            raise InputError(
                f"{origin} does not describe the towers of a {MODEL_TYPE} model ({first_line(error)}); restore it."
            ) from error
        tensors = read_tensors(source)
        if "logit_scale" in tensors:
            backend.initial_logit_scale = float(tensors.pop("logit_scale"))
        backend.load_weights(tensors, origin=str(source))
        return backend

    @torch.no_grad()
    def _try(self) -> None:
        """Run both towers on the least there is: some values of a config fail only here."""
        self.eval()
        self.image_features(torch.zeros(1, 3, 32, 32))
        self.text_features(torch.zeros(1, 2, dtype=torch.long), None)
        self.train()

    def load_weights(self, tensors: Mapping[str, Tensor], origin: str) -> None:
        """Load every weight; `origin` names the checkpoint in messages.

        Raises:
            InputError: if any weight is missing, unknown or of another shape.
        """
        try:
            self.load_state_dict(dict(tensors))
        except RuntimeError as error:
            detail = " ".join(str(error).split())[:200]
            raise InputError(f"the weights of {origin} do not fit its {CONFIG} ({detail}).") from error

    def image_tower_output(self, pixel_values: Tensor) -> Tensor:
        """B x 3 x H x W -> B x h, for any H and W."""
        with self.image_tower.grad():
            return pooled_features(self.vision_model, pixel_values, self._checkpointing and self.training)

    def project_image(self, pooled: Tensor) -> Tensor:
        """B x h -> B x d."""
        projected: Tensor = self.vision_head(pooled)
        return projected

    def text_tower_output(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """B x L -> B x h, the mean of the token states; without a mask the padding token is masked."""
        mask = mask_padding(input_ids, attention_mask, self.pad_token_id)
        with self.text_tower.grad():
            hidden = self.text_model(input_ids=input_ids, attention_mask=mask).last_hidden_state
            return mean_pool(hidden, mask)

    def project_text(self, pooled: Tensor) -> Tensor:
        """B x h -> B x d."""
        projected: Tensor = self.text_head(pooled)
        return projected

    def checkpoint_tensors(self) -> dict[str, Tensor]:
        """Weights under the names of this module."""
        return dict(self.state_dict())
