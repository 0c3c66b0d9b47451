"""Where the numbers of a run go: `log/metrics.jsonl`, TensorBoard and, when asked for, Weights & Biases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from easynlp_fashionklip.training import metrics_log
from easynlp_fashionklip.training.metrics_log import MetricsLog
from easynlp_fashionklip.training.wandb_log import WandbLog


class RunLog:
    """The logs of one run, open until `close`; the first process's alone."""

    def __init__(
        self,
        folder: Path,
        tensorboard: Any,
        *,
        step: int = 0,
        position: int | None = None,
        wandb: WandbLog | None = None,
    ) -> None:
        """Cut the metrics to where this run begins, and open them.

        Args:
            folder: of the metrics; exists.
            tensorboard: a SummaryWriter.
            step: optimizer steps already done.
            position: length of the metrics' file then, in bytes.
            wandb: takes every number, too.

        Raises:
            OSError: the folder cannot be written.
        """
        metrics_log.cut(folder / metrics_log.FILE_NAME, step, position)
        self._tensorboard = tensorboard
        self._wandb = wandb
        self._metrics = MetricsLog(folder, [self._to_tensorboard] if wandb is None else [self._to_tensorboard, wandb])

    def _to_tensorboard(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._tensorboard.add_scalar(name, value, step)

    @property
    def position(self) -> int:
        """Bytes of metrics so far, for a resume point."""
        return self._metrics.position

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of one optimizer step, by name."""
        self._metrics.write(step, values)

    def close(self) -> None:
        """Bring everything to the disk, and tell W&B that the run is over."""
        self._tensorboard.close()
        if self._wandb is not None:
            self._wandb.close()
