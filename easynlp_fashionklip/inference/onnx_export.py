"""Encoders as ONNX: the graphs of both towers with their heads, in a folder that other programs can read too."""

from __future__ import annotations

import contextlib
import copy
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.inference.onnx_encoder import (
    IMAGE_INPUTS,
    IMAGE_OUTPUT,
    TEXT_INPUTS,
    TEXT_OUTPUT,
    OnnxGraph,
)
from easynlp_fashionklip.inference.onnx_folder import (
    IMAGE_GRAPH,
    MODEL_TYPE,
    TEXT_GRAPH,
    OnnxConfig,
    import_onnx,
    sha256_of,
)
from easynlp_fashionklip.inference.onnx_quantise import quantise as quantise_graph
from easynlp_fashionklip.models.checkpoint import CONFIG, describe_content, first_line, read_json, write_folder
from easynlp_fashionklip.models.concept_texts import FILES as CONCEPT_FILES
from easynlp_fashionklip.models.dual_encoder import DualEncoder

OPSET = 18
ONE_FILE_BYTES = 1_900_000_000  # protobuf ends at 2 GiB; beyond, weights go to a file beside the graph
_TOLERANCE = 1e-3
_ANY_SIZE = 1 << 62
_EXAMPLES = ("a red t-shirt", "short sleeve t-shirt in white with v-neck")
_OTHERS = ("jeans", "dark blue denim jacket with two pockets and a collar", "hat")
_NAMES = {IMAGE_GRAPH: (IMAGE_INPUTS, IMAGE_OUTPUT), TEXT_GRAPH: (TEXT_INPUTS, TEXT_OUTPUT)}


