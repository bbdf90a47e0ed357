"""Bytes in, upright RGB out, and a clear sentence for everything that is no readable picture."""

from __future__ import annotations

import io
import random
import struct
import sys
import time
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picture_files import HEIC
from PIL import Image, ImageCms, ImageFile
from PIL.PngImagePlugin import PngImageFile

from fakeface.images import pixels
from fakeface.images.decoder import FORMATS, MAX_BYTES, MAX_PIXELS, decode, read_bytes
from fakeface.types import (
    RGB,
    DamagedImage,
    EmptyFile,
    ImageError,
    ImageTooLarge,
    NotAnImage,
    UnsupportedFormat,
)

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def flat(colour: Any, mode: str = "RGB", size: tuple[int, int] = (24, 16)) -> Image.Image:
    return Image.new(mode, size, colour)


def picture(height: int = 24, width: int = 40) -> RGB:
    """Smooth, without symmetry, different in each channel."""
    y, x = np.indices((height, width))
    return np.stack([x * 255 // width, y * 255 // height, 255 - (x + y) * 2], -1).astype(np.uint8)


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(
    width: int, height: int, depth: int, colour_type: int, rows: bytes, extra: bytes = b""
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + extra + png_chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + body + png_chunk(b"IEND", b"")


def tiff(width: int, height: int, bits: int, photometric: int, data: bytes) -> bytes:
    """An uncompressed grey little-endian TIFF."""
    tags = [
        (256, width),
        (257, height),
        (258, bits),
        (259, 1),
        (262, photometric),
        (273, 8 + 2 + 9 * 12 + 4),
        (277, 1),
        (278, height),
        (279, len(data)),
    ]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data


def assert_close(got: RGB, want: Any, tolerance: int) -> None:
    want = np.broadcast_to(np.asarray(want, np.int16), got.shape)
    assert np.abs(got.astype(np.int16) - want).max() <= tolerance


# Formats


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("JPEG", {"quality": 95, "subsampling": 0}, 6),
        ("JPEG", {"quality": 95, "subsampling": 0, "progressive": True}, 6),
        ("MPO", {"quality": 95, "subsampling": 0}, 6),
        ("PNG", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("AVIF", {"quality": 100, "subsampling": "4:4:4"}, 3),
        ("BMP", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("TIFF", {"compression": "tiff_adobe_deflate"}, 0),
        ("TIFF", {"big_tiff": True}, 0),
    ],
)
def test_each_format_gives_its_pixels(kind: str, options: dict[str, Any], tolerance: int) -> None:
    rgb = decode(encode(Image.fromarray(picture()), kind, **options))
    assert rgb.dtype == np.uint8
    assert rgb.shape == (24, 40, 3)
    assert rgb.flags.c_contiguous
    assert rgb.flags.writeable
    assert_close(rgb, picture(), tolerance)


@pytest.mark.parametrize("kind", FORMATS)
def test_formats_are_pillow_names_and_are_read(kind: str) -> None:
    data = encode(flat(RED), kind)
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        assert image.size == (24, 16)
    assert_close(decode(data), RED, 4)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (4000, 1), (1, 4000)])
def test_tiny_and_very_long_pictures_pass(size: tuple[int, int]) -> None:
    rgb = decode(encode(flat(BLUE, size=size), "PNG"))
    assert rgb.shape == (size[1], size[0], 3)
    assert (rgb == BLUE).all()


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF", "MPO"])
def test_first_frame_of_several(kind: str) -> None:
    data = encode(flat(RED), kind, save_all=True, append_images=[flat(BLUE), flat(GREEN)])
    with Image.open(io.BytesIO(data)) as image:
        assert getattr(image, "n_frames", 1) == 3
    assert_close(decode(data), RED, 4)


def test_heic_with_the_optional_package() -> None:
    pytest.importorskip("pi_heif")
    rgb = decode(HEIC)
    assert rgb.shape == (16, 32, 3)
    for y, x, colour in ((3, 7, RED), (12, 7, GREEN), (8, 24, BLUE)):
        assert_close(rgb[y, x], colour, 40)
    with pytest.raises(DamagedImage, match="HEIC"):
        decode(HEIC[:-60])


def test_heic_without_the_optional_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(UnsupportedFormat, match=r"HEIC.*pip install pi-heif"):
        decode(HEIC)


# Orientation

UPRIGHT = "ABC/DEF"
STORED = {  # how a camera that was held in each of the eight ways writes UPRIGHT
    1: "ABC/DEF",
    2: "CBA/FED",
    3: "FED/CBA",
    4: "DEF/ABC",
    5: "AD/BE/CF",
    6: "CF/BE/AD",
    7: "FC/EB/DA",
    8: "DA/EB/FC",
}
INK = {"A": RED, "B": GREEN, "C": BLUE, "D": WHITE, "E": BLACK, "F": (128, 128, 128)}


def mosaic(letters: str) -> RGB:
    """A square of 8 x 8 pixels of one colour for each letter, in lines parted by slashes."""
    cells = np.array([[INK[letter] for letter in line] for line in letters.split("/")], np.uint8)
    return cells.repeat(8, axis=0).repeat(8, axis=1)


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("JPEG", {"quality": 100, "subsampling": 0}, 3),
        ("PNG", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("AVIF", {"quality": 100, "subsampling": "4:4:4"}, 3),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
    ],
)
def test_upright(orientation: int, kind: str, options: dict[str, Any], tolerance: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(Image.fromarray(mosaic(STORED[orientation])), kind, exif=exif, **options)
    rgb = decode(data)
    assert rgb.shape == (16, 24, 3)
    assert rgb.flags.c_contiguous
    assert_close(rgb, mosaic(UPRIGHT), tolerance)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_meaningless_orientation_is_ignored(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(Image.fromarray(picture()), "PNG", exif=exif)
    assert np.array_equal(decode(data), picture())


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0rubbish", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\x09\0"]
)
def test_damaged_metadata_does_not_spoil_the_picture(exif: bytes) -> None:
    assert_close(decode(encode(flat(GREEN), "JPEG", exif=exif)), GREEN, 4)


