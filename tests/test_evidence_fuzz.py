"""The parsers of evidence on random and mutated files: no exception, and bounded time."""

from __future__ import annotations

import struct
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_evidence_cases import CASES, NOVEL, stealth
from test_metadata import DESCRIBED, chunk, exif, picture

from fakeface.evidence import containers, credentials, iptc, manifest, metadata, provenance, xmp
from fakeface.evidence import exif as exif_reader
from fakeface.evidence import stealth as marks
from fakeface.evidence.metadata import Metadata
from fakeface.types import Finding

MOST_SECONDS = 2.0
FUZZ = settings(
    max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
TAGS = exif(Make="Canon", UserComment=b"ASCII\0\0\0abc", LensModel="RF 50")
SEEDS = [
    *(picture(fmt, exif=TAGS) for fmt in ("JPEG", "PNG", "WEBP", "AVIF", "TIFF")),
    *(picture(fmt, xmp=DESCRIBED.encode()) for fmt in ("JPEG", "WEBP", "AVIF")),
    picture("GIF"),
    stealth("stealth_pngcomp", NOVEL, (12, 130)),
    stealth("stealth_rgbinfo", NOVEL, (30, 40), format="WEBP", lossless=True),
    *(path.read_bytes() for path in sorted(Path(CASES).glob("imagemagick*.png"))),
]
HEADS = [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\xff\0\0\0WEBP", b"II*\0", b"MM\0*",
         b"\0\0\0\x10ftypavif\0\0\0\0", b"GIF89a"]  # fmt: skip


@st.composite
def mutated(draw) -> bytes:
    """A seed that was cut, changed in some places, or grown out of two."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        kind = draw(st.sampled_from(["byte", "word", "cut", "double"]))
        if kind == "byte" and data:
            data[at] = draw(st.integers(0, 255))
        elif kind == "word":
            data[at : at + 4] = draw(st.sampled_from([bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff"]))
        elif kind == "cut":
            del data[at : at + draw(st.integers(0, 64))]
        else:
            data[at:at] = data[at : at + draw(st.integers(0, 64))]
    return bytes(data)


def read_all(data: bytes) -> None:
    begin = time.thread_time()
    assert isinstance(metadata.read(data), Metadata)
    found, troubles = marks.read_marks(data)
    assert isinstance(found, list) and isinstance(troubles, list)
    assert containers.has_too_many_parts(data) in (True, False)
    assert time.thread_time() - begin < MOST_SECONDS


@FUZZ
@given(mutated())
def test_mutated_files(data):
    read_all(data)


@FUZZ
@given(st.sampled_from(HEADS), st.binary(max_size=2000))
def test_random_bytes_behind_the_head_of_each_format(head, body):
    read_all(head + body)


@FUZZ
@given(st.binary(max_size=600))
def test_random_bytes_for_each_reader(data):
    list(exif_reader.read_exif(memoryview(data)))
    list(exif_reader.read_exif(memoryview(b"II*\0\x08\0\0\0" + data)))
    list(iptc.read_resources(b"8BIM" + data))
    list(iptc.read_records(b"\x1c\x02" + data))
    xmp.read_xmp(data)
    metadata.read(b"\x89PNG\r\n\x1a\n" + chunk(b"zTXt", data) + chunk(b"iTXt", data))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "actions",
                    "action",
                    "softwareAgent",
                    "softwareAgents",
                    "softwareAgentIndex",
                    "name",
                ]
                + ["com.x.digitalSourceType", "parameters", "description", "relationship", "label"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@FUZZ
@given(JSON, JSON, JSON, st.sampled_from(["c2pa.actions", "com.adobe.generative-ai", "stds.iptc"]))
def test_any_manifest(data, ingredients, program, label):
    said = {
        "assertions": [{"label": label, "data": data}, data],
        "ingredients": ingredients,
        "claim_generator_info": program,
        "claim_generator": program,
    }
    says, scope, words = manifest.summarise(said)
    assert says in ("ai", "camera", "edited", "unknown") and scope in ("whole", "part", None)
    assert all(isinstance(word, str) for word in words)


MIB = 2**20
JPEG, PNG = picture("JPEG"), picture("PNG")
AT = PNG.index(b"IDAT") - 4
RESOURCES = b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\0" * 5000
SLOW = {
    "empty comments": lambda: JPEG[:2] + b"\xff\xfe\0\2" * (2 * MIB) + JPEG[2:],
    "blocks of Photoshop": lambda: (
        JPEG[:2]
        + (b"\xff\xed" + struct.pack(">H", len(RESOURCES) + 2) + RESOURCES) * 130
        + JPEG[2:]
    ),
    "padding": lambda: JPEG[:2] + b"\xff" * (8 * MIB) + JPEG[2:],
    "chunks": lambda: PNG[:AT] + chunk(b"teXt", b"") * (MIB // 2) + PNG[AT:],
    "empty chunks of pixels": lambda: PNG[:AT] + chunk(b"IDAT", b"") * (MIB // 2) + PNG[AT:],
    "raw profiles": lambda: (
        PNG[:AT]
        + chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n9\n" + b"0" * MIB))
        * 250
        + PNG[AT:]
    ),
    "comments of a GIF": lambda: picture("GIF")[:-1] + b"\x21\xfe\1a\0" * MIB + b";",
    "chunks of a WebP": lambda: picture("WEBP") + b"XXXX\0\0\0\0" * MIB,
    "boxes": lambda: picture("AVIF") + b"\0\0\0\x08free" * MIB,
    "items of no width": lambda: (
        b"\0\0\0\x10ftypavif\0\0\0\0"
        + struct.pack(">I4s4x", 8 + 4 + 16 + 8 * 60_000 + 14, b"meta")
        + struct.pack(">I4s", 16 + 8 * 60_000, b"iloc")
        + b"\0\0\0\0\0\0\xea\x60"
        + b"\0\1\0\0\xff\xff\0\0" * 60_000
        + b"\0\0\0\x0eiinf\0\0\0\0\0\0"
    ),
}


@pytest.mark.parametrize("name", SLOW)
def test_files_that_are_made_to_be_slow(name):
    data = SLOW[name]() + b"jumb"  # as if they held credentials
    begin = time.thread_time()
    found = provenance.find(data)
    assert time.thread_time() - begin < MOST_SECONDS
    assert all(isinstance(finding, Finding) for finding in found)


def test_too_many_parts_are_told_as_a_limit_and_nothing_is_checked():
    data = SLOW["comments of a GIF"]() + b"jumb"
    (finding,) = credentials.read_credentials(data, "")
    assert finding.checked == "not_checked" and "limit of fakeface" in finding.detail
    assert not containers.has_too_many_parts(picture("GIF"))
