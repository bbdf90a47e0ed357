"""Files as an attacker would send them, each made from a number alone: see `make`.

Pictures of every format that is read are cut, changed, joined and lied about; archives name files
outside their folder; names hold control characters, HTML and formulas. The same number gives the
same file for the same versions of the codecs.
"""

from __future__ import annotations

import functools
import io
import random
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.cbook import get_sample_data
from PIL import Image

from fakeface.types import Status
from tests.picture_files import (
    HEIC,
    SRGB,
    encode,
    masked_bmp,
    page,
    rgb_profile,
    smooth,
    tiff,
)  # fmt: skip

OK, NO_FACE, UNREADABLE = Status.OK, Status.NO_FACE, Status.UNREADABLE
ANY = frozenset(Status)
READ = frozenset({OK, NO_FACE})
REFUSED = frozenset({UNREADABLE})


@dataclass(frozen=True, slots=True)
class Hostile:
    """One file.

    Attributes:
        name: of any characters that a file system takes.
        data: its bytes.
        kind: how it was made.
        right: the statuses that are right for it as a picture.
        members: of an archive, those of its files in order, where they are known.
    """

    name: str
    data: bytes
    kind: str
    right: frozenset[Status]
    members: tuple[Status, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}"


@functools.cache
def portrait() -> Image.Image:
    """A face that is found, small enough to be quick."""
    with Image.open(get_sample_data("grace_hopper.jpg", asfileobj=False)) as image:
        return image.resize((160, 188)).convert("RGB")


@functools.cache
def seeds() -> dict[str, bytes]:
    """A sound file of every format and of each of its main forms."""
    face, plain = portrait(), Image.fromarray(smooth(96, 120))
    grey = face.convert("L")
    pair = {"save_all": True, "append_images": [face.rotate(10)], "duration": 50}
    tags = Image.Exif()
    tags[0x010F], tags[0x0110], tags[0x0112] = "Canon", "EOS R5", 1
    described = {"exif": tags.tobytes(), "icc_profile": rgb_profile(SRGB, 2.2)}
    rgb = np.asarray(face)
    return {
        "jpg": encode(face, "JPEG", **described),
        "progressive.jpg": encode(face, "JPEG", progressive=True, comment=b"made by a test"),
        "plain.jpg": encode(plain, "JPEG"),
        "cmyk.jpg": encode(face.convert("CMYK"), "JPEG"),
        "mpo": encode(face, "MPO", save_all=True, append_images=[plain]),
        "png": encode(face, "PNG", **described),
        "palette.png": encode(face.quantize(64), "PNG"),
        "16.png": encode(Image.fromarray(np.asarray(grey).astype(np.uint16) * 257), "PNG"),
        "alpha.png": encode(plain.convert("RGBA"), "PNG"),
        "webp": encode(face, "WEBP", **described),
        "lossless.webp": encode(plain, "WEBP", lossless=True),
        "moving.webp": encode(face, "WEBP", **pair),
        "avif": encode(face, "AVIF", speed=10),
        "heic": HEIC,
        "gif": encode(face.quantize(128), "GIF"),
        "moving.gif": encode(face.quantize(32), "GIF", **pair),
        "bmp": encode(face, "BMP"),
        "masked.bmp": masked_bmp(rgb, 32, (0xFF, 0xFF00, 0xFF0000)),
        "tiff": encode(face, "TIFF", compression="tiff_lzw"),
        "deflate.tiff": encode(face, "TIFF", compression="tiff_adobe_deflate"),
        "jpeg.tiff": encode(face, "TIFF", compression="jpeg"),
        "big.tiff": tiff([page(rgb)], big=True, order=">"),
        "pages.tiff": tiff([page(smooth()), page(rgb)]),
    }


def whole(dice: random.Random) -> tuple[str, bytes, frozenset[Status]]:
    """A sound file: those beside it must do it no harm."""
    form, data = pick(dice)
    return form, data, READ if form in ("heic", "plain.jpg", "alpha.png", "lossless.webp",
                                        "16.png", "cmyk.jpg") else frozenset({OK})  # fmt: skip


def cut(dice: random.Random) -> tuple[str, bytes, frozenset[Status]]:
    """The beginning alone."""
    form, data = pick(dice)
    size = dice.randrange(int(len(data) * 0.9))
    # What follows the first picture of these is not needed to read it.
    several = form in ("mpo", "moving.gif", "moving.webp", "pages.tiff", "avif", "big.tiff")
    return form, data[:size], ANY if several else REFUSED


