"""Predicted embeddings as files."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from easynlp_fashionklip.models.zoo import load_pretrained

Run = Callable[..., Any]


@pytest.fixture
def predict(catalogue: Path, tmp_path: Path, easynlp_here: Run, arguments: Run) -> Run:
    """Predicts valid.csv with `tiny` to tmp_path/NAME; returns the file."""

    def run(name: str, *more: str, without: str = "nothing", parameters: str = "") -> Path:
        parameters = f"pretrain_model_name_or_path=tiny {parameters}"
        argv = arguments("predict", catalogue / "valid.csv", "--data_threads=0", parameters=parameters)
        argv = [word for word in argv if not word.startswith(f"--{without}")]
        outcome = easynlp_here([*argv, f"--outputs={tmp_path / name}", *more])
        assert outcome.code == 0, outcome.err
        return tmp_path / name

    return run


def vectors(path: Path, column: int = 0, separator: str = ",") -> np.ndarray:
    lines = path.read_text().splitlines()
    return np.array([[float(x) for x in line.split("\t")[column].split(separator)] for line in lines])


def test_text_alone(predict: Run) -> None:
    path = predict("text.tsv", without="second_sequence")
    assert all(line.count("\t") == 0 for line in path.read_text().splitlines())
    model = load_pretrained("tiny", seed=1234)  # EasyNLP's default --random_seed
    tokens = model.processor.tokenize(["red striped dress with number 0 pockets"])
    np.testing.assert_allclose(vectors(path)[0], model.encode_text(**tokens)[0].detach().numpy(), atol=1e-6)


def test_pictures_alone_by_the_second_or_by_output_schema(predict: Run) -> None:
    by_second = vectors(predict("second.tsv", without="first_sequence"))
    as_upstream = vectors(
        predict("first.tsv", "--first_sequence=image", "--output_schema=image_feat", without="second_sequence")
    )
    assert by_second.shape == (16, 32)
    np.testing.assert_array_equal(by_second, as_upstream)


def test_output_schema_orders_and_drops_columns(predict: Run) -> None:
    both = predict("both.tsv", "--output_schema=image_feat,text_feat", "--append_cols=product_id")
    text = predict("text.tsv", "--output_schema=text_feat")
    assert [line.count("\t") for line in both.read_text().splitlines()] == [2] * 16
    assert [line.count("\t") for line in text.read_text().splitlines()] == [0] * 16
    np.testing.assert_array_equal(vectors(both, 1), vectors(text))
    assert both.read_text().splitlines()[5].endswith("\tv5")


@pytest.mark.parametrize(("name", "separator"), [("comma", ","), ("space", " ")])
def test_separators(predict: Run, name: str, separator: str) -> None:
    path = predict("t.tsv", parameters=f"feature_separator={name}", without="second_sequence")
    assert vectors(path, separator=separator).shape == (16, 32)


def test_tabs_as_easynlps_clip_app_writes_them(predict: Run) -> None:
    path = predict("t.tsv", parameters="feature_separator=tab", without="second_sequence")
    assert {line.count("\t") for line in path.read_text().splitlines()} == {31}


def test_npz(predict: Run) -> None:
    arrays = np.load(predict("e.npz", "--append_cols=product_id,caption"))
    assert set(arrays.files) == {"text_feat", "image_feat", "product_id", "caption"}
    assert arrays["image_feat"].dtype == np.float32
    assert arrays["text_feat"].shape == (16, 32)
    assert arrays["product_id"].tolist() == [f"v{n}" for n in range(16)]
    np.testing.assert_allclose(arrays["image_feat"], vectors(predict("e.tsv"), 1), atol=1e-6)


def test_line_breaks_and_tabs_in_appended_cells_become_blanks(
    easynlp_here: Run, arguments: Run, tmp_path: Path, rows_of: Run, write_table: Run
) -> None:
    rows = rows_of(tmp_path, 3)
    rows[1][2] = "red\tdress\nin two  lines"
    table = write_table(tmp_path / "t.csv", rows)
    argv = arguments("predict", table, f"--outputs={tmp_path / 'o.tsv'}", "--append_cols=caption", "--data_threads=0")
    assert easynlp_here(argv).code == 0
    lines = (tmp_path / "o.tsv").read_text().splitlines()
    assert len(lines) == 3
    assert lines[1].split("\t")[2] == "red dress in two lines"


def test_repeated_products_are_embedded_and_bad_rows_skipped(
    easynlp_here: Run, arguments: Run, tmp_path: Path, rows_of: Run, write_table: Run
) -> None:
    rows = rows_of(tmp_path, 4)
    rows[2][0] = rows[1][0]
    rows[3][1] = "gone.png"
    table = write_table(tmp_path / "t.csv", rows)
    parameters = "pretrain_model_name_or_path=tiny on_bad_row=skip"
    argv = arguments("predict", table, f"--outputs={tmp_path / 'o.tsv'}", "--data_threads=0", parameters=parameters)
    outcome = easynlp_here(argv)
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("3 rows written")
    assert "gone.png" in outcome.err


def test_run_as_easynlps_predictor_manager_calls_it(catalogue: Path) -> None:
    from easynlp_fashionklip.app.predictor import FashionKLIPPredictor

    predictor = FashionKLIPPredictor(load_pretrained("tiny"), text="title", image="photo", separator=" ")
    picture = catalogue / "images" / "v0.png"
    records = [
        {"title": "red dress", "photo": str(picture)},
        {"title": "coat", "photo": base64.b64encode(picture.read_bytes()).decode()},
    ]
    results = predictor.run(records)
    assert len(results) == 2
    assert results[0]["image_feat"] == results[1]["image_feat"]
    assert results[0]["text_feat"] != results[1]["text_feat"]
    assert len(results[0]["text_feat"].split(" ")) == 32
