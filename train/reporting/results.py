"""The stored results as tables for people: `python -m train.results`, or `make results`.

Writes checkpoints/RESULTS.md, the table in README.md between its two marks, and each model's card
for people, checkpoints/NAME/README.md. No number in a document is typed by hand.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fakeface import __version__
from fakeface.models import checkpoints
from fakeface.models.card import Card
from fakeface.types import RULE, Verdict
from train.datasets.sets import TITLES
from train.evaluation.store import read_json, write_json
from train.reporting.targets import assess

ROOT = Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
UNSEEN = ("test_unseen", "wild_generated", "wild_swaps")
REENCODED = (
    "The test pictures after they were shrunk, enlarged or saved again. A flip is a verdict that "
    "turns from real to AI-generated or back; *unsure* is no flip. After the check, which makes a "
    "verdict unsure that a copy of the picture turns round, users see at most so many flips."
)


@dataclass(frozen=True, slots=True)
class Stored:
    """Everything that was measured, as it lies in checkpoints/.

    Attributes:
        cards: of the shipped models, the default one first.
        metrics: metrics.json by model.
        pointing: pointing.json by model.
        baseline, probe: what is set beside them; empty where there is none.
        experiments: runs that are not shipped, by name.
        lofo: leave one family out, by recipe.
        ideas: the same for recipes changed in one thing, by recipe and change.
        releases: the test AUC of the default model of earlier releases.
        together: the vote of the models; empty where it was not measured.
    """

    cards: tuple[Card, ...]
    metrics: Mapping[str, Mapping[str, Any]]
    pointing: Mapping[str, Mapping[str, Any]]
    baseline: Mapping[str, Any]
    probe: Mapping[str, Any]
    experiments: Mapping[str, Mapping[str, Any]]
    lofo: Mapping[str, Mapping[str, Any]]
    ideas: Mapping[str, Mapping[str, Any]]
    releases: Mapping[str, Mapping[str, Any]]
    together: Mapping[str, Any]


def stored(root: Path) -> Stored:
    """Read a folder of checkpoints."""
    cards = checkpoints.installed(root)
    best = checkpoints.default(root) if cards else ""
    left_out = {path.stem: read_json(path) for path in sorted(root.glob("lofo/*.json"))}
    changed = {name for name, found in left_out.items() if found["training"].get("changes")}
    return Stored(
        cards=tuple(sorted(cards, key=lambda card: (card.name != best, card.name))),
        metrics={card.name: read_json(root / card.name / "metrics.json") for card in cards},
        pointing={card.name: read_json(root / card.name / "pointing.json") for card in cards},
        baseline=read_json(root / "baseline.json"),
        probe=read_json(root / "probe.json"),
        experiments={p.stem: read_json(p) for p in sorted(root.glob("experiments/*.json"))},
        lofo={name: left_out[name] for name in left_out if name not in changed},
        ideas={name: left_out[name] for name in left_out if name in changed},
        releases=read_json(root / "releases.json"),
        together=read_json(root / "together.json"),
    )


# -- cells ------------------------------------------------------------------------------------


IDEAS = """A recipe changed in one thing, trained without a family each time: the AUC of a generator
left out, or the share of a family of photographs left out that is flagged, as above; in the last
column the mean AUC of those that were trained on. `seed=1` shows what chance alone does."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def share(value: float | None) -> str:
    """A share in per cent."""
    return "" if value is None else f"{100 * value:.1f} %"


def interval(auc: Mapping[str, float] | None) -> str:
    """A measured area under the ROC curve with its 95 % interval."""
    return f"{auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f})" if auc else ""


def counted(found: Mapping[str, float] | None) -> str:
    """A share with its 95 % interval and of how many."""
    if not found:
        return ""
    low, high = 100 * found["low"], 100 * found["high"]
    return f"{share(found['value'])} ({low:.0f} to {high:.0f})"


def auc_of(results: Mapping[str, Any], name: str) -> str:
    """One set's AUC, or an empty cell."""
    return interval(results.get("sets", {}).get(name, {}).get("auc"))


# -- what RESULTS.md holds --------------------------------------------------------------------


