"""The model card of a run: what the trainer knows of model, data, graph, scores and command."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from easynlp_fashionklip.app.graph import graph_folder
from easynlp_fashionklip.app.model import FashionKLIP
from easynlp_fashionklip.config import AppConfig
from easynlp_fashionklip.models.model_card import ModelCard, architectures, describe, licence_of


def card_of_run(app: FashionKLIP, args: Namespace, pairs: int, scores: Sequence[tuple[str, float]]) -> ModelCard:
    """What is known of a model now.

    Args:
        app: the model as it is saved.
        args: EasyNLP's, with the `command` that began the run.
        pairs: rows of the training table.
        scores: of the validation table, as the evaluator gives them; none without one.
    """
    config, tables = app.task.config, args.tables.split(",")
    base = config.pretrain_model_name_or_path
    return ModelCard(
        name=Path(args.checkpoint_dir).resolve().name,
        base=base,
        licence=licence_of(base),
        model=describe(app.encoder),
        data={
            "table": tables[0],
            "pairs": f"{pairs:,}",
            "text column": args.first_sequence,
            "picture column": args.second_sequence,
            "loss": _loss_told(config, app.task.knowledge is not None),
        },
        graph=_graph_rows(app, config, args.checkpoint_dir),
        metrics=dict(scores),
        evaluated_on=tables[1] if scores else "",
        command=getattr(args, "command", ""),
        architectures=architectures(app.encoder),
    )


def _loss_told(config: AppConfig, concepts: bool) -> str:
    itc = {"softmax": "ITC (InfoNCE)", "sigmoid": "ITC (pairwise sigmoid)"}[config.itc_loss]
    if not concepts:
        return itc
    weight = "balanced" if config.cva_weight < 0 else f"{config.cva_weight:g}"
    return f"{itc} and CVA (variant {config.cva_variant}, weight {weight})"


def _graph_rows(app: FashionKLIP, config: AppConfig, checkpoint_dir: str) -> dict[str, str]:
    knowledge = app.task.knowledge
    if knowledge is None:
        return {}
    prototypes = int((knowledge.prototype_rows >= 0).sum())
    return {
        "folder": str(graph_folder(config, checkpoint_dir)),
        "concepts": f"{knowledge.num_concepts:,}, {knowledge.concepts_per_row:.1f} a pair",
        "prototypes": f"{prototypes:,}",
    }
