"""The three modes in one process: what they leave, and what the flags change."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from easynlp_fashionklip.graph import ConceptGraph
from easynlp_fashionklip.models.model_card import MARK
from easynlp_fashionklip.models.zoo import load_pretrained

Run = Callable[..., Any]
QUICK = ("--learning_rate=1e-3", "--micro_batch_size=8", "--random_seed=42", "--data_threads=0")
TINY = "pretrain_model_name_or_path=tiny min_frequency=1"


@pytest.fixture
def train(catalogue: Path, tmp_path: Path, easynlp_here: Run, arguments: Run) -> Run:
    """Trains one epoch into tmp_path/out; returns the folder and the outcome."""

    def run(*more: str, parameters: str = TINY, table: str = "", valid: bool = True) -> tuple[Path, Any]:
        folder = tmp_path / "out"
        tables = table or str(catalogue / "train.csv")
        tables += f",{catalogue / 'valid.csv'}" if valid else ""
        argv = arguments("train", tables, f"--checkpoint_dir={folder}", "--epoch_num=1", *QUICK, *more)
        argv = [f"--user_defined_parameters={parameters}" if "user_defined" in word else word for word in argv]
        outcome = easynlp_here(argv)
        assert outcome.code == 0, outcome.err
        return folder, outcome

    return run


def history(folder: Path, key: str = "train/loss") -> list[dict[str, float]]:
    lines = (folder / "log" / "metrics.jsonl").read_text().splitlines()
    return [entry for entry in map(json.loads, lines) if key in entry]


def test_history_has_every_step_and_every_evaluation(trained: Path) -> None:
    steps = history(trained)
    assert [entry["step"] for entry in steps] == list(range(1, 9))
    for entry in steps:
        assert {"train/loss", "train/itc_loss", "train/cva_loss", "train/cva_weight", "train/lr"} <= set(entry)
        assert entry["train/samples_per_second"] > 0
        mixed = (1 - entry["train/cva_weight"]) * entry["train/itc_loss"] + (
            entry["train/cva_weight"] * entry["train/cva_loss"]
        )
        assert entry["train/loss"] == pytest.approx(mixed, rel=1e-5)
    assert [entry["step"] for entry in history(trained, "eval/mean_recall")] == [4, 8]
    assert steps[0]["train/lr"] == pytest.approx(1e-3)
    assert steps[-1]["train/lr"] < 1e-4


def test_a_card_tells_how_the_model_was_made(trained: Path, catalogue: Path) -> None:
    text = (trained / "README.md").read_text()
    assert MARK in text
    assert "CLIPModel" not in text  # which would embed texts without their concepts
    for told in (
        "| pairs | 32 |",
        f"| table | {catalogue / 'train.csv'} |".replace("_", "\\_"),
        "| mean\\_recall | ",
        f"on `{catalogue / 'valid.csv'}`",
        "easynlp --app_name=fashionklip --mode=train",
        "--micro_batch_size=8",
        "CVA (variant image, weight 0.2)",
        "none needed: random weights",
        "| concepts in texts | ",
        "encode_texts(model, ",
    ):
        assert told in text, told
    scores = [entry["eval/mean_recall"] for entry in history(trained, "eval/mean_recall")]
    assert f"| mean\\_recall | {max(scores):.2f} |" in text


def test_a_users_own_readme_stays(train: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "README.md").write_text("my own words\n")
    folder, _ = train(valid=False)
    assert (folder / "README.md").read_text() == "my own words\n"


def test_training_without_validation_table_keeps_the_last_model(train: Run) -> None:
    folder, outcome = train(valid=False)
    assert (folder / "model.safetensors").is_file()
    assert history(folder, "eval/mean_recall") == []
    assert "inf" not in outcome.err
    saved = torch.load(folder / "pytorch_model_step_4.bin", weights_only=True)
    best = load_pretrained(folder).state_dict()
    assert all(torch.equal(best[name], value.cpu()) for name, value in saved.items())


def test_half_an_epoch(train: Run, easynlp_here: Run, arguments: Run, catalogue: Path) -> None:
    folder, _ = train("--epoch_num=0.5")
    assert [entry["step"] for entry in history(folder)] == [1, 2]
    state = torch.load(folder / "pytorch_model_step_2.meta.bin", weights_only=True)
    assert (state["epoch"], state["batch"]) == (0, 2)


def test_accumulation_makes_fewer_steps_and_leaves_no_gradient_over(train: Run) -> None:
    folder, _ = train("--gradient_accumulation_steps=3", "--epoch_num=2")
    # 4 batches an epoch: a step of 3 and one of the last batch.
    assert [entry["step"] for entry in history(folder)] == [1, 2, 3, 4]
    assert history(folder)[-1]["train/lr"] < 1e-3


def test_a_second_run_into_the_same_folder_starts_a_new_history(train: Run) -> None:
    train("--epoch_num=0.5")
    folder, _ = train("--epoch_num=0.25")
    assert [entry["step"] for entry in history(folder)] == [1]


def test_without_cva_there_is_no_graph(train: Run) -> None:
    folder, _ = train("--epoch_num=0.25", parameters=f"{TINY} cva=false")
    assert not (folder / "graph").exists()
    entry = history(folder)[0]
    assert entry["train/cva_loss"] == 0.0
    assert entry["train/loss"] == pytest.approx(entry["train/itc_loss"])


@pytest.mark.parametrize("variant", ["prototype", "image", "both", "paper"])
def test_every_cva_variant_trains(train: Run, variant: str) -> None:
    folder, _ = train("--epoch_num=0.5", parameters=f"{TINY} cva_variant={variant} cva_weight=0.25", valid=False)
    entry = history(folder)[0]
    assert entry["train/cva_loss"] > 0
    assert entry["train/cva_weight"] == pytest.approx(0.25)


def test_a_given_graph_is_loaded_and_new_products_grow_it(
    train: Run, trained: Path, catalogue: Path, tmp_path: Path, write_table: Run, rows_of: Run
) -> None:
    known = ConceptGraph.load(trained / "graph")
    graph_dir = tmp_path / "graph"
    known.save(graph_dir)
    rows = rows_of(tmp_path, 16, "n")
    rows[3][2] = "purple velvet cape"
    rows[4][2] = "purple velvet cape and a hat"
    table = write_table(tmp_path / "new.csv", rows)
    folder, outcome = train("--epoch_num=0.5", parameters=f"{TINY} graph_dir={graph_dir}", table=str(table))
    assert not (folder / "graph").exists()
    assert "loading the concept graph" in outcome.err
    grown = ConceptGraph.load(graph_dir)
    assert [one.phrase for one in grown.concepts[: len(known)]] == [one.phrase for one in known.concepts]
    assert known.find("velvet cape") is None
    cape = grown.find("purple velvet cape")
    assert cape is not None
    assert {one.image_id for one in grown.prototypes(cape.concept_id)} == {"n3", "n4"}


def test_base64_tables_by_input_schema(train: Run, catalogue: Path, tmp_path: Path, rows_of: Run) -> None:
    lines = []
    for _, image, caption in rows_of(tmp_path, 16):
        encoded = base64.urlsafe_b64encode((tmp_path / image).read_bytes()).decode()
        lines.append(f"{caption}\t{encoded}\n")
    table = tmp_path / "train.tsv"
    table.write_text("".join(lines))
    schema = "--input_schema=caption:str:1,image:str:1"
    folder, _ = train(schema, "--epoch_num=0.5", table=str(table), valid=False)
    assert len(history(folder)) == 1


def test_bad_rows_can_be_skipped(train: Run, tmp_path: Path, rows_of: Run, write_table: Run) -> None:
    rows = rows_of(tmp_path, 20)
    rows[1][2] = " "
    rows[5][1] = "gone.png"
    (tmp_path / rows[7][1]).write_text("not a picture")
    table = write_table(tmp_path / "bad.csv", rows)
    folder, outcome = train("--epoch_num=0.5", parameters=f"{TINY} on_bad_row=skip", table=str(table), valid=False)
    assert len(history(folder)) == 1
    assert "skipped 3 of 20 rows" in outcome.err


def test_sequence_length_shortens_texts(
    easynlp_here: Run, arguments: Run, catalogue: Path, trained: Path, tmp_path: Path
) -> None:
    plain = load_pretrained(trained)
    plain.concepts = None  # which are looked for in the whole text
    plain.save_pretrained(tmp_path / "plain")
    files = []
    for name, more in (("long", ()), ("short", ("--sequence_length=6",))):
        files.append(tmp_path / f"{name}.npz")
        argv = arguments(
            "predict",
            catalogue / "valid.csv",
            f"--checkpoint_dir={tmp_path / 'plain'}",
            f"--outputs={files[-1]}",
            "--data_threads=0",
            *more,
        )
        assert easynlp_here([word for word in argv if "second_sequence" not in word]).code == 0
    long, short = (np.load(file)["text_feat"] for file in files)
    # Four letters of a byte tokenizer tell the sixteen captions' four colours apart, and no more.
    assert len(np.unique(long.round(4), axis=0)) == 16
    assert len(np.unique(short.round(4), axis=0)) == 4


def test_steps_can_save_and_evaluate_and_refresh(train: Run) -> None:
    folder, _ = train("--save_checkpoint_steps=2", "--save_all_checkpoints", parameters=f"{TINY} refresh_steps=1")
    assert (folder / "pytorch_model_step_2.meta.bin").is_file()
    assert (folder / "pytorch_model_step_4.meta.bin").is_file()
    assert [entry["step"] for entry in history(folder, "eval/mean_recall")][:2] == [2, 4]


def test_evaluate_prints_a_table_and_writes_the_file(
    easynlp_here: Run, arguments: Run, catalogue: Path, trained: Path, tmp_path: Path
) -> None:
    argv = arguments("evaluate", catalogue / "valid.csv", f"--checkpoint_dir={trained}", f"--outputs={tmp_path}")
    outcome = easynlp_here([*argv, "--data_threads=0"])
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines()[1].split() == ["R@1", "R@5", "R@10", "MRR"]
    found = json.loads((tmp_path / "evaluation.json").read_text())
    recalls = [found[f"{way}_R@{k}"] for way in ("image_to_text", "text_to_image") for k in (1, 5, 10)]
    assert found["mean_recall"] == pytest.approx(np.mean(recalls), abs=1e-3)
    assert all(0 <= recall <= 100 for recall in recalls)
    assert found["gallery_size"] == 16
    assert found["checkpoint"] == str(trained)
    assert {"protocol", "seed", "hit_rule", "unit"} <= set(found)


def test_the_kept_model_is_the_best_of_the_run(
    trained: Path, easynlp_here: Run, arguments: Run, catalogue: Path, tmp_path: Path
) -> None:
    best = max(entry["eval/mean_recall"] for entry in history(trained, "eval/mean_recall"))
    argv = arguments("evaluate", catalogue / "valid.csv", f"--checkpoint_dir={trained}", f"--outputs={tmp_path}/e.json")
    assert easynlp_here([*argv, "--data_threads=0"]).code == 0
    assert json.loads((tmp_path / "e.json").read_text())["mean_recall"] == pytest.approx(best, abs=1e-3)


def test_an_untrained_encoder_can_be_evaluated(
    easynlp_here: Run, arguments: Run, catalogue: Path, tmp_path: Path
) -> None:
    outcome = easynlp_here(arguments("evaluate", catalogue / "valid.csv", f"--outputs={tmp_path}", "--data_threads=0"))
    assert outcome.code == 0, outcome.err
    assert json.loads((tmp_path / "evaluation.json").read_text())["checkpoint"] == "tiny"


def test_the_graph_left_behind_is_the_last_encoders(trained: Path) -> None:
    graph = ConceptGraph.load(trained / "graph")
    assert graph.info.embedding_dim == 32
    assert graph.info.encoder == "tiny"
    dress = graph.find("dress")
    assert dress is not None
    assert {"red", "striped dress"} & {one.phrase for one in graph.concepts} or graph.children(dress.concept_id)
    prototypes = graph.prototypes(dress.concept_id)
    assert [one.rank for one in prototypes] == list(range(len(prototypes)))
    assert {one.image_id for one in prototypes} <= {f"p{n}" for n in range(32)}
