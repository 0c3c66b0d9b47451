"""The training engine beside open_clip's and the release's: speed and memory, in one run, ratios printed.

    python examples/benchmarks/training.py --data DIR/hm/train.csv            # all parts
    python examples/benchmarks/training.py --parts open_clip --precision fp32 --batch 32

Parts: `open_clip` (a step of ITC on the same ViT-B/32 with random weights, the same batches, precision and optimizer;
each side in a process of its own), `cva` (a step with CVA beside one with ITC alone and beside the release's loop),
`layers` (what training two layers of the text tower costs, and what keeping the outputs of the others saves), `cache`
(gradient caching beside one pass over the same batch), `scaling` (one process and two), `loading` (how long a step
waits for pictures). Seconds are the least of `--rounds`, the sides taking turns.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from training_steps import PairsInMemory, ViTSteps, least, peak_memory


def open_clip(options: argparse.Namespace) -> None:
    """Pairs per second and peak memory of the same ViT-B/32, ours and open_clip's."""
    found: dict[str, list[dict[str, float]]] = {"ours": [], "open_clip": []}
    for _ in range(options.rounds):
        for side, results in found.items():
            results.append(_in_process_of_its_own(side, options))
    print(f"\n## ViT-B/32, batch {options.batch}, {options.precision}, {torch.get_num_threads()} threads")
    print("| side | pairs / s | seconds a step | peak memory, MiB |\n|---|---|---|---|")
    best = {side: min(results, key=lambda one: one["seconds"]) for side, results in found.items()}
    for side, one in best.items():
        print(f"| {side} | {options.batch / one['seconds']:.2f} | {one['seconds']:.2f} | {one['memory']:.0f} |")
    ours, theirs = best["ours"], best["open_clip"]
    print(f"speed {theirs['seconds'] / ours['seconds']:.2f}x, memory {ours['memory'] / theirs['memory']:.2f}x")


