"""Steps that `training.py` times: ViT-B/32 on two sides, and `starter` with a catalogue's concepts in memory."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from open_clip_peer import OpenClipTraining
from release_loop import ReleaseLoop
from transformers import CLIPConfig, CLIPModel

from easynlp_fashionklip.app.data import FashionKLIPDataset, open_pairs
from easynlp_fashionklip.app.frozen import keep_frozen_texts
from easynlp_fashionklip.app.graph import prepare_graph
from easynlp_fashionklip.config import AppConfig
from easynlp_fashionklip.data.loader import build_loader
from easynlp_fashionklip.data.samplers import GlobalBatchSampler
from easynlp_fashionklip.models.backends.clip import ClipBackend
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.zoo import load_pretrained
from easynlp_fashionklip.training.contrastive_step import contrastive_step
from easynlp_fashionklip.training.engine import LocalEngine
from easynlp_fashionklip.training.optimization import AdamW, parameter_groups, warmup_cosine
from easynlp_fashionklip.training.task import FashionKLIPTask

RATE, DECAY, MANY = 1e-4, 0.1, 10**6


PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def peak_memory(device: str) -> float:
    """The most that this process has taken so far, in MiB: of the GPU's memory, or its resident set."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def wait_for(device: str) -> None:
    """Until the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def least(ways: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Least seconds of each way over some rounds, the ways taking turns, after one call each to warm up."""
    best: dict[str, float] = {}
    for round_number in range(rounds + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            seconds = time.perf_counter() - started
            if round_number:
                best[name] = min(seconds, best.get(name, seconds))
    return best


def local_engine(task: FashionKLIPTask, dtype: torch.dtype = torch.float32) -> LocalEngine:
    """The engine of one process with the optimizer that training uses."""
    optimizer = AdamW(parameter_groups(task, DECAY, RATE), RATE, MANY)
    schedule = warmup_cosine(optimizer, 0, MANY)
    return LocalEngine(task, task.model, optimizer, schedule, max_grad_norm=1.0, dtype=dtype)


class _NoTexts:
    """A processor for batches that are tensors already."""


class ViTSteps:
    """ITC steps of a ViT-B/32 with random weights on random pictures and texts of 77 tokens."""

    def __init__(self, side: str, batch: int, precision: str, device: str) -> None:
        generator = torch.Generator().manual_seed(0)
        self.pictures = torch.randn(batch, 3, 224, 224, generator=generator)
        self.ids = torch.randint(1, 49000, (batch, 77), generator=generator)
        self.ids[:, -1] = 49407  # end of text
        self.device = device
        if side == "open_clip":
            self._peer = OpenClipTraining({"bf16": "amp_bf16"}.get(precision, precision), device)
            self._step: Callable[[], None] = self._theirs
            return
        torch.manual_seed(0)
        model = DualEncoder(ClipBackend(CLIPModel(CLIPConfig())), _NoTexts()).to(device).train()  # type: ignore[arg-type]
        self._task = FashionKLIPTask(model, AppConfig(cva=False), 0)
        self._engine = local_engine(self._task, PRECISIONS[precision])
        keys = torch.arange(batch)
        self._batch = {
            "pixel_values": self.pictures,
            "input_ids": self.ids,
            "attention_mask": torch.ones_like(self.ids),
            "rows": keys,
            "product_keys": keys,
            "text_keys": keys,
        }
        self._step = self._ours

    def _theirs(self) -> None:
        self._peer.train([(self.pictures, self.ids)])

    def _ours(self) -> None:
        contrastive_step(self._task, self._engine, [self._batch])
        self._engine.step()

    def run(self, steps: int) -> None:
        """Take some steps."""
        for _ in range(steps):
            self._step()
        wait_for(self.device)

    def timed(self, steps: int) -> float:
        """Seconds a step."""
        started = time.perf_counter()
        self.run(steps)
        return (time.perf_counter() - started) / steps


class PairsInMemory:
    """A few decoded batches of a catalogue, `starter`, and its graph with prototypes.

    Of the text tower the upper `text_layers` train.
    """

    def __init__(self, data: Path, batch: int, steps: int, precision: str, device: str, text_layers: int = 0) -> None:
        torch.manual_seed(0)
        self.device = device
        self._config = AppConfig(image_size=112, data_workers=0)
        model = load_pretrained("starter", image_size=112, seed=1).to(device).train()
        model.set_trainable_layers(text=text_layers)
        table = open_pairs(
            str(data), self._config, text="caption", image="image", input_schema=None, skip_first_line=False
        )
        table = table.subset(range(min(len(table), 2000)))
        self._task = FashionKLIPTask(model, self._config, len(table))
        with tempfile.TemporaryDirectory() as folder:
            prepare_graph(self._task, table, self._config, folder)
        keep_frozen_texts(self._task.captions, table.text)
        model.train()
        self._engine = local_engine(self._task, PRECISIONS[precision])
        dataset = FashionKLIPDataset(table, model.processor, seed=1, is_training=True)
        sampler = GlobalBatchSampler(len(table), batch, seed=1)
        loader = build_loader(dataset.pairs, sampler, dataset.batch_fn, workers=0)
        batches: list[Any] = [one for one, _ in zip(loader, range(steps), strict=False)]
        self._batches = batches
        self._turn = cycle(batches)
        knowledge = self._knowledge = self._task.knowledge
        assert knowledge is not None
        self._release = ReleaseLoop(model, knowledge, self._task.bank.embeds)
        found = [knowledge.batch(one["rows"], self._task.bank)[0] for one in batches]
        self.concepts_per_batch = sum(map(len, found)) / len(found)

    def itc_step(self) -> None:
        """Without concepts."""
        self._task.knowledge = None
        self._train([next(self._turn)])
        self._task.knowledge = self._knowledge

    def cva_step(self) -> None:
        """As training does it."""
        self._train([next(self._turn)])

    def uncached(self, step: Callable[[], None]) -> Callable[[], None]:
        """The step with nothing kept: captions and concepts pass the text tower each time."""

        def run() -> None:
            kept = self._task.captions, self._task.prompts
            caches = [one.cache for one in kept]
            for one in kept:
                one.cache = None
            step()
            for one, cache in zip(kept, caches, strict=True):
                one.cache = cache

        return run

    def release_step(self) -> None:
        """ITC, and the concepts in the release's way."""
        batch = next(self._turn)
        self._task.knowledge = None
        with self._engine.autocast():
            outputs = self._task(batch)
        losses = self._task.compute_loss(outputs)
        self._task.knowledge = self._knowledge
        scale = self._task.model.logit_scale.exp()
        with self._engine.autocast():
            concepts = self._release.loss(outputs["image_embeds"], self._named(batch), scale)
        self._engine.backward(0.8 * losses["loss"] + 0.2 * concepts.squeeze(), last=True)
        self._engine.step()

    def _named(self, batch: dict[str, Any]) -> list[list[int]]:
        assert self._knowledge is not None
        numbers, known = self._knowledge.batch(batch["rows"], self._task.bank, paper_slots=True)
        assert known.slots is not None
        return [[int(numbers[place]) for place in row if place >= 0] for row in known.slots.tolist()]

    def contrastive_batch(self) -> None:
        """All batches as micro-batches of one."""
        self._train(self._batches)

    def _train(self, micro_batches: list[dict[str, Any]]) -> None:
        contrastive_step(self._task, self._engine, micro_batches)
        self._engine.step()
        wait_for(self.device)
