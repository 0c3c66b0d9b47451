"""EasyNLP's trainer where it works, overridden where it cannot: CPUs, several processes, resuming, interrupting."""

from __future__ import annotations

import logging
import math
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import torch

from easynlp_fashionklip import distributed
from easynlp_fashionklip.app import checkpoints, resume, resume_points, run_summary
from easynlp_fashionklip.app.build_engine import build_engine, precision_of
from easynlp_fashionklip.app.card import card_of_run
from easynlp_fashionklip.app.compat import Trainer
from easynlp_fashionklip.app.data import FashionKLIPDataset
from easynlp_fashionklip.app.evaluator import FashionKLIPEvaluator
from easynlp_fashionklip.app.interrupt import Interrupted, StopSignals
from easynlp_fashionklip.app.model import FashionKLIP
from easynlp_fashionklip.app.progress import TrainingBar
from easynlp_fashionklip.app.run_log import RunLog
from easynlp_fashionklip.data.dataset import Batch, iterate_batches
from easynlp_fashionklip.data.loader import build_loader
from easynlp_fashionklip.data.samplers import training_sampler
from easynlp_fashionklip.errors import InputError, storage_error
from easynlp_fashionklip.training.bad_steps import BadSteps
from easynlp_fashionklip.training.categories import row_categories
from easynlp_fashionklip.training.contrastive_step import contrastive_step
from easynlp_fashionklip.training.memory import used_memory
from easynlp_fashionklip.training.step_plan import StepPlan, WaitClock, contrastive_batches
from easynlp_fashionklip.training.wandb_log import WandbLog

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
        self._app = model
        self._task = model.task
        self._dataset = train_dataset
        self._best_score = float("-inf")
        self._scores: list[tuple[str, float]] = []
        self._start_batch = self._evaluated_step = 0
        self._refreshed_step: int | None = None
        self._has_model = False
        self._metrics_position = 0
        self._points: list[int] = []
        self._losses: list[dict[str, torch.Tensor]] = []
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
        return self._engine.learning_rate()

    def set_train_loader(self, train_dataset: FashionKLIPDataset, args: Namespace) -> None:
        """Shuffled global batches, the same whatever the number of processes."""
        rank, world = distributed.rank(), distributed.world_size()
        table, config, knowledge = train_dataset.table, self._task.config, self._task.knowledge
        groups = None
        if knowledge is not None and config.batch_sampler == "grouped":
            groups = row_categories(knowledge.graph, table.product_keys)
        self._sampler = training_sampler(
            config,
            table.product_keys,
            table.text_keys,
            args.micro_batch_size,
            rank=rank,
            world_size=world,
            seed=args.random_seed,
            groups=groups,
        )
        self._micro_batches = self._sampler.micro_batches
        self._train_loader = build_loader(
            train_dataset.pairs,
            self._sampler,
            train_dataset.batch_fn,
            workers=args.data_threads,
            processes=distributed.processes_here(),
        )
        self._plan = StepPlan(len(self._sampler), args.epoch_num, args.gradient_accumulation_steps)
        self.total_training_steps = self._plan.total_steps

    def set_model_and_optimizer(self, model: FashionKLIP, args: Namespace) -> None:
        """Move the model to this process's device and build the engine that trains it."""
        model.to(distributed.local_device())
        config = self._task.config
        self._engine, self._optimizer = build_engine(model, config, args, self._plan, self._micro_batches(0))
        self._model: torch.nn.Module = self._engine.module
        advice = f"lower --learning_rate (now {args.learning_rate:g}) or give precision=fp32"
        self._bad = BadSteps(config.max_bad_steps, advice)

    def set_tensorboard(self) -> None:
        """EasyNLP's writer and W&B's, on the first process; the metrics up to where this run begins."""
        log = self.folder / "log"
        try:
            log.mkdir(parents=True, exist_ok=True)
            super().set_tensorboard()
            if self.args.is_master_node:
                settings = resume.settings_of(self.args, self._task.config)
                project, resumed = self._task.config.wandb_project, self.args.resume_from_checkpoint is not None
                self._run_log = RunLog(
                    log,
                    self.tensorboard,
                    step=self._start_global_step,
                    position=self._metrics_position,
                    wandb=WandbLog(project, log, settings, resumed) if project else None,
                )
        except OSError as error:
            raise storage_error(log, error) from error

    # ------------------------------------------------------------------------------------------------------- resuming

    def resume_from_ckpt(self, model_module: FashionKLIP, args: Namespace) -> None:
        """Restore weights, optimizer, schedule, random state, prototypes and the place in the epoch."""
        self._digest = resume.table_digest(self._dataset.table)
        if args.resume_from_checkpoint is None:
            self._refreshed_step = 0  # where the prototypes were chosen
            return
        prefix = resume.find_point(args.resume_from_checkpoint)
        settings = resume.settings_of(args, self._task.config)
        state = resume.restore(prefix, self._task, self._engine, self._digest, len(self._sampler), settings)
        self._start_epoch, self._start_batch = state["epoch"], state["batch"]
        self._start_global_step = state["global_step"]
        self._bad.total, self._bad.in_a_row = state["bad_steps"]
        self._metrics_position, self._refreshed_step = state["metrics_position"], state.get("refreshed_step")
        if prefix.parent.resolve() == self.folder.resolve():  # else the best model so far is in another folder
            self._best_score, self._evaluated_step = state["best_score"], state["evaluated_step"]
            self._has_model = checkpoints.has_model(self.folder)
            self._points = [step for step in resume_points.steps_in(prefix.parent) if step <= self._start_global_step]
        logger.info("resuming %s at epoch %d, batch %d", prefix, self._start_epoch + 1, self._start_batch)

    def _save_resume_point(self, epoch: int, batch: int) -> Path:
        """Write a resume point for batch `batch` of `epoch`; the oldest go unless --save_all_checkpoints."""
        prefix = resume_points.prefix_of(self.folder, self._global_step)
        if self._points[-1:] == [self._global_step]:
            return prefix
        state = resume.gather_state(self._task, self._engine, self._digest) | {
            "settings": resume.settings_of(self.args, self._task.config),
            "epoch": epoch,
            "batch": batch,
            "batches_per_epoch": len(self._sampler),
            "global_step": self._global_step,
            "best_score": self._best_score,
            "evaluated_step": self._evaluated_step,
            "refreshed_step": self._refreshed_step,
            "bad_steps": (self._bad.total, self._bad.in_a_row),
            "metrics_position": self._run_log.position if self.args.is_master_node else 0,
        }
        self._engine.save(resume_points.file_of(prefix, resume_points.SHARES), resume.ENGINE_TAG)
        weights = self._engine.weights()
        kept = [*self._points, self._global_step]
        if not self.args.save_all_checkpoints:
            kept = kept[-self._task.config.keep_checkpoints :]
        if self.args.is_master_node:
            resume_points.write(self.folder, self._global_step, weights, state)
            resume_points.keep_only(self.folder, kept)
        self._points = kept
        distributed.barrier()
        return prefix

    # ------------------------------------------------------------------------------------------------------- training

    def train(self) -> None:
        """Run to `--epoch_num` epochs, evaluating and saving after each.

        Raises:
            Interrupted: a signal asked to stop; a resume point has been saved.
            InputError: a row could not be read, too many steps gave no number, or the disk is full.
        """
        precision = precision_of(self._task.config, self.args)
        run_summary.tell(self._task, self._engine, self._dataset, self.args, self._plan, precision)
        done = self._start_epoch * len(self._sampler) + self._start_batch
        with StopSignals() as signals, TrainingBar(self._plan.total_batches, done, self.args.is_master_node) as bar:
            self._bar, self._clock = bar, WaitClock()
            try:
                for epoch in range(self._start_epoch, math.ceil(self.args.epoch_num)):
                    self.before_epoch(epoch)
                    self._train_epoch(epoch, signals)
                    self.after_epoch()
                    self._start_batch = 0
                self.after_train()
            finally:
                if self.args.is_master_node:
                    self._run_log.close()

    def before_epoch(self, _epoch: int) -> None:
        """Reshuffle; re-rank the prototypes unless a resume point has brought those of this epoch."""
        self._current_epoch = _epoch
        self._sampler.set_epoch(_epoch)
        self._sampler.set_start_batch(self._start_batch)
        self._model.train()
        by_steps = self._task.config.refresh_steps and self._global_step
        if self._start_batch == 0 and not by_steps:
            self._refresh_prototypes()

    def _train_epoch(self, epoch: int, signals: StopSignals) -> None:
        micro_batches = iterate_batches(self._train_loader)
        batches = self._clock.waits(contrastive_batches(micro_batches, self._micro_batches, self._start_batch))
        numbers = range(self._start_batch, self._plan.epoch_end(epoch))
        for number, batch in zip(numbers, batches, strict=False):
            self._step(number, batch)
            if self._plan.ends_step(epoch, number + 1) and signals.asked():
                raise Interrupted(f"stopped; go on with --resume_from_checkpoint={self._stopped(epoch, number + 1)}")

    def _stopped(self, epoch: int, batch: int) -> Path:
        """The resume point to go on from: a new one, or after steps without a number the healthy one before them."""
        if self._bad.in_a_row and self._points:
            return resume_points.prefix_of(self.folder, self._points[-1])
        return self._save_resume_point(epoch, batch)

    def _step(self, number: int, micro_batches: Sequence[Batch]) -> None:
        """Forward and backward of one batch; every `gradient_accumulation_steps` of them an optimizer step."""
        epoch = self._current_epoch
        last = self._plan.ends_step(epoch, number + 1)
        scale = 1 / self._plan.batches_of_step(epoch, number)
        self._losses.append(contrastive_step(self._task, self._engine, micro_batches, scale, last))
        self._bar.advance(self._sampler.batch_rows(number))
        if last:
            self.optimizer_step()
            self.after_iter(number, epoch, {})

    def optimizer_step(self) -> None:
        """Clip, step, advance the schedule, clear; log; stop after too many steps whose loss is no number."""
        result = self._engine.step()
        self._global_step += 1
        names = self._losses[0]
        means = {name: float(torch.stack([losses[name] for losses in self._losses]).mean()) for name in names}
        self._losses = []
        memory = used_memory(distributed.local_device())
        self._bar.tell_step(means["loss"], memory)
        try:
            self._bad.count(self._global_step, means["loss"], result)
        finally:
            costs = {"samples_per_second": self._bar.rate(), "memory_bytes": memory, "data_wait": self._clock.share()}
            told = {"grad_norm": result.grad_norm, "lr": self.learning_rate, "skipped_steps": self._bad.total}
            self._log({f"train/{name}": value for name, value in (means | told | costs).items()})

    def after_iter(self, _step: int, _epoch: int, loss_dict: dict[str, float]) -> None:
        """After an optimizer step: refresh prototypes, evaluate and save where a step count asks for it."""
        refresh, save = self._task.config.refresh_steps, self.args.save_checkpoint_steps
        if refresh and self._global_step % refresh == 0:
            self._refresh_prototypes()
        # A model whose last step gave no number may be beyond help: what was saved before stays the newest.
        if save and self._global_step % save == 0 and self._bad.in_a_row == 0:
            self._evaluate_and_keep_best()
            self._save_resume_point(_epoch, _step + 1)

    def after_epoch(self) -> None:
        """Evaluate, keep the best, leave a resume point at the next epoch's start.

        One step without a number has changed no weight; after several the model may be beyond help, and what was saved
        before them stays.
        """
        end = self._plan.epoch_end(self._current_epoch)
        if self._bad.in_a_row > 1:
            lost = f"the last {self._bad.in_a_row} steps of epoch {self._current_epoch + 1} gave no number"
            logger.warning("%s: its model is not evaluated or saved", lost)
            return
        self._evaluate_and_keep_best()
        whole = end == len(self._sampler)
        self._save_resume_point(self._current_epoch + whole, 0 if whole else end)

    def after_train(self) -> None:
        """Rank the prototypes a last time, for the graph that is kept; tell where everything is.

        Raises:
            InputError: there is no model worth saving.
        """
        if not self._has_model and self._bad.in_a_row < 2:  # of a finished run resumed into another folder
            self._evaluate_and_keep_best()
        if not self._has_model:
            raise InputError(
                f"training ended without a model worth saving in {self.folder}: {self._bad.total} of "
                f"{self._global_step} steps gave no number; {self._bad.advice}."
            )
        self._refresh_prototypes()
        if self.args.is_master_node:
            score = f"mean recall {self._best_score:.2f}" if math.isfinite(self._best_score) else "not evaluated"
            skipped = f", {self._bad.total} steps skipped" if self._bad.total else ""
            logger.info("best model in %s, %s%s", self.folder, score, skipped)

    # ------------------------------------------------------------------------------------------------------- results

    def _refresh_prototypes(self) -> None:
        """Re-rank the prototypes with the encoder as it is, and tell what that costs."""
        if self._refreshed_step == self._global_step:
            return
        self._refreshed_step = self._global_step
        with self._engine.whole(), self._engine.autocast():
            report = self._task.refresh_prototypes()
        if report is not None:
            costs = {"seconds": report.seconds, "ranked": report.ranked, "share": report.share}
            self._log({f"refresh/{name}": value for name, value in costs.items()})
            logger.info("%s", report)

    def _evaluate_and_keep_best(self) -> None:
        """Score the second table and save when the mean recall is the best so far; without one, always save."""
        if self._evaluated_step == self._global_step:
            return
        self._evaluated_step = self._global_step
        if self.evaluator is None:
            self.save_checkpoint(save_best=True)
            return
        with self._engine.whole():
            scores = self.evaluator.evaluate(self._app)
        self._scores = scores
        score = scores[0][1]
        self.evaluator.best_valid_score = max(self.evaluator.best_valid_score, score)
        self._log({f"eval/{name}": value for name, value in scores})
        best = max(score, self._best_score)
        self._bar.tell(f"epoch {self._current_epoch + 1}: mean recall {score:.2f} (best so far {best:.2f})")
        if score > self._best_score:
            self._best_score = score
            self.save_checkpoint(save_best=True)

    def save_checkpoint(self, save_best: bool = True) -> None:
        """Write the best model; resume points have a method of their own."""
        self._has_model = True
        with self._engine.whole():
            if self.evaluator is None:  # which has done so
                self._task.update_concept_texts()
            if self.args.is_master_node:
                card = card_of_run(self._app, self.args, len(self._dataset.table), self._scores)
                checkpoints.write_best(self.folder, self._app.encoder, self.args, card)
        distributed.barrier()

    def _log(self, values: dict[str, float]) -> None:
        """Numbers of this step to `log/metrics.jsonl`, TensorBoard and W&B."""
        if self.args.is_master_node:
            self._run_log.write(self._global_step, values)
