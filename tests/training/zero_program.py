"""What each process of `test_deepspeed_engine.py` runs: `python zero_program.py FOLDER STAGE...` writes FOLDER/RANK.pt.

STAGE is the name of a file in configs/deepspeed, or `ddp`: the same training with DistributedDataParallel.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import LambdaLR

from easynlp_fashionklip import distributed
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.losses import ImageTextContrastiveLoss
from easynlp_fashionklip.models.zoo import load_pretrained
from easynlp_fashionklip.training import deepspeed_engine
from easynlp_fashionklip.training.deepspeed_engine import DeepSpeedEngine
from easynlp_fashionklip.training.engine import StepResult

CONFIGS = Path(__file__).parents[2] / "configs" / "deepspeed"
STEPS, ROWS, ACCUMULATION, MAX_NORM, RATE = 4, 8, 2, 1.0, 1e-3
NAMES = ("image_embeds", "text_embeds")


class Task(nn.Module):
    """Encoder and InfoNCE over the global batch: the least that a step of training needs."""

    def __init__(self) -> None:
        super().__init__()
        self.model = load_pretrained("tiny", seed=3)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        images, texts = self.model(batch["pixel_values"], batch["input_ids"], batch["attention_mask"])
        return {"image_embeds": images, "text_embeds": texts}

    def loss(self, embeds: dict[str, Tensor]) -> Tensor:
        images, texts = (distributed.gather_with_grad(embeds[name]) for name in NAMES)
        return ImageTextContrastiveLoss()(images, texts, self.model.logit_scale.exp())


def optimizer_of(task: Task) -> torch.optim.AdamW:
    parameters = list(task.parameters())
    groups = [{"params": [p for p in parameters if (p.ndim < 2) == flat], "weight_decay": 0.01} for flat in (0, 1)]
    # A larger epsilon: Adam would make steps of full size out of the rounding of gradients that are 0 in theory.
    return torch.optim.AdamW(groups, RATE, eps=1e-4)


def schedule_of(optimizer: torch.optim.Optimizer) -> LambdaLR:
    return LambdaLR(optimizer, lambda step: 1 - step / STEPS)


def global_batch(step: int, part: int) -> dict[str, Tensor]:
    noise = torch.Generator().manual_seed(100 * step + part)
    ids = torch.randint(3, 90, (ROWS, 6), generator=noise)
    return {
        "pixel_values": torch.randn(ROWS, 3, 32, 32, generator=noise),
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
    }


def rows_of(batch: dict[str, Tensor], part: int, parts: int) -> dict[str, Tensor]:
    return {name: values.tensor_split(parts)[part] for name, values in batch.items()}


class Plain:
    """The oracle: torch alone, DistributedDataParallel where there are several processes."""

    def __init__(self, task: Task) -> None:
        self.module = DistributedDataParallel(task) if distributed.is_distributed() else task
        self.optimizer = optimizer_of(task)
        self.schedule = schedule_of(self.optimizer)

    @contextlib.contextmanager
    def synchronised(self, last: bool) -> Iterator[None]:
        waits = not last and isinstance(self.module, DistributedDataParallel)
        with self.module.no_sync() if waits else contextlib.nullcontext():
            yield

    def autocast(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def backward(self, loss: Tensor, last: bool) -> None:
        loss.backward()

    def step(self) -> StepResult:
        norm = float(torch.nn.utils.clip_grad_norm_(self.module.parameters(), MAX_NORM))
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)
        return StepResult(norm, False)


def start(config: str, task: Task, dtype: torch.dtype = torch.float32) -> DeepSpeedEngine:
    optimizer = optimizer_of(task)
    return deepspeed_engine.build(
        task,
        task.model,
        optimizer,
        schedule_of(optimizer),
        config_path=CONFIGS / f"{config}.json",
        micro_batch_size=ROWS // distributed.world_size(),
        backward_passes=ACCUMULATION,
        max_grad_norm=MAX_NORM,
        dtype=dtype,
    )


def plain_batch(task: Task, engine: Any, batch: dict[str, Tensor], last: bool, spoil: float) -> float:
    """Forward and backward of one contrastive batch at once."""
    with engine.synchronised(last):
        with engine.autocast():
            outputs = engine.module(batch)
        loss = task.loss(outputs)
        engine.backward(loss * (spoil / ACCUMULATION), last)
    return float(loss.detach())


def cached_batch(task: Task, engine: Any, batch: dict[str, Tensor], last: bool, spoil: float) -> float:
    """The same with gradient caching: embeddings of two micro-batches first, then a backward pass for each."""
    micro = [rows_of(batch, part, 2) for part in range(2)]
    with torch.no_grad():
        encoded = [engine.module(one) for one in micro]
    leaves = {name: torch.cat([one[name] for one in encoded]).requires_grad_() for name in NAMES}
    loss = task.loss(leaves)
    wanted = (*leaves.values(), task.model.logit_scale)
    *embeds, temperature = torch.autograd.grad(loss * (spoil / ACCUMULATION), wanted)
    for part, one in enumerate(micro):
        final = last and part == 1
        with engine.synchronised(final):
            outputs = engine.module(one)
            shares = [gradient.tensor_split(2)[part] for gradient in embeds]
            surrogate = sum((outputs[name] * share).sum() for name, share in zip(NAMES, shares, strict=True))
            engine.backward(surrogate + (part == 1) * (task.model.logit_scale * temperature).sum(), final)
    return float(loss.detach())


Batch = Callable[[Task, Any, dict[str, Tensor], bool, float], float]


def take(task: Task, engine: Any, steps: range, batch_of: Batch = plain_batch, spoil: float = 1.0) -> Any:
    """(losses, gradient norms, skipped) of optimizer steps of two contrastive batches each."""
    told = []
    for step in steps:
        losses = []
        for part in range(ACCUMULATION):
            share = rows_of(global_batch(step, part), distributed.rank(), distributed.world_size())
            losses.append(batch_of(task, engine, share, part == ACCUMULATION - 1, spoil))
        result = engine.step()
        told.append((*losses, result.grad_norm, result.skipped))
    return told


def weights_of(engine: DeepSpeedEngine) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in engine.weights().items()}


def stage(name: str, folder: Path) -> dict[str, Any]:
    task = Task()
    engine = start(name, task)
    begun = weights_of(engine)
    told = take(task, engine, range(2))
    engine.save(folder / f"{name}.deepspeed", "resume")
    state = engine.state_dict()
    told += take(task, engine, range(2, STEPS))
    result = {"told": told, "begun": begun, "weights": weights_of(engine), "rate": engine.learning_rate()}
    with engine.whole():
        if distributed.rank() == 0:
            task.model.save_pretrained(folder / name)
        # Unequal work on the processes must not make them wait for each other.
        pixels = global_batch(0, 0)["pixel_values"]
        with torch.no_grad():
            for _ in range(1 + distributed.rank()):
                result["embeds"] = task.model.encode_image(pixels)

    task = Task()
    engine = start(name, task)
    engine.load(folder / f"{name}.deepspeed", "resume")
    engine.load_state_dict(state)
    result["resumed"] = take(task, engine, range(2, STEPS))
    result["resumed_weights"] = weights_of(engine)

    task = Task()
    engine = start(name, task)
    result["cached"] = take(task, engine, range(2), cached_batch)
    before = weights_of(engine)
    result["spoilt"] = take(task, engine, range(1), spoil=math.nan if distributed.rank() == 0 else 1.0)
    after = weights_of(engine)
    result["unchanged"] = all(torch.equal(before[key], after[key]) for key in before)
    result["cached"] += take(task, engine, range(2, STEPS), cached_batch)
    result["cached_weights"] = weights_of(engine)
    return result


def with_ddp(_: str, __: Path) -> dict[str, Any]:
    task = Task()
    told = take(task, Plain(task), range(STEPS))
    return {"told": told, "weights": {name: tensor.clone() for name, tensor in task.model.state_dict().items()}}


def with_bf16(_: str, __: Path) -> dict[str, Any]:
    task = Task()
    engine = start("zero2", task, torch.bfloat16)
    told = take(task, engine, range(STEPS))
    return {"told": told, "dtypes": {tensor.dtype for tensor in engine.weights().values()}}


def elsewhere(_: str, folder: Path) -> dict[str, str]:
    """What resuming another run's point says, by folder."""
    messages = {}
    for path in sorted(folder.parent.glob("*/zero[12].deepspeed")):
        if path.parent == folder:
            continue
        try:
            start("zero2", Task()).load(path, "resume")
        except InputError as error:
            messages[path.name] = str(error)
    return messages


