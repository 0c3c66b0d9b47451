"""Model cards: what they say, how they are written, and that a user's own README stays."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from model_families import FAMILIES, small_clip, small_pair, small_siglip

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.model_card import (
    CARD,
    MARK,
    ModelCard,
    architectures,
    describe,
    licence_of,
    write_card,
)
from easynlp_fashionklip.models.zoo import ZOO


def card(**changes: object) -> ModelCard:
    values = {
        "name": "my|model",
        "base": "someone/some-clip",
        "licence": "MIT",
        "model": {"architecture": "clip", "texts": ""},
        "data": {"table": "a|b.csv", "pairs": "1,000"},
        "graph": {"concepts": "12"},
        "metrics": {"mean_recall": 12.3456},
        "evaluated_on": "valid.csv",
        "command": "easynlp --mode=train ```",
        "architectures": ("CLIPModel",),
    }
    return ModelCard(**(values | changes))


def test_it_says_everything() -> None:
    text = card().render()
    lines = text.splitlines()
    assert lines[:2] == ["---", MARK]
    assert {"license: mit", 'base_model: "someone/some-clip"', "library_name: transformers"} <= set(lines)
    titles = ["Training data", "Concept graph", "Metrics", "Command", "Licence of the base weights", "Use"]
    assert [line.removeprefix("## ") for line in lines if line.startswith("## ")] == titles
    assert "| mean\\_recall | 12.35 |" in lines
    assert "on `valid.csv`." in text
    assert "| table | a\\|b.csv |" in lines
    assert "````bash\neasynlp --mode=train ```\n````" in text
    assert "CLIPModel.from_pretrained(" in text
    assert not [line for line in lines if line.startswith("| texts")]


def test_what_is_not_known_is_left_out() -> None:
    text = card(graph={}, metrics={}, evaluated_on="", command="", architectures=(), base="./a `folder`").render()
    assert "Concept graph" not in text and "Metrics" not in text and "Command" not in text
    assert "library_name" not in text and "base_model" not in text
    assert "from `` ./a `folder` ``." in text


def test_front_matter_is_yaml() -> None:
    yaml = pytest.importorskip("yaml")
    for licence, expected in (("MIT", "mit"), ("see its page", "other")):
        content = yaml.safe_load(card(licence=licence).render().split("---")[1])
        assert content["license"] == expected
        assert content["tags"] == ["fashion", "image-text-retrieval", "fashionklip"]


def test_ours_is_replaced_and_a_users_own_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert write_card(tmp_path, card())
    assert write_card(tmp_path, card(name="second"))
    assert "# second" in (tmp_path / CARD).read_text()
    (tmp_path / CARD).write_text((tmp_path / CARD).read_text().replace(MARK + "\n", "") + "my words\n")
    with caplog.at_level(logging.INFO):
        assert not write_card(tmp_path, card(name="third"))
    text = (tmp_path / CARD).read_text()
    assert "my words" in text and "third" not in text
    assert "stays as it is" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == [CARD]


def test_bytes_that_are_no_text_are_a_users_own(tmp_path: Path) -> None:
    (tmp_path / CARD).write_bytes(b"\xff\xfe\x00binary")
    assert not write_card(tmp_path, card())
    assert (tmp_path / CARD).read_bytes() == b"\xff\xfe\x00binary"


def test_a_card_that_cannot_be_written_is_named_and_the_old_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_card(tmp_path, card())

    def fail(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(InputError, match=r"README.md cannot be written \(No space left on device\)"):
        write_card(tmp_path, card(name="second"))
    assert "my" in (tmp_path / CARD).read_text()


def test_the_model_is_described() -> None:
    told = describe(small_siglip())
    assert told["architecture"] == "siglip"
    assert told["embedding"] == "16 dimensions, unit norm"
    assert told["pictures"] == "32 px square, squash"
    assert told["texts"] == "at most 24 tokens"


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_transformers_classes_are_named_where_they_give_the_same(family: str, tmp_path: Path) -> None:
    model = FAMILIES[family]()
    model.save_pretrained(tmp_path)
    expected = {
        "clip": ("CLIPModel",),
        "siglip": ("SiglipModel",),
        "chinese_clip": ("ChineseCLIPModel",),
        "vision-text-dual-encoder": ("VisionTextDualEncoderModel",),
        "fashionklip-pair": (),
    }
    assert architectures(type(model).from_pretrained(tmp_path)) == expected[family]


def test_own_pooling_is_not_transformers() -> None:
    model = FAMILIES["vision-text-dual-encoder"]()
    model.config.text_pooling = "mean"
    assert architectures(model) == architectures(small_pair()) == ()


def test_licences(tmp_path: Path) -> None:
    assert licence_of("starter") == ZOO["starter"].licence
    assert licence_of("someone/some-clip") == "see https://huggingface.co/someone/some-clip"
    assert licence_of("../elsewhere") == "not stated with ../elsewhere"
    folder = tmp_path / "base"
    folder.mkdir()
    assert licence_of(str(folder)) == f"not stated in {folder}"
    (folder / CARD).write_text("---\nlicense: apache-2.0  # said so\n---\n# A model\n")
    assert licence_of(str(folder)) == "apache-2.0"
    towers = f"vision={folder} text=a/b"
    assert licence_of(towers) == "picture tower: apache-2.0; text tower: see https://huggingface.co/a/b"


def test_a_licence_is_handed_on_from_card_to_card(tmp_path: Path) -> None:
    write_card(tmp_path, card(licence=ZOO["starter"].licence + " [a_b|c]"))
    assert licence_of(str(tmp_path)) == ZOO["starter"].licence + " [a_b|c]"


def test_saving_a_model_leaves_a_card_alone(tmp_path: Path) -> None:
    write_card(tmp_path, card())
    small_clip().save_pretrained(tmp_path)
    assert "my" in (tmp_path / CARD).read_text()
