"""The sides of `inference.py`: each takes picture files or texts and gives unit vectors, and tells its stages apart."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from open_clip_peer import load as load_open_clip
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.utils.logging import disable_progress_bar

from easynlp_fashionklip.data.images import open_image
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.inference.encode import encode_images, encode_texts, evaluating
from easynlp_fashionklip.models.backends.clip import ClipBackend
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.processor import ImagePreprocessing, Processor

try:
    from transformers import CLIPImageProcessorPil as CLIPImageProcessor  # without torchvision
except ImportError:
    from transformers import CLIPImageProcessor

STAGES = ("decode", "resize, normalise", "tower", "head")
ARCHITECTURE, PIXELS, TOKENS = "ViT-B-32-quickgelu", 224, 77


def vit_b_32() -> DualEncoder:
    """CLIP's ViT-B/32 with random weights and CLIP's own tokenizer, which open_clip's package brings."""
    package, _ = load_open_clip()
    known = package.tokenizer.SimpleTokenizer()
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {names.get(token, token): number for token, number in known.encoder.items()}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=list(known.bpe_ranks))
    config = CLIPConfig()
    config.text_config.eos_token_id = config.text_config.pad_token_id = vocabulary["<|endoftext|>"]
    config.text_config.bos_token_id = vocabulary["<|startoftext|>"]
    torch.manual_seed(0)
    backend = ClipBackend(CLIPModel(config))
    return DualEncoder(backend, Processor(ImagePreprocessing(PIXELS), tokenizer, TOKENS)).eval()


class Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)

    @contextlib.contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count what is inside to a stage."""
        started = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - started


def chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Consecutive parts of at most `size`."""
    return (items[start : start + size] for start in range(0, len(items), size))


def unit(features: Tensor) -> np.ndarray:
    """Rows of length 1."""
    array: np.ndarray = torch.nn.functional.normalize(features.float(), dim=-1).numpy()
    return array


