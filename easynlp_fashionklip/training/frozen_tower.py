"""What is frozen of a tower has its outputs kept: no text or picture passes it a second time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.training.bank import EmbeddingBank
from easynlp_fashionklip.training.mapped import SpilledTensor

BUDGET_BYTES = 32 << 20
_ROWS_AT_ONCE = 4096
Compute = Callable[[Tensor], Tensor]


class FrozenTowerCache:
    """Tower outputs, float32, by key (a row or concept number below `num_keys`).

    Within the budget they are in memory, beyond it in a temporary file, and where there is no room for that, only the
    first keys are kept: memory does not grow with the catalogue. One that is to be `whole` keeps all in memory then.
    """

    def __init__(self, num_keys: int, budget: int = BUDGET_BYTES, whole: bool = False) -> None:
        self.num_keys = num_keys
        self.budget = budget
        self._whole = whole
        self._outputs: SpilledTensor | None = None
        self._known = torch.zeros(0, dtype=torch.bool)

    def get(self, keys: Tensor, compute: Compute) -> Tensor:
        """Tower outputs (n, h) of int64 keys (n,), on the CPU.

        Args:
            keys: which texts or pictures, n >= 1.
            compute: given positions within `keys` (int64, ascending, at least one), returns those outputs.
        """
        keys = keys.cpu()
        known = self.holds(keys)
        if bool(known.all()):
            return self.read(keys)
        missing = (~known).nonzero().flatten()
        computed = compute(missing).detach().float().cpu()
        result = computed.new_zeros(len(keys), computed.shape[1])
        result[missing] = computed
        if len(missing) < len(keys):
            result[known] = self.read(keys[known])
        self.store(keys[missing], computed)
        return result

    def holds(self, keys: Tensor) -> Tensor:
        """Which of int64 keys (n,) are kept: bool (n,)."""
        known = torch.zeros(len(keys), dtype=torch.bool)
        inside = keys < len(self._known)
        known[inside] = self._known[keys[inside]]
        return known

    @property
    def complete(self) -> bool:
        """Whether every key is kept."""
        return len(self._known) == self.num_keys and bool(self._known.all())

    def store(self, keys: Tensor, outputs: Tensor) -> None:
        """Keep outputs (n, h) of int64 keys (n,), both on the CPU, as far as there is room."""
        store = self._room(outputs.shape[1])
        inside = keys < len(self._known)
        store.values[keys[inside]] = outputs[inside].float()
        self._known[keys[inside]] = True
        store.release()

    def _room(self, width: int) -> SpilledTensor:
        if self._outputs is None:
            with torch.inference_mode(False):  # tensors made in it could not be written to outside
                self._outputs = SpilledTensor(self.num_keys, width, torch.float32, self.budget, shrinks=not self._whole)
                self._known = torch.zeros(len(self._outputs.values), dtype=torch.bool)
        return self._outputs

    def read(self, keys: Tensor) -> Tensor:
        """Tower outputs (n, h) of int64 keys (n,) that are all kept.

        Raises:
            KeyError: one is not.
        """
        keys = keys.cpu()
        if self._outputs is None or not bool(self.holds(keys).all()):
            raise KeyError(f"{int((~self.holds(keys)).sum())} of {len(keys)} keys are not kept")
        found = self._outputs.values[keys]
        self._outputs.release()
        return found


class KeptTexts:
    """Texts by key (a row, or a concept's number), and what is frozen of the text tower made of them.

    Of a frozen tower its outputs are kept; of one whose upper layers train, if `states` are asked for, what the layers
    below those made of each token.
    """

    def __init__(self, model: DualEncoder, num_keys: int, states: bool = False) -> None:
        self.model = model
        self.states = states and model.text_tower_splits
        self.cache = FrozenTowerCache(num_keys) if num_keys and (model.text_tower_frozen or self.states) else None

    def compute(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """What is kept of texts (n x L), a row for each."""
        if not self.states:
            return self.model.text_tower_output(input_ids, attention_mask)
        states = self.model.text_states(input_ids, attention_mask)
        return F.pad(states, (0, 0, 0, self.model.processor.max_length - states.shape[1])).flatten(1)

    def encode(self, tokens: Mapping[str, Tensor], keys: Tensor) -> Tensor:
        """(n, d) unit vectors of tokenised texts with these keys (int64, n)."""
        device = self.model.logit_scale.device
        ids, mask = tokens["input_ids"].to(device), tokens["attention_mask"].to(device)
        if self.cache is None:
            return self.model.encode_text(ids, mask)
        found = self.cache.get(keys, lambda chosen: self.compute(ids[chosen], mask[chosen])).to(device)
        if self.states:
            states = found.unflatten(1, (self.model.processor.max_length, -1))[:, : ids.shape[1]]
            found = self.model.text_tower_output_of(states, ids, mask)
        return self.model.project_text(found)

    def keep_nothing(self) -> None:
        """Let texts pass the whole tower each time."""
        self.states, self.cache = False, None

    def replace(self, outputs: Tensor) -> None:
        """Keep these tower outputs (one for each key) from now on, whatever is frozen."""
        self.states = False
        self.cache = FrozenTowerCache(len(outputs), whole=True)
        self.cache.store(torch.arange(len(outputs)), outputs)


class FrozenPictures:
    """The pictures of one table as a frozen image tower sees them: once encoded, they need not be opened again.

    All of them are kept or none: a batch has either all its pixels or none. Augmentation ends with the first picture
    that is kept, as each picture has one output.
    """

    def __init__(self, model: DualEncoder, num_rows: int) -> None:
        self.model = model
        self.cache = FrozenTowerCache(num_rows) if num_rows and model.image_tower_frozen else None

    @property
    def wanted(self) -> bool:
        """Whether the tower is frozen, so that `store` is to be given its outputs."""
        return self.cache is not None

    @property
    def complete(self) -> bool:
        """Whether every picture of the table is kept."""
        return self.cache is not None and self.cache.complete

    def store(self, rows: Tensor, outputs: Tensor) -> None:
        """Keep tower outputs (n, h) of rows (int64, n)."""
        assert self.cache is not None
        self.cache.store(rows, outputs)

    def encode(self, batch: Mapping[str, Any]) -> Tensor:
        """(n, d) unit vectors of a batch's pictures: of its `pixel_values`, or without them of its `rows`."""
        device = self.model.logit_scale.device
        if "pixel_values" in batch:
            return self.model.encode_image(batch["pixel_values"].to(device, non_blocking=True))
        return self.embeds(batch["rows"])

    def embeds(self, rows: Tensor) -> Tensor:
        """(n, d) unit vectors of rows (int64, n), by the head as it is.

        Raises:
            KeyError: a picture is not kept.
        """
        if self.cache is None:
            raise KeyError("no picture is kept")
        return self.model.project_image(self.cache.read(rows).to(self.model.logit_scale.device))

    def fill(self, bank: EmbeddingBank) -> None:
        """Set every row of a bank by the head as it is."""
        with torch.no_grad():
            for rows in torch.arange(len(bank.embeds)).split(_ROWS_AT_ONCE):
                bank.update(rows, self.embeds(rows))
