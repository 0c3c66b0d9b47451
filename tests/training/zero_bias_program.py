"""What `test_zero_bias.py` runs: gradients of the sigmoid loss in temperature and bias, with and without ZeRO-3."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from deepspeed.utils import safe_get_full_grad
from torch.optim.lr_scheduler import LambdaLR

from easynlp_fashionklip.config import AppConfig
from easynlp_fashionklip.training import deepspeed_engine
from easynlp_fashionklip.training.contrastive_step import contrastive_step
from easynlp_fashionklip.training.task import FashionKLIPTask

CONFIG = Path(__file__).parents[2] / "configs" / "deepspeed" / "zero3.json"

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from model_families import FAMILIES
    from test_families import batch_of, losses_of

    task = FashionKLIPTask(FAMILIES[sys.argv[1]](), AppConfig(cva=False, itc_loss="sigmoid"), num_rows=4)
    losses_of(task)["loss"].backward()
    plain = [parameter.grad.item() for parameter in task.loss_parameters()]
    task.zero_grad(set_to_none=True)
    optimizer = torch.optim.AdamW(task.parameters(), 1e-3)
    engine = deepspeed_engine.build(
        task,
        task.model,
        optimizer,
        LambdaLR(optimizer, lambda step: 1.0),
        config_path=CONFIG,
        micro_batch_size=4,
        backward_passes=1,
        max_grad_norm=0,
        dtype=torch.float32,
    )
    contrastive_step(task, engine, [batch_of(task.model)])
    sharded = [safe_get_full_grad(parameter).item() for parameter in task.loss_parameters()]
    sys.stdout.write("\n" + json.dumps({"plain": plain, "sharded": sharded}) + "\n")
