"""EasyNLP's application: the training task behind the methods its trainer and predictors call."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from easynlp_fashionklip.app.compat import Application
from easynlp_fashionklip.config import AppConfig
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.zoo import load_pretrained
from easynlp_fashionklip.training.task import Batch, FashionKLIPTask


class FashionKLIP(Application):
    """`forward` encodes a batch, `compute_loss` gives EasyNLP's dictionary of losses."""

    def __init__(self, task: FashionKLIPTask) -> None:
        super().__init__()
        self.task = task

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str,
        *,
        config: AppConfig | None = None,
        num_rows: int = 0,
        seed: int = 0,
        **_: Any,
    ) -> FashionKLIP:
        """Load a zoo name, checkpoint folder or hub name.

        Args:
            pretrained_model_name_or_path: see `models.zoo.load_pretrained`.
            config: the app's settings.
            num_rows: size of the training table, 0 for none.
            seed: of weights that the checkpoint does not hold, such as the heads of `starter`.
        """
        config = config or AppConfig()
        encoder = load_pretrained(
            pretrained_model_name_or_path,
            image_size=config.image_size,
            seed=seed,
            activation=config.clip_activation,
            trust_pickle=config.trust_pickle,
        )
        encoder.freeze(config.freezing)
        return cls(FashionKLIPTask(encoder, config, num_rows))

    @property
    def encoder(self) -> DualEncoder:
        """The dual encoder being trained or served."""
        return self.task.model

    @property
    def config(self) -> Any:
        """The encoder's configuration; EasyNLP calls its `to_json_string()`."""
        return self.encoder.config

    def forward(self, inputs: Batch) -> Batch:
        """See `FashionKLIPTask.forward`."""
        outputs: Batch = self.task(inputs)
        return outputs

    def compute_loss(self, forward_outputs: Batch, label_ids: object = None, **_: Any) -> dict[str, Tensor]:
        """See `FashionKLIPTask.compute_loss`."""
        return self.task.compute_loss(forward_outputs, label_ids)