def flip(dice: random.Random) -> tuple[str, bytes, frozenset[Status]]:
    """A few bits changed."""
    form, data = pick(dice)
    body = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 8, 64))):
        body[near_the_head(dice, body)] ^= 1 << dice.randrange(8)
    return form, bytes(body), ANY


def overwrite(dice: random.Random) -> tuple[str, bytes, frozenset[Status]]:
    """Lengths and offsets replaced by the numbers that break sums."""
    form, data = pick(dice)
    body = bytearray(data)
    for _ in range(dice.choice((1, 2, 4))):
        at = near_the_head(dice, body)
        word = dice.choice((bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f",
                            b"\0\0\0\1", b"\x80\0\0\0", b"\xff\xff"))  # fmt: skip
        body[at : at + len(word)] = word
    return form, bytes(body), ANY


def splice(dice: random.Random) -> tuple[str, bytes, frozenset[Status]]:
    """The head of one file and the tail of another."""
    form, data = pick(dice)
    _, other = pick(dice)
    head = data[: dice.randrange(1, len(data))]
    return form, head + other[dice.randrange(len(other)) :], ANY


def repeat(dice: random.Random) -> tuple[str, bytes, frozenset[Status]]:
    """A piece of a file many times."""
    form, data = pick(dice)
    at = near_the_head(dice, data)
    piece = data[at : at + dice.randrange(1, 200)]
    return form, data[:at] + piece * dice.choice((2, 10, 100, 1000)) + data[at:], ANY


def noise(dice: random.Random) -> tuple[str, bytes, frozenset[Status]]:
    """The first bytes of a format, and nothing of it behind them."""
    form, data = pick(dice)
    size = dice.choice((0, 4, 8, 12, 16, 26))
    return form, data[:size] + dice.randbytes(dice.randrange(2000)), REFUSED


def bomb(dice: random.Random) -> tuple[str, bytes, frozenset[Status]]:
    """A picture that says it is vast, or is, in a file of a few bytes."""
    vast = dice.choice(((65_535, 65_535), (30_000, 30_000), (2**31 - 1, 2**31 - 1), (9000, 9000)))
    form = dice.choice(("png", "gif", "bmp", "jpg", "zlib.png", "text.png"))
    if form == "zlib.png":  # far more rows than the header says
        rows = zlib.compress(bytes(dice.choice((1, 8)) * 2**20))
        return form, png(60, 60, rows), ANY
    if form == "text.png":
        text = b"Comment\0\0" + zlib.compress(bytes(dice.choice((2, 16)) * 2**20))
        return form, png(60, 60, zlib.compress(bytes(181 * 60)), chunk(b"zTXt", text)), READ
    width, height = vast
    if form == "png":
        return form, png(width, height, zlib.compress(bytes(1000))), REFUSED
    if form == "bmp":
        head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
        return form, b"BM" + struct.pack("<IHHI", 100, 0, 0, 54) + head + bytes(46), REFUSED
    if form == "gif":
        data = seeds()["gif"]
        side = min(width, 65_535)
        return form, data[:6] + struct.pack("<HH", side, side) + data[10:], REFUSED
    data = seeds()["plain.jpg"]
    at = data.index(b"\xff\xc0") + 5
    return form, data[:at] + struct.pack(">HH", 65_535, 65_535) + data[at + 4 :], REFUSED


def strip(dice: random.Random) -> tuple[str, bytes, frozenset[Status]]:
    """One pixel wide or high, and as long as a format allows."""
    form = dice.choice(("PNG", "GIF", "BMP", "TIFF", "JPEG", "WEBP"))
    long = {"JPEG": 65_500, "WEBP": 16_383}.get(form, 65_535)
    thin = dice.choice((1, 1, 2, 3))
    size = (thin, long) if dice.random() < 0.5 else (long, thin)
    return form.lower(), encode(Image.new("RGB", size, "teal"), form), frozenset({NO_FACE})


