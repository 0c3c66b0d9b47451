"""`transformers.VisionTextDualEncoderModel` checkpoints: any vision and text encoder with linear projections."""

from __future__ import annotations

import inspect
from pathlib import Path

from torch import Tensor
from transformers import VisionTextDualEncoderModel

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.backends.base import Backend, Tower, mask_padding, without_logit_scale
from easynlp_fashionklip.models.backends.clip import load_transformers_model

# These families count positions from the padding id on, so that many rows of their position table are never used.
_OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert", "xlm-roberta-xl")


class VisionTextBackend(Backend):
    """A pair put together by transformers; the embeddings are projections of both models' pooler outputs."""

    model_type = "vision-text-dual-encoder"

    def __init__(self, model: VisionTextDualEncoderModel) -> None:
        super().__init__()
        self.initial_logit_scale = without_logit_scale(model)
        self.model = model
        self.config = model.config
        self.embed_dim = self.config.projection_dim
        self.image_size = self.config.vision_config.image_size
        text = self.config.text_config
        self.pad_token_id = text.pad_token_id
        unused = text.pad_token_id + 1 if text.model_type in _OFFSET_POSITIONS else 0
        self.max_text_length = text.max_position_embeddings - unused
        self.image_tower = Tower("image", model.vision_model)
        self.text_tower = Tower("text", model.text_model)
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
        if tuple(pixel_values.shape[-2:]) != (self.image_size, self.image_size):
            if not self._interpolates:
                raise InputError(
                    f"this checkpoint's vision model takes pictures of {self.image_size} px only, "
                    f"not {tuple(pixel_values.shape[-2:])}; leave image_size at 0."
                )
            options["interpolate_pos_encoding"] = True
        with self.image_tower.grad():
            pooled: Tensor = self.model.vision_model(pixel_values=pixel_values, **options).pooler_output
        return pooled

    def project_image(self, pooled: Tensor) -> Tensor:
        """B x h -> B x d by the checkpoint's linear projection."""
        projected: Tensor = self.model.visual_projection(pooled)
        return projected

    def text_tower_output(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """B x L -> B x h; without a mask the padding token is masked."""
        mask = mask_padding(input_ids, attention_mask, self.pad_token_id)
        with self.text_tower.grad():
            pooled: Tensor = self.model.text_model(input_ids=input_ids, attention_mask=mask).pooler_output
        return pooled

    def project_text(self, pooled: Tensor) -> Tensor:
        """B x h -> B x d by the checkpoint's linear projection."""
        projected: Tensor = self.model.text_projection(pooled)
        return projected

    def checkpoint_tensors(self) -> dict[str, Tensor]:
        """Weights under transformers' keys."""
        return dict(self.model.state_dict())
