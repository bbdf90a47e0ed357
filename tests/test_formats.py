"""Trouble beside the pixels costs nothing; what is not read is named; frames are counted."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from picture_files import encode, masked_bmp, page, smooth, text, tiff
from PIL import Image, ImageCms

from fakeface.images import directories
from fakeface.images.colour import DAMAGED, ODD, TOO_LARGE
from fakeface.images.decoder import decode, later_frames, read_picture, spread
from fakeface.images.frames import decode_frame
from fakeface.types import DamagedImage, UnsupportedFormat

CASES = Path(__file__).parent / "data" / "cases"
PHOTO = smooth()
RED, BLUE = np.full((24, 40, 3), (255, 0, 0), np.uint8), np.full((24, 40, 3), (0, 0, 255), np.uint8)


def chunk(name: bytes, body: bytes, checksum: int | None = None) -> bytes:
    own = zlib.crc32(name + body) if checksum is None else checksum
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", own)


def png_with(*chunks: bytes) -> bytes:
    """PHOTO as a PNG, with more chunks before the pixels."""
    data = encode(Image.fromarray(PHOTO), "PNG")
    return data[:33] + b"".join(chunks) + data[33:]


def jpeg_with(*segments: tuple[int, bytes]) -> bytes:
    data = encode(Image.fromarray(PHOTO), "JPEG", quality=95, subsampling=0)
    parts = (struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments)
    return data[:2] + b"".join(parts) + data[2:]


def assert_close(got: np.ndarray, want: np.ndarray, tolerance: int) -> None:
    assert got.shape == want.shape
    assert np.abs(got.astype(int) - want.astype(int)).max() <= tolerance


# Beside the pixels

BOMB = zlib.compress(bytes(3 * 2**20))
LAB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
HUGE_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + bytes(2**20)


def test_the_case_of_a_profile_that_is_too_large() -> None:
    picture = read_picture((CASES / "big_icc.png").read_bytes())
    assert picture.rgb.shape == (302, 224, 3)
    assert picture.notes == (TOO_LARGE,)


@pytest.mark.parametrize(
    ("data", "notes"),
    [
        (png_with(chunk(b"iCCP", b"x\0\0" + BOMB)), (TOO_LARGE,)),
        (png_with(chunk(b"iCCP", b"x\0\0" + zlib.compress(HUGE_PROFILE))), (TOO_LARGE,)),
        (png_with(chunk(b"iCCP", b"x\0\0no zlib")), (DAMAGED,)),
        (png_with(chunk(b"iCCP", b"x\0\0" + zlib.compress(b"no profile"))), (DAMAGED,)),
        (png_with(chunk(b"iCCP", b"", 1)), (DAMAGED,)),
        (png_with(chunk(b"eXIf", b"II*\0", 1)), (directories.UNREADABLE,)),
        (png_with(chunk(b"tEXt", b"a\0b", 1)), ()),
        (png_with(chunk(b"tIME", b"", 1)), ()),
        (png_with(chunk(b"tRNS", b"\0" * 6, 1)), ()),
        (png_with(chunk(b"gAMA", b""), chunk(b"cHRM", b""), chunk(b"pHYs", b"")), ()),
        (png_with(chunk(b"zTXt", b"a\0\0" + BOMB)), ()),
        (png_with(*[chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**20)))] * 70), ()),
        (png_with(chunk(b"iTXt", b"a\0\1\0\0\0" + BOMB)), ()),
        (png_with(chunk(b"zTXt", b"Raw profile type exif\0\0" + BOMB)), (directories.UNREADABLE,)),
        (png_with(chunk(b"acTL", b"\0")), ()),
    ],
)  # fmt: skip
def test_trouble_beside_the_pixels_of_a_png(data: bytes, notes: tuple[str, ...]) -> None:
    found = decode_frame(data)
    assert np.array_equal(found.rgb, PHOTO)
    assert found.notes == notes


@pytest.mark.parametrize(
    ("segment", "notes"),
    [
        ((0xE2, b"ICC_PROFILE\0\1\2" + HUGE_PROFILE[:500]), (DAMAGED,)),  # one of two pieces
        ((0xE2, b"ICC_PROFILE\0"), (DAMAGED,)),
        ((0xE2, b"ICC_PROFILE\0\1\1" + b"no profile"), (DAMAGED,)),
        ((0xE1, b"Exif\0\0no TIFF"), (directories.UNREADABLE,)),
        ((0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff"), (directories.UNREADABLE,)),
        ((0xED, b"Photoshop 3.0\0" + b"8BIM" * 99), ()),
        ((0xE2, b"MPF\0no TIFF"), ()),
        ((0xE0, b"JFXX\0\x10" + bytes(9)), ()),
        ((0xEE, b"Adobe"), ()),
    ],
)
def test_trouble_beside_the_pixels_of_a_jpeg(
    segment: tuple[int, bytes], notes: tuple[str, ...]
) -> None:
    found = decode_frame(jpeg_with(segment))
    assert_close(found.rgb, PHOTO, 8)
    assert found.notes == notes


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "TIFF"])
@pytest.mark.parametrize(
    ("options", "notes"),
    [
        ({"icc_profile": b"no profile"}, (DAMAGED,)),
        ({"icc_profile": HUGE_PROFILE}, (TOO_LARGE,)),
        ({"icc_profile": LAB_PROFILE}, (ODD,)),
    ],
)  # fmt: skip
def test_trouble_with_profiles(kind: str, options: dict, notes: tuple[str, ...]) -> None:
    extra = {"quality": 95} if kind != "TIFF" else {}
    found = decode_frame(encode(Image.fromarray(PHOTO), kind, **extra, **options))
    assert_close(found.rgb, PHOTO, 40)
    assert found.notes == notes


def test_exif_trouble_in_webp_and_avif() -> None:
    webp = encode(Image.fromarray(PHOTO), "WEBP", lossless=True, exif=b"Exif\0\0rubbish")
    found = decode_frame(webp)
    assert np.array_equal(found.rgb, PHOTO)
    assert found.notes == (directories.UNREADABLE,)
    avif = encode(Image.fromarray(PHOTO), "AVIF", quality=95, exif=b"Exif\0\0" + b"II*\0" * 9)
    assert_close(decode(avif), PHOTO, 40)


def test_the_tags_that_describe_a_tiff_do_not_matter() -> None:
    strange = page(
        PHOTO, t270=(2, b"x" * 9), t700=(1, b"<x:xmp"), t34665=(4, [7]), t33723=(7, b"8")
    )
    assert np.array_equal(decode(tiff([strange])), PHOTO)


def test_rubbish_beside_the_pixels_never_costs_them() -> None:
    dice = random.Random(21)
    for _ in range(60):
        body = dice.randbytes(dice.randrange(300))
        name = dice.choice([b"iCCP", b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"acTL", b"sRGB", b"cICP"])
        prefix = dice.choice([b"", b"x\0\0", b"Raw profile type exif\0", b"XML:com.adobe.xmp\0"])
        assert np.array_equal(decode(png_with(chunk(name, prefix + body))), PHOTO)
        marker = dice.choice([0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE])
        prefix = dice.choice([b"", b"Exif\0\0", b"ICC_PROFILE\0", b"MPF\0", b"Photoshop 3.0\0"])
        assert decode(jpeg_with((marker, prefix + body))).size in (PHOTO.size,)


# What is not read, by name


def patched_jpeg(marker: int = 0xC0, bits: int = 8) -> bytes:
    data = bytearray(encode(Image.fromarray(PHOTO), "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 1], data[at + 4] = marker, bits
    return bytes(data)


def float_tiff() -> bytes:
    return bytes(cv2.imencode(".tiff", (PHOTO / 255).astype(np.float32))[1])


def rare_bmp(packing: int) -> bytes:
    data = bytearray(encode(Image.fromarray(PHOTO), "BMP"))
    struct.pack_into("<I", data, 30, packing)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ((CASES / "jpeg_12bit_monkey.jpg").read_bytes(), "JPEG.*12 bits.*8-bit"),
        (patched_jpeg(bits=12), "JPEG.*12 bits.*8-bit"),
        (patched_jpeg(0xC1, 12), "JPEG.*12 bits.*8-bit"),
        (patched_jpeg(0xC2, 12), "JPEG.*12 bits.*8-bit"),
        (patched_jpeg(0xC3), "JPEG.*lossless.*8-bit"),
        (patched_jpeg(0xC3, 16), "JPEG.*lossless.*8-bit"),
        (patched_jpeg(0xC5), "JPEG.*hierarchical"),
        (patched_jpeg(0xCB), "JPEG.*lossless.*arithmetic"),
        (float_tiff(), "TIFF.*32-bit floating point.*8-bit"),
        (tiff([page(PHOTO, t339=(3, [3, 3, 3]), t258=(3, [16, 16, 16]))]), "16-bit floating"),
        (tiff([page(PHOTO, t259=(3, [34892]))]), "TIFF.*packing 34892"),
        (tiff([page(PHOTO, t259=(3, [50002]))], order=">"), "TIFF.*packing 50002"),
        (rare_bmp(4), "BMP.*method 4"),
        (rare_bmp(5), "BMP.*method 5"),
    ],
)
def test_intact_files_of_a_kind_that_is_not_read(data: bytes, words: str) -> None:
    with pytest.raises(UnsupportedFormat, match=words) as caught:
        decode(data)
    assert "damaged" not in str(caught.value)


THUMB = {"t254": (4, [1])}
MOSAIC = page(PHOTO, t254=(4, [0]), t262=(3, [32803]), t277=(3, [1]), t258=(3, [16]))
SMALL = smooth(6, 10)


def raw(maker: str = "", order: str = "<", big: bool = False, **tags: tuple) -> bytes:
    first = page(SMALL, **THUMB, **({"t271": text(maker)} if maker else {}), **tags)
    return tiff([first], children=[MOSAIC], order=order, big=big)


@pytest.mark.parametrize(
    ("data", "family"),
    [
        ((CASES / "raw_preview.dng").read_bytes(), "DNG"),
        (tiff([page(PHOTO, t50706=(1, [1, 4, 0, 0]))]), "DNG"),
        (tiff([page(SMALL, **THUMB, t50706=(1, [1, 7, 1, 0]))], order=">", big=True), "DNG"),
        (raw("NIKON CORPORATION"), "Nikon NEF"),
        (raw("NIKON CORPORATION", ">"), "Nikon NEF"),
        (raw("SONY"), "Sony ARW"),
        (raw("PENTAX", ">"), "Pentax PEF"),
        (raw("SAMSUNG"), "Samsung SRW"),
        (raw("SEIKO EPSON CORP."), "Epson ERF"),
        (raw("Hasselblad"), "Hasselblad 3FR"),
        (raw("Nobody Knows"), "TIFF kind"),
        (raw(), "TIFF kind"),
        (tiff([page(PHOTO, t259=(3, [34713]))]), "Nikon NEF"),
        (tiff([page(SMALL), page(PHOTO, t259=(3, [65535]))]), "Pentax PEF"),
        (tiff([page(SMALL, t34310=(7, b"PKTS"))]), "Leaf MOS"),
        (b"II*\0\x10\0\0\0CR\x02\0" + bytes(50), "Canon CR2"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(50), "Canon CR3"),
        (b"II\x1a\0\0\0HEAPCCDR\2\0\1\0" + bytes(50), "Canon CRW"),
        (b"FUJIFILMCCD-RAW 0201" + bytes(50), "Fujifilm RAF"),
        (b"\0MRM\0\0\1\0\0PRD" + bytes(50), "Minolta MRW"),
        (b"IIRO\x08\0\0\0" + bytes(50), "Olympus ORF"),
        (b"MMOR\0\0\0\x08" + bytes(50), "Olympus ORF"),
        (b"IIU\0\x18\0\0\0" + bytes(50), "Panasonic RW2"),
        (b"II*\0\x08\0\0\0IIII" + bytes(50), "Phase One IIQ"),
        (b"MM\0*\0\0\0\x08MMMM" + bytes(50), "Phase One IIQ"),
        (b"FOVb\0\0\2\0" + bytes(50), "Sigma X3F"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_camera_raw_files_are_refused_by_name(data: bytes, family: str) -> None:
    with pytest.raises(UnsupportedFormat, match=f"camera raw file.*{family}.*develop"):
        decode(data)


def test_a_thumbnail_is_never_judged_in_the_pictures_place() -> None:
    small = page(SMALL, **THUMB)
    for order, big in (("<", False), (">", False), ("<", True), (">", True)):
        for pages in ([small, page(PHOTO)], [page(PHOTO), small]):
            found = decode_frame(tiff(pages, order=order, big=big))
            assert np.array_equal(found.rgb, PHOTO)
            assert found.frames == 1
    assert np.array_equal(decode(tiff([small], children=[page(PHOTO)])), PHOTO)
    mask = page(PHOTO, t254=(4, [4]), t262=(3, [4]))
    assert np.array_equal(decode(tiff([mask, page(PHOTO)])), PHOTO)
    old = page(SMALL, t255=(3, [2]))
    for pages in ([small], [small, small], [old]):
        with pytest.raises(UnsupportedFormat, match=r"TIFF.*small preview"):
            decode(tiff(pages))


# What other readers are needed for


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_tiff_of_either_order_and_size(order: str, big: bool) -> None:
    assert np.array_equal(decode(tiff([page(PHOTO)], order=order, big=big)), PHOTO)
    turned = page(PHOTO, t274=(3, [6]))
    assert np.array_equal(decode(tiff([turned], order=order, big=big)), np.rot90(PHOTO, -1))
    deep = PHOTO.astype(order + "u2") * 257
    pages = [page(PHOTO, t258=(3, [16, 16, 16]))[0], deep.tobytes()]
    assert_close(decode(tiff([tuple(pages)], order=order, big=big)), PHOTO, 1)


@pytest.mark.parametrize(
    ("bits", "masks", "tolerance"),
    [
        (16, (0xF800, 0x07E0, 0x001F), 5),
        (16, (0x7C00, 0x03E0, 0x001F), 5),
        (16, (0x0F00, 0x00F0, 0x000F), 9),
        (16, (0x001F, 0x07E0, 0xF800), 5),
        (16, (0x0F00, 0x00F0, 0x000F, 0xF000), 9),
        (32, (0x3FF00000, 0x000FFC00, 0x000003FF), 1),
        (32, (0x0000FF00, 0x00FF0000, 0xFF000000), 0),
        (32, (0xFF, 0xFF00, 0xFF0000), 0),
        (32, (0xFF0000, 0xFF00, 0xFF, 0xFF000000), 0),
        (32, (0xFF000000, 0xFF00, 0xFF0000, 0xFF), 0),
    ],
)
@pytest.mark.parametrize("top_down", [False, True])
def test_bmp_with_bit_masks(
    bits: int, masks: tuple[int, ...], tolerance: int, top_down: bool
) -> None:
    odd = smooth(23, 39)
    assert_close(decode(masked_bmp(odd, bits, masks, top_down)), odd, tolerance)


def test_bmp_with_bit_masks_that_is_cut_short() -> None:
    data = masked_bmp(PHOTO, 32, (0x3FF00000, 0x000FFC00, 0x000003FF))
    for cut in (60, 100, len(data) - 1):
        with pytest.raises(DamagedImage):
            decode(data[:cut])


def run_lengths(rows: list[bytes], width: int) -> bytes:
    """A BMP of 8 bits, packed, with the colours of smooth(1, 256)."""
    palette = b"".join(bytes([b, g, r, 0]) for r, g, b in smooth(1, 256)[0])
    body = b"\0\0".join(rows) + b"\0\1"
    info = struct.pack("<IiiHHIIiiII", 40, width, len(rows), 1, 8, 1, len(body), 0, 0, 256, 0)
    start = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + info + palette + body


def test_bmp_of_run_lengths() -> None:
    colours = smooth(1, 256)[0]
    rgb = decode(run_lengths([b"\4\7\0\4\1\2\3\4", b"\3\x09\5\xc8"], 8))
    wanted = [[9] * 3 + [200] * 5, [7] * 4 + [1, 2, 3, 4]]  # from the bottom up
    assert rgb.tolist() == [[colours[i].tolist() for i in row] for row in wanted]


# Moving pictures and pages


def moving(kind: str, frames: list[np.ndarray]) -> bytes:
    images = [Image.fromarray(frame) for frame in frames]
    exact = {"WEBP": {"lossless": True}, "AVIF": {"quality": 95}, "MPO": {"quality": 95}}
    return encode(images[0], kind, save_all=True, append_images=images[1:], **exact.get(kind, {}))


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "GIF", "AVIF", "MPO", "TIFF"])
def test_frames_are_counted_and_reached(kind: str) -> None:
    shades = [np.full((24, 40, 3), (i * 30, 255 - i * 30, 128), np.uint8) for i in range(8)]
    data = moving(kind, shades)
    picture = read_picture(data)
    assert picture.frames == 8
    assert picture.looked == (0,)
    assert_close(picture.rgb, shades[0], 6)
    looked = [(later.looked, later.rgb) for later in later_frames(picture)]
    assert [seen for seen, _ in looked] == [(0, 2), (0, 2, 4), (0, 2, 4, 5), (0, 2, 4, 5, 7)]
    for seen, rgb in looked:
        assert_close(rgb, shades[seen[-1]], 6)


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "GIF", "AVIF", "JPEG", "TIFF", "BMP"])
def test_a_still_has_one_frame(kind: str) -> None:
    picture = read_picture(encode(Image.fromarray(PHOTO), kind))
    assert picture.frames == 1
    assert list(later_frames(picture)) == []


def test_the_case_that_fades_in() -> None:
    picture = read_picture((CASES / "fadein.webp").read_bytes())
    assert picture.frames == 2
    (second,) = later_frames(picture)
    assert second.looked == (0, 1)
    assert second.rgb.std() > picture.rgb.std() + 10


def test_which_frames_are_looked_at() -> None:
    assert [spread(n, 100) for n in (1, 2, 3, 5, 9)] == [
        (0,), (0, 1), (0, 1, 2), (0, 1, 2, 3, 4), (0, 2, 4, 6, 8),
    ]  # fmt: skip
    assert spread(1000, 10_000_000)[-1] == 19  # since all those before are decoded too
    assert spread(1000, 300_000_000) == (0,)


def test_a_picture_for_those_who_show_no_animation_is_a_frame_too() -> None:
    data = encode(
        Image.fromarray(RED), "PNG", save_all=True, default_image=True,
        append_images=[Image.fromarray(PHOTO), Image.fromarray(BLUE)],
    )  # fmt: skip
    picture = read_picture(data)
    assert picture.frames == 3
    assert [int(p.rgb[0, 0, 2]) for p in later_frames(picture)] == [PHOTO[0, 0, 2], 255]


def test_a_gain_map_and_thumbnails_are_no_frames() -> None:
    """Phones put what brightens a photograph, and small copies, behind it in the same file."""
    small = [Image.fromarray(smooth(12, 20))]
    data = encode(Image.fromarray(PHOTO), "MPO", save_all=True, append_images=small)
    assert read_picture(data).frames == 1
    both = encode(
        Image.fromarray(PHOTO), "MPO", save_all=True, append_images=[Image.fromarray(PHOTO)]
    )
    assert read_picture(both).frames == 2
    gain = b"http://ns.adobe.com/xap/1.0/\0<x xmlns:hdrgm='http://ns.adobe.com/hdr-gain-map/1.0/'/>"
    segment = struct.pack(">BBH", 0xFF, 0xE1, len(gain) + 2) + gain
    second = both.index(b"\xff\xd8\xff", 10)
    assert read_picture(both[: second + 2] + segment + both[second + 2 :]).frames == 1


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "GIF", "AVIF", "MPO", "TIFF"])
def test_damage_in_later_frames_costs_only_those(kind: str) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (3, 48, 64, 3), np.uint8)
    data = moving(kind, list(noise))
    cut = data[: -len(data) // 6]
    try:
        picture = read_picture(cut)
    except DamagedImage:  # some formats tell where frames are at their end, or check the length
        assert kind in ("WEBP", "AVIF", "TIFF")
        return
    assert_close(picture.rgb, noise[0], 255 if kind in ("MPO", "GIF") else 0)
    assert len(list(later_frames(picture))) <= 2
