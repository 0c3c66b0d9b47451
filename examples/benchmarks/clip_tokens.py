"""CLIP's tokenizer of this package beside open_clip's own, on the texts of a table: how many are cut alike, how fast.

pip install --no-deps open_clip_torch==3.3.0 ftfy regex wcwidth
python examples/benchmarks/clip_tokens.py --texts DIR/products.parquet --text title,description
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import time
from pathlib import Path
from types import ModuleType

import pyarrow.parquet as pq

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # open_clip's works in one thread
LENGTH = 77


def open_clips_tokenizer() -> ModuleType:
    """The module, without the rest of its package, which wants torchvision."""
    package = importlib.util.find_spec("open_clip")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("open_clip is missing; install it: pip install --no-deps open_clip_torch==3.3.0")
    path = Path(package.submodule_search_locations[0]) / "tokenizer.py"
    spec = importlib.util.spec_from_file_location("open_clip_tokenizer", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", required=True, type=Path, help="Parquet file")
    parser.add_argument("--text", default="title", help="its columns, separated by commas")
    options = parser.parse_args()
    from easynlp_fashionklip.models.clip_tokenizer import clip_tokenizer

    ours, theirs = clip_tokenizer(LENGTH), open_clips_tokenizer()
    columns = pq.read_table(options.texts, columns=options.text.split(","))
    for name in columns.column_names:
        texts = [text for text in columns[name].to_pylist() if text]
        began = time.process_time()
        found = ours(texts, truncation=True, max_length=LENGTH)["input_ids"]
        between = time.process_time()
        wanted = theirs.tokenize(texts, context_length=LENGTH).tolist()
        ended = time.process_time()
        end = ours.eos_token_id
        differ = [
            text for text, one, other in zip(texts, found, wanted, strict=True) if one != other[: other.index(end) + 1]
        ]
        print(
            f"{name}: {len(texts):,} texts, {len(differ):,} differ; "
            f"{len(texts) / (between - began):,.0f} a second of processor time, "
            f"open_clip {len(texts) / (ended - between):,.0f}"
        )
        for text in differ[:5]:
            print(f"  {text[:200]!r}")


if __name__ == "__main__":
    main()
