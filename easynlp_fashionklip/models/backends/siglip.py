"""SigLIP checkpoints of transformers, and SigLIP 2 of one resolution, which share its layout (model_type `siglip`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import SiglipModel

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.backends.base import Backend, square_side, without_logit_scale
from easynlp_fashionklip.models.backends.clip import load_transformers_model
from easynlp_fashionklip.models.backends.tower import Tower
from easynlp_fashionklip.models.checkpoint import CONFIG
from easynlp_fashionklip.models.preprocessing import HALF, ImagePreprocessing


class SiglipBackend(Backend):
    """`transformers.SiglipModel`: attention pooling of the picture, the last token's state of the text.

    It has no projection of the picture: the last layer of its attention pooling, an MLP beside a residual, stands for
    one here and always trains, as other families' projections do. Padding is read as text, in which the model was
    trained, so it is masked only where a mask says so.
    """

    model_type = "siglip"
    pads_texts = True
    processor_name = "Siglip"

    def __init__(self, model: Any) -> None:
        super().__init__()
        vision, text = model.config.vision_config, model.config.text_config
        use_head = getattr(vision, "vision_use_head", True)  # left out of it by some releases of transformers
        if not use_head or vision.hidden_size != text.projection_size:
            raise InputError(
                f"{CONFIG}: vision_use_head={use_head} with pictures in {vision.hidden_size} dimensions "
                f"and texts in {text.projection_size} is no dual encoder; take a SiglipModel as it was released."
            )
        self.initial_logit_scale = without_logit_scale(model)
        self.initial_logit_bias = float(model.logit_bias.detach())
        del model.logit_bias
        self.model = model
        self.config = model.config
        self.embed_dim = vision.hidden_size
        self.image_size = square_side(vision.image_size)
        self.max_text_length = text.max_position_embeddings
        model.vision_model.use_head = False  # computed here, in two parts
        pooling = self._pooling
        self.image_tower = Tower("image", model.vision_model, without=(pooling.layernorm, pooling.mlp))
        self.text_tower = Tower("text", model.text_model, without=(model.text_model.head,))

    @classmethod
    def from_pretrained(cls, source: str | Path) -> SiglipBackend:
        """Load a folder or hub name; see `Backend.from_pretrained`."""
        return cls(load_transformers_model(SiglipModel, source))

    @property
    def _pooling(self) -> Any:
        return self.model.vision_model.head

    def image_tower_output(self, pixel_values: Tensor) -> Tensor:
        """B x 3 x H x W -> B x h, the patches pooled by attention; positions are interpolated for other sizes."""
        own_size = tuple(pixel_values.shape[-2:]) == (self.image_size, self.image_size)
        with self.image_tower.grad():
            patches = self.model.vision_model(pixel_values, interpolate_pos_encoding=not own_size).last_hidden_state
            probe = self._pooling.probe.expand(patches.shape[0], -1, -1)
            pooled: Tensor = self._pooling.attention(probe, patches, patches, need_weights=False)[0][:, 0]
        return pooled

    def project_image(self, pooled: Tensor) -> Tensor:
        """B x h -> B x h by the MLP of the attention pooling, beside its residual."""
        projected: Tensor = pooled + self._pooling.mlp(self._pooling.layernorm(pooled))
        return projected

    def text_tower_output(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """B x L -> B x h, the state of the last token, be it padding; without a mask nothing is masked."""
        with self.text_tower.grad():
            states = self.model.text_model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        last: Tensor = states[:, -1]
        return last

    def project_text(self, pooled: Tensor) -> Tensor:
        """B x h -> B x d by the text model's head."""
        projected: Tensor = self.model.text_model.head(pooled)
        return projected

    def checkpoint_tensors(self) -> dict[str, Tensor]:
        """Weights under transformers' keys."""
        return dict(self.model.state_dict())

    def similarity_tensors(self, logit_scale: Tensor, logit_bias: Tensor | None) -> dict[str, Tensor]:
        """Both of shape (1,), as in transformers."""
        assert logit_bias is not None
        return {"logit_scale": logit_scale, "logit_bias": logit_bias}

    def default_preprocessing(self) -> ImagePreprocessing:
        """The whole picture without its proportions, values in -1..1: SigLIP's own."""
        return ImagePreprocessing(self.image_size, HALF, HALF, resize_mode="squash")