def test_metadata_that_makes_pillow_raise_does_not_spoil_the_picture() -> None:
    text = png_chunk(b"tEXt", b"Raw profile type exif\0\nexif\n8\nno hex")
    data = png(1, 1, 8, 2, bytes([0, *GREEN]), text)
    with pytest.raises(ValueError, match="hex"), Image.open(io.BytesIO(data)) as image:
        image.getexif()
    assert decode(data).tolist() == [[[*GREEN]]]


# Modes and depths


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
@pytest.mark.parametrize(
    ("cmyk", "rgb"),
    [
        ((0, 0, 0, 0), WHITE),
        ((0, 255, 255, 0), RED),
        ((255, 0, 255, 0), GREEN),
        ((255, 255, 0, 0), BLUE),
        ((0, 0, 0, 255), BLACK),
        ((0, 0, 0, 128), (127, 127, 127)),
        ((0, 128, 255, 0), (255, 127, 0)),
    ],
)
def test_cmyk(kind: str, cmyk: tuple[int, ...], rgb: tuple[int, ...]) -> None:
    data = encode(flat(cmyk, "CMYK"), kind)
    assert kind == "TIFF" or b"Adobe" in data  # in which all four inks are inverted
    assert_close(decode(data), rgb, 2)


def test_lab() -> None:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(flat((200, 120, 40)), srgb, lab, outputMode="LAB")
    assert image is not None
    assert_close(decode(encode(image, "TIFF")), (200, 120, 40), 4)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "BMP", "GIF", "TIFF"])
def test_grey_is_repeated_in_three_channels(kind: str) -> None:
    rgb = decode(encode(flat(100, "L"), kind))
    assert rgb.shape == (16, 24, 3)
    assert_close(rgb, 100, 2)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF"])
def test_one_bit(kind: str) -> None:
    bits = np.indices((8, 16)).sum(0) % 3 == 0
    rgb = decode(encode(Image.fromarray(bits), kind))
    assert np.array_equal(rgb, np.repeat(bits[..., None] * np.uint8(255), 3, axis=2))


def test_few_bits_of_grey_reach_white() -> None:
    assert decode(png(4, 1, 2, 0, b"\0\x1b"))[0, :, 1].tolist() == [0, 85, 170, 255]


DEEP = np.array([[0, 256, 0x7F80, 0x8000, 0xFEFF, 0xFFFF]], np.uint16)
SHALLOW = [0, 1, 127, 128, 254, 255]


