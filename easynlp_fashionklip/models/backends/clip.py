"""CLIP checkpoints of transformers (model_type `clip`): a folder or a hub name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import CLIPModel, PreTrainedModel
from transformers.utils import logging as hf_logging

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.backends.base import (
    Backend,
    right_padded,
    square_side,
    without_logit_scale,
)
from easynlp_fashionklip.models.backends.prefix_tree import PrefixTrees, prefix_trees
from easynlp_fashionklip.models.backends.tower import Tower
from easynlp_fashionklip.models.checkpoint import first_line

_COUNTS = ("num_attention_heads", "num_hidden_layers", "max_position_embeddings", "image_size", "patch_size")
_LEGACY_END = 2  # what configs from before transformers 4.31 say; pooling is then at the highest token


def read_model(kind: Any, source: str | Path, **options: Any) -> tuple[Any, dict[str, Any]]:
    """`kind.from_pretrained`: the model, and transformers' report of what it found.

    Args:
        kind: a class of transformers, `AutoModel` included.
        source: folder or hub name.
        options: for `from_pretrained`.

    Raises:
        InputError: the weights are damaged, or of other shapes than the config says.
    """
    bars, verbosity = hf_logging.is_progress_bar_enabled(), hf_logging.get_verbosity()
    hf_logging.disable_progress_bar()  # one bar for each reading of a local file would clutter the log
    hf_logging.set_verbosity_error()  # what is amiss is told in our own words
    try:
        loaded: Any = kind.from_pretrained(str(source), output_loading_info=True, **options)
    except Exception as error:  # a config whose values are of the wrong kind makes transformers raise anything
        raise InputError(
            f"{source} cannot be loaded as {kind.__name__} ({_reason(error)}); its weights are missing, damaged or "
            "do not fit its config.json."
        ) from error
    finally:
        hf_logging.set_verbosity(verbosity)
        if bars:
            hf_logging.enable_progress_bar()
    model, report = loaded
    return model, report


def _reason(error: Exception) -> str:
    """The first line of an error's text, and the second where the first only announces it."""
    lines = [line.strip() for line in str(error).strip().splitlines()]
    return f"{lines[0]} {lines[1].rstrip('. ')}" if len(lines) > 1 and lines[0].endswith(":") else first_line(error)


def refuse_missing(missing: Sequence[str], kind: str, source: str | Path) -> None:
    """Refuse a checkpoint that lacks weights, given by name.

    Raises:
        InputError: naming the first.
    """
    if missing:
        raise InputError(
            f"{source} lacks {len(missing)} weights of a {kind}, such as {missing[0]!r}; use a whole checkpoint."
        )


def load_transformers_model(kind: type[PreTrainedModel], source: str | Path) -> Any:
    """`kind.from_pretrained`, in float32, complete or not at all.

    Raises:
        InputError: if weights are missing, damaged, or of other shapes than the config says.
    """
    model, report = read_model(kind, source)
    refuse_missing(sorted(report["missing_keys"]), kind.__name__, source)
    for config in (model.config.text_config, model.config.vision_config):
        _check_counts(config, source)
    return as_float32(model)


def _check_counts(config: Any, source: str | Path) -> None:
    """Refuse sizes that a tower cannot have and that no weight contradicts.

    Raises:
        InputError: naming the first.
    """
    for name in _COUNTS:
        count = getattr(config, name, None)
        if isinstance(count, int) and count < 1:
            raise InputError(f"{source}: config.json has {name}={count}, which is not above 0; restore the file.")


def as_float32(model: Any) -> Any:
    """Undo half precision on disk, in weights and config: training adds small steps that float16 would lose."""
    model.config.architectures = [type(model).__name__]
    for config in (model.config, model.config.text_config, model.config.vision_config):
        if getattr(config, "dtype", None) is not None:
            config.dtype = torch.float32
    return model.float()


