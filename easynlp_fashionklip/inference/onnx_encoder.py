"""An exported encoder in use: what `DualEncoder` promises, computed by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.inference.onnx_folder import (
    EXPORT_AGAIN,
    IMAGE_GRAPH,
    MODEL_TYPE,
    TEXT_GRAPH,
    OnnxConfig,
    import_onnx,
    is_onnx_folder,
    read_onnx_config,
)
from easynlp_fashionklip.models.backends import Backend
from easynlp_fashionklip.models.backends.base import mask_padding
from easynlp_fashionklip.models.backends.tower import Tower
from easynlp_fashionklip.models.checkpoint import first_line
from easynlp_fashionklip.models.concept_texts import ConceptTexts
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.processor import ImagePreprocessing, Processor, load_tokenizer
from easynlp_fashionklip.models.zoo import ZOO, load_pretrained

IMAGE_INPUTS, IMAGE_OUTPUT = ("pixel_values",), "image_embeds"
TEXT_INPUTS, TEXT_OUTPUT = ("input_ids", "attention_mask"), "text_embeds"
# Activations of so many rows stay in a core's share of the cache: ViT-B/32 in int8 takes 32 ms a picture, 36 for 128.
AT_ONCE = 32


def load_encoder(name_or_path: str | Path, *, image_size: int = 0, **options: Any) -> DualEncoder:
    """An encoder to embed with: the folder of an exported one, or whatever `models.zoo.load_pretrained` takes.

    Args:
        name_or_path: the folder, or as there.
        image_size: side of the pictures in pixels; 0 takes the encoder's own.
        options: of `load_pretrained`; an export, all of whose weights are given, needs none.

    Raises:
        InputError: as `load_pretrained` and `OnnxDualEncoder.from_pretrained`.
    """
    if str(name_or_path) not in ZOO and is_onnx_folder(name_or_path):
        return OnnxDualEncoder.from_pretrained(name_or_path, image_size=image_size)
    return load_pretrained(name_or_path, image_size=image_size, **options)


class OnnxGraph:
    """One tower's graph; sent to another process it is opened there anew, from the same path.

    Args:
        path: of the .onnx file.
        inputs: their names, each with the batch as its first dimension.
        output: name of the embeddings.
        embed_dim: their size d.

    Raises:
        InputError: the file is damaged, is not of such a tower, or needs a newer ONNX Runtime.
    """

    def __init__(self, path: Path, inputs: Sequence[str], output: str, embed_dim: int) -> None:
        self.path, self.inputs, self.output, self.embed_dim = path, tuple(inputs), output, embed_dim
        self._open()

    def _open(self) -> None:
        [runtime] = import_onnx("onnxruntime")
        [state] = import_onnx("onnxruntime.capi.onnxruntime_pybind11_state")
        names = (
            "Fail",
            "InvalidArgument",
            "InvalidGraph",
            "InvalidProtobuf",
            "NoSuchFile",
            "NotImplemented",
            "RuntimeException",
        )
        self._errors = (*(getattr(state, name, RuntimeError) for name in names), RuntimeError, ValueError)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors, which are raised besides
        # Waiting threads would otherwise keep the cores from the processes that decode pictures.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = runtime.InferenceSession(
                str(self.path), options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
        except self._errors as error:
            raise InputError(
                f"{self.path} cannot be opened by onnxruntime {runtime.__version__} ({first_line(error)}); the file is "
                f"damaged or needs a newer onnxruntime: {EXPORT_AGAIN}, or update the package."
            ) from error
        self._check_names()

    def _check_names(self) -> None:
        self._taken = [one.name for one in self._session.get_inputs()]
        shapes = {one.name: one.shape for one in self._session.get_outputs()}
        if not set(self._taken) <= set(self.inputs) or self.output not in shapes:
            raise InputError(
                f"{self.path} takes {', '.join(self._taken)} and gives {', '.join(shapes)}, where {self.output} of "
                f"{', '.join(self.inputs)} is expected; {EXPORT_AGAIN}."
            )
        if shapes[self.output][-1:] != [self.embed_dim]:
            raise InputError(
                f"{self.path} gives {self.output} of shape {shapes[self.output]}, where {self.embed_dim} numbers each "
                f"are expected; {EXPORT_AGAIN}."
            )

    def __getstate__(self) -> tuple[Path, tuple[str, ...], str, int]:
        return self.path, self.inputs, self.output, self.embed_dim

    def __setstate__(self, state: tuple[Path, tuple[str, ...], str, int]) -> None:
        self.path, self.inputs, self.output, self.embed_dim = state
        self._open()

    def __call__(self, *tensors: Tensor) -> Tensor:
        """Embeddings B x d, float32, on the device of the first input.

        Raises:
            InputError: the runtime refuses the inputs.
        """
        if not len(tensors[0]):
            return torch.zeros(0, self.embed_dim, device=tensors[0].device)
        return torch.cat([self._run(*part) for part in zip(*(one.split(AT_ONCE) for one in tensors), strict=True)])

    def _run(self, *tensors: Tensor) -> Tensor:
        arrays = {name: one.detach().cpu().contiguous().numpy() for name, one in zip(self.inputs, tensors, strict=True)}
        try:
            [embeds] = self._session.run([self.output], {name: arrays[name] for name in self._taken})
        except self._errors as error:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
            raise InputError(f"{self.path} cannot compute {shapes} ({first_line(error)}).") from error
        return torch.from_numpy(embeds).to(tensors[0].device)


class OnnxBackend(Backend):
    """Both graphs of an exported encoder; a graph includes its head, so that "tower output" is the embedding.

    Raises:
        InputError: a graph cannot be used, see `OnnxGraph`.
    """

    model_type = MODEL_TYPE

    def __init__(self, folder: Path, config: OnnxConfig) -> None:
        super().__init__()
        self.folder = folder
        self.config = config
        self.embed_dim, self.image_size = config.embed_dim, config.image_size
        self.max_text_length = config.max_length
        self.initial_logit_scale = float(config.logit_scale)
        self.image_tower, self.text_tower = Tower("image", nn.Identity()), Tower("text", nn.Identity())
        self._image = OnnxGraph(folder / IMAGE_GRAPH, IMAGE_INPUTS, IMAGE_OUTPUT, config.embed_dim)
        self._text = OnnxGraph(folder / TEXT_GRAPH, TEXT_INPUTS, TEXT_OUTPUT, config.embed_dim)
        # In the place of weights: it says which device inputs go to, and tells two exports apart in `encoder_digest`.
        digests = "".join(digest for _, digest in sorted(config.sha256.items()))
        self.sha256 = nn.Parameter(torch.tensor(list(digests.encode()), dtype=torch.uint8), requires_grad=False)

    @classmethod
    def from_pretrained(cls, source: str | Path) -> OnnxBackend:
        """Open a folder that `export_onnx` wrote; see `Backend.from_pretrained`."""
        folder = Path(source).expanduser()
        import_onnx("onnxruntime")  # before files are read whole: it may be missing
        return cls(folder, read_onnx_config(folder))

    def image_tower_output(self, pixel_values: Tensor) -> Tensor:
        """B x 3 x S x S float32 -> B x d.

        Raises:
            InputError: the pictures are of another size than the graph's.
        """
        if tuple(pixel_values.shape[1:]) != (3, self.image_size, self.image_size):
            height, width = pixel_values.shape[-2:]
            raise InputError(
                f"{self.folder / IMAGE_GRAPH} takes pictures of {self.image_size} x {self.image_size} px, not "
                f"{height} x {width}; leave image_size at 0, or export the checkpoint for that size."
            )
        return self._image(pixel_values.float())

    def project_image(self, pooled: Tensor) -> Tensor:
        """B x d as it is."""
        return pooled

    def text_tower_output(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """B x L token ids -> B x d; without a mask the padding token is masked.

        Raises:
            InputError: the texts are longer than the text tower takes.
        """
        if input_ids.shape[1] > self.max_text_length:
            raise InputError(
                f"{self.folder / TEXT_GRAPH} takes texts of at most {self.max_text_length} tokens, not "
                f"{input_ids.shape[1]}; shorten them, as the processor does."
            )
        mask = mask_padding(input_ids, attention_mask, self.config.pad_token_id)
        return self._text(input_ids, mask)

    def project_text(self, pooled: Tensor) -> Tensor:
        """B x d as it is."""
        return pooled

    def checkpoint_tensors(self) -> dict[str, Tensor]:
        """Nothing to save.

        Raises:
            InputError: always.
        """
        raise InputError(f"{self.folder} is an ONNX export, which is not saved as a checkpoint; copy its folder.")


class OnnxDualEncoder(DualEncoder):
    """A `DualEncoder` of two ONNX graphs, for prediction and evaluation; it cannot be trained.

    `encode_image`, `encode_text` and `processor` are those of any encoder: unit vectors, float32 torch tensors.
    """

    @classmethod
    def from_pretrained(cls, source: str | Path, *, image_size: int = 0) -> OnnxDualEncoder:
        """Open a folder that `export_onnx` wrote.

        Args:
            source: the folder.
            image_size: must be the export's own size in pixels, or 0.

        Raises:
            InputError: a file is missing, damaged or of another export, `onnxruntime` is missing or too old, or the
                size is another one.
        """
        backend = OnnxBackend.from_pretrained(source)
        config = backend.config
        if image_size not in (0, config.image_size):
            raise InputError(
                f"image_size={image_size}: {source} was exported for pictures of {config.image_size} px and takes no "
                f"other; leave image_size at 0, or export the checkpoint with image_size={image_size}."
            )
        preprocessing = ImagePreprocessing.from_dict(config.preprocessing, origin=str(source))
        tokenizer = load_tokenizer(backend.folder, _tokenizer_config(config, source))
        padding: dict[str, Any] = {"pads_texts": True} if config.pads_texts else {}
        model = cls(backend, Processor(preprocessing, tokenizer, config.max_length, **padding))
        model.concepts = ConceptTexts.load(backend.folder, model.embed_dim)
        return model.eval()


def _tokenizer_config(config: OnnxConfig, source: str | Path) -> Any:
    try:
        return AutoConfig.for_model(config.tokenizer_model_type)
    except ValueError as error:
        raise InputError(
            f"{source}: tokenizer_model_type {config.tokenizer_model_type!r} is no family that transformers knows; "
            f"{EXPORT_AGAIN}, or update transformers."
        ) from error
