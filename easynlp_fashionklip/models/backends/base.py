"""What every family of encoders provides to `DualEncoder`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.freezing import Freezing
from easynlp_fashionklip.models.backends.tower import Tower
from easynlp_fashionklip.models.preprocessing import ImagePreprocessing

LEAST_SAVED = 1024  # tokens; a second pass through the text tower costs about as much on a GPU


class Backend(nn.Module, ABC):
    """Two towers with their projection heads, unnormalised.

    Attributes:
        model_type: what config.json says for this family.
        config: the checkpoint's configuration, with `model_type` and `to_json_string()`.
        embed_dim: size d of the shared space.
        image_size: side in pixels that the image tower was made for.
        max_text_length: most tokens that the text tower has positions for.
        initial_logit_scale: log of the inverse temperature in the checkpoint.
        initial_logit_bias: bias of the sigmoid loss in the checkpoint; None for families trained with a softmax.
        pads_texts: whether texts are padded to the tokenizer's full length and padding is read as text.
        keeps_text_states: whether `text_states` and `text_tower_output_of` are known to give what the tower does: not
            where a layer may look at its place among the others, as in towers of any kind.
        processor_name: what transformers calls the family's processor, without `Processor`.
        tokenizer_config: configuration that tells transformers the tokenizer's family; None where config.json does.
        image_tower, text_tower: the parts that can be frozen; the heads always train.
    """

    model_type: ClassVar[str]
    config: Any
    embed_dim: int
    image_size: int
    max_text_length: int
    initial_logit_scale: float
    initial_logit_bias: float | None = None
    pads_texts: ClassVar[bool] = False
    keeps_text_states: ClassVar[bool] = False
    processor_name: ClassVar[str] = "VisionTextDualEncoder"
    tokenizer_config: Any = None
    image_tower: Tower
    text_tower: Tower

    @classmethod
    @abstractmethod
    def from_pretrained(cls, source: str | Path) -> Backend:
        """Read config and weights of a folder or hub name.

        Raises:
            InputError: if they are missing, damaged or do not fit each other.
        """

    @abstractmethod
    def image_tower_output(self, pixel_values: Tensor) -> Tensor:
        """B x 3 x H x W -> B x h, pooled, before the head; a frozen tower's output may be kept, as with texts."""

    @abstractmethod
    def project_image(self, pooled: Tensor) -> Tensor:
        """The image head: B x h -> B x d."""

    def image_features(self, pixel_values: Tensor) -> Tensor:
        """B x 3 x H x W -> B x d."""
        return self.project_image(self.image_tower_output(pixel_values))

    @abstractmethod
    def text_tower_output(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """B x L token ids (and mask of 1 for tokens, 0 for padding) -> B x h, pooled, before the head.

        Without a mask the padding token is masked. A frozen tower's output may be kept and projected again later.
        """

    def text_states(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """B x L token ids and mask -> B x L x h, what reaches the lowest layer of the text tower that trains.

        For a text tower that `splits`. The outcome may be kept and given to `text_tower_output_of` again later.
        """
        return self.text_tower.states_below(lambda: self.text_tower_output(input_ids, attention_mask))

    def text_tower_output_of(self, states: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """As `text_tower_output`, where `text_states` (B x L x h) are known already."""
        return self.text_tower.output_above(states, lambda: self.text_tower_output(input_ids, attention_mask))

    def prompt_tower_output(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """As `text_tower_output`, of many short texts (B x L, on the CPU), with less work.

        Here: in two passes, of the short and of the long ones, where that saves a good deal of padding.
        """
        device, parts = next(self.parameters()).device, []
        groups = length_groups(attention_mask)
        for group in groups:
            length = int(attention_mask[group].sum(dim=1).max()) if len(groups) > 1 else attention_mask.shape[1]
            ids, mask = input_ids[group, :length], attention_mask[group, :length]
            parts.append(self.text_tower_output(ids.to(device), mask.to(device)))
        return torch.cat(parts).index_select(0, torch.argsort(torch.cat(groups)).to(device))

    @abstractmethod
    def project_text(self, pooled: Tensor) -> Tensor:
        """The text head: B x h -> B x d."""

    def text_features(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """B x L token ids and mask -> B x d."""
        return self.project_text(self.text_tower_output(input_ids, attention_mask))

    @abstractmethod
    def checkpoint_tensors(self) -> dict[str, Tensor]:
        """Every weight under the key it has on disk; `logit_scale` and `logit_bias` excepted."""

    def similarity_tensors(self, logit_scale: Tensor, logit_bias: Tensor | None) -> dict[str, Tensor]:
        """What the temperature and the bias, both (1,), are on disk: here a 0-dim `logit_scale`, as in CLIP."""
        return {"logit_scale": logit_scale.reshape(())}

    def default_preprocessing(self) -> ImagePreprocessing:
        """How pictures are prepared where a checkpoint does not say: here as for CLIP."""
        return ImagePreprocessing(self.image_size)

    def check_tokenizer(self, tokenizer: Any, origin: str) -> None:
        """Refuse a tokenizer that this text tower was not trained with; `origin` names the checkpoint in messages.

        Raises:
            InputError: it gives tokens that the tower has no embedding for.
        """
        needed = max([tokenizer.vocab_size, *(1 + number for number in tokenizer.all_special_ids)])
        if needed > self.vocabulary_size:
            raise InputError(
                f"{origin}: its tokenizer knows {needed:,} tokens and its text model {self.vocabulary_size:,}, so it "
                "is that of another model; put the model's own tokenizer files there."
            )

    def check_image_size(self, image_size: int, origin: str) -> None:
        """Refuse pictures that are smaller than what the image tower cuts them into; `origin` as above.

        Raises:
            InputError: they are.
        """
        patch = square_side(getattr(getattr(self.config, "vision_config", None), "patch_size", None) or 1)
        if image_size < patch:
            raise InputError(
                f"{origin}: pictures of {image_size} px are smaller than a patch of the vision model, {patch} px; give "
                f"image_size={self.image_size}, for which it was made."
            )

    @property
    def vocabulary_size(self) -> int:
        """How many tokens the text tower has embeddings for."""
        return int(self.config.text_config.vocab_size)

    def set_trainable_layers(self, *, image: int = -1, text: int = -1) -> None:
        """Choose how many top blocks of each tower train: 0 freezes it, -1 leaves it as it is.

        Raises:
            InputError: if a tower has fewer blocks than asked for.
        """
        for tower, layers in ((self.image_tower, image), (self.text_tower, text)):
            if layers != -1:
                tower.set_trainable(layers)
        self.train(self.training)

    def freeze(self, choice: Freezing) -> None:
        """Train as much of each tower as `choice` says.

        Raises:
            InputError: a tower has fewer layers than that.
        """
        image, text = self.image_tower.layers_of(choice.vision), self.text_tower.layers_of(choice.text)
        if image != -1 or text != -1:
            self.set_trainable_layers(image=image, text=text)

    def set_gradient_checkpointing(self) -> None:
        """Compute each block's activations again in the backward pass of training instead of keeping them.

        Here: in every model of transformers that can.
        """
        for module in self.modules():
            if isinstance(module, PreTrainedModel) and module.supports_gradient_checkpointing:
                enable = getattr(module, "activation_checkpointing_enable", module.gradient_checkpointing_enable)
                enable({"use_reentrant": False})  # under either name of transformers

    def train(self, mode: bool = True) -> Backend:
        """As in torch, but frozen blocks and batch norms stay in eval mode."""
        super().train(mode)
        for tower in (self.image_tower, self.text_tower):
            tower.quiet_frozen()
        return self


def square_side(image_size: Any) -> int:
    """The side of `224` or `[224, 224]`, as configs of transformers write it.

    Raises:
        InputError: it is no square.
    """
    sides = {int(side) for side in (image_size if isinstance(image_size, list | tuple) else [image_size])}
    if len(sides) != 1:
        raise InputError(f"config.json: image_size={image_size} is not a square, which is all that is supported.")
    return sides.pop()


def without_logit_scale(model: nn.Module) -> float:
    """Take the `logit_scale` out of a transformers model; `DualEncoder` owns it, in a shape DeepSpeed accepts."""
    scale = float(model.get_parameter("logit_scale").detach())
    del model.logit_scale
    return scale


def right_padded(attention_mask: Tensor) -> bool:
    """Whether each text (B x L) begins at once and has its padding, if any, behind it."""
    return bool((attention_mask[:, 1:] <= attention_mask[:, :-1]).all() and attention_mask[:, :1].all())


def length_groups(attention_mask: Tensor) -> list[Tensor]:
    """Positions of B texts (B x L) in one group, or in two of short and of long ones if that saves enough padding."""
    everything = torch.arange(len(attention_mask))
    if len(attention_mask) < 2 or not right_padded(attention_mask):
        return [everything]
    lengths = attention_mask.sum(dim=1)
    shorter = torch.bincount(lengths).cumsum(dim=0)  # texts of at most so many tokens
    saved = shorter * (len(shorter) - 1 - torch.arange(len(shorter)))
    cut = int(saved.argmax())
    if saved[cut] < LEAST_SAVED:
        return [everything]
    return [everything[lengths <= cut], everything[lengths > cut]]


def mask_padding(input_ids: Tensor, attention_mask: Tensor | None, pad_token_id: int | None) -> Tensor:
    """The mask given, or one that hides the padding token, so that padding never changes an embedding."""
    if attention_mask is not None:
        return attention_mask
    return torch.ones_like(input_ids) if pad_token_id is None else (input_ids != pad_token_id).long()
