"""Flags as they are read before EasyNLP sees them."""

from __future__ import annotations

from pathlib import Path

import pytest

from easynlp_fashionklip.app.arguments import _without, check, peek
from easynlp_fashionklip.errors import InputError

TINY = "pretrain_model_name_or_path=tiny"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "t.csv"
    path.write_text("id,image,caption\n")
    return path


def argv(table: Path, *more: str, mode: str = "train") -> list[str]:
    columns = ["--first_sequence=caption", "--second_sequence=image", f"--checkpoint_dir={table.parent / 'out'}"]
    return ["--app_name=fashionklip", f"--mode={mode}", f"--tables={table}", *columns, *more]


def test_both_spellings_of_a_flag_and_its_value(table: Path) -> None:
    flags = peek(["--tables", str(table), "--worker_cpu=3", "--checkpoint_path", "out", "--train_batch_size=4"])
    assert (flags.tables, flags.worker_cpu, flags.checkpoint_dir) == (str(table), 3, "out")
    assert flags.micro_batch_size == 4
    assert flags.given == {"tables", "worker_cpu", "checkpoint_path", "train_batch_size"}


def test_what_is_not_given(table: Path) -> None:
    flags = peek([])
    assert flags.mode == "train"
    assert flags.random_seed == 1234
    assert (flags.worker_count, flags.worker_gpu, flags.worker_cpu) == (-1, -1, -1)
    assert flags.data_threads is None
    assert flags.tables is None


def test_quoted_parameters_arrive_whole(table: Path) -> None:
    config = check(peek(argv(table, f"--user_defined_parameters={TINY} graph_dir='a b=c' cva_weight=0.5")))
    assert config.graph_dir == "a b=c"
    assert config.cva_weight == 0.5


@pytest.mark.parametrize(
    ("more", "mode", "words"),
    [
        ((), "train", "pretrain_model_name_or_path"),
        ((f"--user_defined_parameters={TINY} cva_weight=2",), "train", "cva_weight=2.0 is out of range"),
        ((f"--user_defined_parameters={TINY} word",), "train", "'word' is not key=value"),
        ((f"--user_defined_parameters={TINY} cva=maybe",), "train", "cva=maybe"),
        ((f"--user_defined_parameters={TINY} cva_variant=x",), "train", "prototype, image, both, paper"),
        (("--checkpoint_dir=",), "evaluate", "--checkpoint_dir is missing"),
        ((f"--user_defined_parameters={TINY}", "--checkpoint_dir="), "predict", "--outputs is missing"),
        ((f"--user_defined_parameters={TINY}", "--epoch_num=nan"), "train", "epoch_num=nan"),
        ((f"--user_defined_parameters={TINY}", "--epoch_num=inf"), "train", "epoch_num=inf"),
        ((f"--user_defined_parameters={TINY}", "--random_seed=-4"), "train", "random_seed=-4"),
    ],
)
def test_sentences(table: Path, more: tuple[str, ...], mode: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        check(peek(argv(table, *more, mode=mode)))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_evaluate_takes_one_table(table: Path) -> None:
    flags = peek(argv(table, f"--tables={table},{table}", f"--user_defined_parameters={TINY}", mode="evaluate"))
    with pytest.raises(InputError, match="2 files"):
        check(flags)


def test_predict_needs_one_column_only(table: Path) -> None:
    words = [f"--tables={table}", "--mode=predict", f"--user_defined_parameters={TINY}", "--outputs=e.tsv"]
    assert check(peek([*words, "--second_sequence=image"])).pretrain_model_name_or_path == "tiny"
    with pytest.raises(InputError, match="are both missing"):
        check(peek(words))


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["--a=1", "--user_defined_parameters=x=1 y=2", "--b"], ["--a=1", "--b"]),
        (["--user_defined_parameters", "x=1", "--b"], ["--b"]),
        (["--a", "1"], ["--a", "1"]),
        (["--a", "--user_defined_parameters"], ["--a"]),
    ],
)
def test_our_parameters_are_kept_from_easynlp(words: list[str], kept: list[str]) -> None:
    assert _without(words, "user_defined_parameters") == kept