def overview(all_of: Stored) -> str:
    """AUC on each set, a column a model, and what the two baselines get beside it."""
    columns = [(card.title, all_of.metrics[card.name]) for card in all_of.cards]
    columns += [("frozen features", all_of.probe)] if all_of.probe else []
    columns += [("metadata alone", all_of.baseline)] if all_of.baseline else []
    rows = []
    for name, title in TITLES.items():
        known = next((r["sets"][name] for _, r in columns if name in r.get("sets", {})), None)
        if known and name != "val":
            size = f"{known['n_real']} / {known['n_fake']}"
            rows.append([title, size, *(auc_of(results, name) for _, results in columns)])
    return table(["set", "real / fake", *(title for title, _ in columns)], rows)


def goals(all_of: Stored) -> str:
    """What was aimed at, what came of it, and what is missing."""
    rows = [
        [g.title, f"{'at least' if g.at_least else 'at most'} {g.shown(g.target)}",
         g.shown(g.measured) if g.measured is not None else "not measured",
         g.gap(), g.note]
        for g in assess(all_of)
    ]  # fmt: skip
    return table(["goal", "target", "measured", "gap", "of"], rows)


def verdicts(all_of: Stored) -> str:
    """What users are told, set by set."""
    rows = []
    for card in all_of.cards:
        for name, s in all_of.metrics[card.name].get("sets", {}).items():
            real, fake = s["verdicts_on_real"], s["verdicts_on_fake"]
            rows.append(
                [card.title, TITLES[name].split(":")[0], share(s["accuracy"]),
                 share(s["balanced_accuracy"]), share(s["tpr_at_fpr_1"]), share(s["tpr_at_fpr_5"]),
                 f"{s['ece_uncalibrated']:.3f}", f"{s['ece']:.3f}",
                 share(real[Verdict.FAKE]), share(real[Verdict.UNSURE]), share(fake[Verdict.FAKE]),
                 share(fake[Verdict.REAL]), share(s["risk"]["coverage"]), share(s["risk"]["wrong"])]
            )  # fmt: skip
    return table(
        ["model", "set", "accuracy", "balanced", "fakes caught at 1 %", "at 5 % flagged",
         "ECE before", "ECE", "photographs called AI", "unsure", "fakes called AI", "real",
         "answered", "of these wrong"],
        rows,
    )  # fmt: skip


def sequences(all_of: Stored) -> str:
    """By frame and by sequence, of sets that are made of films."""
    rows = [
        [card.title, TITLES[name], auc_of(metrics, name), interval(s["by_sequence"]["auc"]),
         share(s["accuracy"]), share(s["by_sequence"]["accuracy"]),
         str(s["by_sequence"]["n_real"] + s["by_sequence"]["n_fake"])]
        for card in all_of.cards
        for metrics in (all_of.metrics[card.name],)
        for name, s in metrics.get("sets", {}).items()
        if "by_sequence" in s
    ]  # fmt: skip
    head = ["model", "set", "AUC by frame", "by sequence", "accuracy by frame", "by sequence",
            "sequences"]  # fmt: skip
    return table(head, rows) if rows else ""


def reencoded(all_of: Stored) -> str:
    """What re-encoding costs."""
    rows = [
        [card.title, tier, interval(r["auc_before"]), interval(r["auc"]),
         share(r["accuracy_before"]), share(r["accuracy"]), share(r["flips"]),
         share(r.get("flips_settled")), str(r["no_face"])]
        for card in all_of.cards
        for tier, r in all_of.metrics[card.name].get("reencoded", {}).items()
    ]  # fmt: skip
    head = ["model", "after", "AUC before", "AUC", "accuracy before", "accuracy", "flips",
            "flips after the check", "no face found"]  # fmt: skip
    return table(head, rows) if rows else ""


def settled(all_of: Stored) -> str:
    """What the stability check changes."""
    rows = [
        [card.title, TITLES[name].split(":")[0], share(s["settled"]["became_unsure"]),
         share(s["verdicts_on_real"][Verdict.FAKE]),
         share(s["settled"]["verdicts_on_real"][Verdict.FAKE]),
         share(s["verdicts_on_fake"][Verdict.FAKE]),
         share(s["settled"]["verdicts_on_fake"][Verdict.FAKE])]
        for card in all_of.cards
        for name, s in all_of.metrics[card.name].get("sets", {}).items()
        if "settled" in s
    ]  # fmt: skip
    head = ["model", "set", "became unsure", "photographs called AI before", "after",
            "fakes called AI before", "after"]  # fmt: skip
    return table(head, rows) if rows else ""


