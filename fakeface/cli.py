"""The command line, a contract that other tools rely on.

Standard output holds results and nothing else; progress and errors go to standard error. Exit
status: 0; 1 where nothing could be read; 2 where the command is wrong or cannot be carried out,
with one sentence that says why; 130 after Ctrl-C; 141 where the reader of the output went away.

Modules that bring in torch are imported inside the functions that need them: it takes seconds, and
help and wrong usage should not wait for it.
"""

from __future__ import annotations

import argparse
import functools
import io
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from fakeface import __version__
from fakeface.secrets import redact, redact_errors

if TYPE_CHECKING:
    from fakeface.contract import ModelResult
    from fakeface.faces import Detector
    from fakeface.models.engine import Model
    from fakeface.scan.summary import Summary
    from fakeface.types import RGB


T = TypeVar("T")


class _UsageError(Exception):
    """The command cannot be carried out; the message says why."""


class _Parser(argparse.ArgumentParser):
    """argparse, with one sentence in place of its dump of the usage."""

    def error(self, message: str) -> NoReturn:
        raise _UsageError(f"{message}; see `{self.prog} --help`.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Args:
        argv: the arguments; None for those of the process.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name may not fit its encoding
    try:
        status = _run(argv)
        sys.stdout.flush()
        return status
    except _UsageError as error:
        print("fakeface:", *redact(str(error)).split(), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("fakeface: interrupted; a scan, started again, continues its table.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The interpreter flushes once more at exit, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def entry() -> NoReturn:
    """Run the command of this process, and end it."""
    redact_errors()
    sys.exit(main())


def _run(argv: Sequence[str] | None) -> int:
    try:
        args = _parser().parse_args(argv)
    except SystemExit as stop:  # after --help and --version
        return int(stop.code or 0)
    from fakeface.types import FakefaceError

    try:
        status: int = args.run(args)
    except FakefaceError as error:
        raise _UsageError(str(error)) from error
    return status


def _parser() -> _Parser:
    def command(name: str, purpose: str) -> argparse.ArgumentParser:
        # Scripts that use abbreviations would break when an option is added.
        return commands.add_parser(name, help=purpose, description=purpose, allow_abbrev=False)

    parser = _Parser(
        prog="python -m fakeface",
        description="Judge, face by face, whether a photo was made by an AI.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"fakeface {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    analyse = command("analyse", "Judge pictures, and print the verdicts as text or JSON.")
    analyse.add_argument("images", nargs="+", metavar="IMAGE", help="a picture file")
    _add_engine(analyse)
    analyse.add_argument("--json", action="store_true", help="one JSON object a line and picture")
    analyse.add_argument(
        "--heatmap",
        type=Path,
        metavar="FILE.png",
        help="write the picture with its faces marked and where the first model looked; "
        "for one IMAGE, and only where a face was found",
    )
    analyse.add_argument(
        "--faithful",
        action="store_true",
        help="measure how far the heatmaps can be trusted (ROAD); takes seconds a face and model",
    )
    analyse.set_defaults(run=_analyse)

    scan = command("scan", "Judge many pictures, and write a table.")
    scan.add_argument(
        "sources",
        nargs="*",
        metavar="SOURCE",
        help="a file, a folder, a pattern ('photos/**/*.jpg'), a tar archive, a Parquet file with "
        "a column of pictures, an address (s3://, gs://, hf:// ...), or @FILE: a list of these",
    )
    scan.add_argument(
        "--list",
        action="append",
        default=[],
        metavar="FILE",
        help="a text file with one SOURCE a line, as @FILE is; may be repeated",
    )
    scan.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="the table, as CSV, or by its ending as .jsonl or .parquet; where it exists already, "
        "it is continued",
    )
    scan.add_argument(
        "--bom", action="store_true", help="begin a CSV with a byte order mark, for Excel"
    )
    scan.add_argument(
        "--workers", type=int, metavar="N", help="files at a time (default: processors + 1)"
    )
    scan.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="this process (default), or the machines of a Ray cluster; see docs/cluster.md",
    )
    ray = scan.add_argument_group("for --engine ray")
    ray.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="of the cluster (default: RAY_ADDRESS, else one is started on this machine)",
    )
    ray.add_argument(
        "--actors",
        type=int,
        metavar="N",
        help="processes with the models (default: as many as fit)",
    )
    ray.add_argument(
        "--cpus",
        type=int,
        metavar="N",
        help="processors of an actor (default: 1, or beside a GPU its share)",
    )
    _add_engine(scan)
    scan.set_defaults(run=_scan)

    models = command("models", "List the models that are installed.")
    models.add_argument("--json", action="store_true", help="one JSON object a line and model")
    models.set_defaults(run=_models)

    schema = command("schema", "Print the JSON Schema of `analyse --json`; see docs/schema.json.")
    schema.set_defaults(run=_schema)
    return parser


def _add_engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help="a model to judge with, see `models`; may be repeated; the first decides on the "
        "whole picture (default: the best one installed)",
    )
    parser.add_argument(
        "--detector",
        choices=("yunet", "mtcnn", "haar"),
        help="the face detector (default: yunet where its file can be had, else mtcnn)",
    )
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), help="where to run (default: the GPU if there is one)"
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        help="run the networks in int8 on the CPU, for models that have such a file: faster, with "
        "answers that differ a little; what it gives goes by the checksum of that file",
    )