class _ImageEncoder(nn.Module):
    """`encode_image` as a module of its own."""

    def __init__(self, model: DualEncoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> Tensor:
        """B x 3 x S x S normalised float32 -> B x d."""
        return self.model.encode_image(pixel_values)


class _TextEncoder(nn.Module):
    """`encode_text` as a module of its own."""

    def __init__(self, model: DualEncoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """B x L int64, twice -> B x d."""
        return self.model.encode_text(input_ids, attention_mask)


_Encoder = _ImageEncoder | _TextEncoder


def export_onnx(model: DualEncoder, folder: str | Path, *, quantise: bool = False) -> None:
    """Write image.onnx, text.onnx, the processor's files and config.json; the folder appears whole or not at all.

    `image.onnx` takes `pixel_values` (B x 3 x S x S, normalised, S the processor's size), `text.onnx` takes
    `input_ids` and `attention_mask` (B x L, int64); both give unit vectors (B x d), for any B and L. Before anything is
    written in place, each float32 graph must give the model's own embeddings of a batch other than the one it was
    traced with.

    Args:
        model: the encoder; it is left as it is.
        folder: where to write; an export that is there is replaced.
        quantise: weights of matrix products as int8, convolutions in float32.

    Raises:
        InputError: the extra `onnx` is not installed, the folder holds something else or cannot be written, or the
            encoder has an operation that ONNX lacks.
    """
    import_onnx("onnx", "onnxscript", "onnxruntime")
    _refuse_other_content(Path(folder))
    plain = copy.deepcopy(model).to(device="cpu", dtype=torch.float32).eval().requires_grad_(False)

    def write(temporary: Path) -> None:
        for name, encoder in ((IMAGE_GRAPH, _ImageEncoder(plain)), (TEXT_GRAPH, _TextEncoder(plain))):
            _write_graph(encoder, temporary, name, quantise)
        plain.processor.save_pretrained(temporary)
        if plain.concepts is not None:
            plain.concepts.save(temporary)
        kept = (*temporary.glob("*.onnx*"), *temporary.glob("concepts.*"))
        digests = {path.name: sha256_of(path) for path in sorted(kept)}
        config = _describe(plain, digests, "int8" if quantise else "float32")
        (temporary / CONFIG).write_text(config.to_json_string(), encoding="utf-8")

    write_folder(folder, write, obsolete=() if plain.concepts else CONCEPT_FILES)


def _refuse_other_content(folder: Path) -> None:
    """An export's config.json would take the place of a checkpoint's, which could then not be loaded."""
    config = read_json(folder, CONFIG) if folder.is_dir() else None
    if config is not None and config.get("model_type") != MODEL_TYPE:
        raise InputError(
            f"{folder} holds another checkpoint ({describe_content(folder)}); export into a folder of its own."
        )


def _describe(model: DualEncoder, digests: dict[str, str], weights: str) -> OnnxConfig:
    backend, processor = model.backend, model.processor
    tokenizer_config = backend.tokenizer_config or model.config
    padded_length = getattr(processor, "padded_length", 0)
    return OnnxConfig(
        embed_dim=model.embed_dim,
        image_size=processor.image_size,
        max_length=padded_length or processor.max_length,
        logit_scale=float(model.logit_scale.detach()),
        pad_token_id=_masked_token(model),
        pads_texts=padded_length > 0,
        source_model_type=str(model.config.model_type),
        tokenizer_model_type=str(tokenizer_config.model_type),
        weights=weights,
        opset=OPSET,
        preprocessing=processor.preprocessing.to_dict(),
        sha256=digests,
    )


@torch.no_grad()
def _masked_token(model: DualEncoder) -> int | None:
    """Which token the encoder masks on its own where it is given no mask, found by trying."""
    ids = model.processor.tokenize(_OTHERS)["input_ids"]
    unasked, unmasked = model.encode_text(ids), model.encode_text(ids, torch.ones_like(ids))
    return None if torch.allclose(unasked, unmasked, atol=1e-5) else int(model.processor.tokenizer.pad_token_id)


def _inputs(encoder: _Encoder, name: str, texts: tuple[str, ...]) -> tuple[Tensor, ...]:
    """A batch of noise, or of texts of several lengths."""
    processor = encoder.model.processor
    if name == TEXT_GRAPH:
        tokens = processor.tokenize(texts)
        return tokens["input_ids"], tokens["attention_mask"]
    generator = torch.Generator().manual_seed(len(texts))
    size = processor.image_size
    return (torch.randn(len(texts), 3, size, size, generator=generator),)


def _write_graph(encoder: _Encoder, folder: Path, name: str, quantise: bool) -> None:
    external = sum(tensor.nbytes for tensor in encoder.state_dict().values()) > ONE_FILE_BYTES
    exact = folder / (f"float-{name}" if quantise else name)
    _traced(encoder, name).save(exact, external_data=external)
    _compare(encoder, exact, name)
    if quantise:
        quantise_graph(exact, folder / name, external_data=external)
        for path in folder.glob(f"{exact.name}*"):
            path.unlink()


def _traced(encoder: _Encoder, name: str) -> Any:
    example = _inputs(encoder, name, _EXAMPLES)
    free = torch.export.Dim.DYNAMIC
    shapes = tuple({0: free} if name == IMAGE_GRAPH else {0: free, 1: free} for _ in example)
    inputs, output = _NAMES[name]
    try:
        with torch.no_grad(), _quiet():
            program: Any = torch.onnx.export(
                encoder,
                example,
                input_names=list(inputs),
                output_names=[output],
                dynamic_shapes=shapes,
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
            # The exporter folds small constants only; batch norms in their convolutions' weights are folded here.
            [optimizer] = import_onnx("onnxscript.optimizer")
            optimizer.optimize(
                program.model, onnx_shape_inference=False, input_size_limit=_ANY_SIZE, output_size_limit=_ANY_SIZE
            )
            return program
    except torch.onnx.OnnxExporterError as error:
        raise InputError(
            f"this {encoder.model.config.model_type} encoder cannot be exported to ONNX by torch {torch.__version__} "
            f"({first_line(error)})."
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes on how it goes about it."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)


def _compare(encoder: _Encoder, path: Path, name: str) -> None:
    """Refuse a graph that is wrong for other batches and lengths than those of its tracing."""
    inputs = _inputs(encoder, name, _OTHERS)
    graph = OnnxGraph(path, *_NAMES[name], encoder.model.embed_dim)
    with torch.no_grad():
        difference = float((graph(*inputs) - encoder(*inputs)).abs().max())
    if not difference <= _TOLERANCE:
        raise InputError(
            f"the ONNX graph {name} of this {encoder.model.config.model_type} encoder gives other embeddings than "
            f"torch {torch.__version__} (by {difference:.2g}); it was not written."
        )
