"""The rows of the ablation: what each trains with, as `--user_defined_parameters`."""

from __future__ import annotations

from dataclasses import dataclass

PLAIN = "concept_text_weight=0"
NEVER = 1_000_000_000
FROZEN = "train_layers=0"
BASELINE, FROZEN_BASELINE = "itc-text", "itc"
GROUPS = {
    BASELINE: "The text tower trains in part, as the starting model has it:",
    FROZEN_BASELINE: f"The text tower is frozen (`{FROZEN}`):",
}


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        name: as in the table.
        parameters: beside those that all rows share.
        trained: False for the starting weights.
        words: True where single words take the place of concepts.
        baseline: the row it is compared with, which names its group.
    """

    name: str
    parameters: str = ""
    trained: bool = True
    words: bool = False
    baseline: str = BASELINE


def _frozen(name: str, parameters: str = "", words: bool = False) -> Row:
    """A row whose text tower does not train."""
    return Row(name, f"{FROZEN} {parameters}".strip(), words=words, baseline=FROZEN_BASELINE)


ROWS = {
    "zero-shot": Row("zero-shot (heads untrained)", trained=False),
    "itc-text": Row("ITC (baseline)", "cva=false"),
    "default": Row("**FashionKLIP (default)**"),
    "default-prompts": Row("default, prompts encoded in each step", "prompt_gradient=true"),
    "default-shuffled": Row("control: default, concepts shuffled between products", "shuffle_concepts=true"),
    "itc-plain": _frozen("ITC, duplicates as negatives", "cva=false duplicate_positives=false"),
    "itc": _frozen("ITC", "cva=false"),
    "paper": _frozen("+ CVA `paper`", f"cva_variant=paper cva_weight=-1 {PLAIN}"),
    "prototype": _frozen("+ CVA `prototype`", f"cva_variant=prototype {PLAIN}"),
    "image": _frozen("+ CVA `image`", PLAIN),
    "both": _frozen("+ CVA `both`", f"cva_variant=both {PLAIN}"),
    "grouped": _frozen("+ CVA `image`, grouped batches", f"batch_sampler=grouped {PLAIN}"),
    "texts": _frozen("+ concepts in texts, without node embeddings", "node_learning_rate=0"),
    "all": _frozen("all: + node embeddings"),
    "no-cva": _frozen("all, without CVA", "cva_weight=0"),
    "no-hierarchy": _frozen("all, without the hierarchy", "hierarchy=false"),
    "all-both": _frozen("all, CVA `both`", "cva_variant=both"),
    "no-refresh": _frozen("all, CVA `both`, prototypes never refreshed", f"cva_variant=both refresh_steps={NEVER}"),
    "no-mmr": _frozen("all, CVA `both`, prototypes without MMR", "cva_variant=both mmr_diversity=0"),
    "all-grouped": _frozen("all, grouped batches", "batch_sampler=grouped"),
    "words": _frozen("control: all, single words for concepts", words=True),
    "shuffled": _frozen("control: all, concepts shuffled between products", "shuffle_concepts=true"),
}