def _open(args: argparse.Namespace) -> tuple[list[Model], Detector]:
    """The models and the detector that were asked for."""
    from fakeface.images import apart

    apart.warm()  # a process that decodes starts while torch is imported, which takes longer
    import torch

    from fakeface.faces import open_detector
    from fakeface.models import checkpoints

    if args.device == "cuda" and not torch.cuda.is_available():
        raise _UsageError("--device cuda: there is no usable GPU here; use --device cpu.")
    engine = "int8" if args.int8 else None
    read = functools.partial(checkpoints.load, device=args.device, engine=engine)
    models = _each_model(args, read)
    return models, open_detector(args.detector)


def _each_model(args: argparse.Namespace, read: Callable[[str], T]) -> list[T]:
    """What `read` gives for each model that was asked for."""
    from fakeface.models import checkpoints
    from fakeface.types import CheckpointMissing

    found = []
    for name in dict.fromkeys(args.model or [checkpoints.default()]):
        try:
            found.append(read(name))
        except CheckpointMissing as error:
            known = [card.name for card in checkpoints.installed()]
            if name in known:
                raise
            raise _UsageError(
                f"there is no model {name!r}; installed: {', '.join(known) or 'none'}."
            ) from error
    return found


def _analyse(args: argparse.Namespace) -> int:
    if args.heatmap:
        _check_heatmap(args.heatmap, args.images)
    models, detector = _open(args)
    from fakeface.analysis import analyse, read_or_report
    from fakeface.images.decoder import read_bytes
    from fakeface.names import spell, to_path
    from fakeface.report.overlay import overlay
    from fakeface.report.record import to_dict
    from fakeface.report.text import NOTE, to_text
    from fakeface.types import Analysis, Status

    names = [model.name for model in models]
    read = 0
    for file in args.images:
        path = to_path(file)
        # To the letter, `./` and all; a name that came as `spell` writes it stays so.
        name = spell(file) if path == Path(file) else file
        found = read_or_report(functools.partial(read_bytes, path), name, names)
        if isinstance(found, Analysis):
            analysis = found
        else:
            read += 1
            analysis = analyse(
                found,
                models=models,
                detector=detector,
                explain=args.heatmap is not None,
                faithful=args.faithful,
            )
            if args.heatmap and analysis.status is Status.OK:
                _write_png(overlay(found, analysis), args.heatmap)
        if args.json:
            _print_json(to_dict(analysis))
        else:
            print(to_text(analysis), flush=True)
        if args.heatmap and analysis.status is not Status.OK:
            print(f"fakeface: no face, so {args.heatmap} was not written.", file=sys.stderr)
    if read and not args.json:
        print(f"\n{NOTE}")
    return 0 if read else 1


def _check_heatmap(path: Path, images: Sequence[str]) -> None:
    if len(images) > 1:
        raise _UsageError(f"--heatmap goes with one IMAGE, and {len(images)} are named.")
    if path.suffix.lower() != ".png":
        raise _UsageError(f"--heatmap {path}: name a file that ends in .png.")
    if path.resolve() == Path(images[0]).resolve():
        raise _UsageError(f"--heatmap {path} would replace the picture itself; name another file.")
    if not os.path.isdir(path.parent):
        raise _UsageError(f"--heatmap {path}: there is no folder {path.parent}.")
    if os.path.isdir(path) or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise _UsageError(f"--heatmap {path} cannot be written; name another file.")


def _write_png(picture: RGB, path: Path) -> None:
    from PIL import Image

    from fakeface.files import write_atomically

    out = io.BytesIO()
    Image.fromarray(picture).save(out, "PNG")
    try:
        write_atomically(path.resolve(), out.getvalue())
    except OSError as error:
        raise _UsageError(f"--heatmap {path} cannot be written ({error.strerror}).") from error


