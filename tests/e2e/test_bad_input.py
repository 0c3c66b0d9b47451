"""What a user may get wrong: one clear sentence on stderr, exit code 2, no traceback, nothing half-written."""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from easynlp_fashionklip.graph import ConceptGraph
from easynlp_fashionklip.models.zoo import load_pretrained

Run = Callable[..., Any]
TINY = "pretrain_model_name_or_path=tiny min_frequency=1"


def assert_one_sentence(outcome: Any, *words: str) -> None:
    __tracebackhide__ = True
    assert outcome.code == 2, outcome
    errors = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, outcome.err
    assert "Traceback" not in outcome.err
    assert outcome.out == ""
    for word in words:
        assert word in errors[0], errors[0]


@pytest.fixture
def folder(tmp_path: Path, rows_of: Run, write_table: Run) -> Path:
    """A writable catalogue of 16 products: train.csv."""
    write_table(tmp_path / "train.csv", rows_of(tmp_path, 16))
    return tmp_path


@pytest.fixture
def train(folder: Path, easynlp_here: Run, arguments: Run) -> Run:
    """Tries to train on folder/train.csv into folder/out, which must not appear."""

    def run(*more: str, parameters: str = TINY, table: str = "train.csv", without: str = "nothing") -> Any:
        numbers = ("--micro_batch_size=4", "--epoch_num=1", "--data_threads=0")
        out = f"--checkpoint_dir={folder / 'out'}"
        argv = arguments("train", folder / table, out, *numbers, *more, parameters=parameters)
        outcome = easynlp_here([word for word in argv if not word.startswith(f"--{without}")])
        assert not (folder / "out").exists()
        return outcome

    return run


def edit(folder: Path, line: int, old: str, new: str) -> None:
    """Replace text in one line (from 1, the header being 1) of folder/train.csv."""
    path = folder / "train.csv"
    lines = path.read_text().splitlines()
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new)
    path.write_text("\n".join(lines) + "\n")


