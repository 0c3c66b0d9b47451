"""Settings of `--user_defined_parameters`: frozen dataclasses, checked once, an unknown key is an error."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.freezing import Freezing, parse_freezing

CvaVariant = Literal["prototype", "image", "both", "paper"]
Scope = Literal["mentions", "paper"]
OnBadRow = Literal["fatal", "skip"]
FeatureSeparator = Literal["comma", "space", "tab"]
DuplicateIds = Literal["error", "allow"]
ItcLoss = Literal["softmax", "sigmoid"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
BatchSampler = Literal["shuffle", "unique_product", "grouped"]
ClipActivation = Literal["auto", "gelu", "quick_gelu"]


@dataclass(frozen=True)
class AppConfig:
    """Everything a user may write in `--user_defined_parameters`, with its default."""

    pretrain_model_name_or_path: str = field(
        default="", metadata={"help": "zoo name, checkpoint folder, file of CLIP weights or hub name to start from"}
    )
    clip_activation: ClipActivation = field(
        default="auto",
        metadata={"help": "of CLIP weights in OpenAI's layout, which do not show it; auto goes by what is around them"},
    )
    trust_pickle: bool = field(
        default=False, metadata={"help": "run the program in a file of weights that holds more than weights"}
    )
    image_size: int = field(default=0, metadata={"help": "side of the square input in pixels; 0 keeps the model's own"})
    train_layers: int = field(
        default=-1, metadata={"help": "how many top layers of the text tower to train; -1 keeps the model's own choice"}
    )
    augment: bool = field(default=True, metadata={"help": "random crop and flip while training"})

    product_id: str = field(default="", metadata={"help": "column with the product id; '' finds 'product_id' or 'id'"})
    image_root: str = field(
        default="",
        metadata={"help": "folder of the pictures' paths, or .npz of pictures by id; '' is the table's folder"},
    )
    on_bad_row: OnBadRow = field(default="fatal", metadata={"help": "stop at a bad row, or name, count and skip it"})
    duplicate_ids: DuplicateIds = field(
        default="error", metadata={"help": "'allow' when several pictures of a product share its id"}
    )
    data_workers: int = field(default=-1, metadata={"help": "processes that decode pictures; -1 chooses by cores"})

    graph_dir: str = field(default="", metadata={"help": "FashionMMKG folder; '' is <checkpoint_dir>/graph"})
    spacy_model: str = field(default="", metadata={"help": "spaCy pipeline; '' takes the first English one installed"})
    mining_processes: int = field(
        default=-1, metadata={"help": "processes that read texts; -1 chooses by cores; the graph is the same"}
    )
    min_frequency: int = field(default=2, metadata={"help": "products that must mention a concept for it to enter"})
    num_candidates: int = field(
        default=20, metadata={"help": "pictures by prompt similarity that MMR chooses from, at least num_prototypes"}
    )
    num_prototypes: int = field(default=10, metadata={"help": "prototypes that MMR keeps of each concept"})
    mmr_diversity: float = field(default=0.8, metadata={"help": "MMR's weight on diversity, 0 to 1"})
    prototype_scope: Scope = field(
        default="mentions", metadata={"help": "candidates: pictures whose text mentions the concept, or all ('paper')"}
    )
    duplicate_similarity: float = field(
        default=0.98,
        metadata={"help": "of pictures more similar than this one is a prototype; 1 allows all but copies"},
    )
    min_coherence: float = field(
        default=-1.0, metadata={"help": "concepts that pictures show less clearly are not trained with; -1 takes all"}
    )
    refresh_tolerance: float = field(
        default=-1.0, metadata={"help": "re-rank only concepts whose embeddings moved further since; -1 re-ranks all"}
    )
    refresh_steps: int = field(
        default=0, metadata={"help": "re-rank prototypes, and encode prompts anew, every n steps; 0 is every epoch"}
    )

    cva: bool = field(default=True, metadata={"help": "train with concept-visual alignment beside ITC"})
    cva_variant: CvaVariant = field(default="image", metadata={"help": "what the concepts are aligned with"})
    cva_weight: float = field(
        default=0.2, metadata={"help": "w in (1-w) ITC + w CVA; -1: the paper's balance by loss ratio"}
    )
    cva_weight_max: float = field(default=0.5, metadata={"help": "largest w when balanced"})
    hierarchy: bool = field(
        default=True, metadata={"help": "is-a counts: ancestors are no negatives, and share their node embeddings"}
    )
    concept_text_weight: float = field(
        default=1.0,
        metadata={"help": "of a text's concepts in its embedding, beside 1 for the text; 0 leaves them out"},
    )
    node_learning_rate: float = field(
        default=3e-3, metadata={"help": "of the concepts' node embeddings, which start at zero; 0 keeps them there"}
    )
    prompt_gradient: bool = field(
        default=False,
        metadata={
            "help": "a text tower that trains learns from prompts, too, encoded each step instead of each refresh"
        },
    )
    shuffle_concepts: bool = field(
        default=False, metadata={"help": "a control: train every pair with the concepts of another, drawn by lot"}
    )
    cva_prototypes: int = field(default=5, metadata={"help": "K prototypes of a concept nearest to the picture"})

    contrastive_batch_size: int = field(
        default=0, metadata={"help": "pairs compared in a step, over all processes; 0 is micro_batch_size each"}
    )
    duplicate_positives: bool = field(
        default=True, metadata={"help": "pairs of one product or text are positives of one another, not negatives"}
    )
    itc_loss: ItcLoss = field(default="softmax", metadata={"help": "InfoNCE, or SigLIP's pairwise sigmoid loss"})
    loss_chunk: int = field(
        default=0, metadata={"help": "rows of the similarity matrix that exist at a time; 0 is all of a process"}
    )
    batch_sampler: BatchSampler = field(
        default="shuffle",
        metadata={"help": "what makes up a batch: chance, no two pairs of one product or text, or one category"},
    )
    group_ratio: float = field(
        default=0.5, metadata={"help": "share of a grouped batch that comes from one category, 0 to 1"}
    )
    drop_last: bool = field(
        default=True, metadata={"help": "leave out the rows that do not fill the last batch of an epoch"}
    )
    precision: Precision = field(
        default="auto", metadata={"help": "of forward and backward; auto is bf16 where the device is faster with it"}
    )
    cpu_threads: int = field(
        default=0, metadata={"help": "threads that a process computes with on the CPU; 0 shares out the cores"}
    )
    keep_freed_memory: bool = field(
        default=True,
        metadata={"help": "reuse freed memory on the CPU: much faster, but none is given back"},
    )
    gradient_checkpointing: bool = field(
        default=False, metadata={"help": "compute activations again in the backward pass instead of keeping them"}
    )
    freeze: str = field(
        default="",
        metadata={
            "help": "what not to train: vision, text, both, layers:n (of other towers), none; '' is the model's choice"
        },
    )
    layer_decay: float = field(
        default=1.0,
        metadata={"help": "learning rate of a layer as a multiple, above 0 and at most 1, of that above it"},
    )
    deepspeed_config: str = field(default="", metadata={"help": "DeepSpeed's JSON file; '' trains without DeepSpeed"})
    keep_checkpoints: int = field(default=1, metadata={"help": "resume points that are kept, the newest"})
    max_bad_steps: int = field(
        default=5, metadata={"help": "steps in a row whose loss or gradient is no number before training stops"}
    )
    wandb_project: str = field(default="", metadata={"help": "Weights & Biases project to log to; '' does not"})

    feature_separator: FeatureSeparator = field(
        default="comma", metadata={"help": "between the numbers of a predicted embedding; EasyNLP's clip app: 'tab'"}
    )

    def __post_init__(self) -> None:
        """Reject values no run could use."""
        checks = {
            "image_size": self.image_size >= 0,
            "train_layers": self.train_layers >= -1,
            "data_workers": self.data_workers >= -1,
            "mining_processes": self.mining_processes == -1 or self.mining_processes >= 1,
            "min_frequency": self.min_frequency >= 1,
            "num_prototypes": self.num_prototypes >= 1,
            "num_candidates": self.num_candidates >= self.num_prototypes,
            "mmr_diversity": 0.0 <= self.mmr_diversity <= 1.0,
            "duplicate_similarity": 0.0 < self.duplicate_similarity <= 1.0,
            "min_coherence": -1.0 <= self.min_coherence <= 1.0,
            "refresh_tolerance": self.refresh_tolerance == -1.0 or self.refresh_tolerance >= 0.0,
            "refresh_steps": self.refresh_steps >= 0,
            "cva_weight": self.cva_weight == -1.0 or 0.0 <= self.cva_weight <= 1.0,
            "cva_weight_max": 0.0 <= self.cva_weight_max <= 1.0,
            "cva_prototypes": self.cva_prototypes >= 1,
            "concept_text_weight": 0.0 <= self.concept_text_weight <= 100.0,
            "node_learning_rate": 0.0 <= self.node_learning_rate <= 1.0,
            "contrastive_batch_size": self.contrastive_batch_size >= 0,
            "loss_chunk": self.loss_chunk >= 0,
            "group_ratio": 0.0 <= self.group_ratio <= 1.0,
            "cpu_threads": self.cpu_threads >= 0,
            "layer_decay": 0.0 < self.layer_decay <= 1.0,
            "keep_checkpoints": self.keep_checkpoints >= 1,
            "max_bad_steps": self.max_bad_steps >= 1,
        }
        for name, ok in checks.items():
            if not ok:
                described = next(f for f in fields(self) if f.name == name).metadata["help"]
                raise InputError(
                    f"--user_defined_parameters: {name}={getattr(self, name)} is out of range; {name} is: {described}."
                )
        parse_freezing(self.freeze, self.train_layers)

    @property
    def freezing(self) -> Freezing:
        """What `freeze` and `train_layers` say together."""
        return parse_freezing(self.freeze, self.train_layers)


def known_parameters() -> str:
    """One line for each key of `--user_defined_parameters`: name, default, meaning."""
    return "\n".join(
        f"  {f.name:28} {f.metadata['help']}" + (f" (default: {f.default})" if f.default != "" else "")
        for f in fields(AppConfig)
    )


def split_parameters(text: str | None) -> dict[str, str]:
    """`'a=1 b="two words"'` -> `{"a": "1", "b": "two words"}`; shell quoting, the first `=` separates."""
    try:
        words = shlex.split(text or "")
    except ValueError as error:
        raise InputError(f"--user_defined_parameters: {error} in {text!r}; close the quotation.") from error
    parameters: dict[str, str] = {}
    for word in words:
        key, separator, value = word.partition("=")
        if not separator:
            raise InputError(f"--user_defined_parameters: {word!r} is not key=value; quote values that hold blanks.")
        if key in parameters:
            raise InputError(f"--user_defined_parameters: {key} is given twice; keep one of them.")
        parameters[key] = value
    return parameters


def _convert(name: str, text: str, kind: Any) -> Any:
    if get_origin(kind) is Literal:
        if text in get_args(kind):
            return text
        raise InputError(f"--user_defined_parameters: {name}={text} is not one of {', '.join(get_args(kind))}.")
    if kind is bool:
        values = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
        if text.lower() in values:
            return values[text.lower()]
        raise InputError(f"--user_defined_parameters: {name}={text} is not true or false.")
    try:
        return kind(text)
    except ValueError as error:
        raise InputError(f"--user_defined_parameters: {name}={text} is not a number ({kind.__name__}).") from error


def config_from_mapping(parameters: Mapping[str, str]) -> AppConfig:
    """Build the config from text values.

    Raises:
        InputError: for an unknown key (naming the nearest and all known ones) or a value of the wrong kind.
    """
    kinds = get_type_hints(AppConfig)
    for key in parameters:
        if key not in kinds:
            near = difflib.get_close_matches(key, kinds, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise InputError(f"--user_defined_parameters: unknown key {key!r}; {hint}Known keys: {', '.join(kinds)}.")
    return AppConfig(**{key: _convert(key, text, kinds[key]) for key, text in parameters.items()})


def parse_user_defined_parameters(text: str | None) -> AppConfig:
    """Parse the value of `--user_defined_parameters`, for example `'graph_dir=out/graph cva_weight=0.1'`."""
    return config_from_mapping(split_parameters(text))
