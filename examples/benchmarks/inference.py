"""Pictures and texts a second, decoding included, beside transformers and open_clip; what int8 costs in recall.

    python examples/benchmarks/inference.py --data DIR/hm/test.csv --checkpoint DIR_OF_A_TRAINED_STARTER

Parts: `clip` (ViT-B/32 with random weights, the same on all sides: ours with torch in float32 and bfloat16, with ONNX
Runtime in float32 and int8; transformers' CLIPModel with its processor; open_clip), with a picture of where the time
goes; `starter` (ours alone); `recall` (what each arithmetic does to a trained checkpoint's retrieval). Rates are those
of the fastest of `--rounds`, the sides taking turns, batches of the same size on all of them.
"""

from __future__ import annotations

import argparse
import copy
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from inference_chart import stacked_bars
from inference_sides import STAGES, Clock, OpenClip, Ours, Transformers, vit_b_32

from easynlp_fashionklip.data.catalogue import open_catalogue
from easynlp_fashionklip.data.loader import worker_count
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.evaluation.evaluator import evaluate_retrieval
from easynlp_fashionklip.evaluation.protocols import PairKeys
from easynlp_fashionklip.inference.onnx_encoder import OnnxDualEncoder
from easynlp_fashionklip.inference.onnx_export import export_onnx
from easynlp_fashionklip.inference.onnx_folder import GRAPHS, read_onnx_config, sha256_of
from easynlp_fashionklip.inference.onnx_quantise import OPERATORS, quantise
from easynlp_fashionklip.models.checkpoint import CONFIG
from easynlp_fashionklip.models.cpu import cpu_half_is_faster
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.zoo import load_pretrained

PARTS = ("clip", "starter", "recall")
PEER = "transformers"


@dataclass(frozen=True)
class Rates:
    """Of one side: pictures and texts a second."""

    pictures: float
    texts: float


def our_sides(model: DualEncoder, folder: Path, batch: int) -> dict[str, Any]:
    """The same encoder in each arithmetic that this machine gains from."""
    export_onnx(model, folder / "float32")
    quantised(folder / "float32", folder / "int8")
    sides = {"ours, torch": Ours(model, batch)}
    if cpu_half_is_faster():
        sides["ours, torch bf16"] = Ours(model, batch, torch.bfloat16)
    sides["ours, ONNX"] = Ours(OnnxDualEncoder.from_pretrained(folder / "float32"), batch)
    sides["ours, ONNX int8"] = Ours(OnnxDualEncoder.from_pretrained(folder / "int8"), batch)
    return sides


def quantised(exact: Path, folder: Path, more: Sequence[str] = ()) -> Path:
    """What `export_onnx(..., quantise=True)` writes, without tracing again; `more` kinds of nodes besides."""
    shutil.copytree(exact, folder)
    for name in GRAPHS:
        quantise(exact / name, folder / name, operators=(*OPERATORS, *more))
    config = replace(
        read_onnx_config(exact), weights="int8", sha256={name: sha256_of(folder / name) for name in GRAPHS}
    )
    (folder / CONFIG).write_text(config.to_json_string(), encoding="utf-8")
    return folder