def together(all_of: Stored) -> str:
    """The vote of several models against the default model alone."""
    found = all_of.together
    titles = {card.name: card.title for card in all_of.cards}
    names = [titles.get(name, name) for name in found["models"]]
    rows = [
        [TITLES[name].split(":")[0], interval(s["auc"]), share(s["split"]),
         *(share(s[who][what]) for what in ("coverage", "wrong") for who in ("vote", "alone")),
         *(share(s[who][f"verdicts_on_{kind}"][Verdict.FAKE])
           for kind in ("real", "fake") for who in ("vote", "alone"))]
        for name, s in found["sets"].items()
    ]  # fmt: skip
    head = ["set", "AUC of the mean logit", "opposite verdicts", "answered by vote",
            "by the default alone", "of these wrong", "alone", "photographs called AI by vote",
            "alone", "fakes called AI by vote", "alone"]  # fmt: skip
    return (
        f"{', '.join(names)}: {RULE}\n\n" + table(head, rows) + f"\n```\n{found['command']}\n```\n"
    )


def matrix(all_of: Stored) -> str:
    """Training data against test set: AUC, a row a model; a table for each data set measured on."""
    rows: list[tuple[str, str, Mapping[str, Any]]] = []
    for card in all_of.cards:
        rows.append((card.title, _trained_on(card.training), all_of.metrics[card.name]))
    for name, found in all_of.experiments.items():
        title = f"{found['title']} (`{name}`)" if found["title"] != name else f"`{name}`"
        rows.append((title, _trained_on(found["training"]), found))
    if all_of.probe:
        rows.append((all_of.probe["title"], "all of train", all_of.probe))
    if all_of.baseline:
        rows.append(("metadata alone", "all of train", all_of.baseline))
    tables = []
    for data in dict.fromkeys(results.get("data") for *_, results in rows):
        own = [row for row in rows if row[2].get("data") == data]
        names = [n for n in TITLES if n != "val" and any(n in r.get("sets", {}) for *_, r in own)]
        tables.append(
            f"Data {data}:\n\n"
            + table(
                ["model", "trained on", *(TITLES[name].split(":")[0] for name in names)],
                [[title, on, *(auc_of(r, name) for name in names)] for title, on, r in own],
            )
        )
    return "\n".join(tables)


def _trained_on(training: Mapping[str, Any]) -> str:
    fakes = training["pictures"] - training["photographs"]
    families = ", ".join(training["families_of_fakes"]).replace("_", " ")
    if len(training["families_of_fakes"]) > 3:
        families = f"{len(training['families_of_fakes'])} families"
    return f"{training['photographs']} photographs, {fakes} fakes ({families})"


def lofo(all_of: Stored) -> str:
    """Leave one family out: a table of fakes and one of photographs."""
    runs = [found for found in all_of.lofo.values() if found.get("families")]
    if not runs:
        return "Not measured yet.\n"
    parts = []
    for kinds, title, cell in (
        (("fakes", "swaps"), "family of fakes left out", lambda r: interval(r["auc"])),
        (("photographs",), "family of photographs left out", lambda r: counted(r["flagged"])),
    ):
        names = {f: r for found in runs for f, r in found["families"].items() if r["kind"] in kinds}
        rows = [
            [f.replace("_", " "), str(r["caught" if "caught" in r else "flagged"]["n"]),
             *(cell(found["families"][f]) if f in found["families"] else "" for found in runs)]
            for f, r in names.items()
        ]  # fmt: skip
        if "fakes" in kinds:
            means = [found["summary"].get("auc_mean") for found in runs]
            cells = ["" if mean is None else f"{mean:.3f}" for mean in means]
            rows.append(["mean, without swaps", "", *cells])
        parts.append(table([title, "n", *(found["title"] for found in runs)], rows))
    commands = "\n".join(found["command"] for found in runs)
    return "\n".join(parts) + f"\n```\n{commands}\n```\n"


