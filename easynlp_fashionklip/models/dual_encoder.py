"""The dual-stream encoder: one picture tower, one text tower, one space of unit vectors."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.freezing import Freezing
from easynlp_fashionklip.models.allocator import keep_freed_memory
from easynlp_fashionklip.models.backends import BACKENDS, UNSUPPORTED, Backend
from easynlp_fashionklip.models.checkpoint import (
    CONFIG,
    IN_CONFIG,
    describe_content,
    read_config,
    write_folder,
    write_tensors,
)
from easynlp_fashionklip.models.concept_texts import FILES as CONCEPT_FILES
from easynlp_fashionklip.models.concept_texts import ConceptTexts
from easynlp_fashionklip.models.processor import Processor

_MAX_SCALE = 100.0


class DualEncoder(nn.Module):
    """Embeds pictures and texts into one space.

    Args:
        backend: the towers and their heads.
        processor: makes the backend's inputs.
        logit_scale: log of the inverse temperature; None takes the backend's.

    Attributes:
        logit_scale: parameter of shape (1,), because DeepSpeed rejects 0-dim ones; on disk as in transformers.
        logit_bias: parameter of shape (1,), the sigmoid loss's bias; None in families trained with a softmax.
        max_scale: what training holds the inverse temperature to: CLIP's limit unless it sets another.
        embed_dim: size d of the shared space.
        concepts: what the concepts of a graph add to texts; None for a plain encoder. `encode_text` is without them:
            `inference.encode.encode_texts` looks for them in the texts.
        config: the backend's configuration, with `model_type` and `to_json_string()`.
    """

    def __init__(self, backend: Backend, processor: Processor, logit_scale: float | None = None) -> None:
        super().__init__()
        keep_freed_memory()
        self.backend = backend
        self.processor = processor
        initial = backend.initial_logit_scale if logit_scale is None else logit_scale
        bias = backend.initial_logit_bias
        for name, value in (("logit_scale", initial), ("logit_bias", bias)):
            if value is not None and not math.isfinite(value):
                raise InputError(f"{name} is {value}, not a number; use a checkpoint from before training diverged.")
        self.logit_scale = nn.Parameter(torch.full((1,), initial))
        self.max_scale = _MAX_SCALE
        self.logit_bias = None if bias is None else nn.Parameter(torch.full((1,), bias))
        self.concepts: ConceptTexts | None = None

    @property
    def embed_dim(self) -> int:
        """Size d of the shared space."""
        return self.backend.embed_dim

    @property
    def config(self) -> Any:
        """The backend's configuration, with `model_type` and `to_json_string()`."""
        return self.backend.config

    def encode_image(self, pixel_values: Tensor) -> Tensor:
        """B x 3 x H x W pixel values -> B x d unit vectors, float32 under autocast too.

        Values are normalised as by `processor.transform`, or bytes (uint8) as by `processor.pixels`.
        """
        return F.normalize(self.backend.image_features(self._normalised(pixel_values)).float(), dim=-1)

    def _normalised(self, pixel_values: Tensor) -> Tensor:
        return self.processor.normalise(pixel_values) if pixel_values.dtype == torch.uint8 else pixel_values

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """B x L token ids -> B x d unit vectors, float32; without a mask the padding token is masked."""
        return F.normalize(self.backend.text_features(input_ids, attention_mask).float(), dim=-1)

    def encode_prompts(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """As `encode_text`, of many short texts with much in common (concepts), B x L on the CPU."""
        return self.project_text(self.prompt_tower_output(input_ids, attention_mask))

    def prompt_tower_output(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """As `text_tower_output`, of texts as in `encode_prompts`."""
        if hasattr(self.logit_scale, "ds_id"):
            # ZeRO-3 gathers a layer's weights from all processes, which must all run it equally often.
            device = self.logit_scale.device
            return self.text_tower_output(input_ids.to(device), attention_mask.to(device))
        return self.backend.prompt_tower_output(input_ids, attention_mask)

    @property
    def image_tower_frozen(self) -> bool:
        """Whether nothing of the image tower trains, so that its outputs may be kept."""
        return self.backend.image_tower.trainable == 0

    def image_tower_output(self, pixel_values: Tensor) -> Tensor:
        """B x 3 x H x W pixel values, as `encode_image` takes them -> B x h, what the image head projects."""
        return self.backend.image_tower_output(self._normalised(pixel_values))

    def project_image(self, pooled: Tensor) -> Tensor:
        """B x h tower outputs -> B x d unit vectors, float32: `encode_image` without its tower."""
        return F.normalize(self.backend.project_image(pooled).float(), dim=-1)

    @property
    def text_tower_frozen(self) -> bool:
        """Whether nothing of the text tower trains, so that its outputs may be kept."""
        return self.backend.text_tower.trainable == 0

    def text_tower_output(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """B x L token ids -> B x h, what the text head projects."""
        return self.backend.text_tower_output(input_ids, attention_mask)

    @property
    def text_tower_splits(self) -> bool:
        """Whether some layers of the text tower are frozen below others that train, and `text_states` may be kept."""
        right = getattr(self.processor.tokenizer, "padding_side", "right") == "right"
        return self.backend.keeps_text_states and self.backend.text_tower.splits and right

    def text_states(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """B x L token ids and mask -> B x L x h, what the frozen layers below those that train make of each token."""
        return self.backend.text_states(input_ids, attention_mask)

    def text_tower_output_of(self, states: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """As `text_tower_output`, where the `text_states` (B x L x h) are known already."""
        return self.backend.text_tower_output_of(states, input_ids, attention_mask)

    def project_text(self, pooled: Tensor) -> Tensor:
        """B x h tower outputs -> B x d unit vectors, float32: `encode_text` without its tower."""
        return F.normalize(self.backend.project_text(pooled).float(), dim=-1)

    def forward(
        self,
        pixel_values: Tensor | None = None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> tuple[Tensor | None, Tensor | None]:
        """(image embeddings or None, text embeddings or None): for wrappers that only call `forward`."""
        image_embeds = None if pixel_values is None else self.encode_image(pixel_values)
        text_embeds = None if input_ids is None else self.encode_text(input_ids, attention_mask)
        return image_embeds, text_embeds

    def set_trainable_layers(self, *, image: int = -1, text: int = -1) -> None:
        """Choose how many top blocks of each tower train: 0 freezes it, -1 leaves it as it is.

        Heads and `logit_scale` always train. Frozen blocks and all batch norms stay in eval mode under `train()`.

        Raises:
            InputError: if a tower has fewer blocks than asked for.
        """
        self.backend.set_trainable_layers(image=image, text=text)

    def freeze(self, choice: Freezing) -> None:
        """Train as much of each tower as the settings `freeze` and `train_layers` say.

        Raises:
            InputError: a tower has fewer layers than that.
        """
        self.backend.freeze(choice)

    def set_gradient_checkpointing(self) -> None:
        """Compute each block's activations again in the backward pass of training instead of keeping them.

        Embeddings and gradients stay what they are, for about a third more time.
        """
        self.backend.set_gradient_checkpointing()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write config.json, model.safetensors, pytorch_model.bin, the tokenizer and preprocessor_config.json.

        Each file is replaced atomically.

        Raises:
            InputError: if the folder cannot be written.
        """
        bias = None if self.logit_bias is None else self.logit_bias.detach()
        similarity = self.backend.similarity_tensors(self.logit_scale.detach(), bias)
        tensors = self.backend.checkpoint_tensors() | similarity

        def write(temporary: Path) -> None:
            write_tensors(temporary, tensors)
            self.processor.save_pretrained(temporary, self.backend.processor_name)
            if self.concepts is not None:
                self.concepts.save(temporary)
            (temporary / CONFIG).write_text(self._config_text(), encoding="utf-8")

        write_folder(folder, write, obsolete=() if self.concepts else CONCEPT_FILES)

    def _config_text(self) -> str:
        """config.json, which says whether concepts belong to the model: without them it would embed texts otherwise."""
        text: str = self.config.to_json_string()
        content = json.loads(text)
        if (self.concepts is not None) == bool(content.get(IN_CONFIG)):
            return text
        content[IN_CONFIG] = self.concepts is not None
        return json.dumps(content, indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_pretrained(cls, source: str | Path, *, image_size: int = 0) -> DualEncoder:
        """Load a folder (or hub name) of any family in `BACKENDS`, in eval mode.

        Args:
            source: folder with config.json, or hub name.
            image_size: side of the pictures in pixels; 0 takes the checkpoint's.

        Raises:
            InputError: naming what is missing, unknown or damaged.
        """
        backend = _family(source).from_pretrained(source)
        processor = Processor.from_pretrained(
            source,
            image_size=backend.image_size,
            max_length=backend.max_text_length,
            tokenizer_config=backend.tokenizer_config,
            family=backend.processor_name,
            default=backend.default_preprocessing(),
            pads_texts=backend.pads_texts,
        )
        if image_size:
            processor = processor.with_image_size(image_size)
        backend.check_tokenizer(processor.tokenizer, str(source))
        backend.check_image_size(processor.image_size, str(source))
        model = cls(backend, processor)
        needed = bool(read_config(source).get(IN_CONFIG))
        model.concepts = ConceptTexts.load(source, model.embed_dim, needed)
        return model.eval()


def _family(source: str | Path) -> type[Backend]:
    """The backend that a folder's or hub name's config.json asks for.

    Raises:
        InputError: there is none, or none for such models.
    """
    model_type = read_config(source).get("model_type")
    told = f"{source}: {CONFIG} has model_type {model_type!r}"
    if not isinstance(model_type, str) or model_type not in (*BACKENDS, *UNSUPPORTED):
        raise InputError(f"{told}, which is not one of {', '.join(BACKENDS)}; {describe_content(source)}.")
    if model_type in UNSUPPORTED:
        raise InputError(f"{told}: {UNSUPPORTED[model_type]}.")
    return BACKENDS[model_type]
