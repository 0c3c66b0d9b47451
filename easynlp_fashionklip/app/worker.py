"""What every process of `easynlp --app_name=fashionklip` runs: one of the three modes, errors as one sentence."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from easynlp_fashionklip import distributed
from easynlp_fashionklip.app.arguments import check, initialise, peek
from easynlp_fashionklip.app.build_engine import precision_of
from easynlp_fashionklip.app.data import FashionKLIPDataset, open_pairs
from easynlp_fashionklip.app.evaluator import FashionKLIPEvaluator
from easynlp_fashionklip.app.frozen import keep_frozen_pictures, keep_frozen_texts, tell_what_trains
from easynlp_fashionklip.app.graph import prepare_graph, save_graph
from easynlp_fashionklip.app.interrupt import EXIT_INTERRUPTED, Interrupted
from easynlp_fashionklip.app.model import FashionKLIP
from easynlp_fashionklip.app.predictor import SEPARATORS, FashionKLIPPredictor, predict_table
from easynlp_fashionklip.app.trainer import FashionKLIPTrainer
from easynlp_fashionklip.app.training_checks import require_products, rows_needed
from easynlp_fashionklip.config import AppConfig
from easynlp_fashionklip.data.dataset import explained_worker_death
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.errors import EXIT_BAD_INPUT, InputError
from easynlp_fashionklip.evaluation.report import FILE_NAME, result_table, write_result
from easynlp_fashionklip.models.cpu import configure_cpu
from easynlp_fashionklip.training.precision import lower_precision, resolve_precision

EXIT_LOST_PEER = 1
_SIGNS_OF_A_LOST_PEER = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "ncclRemoteError")

logger = logging.getLogger(__name__)


def _peer_is_gone(error: RuntimeError) -> bool:
    """Whether a collective failed because a process at its other end is no more."""
    return distributed.is_distributed() and any(sign in str(error) for sign in _SIGNS_OF_A_LOST_PEER)


def main(argv: Sequence[str]) -> int:
    """Run one process; returns the exit code: 0, 1 when another process died, 2 for bad input, 130 when interrupted."""
    try:
        run(argv)
    except InputError as error:
        return _tell(error)
    except RuntimeError as error:
        return _answer(error)
    except Interrupted as stop:
        if distributed.rank() == 0:
            sys.stderr.write(f"{stop}\n")
        return EXIT_INTERRUPTED
    except KeyboardInterrupt:
        if distributed.first_to_claim("interrupted"):
            sys.stderr.write("interrupted\n")
        return EXIT_INTERRUPTED
    finally:
        sys.stdout.flush()
    distributed.finish()
    return 0


def _tell(error: InputError) -> int:
    """Every process checks the same tables: the first to find the fault tells it."""
    if distributed.first_to_claim("error"):
        sys.stderr.write(f"error: {error}\n")
    return EXIT_BAD_INPUT


def _answer(error: RuntimeError) -> int:
    """Tell what another process's end does to this one; other errors are faults of ours."""
    if distributed.is_claimed("error"):  # the process that had the answer has left, having said why
        return EXIT_BAD_INPUT
    if not _peer_is_gone(error):
        raise error
    sys.stderr.write(
        f"error: process {distributed.rank()} stops, as another process of this run has ended without a word (it "
        "was killed, perhaps for its memory); go on with --resume_from_checkpoint and the checkpoint folder.\n"
    )
    return EXIT_LOST_PEER


def run(argv: Sequence[str]) -> None:
    """Read the arguments, join the process group, run the mode.

    Raises:
        InputError: anything the user must change.
    """
    flags = peek(argv)
    config = check(flags)
    configure_cpu(config.cpu_threads, config.keep_freed_memory)
    distributed.initialise()
    args = initialise(argv, flags)
    args.command = shlex.join(["easynlp", *argv])
    logging.getLogger("transformers").setLevel(logging.WARNING)
    # Not args.data_threads: EasyNLP raises it to 5.
    args.data_threads = config.data_workers if flags.data_threads is None else flags.data_threads
    config = replace(config, data_workers=args.data_threads)
    args.sequence_length = args.sequence_length if "sequence_length" in flags.given else None
    with explained_worker_death():
        {"train": train, "evaluate": evaluate, "predict": predict}[args.mode](args, config)


def _open(args: Namespace, config: AppConfig, path: str, **options: object) -> PairTable:
    return open_pairs(
        path,
        config,
        text=args.first_sequence,
        image=args.second_sequence,
        input_schema=args.input_schema,
        skip_first_line=args.skip_first_line,
        **options,  # type: ignore[arg-type]
    )


def _load(args: Namespace, config: AppConfig, source: str, num_rows: int = 0) -> FashionKLIP:
    app = FashionKLIP.from_pretrained(source, config=config, num_rows=num_rows, seed=args.random_seed)
    if args.sequence_length:
        processor = app.encoder.processor
        processor.max_length = min(processor.max_length, args.sequence_length)
    if app.encoder.concepts is not None and config.spacy_model:
        app.encoder.concepts.read_with(config.spacy_model)
    app.to(distributed.local_device())
    return app