def png_of_size(width: int, height: int) -> bytes:
    """The start of a PNG file that claims to be this big and holds no pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


# ---- tables


def test_missing_table(train: Run) -> None:
    assert_one_sentence(train(table="gone.csv"), "gone.csv", "does not exist")


def test_missing_validation_table(train: Run, folder: Path) -> None:
    assert_one_sentence(train(table=f"train.csv,{folder / 'gone.csv'}"), "gone.csv", "does not exist")


def test_missing_column_names_those_there_are(train: Run) -> None:
    outcome = train("--first_sequence=captoin")
    assert_one_sentence(outcome, "'captoin'", "product_id, image, caption", "did you mean 'caption'")


def test_missing_picture_column(train: Run) -> None:
    assert_one_sentence(train("--second_sequence=foto"), "'foto'", "product_id, image, caption")


def test_empty_caption(train: Run, folder: Path) -> None:
    edit(folder, 4, "green striped dress with number 2 pockets", "  ")
    assert_one_sentence(train(), "train.csv, line 4", "'caption'", "empty", "on_bad_row=skip")


def test_duplicate_product_ids(train: Run, folder: Path) -> None:
    edit(folder, 9, "p7,", "p2,")
    assert_one_sentence(train(), "line 9", "'p2'", "line 4", "duplicate_ids=allow")


def test_fewer_rows_than_a_batch(train: Run) -> None:
    assert_one_sentence(train("--micro_batch_size=17"), "16", "17")


def test_three_tables(train: Run, folder: Path) -> None:
    assert_one_sentence(train(table=f"train.csv,{folder}/train.csv,{folder}/train.csv"), "3 files")


# ---- pictures


def test_missing_picture(train: Run, folder: Path) -> None:
    (folder / "images/p5.png").unlink()
    assert_one_sentence(train(), "line 7", "'images/p5.png'", "does not exist")


def test_truncated_picture(train: Run, folder: Path) -> None:
    picture = folder / "images/p5.png"
    picture.write_bytes(picture.read_bytes()[:-20])
    assert_one_sentence(train(), "line 7", "'images/p5.png'", "truncated")


def test_picture_damaged_inside(train: Run, folder: Path) -> None:
    """Header and end marker are whole, so that only decoding, in a worker process too, can tell."""
    picture = folder / "images/p5.png"
    content = bytearray(picture.read_bytes())
    start = content.index(b"IDAT") + 4
    content[start : start + 12] = bytes(12)
    picture.write_bytes(bytes(content))
    outcome = train("--data_threads=1")
    assert_one_sentence(outcome, "line 7", "'images/p5.png'", "damaged")


def test_text_file_for_a_picture(train: Run, folder: Path) -> None:
    (folder / "images/p5.png").write_text("<html>404</html>")
    assert_one_sentence(train(), "line 7", "not a picture")


def test_one_pixel_picture(train: Run, folder: Path) -> None:
    Image.new("RGB", (1, 1)).save(folder / "images/p5.png")
    assert_one_sentence(train(), "line 7", "1 x 1")


def test_decompression_bomb(train: Run, folder: Path) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (folder / "images/p5.png").write_bytes(png_of_size(30_000, 30_000))
    assert_one_sentence(train(), "line 7", "30000 x 30000")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 900e6 / 1024, "2.7 GB of pixels must not be allocated"


# ---- flags


def test_unknown_parameter_suggests_the_nearest(train: Run) -> None:
    outcome = train(parameters=f"{TINY} cva_wieght=0.2")
    assert_one_sentence(outcome, "'cva_wieght'", "did you mean 'cva_weight'", "mmr_diversity")


def test_unknown_zoo_name_lists_the_known(train: Run) -> None:
    outcome = train(parameters="pretrain_model_name_or_path=startr")
    assert_one_sentence(outcome, "'startr'", "did you mean 'starter'", "tiny")


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("tables", "--tables is missing"),
        ("first_sequence", "--first_sequence (text column) is missing"),
        ("second_sequence", "--second_sequence (picture column) is missing"),
        ("checkpoint_dir", "--checkpoint_dir is missing"),
        ("user_defined_parameters", "pretrain_model_name_or_path"),
    ],
)
def test_missing_flags(train: Run, flag: str, words: str) -> None:
    assert_one_sentence(train(without=flag), words)


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--random_seed=0", "--random_seed=0 is not positive"),
        ("--random_seed=x", "random_seed"),
        ("--mode=trian", "--mode=trian"),
        ("--epoch_num=0", "--epoch_num=0.0 is not positive"),
        ("--learning_rate=fast", "learning_rate"),
        ("--micro_batch_size=0", "micro_batch_size=0"),
        ("--gradient_accumulation_steps=0", "gradient_accumulation_steps=0"),
        ("--learning_rat=1", "--learning_rat=1"),
        ("--optimizer_type=SGD", "SGD"),
        ("--data_threads=-3", "-3"),
        ("--worker_count=2", "MASTER_ADDR"),
    ],
)
def test_wrong_values(train: Run, flag: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert_one_sentence(train(flag), words)


def test_checkpoint_dir_is_a_file(train: Run, folder: Path) -> None:
    assert_one_sentence(train(f"--checkpoint_dir={folder / 'train.csv'}"), "is a file")


def test_checkpoint_dir_of_another_app(train: Run, folder: Path) -> None:
    other = folder / "other"
    other.mkdir()
    (other / "train_config.json").write_text('{"app_name": "text_classify"}')
    assert_one_sentence(train(f"--checkpoint_dir={other}"), "'text_classify'", "another folder")
    assert [path.name for path in other.iterdir()] == ["train_config.json"]


def test_resume_from_nothing(train: Run, folder: Path) -> None:
    assert_one_sentence(train(f"--resume_from_checkpoint={folder}"), "no pytorch_model_step_")
    assert_one_sentence(train(f"--resume_from_checkpoint={folder / 'pytorch_model_step_9'}"), "does not exist")


def test_resume_from_a_damaged_point(train: Run, folder: Path) -> None:
    point = folder / "points"
    point.mkdir()
    for suffix in (".bin", ".meta.bin"):
        (point / f"pytorch_model_step_3{suffix}").write_bytes(b"nothing torch wrote")
    argv = (f"--resume_from_checkpoint={point}", "--checkpoint_dir=" + str(folder / "elsewhere"))
    outcome = train(*argv, parameters=f"{TINY} cva=false")
    assert_one_sentence(outcome, "pytorch_model_step_3.bin", "damaged")
    assert not (folder / "elsewhere").exists()


# ---- graph


def test_graph_of_another_dimension(train: Run, folder: Path, trained: Path) -> None:
    graph = ConceptGraph.load(trained / "graph")
    info = graph.tables.info
    object.__setattr__(info, "embedding_dim", 512)
    graph.save(folder / "graph")
    before = {path.name: path.stat().st_mtime_ns for path in (folder / "graph").iterdir()}
    outcome = train(parameters=f"{TINY} graph_dir={folder / 'graph'}")
    assert_one_sentence(outcome, "dimension 512", "has 32", "rebuild")
    assert before == {path.name: path.stat().st_mtime_ns for path in (folder / "graph").iterdir()}


def test_graph_dir_holds_something_else(train: Run, folder: Path) -> None:
    outcome = train(parameters=f"{TINY} graph_dir={folder / 'images'}")
    assert_one_sentence(outcome, "images", "graph.json")


def test_no_spacy_model(train: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("easynlp_fashionklip.graph.pipeline.KNOWN_PIPELINES", ("no_such_pipeline",))
    assert_one_sentence(train(), "spaCy pipeline", "pip install")


def test_no_spacy_at_all(train: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    assert_one_sentence(train(), "spaCy", "pip install")


def test_asked_for_spacy_model_is_not_there(train: Run) -> None:
    assert_one_sentence(train(parameters=f"{TINY} spacy_model=xx_gone"), "'xx_gone'")


# ---- evaluate and predict


@pytest.fixture
def use(folder: Path, easynlp_here: Run, arguments: Run, trained: Path) -> Run:
    """Tries to evaluate or predict folder/train.csv with the trained checkpoint."""

    def run(mode: str, *more: str) -> Any:
        argv = arguments(mode, folder / "train.csv", f"--checkpoint_dir={trained}", "--data_threads=0")
        return easynlp_here([*argv, *more])

    return run


def test_evaluate_a_missing_or_empty_checkpoint(use: Run, folder: Path) -> None:
    assert_one_sentence(use("evaluate", f"--checkpoint_dir={folder / 'gone'}"), "does not exist", "train into it first")
    (folder / "empty").mkdir()
    assert_one_sentence(use("evaluate", f"--checkpoint_dir={folder / 'empty'}"), "config.json", "empty")


def test_evaluate_a_checkpoint_without_weights(use: Run, folder: Path) -> None:
    load_pretrained("tiny").save_pretrained(folder / "model")
    (folder / "model/model.safetensors").write_bytes(b"half")
    assert_one_sentence(use("evaluate", f"--checkpoint_dir={folder / 'model'}"), str(folder / "model"), "damaged")


def test_predict_without_outputs(use: Run) -> None:
    assert_one_sentence(use("predict"), "--outputs is missing")


def test_predict_unknown_columns(use: Run, folder: Path) -> None:
    out = f"--outputs={folder / 'e.tsv'}"
    assert_one_sentence(use("predict", out, "--append_cols=sku"), "--append_cols", "'sku'", "product_id")
    assert_one_sentence(use("predict", out, "--output_schema=logits"), "--output_schema", "'logits'", "text_feat")
    assert not (folder / "e.tsv").exists()


def test_predict_leaves_nothing_when_a_row_is_bad(use: Run, folder: Path) -> None:
    picture = folder / "images/p15.png"
    content = bytearray(picture.read_bytes())
    start = content.index(b"IDAT") + 4
    content[start : start + 12] = bytes(12)
    picture.write_bytes(bytes(content))
    for name in ("e.tsv", "e.npz"):
        assert_one_sentence(use("predict", f"--outputs={folder / name}"), "line 17", "damaged")
        assert not list(folder.glob("e.*"))


def test_predict_into_a_folder_that_cannot_be(use: Run, folder: Path) -> None:
    assert_one_sentence(use("predict", f"--outputs={folder / 'train.csv' / 'e.tsv'}"), "cannot write", "--outputs")
    assert_one_sentence(use("evaluate", f"--outputs={folder / 'train.csv' / 'deep'}"), "cannot write", "--outputs")


# ---- several processes


@pytest.fixture
def train_on_two(folder: Path, run_script: Run, arguments: Run) -> Run:
    """Tries to train on two processes."""

    def run(parameters: str = TINY) -> Any:
        argv = arguments("train", folder / "train.csv", f"--checkpoint_dir={folder / 'out'}", parameters=parameters)
        outcome = run_script("easynlp", [*argv, "--worker_cpu=2", "--micro_batch_size=4", "--data_threads=0"], folder)
        assert not (folder / "out").exists()
        return outcome

    return run


def test_a_fault_that_two_processes_find_is_told_once(train_on_two: Run, folder: Path) -> None:
    edit(folder, 5, "images/p3.png", "images/gone.png")
    assert_one_sentence(train_on_two(), "line 5")


@pytest.mark.slow
def test_a_fault_that_one_process_finds_while_the_other_waits(train_on_two: Run, folder: Path, trained: Path) -> None:
    graph = ConceptGraph.load(trained / "graph")
    object.__setattr__(graph.tables.info, "embedding_dim", 512)
    graph.save(folder / "graph")
    assert_one_sentence(train_on_two(f"{TINY} graph_dir={folder / 'graph'}"), "dimension 512")
