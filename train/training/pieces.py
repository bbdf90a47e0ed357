"""A run's best weights in small files, to be carried: `python -m train pieces RUN --out FOLDER`.

They are in half precision, as shipped weights are. Joined and checked, by
`cat best.safetensors.* > best.safetensors` and `sha256sum -c best.sha256`, they are the weights of
a run's folder again, and run.json and log.csv stand beside them.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import safetensors.torch

from fakeface.files import write_atomically
from train.datasets.records import digest
from train.training.run import BEST

SIZE = 16 << 20  # bytes


def cut(run: Path, out: Path, size: int = SIZE) -> list[Path]:
    """Write the pieces of a run's best weights, and what tells of the run.

    Args:
        run: its folder.
        out: is made; older pieces in it are deleted.
        size: of a piece, in bytes; the last one may be smaller.

    Returns:
        The pieces, in order.
    """
    weights = safetensors.torch.load_file(run / BEST)
    halved = {name: t.half() if t.is_floating_point() else t for name, t in weights.items()}
    data = safetensors.torch.save(halved)
    out.mkdir(parents=True, exist_ok=True)
    for stale in out.glob(f"{BEST}.*"):
        stale.unlink()
    pieces = []
    for number, start in enumerate(range(0, len(data), size)):
        pieces.append(out / f"{BEST}.{number:02}")
        write_atomically(pieces[-1], data[start : start + size])
    write_atomically(out / "best.sha256", f"{digest(data)}  {BEST}\n".encode())
    for name in ("run.json", "log.csv"):
        shutil.copyfile(run / name, out / name)
    return pieces


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="the folder of a run, finished or not")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the pieces")
    args = parser.parse_args(argv)
    if not (args.run / BEST).is_file():
        parser.error(f"{args.run} holds no {BEST}; let the run go on until it is written")
    pieces = cut(args.run, args.out)
    print(f"{args.out}: {len(pieces)} pieces, {sum(p.stat().st_size for p in pieces)} bytes")


if __name__ == "__main__":
    main()
