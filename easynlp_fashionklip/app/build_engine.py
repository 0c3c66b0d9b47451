"""The engine that a run's settings ask for, with its optimizer and schedule."""

from __future__ import annotations

import importlib
import logging
import math
from argparse import Namespace

import torch

from easynlp_fashionklip import distributed
from easynlp_fashionklip.app.model import FashionKLIP
from easynlp_fashionklip.config import AppConfig
from easynlp_fashionklip.training.engine import Engine, LocalEngine
from easynlp_fashionklip.training.optimization import AdamW, parameter_groups, warmup_cosine
from easynlp_fashionklip.training.precision import resolve_precision
from easynlp_fashionklip.training.step_plan import StepPlan

HIGH_LEARNING_RATE = 0.1

logger = logging.getLogger(__name__)


def precision_of(config: AppConfig, args: Namespace) -> torch.dtype:
    """The dtype of the forward pass; see `training.precision`."""
    return resolve_precision(distributed.local_device(), config.precision, bool(args.use_amp))


def build_engine(
    app: FashionKLIP, config: AppConfig, args: Namespace, plan: StepPlan, micro_batches: int
) -> tuple[Engine, AdamW]:
    """Build optimizer, schedule and engine; collective.

    Args:
        app: on this process's device.
        config: `deepspeed_config` chooses the engine, `precision` its arithmetic.
        args: EasyNLP's: learning rate, weight decay, warm-up, clipping.
        plan: how long the run is.
        micro_batches: of a contrastive batch on each process.

    Raises:
        InputError: the settings do not go with this machine, or the DeepSpeed file cannot be used.
    """
    if args.learning_rate > HIGH_LEARNING_RATE:
        logger.warning(
            "--learning_rate=%g is far beyond what fine-tuning bears (1e-6 to 1e-3); training will hardly learn",
            args.learning_rate,
        )
    rates = (args.learning_rate, config.layer_decay, config.node_learning_rate)
    groups = parameter_groups(app, args.weight_decay, *rates)
    optimizer = AdamW(groups, args.learning_rate, plan.total_steps)
    schedule = warmup_cosine(optimizer, math.ceil(args.warmup_proportion * plan.total_steps), plan.total_steps)
    dtype = precision_of(config, args)
    if not config.deepspeed_config:
        engine: Engine = LocalEngine(
            app, app.encoder, optimizer, schedule, max_grad_norm=args.max_grad_norm, dtype=dtype
        )
        return engine, optimizer
    # Imported only where it is used: DeepSpeed need not be installed.
    engine = importlib.import_module("easynlp_fashionklip.training.deepspeed_engine").build(
        app,
        app.encoder,
        optimizer,
        schedule,
        config_path=config.deepspeed_config,
        micro_batch_size=args.micro_batch_size,
        backward_passes=plan.accumulation * micro_batches,
        max_grad_norm=args.max_grad_norm,
        dtype=dtype,
    )
    return engine, optimizer