@pytest.mark.parametrize(
    "data",
    [
        encode(Image.fromarray(DEEP), "PNG"),
        encode(Image.fromarray(DEEP), "TIFF"),
        encode(Image.fromarray(DEEP), "TIFF", compression="tiff_lzw"),
        encode(Image.fromarray(DEEP.astype(">u2")), "TIFF"),
        encode(Image.fromarray(DEEP.astype(np.int32)), "TIFF"),
        encode(Image.fromarray((DEEP / 65535).astype(np.float32)), "TIFF"),
        encode(Image.fromarray((DEEP / 257).astype(np.float32)), "TIFF"),
        tiff(6, 1, 16, 0, (65535 - DEEP).astype("<u2").tobytes()),  # white is 0
    ],
    ids=["png", "tiff", "lzw", "big-endian", "int32", "float-1", "float-255", "white-is-zero"],
)
def test_deep_grey_is_scaled_not_clipped(data: bytes) -> None:
    rgb = decode(data)
    assert rgb.shape == (1, 6, 3)
    assert (rgb == rgb[..., :1]).all()
    assert_close(rgb[0, :, 0], SHALLOW, 1)


def test_dark_deep_grey_stays_dark() -> None:
    dark = encode(Image.fromarray(np.full((4, 4), 2560, np.uint16)), "PNG")
    assert (decode(dark) == 10).all()


def test_twelve_bits() -> None:
    # Two values of 12 bits in three bytes: 0x000 and 0xFFF, then 0x800 and 0x7FF.
    data = tiff(4, 1, 12, 1, bytes([0x00, 0x0F, 0xFF, 0x80, 0x07, 0xFF]))
    assert decode(data)[0, :, 0].tolist() == [0, 255, 128, 127]


def test_sixteen_bit_colour() -> None:
    row = b"\0" + struct.pack(">6H", 0xFFFF, 0x8000, 0, 0x0100, 0xFF00, 0x7FFF)
    assert decode(png(2, 1, 16, 2, row)).tolist() == [[[255, 128, 0], [1, 255, 127]]]


def test_floats_are_rounded_to_the_nearest() -> None:
    data = encode(Image.fromarray(np.array([[0, 0.2499, 0.999, 1]], np.float32)), "TIFF")
    assert decode(data)[0, :, 0].tolist() == [0, 64, 255, 255]


def test_float_with_a_range_of_its_own() -> None:
    values = np.array([[-1e6, 0, 1e6, np.nan, np.inf]], np.float32)
    grey = decode(encode(Image.fromarray(values), "TIFF"))[0, :, 0]
    assert grey[[0, 2]].tolist() == [0, 255]
    assert_close(grey[[1, 3, 4]], 128, 1)


def palette_picture() -> Image.Image:
    image = Image.new("P", (3, 1))
    image.putpalette([*RED, *GREEN, *BLUE])
    image.putdata([0, 1, 2])
    return image


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF"])
def test_palette(kind: str) -> None:
    assert decode(encode(palette_picture(), kind)).tolist() == [[[*RED], [*GREEN], [*BLUE]]]


@pytest.mark.parametrize(
    ("kind", "transparency", "want"),
    [
        ("PNG", 1, [RED, WHITE, BLUE]),
        ("GIF", 1, [RED, WHITE, BLUE]),
        ("PNG", b"\xff\x00\x80", [RED, WHITE, (127, 127, 255)]),
    ],
)
def test_transparent_palette(kind: str, transparency: Any, want: Any) -> None:
    data = encode(palette_picture(), kind, transparency=transparency)
    assert_close(decode(data), [want], 1)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "AVIF"])
def test_alpha_is_shown_on_white(kind: str) -> None:
    rgba = np.zeros((16, 24, 4), np.uint8)
    rgba[:, :8] = (*RED, 255)
    rgba[:, 8:16] = (*RED, 127)
    rgba[:, 16:] = (*BLACK, 0)
    options = {"PNG": {}, "TIFF": {}, "WEBP": {"lossless": True, "exact": True}}
    rgb = decode(encode(Image.fromarray(rgba), kind, **options.get(kind, {"quality": 100})))
    for x, colour in ((2, RED), (12, (255, 128, 128)), (22, WHITE)):
        assert_close(rgb[:, x], colour, 0 if kind != "AVIF" else 6)


def test_grey_with_alpha_is_shown_on_white() -> None:
    grey = np.array([[[100, 255], [100, 0], [0, 51]]], np.uint8)
    assert decode(encode(Image.fromarray(grey), "PNG"))[0, :, 2].tolist() == [100, 255, 204]