def absurd_exif(dice: random.Random) -> tuple[str, bytes, frozenset[Status]]:
    """EXIF data that counts, points or turns wrongly; the picture under it is sound."""
    order = dice.choice("<>")
    count = dice.choice((0, 1, 5, 65_535))
    fields = b"".join(
        struct.pack(
            f"{order}HHII",
            dice.choice((0x010F, 0x0112, 0x8769, 0x8825, 0x9286, 0x014A, dice.randrange(65_536))),
            dice.choice((0, 1, 2, 3, 5, 7, 12, 255)),
            dice.choice((0, 1, 4, 2**31, 2**32 - 1)),
            dice.choice((0, 1, 8, 9, 2**31, 2**32 - 1)),
        )
        for _ in range(min(count, 5))
    )
    start = dice.choice((8, 8, 8, 0, 4, 2**32 - 1))
    after = struct.pack(order + "I", dice.choice((0, 8, 2**32 - 1)))  # 8: a loop
    tags = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, start)
    tags += struct.pack(order + "H", count) + fields + after
    return with_metadata(dice, exif=b"Exif\0\0" + tags)


def absurd_profile(dice: random.Random) -> tuple[str, bytes, frozenset[Status]]:
    """A colour profile that is damaged; colours may be off, the picture is shown."""
    profile = bytearray(rgb_profile(SRGB, 2.2))
    for _ in range(dice.choice((1, 4, 32))):
        profile[dice.randrange(len(profile))] = dice.choice((0, 1, 127, 128, 255))
    del profile[dice.choice((len(profile), 128, 132, 60, len(profile) - 1)) :]
    return with_metadata(dice, icc_profile=bytes(profile))


def with_metadata(dice: random.Random, **metadata: bytes) -> tuple[str, bytes, frozenset[Status]]:
    form = dice.choice(("jpg", "png", "webp"))
    kind = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}[form]
    try:
        return form, encode(portrait(), kind, **metadata), READ
    except (ValueError, OSError, struct.error):  # Pillow does not even write it
        kind, form = "JPEG", "jpg"
        metadata = {name: value[:100] for name, value in metadata.items()}
        body = metadata.get("exif") or b"ICC_PROFILE\0\1\1" + metadata["icc_profile"]
        data = seeds()["plain.jpg"]
        segment = b"\xff\xe1" if "exif" in metadata else b"\xff\xe2"
        return form, data[:2] + segment + struct.pack(">H", len(body) + 2) + body + data[2:], READ


def polyglot(dice: random.Random) -> tuple[str, bytes, frozenset[Status]]:
    """Two kinds of file in one: it is what its first bytes say."""
    form, data = pick(dice, "jpg", "png", "gif", "webp", "bmp", "plain.jpg")
    other = dice.choice((archive({"evil.jpg": b""}), b"%PDF-1.7\n", b"<svg onload=alert(1)></svg>",
                         b"<html><script>alert(1)</script>", b"MZ\x90\0", b"#!/bin/sh\nid\n",
                         b"<?php system('id'); ?>", seeds()["png"]))  # fmt: skip
    if dice.random() < 0.5:
        return form, data + other, READ
    return form, other + data, ANY if other[:4] == b"\x89PNG" else REFUSED


def stranger(dice: random.Random) -> tuple[str, bytes, frozenset[Status]]:
    """No picture at all, under the name of one."""
    data = dice.choice((b"", b"\0" * 5000, b"\xff" * 5000, b"<svg><script>alert(1)</script></svg>",
                        b"%!PS\n(run) run", b"P6 1 1 255\n\0\0\0", b"#define x_width 1",
                        b"II*\0\x10\0\0\0CR\2\0", b"8BPS\0\1", b"\0\0\1\0\1\0",
                        dice.randbytes(dice.randrange(1, 500))))  # fmt: skip
    return dice.choice(("jpg", "png", "tiff")), data, REFUSED


def slip(dice: random.Random) -> tuple[str, bytes, frozenset[Status]]:
    """An archive whose names lead out of its folder; a test looks whether anything got there."""
    sound = seeds()["jpg"]
    name = dice.choice(("../../slipped.jpg", "/var/slipped.jpg", "..\\..\\slipped.jpg",
                        "a/../../../slipped.jpg", "C:\\slipped.jpg", "slipped\0.jpg",
                        "../" * 40 + "slipped.jpg", "\x1b[31mslipped.jpg"))  # fmt: skip
    return "zip", archive({name: sound, "text.jpg": b"text"}), REFUSED


