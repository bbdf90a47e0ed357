"""Val is divided by group: one part to choose by, one to calibrate on."""

from __future__ import annotations

import dataclasses

import pytest

from tests.pools import TINY, make_run, record, tiny_pool
from train.datasets.records import SourceError, fingerprint, share
from train.datasets.splits import calibration, choice


def test_the_parts_of_val_are_divided_by_a_hash_of_the_group():
    records = [
        record(f"{split}{i}", split=split, group=f"{split}{i // 3}")
        for split in ("train", "val", "test")
        for i in range(600)
    ]
    first, second = choice(records), calibration(records)
    val = [r for r in records if r.split == "val"]
    assert sorted(first + second, key=str) == sorted(val, key=str)
    assert not {r.group for r in first} & {r.group for r in second}
    assert len(first) == pytest.approx(300, abs=60)
    assert all(share(f"choice {r.group}") < 0.5 for r in first)


def test_a_run_chooses_its_weights_by_the_one_part_alone(tmp_path):
    run = make_run(tiny_pool(tmp_path), tmp_path / "run")
    chosen = run.validation.records
    assert chosen and len(chosen) < 10
    assert chosen == choice(chosen) and not calibration(chosen)


def test_a_part_without_fakes_is_refused(tmp_path):
    pool = tiny_pool(tmp_path)
    lines = pool.read_text().splitlines()
    pool.write_text("\n".join(line for line in lines if ",fake,val," not in line) + "\n")
    with pytest.raises(SourceError, match="lacks photographs or fakes"):
        make_run(pool, tmp_path / "run", TINY)


@pytest.mark.parametrize("field", ["split", "family", "group", "label", "sha256"])
def test_the_fingerprint_of_data_tells_what_is_learnt_and_what_is_kept_apart(field):
    records = [record("a"), record("b", split="val", label=1)]
    assert fingerprint(records) == fingerprint(records[::-1])
    other = {"label": 1}.get(field, "x")
    changed = [dataclasses.replace(records[0], **{field: other}), records[1]]
    assert fingerprint(changed) != fingerprint(records)
