"""Metadata is read from where each format keeps it, and from nowhere else; limits hold."""

from __future__ import annotations

import random
import struct
import time
import zlib
from io import BytesIO

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fakeface.evidence import fields as limits
from fakeface.evidence import metadata
from fakeface.evidence.fields import Field

XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
  xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
  xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
  xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
<rdf:Description rdf:about="" xmp:CreatorTool="Tool 1">{}</rdf:Description>
</rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""
DESCRIBED = XMP.format(
    '<exif:UserComment><rdf:Alt><rdf:li xml:lang="x-default">A &lt;cat&gt;</rdf:li></rdf:Alt>'
    "</exif:UserComment>"
)


def picture(fmt: str, **options) -> bytes:
    file = BytesIO()
    Image.new("RGB", (48, 32), (200, 80, 40)).save(file, fmt, **options)
    return file.getvalue()


def exif(**tags) -> Image.Exif:
    """EXIF data with some tags of the first directory and of its own."""
    data = Image.Exif()
    first = {"Make": 0x010F, "Model": 0x0110, "Software": 0x0131, "ImageDescription": 0x010E}
    for name, value in tags.items():
        if name in first:
            data[first[name]] = value
        else:
            data.get_ifd(0x8769)[{"UserComment": 0x9286, "LensModel": 0xA434}[name]] = value
    return data


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunks(*chunks: bytes, before: bytes = b"IEND") -> bytes:
    """A PNG with more chunks before one of its own."""
    png = picture("PNG")
    at = png.index(before) - 4
    return png[:at] + b"".join(chunks) + png[at:]


def with_segment(marker: int, body: bytes) -> bytes:
    jpeg = picture("JPEG")
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body + jpeg[2:]


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_exif_of_every_format(fmt):
    tags = exif(Make="Canon", Model="EOS", UserComment=b"ASCII\0\0\0a comment", LensModel="RF 50")
    found = metadata.read(picture(fmt, exif=tags)).fields
    expected = [
        ("exif", "Make", "Canon"),
        ("exif", "Model", "EOS"),
        ("exif", "UserComment", "a comment"),
        ("exif", "LensModel", "RF 50"),
    ]
    if fmt == "TIFF":  # where Pillow writes the first directory only
        expected = expected[:2]
    assert [(f.place, f.name, f.text) for f in found] == expected


@pytest.mark.parametrize("fmt", ["JPEG", "WEBP", "AVIF", "PNG", "TIFF"])
def test_xmp_of_every_format(fmt):
    options = {"xmp": DESCRIBED.encode()}
    if fmt == "PNG":
        options = {"pnginfo": PngInfo()}
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", DESCRIBED)
    elif fmt == "TIFF":
        options = {"tiffinfo": {700: DESCRIBED.encode()}}
    assert metadata.read(picture(fmt, **options)).fields == (
        Field("xmp", "CreatorTool", "Tool 1"),
        Field("xmp", "UserComment", "A <cat>"),
    )


def test_heic():
    pi_heif = pytest.importorskip("pi_heif")
    assert pi_heif  # it cannot write, so a box is made by hand: one EXIF item and one of XMP
    tags = exif(Make="Apple", Model="iPhone").tobytes()[6:]
    items = [b"\0\0\0\0" + tags, DESCRIBED.encode()]

    def box(kind, *parts):
        body = b"".join(parts)
        return struct.pack(">I4s", len(body) + 8, kind) + body

    infe = [
        box(b"infe", b"\2\0\0\0\0\1\0\0Exif\0"),
        box(b"infe", b"\2\0\0\0\0\2\0\0mime\0application/rdf+xml\0"),
    ]

    def heic(start):
        places = b"".join(
            struct.pack(">HHHII", number, 0, 1, at, len(item))
            for number, at, item in zip((1, 2), (start, start + len(items[0])), items)
        )
        iloc = box(b"iloc", b"\0\0\0\0\x44\0\0\2", places)
        meta = box(b"meta", b"\0\0\0\0", box(b"iinf", b"\0\0\0\0\0\2", *infe), iloc)
        return box(b"ftyp", b"heic\0\0\0\0mif1heic") + meta

    start = len(heic(0)) + 8
    found = metadata.read(heic(start) + box(b"mdat", *items)).fields
    assert [f.text for f in found] == ["Apple", "iPhone", "Tool 1", "A <cat>"]


