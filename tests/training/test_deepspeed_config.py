"""DeepSpeed's file: what is refused, what is filled in, and what contradicts a flag."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.training import deepspeed_config
from easynlp_fashionklip.training.deepspeed_config import check, complete

CONFIGS = sorted((Path(__file__).parents[2] / "configs" / "deepspeed").glob("*.json"))
FLAGS: dict[str, Any] = {
    "micro_batch_size": 8,
    "backward_passes": 4,
    "world_size": 2,
    "max_grad_norm": 1.0,
    "dtype": torch.float32,
}
FILLED = {
    "train_micro_batch_size_per_gpu": 8,
    "gradient_accumulation_steps": 4,
    "train_batch_size": 64,
    "gradient_clipping": 1.0,
    "zero_allow_untested_optimizer": True,
    "zero_force_ds_cpu_optimizer": False,
}


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether or not it is: nothing here runs DeepSpeed."""
    monkeypatch.setattr(deepspeed_config.importlib.util, "find_spec", lambda name: object())


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Any], Path]:
    def write(content: Any) -> Path:
        path = tmp_path / "zero.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def of_stage(stage: Any = 2, **more: Any) -> dict[str, Any]:
    return {"zero_optimization": {"stage": stage}, **more}


def test_the_configurations_that_are_shipped() -> None:
    stages = {path.stem: check(path)["zero_optimization"]["stage"] for path in CONFIGS}
    assert stages == {"offload": 2, "zero1": 1, "zero2": 2, "zero3": 3}
    assert all("auto" not in path.read_text() for path in CONFIGS)


def test_without_deepspeed(write: Callable[[Any], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deepspeed_config.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"not installed here; run: pip install 'easynlp-fashionklip\[deepspeed\]'"):
        check(write(of_stage()))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", r"zero\.json is not valid JSON \(.*line 1 column 2"),
        ("\x00\x01", r"zero\.json is not valid JSON"),
        ([1], r"zero\.json holds a list, not a JSON object"),
        ({}, r"zero_optimization\.stage is null, not 1, 2 or 3"),
        ({"zero_optimization": 2}, r"stage is null"),
        (of_stage(4), r"stage is 4, not 1, 2 or 3; see configs/deepspeed"),
        (of_stage(0), r"stage is 0"),
        (of_stage("2"), r'stage is "2"'),
        (of_stage(True), r"stage is true"),
        (of_stage(optimizer={"type": "Adam"}), r"remove the section 'optimizer'; AdamW is built from --learning_rate"),
        (of_stage(scheduler={"type": "WarmupLR"}), r"remove the section 'scheduler'"),
        (of_stage(bf16={"enabled": True}), r"remove the section 'bf16'; give precision=bf16"),
        (of_stage(fp16={"loss_scale": 0}), r"remove the section 'fp16'"),
        (of_stage(managed_gradient_accumulation=False), r"managed_gradient_accumulation must be true"),
    ],
)
def test_files_that_cannot_be_used(write: Callable[[Any], Path], content: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        check(write(content))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none.json", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(InputError, match=rf"deepspeed_config={path} cannot be read \({why}.*\); give the path"):
            check(path)


@pytest.mark.parametrize("written", [{}, dict.fromkeys(FILLED, "auto"), FILLED])
def test_what_the_flags_say_is_filled_in(written: dict[str, Any]) -> None:
    config = of_stage(**written)
    before = json.dumps(config)
    completed = complete(config, "zero.json", **FLAGS)
    assert {key: completed[key] for key in FILLED} == FILLED
    assert completed["torch_autocast"] == {"enabled": False}
    assert completed["zero_optimization"] == {"stage": 2}
    assert json.dumps(config) == before


@pytest.mark.parametrize("key", FILLED)
def test_a_value_that_contradicts_a_flag_is_named(key: str) -> None:
    other = not FILLED[key] if isinstance(FILLED[key], bool) else 3
    with pytest.raises(InputError, match=rf"zero\.json: {key} is .* give.*; remove the key, or change one of them"):
        complete(of_stage(**{key: other}), "zero.json", **FLAGS)


def test_what_is_the_users_stays() -> None:
    completed = complete(of_stage(steps_per_print=5, wall_clock_breakdown=True), "zero.json", **FLAGS)
    assert (completed["steps_per_print"], completed["wall_clock_breakdown"]) == (5, True)


def test_sections_that_other_trainers_fill_are_dropped(write: Callable[[Any], Path]) -> None:
    path = write(of_stage(bf16={"enabled": "auto"}, fp16={"enabled": False}))
    completed = complete(check(path), path, **FLAGS)
    assert not {"bf16", "fp16"} & completed.keys()


def test_bf16_is_torchs_autocast_with_full_precision_between_processes() -> None:
    completed = complete(of_stage(), "zero.json", **{**FLAGS, "dtype": torch.bfloat16})
    assert completed["torch_autocast"] == {"enabled": True, "dtype": "bfloat16", "lower_precision_safe_modules": []}
    modules = ["torch.nn.Linear"]
    config = of_stage(torch_autocast={"enabled": True, "lower_precision_safe_modules": modules})
    completed = complete(config, "zero.json", **{**FLAGS, "dtype": torch.bfloat16})
    assert completed["torch_autocast"]["lower_precision_safe_modules"] == modules


@pytest.mark.parametrize(
    ("section", "dtype", "words"),
    [
        ({"enabled": True}, torch.float32, r"torch_autocast\.enabled is true, but precision gives false"),
        ({"enabled": False}, torch.bfloat16, r"torch_autocast\.enabled is false, but precision gives true"),
        ({"dtype": "float16"}, torch.bfloat16, r'torch_autocast\.dtype is "float16", but precision gives "bfloat16"'),
        ({}, torch.float16, r"precision=fp16 is not supported with deepspeed_config; give precision=bf16 or fp32"),
    ],
)
def test_precisions_that_do_not_go_together(section: dict[str, Any], dtype: torch.dtype, words: str) -> None:
    with pytest.raises(InputError, match=words):
        complete(of_stage(torch_autocast=section), "zero.json", **{**FLAGS, "dtype": dtype})
