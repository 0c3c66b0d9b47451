"""The rows of the ablation: what each trains with, as `--user_defined_parameters`."""

from __future__ import annotations

from dataclasses import dataclass

PLAIN = "concept_text_weight=0"
NEVER = 1_000_000_000


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        name: as in the table.
        parameters: beside those that all rows share.
        trained: False for the starting weights.
        words: True where single words take the place of concepts.
    """

    name: str
    parameters: str = ""
    trained: bool = True
    words: bool = False


ROWS = {
    "zero-shot": Row("zero-shot (heads untrained)", trained=False),
    "itc-plain": Row("ITC, duplicates as negatives", "cva=false duplicate_positives=false"),
    "itc": Row("ITC (baseline)", "cva=false"),
    "itc-text": Row("ITC, two layers of the text tower trained, too", "cva=false train_layers=2"),
    "paper": Row("+ CVA `paper`", f"cva_variant=paper cva_weight=-1 {PLAIN}"),
    "prototype": Row("+ CVA `prototype`", f"cva_variant=prototype {PLAIN}"),
    "image": Row("+ CVA `image`", PLAIN),
    "both": Row("+ CVA `both`", f"cva_variant=both {PLAIN}"),
    "grouped": Row("+ CVA `image`, grouped batches", f"batch_sampler=grouped {PLAIN}"),
    "texts": Row("+ concepts in texts, without node embeddings", "node_learning_rate=0"),
    "all": Row("**all: + node embeddings (default)**"),
    "all-text": Row("all, two layers of the text tower trained, too", "train_layers=2"),
    "all-kept": Row("all, two layers of the text tower trained, prompts kept", "train_layers=2 prompt_gradient=false"),
    "no-cva": Row("all, without CVA", "cva_weight=0"),
    "no-hierarchy": Row("all, without the hierarchy", "hierarchy=false"),
    "all-both": Row("all, CVA `both`", "cva_variant=both"),
    "no-refresh": Row("all, CVA `both`, prototypes never refreshed", f"cva_variant=both refresh_steps={NEVER}"),
    "no-mmr": Row("all, CVA `both`, prototypes without MMR", "cva_variant=both mmr_diversity=0"),
    "all-grouped": Row("all, grouped batches", "batch_sampler=grouped"),
    "words": Row("control: all, single words for concepts", words=True),
    "shuffled": Row("control: all, concepts shuffled between products", "shuffle_concepts=true"),
}
BASELINE = "itc"
