"""Chinese CLIP checkpoints of transformers (model_type `chinese_clip`): CLIP's picture tower beside a BERT."""

from __future__ import annotations

from torch import Tensor
from transformers import ChineseCLIPModel

from easynlp_fashionklip.models.backends.base import Backend, mask_padding
from easynlp_fashionklip.models.backends.clip import ClipBackend


class ChineseClipBackend(ClipBackend):
    """`transformers.ChineseCLIPModel`; the text's embedding is a projection of BERT's [CLS] state, without a pooler."""

    model_type = "chinese_clip"
    kind = ChineseCLIPModel
    processor_name = "ChineseCLIP"

    def text_tower_output(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """B x L -> B x h; without a mask the padding token is masked, as a BERT sees all tokens."""
        mask = mask_padding(input_ids, attention_mask, self.config.text_config.pad_token_id)
        with self.text_tower.grad():
            states = self.model.text_model(input_ids=input_ids, attention_mask=mask).last_hidden_state
        first: Tensor = states[:, 0]
        return first

    def prompt_tower_output(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """B x L on the CPU -> B x h, without CLIP's trees: a BERT is not causal."""
        return Backend.prompt_tower_output(self, input_ids, attention_mask)

    def check_tokenizer(self, tokenizer: object, origin: str) -> None:
        """As for every family; the end-of-text token has no part in BERT's pooling."""
        Backend.check_tokenizer(self, tokenizer, origin)
