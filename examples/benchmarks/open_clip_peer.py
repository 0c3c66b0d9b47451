"""open_clip's own ViT-B/32 and its own training step, for `training.py` to time beside ours.

    pip install --no-deps open_clip_torch==3.3.0 ftfy

open_clip imports torchvision and timm for picture transforms and other models, which no step here uses; where they are
not installed, empty modules stand in for them while open_clip is imported.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import sys
from argparse import Namespace
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

_STANDS_IN = (
    "torchvision",
    "torchvision.transforms",
    "torchvision.transforms.functional",
    "torchvision.ops",
    "torchvision.ops.misc",
)


class _Nothing(type):
    """Classes whose attributes are names."""

    def __getattr__(cls, name: str) -> str:
        return name


class _Anything(ModuleType):
    """A module whose every name is a class that does nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Nothing(name, (), {})


def _stand_in() -> None:
    for name in _STANDS_IN:
        module = sys.modules[name] = _Anything(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
        module.__path__ = []
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)


def load() -> tuple[ModuleType, ModuleType]:
    """(open_clip, open_clip_train.train)."""
    if importlib.util.find_spec("open_clip") is None:
        raise SystemExit("open_clip is missing; install it: pip install --no-deps open_clip_torch==3.3.0 ftfy")
    if importlib.util.find_spec("torchvision") is None:
        _stand_in()
    import logging

    logging.getLogger().setLevel(logging.WARNING)  # its training loop logs every step
    return importlib.import_module("open_clip"), importlib.import_module("open_clip_train.train")


class _Data:
    """What `train_one_epoch` asks of its data: the same batches, held in memory."""

    def __init__(self, batches: list[tuple[Tensor, Tensor]]) -> None:
        self.dataloader = self
        self.batches = batches
        self.num_batches = len(batches)
        self.num_samples = sum(len(images) for images, _ in batches)

    def set_epoch(self, epoch: int) -> None:
        """Nothing is shuffled."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self.batches)


class OpenClipTraining:
    """ViT-B/32 with random weights, AdamW, ClipLoss, trained by `open_clip_train.train.train_one_epoch`."""

    def __init__(self, precision: str, device: str, accum_freq: int = 1, name: str = "ViT-B-32") -> None:
        """Args: precision: fp32 or amp_bf16. accum_freq: chunks of one contrastive batch, as its flag of that name."""
        self.package, self._train = load()
        torch.manual_seed(0)
        self.model = self.package.CLIP(**self.package.get_model_config(name), output_dict=True).to(device)
        self.loss = self.package.ClipLoss()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, weight_decay=0.1)
        self.args = Namespace(
            device=device,
            precision=precision,
            distill=False,
            accum_freq=accum_freq,
            skip_scheduler=True,
            grad_clip_norm=1.0,
            horovod=False,
            log_every_n_steps=10**9,
            world_size=1,
            batch_size=1,
            rank=0,
            local_rank=0,
            distributed=False,
            wandb=False,
        )

    def train(self, batches: list[tuple[Tensor, Tensor]]) -> None:
        """One step a batch (or one for `accum_freq` of them): pictures (B, 3, 224, 224), token ids (B, 77)."""
        self.args.batch_size = len(batches[0][0])
        with contextlib.redirect_stdout(None):
            self._train.train_one_epoch(
                self.model, {"train": _Data(batches)}, self.loss, 0, self.optimizer, None, None, None, self.args
            )
