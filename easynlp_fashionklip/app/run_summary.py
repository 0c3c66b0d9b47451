"""One table, before the first step, of what will run and what it will take."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence

import torch
from rich.console import Console
from rich.table import Table

from easynlp_fashionklip import distributed
from easynlp_fashionklip.app.data import FashionKLIPDataset
from easynlp_fashionklip.config import AppConfig
from easynlp_fashionklip.data.loader import worker_count
from easynlp_fashionklip.models.cpu import cpu_settings
from easynlp_fashionklip.training.engine import Engine
from easynlp_fashionklip.training.memory import MemoryEstimate, estimate, kept_for_backward
from easynlp_fashionklip.training.precision import NAMES
from easynlp_fashionklip.training.step_plan import StepPlan
from easynlp_fashionklip.training.task import FashionKLIPTask

_PROBE = 2

Row = tuple[str, str]


def tell(
    task: FashionKLIPTask,
    engine: Engine,
    dataset: FashionKLIPDataset,
    args: Namespace,
    plan: StepPlan,
    dtype: torch.dtype,
) -> None:
    """Print the table to stderr; every process takes part, the first prints."""
    rows, table = run_rows(task, dataset, args, plan, dtype), dataset.table
    texts = [table.pair(position).text for position in range(min(_PROBE, len(table)))]
    with engine.whole():
        memory = measure_memory(task, engine, texts, args.micro_batch_size)
    if distributed.rank() == 0:
        _show([*rows, *memory_rows(memory, task.config)])


def run_rows(
    task: FashionKLIPTask, dataset: FashionKLIPDataset, args: Namespace, plan: StepPlan, dtype: torch.dtype
) -> list[Row]:
    """(what, value) of model, data, batch, steps and machine."""
    config, table, world = task.config, dataset.table, distributed.world_size()
    # ZeRO-3 leaves each process a part of a parameter, and its size under another name.
    parameters = [(getattr(p, "ds_numel", p.numel()), p.requires_grad) for p in task.model.parameters()]
    total, trainable = sum(n for n, _ in parameters), sum(n for n, trained in parameters if trained)
    return [
        ("model", config.pretrain_model_name_or_path),
        ("parameters", f"{total:,}, of which {trainable:,} are trained"),
        ("pairs", f"{len(table):,}"),
        *_graph_rows(task),
        ("batch", _batch_told(config, args, world)),
        ("steps", f"{plan.total_steps:,} ({args.epoch_num:g} epochs of {plan.batches_per_epoch:,} batches)"),
        (
            "learning rate",
            f"{args.learning_rate:g}, warm-up over {args.warmup_proportion:.0%} of the steps, then cosine",
        ),
        ("devices", f"{world} x {distributed.device_name()}"),
        *_machine_rows(args, dtype),
        ("sampler", config.batch_sampler),
        ("engine", "DeepSpeed" if config.deepspeed_config else "DDP" if world > 1 else "PyTorch"),
    ]


def _graph_rows(task: FashionKLIPTask) -> list[Row]:
    knowledge = task.knowledge
    if knowledge is None:
        return [("concepts", "none: trained without CVA")]
    prototypes = int((knowledge.prototype_rows >= 0).sum())
    concepts = task.model.concepts
    return [
        ("concepts", f"{knowledge.num_concepts:,}, {knowledge.concepts_per_row:.1f} a pair"),
        ("concepts in texts", "left out" if concepts is None else concepts.told()),
        ("prototypes", f"{prototypes:,}"),
    ]


def _batch_told(config: AppConfig, args: Namespace, world: int) -> str:
    contrastive = config.contrastive_batch_size or args.micro_batch_size * world
    step = contrastive * args.gradient_accumulation_steps
    return (
        f"{step:,} pairs a step: micro-batches of {args.micro_batch_size}, processes {world}, "
        f"{contrastive:,} compared with each other, accumulation {args.gradient_accumulation_steps}"
    )


def _machine_rows(args: Namespace, dtype: torch.dtype) -> list[Row]:
    """Threads and processes, and on a CPU how it is set up."""
    workers = worker_count(args.data_threads, distributed.processes_here())
    if distributed.local_device().type == "cpu":
        return cpu_settings(workers, dtype == torch.bfloat16)
    told = f"{torch.get_num_threads()} threads and {workers} loader processes each"
    return [("precision", NAMES[dtype]), ("threads", told)]


def measure_memory(
    task: FashionKLIPTask, engine: Engine, texts: Sequence[str], micro_batch_size: int
) -> MemoryEstimate:
    """The estimate for this process, its activations measured in a forward pass of two pairs and multiplied.

    Nothing of the run changes: the pass is in evaluation mode, draws no random numbers and fills no cache.
    """
    model = task.model
    device, side = model.logit_scale.device, model.processor.image_size
    tokens = model.processor.tokenize([*texts, "", ""][:_PROBE])
    pixels = torch.zeros(_PROBE, 3, side, side, device=device)

    def forward() -> object:
        with engine.autocast():
            return model.encode_image(pixels), model.encode_text(
                tokens["input_ids"].to(device), tokens["attention_mask"].to(device)
            )

    training = model.training
    model.eval()
    try:
        kept = kept_for_backward(forward, model)
    finally:
        model.train(training)
    return estimate(model, task.bank.embeds, kept // _PROBE * micro_batch_size)


def memory_rows(memory: MemoryEstimate, config: AppConfig) -> list[Row]:
    """(what, value) of the memory estimate; what the options that save memory save is not in it."""
    savers = {"gradient_checkpointing": config.gradient_checkpointing, "DeepSpeed": bool(config.deepspeed_config)}
    parts = ("weights", "gradients", "optimizer", "bank", "activations")
    sizes = ", ".join(f"{name} {_size(getattr(memory, name))}" for name in parts)
    return [
        ("memory a process", f"about {_size(memory.total)} and the libraries: {sizes}"),
        ("", "activations measured on two pairs, the rest computed from sizes"),
        *[("", f"less with {name}, which is not reckoned in") for name, saves in savers.items() if saves],
    ]


def _size(number: int) -> str:
    return f"{number / (1 << 30):.1f} GiB" if number >= 1 << 30 else f"{number / (1 << 20):.1f} MiB"


def _show(rows: Sequence[Row]) -> None:
    table = Table(title="this run", show_header=False, title_justify="left")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    Console(file=sys.stderr, highlight=False, width=None if sys.stderr.isatty() else 110).print(table)