def _in_process_of_its_own(side: str, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--side", side, "--batch", options.batch, "--steps", options.steps]
    command += ["--precision", options.precision, "--device", options.device, "--threads", torch.get_num_threads()]
    done = subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def one_side(options: argparse.Namespace) -> None:
    """Time the steps of one side, after one to warm up, and print them as JSON."""
    steps = ViTSteps(options.side, options.batch, options.precision, options.device)
    steps.run(1)
    seconds = min(steps.timed(1) for _ in range(options.steps))
    print(json.dumps({"seconds": seconds, "memory": peak_memory(options.device)}))


def cva(options: argparse.Namespace) -> None:
    """A step with ITC alone, with CVA, and with the release's loop in CVA's place."""
    pairs = PairsInMemory(options.data, options.batch, 4, options.precision, options.device)
    ways: dict[str, Callable[[], None]] = {
        "ITC": pairs.itc_step,
        "ITC + CVA": pairs.cva_step,
        "ITC + the release's loop": pairs.release_step,
        "ITC, nothing kept": pairs.uncached(pairs.itc_step),
        "ITC + CVA, nothing kept": pairs.uncached(pairs.cva_step),
    }
    seconds = least(ways, options.rounds)
    told = f"{options.precision}, batch {options.batch}, {pairs.concepts_per_batch:.0f} concepts a batch"
    print(f"\n## CVA: starter, text tower frozen, 112 px, {told}")
    print("| step | seconds | beside ITC |\n|---|---|---|")
    for name, value in seconds.items():
        print(f"| {name} | {value:.3f} | {value / seconds['ITC']:.2f}x |")
    loop = seconds["ITC + the release's loop"] - seconds["ITC"]
    print(f"the concepts' part of a step in the release's way: {loop:.3f} s")
    for kept, ending in (("outputs of the frozen text tower kept", ""), ("nothing kept", ", nothing kept")):
        itc, both = seconds[f"ITC{ending}"], seconds[f"ITC + CVA{ending}"]
        told = f"{loop / (both - itc):.1f}x" if both - itc > 0.01 * itc else "too little to be measured"
        print(f"here, {kept}: {both - itc:.3f} s, {told}; step {both / itc:.2f}x that of ITC")


def layers(options: argparse.Namespace) -> None:
    """Steps of ITC and of the default with the text tower frozen and with two layers of it trained."""
    frozen, trained = (
        PairsInMemory(options.data, options.batch, 4, options.precision, options.device, text_layers=number)
        for number in (0, 2)
    )
    ways: dict[str, Callable[[], None]] = {
        "frozen: ITC": frozen.itc_step,
        "frozen: ITC + CVA": frozen.cva_step,
        "two layers train: ITC": trained.itc_step,
        "two layers train: ITC + CVA": trained.cva_step,
        "two layers train, nothing kept: ITC": trained.uncached(trained.itc_step),
        "two layers train, nothing kept: ITC + CVA": trained.uncached(trained.cva_step),
    }
    seconds = least(ways, options.rounds)
    print(f"\n## Text tower: starter, 112 px, {options.precision}, batch {options.batch}")
    print("| text tower | seconds a step | beside ITC with two layers |\n|---|---|---|")
    for name, value in seconds.items():
        print(f"| {name} | {value:.2f} | {value / seconds['two layers train: ITC']:.2f}x |")


def cache(options: argparse.Namespace) -> None:
    """Seconds and memory of one contrastive batch of 4 x `batch`: at once, and in micro-batches."""
    told = f"{options.precision}, contrastive batch {4 * options.batch}"
    print(f"\n## Gradient caching: starter, text tower frozen, 112 px, {told}")
    print("| way | seconds | peak memory, MiB |\n|---|---|---|")
    found: dict[str, list[tuple[float, float]]] = {"at once": [], f"micro-batches of {options.batch}": []}
    for _ in range(options.rounds):
        for way, results in found.items():
            micro = 4 * options.batch if way == "at once" else options.batch
            command = [sys.executable, __file__, "--side", "cache", "--batch", str(micro), "--data", str(options.data)]
            command += ["--steps", str(4 * options.batch // micro), "--threads", str(torch.get_num_threads())]
            command += ["--precision", options.precision, "--device", options.device]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            one = json.loads(done.stdout.splitlines()[-1])
            results.append((one["seconds"], one["memory"]))
    best = {way: min(results) for way, results in found.items()}
    for way, (seconds, memory) in best.items():
        print(f"| {way} | {seconds:.2f} | {memory:.0f} |")
    (once, most), (cached, least_memory) = best.values()
    print(f"time {cached / once:.2f}x, memory {least_memory / most:.2f}x")


def one_contrastive_batch(options: argparse.Namespace) -> None:
    """Time a contrastive batch of `steps` micro-batches and print it as JSON."""
    pairs = PairsInMemory(options.data, options.batch, options.steps, options.precision, options.device)
    pairs.contrastive_batch()
    seconds = min(least({"": pairs.contrastive_batch}, 3).values())
    print(json.dumps({"seconds": seconds, "memory": peak_memory(options.device)}))


def _train(options: argparse.Namespace, processes: int) -> list[dict[str, float]]:
    """The lines of metrics.jsonl of a short run through the `easynlp` command, one thread a process."""
    folder = options.out / f"processes-{processes}"
    command = [
        str(Path(sys.executable).with_name("easynlp")),
        "--app_name=fashionklip",
        "--mode=train",
        f"--tables={options.data}",
        "--first_sequence=caption",
        "--second_sequence=image",
        f"--checkpoint_dir={folder}",
        f"--micro_batch_size={options.batch // processes}",
        f"--epoch_num={options.epochs}",
        f"--worker_cpu={processes}",
        "--user_defined_parameters=pretrain_model_name_or_path=starter image_size=112 train_layers=0 cpu_threads=1 "
        f"{options.parameters}",
    ]
    subprocess.run(command, check=True, stdout=sys.stderr)
    lines = (folder / "log" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [line for line in map(json.loads, lines) if "train/samples_per_second" in line]


def scaling(options: argparse.Namespace) -> None:
    """Pairs per second of the same global batch in one process and in two, one thread each."""
    print(f"\n## Processes: starter, text tower frozen, 112 px, global batch {options.batch}, one thread each")
    rates = {}
    for processes in (1, 2):
        later = [line["train/samples_per_second"] for line in _train(options, processes)][20:]
        rates[processes] = sorted(later)[len(later) // 2]
        print(f"{processes} process(es): {rates[processes]:.1f} pairs / s (median)")
    print(f"two processes {rates[2] / rates[1]:.2f}x")


def loading(options: argparse.Namespace) -> None:
    """Share of a step spent waiting for the next batch, by step, after the workers have started."""
    shares = [line["train/data_wait"] for line in _train(options, 1)][20:]
    print("\n## Loading")
    print(f"waiting for pictures: {100 * sum(shares) / len(shares):.1f} % of a step (mean of {len(shares)} steps)")


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "open_clip": open_clip,
    "cva": cva,
    "layers": layers,
    "cache": cache,
    "scaling": scaling,
    "loading": loading,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--data", type=Path, help="catalogue with columns product_id, image, caption")
    parser.add_argument("--out", type=Path, default=Path("out/training-benchmark"))
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=float, default=0.5)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--parameters", default="", help="more --user_defined_parameters of scaling and loading")
    parser.add_argument("--side", choices=("ours", "open_clip", "cache"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.side:
        (one_contrastive_batch if options.side == "cache" else one_side)(options)
        return
    if options.data is None and set(options.parts) != {"open_clip"}:
        parser.error("--data is missing: the parts other than open_clip need a catalogue")
    for part in options.parts:
        PARTS[part](options)


if __name__ == "__main__":
    main()
