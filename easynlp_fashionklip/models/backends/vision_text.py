"""`transformers.VisionTextDualEncoderModel` checkpoints: any vision and text encoder with linear projections."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from transformers import VisionTextDualEncoderModel

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.backends.base import Backend, mask_padding, square_side, without_logit_scale
from easynlp_fashionklip.models.backends.clip import load_transformers_model
from easynlp_fashionklip.models.backends.pair import mean_pool
from easynlp_fashionklip.models.backends.tower import Tower
from easynlp_fashionklip.models.checkpoint import CONFIG

Pooling = Literal["pooler", "cls", "mean"]
"""How a tower's states become one vector: by the model's own pooler, the first state, or the mean of all."""

# These families count positions from the padding id on, so that many rows of their position table are never used.
_OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert", "xlm-roberta-xl")
_UNLIMITED = 512  # tokens, for text models that have no table of positions
_USUAL_SIZE = 224


class VisionTextBackend(Backend):
    """A pair put together by transformers; the embeddings are projections of both models' pooled outputs.

    `vision_pooling` and `text_pooling` in config.json, which transformers does not know and keeps, say how they are
    pooled. Without them it is by both models' poolers, as in transformers.
    """

    model_type = "vision-text-dual-encoder"

    def __init__(self, model: VisionTextDualEncoderModel) -> None:
        super().__init__()
        self.initial_logit_scale = without_logit_scale(model)
        self.model = model
        self.config = model.config
        self.embed_dim = self.config.projection_dim
        self.image_size = square_side(getattr(self.config.vision_config, "image_size", None) or _USUAL_SIZE)
        text = self.config.text_config
        self.tokenizer_config = text
        self.pad_token_id = text.pad_token_id
        unused = text.pad_token_id + 1 if text.model_type in _OFFSET_POSITIONS else 0
        self.max_text_length = (getattr(text, "max_position_embeddings", None) or _UNLIMITED) - unused
        self.vision_pooling = _pooling(self.config, "vision")
        self.text_pooling = _pooling(self.config, "text")
        unused_vision = _unused_pooler(model.vision_model, self.vision_pooling)
        unused_text = _unused_pooler(model.text_model, self.text_pooling)
        self.image_tower = Tower("image", model.vision_model, without=unused_vision)
        self.text_tower = Tower("text", model.text_model, without=unused_text)
        self._interpolates = "interpolate_pos_encoding" in inspect.signature(model.vision_model.forward).parameters

    @classmethod
    def from_pretrained(cls, source: str | Path) -> VisionTextBackend:
        """Load a folder or hub name; see `Backend.from_pretrained`."""
        return cls(load_transformers_model(VisionTextDualEncoderModel, source))

    def image_tower_output(self, pixel_values: Tensor) -> Tensor:
        """B x 3 x H x W -> B x h; positions are interpolated for other sizes where the vision model can.

        Raises:
            InputError: for a size that the vision model cannot take.
        """
        options = {}
        if tuple(pixel_values.shape[-2:]) != (self.image_size, self.image_size) and self._has_positions:
            if not self._interpolates:
                raise InputError(
                    f"this checkpoint's vision model takes pictures of {self.image_size} px only, "
                    f"not {tuple(pixel_values.shape[-2:])}; leave image_size at 0."
                )
            options["interpolate_pos_encoding"] = True
        with self.image_tower.grad():
            return _pooled_picture(self.model.vision_model(pixel_values=pixel_values, **options), self.vision_pooling)

    @property
    def _has_positions(self) -> bool:
        """Whether the vision model was made for one size, as those are that cut pictures into patches."""
        return self._interpolates or hasattr(self.config.vision_config, "patch_size")

    def project_image(self, pooled: Tensor) -> Tensor:
        """B x h -> B x d by the checkpoint's linear projection."""
        projected: Tensor = self.model.visual_projection(pooled)
        return projected

    def text_tower_output(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """B x L -> B x h; without a mask the padding token is masked."""
        mask = mask_padding(input_ids, attention_mask, self.pad_token_id)
        with self.text_tower.grad():
            outputs = self.model.text_model(input_ids=input_ids, attention_mask=mask)
            if self.text_pooling == "mean":
                return mean_pool(outputs.last_hidden_state, mask)
            pooled: Tensor = outputs.pooler_output if self.text_pooling == "pooler" else outputs.last_hidden_state[:, 0]
        return pooled

    def project_text(self, pooled: Tensor) -> Tensor:
        """B x h -> B x d by the checkpoint's linear projection."""
        projected: Tensor = self.model.text_projection(pooled)
        return projected

    def checkpoint_tensors(self) -> dict[str, Tensor]:
        """Weights under transformers' keys."""
        return dict(self.model.state_dict())


def _pooling(config: Any, tower: str) -> Pooling:
    """What config.json says of a tower, `vision` or `text`.

    Raises:
        InputError: it is no pooling.
    """
    chosen: Pooling = getattr(config, f"{tower}_pooling", "pooler")
    if chosen not in get_args(Pooling):
        raise InputError(f"{CONFIG}: {tower}_pooling={chosen!r} is not one of {', '.join(get_args(Pooling))}.")
    return chosen


def _unused_pooler(model: nn.Module, pooling: Pooling) -> list[nn.Module]:
    """A tower's pooler where it is not asked: it stays in checkpoints, but nothing of it trains."""
    pooler = getattr(model, "pooler", None)
    if pooling == "pooler" or not isinstance(pooler, nn.Module):
        return []
    pooler.requires_grad_(False)
    return [pooler]


def _pooled_picture(outputs: Any, pooling: Pooling) -> Tensor:
    """B x h of a vision model's outputs; convolutional ones give maps, B x h x H x W, in place of states."""
    if pooling == "pooler":
        pooled: Tensor = outputs.pooler_output
        return pooled.flatten(1)
    states: Tensor = outputs.last_hidden_state
    if states.dim() == 4:
        return states.mean(dim=(2, 3))
    return states[:, 0] if pooling == "cls" else torch.mean(states, dim=1)