@pytest.mark.parametrize(
    ("data", "want"),
    [
        (png(2, 1, 8, 0, b"\0\x00\x64", png_chunk(b"tRNS", b"\0\0")), [WHITE, (100,) * 3]),
        (png(2, 1, 8, 2, bytes([0, *RED, *GREEN]), png_chunk(b"tRNS", b"\0\xff\0\0\0\0")),
         [WHITE, GREEN]),
    ],
    ids=["grey", "colour"],
)  # fmt: skip
def test_a_single_transparent_colour(data: bytes, want: Any) -> None:
    assert decode(data).tolist() == [[list(colour) for colour in want]]


# Files that are no readable pictures


def ftyp(*brands: bytes) -> bytes:
    body = b"ftyp" + brands[0] + bytes(4) + b"".join(brands)
    return struct.pack(">I", 4 + len(body)) + body + bytes(200)


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>'


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (b"", EmptyFile, "empty"),
        (b"Dear reader, I am a text named photo.jpg.\n", NotAnImage, "no picture"),
        (b"BMW makes cars, and this is a text on them.", NotAnImage, "no picture"),
        (b"x", NotAnImage, "no picture"),
        (bytes(5000), NotAnImage, "no picture"),
        (random.Random(7).randbytes(5000), NotAnImage, "no picture"),
        (b"<!DOCTYPE html><html><body>404</body></html>", NotAnImage, "web page"),
        (b"\n <HTML><svg ></svg></HTML>", NotAnImage, "web page"),
        (b'{"error": "not found"}', NotAnImage, "no picture"),
        (b"%PDF-1.7\n%\xe2\xe3", UnsupportedFormat, "PDF"),
        (b"PK\x03\x04" + bytes(30), UnsupportedFormat, "ZIP"),
        (b"Rar!\x1a\x07\x01\x00", UnsupportedFormat, "archive"),
        (b"7z\xbc\xaf\x27\x1c\x00\x04", UnsupportedFormat, "archive"),
        (b"\x1f\x8b\x08\x00", UnsupportedFormat, "archive"),
        (SVG, UnsupportedFormat, "SVG"),
        (b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- x -->\n' + SVG, UnsupportedFormat, "SVG"),
        (b"<!DOCTYPE svg PUBLIC>" + SVG, UnsupportedFormat, "SVG"),
        (ftyp(b"isom", b"iso2", b"avc1", b"mp41"), UnsupportedFormat, "video"),
        (ftyp(b"qt  "), UnsupportedFormat, "video"),
        (b"\x1aE\xdf\xa3" + bytes(30), UnsupportedFormat, "video"),
        (b"RIFF\x10\0\0\0AVI LIST", UnsupportedFormat, "video"),
        (b"RIFF\x10\0\0\0WAVEfmt ", UnsupportedFormat, "sound"),
        (b"ID3\x04" + bytes(30), UnsupportedFormat, "sound"),
        (ftyp(b"crx ", b"isom"), UnsupportedFormat, "raw"),
        (b"II*\0\x10\0\0\0CR\x02\0", UnsupportedFormat, "raw"),
        (b"8BPS\0\x01", UnsupportedFormat, "Photoshop"),
        (b"\xff\x0a" + bytes(30), UnsupportedFormat, "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", UnsupportedFormat, "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", UnsupportedFormat, "JPEG 2000"),
        (encode(flat(RED, size=(16, 16)), "ICO"), UnsupportedFormat, "icon"),
        (b"%!PS-Adobe-3.0", UnsupportedFormat, "PostScript"),
        (b"\xff\xd8\xff\xe0" + bytes(500), DamagedImage, "JPEG.*damaged"),
        (b"\x89PNG\r\n\x1a\n", DamagedImage, "PNG.*damaged"),
        (b"GIF89a", DamagedImage, "GIF.*damaged"),
        (b"II*\0" + bytes(100), DamagedImage, "TIFF.*damaged"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", DamagedImage, "WebP.*damaged"),
        (ftyp(b"avif", b"mif1"), DamagedImage, "AVIF.*damaged"),
        (png(0, 0, 8, 2, b""), DamagedImage, "PNG.*damaged"),
        (bytes(MAX_BYTES + 1), ImageTooLarge, "32 MiB"),
    ],
    ids=lambda value: repr(value[:12]) if isinstance(value, bytes) else None,
)
def test_refused(data: bytes, error: type[ImageError], words: str) -> None:
    with pytest.raises(ImageError, match=words) as caught:
        decode(data)
    assert type(caught.value) is error
    sentence = str(caught.value)
    assert sentence.startswith("This ")
    assert sentence.endswith(".")
    assert "; " in sentence  # and then what to do