def _arithmetic(config: AppConfig) -> contextlib.AbstractContextManager[None]:
    """A half type where `precision` names one; `auto` embeds in float32, so that what two machines write agrees.

    Raises:
        InputError: the device cannot compute in that type.
    """
    device = distributed.local_device()
    dtype = torch.float32 if config.precision == "auto" else resolve_precision(device, config.precision, False)
    return lower_precision(device, dtype)


def train(args: Namespace, config: AppConfig) -> None:
    """Tables -> graph -> training with evaluation after each epoch -> best checkpoint in `--checkpoint_dir`."""
    folder = Path(args.checkpoint_dir)
    args.pretrained_model_name_or_path = config.pretrain_model_name_or_path
    paths = args.tables.split(",")
    needed = rows_needed(config, args.micro_batch_size)
    tables = [_open(args, config, path, min_rows=needed if not n else 1) for n, path in enumerate(paths)]
    require_products(tables[0])
    app = _load(args, config, config.pretrain_model_name_or_path, len(tables[0]))
    tell_what_trains(app.encoder)
    resuming = args.resume_from_checkpoint is not None
    with lower_precision(distributed.local_device(), precision_of(config, args)):  # as in the steps themselves
        keep_frozen_pictures(app.task.pictures, tables[0], config.data_workers)
        keep_frozen_texts(app.task.captions, tables[0].text)
        if config.cva:
            prepare_graph(app.task, tables[0], config, args.checkpoint_dir, encode=not resuming)
        else:
            app.encoder.concepts = None  # of the model it starts from: without a graph its texts are trained alone
    dataset = FashionKLIPDataset(tables[0], app.encoder.processor, seed=args.random_seed, is_training=True)
    if app.task.pictures.complete:
        dataset.pairs.transform = None  # which leaves the pictures unopened
    evaluator = None
    if len(tables) > 1:
        validation = FashionKLIPDataset(tables[1], app.encoder.processor)
        evaluator = FashionKLIPEvaluator(validation, workers=args.data_threads)
    # Not kept: with the trainer go the optimizer's state and the processes that decode pictures.
    FashionKLIPTrainer(app, dataset, evaluator).train()
    if config.cva:
        save_graph(app.task, tables[0], config, str(folder))


def evaluate(args: Namespace, config: AppConfig) -> None:
    """Full-gallery retrieval on one table, printed and written to `evaluation.json`."""
    source = _checkpoint(args, config)
    table = _open(args, config, args.tables)
    app = _load(args, config, source)
    evaluator = FashionKLIPEvaluator(FashionKLIPDataset(table, app.encoder.processor), workers=args.data_threads)
    with _arithmetic(config):
        evaluator.evaluate(app)
    if distributed.rank() or evaluator.result is None:
        return
    target = Path(args.outputs or args.checkpoint_dir or ".")
    target = target if target.suffix == ".json" else target / FILE_NAME
    provenance = {"checkpoint": source, "table": args.tables, "seed": args.random_seed}
    write_result(target, evaluator.result, provenance)
    sys.stdout.write(result_table(evaluator.result, f"{source} on {args.tables}") + f"\nwritten to {target}\n")


def predict(args: Namespace, config: AppConfig) -> None:
    """Embeddings of one table's rows to `--outputs`, a .tsv or .npz file."""
    source = _checkpoint(args, config)
    schema = [name for name in (args.output_schema or "").split(",") if name]
    if schema == ["image_feat"] and not args.second_sequence:
        args.first_sequence, args.second_sequence = None, args.first_sequence
    # Embedding a row twice harms nobody: prediction does not look for repeated ids.
    table = _open(args, replace(config, duplicate_ids="allow"), args.tables)
    app = _load(args, config, source)
    predictor = FashionKLIPPredictor(
        app.encoder, args.first_sequence, args.second_sequence, SEPARATORS[config.feature_separator]
    )
    with _arithmetic(config):
        rows = predict_table(
            predictor,
            table,
            Path(args.outputs),
            append_cols=[name for name in (args.append_cols or "").split(",") if name],
            output_schema=schema,
            workers=args.data_threads,
        )
    sys.stdout.write(f"{rows:,} rows written to {args.outputs}\n")


def _checkpoint(args: Namespace, config: AppConfig) -> str:
    """The model to use: `--checkpoint_dir`, or without one the untrained `pretrain_model_name_or_path`."""
    if not args.checkpoint_dir:
        return config.pretrain_model_name_or_path
    return str(args.checkpoint_dir)


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    code = main(sys.argv[1:])
    # Leaving through the interpreter's normal exit would wait for process groups of ranks that have failed.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