@pytest.mark.parametrize("order", ["utf-16-be", "utf-16-le"])
def test_comments_in_unicode_of_either_order(order):
    comment = b"UNICODE\0" + "Ein Fähnchen, Steps: 20".encode(order)
    (field,) = metadata.read(picture("JPEG", exif=exif(UserComment=comment))).fields
    assert field.text == "Ein Fähnchen, Steps: 20"


def test_all_kinds_of_png_text():
    info = PngInfo()
    info.add_text("plain", "one")
    info.add_text("packed", "two", zip=True)
    info.add_itxt("international", "drei – 三", zip=True)
    found = metadata.read(picture("PNG", pnginfo=info)).fields
    assert [(f.name, f.text) for f in found] == [
        ("plain", "one"),
        ("packed", "two"),
        ("international", "drei – 三"),
    ]


def test_png_text_after_the_pixels():
    (field,) = metadata.read(with_chunks(chunk(b"tEXt", b"Software\0X"))).fields
    assert (field.name, field.text) == ("Software", "X")


def test_iptc_records_and_jpeg_comments():
    record = b"\x1c\x02\x6e\0\x05Maker" + b"\x1c\x02\x50\0\x03Joe"
    body = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(record)) + record
    assert metadata.read(with_segment(0xED, body)).fields == (Field("iptc", "Credit", "Maker"),)
    assert metadata.read(with_segment(0xFE, b"Hello")).fields == (
        Field("comment", "Comment", "Hello"),
    )


def test_xmp_as_attributes_and_as_resources():
    text = XMP.format('<Iptc4xmpExt:DigitalSourceType rdf:resource="http://a/b"/>')
    assert (
        Field("xmp", "DigitalSourceType", "http://a/b")
        in metadata.read(picture("JPEG", xmp=text.encode())).fields
    )
    other = text.replace("http://iptc.org/std/", "http://example.com/")
    assert not [
        f for f in metadata.read(picture("JPEG", xmp=other.encode())).fields if "a/b" in f.text
    ]


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF"])
def test_a_picture_without_metadata(fmt):
    assert metadata.read(picture(fmt)).fields == ()


def segment_like() -> bytes:
    tags = exif(Software="Midjourney").tobytes()
    return struct.pack(">BBH", 0xFF, 0xE1, len(tags) + 2) + tags


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP"])
def test_bytes_after_the_end_are_no_metadata(fmt):
    extra = segment_like() + chunk(b"tEXt", b"parameters\0Steps: 20") + DESCRIBED.encode()
    assert metadata.read(picture(fmt) + extra).fields == ()


