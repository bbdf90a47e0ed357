"""The stored results as tables for people: `python -m train.results`, or `make results`.

Writes checkpoints/RESULTS.md, the table in README.md between its two marks, and each model's card
for people, checkpoints/NAME/README.md. No number in a document is typed by hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fakeface import checkpoints
from fakeface.checkpoints import Card
from fakeface.types import Verdict

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
TITLES = {
    "val": "validation (thresholds and temperature were fitted here)",
    "test": "test: generated and edited faces",
    "test_unseen": "unseen sources: a StyleGAN2 site against stock photographs",
    "swaps": "face swaps (DFDC) against the clips they were made from",
    "wild_generated": "in the wild: LoRA headshots",
    "wild_swaps": "in the wild: face swaps (inswapper)",
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def share(value: float) -> str:
    """A share in per cent."""
    return f"{100 * value:.1f} %"


def interval(auc: Mapping[str, float] | None) -> str:
    """A measured area under the ROC curve with its 95 % interval."""
    return f"{auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f})" if auc else "not measured"


def summary(cards: Sequence[Card], baseline: Mapping[str, Any]) -> str:
    """AUC on each set, a column a model, and what a metadata-only classifier gets beside it."""
    rows = []
    for name, title in TITLES.items():
        found = [card.metrics.get("sets", {}).get(name) for card in cards]
        known = next((f for f in found if f), None)
        if known is None or name == "val":
            continue
        none = baseline.get("sets", {}).get(name)
        rows.append(
            [
                title,
                f"{known['n_real']} / {known['n_fake']}",
                *(interval(f and f["auc"]) for f in found),
                interval(none and none["auc"]),
            ]
        )
    head = ["set", "real / fake", *(card.title for card in cards), "metadata alone"]
    return table(head, rows)


def details(card: Card) -> str:
    """Everything measured of one model."""
    sets = card.metrics.get("sets", {})
    parts = [
        f"Measured by `{card.metrics.get('command')}`, faces found by "
        f"{card.metrics.get('detector')}, bootstrap seed {card.metrics.get('seed')}, data "
        f"{card.metrics.get('data')}.\n"
    ]
    parts.append(
        table(
            ["set", "AUC (95 % interval)", "balanced accuracy", "TPR at 1 % FPR", "TPR at 5 % FPR",
             "ECE, before", "ECE", "photographs called AI", "unsure", "fakes called AI", "real",
             "no face found"],
            [
                [TITLES[name], interval(s["auc"]), share(s["balanced_accuracy"]),
                 share(s["tpr_at_fpr_1"]), share(s["tpr_at_fpr_5"]),
                 f"{s['ece_uncalibrated']:.3f}", f"{s['ece']:.3f}",
                 share(s["verdicts_on_real"][Verdict.FAKE]),
                 share(s["verdicts_on_real"][Verdict.UNSURE]),
                 share(s["verdicts_on_fake"][Verdict.FAKE]),
                 share(s["verdicts_on_fake"][Verdict.REAL]), str(s["no_face"])]
                for name, s in sets.items()
            ],
        )
    )  # fmt: skip
    for label, title in (
        ("real_by_source", "Photographs called AI-generated, by source"),
        ("fake_by_source", "Fakes called AI-generated, by source"),
    ):
        rows = [
            [source, TITLES[name].split(":")[0], str(s["n"]), share(s["called_fake"])]
            for name in sets
            if name != "val"
            for source, s in sets[name][label].items()
            if not (label == "real_by_source" and name in ("swaps", "wild_swaps"))
        ]
        parts.append(f"\n{title}:\n\n" + table(["source", "set", "n", "share"], rows))
    if "reencoded" in card.metrics:
        rows = [
            [
                tier,
                interval(r["auc_before"]),
                interval(r["auc"]),
                share(r["flips"]),
                str(r["no_face"]),
            ]
            for tier, r in card.metrics["reencoded"].items()
        ]
        parts.append(
            "\nThe test set after re-encoding (a flip is a verdict that turns from real to "
            "AI-generated or back):\n\n"
            + table(["after", "AUC before", "AUC after", "flips", "no face found"], rows)
        )
    if "haar" in card.metrics:
        other = card.metrics["haar"]
        rows = [
            [TITLES[name], interval(s["auc"]), share(s["verdicts_on_real"][Verdict.FAKE]),
             f"{s['no_face']} of {s['n_real'] + s['n_fake'] + s['no_face']}"]
            for name, s in other["sets"].items()
        ]  # fmt: skip
        parts.append(
            "\nWith the Haar cascade in place of YuNet, which finds fewer faces "
            f"(`{other['command']}`):\n\n"
            + table(["set", "AUC", "photographs called AI", "no face found"], rows)
        )
    return "\n".join(parts)


def runs(run: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """A training run, then the one it started from, and so on."""
    while run:
        yield run
        run = run.get("after")


def model_card(card: Card) -> str:
    """checkpoints/NAME/README.md, in the format of Hugging Face's hub."""
    commands = "\n".join(reversed([run["command"] for run in runs(card.training)]))
    limits = card.training["calibration"]
    return f"""---
license: apache-2.0
library_name: timm
pipeline_tag: image-classification
tags: [deepfake-detection, face]
---
# {card.title}, as shipped with fakeface

One logit for a face; its sigmoid, cooled by the temperature {card.calibration.temperature:.3f}, is
p(fake). From {card.calibration.fake_above:.3f} on a face is called AI-generated, up to
{card.calibration.real_below:.3f} real, and between the two unsure. All three numbers were fitted on
the validation split: the first threshold so as to flag {share(limits["photographs_flagged"])} of
its photographs, the second so as to call {share(limits["fakes_called_real"])} of its generated
faces real.

It is evidence, not proof. It knows the generators that it was trained on, it often misses face
swaps and generators that are newer, and some real photographs are flagged: see the tables.

## Training

{card.training["summary"]}

```
{commands}
```

The validation AUC after each epoch: [training.csv](training.csv).

## Terms

Weights: {card.licence}. {card.terms}

## Results

{details(card)}"""


def main() -> None:
    """Write all three kinds of document."""
    root = ROOT / "checkpoints"
    cards = checkpoints.installed(root)
    path = root / "baseline.json"
    baseline = json.loads(path.read_text()) if path.exists() else {}
    short = summary(cards, baseline)
    (root / "RESULTS.md").write_text(
        "# Results\n\nWritten by `make results` from checkpoints/*/card.json and baseline.json.\n\n"
        "The area under the ROC curve, with a 95 % bootstrap interval over groups (people, "
        f"videos). Metadata alone: `{baseline.get('command')}`.\n\n{short}\n"
        + "\n".join(f"## {card.title} (`{card.name}`)\n\n{details(card)}" for card in cards)
    )
    for card in cards:
        (root / card.name / "README.md").write_text(model_card(card))
    readme = (ROOT / "README.md").read_text()
    before, rest = readme.split(BEGIN)
    after = rest.split(END)[1]
    (ROOT / "README.md").write_text(f"{before}{BEGIN}\n{short}{END}{after}")


if __name__ == "__main__":
    main()
