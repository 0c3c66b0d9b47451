"""Everything a run needs to go on as if it had not stopped: gathered from all processes, and put back."""

from __future__ import annotations

import hashlib
import logging
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor
from torch import distributed as dist

from easynlp_fashionklip import distributed
from easynlp_fashionklip.app import resume_points
from easynlp_fashionklip.config import AppConfig
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.training.engine import Engine
from easynlp_fashionklip.training.random_state import random_state, set_random_state
from easynlp_fashionklip.training.task import FashionKLIPTask

FORMAT = 2
ENGINE_TAG = "state"
_FLAGS = (
    "learning_rate",
    "epoch_num",
    "micro_batch_size",
    "gradient_accumulation_steps",
    "random_seed",
    "weight_decay",
    "warmup_proportion",
    "max_grad_norm",
    "use_amp",
    "first_sequence",
    "second_sequence",
    "sequence_length",
)
# These change nothing that a resumed run must agree with.
_WITHOUT_EFFECT = {"data_workers", "mining_processes", "keep_checkpoints", "wandb_project", "graph_dir", "spacy_model"}

logger = logging.getLogger(__name__)


def settings_of(args: Namespace, config: AppConfig) -> dict[str, Any]:
    """By name, the flags and parameters that shape a run's numbers."""
    flags = {name: getattr(args, name, None) for name in _FLAGS}
    parameters = {name: value for name, value in asdict(config).items() if name not in _WITHOUT_EFFECT}
    return {**flags, **parameters, "processes": distributed.world_size()}


def table_digest(table: PairTable) -> str:
    """Of the products, texts and pictures (path and size) of all rows, in order; collective."""
    return str(distributed.broadcast_object(_digest(table) if distributed.rank() == 0 else None))


def _digest(table: PairTable) -> str:
    digest = hashlib.sha256(table.product_keys.tobytes())
    digest.update(table.text_keys.tobytes())
    for position in range(len(table)):
        image = table.pair(position).image
        if image is not None and image.encoded is not None:
            digest.update(image.encoded)
        elif image is not None and image.path is not None:
            size = image.path.stat().st_size if image.path.is_file() else -1
            digest.update(f"{image.path.name} {size}\n".encode())
    return f"{len(table)} rows {digest.hexdigest()}"


def gather_state(task: FashionKLIPTask, engine: Engine, table: str) -> dict[str, Any]:
    """The state of model-side things, whole on the first process; collective. `table` is its digest."""
    return {
        "format": FORMAT,
        "table": table,
        "engine": engine.state_dict(),
        "bank": task.bank.state_dict(),
        "itc": task.itc.state_dict(),
        "knowledge": None if task.knowledge is None else task.knowledge.state_dict(),
        "prompts": task.kept_prompts,
        "random": _gather_to_first(random_state(distributed.local_device())),
    }


def _gather_to_first(own: dict[str, Any]) -> list[dict[str, Any]]:
    if not distributed.is_distributed():
        return [own]
    first = distributed.rank() == 0
    everyone: list[Any] | None = [None] * distributed.world_size() if first else None
    dist.gather_object(own, everyone)
    return everyone or []


def find_point(source: str) -> Path:
    """The resume point all processes go on from: chosen by the first, which has checked its files.

    Raises:
        InputError: see `resume_points.find`.
    """
    found: Path = distributed.broadcast_object(resume_points.find(source) if distributed.rank() == 0 else None)
    return found


def restore(
    prefix: Path,
    task: FashionKLIPTask,
    engine: Engine,
    table: str,
    batches_per_epoch: int,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Put a resume point back into its places; returns its state, with the trainer's own values.

    `table` is the digest of the rows that this run trains on.

    Raises:
        InputError: it is damaged, or of another model, table, batch size, graph or engine.
    """
    weights, state = resume_points.read(prefix)
    named = f"--resume_from_checkpoint={prefix}"
    if state.get("format") != FORMAT:
        raise InputError(
            f"{named} was saved by another version; start from its checkpoint folder with pretrain_model_name_or_path."
        )
    if state["table"] != table:
        raise InputError(
            f"{named} was saved while training on other rows or pictures ({state['table'].split()[0]} rows, here "
            f"{table.split()[0]}); give the table as it was, or start from the model in {prefix.parent} with "
            "pretrain_model_name_or_path."
        )
    if state["batches_per_epoch"] != batches_per_epoch:
        raise InputError(
            f"{named} was saved with {state['batches_per_epoch']} batches an epoch, this run has {batches_per_epoch}; "
            "use the same table, processes and batch size."
        )
    _restore_knowledge(named, task, state)
    _require_same_texts(named, task, state)
    shares = resume_points.file_of(prefix, resume_points.SHARES)
    if not shares.is_dir():  # they hold the weights, too
        _restore_weights(named, task, weights, state["itc"])
    engine.load(shares, ENGINE_TAG)
    engine.load_state_dict(state["engine"])
    _restore_prompts(task, engine, state.get("prompts"))
    _restore_random_state(state["random"])
    _tell_changes(state["settings"], settings)
    return state


def _restore_weights(named: str, task: FashionKLIPTask, weights: dict[str, Any], itc: dict[str, Any]) -> None:
    try:
        task.model.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(
            f"{named} holds another model; give the pretrain_model_name_or_path the run was started with."
        ) from error
    try:
        task.itc.load_state_dict(itc)
    except RuntimeError as error:
        raise InputError(f"{named} was saved with another itc_loss; give that of the run that saved it.") from error


def _require_same_texts(named: str, task: FashionKLIPTask, state: Mapping[str, Any]) -> None:
    """Texts with concepts have weights that texts without them lack; older points were all without."""
    then = state["settings"].get("concept_text_weight", 0.0) if state["knowledge"] is not None else 0.0
    if bool(then) != (task.model.concepts is not None):
        raise InputError(f"{named} was saved with concept_text_weight={then:g}; give it again.")


def _restore_knowledge(named: str, task: FashionKLIPTask, state: dict[str, Any]) -> None:
    try:
        if (task.knowledge is None) != (state["knowledge"] is None):
            raise InputError("with and without a graph")
        task.bank.load_state_dict(state["bank"])
        if task.knowledge is not None:
            task.knowledge.load_state_dict(state["knowledge"])
    except InputError as error:
        raise InputError(
            f"{named} was saved with another concept graph; give the graph_dir and the graph settings that the run "
            "was started with."
        ) from error


def _restore_prompts(task: FashionKLIPTask, engine: Engine, kept: Tensor | None) -> None:
    """The prompts as the latest refresh had them, or those of the model as it is where the point does not say."""
    if not task.keeps_prompts:
        return
    if kept is not None:
        task.prompts.replace(kept)
        return
    logger.warning(
        "the resume point was saved with prompt_gradient=true, or by an older version: prompts are encoded anew"
    )
    with engine.whole():
        task.keep_prompts()


def _restore_random_state(processes: list[dict[str, Any]]) -> None:
    if len(processes) == distributed.world_size():
        set_random_state(processes[distributed.rank()], distributed.local_device())
        return
    logger.warning(
        "the resume point is of %d processes, here are %d: random numbers start anew",
        len(processes),
        distributed.world_size(),
    )


def _tell_changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Other settings are allowed, but not in silence."""
    changes = [f"{name}={now[name]} (was {then[name]})" for name in then if name in now and then[name] != now[name]]
    if changes:
        logger.warning(
            "resuming with other settings: %s; the peak learning rate stays that of the run's start, its curve is that "
            "of the new length, and the run will not equal an uninterrupted one",
            ", ".join(changes),
        )
