"""From the bytes of a file to an upright RGB picture, safely.

The first bytes say what a file is, its name is never trusted, and exactly one of Pillow's parsers
sees it. That parser is called directly and not through `Image.open`, whose one guard is
`Image.MAX_IMAGE_PIXELS`, a global that every thread and library shares: here the size that the
header declares is checked before a pixel is decoded. Nor does Pillow see EXIF data, or the
directory of a TIFF, before their tags are known to be of moderate size, for it copies every one.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import warnings
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from PIL import ExifTags, Image
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from fakeface import types
from fakeface.images import metadata
from fakeface.types import RGB, Picture

MAX_BYTES: Final = 32 * 2**20
MAX_PIXELS: Final = 64_000_000
FORMATS: Final = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "GIF", "TIFF")  # MPO is a JPEG too

TOO_MANY_BYTES = f"This file is larger than {MAX_BYTES >> 20} MiB; save a smaller copy."
_MAX_SEGMENTS: Final = 100  # of EXIF data in a JPEG, which Pillow joins one by one
_SWOLLEN = "This file's metadata would fill the memory; save the picture again without it."
_LIMIT = f"make a copy below the limit of {MAX_PIXELS // 10**6} megapixels."


def read_picture(data: bytes, file: str = "") -> Picture:
    """A file as a record of its bytes and its pixels.

    Args:
        data: see `decode`, which tells the errors too.
        file: the name to report.
    """
    return Picture(data, hashlib.sha256(data).hexdigest(), decode(data), file)


def decode(data: bytes) -> RGB:
    """Decodes a picture; of an animation or a stack of pages, the first.

    Args:
        data: a whole file of one of FORMATS, or HEIC where the package pi-heif is installed.

    Returns:
        uint8 (H, W, 3), RGB, in [0, 255], contiguous and writable; turned upright by the EXIF
        orientation. Transparent parts are shown on white, as on most pages and in most viewers:
        nobody ever saw the colours hidden under them. Grey is repeated in the three channels,
        16 bits are scaled down to 8, and colour profiles are not applied.

    Raises:
        EmptyFile, NotAnImage, UnsupportedFormat, DamagedImage, ImageTooLarge: all ImageError.
    """
    if not data:
        raise types.EmptyFile("This file is empty; choose another.")
    if len(data) > MAX_BYTES:
        raise types.ImageTooLarge(TOO_MANY_BYTES)
    kind, reader = _recognise(data[:4096])
    _mute_pillow()
    try:
        image = reader(BytesIO(data))
        width, height = image.size
        if width * height > MAX_PIXELS:
            mega = -(-width * height // 10**6)  # rounded up, never to the limit itself
            raise types.ImageTooLarge(
                f"This picture of {width} x {height} pixels has {mega} megapixels; {_LIMIT}"
            )
        image.load()
    except types.ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise types.ImageTooLarge(f"This picture has far too many pixels; {_LIMIT}") from error
    except Exception as error:  # on corrupt files the parsers raise nearly anything
        raise types.DamagedImage(
            f"This {kind} file is damaged or incomplete; download or save it again."
        ) from error
    return _upright(_to_rgb(image), _orientation(image))


def refusal(head: bytes) -> types.ImageError | None:
    """Why a file is not read, by its first 4096 bytes; None where it is a picture that is."""
    try:
        _recognise(head[:4096])
    except types.ImageError as error:
        return error
    return None


def read_bytes(path: Path) -> bytes:
    """Reads a whole file of at most MAX_BYTES bytes.

    Raises:
        ImageTooLarge: the file is larger, which is found out before it is read.
        ImageError: it is missing, no ordinary file, or may not be read.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():  # and reading a pipe may never end
            raise types.ImageError(f"{path} is a folder or a device; choose a picture file.")
        if size > MAX_BYTES:
            raise types.ImageTooLarge(TOO_MANY_BYTES)
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or error
        raise types.ImageError(
            f"{path} cannot be read ({reason}); check its name and permissions."
        ) from error


class _Jpeg(JpegImageFile):
    """A JPEG, whose opener asks for the EXIF data already: for the resolution."""

    def getexif(self) -> Image.Exif:
        _check_exif(self.info)
        return super().getexif()


def _jpeg(stream: BytesIO) -> Image.Image:
    if stream.getvalue().count(b"Exif\0\0") > _MAX_SEGMENTS:
        raise types.DamagedImage(_SWOLLEN)
    return _Jpeg(stream)


def _avif(stream: BytesIO) -> Image.Image:
    # Pillow's opener parses the EXIF data, so libavif, which finds them, is asked for them before.
    libavif = importlib.import_module("PIL._avif")
    *_, exif, _, _ = libavif.AvifDecoder(stream.getvalue(), "auto", 1).get_info()
    _check_exif({"exif": exif})
    return AvifImageFile(stream)


def _tiff(stream: BytesIO) -> Image.Image:
    if metadata.swells(stream.getvalue()):
        raise types.DamagedImage(_SWOLLEN)
    return TiffImageFile(stream)


def _heif(stream: BytesIO) -> Image.Image:
    try:
        pi_heif = importlib.import_module("pi_heif")
    except ImportError:
        raise types.UnsupportedFormat(
            "This is a HEIC picture; run `pip install pi-heif` to read it, or save it as JPEG."
        ) from None
    return cast(Image.Image, pi_heif.HeifImageFile(stream))


