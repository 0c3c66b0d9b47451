"""Concept-aware text embeddings: what a text says as a whole, and the concepts of the graph that it mentions.

    t = |t_text + beta mean_{c in C} e_c|,    e_c = |p_c + n_c + mean_{a above c} n_a|

with |x| of length 1, t_text the text encoder's embedding, C the concepts the text mentions, p_c the text encoder's
embedding of the prompt "a photo of c", and n_c a trained vector of concept c, its node embedding, zero at first.
A concept shares its ancestors' node embeddings, so that what `dress` has learnt is there for a rare `jersey dress`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.csr import rows_of, selected, take_rows
from easynlp_fashionklip.graph.matching import match_phrases
from easynlp_fashionklip.graph.pipeline import load_spacy, pipeline_name
from easynlp_fashionklip.models.checkpoint import find_file, first_line, read_json, read_tensor_file
from easynlp_fashionklip.models.storage import telling_disk_errors

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from spacy.language import Language

CONCEPTS, CONCEPT_TENSORS = "concepts.json", "concepts.safetensors"
FILES = (CONCEPTS, CONCEPT_TENSORS)
FORMAT_VERSION = 1
Mentions = tuple["NDArray[np.int64]", "NDArray[np.int64]"]
_TEXTS_AT_ONCE = 4096

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Vocabulary:
    """The concepts that texts are searched for.

    Attributes:
        phrases: U names in normal form; the position is the concept's number.
        pipeline: name and version of the spaCy pipeline that reads the texts, as graph.json has it.
        spacy_model: what `load_spacy` finds it by; '' is that name.
    """

    phrases: Sequence[str]
    pipeline: str
    spacy_model: str = ""

    @cached_property
    def id_of(self) -> dict[str, int]:
        """The number of each phrase."""
        return {phrase: number for number, phrase in enumerate(self.phrases)}

    @cached_property
    def nlp(self) -> Language:
        """The pipeline.

        Raises:
            InputError: it is not installed.
        """
        found = load_spacy(self.spacy_model or self.pipeline.partition(" ")[0])
        if pipeline_name(found) != self.pipeline:
            logger.warning(
                "concepts are looked for in texts with %s and were mined with %s: some may not be found",
                pipeline_name(found),
                self.pipeline or "an unknown pipeline",
            )
        return found

    def mentions(self, texts: Sequence[str]) -> Mentions:
        """(offsets N + 1, concept numbers) of N texts.

        Raises:
            InputError: spaCy or the pipeline is not installed.
        """
        return match_phrases(texts, self.id_of, self.nlp)

    def __getstate__(self) -> dict[str, Any]:
        # Not the parser: each process loads its own.
        return {one.name: getattr(self, one.name) for one in fields(self)}


def mean_of_concepts(concept_embeds: Tensor, membership: Tensor) -> Tensor:
    """(U, d) and bool (B, U) -> (B, d), the mean of each text's concepts; zeros for a text without any."""
    count = membership.sum(dim=1, keepdim=True).clamp(min=1)
    return (membership.to(concept_embeds.dtype) @ concept_embeds) / count


def enriched(text_embeds: Tensor, concept_mean: Tensor, weight: float) -> Tensor:
    """Unit vectors t (B, d) of the text encoder's (B, d) and of `mean_of_concepts` (B, d)."""
    return F.normalize(text_embeds + weight * concept_mean, dim=-1)


