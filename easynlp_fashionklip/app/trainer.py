"""EasyNLP's trainer where it works, overridden where it cannot: CPUs, several processes, resuming, interrupting."""

from __future__ import annotations

import contextlib
import json
import logging
import math
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from easynlp_fashionklip import distributed
from easynlp_fashionklip.app import checkpoints
from easynlp_fashionklip.app.compat import Trainer
from easynlp_fashionklip.app.data import FashionKLIPDataset
from easynlp_fashionklip.app.evaluator import FashionKLIPEvaluator
from easynlp_fashionklip.app.interrupt import Interrupted, StopSignals
from easynlp_fashionklip.app.model import FashionKLIP
from easynlp_fashionklip.app.progress import TrainingBar
from easynlp_fashionklip.data.dataset import Batch, iterate_batches
from easynlp_fashionklip.data.loader import build_loader
from easynlp_fashionklip.data.samplers import GlobalBatchSampler
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.training.optimization import AdamW, parameter_groups, warmup_cosine

HISTORY = "history.jsonl"
logger = logging.getLogger(__name__)


class FashionKLIPTrainer(Trainer):
    """Trains a `FashionKLIP` application on 1 to n processes.

    Overridden, each because EasyNLP 0.0.3's own cannot do it: the loader (its sampler never reshuffles and keeps
    uneven batches), model and optimizer (CPU and 2-process CPU fail), mixed precision (never clips nor clears), saving
    (fails without a vocabulary file), resuming (forgets the scheduler), `train` (accumulation, interruption).
    """

    def __init__(
        self, model: FashionKLIP, train_dataset: FashionKLIPDataset, evaluator: FashionKLIPEvaluator | None = None
    ) -> None:
        self._best_score = float("-inf")
        self._start_batch = 0
        super().__init__(model, train_dataset, evaluator)
        self._global_step = self._start_global_step

    # ------------------------------------------------------------------------------------------------------- set-up

    @property
    def folder(self) -> Path:
        """`--checkpoint_dir`."""
        return Path(self.args.checkpoint_dir)

    @property
    def learning_rate(self) -> float:
        """Of the first parameter group."""
        return self._optimizer.get_current_lr()

    def set_train_loader(self, train_dataset: FashionKLIPDataset, args: Namespace) -> None:
        """Shuffled global batches, the same whatever the number of processes."""
        rank, world = distributed.rank(), distributed.world_size()
        self._sampler = GlobalBatchSampler(
            len(train_dataset), args.micro_batch_size, rank, world, seed=args.random_seed
        )
        self._train_loader = build_loader(
            train_dataset.pairs, self._sampler, train_dataset.batch_fn, workers=args.data_threads, processes=world
        )
        self._batches = math.ceil(len(self._sampler) * args.epoch_num)
        epochs = range(math.ceil(args.epoch_num))
        self.total_training_steps = sum(
            math.ceil(self._epoch_end(epoch) / args.gradient_accumulation_steps) for epoch in epochs
        )

    def set_model_and_optimizer(self, model: FashionKLIP, args: Namespace) -> None:
        """Move the model to this process's device, wrap it for several processes, build AdamW and its schedule."""
        device = distributed.local_device()
        model.to(device)
        self._model: torch.nn.Module = model
        if distributed.is_distributed():
            ids = [device.index] if device.type == "cuda" else None
            self._model = DistributedDataParallel(model, device_ids=ids)
        groups = parameter_groups(model, args.weight_decay, args.learning_rate, model.task.config.layer_decay)
        self._optimizer = AdamW(groups, args.learning_rate, self.total_training_steps)
        warmup = math.ceil(args.warmup_proportion * self.total_training_steps)
        self._lr_scheduler = warmup_cosine(self._optimizer, warmup, self.total_training_steps)
        self._half = torch.bfloat16 if device.type == "cpu" or torch.cuda.is_bf16_supported() else torch.float16
        needs_scaling = bool(args.use_amp) and self._half == torch.float16
        self._scaler = torch.amp.GradScaler(device.type, enabled=needs_scaling)

    def set_tensorboard(self) -> None:
        """EasyNLP's writer, on the first process, in a folder that exists; the history up to where this run begins."""
        self.folder.mkdir(parents=True, exist_ok=True)
        super().set_tensorboard()
        if self.args.is_master_node:
            checkpoints.cut_history(self.folder / "log" / HISTORY, self._start_global_step)

    def autocast_context_manager(self) -> contextlib.AbstractContextManager[Any]:
        """bfloat16 (float16 on older GPUs) under --use_amp."""
        return torch.autocast(distributed.local_device().type, self._half, enabled=bool(self.args.use_amp))

    # ------------------------------------------------------------------------------------------------------- resuming

    def resume_from_ckpt(self, model_module: FashionKLIP, args: Namespace) -> None:
        """Restore weights, optimizer, schedule, random state, prototypes and the place in the epoch."""
        if args.resume_from_checkpoint is None:
            return
        weights, state = checkpoints.read_resume_point(args.resume_from_checkpoint)
        if state["batches_per_epoch"] != len(self._sampler):
            raise InputError(
                f"--resume_from_checkpoint={args.resume_from_checkpoint} was saved with {state['batches_per_epoch']} "
                f"batches an epoch, this run has {len(self._sampler)}; use the same table, processes and batch size."
            )
        try:
            model_module.encoder.load_state_dict(weights)
        except RuntimeError as error:
            raise InputError(
                f"--resume_from_checkpoint={args.resume_from_checkpoint} holds another model; give the "
                "pretrain_model_name_or_path the run was started with."
            ) from error
        self._optimizer.load_state_dict(state["optimizer"])
        self._lr_scheduler.load_state_dict(state["scheduler"])
        self._scaler.load_state_dict(state["scaler"])
        self._start_epoch, self._start_batch = state["epoch"], state["batch"]
        self._start_global_step = state["global_step"]
        self._best_score = state["best_score"]
        torch.set_rng_state(state["random_state"])
        task = model_module.task
        if task.knowledge is not None:
            restore(task.bank.embeds, state["bank"], args)
            restore(task.knowledge.prototype_rows, state["prototype_rows"], args)
        logger.info("resuming at epoch %d, batch %d", self._start_epoch + 1, self._start_batch)

    def _save_resume_point(self, epoch: int, batch: int) -> Path:
        """Write a resume point for batch `batch` of `epoch`; older ones go unless --save_all_checkpoints."""
        task = self.model_module.task
        state = {
            "epoch": epoch,
            "batch": batch,
            "batches_per_epoch": len(self._sampler),
            "global_step": self._global_step,
            "best_score": self._best_score,
            "optimizer": self._optimizer.state_dict(),
            "scheduler": self._lr_scheduler.state_dict(),
            "scaler": self._scaler.state_dict(),
            "random_state": torch.get_rng_state(),
            "bank": task.bank.embeds,
            "prototype_rows": None if task.knowledge is None else task.knowledge.prototype_rows,
        }
        if self.args.is_master_node:
            checkpoints.write_resume_point(
                self.folder, self._global_step, self.model_module.encoder.state_dict(), state
            )
            if not self.args.save_all_checkpoints:
                for step in checkpoints.resume_points(self.folder):
                    if step != self._global_step:
                        checkpoints.remove_resume_point(self.folder, step)
        distributed.barrier()
        return self.folder / f"pytorch_model_step_{self._global_step}"

    # ------------------------------------------------------------------------------------------------------- training

    def train(self) -> None:
        """Run to `--epoch_num` epochs, evaluating and saving after each.

        Raises:
            Interrupted: a signal asked to stop; a resume point has been saved.
            InputError: a row could not be read.
        """
        done = self._start_epoch * len(self._sampler) + self._start_batch
        with StopSignals() as signals, TrainingBar(self._batches, done, self.args.is_master_node) as bar:
            self._bar = bar
            for epoch in range(self._start_epoch, math.ceil(self.args.epoch_num)):
                self.before_epoch(epoch)
                self._train_epoch(epoch, signals)
                self.after_epoch()
                self._start_batch = 0
        self.after_train()

    def before_epoch(self, _epoch: int) -> None:
        """Reshuffle; re-rank the prototypes unless a resume point has brought those of this epoch."""
        self._current_epoch = _epoch
        self._sampler.set_epoch(_epoch)
        self._sampler.set_start_batch(self._start_batch)
        self._model.train()
        if self._start_batch == 0:
            self.model_module.task.refresh_prototypes()

    def _epoch_end(self, epoch: int) -> int:
        """How many batches of an epoch this run takes: fewer in the last one of a broken --epoch_num."""
        return min(len(self._sampler), self._batches - epoch * len(self._sampler))

    def _train_epoch(self, epoch: int, signals: StopSignals) -> None:
        batch_number = self._start_batch
        for batch in iterate_batches(self._train_loader):
            if batch_number >= self._epoch_end(epoch):
                break
            self._step(batch_number, batch)
            batch_number += 1
            if self._whole_step(batch_number) and signals.asked():
                prefix = self._save_resume_point(epoch, batch_number)
                raise Interrupted(f"stopped; go on with --resume_from_checkpoint={prefix}")

    def _whole_step(self, batch_number: int) -> bool:
        """Whether an optimizer step ends before this batch: an epoch's last one may have fewer batches."""
        at_end = batch_number >= self._epoch_end(self._current_epoch)
        return at_end or batch_number % self.args.gradient_accumulation_steps == 0

    def _batches_of_step(self, batch_number: int) -> int:
        """How many batches accumulate in the optimizer step that this batch belongs to."""
        accumulation = self.args.gradient_accumulation_steps
        first = batch_number // accumulation * accumulation
        return min(accumulation, self._epoch_end(self._current_epoch) - first)

    def _step(self, batch_number: int, batch: Batch) -> None:
        """Forward and backward of one batch; every `gradient_accumulation_steps` of them an optimizer step."""
        label_ids = batch.pop("label_ids", None)
        last = self._whole_step(batch_number + 1)
        with self._synchronised(last):
            with self.autocast_context_manager():
                outputs = self._model(batch)
            # In full precision: logits reach 100, where bfloat16 steps by a half.
            losses = self.model_module.compute_loss(outputs, label_ids)
            self._scaler.scale(losses["loss"] / self._batches_of_step(batch_number)).backward()
        if last:
            self.optimizer_step()
        told = {name: float(value.detach()) for name, value in losses.items()}
        self._bar.advance(told["loss"], len(batch["rows"]) * distributed.world_size())
        self.after_iter(batch_number, self._current_epoch, told)

    @contextlib.contextmanager
    def _synchronised(self, last: bool) -> Iterator[None]:
        """Gradients travel between processes only with the last batch of an optimizer step."""
        if last or not isinstance(self._model, DistributedDataParallel):
            yield
        else:
            with self._model.no_sync():
                yield

    def optimizer_step(self) -> None:
        """Clip, step, advance the schedule, clear."""
        self._scaler.unscale_(self._optimizer)
        torch.nn.utils.clip_grad_norm_(self.model_module.parameters(), self.max_grad_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._lr_scheduler.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._global_step += 1

    def after_iter(self, _step: int, _epoch: int, loss_dict: dict[str, float]) -> None:
        """Stop on a loss that is no number; log; refresh prototypes and save where a step count asks for it."""
        if not self._whole_step(_step + 1):
            return
        if not math.isfinite(loss_dict["loss"]):
            raise InputError(
                f"the loss became {loss_dict['loss']} at step {self._global_step}; lower --learning_rate (now "
                f"{self.args.learning_rate}) or drop --use_amp, and resume from the last checkpoint."
            )
        self._log(loss_dict)
        refresh, save = self.model_module.task.config.refresh_steps, self.args.save_checkpoint_steps
        if refresh and self._global_step % refresh == 0:
            self.model_module.task.refresh_prototypes()
        if save and self._global_step % save == 0:
            self._evaluate_and_keep_best()
            self._save_resume_point(_epoch, _step + 1)

    def after_epoch(self) -> None:
        """Evaluate, keep the best, leave a resume point at the next epoch's start."""
        end = self._epoch_end(self._current_epoch)
        if self._start_batch >= end:
            return
        self._evaluate_and_keep_best()
        whole = end == len(self._sampler)
        self._save_resume_point(self._current_epoch + whole, 0 if whole else end)

    def after_train(self) -> None:
        """Tell where everything is."""
        if self.args.is_master_node:
            self.tensorboard.close()
            score = f"mean recall {self._best_score:.2f}" if math.isfinite(self._best_score) else "not evaluated"
            logger.info("best model in %s, %s", self.folder, score)

    # ------------------------------------------------------------------------------------------------------- results

    def _evaluate_and_keep_best(self) -> None:
        """Score the second table and save when the mean recall is the best so far; without one, always save."""
        score = float("inf")
        if self.evaluator is not None:
            scores = self.evaluator.evaluate(self.model_module)
            score = scores[0][1]
            self.evaluator.best_valid_score = max(self.evaluator.best_valid_score, score)
            self._log({f"eval/{name}": value for name, value in scores}, scalars=False)
            best = max(score, self._best_score)
            self._bar.tell(f"epoch {self._current_epoch + 1}: mean recall {score:.2f} (best so far {best:.2f})")
        if score > self._best_score or self.evaluator is None:
            self._best_score = score if self.evaluator is not None else float("-inf")
            self.save_checkpoint(save_best=True)

    def save_checkpoint(self, save_best: bool = False) -> None:
        """Write the best model (with the graph as its prototypes now are), or a resume point."""
        if not save_best:
            self._save_resume_point(self._current_epoch, 0)
            return
        if self.args.is_master_node:
            checkpoints.write_best(self.folder, self.model_module.encoder, self.args)
        distributed.barrier()

    def _log(self, values: dict[str, float], scalars: bool = True) -> None:
        """One step's numbers to TensorBoard and to `log/history.jsonl`."""
        if not self.args.is_master_node:
            return
        if scalars:
            values = {f"train/{name}": value for name, value in values.items()}
            values |= {"train/lr": self.learning_rate, "train/samples_per_second": self._bar.rate()}
        for name, value in values.items():
            self.tensorboard.add_scalar(name, value, self._global_step)
        with (self.folder / "log" / HISTORY).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": self._global_step, **values}) + "\n")


def restore(target: Tensor, saved: Tensor | None, args: Namespace) -> None:
    """Copy a tensor of a resume point into its place.

    Raises:
        InputError: the point was saved without a graph, or with another one.
    """
    if saved is None or saved.shape != target.shape:
        raise InputError(
            f"--resume_from_checkpoint={args.resume_from_checkpoint} was saved with another concept graph; give the "
            "graph_dir and the graph settings that the run was started with."
        )
    target.copy_(saved)
