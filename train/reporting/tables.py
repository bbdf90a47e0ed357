"""What RESULTS.md and the models' cards show: a function a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fakeface.models.evaluation_sets import FITTED
from fakeface.types import RULE, Verdict
from train.datasets.sets import TITLES
from train.reporting.cells import make_table, show_auc, show_auc_of, show_rate, show_share
from train.reporting.stored import Stored
from train.reporting.targets import assess

REENCODED = (
    "The test pictures after they were shrunk, enlarged or saved again. A flip is a verdict that "
    "turns from real to AI-generated or back; *unsure* is no flip. After the check, which makes a "
    "verdict unsure that a copy of the picture turns round, users see at most so many flips."
)


def overview_table(all_of: Stored) -> str:
    """AUC on each set, a column a model, and what the two baselines get beside it."""
    columns = [(card.title, all_of.metrics[card.name]) for card in all_of.cards]
    columns += [("frozen features", all_of.probe)] if all_of.probe else []
    columns += [("metadata alone", all_of.baseline)] if all_of.baseline else []
    rows = []
    for name, title in TITLES.items():
        known = next((r["sets"][name] for _, r in columns if name in r.get("sets", {})), None)
        if known and name not in FITTED:
            size = f"{known['n_real']} / {known['n_fake']}"
            rows.append([title, size, *(show_auc_of(results, name) for _, results in columns)])
    return make_table(["set", "real / fake", *(title for title, _ in columns)], rows)


def target_table(all_of: Stored) -> str:
    """What was aimed at, what came of it, and what is missing."""
    rows = [
        [g.title, f"{'at least' if g.at_least else 'at most'} {g.spell(g.target)}",
         g.spell(g.value) if g.value is not None else "not measured",
         g.gap(), g.note]
        for g in assess(all_of)
    ]  # fmt: skip
    return make_table(["goal", "target", "measured", "gap", "of"], rows)


def verdict_table(all_of: Stored) -> str:
    """What users are told, set by set."""
    rows = []
    for card in all_of.cards:
        for name, s in all_of.metrics[card.name].get("sets", {}).items():
            real, fake = s["verdicts_on_real"], s["verdicts_on_fake"]
            rows.append(
                [card.title, TITLES[name].split(":")[0], show_share(s["accuracy"]),
                 *(show_share(s[key]) for key in
                   ("balanced_accuracy", "tpr_at_fpr_1", "tpr_at_fpr_5")),
                 f"{s['ece_uncalibrated']:.3f}", f"{s['ece']:.3f}",
                 show_share(real[Verdict.FAKE]), show_share(real[Verdict.UNSURE]),
                 show_share(fake[Verdict.FAKE]), show_share(fake[Verdict.REAL]),
                 show_share(s["risk"]["coverage"]), show_share(s["risk"]["wrong"])]
            )  # fmt: skip
    return make_table(
        ["model", "set", "accuracy", "balanced", "fakes caught at 1 %", "at 5 % flagged",
         "ECE before", "ECE", "photographs called AI", "unsure", "fakes called AI", "real",
         "answered", "of these wrong"],
        rows,
    )  # fmt: skip


def sequence_table(all_of: Stored) -> str:
    """By frame and by sequence, of sets that are made of films."""
    rows = [
        [card.title, TITLES[name], show_auc_of(metrics, name), show_auc(s["by_sequence"]["auc"]),
         show_share(s["accuracy"]), show_share(s["by_sequence"]["accuracy"]),
         str(s["by_sequence"]["n_real"] + s["by_sequence"]["n_fake"])]
        for card in all_of.cards
        for metrics in (all_of.metrics[card.name],)
        for name, s in metrics.get("sets", {}).items()
        if "by_sequence" in s
    ]  # fmt: skip
    head = ["model", "set", "AUC by frame", "by sequence", "accuracy by frame", "by sequence",
            "sequences"]  # fmt: skip
    return make_table(head, rows) if rows else ""


def reencoding_table(all_of: Stored) -> str:
    """What re-encoding costs."""
    rows = [
        [card.title, tier, show_auc(r["auc_before"]), show_auc(r["auc"]),
         show_share(r["accuracy_before"]), show_share(r["accuracy"]), show_share(r["flips"]),
         show_share(r.get("flips_settled")), str(r["no_face"])]
        for card in all_of.cards
        for tier, r in all_of.metrics[card.name].get("reencoded", {}).items()
    ]  # fmt: skip
    head = ["model", "after", "AUC before", "AUC", "accuracy before", "accuracy", "flips",
            "flips after the check", "no face found"]  # fmt: skip
    return make_table(head, rows) if rows else ""


def stability_table(all_of: Stored) -> str:
    """What the stability check changes."""
    rows = [
        [card.title, TITLES[name].split(":")[0], show_share(s["settled"]["became_unsure"]),
         show_share(s["verdicts_on_real"][Verdict.FAKE]),
         show_share(s["settled"]["verdicts_on_real"][Verdict.FAKE]),
         show_share(s["verdicts_on_fake"][Verdict.FAKE]),
         show_share(s["settled"]["verdicts_on_fake"][Verdict.FAKE])]
        for card in all_of.cards
        for name, s in all_of.metrics[card.name].get("sets", {}).items()
        if "settled" in s
    ]  # fmt: skip
    head = ["model", "set", "became unsure", "photographs called AI before", "after",
            "fakes called AI before", "after"]  # fmt: skip
    return make_table(head, rows) if rows else ""


def ensemble_table(all_of: Stored) -> str:
    """The vote of several models against the default model alone."""
    found = all_of.ensemble
    titles = {card.name: card.title for card in all_of.cards}
    names = [titles.get(name, name) for name in found["models"]]
    rows = [
        [TITLES[name].split(":")[0], show_auc(s["auc"]), show_share(s["split"]),
         *(show_share(s[who][what]) for what in ("coverage", "wrong") for who in ("vote", "alone")),
         *(show_share(s[who][f"verdicts_on_{kind}"][Verdict.FAKE])
           for kind in ("real", "fake") for who in ("vote", "alone"))]
        for name, s in found["sets"].items()
    ]  # fmt: skip
    head = ["set", "AUC of the mean logit", "opposite verdicts", "answered by vote",
            "by the default alone", "of these wrong", "alone", "photographs called AI by vote",
            "alone", "fakes called AI by vote", "alone"]  # fmt: skip
    return (
        f"{', '.join(names)}: {RULE}\n\n"
        + make_table(head, rows)
        + f"\n```\n{found['command']}\n```\n"
    )


def cross_dataset_table(all_of: Stored) -> str:
    """Training data against test set: AUC, a row a model; a table for each data set measured on."""
    rows: list[tuple[str, str, Mapping[str, Any]]] = []
    for card in all_of.cards:
        rows.append((card.title, _describe_training(card.training), all_of.metrics[card.name]))
    for name, found in all_of.runs.items():
        title = f"{found['title']} (`{name}`)" if found["title"] != name else f"`{name}`"
        rows.append((title, _describe_training(found["training"]), found))
    if all_of.probe:
        rows.append((all_of.probe["title"], "all of train", all_of.probe))
    if all_of.baseline:
        rows.append(("metadata alone", "all of train", all_of.baseline))
    tables = []
    for data in dict.fromkeys(results.get("data") for *_, results in rows):
        own = [row for row in rows if row[2].get("data") == data]
        names = [
            n for n in TITLES if n not in FITTED and any(n in r.get("sets", {}) for *_, r in own)
        ]
        tables.append(
            f"Data {data}:\n\n"
            + make_table(
                ["model", "trained on", *(TITLES[name].split(":")[0] for name in names)],
                [[title, on, *(show_auc_of(r, name) for name in names)] for title, on, r in own],
            )
        )
    return "\n".join(tables)


def _describe_training(training: Mapping[str, Any]) -> str:
    fakes = training["pictures"] - training["photographs"]
    families = ", ".join(training["families_of_fakes"]).replace("_", " ")
    if len(training["families_of_fakes"]) > 3:
        families = f"{len(training['families_of_fakes'])} families"
    return f"{training['photographs']} photographs, {fakes} fakes ({families})"


def left_out_table(all_of: Stored) -> str:
    """Leave one family out: a table of fakes and one of photographs."""
    runs = [found for found in all_of.left_out.values() if found.get("families")]
    if not runs:
        return "Not measured yet.\n"
    parts = []
    for kinds, title in (
        (("fakes", "swaps"), "family of fakes left out"),
        (("photographs",), "family of photographs left out"),
    ):
        names = {f: r for found in runs for f, r in found["families"].items() if r["kind"] in kinds}
        rows = [
            [f.replace("_", " "),
             str((r.get("true_positive_rate") or r["false_positive_rate"])["n"]),
             *(_show_left_out(found["families"].get(f, {})) for found in runs)]
            for f, r in names.items()
        ]  # fmt: skip
        if "fakes" in kinds:
            means = [found["summary"].get("auc_mean") for found in runs]
            cells = ["" if mean is None else f"{mean:.3f}" for mean in means]
            rows.append(["mean, without swaps", "", *cells])
        parts.append(make_table([title, "n", *(found["title"] for found in runs)], rows))
    commands = "\n".join(found["command"] for found in runs)
    return "\n".join(parts) + f"\n```\n{commands}\n```\n"


def _show_left_out(found: Mapping[str, Any]) -> str:
    """What was measured of one family: the AUC of fakes, the false positive rate of photographs."""
    return show_auc(found.get("auc")) or show_rate(found.get("false_positive_rate"))


def idea_table(all_of: Stored) -> str:
    """Recipes changed in one thing, beside those without the change, on families left out."""
    tables = []
    for title in dict.fromkeys(found["title"] for found in all_of.ideas.values()):
        changed = [found for found in all_of.ideas.values() if found["title"] == title]
        names = list(dict.fromkeys(f for found in changed for f in found["families"]))
        runs = [found for found in all_of.left_out.values() if found["title"] == title] + changed
        rows = []
        for found in runs:
            measured = [found["families"].get(name, {}) for name in names]
            known = [r["known"] for r in measured if "known" in r]
            aucs = [r["auc"]["value"] for r in measured if r.get("kind") == "fakes"]
            change = ", ".join(f"`{c}`" for c in found["training"].get("changes", ()))
            rows.append(
                [change or "none",
                 *map(_show_left_out, measured),
                 f"{np.mean(aucs):.3f}" if aucs else "",
                 f"{np.mean(known):.3f}" if known else ""]
            )  # fmt: skip
        head = [f"{title}: change", *(name.replace("_", " ") for name in names),
                "mean AUC of generators", "known families, on val"]  # fmt: skip
        commands = "\n".join(found["command"] for found in changed)
        tables.append(make_table(head, rows) + f"\n```\n{commands}\n```\n")
    return "\n".join(tables)


def pointing_table(all_of: Stored) -> str:
    """Does the heatmap lie on what was changed?"""
    found = {c.title: all_of.pointing[c.name] for c in all_of.cards if all_of.pointing[c.name]}
    if not found:
        return "Not measured yet.\n"
    makers = ("model", "untouched", "random", "centre")
    rows = [
        [title, str(p["n"]), show_auc(p["auc"]),
         *(show_share(p[how].get(maker)) for how in ("pointing", "iou") for maker in makers)]
        for title, p in found.items()
    ]  # fmt: skip
    return make_table(
        ["model", "faces", "AUC against their photographs",
         "pointing game", "map of the untouched photograph", "random map", "centre blob",
         "IoU", "map of the untouched photograph", "random map", "centre blob"],
        rows,
    )  # fmt: skip


def rate_table(all_of: Stored, which: str) -> str:
    """The share called AI-generated, a row a source or generator and a column a model.

    Args:
        which: real_by_family, real_by_source, fake_by_source or fake_by_generator.

    Returns:
        The table; empty where nothing of the kind was measured.
    """
    cells: dict[tuple[str, str], dict[str, Mapping[str, float]]] = {}
    for card in all_of.cards:
        for name, s in all_of.metrics[card.name].get("sets", {}).items():
            if name in (*FITTED, "pair_140k") or (which.startswith("real") and "swaps" in name):
                continue
            for row, found in s.get(which, {}).items():
                cells.setdefault((row, name), {})[card.name] = found
    if not cells:
        return ""
    return make_table(
        [which.split("_")[-1], "set", "n", *(card.title for card in all_of.cards)],
        [
            [row, TITLES[name].split(":")[0], str(next(iter(found.values()))["n"]),
             *(show_rate(found.get(card.name)) for card in all_of.cards)]
            for (row, name), found in cells.items()
        ],
    )  # fmt: skip