def refused(_: str, folder: Path) -> dict[str, str]:
    """What cannot be done, and what is said about it."""
    bad = folder / "bad.json"
    bad.write_text(json.dumps({"zero_optimization": {"stage": 2, "stag3_prefetch": 1}}))
    (folder / "a file").write_text("")
    engine = start("zero2", Task())
    engine.save(folder / "damaged", "resume")
    engine.save(folder / "damaged", "resume")  # replaces
    for path in (folder / "damaged" / "resume").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    acts: dict[str, Callable[[], Any]] = {
        "unknown key": lambda: start(str(bad.with_suffix("")), Task()),
        "another stage": lambda: engine.load(folder / "zero1.deepspeed", "resume"),
        "no folder": lambda: engine.load(folder / "nowhere", "resume"),
        "not whole": lambda: engine.load(folder, "resume"),
        "damaged": lambda: start("zero2", Task()).load(folder / "damaged", "resume"),
        "without DeepSpeed": lambda: engine.load_state_dict({"optimizer": {}}),
        "unwritable": lambda: engine.save(folder / "a file" / "x.deepspeed", "resume"),
        "half precision": lambda: start("zero2", Task(), torch.float16),
    }
    messages = {}
    for name, act in acts.items():
        try:
            act()
        except InputError as error:
            messages[name] = str(error)
    return messages


def main(folder: Path, names: list[str]) -> None:
    torch.set_num_threads(1)
    distributed.initialise()
    special = {"ddp": with_ddp, "bf16": with_bf16, "elsewhere": elsewhere, "refused": refused}
    results = {name: special.get(name, stage)(name, folder) for name in names}
    torch.save(results, folder / f"{distributed.rank()}.pt")
    distributed.barrier()
    distributed.finish()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
