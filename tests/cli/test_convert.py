"""`fashionklip convert`: there and back with equal weights, whole or not at all."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest
import torch
from transformers import CLIPConfig, CLIPModel

from easynlp_fashionklip.cli import fashionklip_main
from easynlp_fashionklip.models.backends.clip import ClipBackend
from easynlp_fashionklip.models.clip_tokenizer import VOCABULARY, clip_tokenizer
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.processor import ImagePreprocessing, Processor
from easynlp_fashionklip.models.zoo import load_pretrained

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture()
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*argv: object) -> tuple[int, str, str]:
        code = fashionklip_main(["convert", *map(str, argv)])
        return code, *capsys.readouterr()

    return command


def same(first: Path, second: Path) -> bool:
    one, other = load_pretrained(first), load_pretrained(second)
    states = one.state_dict(), other.state_dict()
    equal = states[0].keys() == states[1].keys() and all(
        torch.equal(states[0][key], states[1][key]) for key in states[0]
    )
    return equal and one.config.vision_config.hidden_act == other.config.vision_config.hidden_act


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a CLIP as OpenAI's are, but for its size: heads 64 wide, 49,408 words, quick_gelu."""
    if find_spec("open_clip") is None:
        pytest.skip("open_clip_torch, whose vocabulary this is, is missing")
    torch.manual_seed(0)
    tower = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 1}
    text = tower | {"vocab_size": VOCABULARY, "eos_token_id": VOCABULARY - 1}
    config = CLIPConfig(text_config=text, vision_config=tower | {"image_size": 32, "patch_size": 16}, projection_dim=16)
    processor = Processor(ImagePreprocessing(32), clip_tokenizer(77), 77)
    folder = tmp_path_factory.mktemp("plain") / "hf"
    DualEncoder(ClipBackend(CLIPModel(config)), processor).save_pretrained(folder)
    return folder


def test_a_zoo_model_becomes_a_folder(run: Run, tmp_path: Path) -> None:
    assert run("tiny", tmp_path / "hf", "--to", "hf") == (0, f"tiny as hf: {tmp_path / 'hf'}\n", "")
    CLIPModel.from_pretrained(tmp_path / "hf")
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]


def test_to_an_open_clip_folder_and_back(run: Run, tmp_path: Path) -> None:
    run("tiny", tmp_path / "hf", "--to", "hf")
    assert run(tmp_path / "hf", tmp_path / "open", "--to", "open_clip")[0] == 0
    assert {"open_clip_config.json", "open_clip_model.safetensors"} <= {
        path.name for path in (tmp_path / "open").iterdir()
    }
    assert run(tmp_path / "open", tmp_path / "back", "--to", "hf")[0] == 0
    assert same(tmp_path / "hf", tmp_path / "back")


@pytest.mark.parametrize(
    ("name", "to", "flags"),
    [
        ("weights.safetensors", "open_clip", ()),
        ("weights.pt", "open_clip", ("--activation", "quick_gelu")),
        ("mine.pt", "release", ()),
        ("mine", "release", ()),
    ],
)
def test_to_a_file_and_back(run: Run, plain: Path, tmp_path: Path, name: str, to: str, flags: tuple[str, ...]) -> None:
    code, out, err = run(plain, tmp_path / name, "--to", to)
    assert code == 0, err
    source = tmp_path / name
    assert not source.is_dir() or [path.name for path in source.iterdir()] == ["mine.pt"]
    assert run(source, tmp_path / "back", "--to", "hf", *flags)[0] == 0
    assert same(plain, tmp_path / "back")


def test_refusals_leave_nothing(run: Run, plain: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    cases = [
        (("tiny", tmp_path / "taken", "--to", "hf"), "taken exists; remove it"),
        (("tiny", tmp_path / "new.pt", "--to", "release"), "has 2 heads"),
        (("tiny", tmp_path / "new.safetensors", "--to", "hf"), "writes no .safetensors"),
        (("startr", tmp_path / "new", "--to", "hf"), "did you mean 'starter'"),
        (("starter", tmp_path / "new", "--to", "open_clip"), "fashionklip-pair|not installed"),
        ((plain, tmp_path / "taken" / "new", "--to", "hf"), "cannot be written"),
    ]
    for argv, words in cases:
        code, out, err = run(*argv)
        assert code == 2
        assert any(word in err for word in words.split("|")), err
        assert err.startswith("error: ")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.parametrize("to", ["hf", "open_clip", "release"])
def test_a_full_disk_leaves_nothing(run: Run, plain: Path, tmp_path: Path, to: str) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        code, _, err = run(plain, tmp_path / "new", "--to", to)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 2
    assert "cannot be written" in err
    assert not list(tmp_path.iterdir())


def test_a_pickle_is_trusted_by_flag_alone(run: Run, tmp_path: Path) -> None:
    class Touches:
        def __reduce__(self) -> tuple[object, ...]:
            return (open, (str(tmp_path / "made"), "w"))

    run("tiny", tmp_path / "hf", "--to", "hf")
    (tmp_path / "hf" / "model.safetensors").unlink()
    path = tmp_path / "hf" / "pytorch_model.bin"
    torch.save(torch.load(path) | {"extra": Touches()}, path)
    code, _, err = run(tmp_path / "hf", tmp_path / "new", "--to", "hf")
    assert code == 2 and f"asks for {open.__module__}.open" in err and "--trust_pickle" in err
    assert not (tmp_path / "made").exists()
    assert run(tmp_path / "hf", tmp_path / "new", "--to", "hf", "--trust_pickle")[0] == 0
    assert (tmp_path / "made").exists()


def test_onnx_is_the_exporters(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = ModuleType("easynlp_fashionklip.inference.onnx_export")

    def export_onnx(model: DualEncoder, folder: Path, *, quantise: bool) -> None:
        (folder / "image.onnx").write_text(f"{model.embed_dim} {quantise}")

    exporter.export_onnx = export_onnx  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, exporter.__name__, exporter)
    for name, flags in (("onnx", ()), ("int8", ("--quantise",))):
        assert run("tiny", tmp_path / name, "--to", "onnx", *flags)[0] == 0
        assert (tmp_path / name / "image.onnx").read_text() == f"32 {bool(flags)}"
    code, _, err = run("tiny", tmp_path / "hf", "--to", "hf", "--quantise")
    assert code == 2 and "--quantise belongs to --to onnx" in err


def test_a_missing_exporter_is_told(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "easynlp_fashionklip.inference.onnx_export", None)
    code, _, err = run("tiny", tmp_path / "onnx", "--to", "onnx")
    assert code == 2
    assert "--to onnx cannot be done here" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("to", "warns"), [("hf", True), ("open_clip", True), ("onnx", False)])
def test_concepts_that_other_programs_cannot_read_are_told(
    run: Run, trained: Path, tmp_path: Path, to: str, warns: bool
) -> None:
    code, _, err = run(trained, tmp_path / "new", "--to", to)
    assert code == 0, err
    assert ("trained with concepts in its texts" in err) is warns
    assert (tmp_path / "new" / "concepts.json").exists() is (to != "open_clip")