# The first pattern that the beginning of a file matches decides; without a reader it is refused.
_KINDS: Final[tuple[tuple[bytes, str, Callable[[BytesIO], Image.Image] | None], ...]] = (
    (rb"II\*\0.{4}CR|.{4}ftypcrx |FUJIFILM|II(RO|RS|U\0)", "a camera raw file", None),
    (rb"\xff\xd8\xff", "JPEG", _jpeg),
    (rb"\x89PNG\r\n\x1a\n", "PNG", PngImageFile),
    (rb"RIFF.{4}WEBP", "WebP", WebPImageFile),
    (rb".{4}ftyp(.{4}){0,15}?avi[fs]", "AVIF", _avif),
    (rb".{4}ftyp(.{4}){0,15}?(hei[cxms]|hev[cxms]|mif1|msf1)", "HEIC", _heif),
    (rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", "BMP", BmpImageFile),
    (rb"GIF8[79]a", "GIF", GifImageFile),
    (rb"II[*+]\0|MM\0[*+]", "TIFF", _tiff),
    (rb"%PDF-", "a PDF document", None),
    (rb"PK(\x03\x04|\x05\x06|\x07\x08)", "a ZIP archive or an Office document", None),
    (rb"Rar!\x1a\x07|7z\xbc\xaf\x27\x1c|\x1f\x8b|BZh[1-9]|\xfd7zXZ", "an archive", None),
    (rb"(?i)[\xef\xbb\xbf\s]*<(?=\?xml|!--|!doctype svg|svg).*?svg[\s>]", "an SVG drawing", None),
    (rb".{4}(ftyp|moov|mdat)|\x1aE\xdf\xa3|RIFF.{4}AVI |FLV\x01|\0\0\x01\xba", "a video", None),
    (rb"ID3[\x02-\x04]|RIFF.{4}WAVE|fLaC|OggS", "a sound file", None),
    (rb"8BPS", "a Photoshop file", None),
    (rb"\xff\x0a|\0{3}\x0cJXL ", "a JPEG XL picture", None),
    (rb"\0{3}\x0cjP  |\xff\x4f\xff\x51", "a JPEG 2000 picture", None),
    (rb"\0\0[\x01\x02]\0", "an icon", None),
    (rb"%!PS", "a PostScript document", None),
)


def _recognise(head: bytes) -> tuple[str, Callable[[BytesIO], Image.Image]]:
    """The kind of file that begins with `head`, and its reader."""
    for pattern, kind, reader in _KINDS:
        if re.match(pattern, head, re.DOTALL):
            if reader:
                return kind, reader
            raise types.UnsupportedFormat(
                f"This is {kind}, which fakeface does not read; choose a JPEG or PNG picture."
            )
    if re.match(rb"(?i)[\xef\xbb\xbf\s]*<(!doctype )?html", head):
        raise types.NotAnImage("This is a web page; open it and save the picture itself.")
    raise types.NotAnImage("This is no picture, whatever its name says; choose a JPEG or PNG.")


def _mute_pillow() -> None:
    """Keeps Pillow's remarks on odd metadata from users, and from being raised as errors.

    warnings.catch_warnings would not do: it swaps the list of filters, which all threads share.
    Nor is the filter set anew when it is there, for then all libraries repeat their warnings.
    """
    mute = ("ignore", None, UserWarning, re.compile(r"PIL\."), 0)
    if tuple(warnings.filters[:1]) != (mute,):
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def _to_rgb(image: Image.Image) -> RGB:
    """Any of Pillow's modes as uint8 (H, W, 3)."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):  # which convert() clips
        image = _deep_grey(image)
    elif image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.new("RGB", image.size, "white")
        image.paste(rgba, mask=rgba)
    return np.array(image.convert("RGB"))


def _deep_grey(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits in 8."""
    grey = np.asarray(image)
    if image.mode in ("I", "F"):
        # The file does not say which value is white: take the least customary one that holds all.
        grey = np.nan_to_num(grey, nan=0, posinf=0, neginf=0)
        low, high = min(float(grey.min()), 0), float(grey.max())
        white = next((top for top in (1.0, 255.0, 65535.0) if high <= top), high)
        return Image.fromarray(np.interp(grey, (low, white), (0, 255)).round().astype(np.uint8))
    tags: Mapping[int, Any] = getattr(image, "tag_v2", {})  # TIFF may have 12 bits, and white at 0
    grey = grey >> (tags.get(ExifTags.Base.BitsPerSample, (16,))[0] - 8)
    if tags.get(ExifTags.Base.PhotometricInterpretation) == 0:
        grey = 255 - grey
    return Image.fromarray(grey.astype(np.uint8))


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8, of a picture that is loaded; 1 where there is none.

    Raises:
        DamagedImage: the EXIF data would fill the memory.
    """
    try:
        _check_exif(image.info)
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
        return int(value) if value in range(1, 9) else 1
    except types.ImageError:
        raise
    except Exception:  # damaged metadata is no reason to refuse an intact picture
        return 1


def _check_exif(info: dict[Any, Any]) -> None:
    """Refuses EXIF data of too many bytes, as they stand where Pillow's `getexif` takes them.

    The file itself does not tell: of several chunks or segments, some join, some replace others,
    some lie where only Pillow finds them.
    """
    profile = info.get("Raw profile type exif")
    if "exif" not in info and isinstance(profile, str):
        # Pillow would split it, and a list of millions of lines takes far more room than they do.
        info["exif"] = bytes.fromhex("".join(profile.split("\n", 3)[3:]))
    if metadata.swells(info.get("exif") or b""):
        raise types.DamagedImage(_SWOLLEN)


def _upright(rgb: RGB, orientation: int) -> RGB:
    """Undoes the way the camera was held."""
    if orientation >= 5:
        rgb = rgb.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    if orientation in (3, 4, 7, 8):
        rgb = rgb[::-1]
    return np.ascontiguousarray(rgb)