class ClipBackend(Backend):
    """`transformers.CLIPModel`; text pooling at the end-of-text token and positions are transformers' own."""

    model_type = "clip"
    keeps_text_states = True
    kind: ClassVar[type[PreTrainedModel]] = CLIPModel
    processor_name = "CLIP"

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.initial_logit_scale = without_logit_scale(model)
        self.model = model
        self.config = model.config
        self.embed_dim = self.config.projection_dim
        self.image_size = square_side(self.config.vision_config.image_size)
        self.max_text_length = self.config.text_config.max_position_embeddings
        self.image_tower = Tower("image", model.vision_model)
        self.text_tower = Tower("text", model.text_model)
        self._takes_trees: bool | None = None

    @classmethod
    def from_pretrained(cls, source: str | Path) -> ClipBackend:
        """Load a folder or hub name; see `Backend.from_pretrained`."""
        return cls(load_transformers_model(cls.kind, source))

    def check_tokenizer(self, tokenizer: Any, origin: str) -> None:
        """As for every family, and the embedding must be read where this tokenizer ends a text.

        Raises:
            InputError: the tokenizer is another model's.
        """
        super().check_tokenizer(tokenizer, origin)
        pooled_at = self.config.text_config.eos_token_id
        if pooled_at not in (None, _LEGACY_END, tokenizer.eos_token_id):
            raise InputError(
                f"{origin}: its text model reads the embedding at token {pooled_at} and its tokenizer ends texts with "
                f"{tokenizer.eos_token_id}, so it is that of another model; put the model's own tokenizer files there."
            )

    def image_tower_output(self, pixel_values: Tensor) -> Tensor:
        """B x 3 x H x W -> B x h; position embeddings are interpolated when H x W is not the model's own."""
        own_size = tuple(pixel_values.shape[-2:]) == (self.image_size, self.image_size)
        with self.image_tower.grad():
            outputs = self.model.vision_model(pixel_values, interpolate_pos_encoding=not own_size)
        pooled: Tensor = outputs.pooler_output
        return pooled

    def project_image(self, pooled: Tensor) -> Tensor:
        """B x h -> B x d by the checkpoint's linear projection."""
        projected: Tensor = self.model.visual_projection(pooled)
        return projected

    def text_tower_output(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """B x L -> B x h; attention is causal, so padding after the end-of-text token needs no mask."""
        with self.text_tower.grad():
            pooled: Tensor = self.model.text_model(input_ids=input_ids, attention_mask=attention_mask).pooler_output
        return pooled

    def prompt_tower_output(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """B x L on the CPU -> B x h; what prompts begin with is computed once, as attention is causal."""
        if len(input_ids) > 1 and right_padded(attention_mask):
            if self._takes_trees is None:
                self._takes_trees = self._try_trees(input_ids[0, : int(attention_mask[0].sum())])
            if self._takes_trees:
                return self._tree_output(prefix_trees(input_ids, attention_mask, self.max_text_length))
        return super().prompt_tower_output(input_ids, attention_mask)

    def _tree_output(self, trees: PrefixTrees) -> Tensor:
        weights = next(self.model.text_model.parameters())
        device, dtype = weights.device, weights.dtype
        if torch.is_autocast_enabled(device.type):
            dtype = torch.get_autocast_dtype(device.type)
        hidden_from = torch.zeros(trees.attends.shape, dtype=dtype).masked_fill(~trees.attends, torch.finfo(dtype).min)
        with self.text_tower.grad():
            hidden = self.model.text_model(
                input_ids=trees.tokens.to(device),
                attention_mask=hidden_from[:, None].to(device),
                position_ids=trees.positions.to(device),
            ).last_hidden_state
        return hidden[trees.tree.to(device), trees.place.to(device)]

    @torch.no_grad()
    def _try_trees(self, text: Tensor) -> bool:
        """Whether this model, in this version of transformers, heeds the mask of a tree: of a text with and without
        its last word, whose last tokens must not see each other's.
        """
        input_ids = torch.stack([text, torch.cat([text[:-2], text[-1:], text[-1:]])])
        attention_mask = torch.ones_like(input_ids)
        attention_mask[1, -1] = 0
        training = self.training
        self.eval()
        try:
            with torch.autocast(next(self.parameters()).device.type, enabled=False):
                expected = super().prompt_tower_output(input_ids, attention_mask)
                got = self._tree_output(prefix_trees(input_ids, attention_mask, self.max_text_length))
            return torch.allclose(got, expected, atol=1e-2 * float(expected.abs().max()))
        except (TypeError, ValueError, RuntimeError, IndexError):
            return False
        finally:
            self.train(training)

    def project_text(self, pooled: Tensor) -> Tensor:
        """B x h -> B x d by the checkpoint's linear projection."""
        projected: Tensor = self.model.text_projection(pooled)
        return projected

    def checkpoint_tensors(self) -> dict[str, Tensor]:
        """Weights under transformers' keys."""
        return dict(self.model.state_dict())
