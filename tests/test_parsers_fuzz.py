"""Every parser of our own but those of evidence, on any bytes: it raises what it says, or nothing.

For the parsers of evidence see test_evidence_fuzz.py.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakeface import batch
from fakeface.images import colour, directories, fetch, frames
from fakeface.images.kinds import recognise
from fakeface.models import card as cards
from fakeface.scan.table import Table, TableError
from fakeface.types import AddressRefused, CheckpointError, ImageError
from tests import hostile

FUZZ = settings(
    max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
SEEDS = hostile.seeds()
WORDS = [bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0\0\0\1", b"\x80\0\0\0"]


@st.composite
def changed(draw: st.DrawFn, seed: bytes) -> bytes:
    """A file with some bytes changed, taken out or doubled, mostly early ones, or its end cut."""
    data = bytearray(seed)
    for _ in range(draw(st.integers(1, 5))):
        reach = min(draw(st.sampled_from([64, 512, 2**20])), max(len(data) - 1, 0))
        at = draw(st.integers(0, reach))
        how = draw(st.sampled_from(["byte", "word", "take", "double", "cut"]))
        if how == "byte":
            data[at : at + 1] = bytes([draw(st.integers(0, 255))])
        elif how == "word":
            data[at : at + 4] = draw(st.sampled_from(WORDS))
        elif how == "take":
            del data[at : at + draw(st.integers(1, 64))]
        elif how == "double":
            data[at:at] = data[at : at + 64]
        else:
            del data[max(at, 16) :]
    return bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(SEEDS))
def test_changed_pictures(kind: str) -> None:
    said: set[str] = set()

    @FUZZ
    @given(changed(SEEDS[kind]))
    def check(data: bytes) -> None:
        try:
            found = frames.decode_frame(data)
        except ImageError as error:
            said.add(str(error))
            return
        assert found.rgb.dtype == np.uint8 and found.rgb.ndim == 3 and found.rgb.shape[2] == 3
        assert len(found.quantisation) in (0, 64)

    check()
    assert all(sentence.endswith(".") and "\n" not in sentence for sentence in said)


@FUZZ
@given(st.binary(max_size=300))
def test_the_first_bytes_of_a_file(data: bytes) -> None:
    with suppress(ImageError):
        recognise(data)


@FUZZ
@given(
    st.sampled_from([b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"Exif\0\0II*\0"]), st.binary()
)
def test_directories_of_tags(head: bytes, data: bytes) -> None:
    with suppress(ValueError):
        assert directories.orientation(head + data) in range(1, 9)


@FUZZ
@given(st.binary(max_size=500), st.sampled_from(["RGB", "L", "CMYK"]))
def test_colour_profiles(profile: bytes, mode: str) -> None:
    made, note = colour.transform(b"\0\0\2\0lcms" + profile, mode)
    assert made is None and note


def test_changed_archives(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    kinds = [n for n in range(300) if hostile.make(n).data.startswith(b"PK\x03\x04")][:4]
    assert kinds

    @FUZZ
    @given(st.sampled_from(kinds).flatmap(lambda n: changed(hostile.make(n).data[: 2**16])))
    def check(data: bytes) -> None:
        path.write_bytes(data)
        with batch.open_items([(path, "all.zip")]) as items:
            for item in items[:20]:
                with suppress(ImageError):
                    assert isinstance(item.read(), bytes)

    check()


PLAIN = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9)
JSON = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=8,
)


def test_changed_cards_and_metrics(untrained: Path) -> None:
    folder = untrained / "untrained"
    whole: dict[str, Any] = json.loads((folder / "card.json").read_text())
    good = cards.read_card(folder)

    @FUZZ
    @given(st.sampled_from([*whole, "surprise"]), JSON)
    def check(field: str, value: object) -> None:
        (folder / "card.json").write_text(json.dumps(whole | {field: value}))
        with suppress(CheckpointError):
            limits = cards.read_card(folder).calibration
            assert limits.temperature > 0
            assert 0 <= limits.real_below <= limits.fake_above <= 1
        (folder / "metrics.json").write_text(json.dumps({field: value}))
        with suppress(CheckpointError):
            cards.read_metrics(folder, good)

    check()


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_any_table(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"table.{ending}"
    head = b"path,status,model,faces,p_fake,verdict,weights,too_small\n" * (ending == "csv")

    @FUZZ
    @given(st.booleans(), st.binary(max_size=200) | st.text("x,1\"'\r\n\0é", max_size=60))
    def check(starts_well: bool, rest: bytes | str) -> None:
        data = rest if isinstance(rest, bytes) else rest.encode()
        path.write_bytes(head * starts_well + data)
        with suppress(TableError):
            Table(path)
        assert path.read_bytes().startswith(head * starts_well)

    check()


@FUZZ
@given(st.text(max_size=60), st.sampled_from(["", "http://", "https://", "http://[", "ftp://"]))
def test_any_address(rest: str, scheme: str) -> None:
    with suppress(AddressRefused):
        parts = fetch._check(scheme + rest, fetch.Network())
        assert parts.scheme in ("http", "https") and parts.hostname