def _scan(args: argparse.Namespace) -> int:
    from fakeface.scan.table import Table

    sources = [*args.sources, *(f"@{path}" for path in args.list)]
    if not sources:
        raise _UsageError("scan needs a SOURCE; see `python -m fakeface scan --help`.")
    for option in ("workers", "actors", "cpus"):
        if (getattr(args, option) if getattr(args, option) is not None else 1) < 1:
            raise _UsageError(f"--{option} must be at least 1.")
    for option in ("address", "actors", "cpus"):
        if args.engine == "local" and getattr(args, option) is not None:
            raise _UsageError(f"--{option} goes with --engine ray.")
    table = Table(args.out, bom=args.bom)
    scan = _scan_on_cluster(args) if args.engine == "ray" else _scan_here(args)
    from fakeface.progress import progress
    from fakeface.scan.summary import Summary
    from fakeface.types import FakefaceError

    summary = Summary()
    try:
        scan(
            sources,
            table,
            progress=lambda total: progress(total=total, unit="file"),
            summary=summary,
        )
    except (FakefaceError, KeyboardInterrupt) as error:
        if isinstance(error, FakefaceError) and not summary.missing:
            raise
        _print_summary(summary, args.out)
        what = "interrupted;" if isinstance(error, KeyboardInterrupt) else str(error)
        count = summary.missing
        print(
            f"fakeface: {what} {count} {'file is' if count == 1 else 'files are'} not in the "
            "table; run the same command again to go on.",
            file=sys.stderr,
        )
        return 130 if isinstance(error, KeyboardInterrupt) else 2
    _print_summary(summary, args.out)
    return 0 if summary.read else 1


def _scan_here(args: argparse.Namespace) -> Callable[..., object]:
    models, detector = _open(args)
    from fakeface.scan.pipeline import scan

    return functools.partial(scan, models=models, detector=detector, workers=args.workers)


def _scan_on_cluster(args: argparse.Namespace) -> Callable[..., object]:
    from fakeface.models import checkpoints
    from fakeface.models.engine import pick_engine

    if pick_engine("int8" if args.int8 else None) == "int8":
        raise _UsageError("int8 does not go with --engine ray; leave one of the two out.")
    from fakeface.scan.cluster import Cluster, scan

    root = checkpoints.checkpoints_root()
    cluster = Cluster(
        address=args.address,
        actors=args.actors,
        cpus=args.cpus,
        threads=args.workers,
        device=args.device,
        detector=args.detector,
    )
    cards = _each_model(args, lambda name: checkpoints.read_card(root / name))
    return functools.partial(scan, models=cards, cluster=cluster)


def _print_summary(summary: Summary, out: Path) -> None:
    from fakeface.report.text import NOTE, escape
    from fakeface.types import Status

    counts = summary.counts
    print(
        f"{counts.total()} files: {counts[Status.OK]} with faces, {counts[Status.NO_FACE]} without "
        f"a face, {counts[Status.UNREADABLE]} unreadable; {summary.earlier} of them were in the "
        f"table already. The table is {escape(str(out))}"
    )
    for reason, group in summary.unreadable.items():
        print(f"  {group.count} x {escape(reason)} First: {', '.join(map(escape, group.first))}")
    if summary.left_out:
        print(f"{sum(g.count for g in summary.left_out.values())} left out:")
    for reason, group in summary.left_out.items():
        print(f"  {group.count} x {escape(reason)} First: {', '.join(map(escape, group.first))}")
    if summary.read:
        print(f"\n{NOTE}")


def _models(args: argparse.Namespace) -> int:
    from fakeface.models import checkpoints
    from fakeface.models.zoo import describe

    root = checkpoints.checkpoints_root()
    cards, broken = checkpoints.survey(root)
    for problem in broken.values():
        print(f"fakeface: {problem}", file=sys.stderr)
    models = [describe(card, root / card.name) for card in cards]
    if args.json:
        for model in models:
            _print_json(model)
        return 0
    if not models and not broken:
        print(f"fakeface: no model is installed in {root}.", file=sys.stderr)
        return 0
    head = ("name", "title", "input", "parameters", "size", "test AUC (95 %)", "sha256")
    table = [head, *(_model_row(model) for model in models)]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    for row in table:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths)).rstrip())
    return 0


def _schema(args: argparse.Namespace) -> int:
    from fakeface.contract import schema

    print(json.dumps(schema(), indent=2))
    return 0


def _model_row(model: ModelResult) -> tuple[str, ...]:
    parameters, size, auc = model["parameters"], model["bytes"], model["auc"]
    return (
        model["name"],
        model["title"],
        f"{model['input_size']} px",
        f"{parameters / 1e6:.1f} M" if parameters else "no weights",
        f"{size / 1e6:.1f} MB" if size else "no file",
        f"{auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f})" if auc else "not measured",
        model["sha256"][:12],
    )


def _print_json(value: Mapping[str, Any]) -> None:
    # ASCII, so that names of any bytes pass through any encoding; flushed for whoever waits.
    print(json.dumps(value, allow_nan=False), flush=True)