class ConceptTexts(nn.Module):
    """The concepts that a model knows, and what they add to its texts.

    Args:
        vocabulary: U concepts.
        embed_dim: d.
        weight: beta.

    Attributes:
        nodes: parameter (U, d), n_c. Set by training.
        vectors: float32 (U, d) on the CPU, e_c as of the last call of `set_vectors`; zero for concepts that no
            training text mentions. What `enrich` adds.
    """

    def __init__(self, vocabulary: Vocabulary, embed_dim: int, weight: float) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.weight = weight
        self.nodes = nn.Parameter(torch.zeros(len(vocabulary.phrases), embed_dim))
        self.set_vectors(torch.zeros(len(vocabulary.phrases), embed_dim))
        self._above: Mentions = (np.zeros(len(vocabulary.phrases) + 1, np.int64), np.zeros(0, np.int64))

    def told(self) -> str:
        """What a reader must know: how many, their weight, and what finds them in texts."""
        found = f"found by spaCy's {self.vocabulary.pipeline}"
        return f"{len(self.vocabulary.phrases):,}, weight {self.weight:g}, {found}"

    def set_ancestors(self, offsets: NDArray[np.int64], ancestors: NDArray[np.int64]) -> None:
        """Say which concepts are above each (offsets U + 1); none are at first."""
        self._above = (offsets, ancestors)

    def start_from(self, other: ConceptTexts) -> None:
        """Take over the node embeddings of the concepts that another vocabulary also has."""
        found = [other.vocabulary.id_of.get(phrase, -1) for phrase in self.vocabulary.phrases]
        known = torch.tensor(found)
        with torch.no_grad():
            self.nodes[known >= 0] = other.nodes.detach().to(self.nodes)[known[known >= 0]]

    def forward(self, concepts: Tensor, prompt_embeds: Tensor) -> Tensor:
        """e_c, (n, d), of concept numbers (int64, n, on the CPU) and p_c (n, d)."""
        offsets, above = take_rows(*self._above, concepts.numpy())
        device, nodes = prompt_embeds.device, self.nodes.float()
        lent = torch.zeros_like(prompt_embeds, dtype=torch.float32)
        if len(above):
            lent = lent.index_add(0, _on(rows_of(offsets), device), nodes[_on(above, device)])
            lent = lent / _on(np.maximum(np.diff(offsets), 1), device)[:, None]
        return F.normalize(prompt_embeds.float() + nodes[concepts.to(device)] + lent, dim=-1)

    def set_vectors(self, vectors: Tensor) -> None:
        """Take e_c (U, d) of the encoder as it is, zero for concepts that training does not use."""
        self.vectors = vectors.detach().float().cpu()
        self._used = self.vectors.any(dim=1).numpy()

    def mentions(self, texts: Sequence[str]) -> Mentions:
        """See `Vocabulary.mentions`."""
        return self.vocabulary.mentions(texts)

    def enrich(self, text_embeds: NDArray[np.float32], mentions: Mentions) -> NDArray[np.float32]:
        """t, float32 (N, d), of the text encoder's embeddings (N, d) and the concepts that the texts mention."""
        found = np.zeros((len(text_embeds), self.vectors.shape[1]), np.float32)
        for start in range(0, len(text_embeds), _TEXTS_AT_ONCE):  # mentions are many times as many
            texts = torch.from_numpy(np.asarray(text_embeds[start : start + _TEXTS_AT_ONCE], np.float32))
            numbers = np.arange(start, start + len(texts))
            offsets, concepts = selected(take_rows(*mentions, numbers), self._used)
            total = torch.zeros(len(texts), self.vectors.shape[1])
            total.index_add_(0, torch.from_numpy(rows_of(offsets)), self.vectors[torch.from_numpy(concepts)])
            mean = total / torch.from_numpy(np.maximum(np.diff(offsets), 1))[:, None]
            found[numbers] = enriched(texts, mean, self.weight).numpy()
        return found

    def read_with(self, spacy_model: str) -> None:
        """Look for concepts with another pipeline: a name or path that `load_spacy` takes."""
        self.vocabulary = replace(self.vocabulary, spacy_model=spacy_model)

    def save(self, folder: Path) -> None:
        """Write `concepts.json` and `concepts.safetensors`.

        Raises:
            OSError: a file could not be written.
        """
        content = {
            "format_version": FORMAT_VERSION,
            "weight": self.weight,
            "spacy_pipeline": self.vocabulary.pipeline,
            "spacy_model": self.vocabulary.spacy_model,
            "phrases": list(self.vocabulary.phrases),
        }
        (folder / CONCEPTS).write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")
        tensors = {"nodes": self.nodes.detach().float().cpu().contiguous(), "vectors": self.vectors.contiguous()}
        with telling_disk_errors():
            safetensors.torch.save_file(tensors, folder / CONCEPT_TENSORS)
        (folder / CONCEPT_TENSORS).chmod((folder / CONCEPTS).stat().st_mode & 0o777)  # else only the owner reads it

    @classmethod
    def load(cls, source: str | Path, embed_dim: int, needed: bool = False) -> ConceptTexts | None:
        """What `save` wrote into a checkpoint's folder; None where there are no such files and they are not `needed`.

        Raises:
            InputError: a file is missing or damaged, or is of another model.
        """
        content = read_json(source, CONCEPTS)
        if content is None:
            if needed:
                raise InputError(
                    f"{source} lacks {CONCEPTS}, without which texts would be embedded otherwise than in training; "
                    f"copy {' and '.join(FILES)} of the checkpoint there, too."
                )
            return None
        phrases, weight = content.get("phrases"), content.get("weight")
        pipeline, model, version = (content.get(key) for key in ("spacy_pipeline", "spacy_model", "format_version"))
        kinds = isinstance(phrases, list) and isinstance(weight, int | float)
        kinds = kinds and isinstance(pipeline, str) and isinstance(model, str)
        if not kinds or version != FORMAT_VERSION or not all(isinstance(one, str) for one in phrases or ()):
            raise InputError(f"{source}: {CONCEPTS} does not describe version {FORMAT_VERSION} concepts; restore it.")
        path = find_file(source, CONCEPT_TENSORS)
        if path is None:
            raise InputError(f"{source} has {CONCEPTS} and no {CONCEPT_TENSORS}; restore it, or remove the former.")
        found = cls(Vocabulary(phrases or [], str(pipeline), str(model)), embed_dim, float(weight or 0))
        tensors = read_tensor_file(path)
        try:
            found.load_state_dict({"nodes": tensors["nodes"]})
            found.set_vectors(found.vectors.copy_(tensors["vectors"]))
        except (KeyError, RuntimeError) as error:
            raise InputError(
                f"{path} does not fit {CONCEPTS} and the model beside it ({first_line(error)}); restore all of them."
            ) from error
        return found


def _on(array: NDArray[np.int64], device: torch.device) -> Tensor:
    return torch.from_numpy(array).to(device)
