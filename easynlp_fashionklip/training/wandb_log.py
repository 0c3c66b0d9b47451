"""Weights & Biases, where the user has it."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from easynlp_fashionklip.errors import InputError

_ID_FILE = "wandb_run_id"
logger = logging.getLogger(__name__)


def require_wandb(project: str) -> None:
    """Refuse a `wandb_project` where the package is missing.

    Raises:
        InputError: it is.
    """
    if project and importlib.util.find_spec("wandb") is None:
        raise InputError(
            f"wandb_project={project} needs the package wandb, which is not installed; install it with: "
            "pip install wandb, or leave out wandb_project."
        )


class WandbLog:
    """A listener of `MetricsLog`; a resumed run goes on in the same W&B run."""

    def __init__(self, project: str, folder: Path, settings: Mapping[str, Any], resumed: bool) -> None:
        """Start or go on with a run whose files are in `folder`.

        Raises:
            InputError: W&B refuses to start; its reason is told.
        """
        require_wandb(project)
        wandb = importlib.import_module("wandb")
        name = folder / _ID_FILE
        run_id = name.read_text().strip() if resumed and name.is_file() else secrets.token_hex(4)
        name.write_text(run_id + "\n")
        try:
            self._run = wandb.init(project=project, dir=str(folder), config=dict(settings), id=run_id, resume="allow")
        except Exception as error:  # its own kinds: no login, no network
            reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
            raise InputError(
                f"wandb_project={project}: Weights & Biases cannot start ({reason}); set WANDB_MODE=offline, or leave "
                "out wandb_project."
            ) from error
        self._broken = False

    def __call__(self, values: Mapping[str, float], step: int) -> None:
        """Log; a failure is told once and ends the logging, not the run."""
        if self._broken:
            return
        try:
            self._run.log(dict(values), step=step)
        except Exception as error:
            self._broken = True
            logger.warning("Weights & Biases takes no more values (%s): logging there ends", error)

    def close(self) -> None:
        """Send what is left."""
        if not self._broken:
            self._run.finish()
