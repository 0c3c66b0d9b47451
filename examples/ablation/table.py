"""The ablation as Markdown: mean and standard deviation over seeds, differences from the baseline and their p."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from results import Result
from rows import GROUPS, ROWS

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.evaluation.measures import ProtocolRun
from easynlp_fashionklip.evaluation.resampling import Difference, compare

SHOWN = {"retrieval": ("mean_recall",), "search": ("mAP", "P@10", "nDCG@10")}
TESTED = ("mean_recall", "mAP")


def catalogue_table(results: Sequence[Result], against: str | None = None) -> str:
    """Of one catalogue's results: for each group of rows a table with their differences from the group's ITC.

    Args:
        results: of some rows and seeds.
        against: a row to compare all others with instead.

    Raises:
        InputError: some of them are of other tables than the rest.
    """
    if len({one.tables for one in results if one.tables}) > 1:
        raise InputError(
            "some of these results are of other tables (train.csv, ...) than the rest; run those rows again."
        )
    by_row = {name: [one for one in results if one.row == name] for name in ROWS}
    timed = any(one.seconds for one in results)
    parts = []
    for baseline, told in GROUPS.items():
        names = [name for name, row in ROWS.items() if row.baseline == baseline and by_row[name]]
        if names:
            parts.append(f"{told}\n\n{_group(names, by_row, against or baseline, timed)}")
    return "\n\n".join(parts)


def _group(names: Sequence[str], by_row: Mapping[str, Sequence[Result]], against: str, timed: bool) -> str:
    versus = "vs ITC" if against == ROWS[names[0]].baseline else f"vs {against}"
    header = ["row", "seeds", "mean recall", versus, "search mAP", versus, "P@10", "nDCG@10", "minutes", "trained on"]
    lines = [header, ["---"] * len(header)]
    lines += [_cells(name, by_row[name], against, by_row[against]) for name in names]
    if not timed:
        lines = [[*line[:-2], line[-1]] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cells(name: str, done: Sequence[Result], against: str, baseline: Sequence[Result]) -> list[str]:
    cells = [ROWS[name].name, str(len(done))]
    for protocol, measures in SHOWN.items():
        for measure in measures:
            cells.append(_spread([one.runs[protocol].scores[measure] for one in done]))
            if measure in TESTED:
                cells.append("" if name == against else _difference(done, baseline, protocol, measure))
    minutes = [one.seconds / 60 for one in done if one.seconds]
    return [*cells, _spread(minutes) if minutes else "", _machines(done)]


def _machines(done: Sequence[Result]) -> str:
    """`CPU, fp32 (1); NVIDIA H100, bf16 (2, 3)`, with the seeds; without seeds where there is one machine."""
    seeds: dict[str, list[int]] = {}
    for one in done:
        seeds.setdefault(one.machine or "", []).append(one.seed)
    told = [f"{machine} ({', '.join(map(str, sorted(ran)))})" for machine, ran in seeds.items()]
    return "; ".join(told) if len(seeds) > 1 else next(iter(seeds))


def _difference(done: Sequence[Result], baseline: Sequence[Result], protocol: str, measure: str) -> str:
    """Of the seeds that both have, each query's values averaged over them."""
    seeds = {one.seed for one in done} & {one.seed for one in baseline}
    if not seeds:
        return ""
    first, second = (averaged([one.runs[protocol] for one in both if one.seed in seeds]) for both in (baseline, done))
    return shown(compare(first, second)[measure])


def shown(found: Difference) -> str:
    """`+3.1 [+1.2, +5.0] (p = 0.002)`."""
    p = "p < 0.001" if found.p < 0.001 else f"p = {found.p:.3f}"
    return f"{found.difference:+.1f} {interval(found)} ({p})"


def interval(found: Difference) -> str:
    """`[+1.2, +5.0]`; a dash where too little was drawn."""
    return "–" if math.isnan(found.low) else f"[{found.low:+.1f}, {found.high:+.1f}]"


def averaged(runs: Sequence[ProtocolRun]) -> ProtocolRun:
    """One run of the same queries, each with the mean of its values."""
    values = {name: np.mean([run.values[name] for run in runs], axis=0) for name in runs[0].values}
    return replace(runs[0], values=values)


def _spread(values: Sequence[float]) -> str:
    mean = f"{statistics.mean(values):.1f}"
    return f"{mean} ± {statistics.stdev(values):.1f}" if len(values) > 1 else mean


def tuning_table(found: dict[tuple[str, str, str], float]) -> str:
    """Of (catalogue, row, learning rate) -> mean recall on valid.csv."""
    rates = list(dict.fromkeys(rate for _, _, rate in found))
    lines = ["| catalogue | row | " + " | ".join(rates) + " |", "|---" * (len(rates) + 2) + "|"]
    for catalogue, row in dict.fromkeys((catalogue, row) for catalogue, row, _ in found):
        cells = [f"{found[catalogue, row, rate]:.1f}" if (catalogue, row, rate) in found else "" for rate in rates]
        lines.append(f"| {catalogue} | {ROWS[row].name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write(path: Path, catalogue: str, text: str) -> None:
    """Put a table between a catalogue's markers in a Markdown file."""
    head, tail = around_table(path, catalogue)
    part = path.with_name(f".{path.name}.part")
    part.write_text(f"{head}\n{text}\n{tail}", encoding="utf-8")
    part.replace(path)


def around_table(path: Path, catalogue: str) -> tuple[str, str]:
    """A Markdown file up to a catalogue's first marker, and from the second one on.

    Raises:
        InputError: it cannot be read, or lacks one of them.
    """
    begin, end = f"<!-- ablation-{catalogue}:begin -->", f"<!-- ablation-{catalogue}:end -->"
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--write={path} cannot be read ({error}); give a Markdown file.") from error
    head, first, rest = content.partition(begin)
    _, second, tail = rest.partition(end)
    if not first or not second:
        raise InputError(f"--write={path} has no place for {catalogue}: put {begin} and {end} on lines of their own.")
    return head + begin, end + tail