def _seconds(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def measure(sides: Mapping[str, Any], table: PairTable, rounds: int) -> dict[str, Rates]:
    """Rates of each side, after a warm-up on a few rows."""
    texts = list(table.texts())
    few = table.subset(range(min(8, len(table))))
    for side in sides.values():
        side.pictures(few), side.texts(texts[:8])
    best = dict.fromkeys(sides, (float("inf"), float("inf")))
    for _ in range(rounds):
        for name, side in sides.items():
            taken = _seconds(lambda side=side: side.pictures(table)), _seconds(lambda side=side: side.texts(texts))
            best[name] = (min(best[name][0], taken[0]), min(best[name][1], taken[1]))
    return {name: Rates(len(table) / pictures, len(texts) / words) for name, (pictures, words) in best.items()}


def agreement(sides: Mapping[str, Any], table: PairTable, reference: str) -> dict[str, float]:
    """Least cosine of each side's embeddings with those of one, over a few pictures and texts."""
    few = table.subset(range(min(32, len(table))))
    texts = list(few.texts())
    expected = np.concatenate([sides[reference].pictures(few), sides[reference].texts(texts)])
    found = {name: np.concatenate([side.pictures(few), side.texts(texts)]) for name, side in sides.items()}
    return {name: float((one * expected).sum(axis=1).min()) for name, one in found.items()}


def show(rates: Mapping[str, Rates], cosines: Mapping[str, float], peer: str) -> None:
    """A row for each side, with what it is beside `peer`."""
    print(
        f"| side | pictures / s | beside {peer} | texts / s | beside {peer} | least cosine |\n|---|---|---|---|---|---|"
    )
    for name, one in rates.items():
        cells = [
            f"{one.pictures:.1f}",
            f"{one.pictures / rates[peer].pictures:.2f}x",
            f"{one.texts:.0f}",
            f"{one.texts / rates[peer].texts:.2f}x",
            f"{cosines[name]:.4f}",
        ]
        print(f"| {name} | {' | '.join(cells)} |")


def stages(sides: Mapping[str, Any], table: PairTable) -> dict[str, list[float]]:
    """Milliseconds a picture in each stage, without worker processes; the least of two rounds."""
    found: dict[str, list[float]] = {}
    for _ in range(2):
        for name, side in sides.items():
            clock = Clock()
            side.stages(table, clock)
            taken = [1000 * clock.seconds[stage] / len(table) for stage in STAGES]
            found[name] = min(found.get(name, taken), taken, key=sum)
    return found


def show_stages(sides: Mapping[str, Any], table: PairTable, options: argparse.Namespace, name: str) -> None:
    """Print where the time of one batch goes, and draw it."""
    found = stages(sides, table.subset(range(min(options.batch, len(table)))))
    print(f"\n| milliseconds a picture, one process | {' | '.join(STAGES)} |\n|---|{'---|' * len(STAGES)}")
    for side, taken in found.items():
        print(f"| {side} | {' | '.join(f'{one:.2f}' for one in taken)} |")
    path = options.charts / f"inference-{name.replace('/', '-').lower()}.svg"
    path.parent.mkdir(parents=True, exist_ok=True)
    title = f"Where the time of a picture goes: {name}, one process, {options.threads} threads"
    path.write_text(stacked_bars(title, STAGES, found, "ms"), encoding="utf-8")
    print(f"drawn in {path}")


def clip(options: argparse.Namespace, table: PairTable, folder: Path) -> None:
    """ViT-B/32 on all sides."""
    model = vit_b_32()
    model.save_pretrained(folder / "checkpoint")
    peer = Transformers(folder / "checkpoint", options.batch)
    behind = copy.copy(peer)
    behind.workers = max(1, worker_count(-1))
    sides = {PEER: peer, f"{PEER}, DataLoader": behind, "open_clip": OpenClip(model, options.batch)}
    sides |= our_sides(model, folder, options.batch)
    print(f"\n## ViT-B/32, random weights, {len(table)} pictures and texts, batches of {options.batch}")
    rates = measure(sides, table, options.rounds)
    show(rates, agreement(sides, table, PEER), PEER)
    show_stages({name: side for name, side in sides.items() if side is not behind}, table, options, "ViT-B/32")


def starter(options: argparse.Namespace, table: PairTable, folder: Path) -> None:
    """The zoo's `starter`, or the trained checkpoint, in each arithmetic."""
    model = load_pretrained(options.checkpoint or "starter")
    sides = our_sides(model, folder, options.batch)
    print(
        f"\n## starter at {model.processor.image_size} px, {len(table)} pictures and texts, batches of {options.batch}"
    )
    first = next(iter(sides))
    show(measure(sides, table, options.rounds), agreement(sides, table, first), first)
    show_stages(sides, table, options, "starter")


def recall(options: argparse.Namespace, table: PairTable, folder: Path) -> None:
    """Retrieval of a trained checkpoint in each arithmetic, on the whole table."""
    if options.checkpoint is None:
        print("\nrecall is left out: it needs --checkpoint, a trained one")
        return
    sides = our_sides(load_pretrained(options.checkpoint), folder, options.batch)
    everything = OnnxDualEncoder.from_pretrained(quantised(folder / "float32", folder / "all", ["Conv"]))
    sides["ONNX int8, convolutions too"] = Ours(everything, options.batch)
    keys = PairKeys(table.product_keys, table.text_keys)
    texts = list(table.texts())
    print(f"\n## Retrieval of {options.checkpoint}, {len(table)} products, in percent")
    print("| arithmetic | R@1, picture to text | R@1, text to picture | R@10 | R@10 | mean recall | pictures / s |")
    print("|---|---|---|---|---|---|---|")
    for name, side in sides.items():
        started = time.perf_counter()
        pictures = side.pictures(table)
        rate = len(table) / (time.perf_counter() - started)
        scores = evaluate_retrieval(pictures, side.texts(texts), keys).scores
        columns = ("image_to_text_R@1", "text_to_image_R@1", "image_to_text_R@10", "text_to_image_R@10", "mean_recall")
        print(f"| {name} | {' | '.join(f'{scores[column]:.2f}' for column in columns)} | {rate:.0f} |", flush=True)


def machine() -> str:
    """CPU, threads, versions, and whether others were computing too."""
    import onnxruntime
    import transformers

    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "?")
    load = Path("/proc/loadavg").read_text(encoding="ascii").split()[0]
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    versions |= {"onnxruntime": onnxruntime.__version__}
    # The load tells who else was computing: rates of a shared machine are low, and their ratios rough.
    return json.dumps({"cpu": model, "threads": torch.get_num_threads(), "load before": load, **versions})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--data", type=Path, required=True, help="catalogue with columns product_id, image, caption")
    parser.add_argument("--checkpoint", help="a trained starter, for the parts starter and recall")
    parser.add_argument("--pictures", type=int, default=64, help="rows of the catalogue that the rates are taken of")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--charts", type=Path, default=Path("out"), help="folder for the stacked bars")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    table = PairTable(open_catalogue(options.data), "caption", "image")
    few = table.subset(range(min(options.pictures, len(table))))
    print(machine())
    for part in options.parts:
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            if part == "recall":
                recall(options, table, Path(folder))
            else:
                {"clip": clip, "starter": starter}[part](options, few, Path(folder))
            print(f"{part}: {time.perf_counter() - started:.0f} s, exports included", flush=True)


if __name__ == "__main__":
    main()
