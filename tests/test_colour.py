"""Embedded colour profiles are applied before anything looks at the pixels."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from picture_files import (
    ADOBE_RGB,
    DISPLAY_P3,
    PROPHOTO,
    SRGB,
    cmyk_profile,
    encode,
    grey_profile,
    rgb_profile,
)
from PIL import Image, ImageCms

from fakeface.images.colour import APPLIED, DAMAGED, MISMATCH, ODD, TOO_LARGE, transform
from fakeface.images.decoder import decode
from fakeface.images.frames import decode_frame
from fakeface.types import RGB

SPACES = {
    "prophoto": rgb_profile(PROPHOTO, 1.8),
    "adobe": rgb_profile(ADOBE_RGB, 2.2),
    "p3": rgb_profile(DISPLAY_P3, 2.2),
}


def skin() -> RGB:
    """Muted colours, which every space has."""
    y, x = np.indices((24, 40))
    rgb = np.stack([120 + x * 3, 90 + y * 4, 70 + (x + y) * 2], -1)
    return rgb.astype(np.uint8)


def tagged(profile: bytes, kind: str, **options: Any) -> bytes:
    """The same colours in another space, with its profile."""
    other = ImageCms.profileToProfile(
        Image.fromarray(skin()), ImageCms.createProfile("sRGB"), io.BytesIO(profile)
    )
    assert other is not None
    return encode(other, kind, icc_profile=profile, **options)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("PNG", {}, 3),
        ("TIFF", {}, 3),
        ("TIFF", {"compression": "tiff_lzw"}, 3),
        ("WEBP", {"lossless": True}, 3),
        ("JPEG", {"quality": 98, "subsampling": 0}, 14),
        ("AVIF", {"quality": 98, "subsampling": "4:4:4"}, 14),
    ],
)
def test_colours_survive_a_wide_space(
    space: str, kind: str, options: dict[str, Any], tolerance: int
) -> None:
    data = tagged(SPACES[space], kind, **options)
    found = decode_frame(data)
    assert np.abs(found.rgb.astype(int) - skin()).max() <= tolerance
    assert found.notes == (APPLIED,)
    with Image.open(io.BytesIO(data)) as image:  # what was looked at before
        ignored = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(ignored - skin()).max() > tolerance


def test_srgb_itself_touches_no_pixel() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (40, 50, 3), np.uint8)
    for profile in (ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),):
        found = decode_frame(encode(Image.fromarray(noise), "PNG", icc_profile=profile))
        assert np.array_equal(found.rgb, noise)
        assert found.notes == ()


def test_grey_with_a_curve_of_its_own() -> None:
    ramp = np.arange(256, dtype=np.uint8)[None].repeat(4, 0)
    found = decode_frame(encode(Image.fromarray(ramp), "PNG", icc_profile=grey_profile(1.4)))
    assert found.notes == (APPLIED,)
    wanted = 255 * (1.055 * (ramp / 255) ** (1.4 / 2.4) - 0.055)
    assert np.abs(found.rgb.astype(int) - wanted[..., None])[:, 32:].max() <= 3
    assert wanted[0, 64] > 90  # and not 64
    deep = encode(
        Image.fromarray(ramp.astype(np.uint16) * 257), "PNG", icc_profile=grey_profile(1.4)
    )
    assert np.array_equal(decode(deep), found.rgb)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(kind: str) -> None:
    def shown(inks: tuple[int, int, int, int], profile: bytes) -> tuple[int, tuple[str, ...]]:
        image = Image.new("CMYK", (16, 16), inks)
        found = decode_frame(encode(image, kind, icc_profile=profile))
        return int(found.rgb[8, 8, 1]), found.notes

    assert shown((0, 0, 0, 0), cmyk_profile()) == (255, (APPLIED,))
    assert shown((0, 0, 0, 255), cmyk_profile())[0] < 5
    # 70 of 255 below white is a lightness of 73, a level of 178; without the profile it is 0.
    assert abs(shown((0, 255, 0, 0), cmyk_profile())[0] - 178) < 8
    assert decode(encode(Image.new("CMYK", (16, 16), (0, 255, 0, 0)), kind))[8, 8, 1] < 5


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "PA"])
def test_transparent_parts_stay_white(mode: str) -> None:
    alpha = np.zeros((24, 40), np.uint8)
    alpha[:, 20:] = 255
    if mode == "LA":
        image = Image.merge("LA", [Image.new("L", (40, 24), 100), Image.fromarray(alpha)])
        profile, wanted = grey_profile(1.0), 169
    else:
        colours = Image.new("RGB", (40, 24), (100, 100, 100))
        image, profile, wanted = colours.copy(), rgb_profile(SRGB, 1.0), 169
        image.putalpha(Image.fromarray(alpha))
    options: dict[str, Any] = {}
    if mode in ("P", "PA"):
        image = Image.new("P", (40, 24), 1)
        image.putpalette([0, 0, 0, 100, 100, 100])
        image.paste(0, (0, 0, 20, 24))
        options["transparency"] = 0 if mode == "P" else b"\0\xff"
    rgb = decode(encode(image, "PNG", icc_profile=profile, **options))
    assert (rgb[:, :20] == 255).all()
    assert np.abs(rgb[:, 20:].astype(int) - wanted).max() <= 3


def swapped(profile: bytes) -> bytes:
    return profile.replace(b"mntr", b"link", 1)


@pytest.mark.parametrize(
    ("mode", "profile", "note"),
    [
        ("RGB", b"", DAMAGED),
        ("RGB", b"no profile at all", DAMAGED),
        ("RGB", SPACES["p3"][:200], DAMAGED),
        ("RGB", SPACES["p3"] + bytes(2**20), TOO_LARGE),
        ("RGB", grey_profile(2.2), MISMATCH),
        ("L", SPACES["p3"], MISMATCH),
        ("RGB", cmyk_profile(), MISMATCH),
        ("RGB", swapped(SPACES["p3"]), ODD),
        ("RGB", rgb_profile([(0, 0, 0)] * 3, 2.2), ODD),  # all is black
        ("RGB", rgb_profile(SRGB, 40.0), ODD),  # nearly so
        ("CMYK", cmyk_profile(255), ODD),  # no ink shows
    ],
)
def test_profiles_that_are_not_applied(mode: str, profile: bytes, note: str) -> None:
    assert transform(profile, mode) == (None, note)
    body = b"x\0\0" + zlib.compress(profile)
    colour = {"RGB": skin(), "L": skin()[..., 0]}.get(mode)
    if colour is not None:
        data = encode(Image.fromarray(colour), "PNG")
        chunk = b"iCCP" + body
        chunk = struct.pack(">I", len(body)) + chunk + struct.pack(">I", zlib.crc32(chunk))
        found = decode_frame(data[:33] + chunk + data[33:])
        assert found.notes == (note,)
        assert np.array_equal(found.rgb[..., 0], colour if mode == "L" else colour[..., 0])


def test_broken_profiles_never_raise() -> None:
    dice = np.random.default_rng(5)
    whole = bytearray(SPACES["prophoto"])
    for _ in range(200):
        broken = bytearray(whole)
        for at in dice.integers(0, len(broken), dice.integers(1, 9)):
            broken[at] = dice.integers(256)
        data = encode(Image.fromarray(skin()), "PNG", icc_profile=bytes(broken))
        assert decode(data).shape == (24, 40, 3)