def test_pixels_are_no_metadata():
    text = chunk(b"tEXt", b"parameters\0Steps: 20, Sampler: Euler") + segment_like()
    header = struct.pack(">IIBBBBB", len(text), 1, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0" + text, 0)
    assert text in pixels  # it is there in so many bytes
    png = picture("PNG")[:8] + chunk(b"IHDR", header) + chunk(b"IDAT", pixels)
    png += chunk(b"IEND", b"")
    assert Image.open(BytesIO(png)).tobytes() == text
    assert metadata.read(png).fields == ()
    jpeg = picture("JPEG")  # and inside the scan of a JPEG
    assert metadata.read(jpeg[:-2] + segment_like() + jpeg[-2:]).fields == ()


def test_a_chunk_with_a_wrong_checksum_is_damaged():
    good = chunk(b"tEXt", b"Software\0X")
    assert metadata.read(with_chunks(good[:-1] + bytes([good[-1] ^ 1]))).fields == ()


def test_a_bomb_of_text_is_cut_short():
    bomb = chunk(b"zTXt", b"parameters\0\0" + zlib.compress(b"A" * (40 << 20), 9))
    (field,) = metadata.read(with_chunks(bomb)).fields
    assert len(field.text) == limits.MAX_TEXT
    found = metadata.read(with_chunks(*[bomb] * 20)).fields
    assert 0 < sum(len(f.text) for f in found) <= limits.MAX_TOTAL


def test_at_most_so_many_fields():
    found = metadata.read(with_chunks(*[chunk(b"tEXt", b"a\0b")] * 1000)).fields
    assert len(found) == limits.MAX_FIELDS


def tiff(entries: list[bytes], tail: bytes = b"") -> bytes:
    body = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return b"II*\0\x08\0\0\0" + body + tail


def entry(tag: int, kind: int, count: int, value: int) -> bytes:
    return struct.pack("<HHII", tag, kind, count, value)


def test_exif_that_points_to_itself_ends():
    looping = tiff([entry(0x8769, 4, 1, 8), entry(0x0131, 2, 4, 0x41414141)])
    assert metadata.read(with_chunks(chunk(b"eXIf", looping))).fields == (
        Field("exif", "Software", "AAAA"),
    )


def test_many_tags_that_point_to_the_same_megabytes_are_cheap():
    entries = [entry(tag, 7, 8 << 20, 0) for tag in range(1, 60_000)]
    data = with_chunks(chunk(b"eXIf", tiff(entries, bytes(8 << 20))))
    begin = time.monotonic()
    metadata.read(data)
    assert time.monotonic() - begin < 2


LAUGHS = """<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>"""


@pytest.mark.parametrize(
    "packet",
    [
        LAUGHS + XMP.partition("?>")[2].format("<exif:UserComment>&b;</exif:UserComment>"),
        XMP.format("<exif:UserComment>" * 500),
        XMP.format("<exif:UserComment>never closed"),
        XMP.format("<rdf:li/>" * 50_000 + "<exif:UserComment>far down</exif:UserComment>"),
        "no xml at all",
        "",
    ],
    ids=["entities", "deep", "open", "long", "text", "empty"],
)
def test_xmp_that_is_damaged_or_hostile_costs_nothing(packet):
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", packet)
    found = metadata.read(picture("PNG", pnginfo=info)).fields
    assert all(f.name == "CreatorTool" for f in found)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"\x89PNG\r\n\x1a\n" + b"\xff" * 100,
        b"\xff\xd8" + b"\xff" * 100_000,
        b"\xff\xd8\xff\xe1\0\0" * 100_000,
        b"RIFF\xff\xff\xff\xffWEBPEXIF\xff\xff\xff\xff",
        b"RIFF\0\0\0\0WEBP" + bytes(1 << 20),
        b"II*\0\xff\xff\xff\xff",
        b"MM\0*\0\0\0\x08\xff\xff" + b"\x01\x0f\0\x02\xff\xff\xff\xff\xff\xff\xff\xff" * 65_535,
        b"\0\0\0\x10ftypavif\0\0\0\0" + b"\0\0\0\x08free" * 100_000,
        b"\0\0\0\x10ftypavif\0\0\0\0\0\0\0\0meta" + b"\0" * 64,
    ],
)
def test_damaged_files_say_nothing_and_raise_nothing(data):
    begin = time.monotonic()
    assert metadata.read(data).fields == ()
    assert time.monotonic() - begin < 2


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_any_damage_is_survived(fmt):
    data = picture(fmt, exif=exif(Make="Canon", UserComment=b"ASCII\0\0\0abc"))
    rng = random.Random(fmt)
    for _ in range(300):
        broken = bytearray(data[: rng.randrange(len(data))] if rng.random() < 0.3 else data)
        for _ in range(rng.randrange(1, 8)):
            if broken:
                broken[rng.randrange(len(broken))] = rng.choice((0, 255, rng.randrange(256)))
        assert isinstance(metadata.read(bytes(broken)), metadata.Metadata)
