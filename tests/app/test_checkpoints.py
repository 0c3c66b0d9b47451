"""Checkpoint folders: written, read back, refused when they are another's."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from pathlib import Path

import pytest
import torch

from easynlp_fashionklip.app import checkpoints
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.zoo import load_pretrained


def test_best_model_in_easynlps_shape(tmp_path: Path) -> None:
    model = load_pretrained("tiny")
    args = Namespace(epoch_num=2.0, tables="a,b", use_amp=False, dtype=torch.float32, checkpoint_dir=str(tmp_path))
    checkpoints.write_best(tmp_path, model, args)
    written = json.loads((tmp_path / "train_config.json").read_text())
    assert written["app_name"] == "fashionklip"
    assert written["tables"] == "a,b"
    assert "dtype" not in written
    assert written["model_config"]["projection_dim"] == 32
    checkpoints.require_checkpoint(tmp_path)
    again = load_pretrained(tmp_path).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in model.state_dict().items())


def test_other_apps_folders(tmp_path: Path) -> None:
    checkpoints.check_app(tmp_path)
    config = tmp_path / "train_config.json"
    config.write_text('{"app_name": "text_match"}')
    with pytest.raises(InputError, match="'text_match'"):
        checkpoints.require_checkpoint(tmp_path)
    for broken in ("{", "[1]"):
        config.write_text(broken)
        with pytest.raises(InputError, match="not valid JSON"):
            checkpoints.check_app(tmp_path)


def test_folders_that_cannot_be_written(tmp_path: Path) -> None:
    checkpoints.require_writable(tmp_path / "new" / "deep")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        checkpoints.require_writable(tmp_path / "file" / "deep")
    if os.geteuid() != 0:
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o500)
        with pytest.raises(InputError, match="may not be written"):
            checkpoints.require_writable(locked / "out")
