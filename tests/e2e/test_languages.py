"""Catalogues in Chinese and Spanish train and evaluate; concepts need a pipeline of the language, which is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
WORDS = {
    "zh": {
        "red": "红色", "blue": "蓝色", "green": "绿色", "black": "黑色",
        "dress": "连衣裙", "shirt": "衬衫", "skirt": "半身裙", "coat": "外套",
    },
    "es": {
        "red": "rojo", "blue": "azul", "green": "verde", "black": "negro",
        "dress": "vestido", "shirt": "camisa", "skirt": "falda", "coat": "abrigo",
    },
}  # fmt: skip
NUMBERS = ("--epoch_num=1", "--micro_batch_size=8", "--data_threads=0", "--learning_rate=1e-3")
TINY = "pretrain_model_name_or_path=tiny min_frequency=1"


@pytest.fixture
def translated(tmp_path: Path, rows_of: Run) -> Callable[[str], Path]:
    """A JSONL catalogue of 16 products in a language."""

    def write(language: str) -> Path:
        lines = []
        for number, (product_id, image, caption) in enumerate(rows_of(tmp_path, 16)):
            colour, _, garment, *_ = caption.split()
            words = [WORDS[language][garment], WORDS[language][colour]]
            text = "".join(reversed(words)) if language == "zh" else " ".join(words)
            lines.append(json.dumps({"product_id": product_id, "image": image, "caption": f"{text} {number}"}))
        (tmp_path / f"{language}.jsonl").write_text("\n".join(lines), encoding="utf-8")
        return tmp_path / f"{language}.jsonl"

    return write


@pytest.mark.parametrize("language", ["zh", "es"])
def test_training_and_evaluation_without_concepts(
    translated: Callable[[str], Path], language: str, tmp_path: Path, easynlp_here: Run, arguments: Run
) -> None:
    table, out = translated(language), f"--checkpoint_dir={tmp_path / 'out'}"
    trained = easynlp_here(arguments("train", table, out, *NUMBERS, parameters=f"{TINY} cva=false"))
    assert trained.code == 0, trained.err
    evaluated = easynlp_here(arguments("evaluate", table, out, "--data_threads=0", parameters=""))
    assert evaluated.code == 0, evaluated.err
    scores = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    assert scores["gallery_size"] == 16 and 0 < scores["mean_recall"] <= 100


def test_concepts_of_chinese_by_an_english_pipeline(
    translated: Callable[[str], Path], tmp_path: Path, easynlp_here: Run, arguments: Run
) -> None:
    flags = (f"--checkpoint_dir={tmp_path / 'out'}", *NUMBERS)
    outcome = easynlp_here(arguments("train", translated("zh"), *flags, parameters=TINY))
    assert outcome.code == 2
    errors = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "spacy_model" in errors[0] and "cva=false" in errors[0]