def tar_slip(dice: random.Random) -> tuple[str, bytes, frozenset[Status]]:
    """The same as a tar archive, with links."""
    sound = seeds()["jpg"]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as packed:
        for name, link in (("../../slipped.jpg", ""), ("link.jpg", "../../../../etc/passwd"),
                           ("/slipped.jpg", ""), ("hard.jpg", "../../slipped.jpg")):  # fmt: skip
            info = tarfile.TarInfo(name)
            info.size = 0 if link else len(sound)
            info.type = tarfile.REGTYPE if not link else dice.choice((tarfile.SYMTYPE,
                                                                      tarfile.LNKTYPE))  # fmt: skip
            info.linkname = link
            packed.addfile(info, None if link else io.BytesIO(sound))
    data = out.getvalue()
    return "tar", data if dice.random() < 0.7 else data[: dice.randrange(len(data))], REFUSED


def zip_bomb(dice: random.Random) -> tuple[str, bytes, frozenset[Status]]:
    """An archive of nothing much that unpacks to a lot, lies, or holds itself."""
    small = archive({"zeros.jpg": bytes(dice.choice((2**20, 33 * 2**20)))})
    if dice.random() < 0.3:
        small = archive({f"{number}.zip": small for number in range(3)})
    body = bytearray(small)
    for _ in range(dice.choice((0, 1, 4))):
        body[dice.randrange(max(0, len(body) - 200), len(body))] = dice.choice((0, 1, 128, 255))
    return "zip", bytes(body), REFUSED


def pick(dice: random.Random, *forms: str) -> tuple[str, bytes]:
    """One of the sound files."""
    form = dice.choice(forms or tuple(seeds()))
    return form, seeds()[form]


def near_the_head(dice: random.Random, data: bytes | bytearray) -> int:
    """A place in a file; one of two is where headers are."""
    return dice.randrange(min(len(data), 600) if dice.random() < 0.5 else len(data))


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, rows: bytes, more: bytes = b"") -> bytes:
    """A PNG that says it has that size, whatever its rows are."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + more + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def archive(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            info = zipfile.ZipInfo("x")  # whose name is not made harmless
            info.filename = name
            packed.writestr(info, data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


KINDS: dict[str, Callable[[random.Random], tuple[str, bytes, frozenset[Status]]]] = {
    made.__name__: made
    for made in (
        whole,
        cut,
        flip,
        overwrite,
        splice,
        repeat,
        noise,
        bomb,
        strip,
        absurd_exif,
        absurd_profile,
        polyglot,
        stranger,
        slip,
        tar_slip,
        zip_bomb,
    )
}
# How many of a hundred files are of each kind.
SHARES = {"whole": 3, "cut": 17, "flip": 18, "overwrite": 16, "splice": 14, "repeat": 6,
          "noise": 5, "bomb": 4, "strip": 2, "absurd_exif": 3, "absurd_profile": 2, "polyglot": 4,
          "stranger": 3, "slip": 1, "tar_slip": 1, "zip_bomb": 1}  # fmt: skip

NAMES = (
    "photo", "<img src=x onerror=alert(1)>", "<script>alert(1)<%2Fscript>", "=cmd|' -C calc'!A0",
    "+1+1", "@SUM(1)", "-2", "a\nb", "a\r\nb,ok,m,1,0.99,fake", "\x1b[31mred", "\x07bell", "a\tb",
    '"quoted","', "it's", "{{7*7}}", "${7*7}", "%s%n%x", "‮gpj.exe", "\u200b", "ü",
    "ü", "\U0001f600" * 20, "x" * 180, " leading", "CON", "~root", "$(id)", "`id`", ";id",
    "../x".replace("/", "\\"), "a&b", "[a-z]*", "-rf", "\udcff\udcfe",
)  # fmt: skip


def make(number: int) -> Hostile:
    """The file of that number."""
    dice = random.Random(number)
    kinds = list(SHARES)
    kind = kinds[number] if number < len(kinds) else dice.choices(kinds, list(SHARES.values()))[0]
    form, data, right = KINDS[kind](dice)
    members: tuple[Status, ...] = (OK, UNREADABLE) if kind == "slip" else ()
    name = f"{dice.choice(NAMES)}-{number}.{form}"
    return Hostile(name, data, kind, right, members)


def place(file: Hostile, folder: Path) -> Path:
    """Write a file to a folder under its own name, where the file system takes that."""
    path = folder / file.name
    try:
        path.write_bytes(file.data)
    except (OSError, UnicodeError):  # macOS and Windows refuse some
        path = folder / re.sub(r"[^\w.-]", "_", file.name, flags=re.ASCII)
        path.write_bytes(file.data)
    return path