def test_the_largest_file_is_not_refused_for_its_size() -> None:
    data = encode(flat(RED), "BMP")
    assert_close(decode(data + bytes(MAX_BYTES - len(data))), RED, 0)


@pytest.mark.parametrize(
    ("width", "height", "words"),
    [
        (20_000, 20_000, "20000 x 20000 pixels has 400 megapixels.*64 megapixels"),
        (13_000, 10_000, "130 megapixels"),  # where Image.open would only warn
        (MAX_PIXELS // 1000, 1001, "65 megapixels"),
    ],
)
@pytest.mark.parametrize("pillows_limit", [Image.MAX_IMAGE_PIXELS, None, 1])
def test_too_many_pixels_by_the_header_alone(
    width: int,
    height: int,
    words: str,
    pillows_limit: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pillows_limit)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("it was decoded"))
    with pytest.raises(ImageTooLarge, match=words):
        decode(png(width, height, 8, 2, b""))


def test_exactly_the_limit_of_pixels_passes_the_check() -> None:
    with pytest.raises(DamagedImage):  # for it has no rows
        decode(png(8000, MAX_PIXELS // 8000, 8, 2, b""))


@pytest.mark.parametrize(("width", "words"), [(40_000, "far too many"), (10_000, "megapixels")])
def test_a_gif_whose_frame_outgrows_its_screen(width: int, words: str) -> None:
    screen = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, 10_000, 0) + b"\x02\x01\x00\x00;"
    with pytest.raises(ImageTooLarge, match=words):
        decode(screen + frame)


@pytest.mark.parametrize(
    "error", [SyntaxError, struct.error, ValueError, OSError, zlib.error, KeyError]
)
@pytest.mark.parametrize("method", ["_open", "load"])
def test_whatever_a_parser_raises_is_damage(
    method: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: PngImageFile) -> None:
        raise error("inner words")

    monkeypatch.setattr(PngImageFile, method, fail)
    with pytest.raises(DamagedImage) as caught:
        decode(encode(flat(RED), "PNG"))
    assert "inner words" not in str(caught.value)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("method", ["_open", "load"])
def test_too_little_memory_is_told_as_that(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: PngImageFile) -> None:
        raise MemoryError

    monkeypatch.setattr(PngImageFile, method, fail)
    with pytest.raises(ImageTooLarge, match="too much memory"):
        decode(encode(flat(RED), "PNG"))


def test_our_own_mistakes_are_not_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(pixels, "to_rgb", fail)
    with pytest.raises(ValueError, match="a bug"):
        decode(encode(flat(RED), "PNG"))


SAMPLES = {
    "JPEG": encode(Image.fromarray(picture()), "JPEG"),
    "progressive": encode(Image.fromarray(picture()), "JPEG", progressive=True),
    "CMYK": encode(Image.fromarray(picture()).convert("CMYK"), "JPEG"),
    "PNG": encode(Image.fromarray(picture()), "PNG"),
    "WEBP": encode(Image.fromarray(picture()), "WEBP"),
    "lossless": encode(Image.fromarray(picture()), "WEBP", lossless=True),
    "AVIF": encode(Image.fromarray(picture()), "AVIF"),
    "BMP": encode(Image.fromarray(picture()), "BMP"),
    "GIF": encode(Image.fromarray(picture()), "GIF"),
    "TIFF": encode(Image.fromarray(picture()), "TIFF"),
    "LZW": encode(Image.fromarray(picture()), "TIFF", compression="tiff_lzw"),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_truncated_anywhere_is_damaged_or_whole(name: str) -> None:
    data = SAMPLES[name]
    whole = decode(data)
    cuts = {*range(40), *range(40, len(data), max(1, len(data) // 60)), *range(-24, 0)}
    for cut in sorted(cut % len(data) for cut in cuts):
        try:
            got = decode(data[:cut])
        except DamagedImage:
            pass
        except ImageError:  # too little is left to tell what it was
            assert cut < 40
        else:  # only what follows the last pixel was cut off
            assert cut > len(data) - 24
            assert np.array_equal(got, whole)


@pytest.mark.parametrize("name", SAMPLES)
def test_flipped_bytes_never_raise_anything_else(name: str) -> None:
    dice = random.Random(name)
    for _ in range(40):
        data = bytearray(SAMPLES[name])
        reach = dice.choice([64, 256, len(data)])
        for _ in range(dice.choice([1, 3, 12])):
            data[dice.randrange(min(reach, len(data)))] = dice.randrange(256)
        try:
            rgb = decode(bytes(data))
        except ImageError:
            continue
        assert rgb.dtype == np.uint8
        assert rgb.ndim == 3
        assert rgb.shape[2] == 3
        assert rgb.size > 0


# Metadata that would fill the memory

MIB = 2**20
IEND = png_chunk(b"IEND", b"")


def entry(tag: int, kind: int, count: int, value: int, big: bool = False) -> bytes:
    return struct.pack("<HHQQ" if big else "<HHII", tag, kind, count, value)


def directory(entries: list[bytes], big: bool = False) -> bytes:
    return struct.pack("<Q" if big else "<H", len(entries)) + b"".join(entries) + bytes(8)


def header(start: int, big: bool = False) -> bytes:
    if big:
        return struct.pack("<2sHHHQ", b"II", 43, 8, 0, start)
    return struct.pack("<2sHI", b"II", 42, start)


def overlapping(tags: int, size: int, kind: int = 7, unit: int = 1, first: int = 0x0112) -> bytes:
    """EXIF data of some tags, the orientation first, that all point to the same bytes."""
    entries = [entry(tag, kind, size // unit, 8) for tag in range(first, first + tags)]
    return header(8) + directory(entries) + bytes(size)


def grey_tiff(extra: list[bytes], tail: bytes = b"", big: bool = False) -> bytes:
    """A TIFF of one black pixel, at its end, and more tags; `tail` is at 16."""
    start = 16 + len(tail)
    pixel = start + (8 + 20 * (8 + len(extra)) if big else 2 + 12 * (8 + len(extra))) + 8
    tags = {256: 1, 257: 1, 258: 8, 259: 1, 262: 1, 273: pixel, 278: 1, 279: 1}
    entries = [entry(tag, 4, 1, value, big) for tag, value in tags.items()]
    body = header(start, big).ljust(16, b"\0") + tail
    return body + directory(entries + extra, big) + b"\0"


def same_bytes(big: bool = False) -> list[bytes]:
    return [entry(tag, 7, 2 * MIB, 16, big) for tag in range(1000, 1100)]


def with_segments(*bodies: bytes) -> bytes:
    parts = (struct.pack(">HH", 0xFFE1, len(body) + 8) + b"Exif\0\0" + body for body in bodies)
    return SAMPLES["JPEG"][:2] + b"".join(parts) + SAMPLES["JPEG"][2:]


def pieces(data: bytes, size: int = 65_000) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def png_with(kind: bytes, body: bytes) -> bytes:
    return png(1, 1, 8, 0, b"\0\0", png_chunk(kind, body))


def heic_with(exif: bytes) -> bytes:
    """HEIC with an item of EXIF data, in a box of its own at the end."""

    def box(kind: bytes, *parts: bytes) -> bytes:
        body = b"".join(parts)
        return struct.pack(">I4s", len(body) + 8, kind) + body

    item = box(b"infe", b"\2\0\0\0\0\2\0\0Exif\0")
    link = box(b"iref", bytes(4), box(b"cdsc", struct.pack(">HHH", 2, 1, 1)))
    grown = len(item) + len(link) + 18
    body = b"\0\0\0\0" + exif
    place = struct.pack(">HHIHII", 2, 0, len(HEIC) + grown + 8, 1, 0, len(body))
    data = HEIC
    at = data.index(b"iloc") + 4 + 6
    first = bytearray(data[at : at + 20])  # how many items, and the first
    struct.pack_into(">H", first, 0, 2)
    struct.pack_into(">I", first, 6, struct.unpack_from(">I", first, 6)[0] + grown)
    data = data[:at] + first + place + data[at + 20 :]
    at = data.index(b"iinf") + 8
    data = data[:at] + b"\0\2" + data[at + 2 :]
    at = data.index(b"pitm") - 4  # which follows the list of items
    data = data[:at] + item + link + data[at:]
    for name, more in ((b"meta", grown), (b"iloc", 18), (b"iinf", len(item))):
        at = data.index(name) - 4
        size = struct.unpack_from(">I", data, at)[0] + more
        data = data[:at] + struct.pack(">I", size) + data[at + 4 :]
    return data + box(b"mdat", body)


def profile(exif: bytes) -> bytes:
    return f"\nexif\n{len(exif)}\n{exif.hex()}".encode()


WIDE = overlapping(100, 2 * MIB)
NARROW = overlapping(3000, 28_000)  # small enough for one segment
SWOLLEN: dict[str, Callable[[], bytes]] = {
    "png": lambda: png_with(b"eXIf", WIDE),
    "png-prefixes": lambda: png_with(b"eXIf", b"Exif\0\0" * 3000 + overlapping(1, 2 * MIB)),
    "png-text": lambda: png_with(b"tEXt", b"Raw profile type exif\0" + profile(WIDE)),
    "png-zipped": lambda: png_with(
        b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile(NARROW))
    ),
    "png-exif-text": lambda: png_with(b"tEXt", b"exif\0" + WIDE),
    "png-after-the-pixels": lambda: SAMPLES["PNG"][:-12] + png_chunk(b"eXIf", WIDE) + IEND,
    "png-replaced": lambda: png_with(b"eXIf", b"II*\0")[:-12] + png_chunk(b"eXIf", WIDE) + IEND,
    "png-rationals": lambda: png_with(b"eXIf", overlapping(1, 2 * MIB, 5, 8)),
    "png-numbers": lambda: png_with(b"eXIf", overlapping(1, 2 * MIB, 3, 2)),
    "jpeg": lambda: with_segments(NARROW),
    "jpeg-segments": lambda: with_segments(*pieces(WIDE)),
    "jpeg-junk": lambda: with_segments(b"", NARROW).replace(b"Exif\0\0", b"Exif\0\0junk", 1),
    "webp": lambda: encode(flat(RED), "WEBP", exif=WIDE),
    "avif": lambda: encode(flat(RED), "AVIF", exif=overlapping(3000, 28_000, first=1000)),
    "heic": lambda: heic_with(WIDE),
    "tiff": lambda: grey_tiff(same_bytes(), bytes(2 * MIB)),
    "bigtiff": lambda: grey_tiff(same_bytes(big=True), bytes(2 * MIB), big=True),
    "tiff-exif": lambda: grey_tiff(
        [entry(0x8769, 4, 1, 16)], directory(same_bytes()) + bytes(2 * MIB)
    ),
    "tiff-gps": lambda: grey_tiff(
        [entry(0x8825, 4, 1, 16)], directory([entry(2, 5, MIB // 4, 16)]) + bytes(2 * MIB)
    ),
}


@pytest.mark.parametrize("name", SWOLLEN)
def test_metadata_that_would_fill_the_memory_costs_nothing(name: str) -> None:
    if name == "heic":
        pytest.importorskip("pi_heif")
    data = SWOLLEN[name]()
    assert len(data) < 5 * MIB
    tracemalloc.start()
    try:
        assert decode(data).size > 0
        assert tracemalloc.get_traced_memory()[1] < 40 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "data",
    [
        png_with(b"eXIf", overlapping(15, 2 * MIB)),
        png_with(b"tEXt", b"Raw profile type exif\0" + b"00\n" * 3 * MIB),
        grey_tiff(same_bytes()[:15], bytes(2 * MIB)),
    ],
    ids=["png", "png-lines", "tiff"],
)
def test_what_is_not_refused_takes_little_memory(data: bytes) -> None:
    tracemalloc.start()
    try:
        assert decode(data).tolist() == [[[0, 0, 0]]]
        # Pillow keeps two copies of a TIFF's tags.
        assert tracemalloc.get_traced_memory()[1] < 80 * MIB
    finally:
        tracemalloc.stop()


def test_countless_segments_take_no_time() -> None:
    begin = time.monotonic()
    with pytest.raises(ImageTooLarge, match="segments"):
        decode(with_segments(*pieces(bytes(4 * MIB), 20)))
    assert time.monotonic() - begin < 2


def test_exif_data_in_two_segments_turn_the_picture() -> None:
    turned = header(8) + directory([entry(0x0112, 3, 1, 6)]) + bytes(70_000)
    assert decode(with_segments(*pieces(turned))).shape == (40, 24, 3)


def test_the_profile_of_a_png_turns_the_picture() -> None:
    text = b"Raw profile type exif\0" + profile(header(8) + directory([entry(0x0112, 3, 1, 6)]))
    data = SAMPLES["PNG"][:-12] + png_chunk(b"tEXt", text) + IEND
    assert decode(data).shape == (40, 24, 3)


def test_heic_with_exif_data_opens() -> None:
    pytest.importorskip("pi_heif")
    exif = header(8) + directory([entry(0x927C, 7, 60_000, 40)]) + bytes(61_000)
    assert np.array_equal(decode(heic_with(exif)), decode(HEIC))


def test_a_camera_s_notes_and_a_tiff_of_many_strips_open() -> None:
    notes = Image.Exif()
    notes.get_ifd(0x8769)[0x927C] = bytes(60_000)
    notes.get_ifd(0x8825)[2] = (52.0, 31.0, 12.5)
    assert decode(encode(flat(RED), "JPEG", exif=notes)).shape == (16, 24, 3)
    rows = 20_000
    strips = struct.pack(f"<{2 * rows}I", *range(16, 16 + rows), *[1] * rows)
    tags = {256: 1, 257: rows, 258: 8, 259: 1, 262: 1, 277: 1, 278: 1}
    entries = [entry(tag, 4, 1, value) for tag, value in tags.items()]
    entries.insert(5, entry(273, 4, rows, 16 + rows))
    entries.append(entry(279, 4, rows, 16 + 5 * rows))
    body = header(16 + 9 * rows).ljust(16, b"\0") + b"\x64" * rows + strips
    assert (decode(body + directory(entries)) == 100).all()


# Side effects


def test_pillows_remarks_neither_leak_nor_raise() -> None:
    data = png(1, 1, 8, 2, bytes([0, *RED]), png_chunk(b"acTL", bytes(8)))  # of no frames
    with pytest.warns(UserWarning, match="Invalid APNG"):
        PngImageFile(io.BytesIO(data))
    for action in ("error", "always"):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter(action)
            assert decode(data).tolist() == [[[*RED]]]
        assert not caught


def test_warnings_of_others_are_still_shown_and_only_once() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            decode(SAMPLES["PNG"])
            warnings.warn("once", UserWarning, stacklevel=1)
    assert len(caught) == 1


def test_pillows_globals_are_left_alone() -> None:
    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, dict(Image.OPEN)
    for data in (*SAMPLES.values(), HEIC):
        with suppress(UnsupportedFormat):  # HEIC without its package
            decode(data)
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, Image.OPEN)


def test_threads_do_not_disturb_each_other() -> None:
    names = [*SAMPLES, "cut", "huge"] * 12
    files = {
        **SAMPLES,
        "cut": SAMPLES["JPEG"][:300],
        "huge": png(20_000, 20_000, 8, 2, b""),
    }

    def outcome(name: str) -> str:
        try:
            return str(zlib.crc32(decode(files[name]).tobytes()))
        except ImageError as error:
            return type(error).__name__

    alone = {name: outcome(name) for name in files}
    assert alone["cut"] == "DamagedImage"
    assert alone["huge"] == "ImageTooLarge"
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(outcome, names)) == [alone[name] for name in names]


# From a path


def test_read_bytes(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(SAMPLES["JPEG"])
    assert read_bytes(path) == SAMPLES["JPEG"]
    path.write_bytes(b"")
    assert read_bytes(path) == b""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.jpg", "missing.jpg cannot be read .*No such file"),
        (".", "folder"),
        ("nul\0l.jpg", "cannot be read"),
        ("x" * 3000, "cannot be read"),
    ],
    ids=["missing", "folder", "null", "long"],
)
def test_read_bytes_of_no_file(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(ImageError, match=words) as caught:
        read_bytes(tmp_path / name)
    assert type(caught.value) is ImageError


def test_read_bytes_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    path = tmp_path / "photo.jpg"
    path.write_bytes(b"x")
    monkeypatch.setattr(Path, "read_bytes", refuse)  # for root may read everything
    with pytest.raises(ImageError, match=r"Permission denied.*permissions"):
        read_bytes(path)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="has no devices as files")
def test_read_bytes_of_an_endless_device() -> None:
    with pytest.raises(ImageError, match="device"):
        read_bytes(Path("/dev/zero"))


def test_read_bytes_looks_at_the_size_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "big.png"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail("it was read"))
    with pytest.raises(ImageTooLarge, match="32 MiB"):
        read_bytes(path)
