"""Checkpoint folders with one file cut, flipped or changed: each loads and encodes, or is refused in one sentence."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from model_families import FAMILIES
from PIL import Image

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.preprocessing import ImagePreprocessing
from easynlp_fashionklip.models.zoo import load_pretrained

VALUES = (None, -1, 0, 1, 3, 2.5, True, "", "x", [], [1], {}, {"a": 1}, float("nan"), float("inf"), 1e30)
QUICK, THOROUGH = 25, 1000


def places(content: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something can be changed: the keys and indices that lead there."""
    entries = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in entries:
        yield (*above, key)
        yield from places(value, (*above, key))


def change_value(path: Path, rng: random.Random) -> str:
    content = json.loads(path.read_text(encoding="utf-8"))
    *above, last = place = rng.choice(list(places(content)))
    at = content
    for key in above:
        at = at[key]
    if rng.random() < 0.2:
        del at[last]
        told = "deleted"
    else:
        at[last] = rng.choice(VALUES)
        told = repr(at[last])
    path.write_text(json.dumps(content), encoding="utf-8")
    return f"{path.name} {place}: {told}"


def cut(path: Path, rng: random.Random) -> str:
    content = path.read_bytes()
    length = rng.randrange(len(content))
    path.write_bytes(content[:length])
    return f"{path.name} cut at {length}"


def flip_bits(path: Path, rng: random.Random) -> str:
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 1, 3, 20])):
        # Mostly near the beginning: headers are there.
        content[rng.randrange(min(len(content), 4000) if rng.random() < 0.7 else len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(bytes(content))
    return f"{path.name} flipped"


def damage(folder: Path, rng: random.Random) -> str:
    """Change one file; returns what was done."""
    path = folder / rng.choice(sorted(one.name for one in folder.iterdir()))
    ways = [cut, flip_bits] + [change_value] * 5 if path.suffix == ".json" else [cut, flip_bits]
    return rng.choice(ways)(path, rng)


def endure(family: str, folder: Path, seeds: range) -> None:
    FAMILIES[family]().save_pretrained(folder / "whole")
    (folder / "whole" / "pytorch_model.bin").unlink()
    untouched = {path.name: path.read_bytes() for path in (folder / "whole").iterdir()}
    outcomes = {True: 0, False: 0}
    for seed in seeds:
        work = folder / "work"
        shutil.copytree(folder / "whole", work)
        told = damage(work, random.Random(seed))
        try:
            model = load_pretrained(work)
            with torch.no_grad():
                model(**model.processor(images=[Image.new("RGB", (33, 20))], texts=["a red dress", "x" * 200]))
            outcomes[True] += 1
        except InputError as error:
            assert str(error).endswith("."), f"seed {seed}, {told}: {error}"
            outcomes[False] += 1
        except Exception as error:
            raise AssertionError(f"seed {seed}, {told}: {error!r}") from error
        shutil.rmtree(work)
    assert min(outcomes.values()) > 0  # damage that matters, and damage that does not
    assert {path.name: path.read_bytes() for path in (folder / "whole").iterdir()} == untouched
    assert [path.name for path in folder.iterdir()] == ["whole"]  # nothing was written anywhere else


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_damaged_folders_load_or_are_refused(family: str, tmp_path: Path) -> None:
    endure(family, tmp_path, range(QUICK))


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_thousand_damaged_folders_load_or_are_refused(family: str, tmp_path: Path) -> None:
    endure(family, tmp_path, range(QUICK, QUICK + THOROUGH))


@pytest.mark.parametrize("kind", ["CLIP", "Siglip", "ConvNext"])
def test_any_description_of_pictures_is_used_or_refused(kind: str) -> None:
    """A thousand of a few wrong values each; what is accepted prepares a picture."""
    rng = random.Random(0)
    accepted = 0
    for _ in range(1000):
        content = ImagePreprocessing(32).to_dict(kind) | {"crop_pct": 0.9}
        for key in rng.sample(sorted(content), 2):
            content[key] = rng.choice([*VALUES, {"height": 32}, {"shortest_edge": 40}, [0.5] * 3, 32])
        try:
            found = ImagePreprocessing.from_dict(content)
        except InputError:
            continue
        accepted += 1
        assert 1 <= found.image_size <= 8192 and len(found.mean) == len(found.std) == 3
    assert 100 < accepted < 900


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crop_size": 10**6, "size": 10**6}, "size 1000000 is not from 1 to 8192 px"),
        ({"size": {"shortest_edge": 10**6}}, "shortest_edge 1000000 is not from 0 to 8192 px"),
        ({"image_mean": [0.5]}, "not of three channels"),
        ({"image_std": [0.5, 0.0, 0.5]}, "not above 0 where it divides"),
        ({"rescale_factor": float("nan")}, "is no number"),
        ({"resample": 17}, "17 is not a valid Resampling"),
    ],
)
def test_values_that_no_picture_could_take_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"there.json does not say how to resize pictures .*{message}"):
        ImagePreprocessing.from_dict(ImagePreprocessing(32).to_dict() | change, origin="there.json")


@pytest.mark.parametrize("limit", [None, 0, 2, "x", True, float("nan"), -1])
def test_a_text_limit_that_leaves_no_room_is_refused(limit: Any, tmp_path: Path) -> None:
    FAMILIES["clip"]().save_pretrained(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_max_length": limit}))
    if limit is None:  # transformers' word for no limit
        assert load_pretrained(tmp_path).processor.max_length == 77
        return
    with pytest.raises(InputError, match=r"(model_max_length|has no tokenizer that can be read)"):
        load_pretrained(tmp_path)
