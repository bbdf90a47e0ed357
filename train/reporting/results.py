"""The stored results as documents: `python -m train results`, or `make results`.

Writes checkpoints/RESULTS.md, the table in README.md between its two marks, and each model's card
for people, checkpoints/NAME/README.md. No number in a document is typed by hand.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fakeface import __version__
from fakeface.files import write_atomically
from fakeface.models import checkpoints
from train.evaluation.store import RESULTS, read_json, write_json
from train.reporting.cards import make_model_card
from train.reporting.stored import ROOT, Stored, read_stored
from train.reporting.tables import (
    REENCODED,
    cross_dataset_table,
    ensemble_table,
    idea_table,
    left_out_table,
    overview_table,
    pointing_table,
    rate_table,
    reencoding_table,
    sequence_table,
    stability_table,
    target_table,
    verdict_table,
)

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
IDEAS = """A recipe changed in one thing, trained without a family each time: the AUC of a generator
left out, or the false positive rate on a family of photographs left out, as above; in the last
column the mean AUC of those that were trained on. `seed=1` shows what chance alone does."""


def make_report(all_of: Stored) -> str:
    """RESULTS.md."""
    sections = make_sections(all_of)
    names = ", ".join(f"[{card.title}]({card.name}/README.md)" for card in all_of.cards)
    return (
        "# Results\n\nWritten by `make results` from the JSON files in this folder and in "
        f"results/; nothing is typed by hand. More of each model, with plots: {names}.\n\n"
        + "\n".join(f"## {title}\n\n{text}" for title, text in sections.items() if text)
    )


def make_sections(all_of: Stored) -> dict[str, str]:
    """The sections of RESULTS.md by title; empty where nothing was measured."""
    commands = [
        *(all_of.metrics[card.name].get("command") for card in all_of.cards),
        all_of.probe.get("command"),
        all_of.baseline.get("command"),
    ]
    reencoding = reencoding_table(all_of)
    by_family = rate_table(all_of, "real_by_family")
    return {
        "AUC": "With a 95 % bootstrap interval over groups (people, videos). Frozen features: a "
        "logistic regression on what a network saw that was never trained on faces. Metadata "
        "alone: a classifier that sees the size of the file, its dimensions and its JPEG tables, "
        f"but no pixel.\n\n{overview_table(all_of)}",
        "Goals": f"What this release aimed at.\n\n{target_table(all_of)}",
        "Trained on one thing, tested on another": f"AUC.\n\n{cross_dataset_table(all_of)}",
        "Leave one group out": "Trained without a family and tested on it: the AUC of its fakes "
        "against the test photographs (of face swaps, against the clips they were made from), and "
        "the false positive rate on its photographs at the threshold where that of the known ones "
        f"of val is 2 %.\n\n{left_out_table(all_of)}",
        "Ideas, each alone": IDEAS + "\n\n" + idea_table(all_of) if all_of.ideas else "",
        "Verdicts": "At the shipped thresholds, before the stability check. ECE: the expected "
        "calibration error, before and after calibration on val; answered: the "
        f"share that is not *unsure*.\n\n{verdict_table(all_of)}",
        "The stability check": stability_table(all_of),
        "The models together": ensemble_table(all_of) if all_of.ensemble else "",
        "Re-encoded pictures": f"{REENCODED}\n\n{reencoding}" if reencoding else "",
        "Frames and sequences": sequence_table(all_of),
        "Does the heatmap show the place?": "Photographs of the test split with a blended region, "
        "whose mask is known. Pointing game: how often the hottest place lies in it; IoU: of the "
        "mask with as many of the hottest pixels as it has. A model whose map lies there as "
        "often without the blend knows where faces are blended, and does not see the blend.\n\n"
        + pointing_table(all_of),
        "False positives, by family of photographs": "The share of photographs called AI-generated "
        f"(false positive rate), with 95 % intervals (Wilson).\n\n{by_family}"
        if by_family
        else "",
        "Photographs called AI-generated, by source": "With 95 % intervals (Wilson): many sources "
        f"are small.\n\n{rate_table(all_of, 'real_by_source')}",
        "Fakes called AI-generated, by source": rate_table(all_of, "fake_by_source"),
        "Fakes called AI-generated, by generator": rate_table(all_of, "fake_by_generator"),
        "How": "```\n" + "\n".join(c for c in commands if c) + "\n```\n",
    }


def make_documents(root: Path) -> dict[Path, str]:
    """The text of every document that holds results, by its path, of a repository at `root`."""
    folder = root / "checkpoints"
    all_of = read_stored(root)
    readme = (root / "README.md").read_text(encoding="utf-8")
    before, rest = readme.split(BEGIN)
    after = rest.split(END)[1]
    return {
        folder / "RESULTS.md": make_report(all_of),
        root / "README.md": f"{before}{BEGIN}\n{overview_table(all_of)}{END}{after}",
        **{folder / c.name / "README.md": make_model_card(c, all_of) for c in all_of.cards},
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
        path = ROOT / RESULTS / "releases.json"
        write_json(path, {**read_json(path), __version__: {"model": best.name, "test_auc": auc}})
    for path, text in make_documents(ROOT).items():
        write_atomically(path, text.encode())


if __name__ == "__main__":
    main()
