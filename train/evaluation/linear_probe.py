"""What frozen features can tell: `python -m train linear-probe WEIGHTS --data SPEC`.

A logistic regression on what a network saw in clean faces that never was trained on any. What
training does not add to this, it did not learn.
"""

from __future__ import annotations

import argparse
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from fakeface.faces import open_detector
from fakeface.files import write_atomically
from fakeface.models.backbones import BACKBONES, build
from fakeface.models.preprocess import Preprocessing
from fakeface.models.runtime import compile_network
from fakeface.progress import progress
from train.datasets.faces import Faces, FaceSet, face_cache, find_faces, loader
from train.datasets.records import Record, fingerprint
from train.datasets.sets import SETS, check_classes, choose
from train.datasets.sources import add_data_arguments, read_data
from train.evaluation.calibration import calibrate
from train.evaluation.inference import BATCH, FEW
from train.evaluation.measure import SEED, measure
from train.evaluation.metrics import Array
from train.evaluation.scored import Scored
from train.evaluation.store import RESULTS, write_json
from train.training.initialise import initialise

STRENGTHS = (0.0003, 0.003, 0.03)  # of C; val decides


class Frozen(nn.Module):
    """Logits (N, 1), and the features (N, D) that the last layer makes them of."""

    def __init__(self, network: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.network: Any = network
        self.head = head

    def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of a batch (N, 3, S, S)."""
        maps = self.network.forward_features(batch)
        features = self.network.forward_head(maps, pre_logits=True)
        return self.head(features), features


class Probe:
    """Frozen features of pictures, computed once and kept in runs/.

    Attributes:
        title: for people.
    """

    def __init__(self, backbone: str, weights: Path, faces: Faces) -> None:
        facts = BACKBONES[backbone]
        self.title = f"{facts.title}, frozen, with a linear probe"
        self.faces, self.how = faces, Preprocessing(facts.input_size, 0.3, facts.mean, facts.std)
        network = build(backbone)
        initialise(network, backbone, str(weights))
        self.frozen = Frozen(network, network.get_submodule(facts.head)).eval()
        self.frozen.requires_grad_(False)
        identity = hashlib.sha256(weights.read_bytes() + str(self.how).encode()).hexdigest()[:12]
        self.path = Path("runs") / f"features-{backbone}-{identity}.npz"
        self.known: dict[str, Array] = {}
        if self.path.exists():
            with np.load(self.path) as kept:
                self.known = dict(zip(kept["sha256"].tolist(), kept["features"]))

    def features(self, records: Sequence[Record]) -> Array:
        """Of the clean faces, float32 (N, D); every record must have one."""
        missing = [r for r in records if r.sha256 not in self.known]
        if missing:
            run = self._compute
            if len(missing) >= FEW:
                quick = compile_network(self.frozen, self.how.size)
                run = (lambda x: quick(x)[1]) if quick else run
            batches = loader(FaceSet(missing, self.faces, self.how), BATCH, 2)
            bar = progress(batches, total=-(-len(missing) // BATCH), desc="frozen features")
            rows = np.concatenate([run(face.x) for face in bar])
            self.known |= dict(zip((r.sha256 for r in missing), rows))
            file = io.BytesIO()
            np.savez(file, sha256=list(self.known), features=np.array(list(self.known.values())))
            write_atomically(self.path, file.getvalue())
        return np.array([self.known[r.sha256] for r in records], np.float32)

    def _compute(self, x: torch.Tensor) -> Array:
        """(N, 3, S, S) -> (N, D), by PyTorch."""
        features: torch.Tensor = self.frozen(x)[1]
        return features.numpy()

    def fit(self, records: Sequence[Record], strength: float) -> LogisticProbe:
        """A logistic regression on these records, both classes weighted alike."""
        regression = LogisticRegression(C=strength, class_weight="balanced", max_iter=300)
        pipeline = make_pipeline(StandardScaler(), regression)
        pipeline.fit(self.features(records), [r.label for r in records])
        return LogisticProbe(self, pipeline)

    def choose_strength(self, train: Sequence[Record], val: Sequence[Record]) -> float:
        """The one of `STRENGTHS` with the best AUC on `val`, the choice part of it."""
        labels = [r.label for r in val]
        aucs = {c: roc_auc_score(labels, self.fit(train, c).logits(val)) for c in STRENGTHS}
        return max(aucs, key=lambda c: aucs[c])


class LogisticProbe:
    """A fitted probe."""

    def __init__(self, probe: Probe, pipeline: Pipeline) -> None:
        self.probe, self.pipeline = probe, pipeline

    def logits(self, records: Sequence[Record]) -> Array:
        """(N,) of these records."""
        return np.asarray(self.pipeline.decision_function(self.probe.features(records)))


def add_probe_arguments(parser: argparse.ArgumentParser) -> None:
    """Which network is frozen; --detector finds its faces."""
    parser.add_argument("--backbone", choices=sorted(BACKBONES), default="mobilenetv2_100")
    parser.add_argument("--detector", help="yunet, mtcnn or haar (default: the best at hand)")


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("weights", type=Path, help="initial weights of the backbone, safetensors")
    add_data_arguments(parser)
    add_probe_arguments(parser)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["val"], help="default: val")
    parser.add_argument("--out", type=Path, default=RESULTS / "probe.json")
    args = parser.parse_args(argv)

    records = read_data(args)
    detector = open_detector(args.detector)
    faces = find_faces(records, detector, face_cache(detector))
    usable = [r for r in records if r.sha256 in faces]
    train = [r for r in usable if r.split == "train"]
    probe = Probe(args.backbone, args.weights, faces)
    strength = probe.choose_strength(train, choose(usable, "choice"))
    fitted = probe.fit(train, strength)
    part = choose(usable, "calibration")
    calibration = calibrate(part, fitted.logits(part))
    results: dict[str, Any] = {
        "command": f"python -m train linear-probe {args.weights.name} --data SPEC"
        f" --backbone {args.backbone} --sets {' '.join(args.sets)}",
        "title": probe.title,
        "data": fingerprint(records),
        "detector": detector.name,
        "seed": SEED,
        "strength": strength,
        "sets": {},
    }
    for name in args.sets:
        chosen = choose(usable, name)
        check_classes(chosen, name)
        scored = Scored(chosen, fitted.logits(chosen), calibration)
        results["sets"][name] = measure(scored, len(choose(records, name)) - len(chosen))
        print(f"{name}: AUC {results['sets'][name]['auc']['value']:.4f}")
    write_json(args.out, results)


if __name__ == "__main__":
    main()