def ideas(all_of: Stored) -> str:
    """Recipes changed in one thing, beside those without the change, on families left out."""
    tables = []
    for title in dict.fromkeys(found["title"] for found in all_of.ideas.values()):
        changed = [found for found in all_of.ideas.values() if found["title"] == title]
        names = list(dict.fromkeys(f for found in changed for f in found["families"]))
        runs = [found for found in all_of.lofo.values() if found["title"] == title] + changed
        rows = []
        for found in runs:
            measured = [found["families"].get(name, {}) for name in names]
            known = [r["known"] for r in measured if "known" in r]
            aucs = [r["auc"]["value"] for r in measured if r.get("kind") == "fakes"]
            change = ", ".join(f"`{c}`" for c in found["training"].get("changes", ()))
            rows.append(
                [change or "none",
                 *(interval(r.get("auc")) or counted(r.get("flagged")) for r in measured),
                 f"{np.mean(aucs):.3f}" if aucs else "",
                 f"{np.mean(known):.3f}" if known else ""]
            )  # fmt: skip
        head = [f"{title}: change", *(name.replace("_", " ") for name in names),
                "mean AUC of generators", "known families, on val"]  # fmt: skip
        commands = "\n".join(found["command"] for found in changed)
        tables.append(table(head, rows) + f"\n```\n{commands}\n```\n")
    return "\n".join(tables)


def pointing(all_of: Stored) -> str:
    """Does the heatmap lie on what was changed?"""
    found = {c.title: all_of.pointing[c.name] for c in all_of.cards if all_of.pointing[c.name]}
    if not found:
        return "Not measured yet.\n"
    makers = ("model", "untouched", "random", "centre")
    rows = [
        [title, str(p["n"]), interval(p["auc"]), *(share(p["pointing"].get(m)) for m in makers),
         *(share(p["iou"].get(m)) for m in makers)]
        for title, p in found.items()
    ]  # fmt: skip
    return table(
        ["model", "faces", "AUC against their photographs",
         "pointing game", "map of the untouched photograph", "random map", "centre blob",
         "IoU", "map of the untouched photograph", "random map", "centre blob"],
        rows,
    )  # fmt: skip


def called(all_of: Stored, which: str) -> str:
    """The share called AI-generated, a row a source or generator and a column a model.

    Args:
        which: real_by_source, fake_by_source or fake_by_generator.
    """
    cells: dict[tuple[str, str], dict[str, Mapping[str, float]]] = {}
    for card in all_of.cards:
        for name, s in all_of.metrics[card.name].get("sets", {}).items():
            if name in ("val", "pair_140k") or (which == "real_by_source" and "swaps" in name):
                continue
            for row, found in s.get(which, {}).items():
                cells.setdefault((row, name), {})[card.name] = found
    return table(
        [which.split("_")[-1], "set", "n", *(card.title for card in all_of.cards)],
        [
            [row, TITLES[name].split(":")[0], str(next(iter(found.values()))["n"]),
             *(counted(found.get(card.name)) for card in all_of.cards)]
            for (row, name), found in cells.items()
        ],
    )  # fmt: skip


def report(all_of: Stored) -> str:
    """RESULTS.md."""
    names = ", ".join(f"[{card.title}]({card.name}/README.md)" for card in all_of.cards)
    commands = [
        *(all_of.metrics[card.name].get("command") for card in all_of.cards),
        all_of.probe.get("command"),
        all_of.baseline.get("command"),
    ]
    sections = {
        "AUC": "With a 95 % bootstrap interval over groups (people, videos). Frozen features: a "
        "logistic regression on what a network saw that was never trained on faces. Metadata "
        "alone: a classifier that sees the size of the file, its dimensions and its JPEG tables, "
        f"but no pixel.\n\n{overview(all_of)}",
        "Goals": f"What this release aimed at.\n\n{goals(all_of)}",
        "Trained on one thing, tested on another": f"AUC.\n\n{matrix(all_of)}",
        "Leave one family out": "Trained without a family and tested on it: the AUC of its fakes "
        "against the test photographs (of face swaps, against the clips they were made from), and "
        "the share of its photographs that is flagged at the threshold that flags 2 % of the known "
        f"ones on val.\n\n{lofo(all_of)}",
        "Ideas, each alone": IDEAS + "\n\n" + ideas(all_of) if all_of.ideas else "",
        "Verdicts": "At the shipped thresholds, before the stability check. ECE: the expected "
        "calibration error, before and after the temperature that was fitted on val; answered: the "
        f"share that is not *unsure*.\n\n{verdicts(all_of)}",
        "The stability check": settled(all_of),
        "The models together": together(all_of) if all_of.together else "",
        "Re-encoded pictures": REENCODED + "\n\n" + reencoded(all_of) if reencoded(all_of) else "",
        "Frames and sequences": sequences(all_of),
        "Does the heatmap show the place?": "Photographs of the test split with a blended region, "
        "whose mask is known. Pointing game: how often the hottest place lies in it; IoU: of the "
        "mask with as many of the hottest pixels as it has. A model whose map lies there as "
        "often without the blend knows where faces are blended, and does not see the blend.\n\n"
        + pointing(all_of),
        "Photographs called AI-generated, by source": "With 95 % intervals (Wilson): many sources "
        f"are small.\n\n{called(all_of, 'real_by_source')}",
        "Fakes called AI-generated, by source": called(all_of, "fake_by_source"),
        "Fakes called AI-generated, by generator": called(all_of, "fake_by_generator"),
        "How": "```\n" + "\n".join(c for c in commands if c) + "\n```\n",
    }
    return (
        "# Results\n\nWritten by `make results` from the JSON files in this folder; nothing is "
        f"typed by hand. More of each model, with plots: {names}.\n\n"
        + "\n".join(f"## {title}\n\n{text}" for title, text in sections.items() if text)
    )


