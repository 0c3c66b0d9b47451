"""A graph, a table's keys and a task, all tiny and without pictures on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from easynlp_fashionklip.config import AppConfig
from easynlp_fashionklip.data.pairs import stable_key, text_key
from easynlp_fashionklip.graph import ConceptGraph
from easynlp_fashionklip.graph.builder import build_graph
from easynlp_fashionklip.models.zoo import load_pretrained
from easynlp_fashionklip.training.bank import EmbeddingBank
from easynlp_fashionklip.training.knowledge import ConceptKnowledge, PrototypeSettings
from easynlp_fashionklip.training.task import FashionKLIPTask

spacy = pytest.importorskip("spacy")

TEXTS = ["Red Dress", "Blue Dress", "Red Long Dress", "Slim Jeans", "Blue Slim Jeans", "Lorem"]
PRODUCT_IDS = ["a", "b", "c", "d", "e", "f"]


@pytest.fixture(scope="session")
def graph() -> ConceptGraph:
    """Concepts of TEXTS, Title Case needing no parse; product f mentions nothing known."""
    return build_graph(TEXTS[:5], PRODUCT_IDS[:5], spacy.blank("en"), min_frequency=1)


@pytest.fixture(scope="session")
def product_keys() -> np.ndarray:
    return np.array([stable_key(one) for one in PRODUCT_IDS], dtype=np.int64)


@pytest.fixture
def make_knowledge(graph: ConceptGraph, product_keys: np.ndarray) -> Callable[..., ConceptKnowledge]:
    def make(**settings: Any) -> ConceptKnowledge:
        return ConceptKnowledge(graph, product_keys, PrototypeSettings(**settings))

    return make


@pytest.fixture
def bank() -> EmbeddingBank:
    """Six distinct directions in 32 dimensions."""
    filled = EmbeddingBank(6, 32)
    values = np.random.default_rng(0).normal(size=(6, 32))
    filled.fill((values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32))
    return filled


def batch_of(task: FashionKLIPTask, rows: list[int], product_keys: np.ndarray) -> dict[str, Any]:
    """A collated batch of TEXTS and noise pictures, a row's picture being always the same."""
    pixels = [np.random.default_rng(row).normal(size=(3, 32, 32)) for row in rows]
    return {
        "rows": torch.tensor(rows),
        "pixel_values": torch.tensor(np.stack(pixels), dtype=torch.float32),
        "product_keys": torch.from_numpy(product_keys[rows]),
        "text_keys": torch.tensor([text_key(TEXTS[row]) for row in rows]),
        **task.model.processor.tokenize([TEXTS[row] for row in rows]),
    }


@pytest.fixture
def make_batch(product_keys: np.ndarray) -> Callable[..., dict[str, Any]]:
    return lambda task, rows: batch_of(task, rows, product_keys)


@pytest.fixture
def make_task(make_knowledge: Callable[..., ConceptKnowledge], bank: EmbeddingBank) -> Callable[..., FashionKLIPTask]:
    """`tiny` with the graph attached and prototypes chosen; `graph=False` leaves it out."""

    def make(graph: bool = True, **settings: Any) -> FashionKLIPTask:
        task = FashionKLIPTask(load_pretrained("tiny"), AppConfig(cva=graph, **settings), num_rows=6)
        if graph:
            task.bank.embeds.copy_(bank.embeds)
            task.attach(make_knowledge(num_candidates=4, num_prototypes=3))
            task.refresh_prototypes()
        return task

    return make
