"""checkpoints/NAME/README.md: a model's card for people."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fakeface.models.card import Card
from fakeface.types import Verdict
from train.datasets.sets import TITLES
from train.evaluation.calibration import FAMILY_SIZE
from train.reporting.cells import make_table, show_auc, show_rate, show_share
from train.reporting.stored import Stored
from train.reporting.tables import (
    REENCODED,
    overview_table,
    pointing_table,
    rate_table,
    reencoding_table,
    sequence_table,
    stability_table,
    verdict_table,
)


def trace_runs(run: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """A training run, then the one it started from, and so on."""
    while run:
        yield run
        run = run.get("after")


def describe_results(card: Card, all_of: Stored) -> str:
    """Everything measured of one model."""
    metrics = all_of.metrics[card.name]
    alone = dataclasses.replace(all_of, cards=(card,), probe={}, baseline={})
    parts = [
        f"Measured by `{metrics.get('command')}`, faces found by {metrics.get('detector')}, "
        f"bootstrap seed {metrics.get('seed')}, data {metrics.get('data')}.\n",
        overview_table(alone),
        verdict_table(alone),
        stability_table(alone),
        sequence_table(alone),
        "".join(f"![{Path(p).stem}]({p})\n" for p in metrics.get("plots", ())),
        *(
            f"{title}:\n\n{rate_table(alone, which)}"
            for which, title in (
                ("real_by_family", "False positives, by family of photographs"),
                ("real_by_source", "Photographs called AI-generated, by source"),
                ("fake_by_source", "Fakes called AI-generated, by source"),
            )
            if any(which in found for found in metrics.get("sets", {}).values())
        ),
    ]
    if "reencoded" in metrics:
        parts.append(f"{REENCODED}\n\n{reencoding_table(alone)}")
    if all_of.pointing[card.name]:
        parts.append(f"The heatmap against a known mask:\n\n{pointing_table(alone)}")
    if "haar" in metrics:
        other = metrics["haar"]
        rows = [
            [TITLES[name], show_auc(s["auc"]), show_share(s["verdicts_on_real"][Verdict.FAKE]),
             f"{s['no_face']} of {s['n_real'] + s['n_fake'] + s['no_face']}"]
            for name, s in other["sets"].items()
        ]  # fmt: skip
        parts.append(
            "With the Haar cascade in place of YuNet, which finds fewer faces "
            f"(`{other['command']}`):\n\n"
            + make_table(["set", "AUC", "photographs called AI", "no face found"], rows)
        )
    return "\n".join(part for part in parts if part)


def describe_calibration(card: Card) -> str:
    """How a logit becomes a verdict, and what that was fitted to."""
    how, limits = card.calibration, card.training["calibration"]
    temperature = f"{how.temperature:.3f}"
    rule = f"""One logit for a face; its sigmoid, cooled by the temperature {temperature}, is
p(fake). From {how.fake_above:.3f} on a face is called AI-generated, up to
{how.real_below:.3f} real, and between the two unsure."""
    flagged = show_share(limits["photographs_flagged"])
    missed = show_share(limits["fakes_called_real"])
    if "part" not in limits:  # models up to 0.8.0
        return f"""{rule} All three numbers were fitted on
the validation split: the first threshold so as to flag {flagged} of
its photographs, the second so as to call {missed} of its generated
faces real."""
    families = "".join(
        f"- {name.replace('_', ' ')}: {show_rate(rate)} of {rate['n']}\n"
        for name, rate in limits["false_positive_rate_by_family"].items()
    )
    return f"""{rule} The logit is first moved by {how.offset:+.3f}.
These four numbers were fitted on a part of the validation split that nothing else was chosen by
({limits["n_real"]} photographs, {limits["n_fake"]} fakes). At the first threshold at most {flagged}
of the photographs are called AI-generated, and at most
{show_share(limits["photographs_of_a_family_flagged"])} of those of any family of {FAMILY_SIZE} or
more; at the second {missed} of the fakes are called real. The false positive rate there, with its
95 % interval, is {show_rate(limits["false_positive_rate"])}; by family:

{families}"""


def make_model_card(card: Card, all_of: Stored) -> str:
    """checkpoints/NAME/README.md, in the format of Hugging Face's hub."""
    commands = "\n".join(reversed([run["command"] for run in trace_runs(card.training)]))
    return f"""---
license: apache-2.0
library_name: timm
pipeline_tag: image-classification
tags: [deepfake-detection, face]
---
# {card.title}, as shipped with fakeface

{describe_calibration(card)}

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

{describe_results(card, all_of)}"""