class Ours:
    """A `DualEncoder` through `inference.encode`, as `predict` uses it: pictures decoded by worker processes."""

    def __init__(self, model: DualEncoder, batch: int, dtype: torch.dtype = torch.float32) -> None:
        self.model, self.batch, self.dtype = model, batch, dtype

    def _arithmetic(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    def pictures(self, table: PairTable) -> np.ndarray:
        """Unit vectors of a table's pictures."""
        with self._arithmetic():
            return encode_images(self.model, table, batch_size=self.batch, progress=False)

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors of texts."""
        with self._arithmetic():
            return encode_texts(self.model, texts, batch_size=self.batch)

    def stages(self, table: PairTable, clock: Clock) -> None:
        """One batch after the other in this process."""
        processor = self.model.processor
        with evaluating(self.model), self._arithmetic():
            for rows in chunks(range(len(table)), self.batch):
                with clock("decode"):
                    images = [open_image(table.pair(row).image, near=processor.image_size) for row in rows]
                with clock("resize, normalise"):
                    pixels = processor.normalise(torch.stack([processor.pixels(image) for image in images]))
                with clock("tower"):
                    pooled = self.model.image_tower_output(pixels)
                with clock("head"):
                    self.model.project_image(pooled)


class PlainPictures(torch.utils.data.Dataset[Image.Image]):
    """Files opened with Pillow and nothing else."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> Image.Image:
        return Image.open(self.paths[number]).convert("RGB")


class Transformers:
    """`transformers.CLIPModel` with its processor, as its documentation shows it; or behind a DataLoader's worker."""

    def __init__(self, folder: Path, batch: int, workers: int = 0) -> None:
        disable_progress_bar()
        self.model: Any = CLIPModel.from_pretrained(folder).eval()
        self.images: Any = CLIPImageProcessor.from_pretrained(folder)
        self.tokenizer: Any = CLIPTokenizer.from_pretrained(folder)
        self.batch, self.workers = batch, workers

    def _prepared(self, images: Sequence[Image.Image]) -> Tensor:
        pixels: Tensor = self.images(images=list(images), return_tensors="pt")["pixel_values"]
        return pixels

    def _batches(self, table: PairTable) -> Iterator[Tensor]:
        files = PlainPictures(paths_of(table))
        if self.workers:
            yield from DataLoader(files, self.batch, num_workers=self.workers, collate_fn=self._prepared)
            return
        for rows in chunks(range(len(files)), self.batch):
            yield self._prepared([files[row] for row in rows])

    @torch.inference_mode()
    def pictures(self, table: PairTable) -> np.ndarray:
        """Unit vectors of a table's pictures."""
        return np.concatenate([unit(self._features(pixel_values=pixels)) for pixels in self._batches(table)])

    def _features(self, **inputs: Tensor) -> Tensor:
        call = self.model.get_image_features if "pixel_values" in inputs else self.model.get_text_features
        found = call(**inputs)
        features: Tensor = found if isinstance(found, Tensor) else found.pooler_output
        return features

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors of texts, padded to the longest of their batch."""
        parts = []
        for part in chunks(texts, self.batch):
            tokens = self.tokenizer(list(part), padding=True, truncation=True, max_length=TOKENS, return_tensors="pt")
            parts.append(unit(self._features(**tokens)))
        return np.concatenate(parts)

    @torch.inference_mode()
    def stages(self, table: PairTable, clock: Clock) -> None:
        """One batch after the other in this process."""
        files = PlainPictures(paths_of(table))
        for rows in chunks(range(len(files)), self.batch):
            with clock("decode"):
                images = [files[row] for row in rows]
            with clock("resize, normalise"):
                pixels = self._prepared(images)
            with clock("tower"):
                pooled = self.model.vision_model(pixels).pooler_output
            with clock("head"):
                unit(self.model.visual_projection(pooled))


class OpenClip:
    """open_clip's model and tokenizer. Its picture transform needs torchvision; ours, the same operations, is used."""

    def __init__(self, model: DualEncoder, batch: int) -> None:
        package, _ = load_open_clip()
        self.model = package.CLIP(**package.get_model_config(ARCHITECTURE)).eval()
        self.model.load_state_dict(open_clip_weights(model.state_dict()))
        self.tokenize: Callable[[list[str]], Tensor] = package.tokenizer.SimpleTokenizer()
        self.transform, self.batch = model.processor.transform, batch

    @torch.inference_mode()
    def pictures(self, table: PairTable) -> np.ndarray:
        """Unit vectors of a table's pictures."""
        files, parts = PlainPictures(paths_of(table)), []
        for rows in chunks(range(len(files)), self.batch):
            pixels = torch.stack([self.transform(files[row]) for row in rows])
            parts.append(unit(self.model.encode_image(pixels)))
        return np.concatenate(parts)

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors of texts; its tokenizer pads each to 77 tokens."""
        parts = [unit(self.model.encode_text(self.tokenize(list(part)))) for part in chunks(texts, self.batch)]
        return np.concatenate(parts)

    @torch.inference_mode()
    def stages(self, table: PairTable, clock: Clock) -> None:
        """One batch after the other in this process; its tower includes the head."""
        files = PlainPictures(paths_of(table))
        for rows in chunks(range(len(files)), self.batch):
            with clock("decode"):
                images = [files[row] for row in rows]
            with clock("resize, normalise"):
                pixels = torch.stack([self.transform(image) for image in images])
            with clock("tower"):
                unit(self.model.encode_image(pixels))


def paths_of(table: PairTable) -> list[Path]:
    """Files of a table's pictures."""
    references = [table.pair(row).image for row in range(len(table))]
    paths = [one.path for one in references if one is not None and one.path is not None]
    assert len(paths) == len(table), "the catalogue must name its pictures by path"
    return paths


def open_clip_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of our CLIP backend under the names that open_clip gives them."""
    own = {key.removeprefix("backend.model."): value for key, value in state.items()}
    renamed = {
        "logit_scale": state["logit_scale"].squeeze(),
        "visual.class_embedding": own["vision_model.embeddings.class_embedding"],
        "visual.conv1.weight": own["vision_model.embeddings.patch_embedding.weight"],
        "visual.proj": own["visual_projection.weight"].T,
        "text_projection": own["text_projection.weight"].T,
        "token_embedding.weight": own["text_model.embeddings.token_embedding.weight"],
    }
    norms = {"visual.ln_pre": "vision_model.pre_layrnorm", "visual.ln_post": "vision_model.post_layernorm"}
    for target, source in (norms | {"ln_final": "text_model.final_layer_norm"}).items():
        renamed |= {f"{target}.{kind}": own[f"{source}.{kind}"] for kind in ("weight", "bias")}
    for target, source in (("visual.", "vision_model"), ("", "text_model")):
        renamed[f"{target}positional_embedding"] = own[f"{source}.embeddings.position_embedding.weight"]
        layers = sum(key.startswith(f"{source}.encoder.layers.") and key.endswith("fc1.bias") for key in own)
        for number in range(layers):
            block = f"{target}transformer.resblocks.{number}"
            renamed |= _block(own, f"{source}.encoder.layers.{number}", block)
    return renamed


def _block(own: dict[str, Tensor], source: str, target: str) -> dict[str, Tensor]:
    names = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "attn.out_proj": "self_attn.out_proj"}
    names |= {"mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    block = {}
    for kind in ("weight", "bias"):
        block |= {f"{target}.{new}.{kind}": own[f"{source}.{old}.{kind}"] for new, old in names.items()}
        parts = [own[f"{source}.self_attn.{one}_proj.{kind}"] for one in ("q", "k", "v")]
        block[f"{target}.attn.in_proj_{kind}"] = torch.cat(parts)
    return block