# -- the cards --------------------------------------------------------------------------------


def runs(run: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """A training run, then the one it started from, and so on."""
    while run:
        yield run
        run = run.get("after")


def model_results(card: Card, all_of: Stored) -> str:
    """Everything measured of one model."""
    metrics = all_of.metrics[card.name]
    alone = Stored(
        cards=(card,), metrics=all_of.metrics, pointing=all_of.pointing, baseline={}, probe={},
        experiments={}, lofo={}, ideas={}, releases={}, together={},
    )  # fmt: skip
    parts = [
        f"Measured by `{metrics.get('command')}`, faces found by {metrics.get('detector')}, "
        f"bootstrap seed {metrics.get('seed')}, data {metrics.get('data')}.\n",
        overview(alone),
        verdicts(alone),
        settled(alone),
        sequences(alone),
        "".join(f"![{Path(p).stem}]({p})\n" for p in metrics.get("plots", ())),
        *(
            f"{title}:\n\n{called(alone, which)}"
            for which, title in (
                ("real_by_source", "Photographs called AI-generated, by source"),
                ("fake_by_source", "Fakes called AI-generated, by source"),
            )
        ),
    ]
    if "reencoded" in metrics:
        parts.append(f"{REENCODED}\n\n{reencoded(alone)}")
    if all_of.pointing[card.name]:
        parts.append(f"The heatmap against a known mask:\n\n{pointing(alone)}")
    if "haar" in metrics:
        other = metrics["haar"]
        rows = [
            [TITLES[name], interval(s["auc"]), share(s["verdicts_on_real"][Verdict.FAKE]),
             f"{s['no_face']} of {s['n_real'] + s['n_fake'] + s['no_face']}"]
            for name, s in other["sets"].items()
        ]  # fmt: skip
        parts.append(
            "With the Haar cascade in place of YuNet, which finds fewer faces "
            f"(`{other['command']}`):\n\n"
            + table(["set", "AUC", "photographs called AI", "no face found"], rows)
        )
    return "\n".join(part for part in parts if part)


def model_card(card: Card, all_of: Stored) -> str:
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

{model_results(card, all_of)}"""


def documents(root: Path) -> dict[Path, str]:
    """The text of every document that holds results, by its path, of a repository at `root`."""
    folder = root / "checkpoints"
    all_of = stored(folder)
    readme = (root / "README.md").read_text(encoding="utf-8")
    before, rest = readme.split(BEGIN)
    after = rest.split(END)[1]
    return {
        folder / "RESULTS.md": report(all_of),
        root / "README.md": f"{before}{BEGIN}\n{overview(all_of)}{END}{after}",
        **{folder / c.name / "README.md": model_card(c, all_of) for c in all_of.cards},
    }


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--remember", action="store_true",
        help="first note the default model's test AUC as that of the present version, which later "
        "versions are held against",
    )  # fmt: skip
    args = parser.parse_args(argv)
    folder = ROOT / "checkpoints"
    if args.remember:
        best = checkpoints.read_card(folder / checkpoints.default(folder))
        auc = best.metrics["sets"]["test"]["auc"]
        path = folder / "releases.json"
        write_json(path, {**read_json(path), __version__: {"model": best.name, "test_auc": auc}})
    for path, text in documents(ROOT).items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
