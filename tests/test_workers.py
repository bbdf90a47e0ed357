"""Files made to cost much cost one answer: they are opened in other processes, with bounds."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from picture_files import encode, smooth
from PIL import Image
from test_analysis import FACE, Found, Grain, grainy
from test_evidence_cases import CASES
from test_evidence_fuzz import SLOW

from fakeface.analysis import analyse
from fakeface.evidence import apart as evidence
from fakeface.evidence import provenance
from fakeface.evidence.provenance import TRUST_LIST
from fakeface.images import apart, frames
from fakeface.images.decoder import read_picture
from fakeface.types import DamagedImage, ImageError, ImageTooLarge
from fakeface.workers import pool as workers
from tests.credentials import signer

pytestmark = pytest.mark.skipif(
    not workers._POSIX or not Path("/proc/self/statm").exists(), reason="needs Linux"
)

MIB = 2**20
PHOTO = encode(Image.fromarray(smooth()), "JPEG")
DECODE = apart.__name__
PROGRESSIVE = encode(Image.fromarray(smooth()), "JPEG", progressive=True)


@pytest.fixture(autouse=True)
def by_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(workers.SETTING, raising=False)
    monkeypatch.setattr(workers, "_able", True)
    monkeypatch.setattr(workers, "WALL", 300.0)  # other programs may keep the processors busy


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[workers._Pool]:
    own = workers._Pool()
    monkeypatch.setattr(workers, "_pool", own)
    yield own
    own.close()


class Measured(workers._Worker):
    """A process that decodes, and what it took."""

    def __init__(self) -> None:
        super().__init__(DECODE)
        self.decode(PHOTO)
        self.idle = self.peak()

    def decode(self, data: bytes) -> frames.Decoded | ImageError:
        """What comes of a file; a Fault is raised."""
        return self.call(DECODE, data, apart._read, frame=0)

    def seconds(self) -> float:
        """Of processor time, so far."""
        times = self._read("stat").rpartition(")")[2].split()
        return (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")

    def peak(self) -> float:
        """The most MiB of memory, so far."""
        line = next(x for x in self._read("status").splitlines() if "VmHWM" in x)
        return int(line.split()[1]) / 1024

    def _read(self, name: str) -> str:
        return Path(f"/proc/{self._process.pid}/{name}").read_text()


@pytest.fixture(scope="module")
def worker() -> Iterator[Measured]:
    """One process for all files that are made to be slow, as strangers send them."""
    one = Measured()
    yield one
    one.close()


@pytest.fixture
def large_worker() -> Iterator[Measured]:
    """A process for one large picture: what the one before left free counts as taken."""
    one = Measured()
    yield one
    one.close()


def full(start: bytes, piece: bytes, end: bytes, size: int = 31 * MIB) -> bytes:
    """Many times the same piece, as long as an upload may be."""
    return start + piece * ((size - len(start) - len(end)) // len(piece)) + end


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, middle: bytes = b"", level: int = 1) -> bytes:
    packer = zlib.compressobj(level)
    rows = b"".join(packer.compress(bytes(1 + 3 * width)) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + middle + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def run_lengths(width: int, height: int, body: bytes) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(body), 0, 0, 256, 0)
    palette = bytes(1024)
    start = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + info + palette + body


def many_scans() -> bytes:
    last = PROGRESSIVE.rindex(b"\xff\xda")
    return PROGRESSIVE[:last] + PROGRESSIVE[last:-2] * 20_000 + b"\xff\xd9"


GIF = encode(Image.fromarray(smooth()), "GIF")
GIF_HEAD = 13 + (3 << (GIF[10] & 7) + 1)
APP13 = b"\xff\xed\x00\x1aPhotoshop 3.0\x008BIM\4\4\0\0\0\0"
COSTLY: dict[str, Callable[[], bytes]] = {
    "gif-comments": lambda: full(GIF[:GIF_HEAD], b"!\xfe\1a\0", GIF[GIF_HEAD:]),
    "gif-comment": lambda: full(GIF[:GIF_HEAD] + b"!\xfe", b"\1a", b"\0" + GIF[GIF_HEAD:]),
    "gif-large-comments": lambda: full(
        GIF[:GIF_HEAD], b"!\xfe" + b"\xff" + b"a" * 255 + b"\0", GIF[GIF_HEAD:]
    ),
    "jpeg-comments": lambda: full(PHOTO[:2], b"\xff\xfe\0\2", PHOTO[2:]),
    "jpeg-comments-later": lambda: full(
        PROGRESSIVE[: PROGRESSIVE.rindex(b"\xff\xda")],
        b"\xff\xfe\0\2",
        PROGRESSIVE[PROGRESSIVE.rindex(b"\xff\xda") :],
    ),
    "jpeg-app13": lambda: full(PHOTO[:2], APP13 + b"\0\0", PHOTO[2:]),
    "jpeg-large-app13": lambda: full(
        PHOTO[:2],
        b"\xff\xed\xff\xf0Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\0" * 5459 + bytes(8),
        PHOTO[2:],
    ),
    "jpeg-padding": lambda: full(PHOTO[:2], b"\xff", PHOTO[2:]),
    "jpeg-padding-later": lambda: full(
        PROGRESSIVE[: PROGRESSIVE.rindex(b"\xff\xda")],
        b"\xff",
        PROGRESSIVE[PROGRESSIVE.rindex(b"\xff\xda") :],
    ),
    "jpeg-scans": many_scans,
    "png-chunks": lambda: png(40, 24, chunk(b"tEXt", b"") * (31 * MIB // 12)),
    "png-pieces": lambda: full(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)),
        chunk(b"IDAT", b""),
        chunk(b"IEND", b""),
    ),
    "webp-chunks": lambda: full(
        b"RIFF" + struct.pack("<I", 31 * MIB - 8) + b"WEBP", b"EXIF\0\0\0\0", b""
    ),
    "bmp-runs": lambda: run_lengths(8000, 8000, b"\1\7" * (15 * MIB)),
    "bmp-deltas": lambda: run_lengths(8000, 8000, b"\0\2\0\0" * (7 * MIB)),
}


@pytest.mark.parametrize("name", COSTLY)
def test_files_made_to_be_slow(name: str, worker: Measured) -> None:
    data = COSTLY[name]()
    assert len(data) <= 32 * MIB
    before = worker.seconds()
    worker.decode(data)  # which would raise a Fault
    assert worker.seconds() - before <= 5
    assert worker.peak() - worker.idle <= 600


def encoded(kind: str, mode: str = "RGB", **options: object) -> Callable[[], bytes]:
    def make() -> bytes:
        return encode(Image.new(mode, (8000, 8000), (40, 90, 200)), kind, **options)

    return make


LARGE: dict[str, Callable[[], bytes]] = {
    "jpeg": encoded("JPEG", subsampling=0),
    "progressive": encoded("JPEG", subsampling=0, progressive=True),
    "png": lambda: png(8000, 8000),
    "webp": encoded("WEBP", lossless=True, quality=0, method=0),
    "gif": encoded("GIF", "P"),
    "tiff": encoded("TIFF", compression="tiff_adobe_deflate"),
}


@pytest.mark.parametrize("name", LARGE)
def test_pictures_as_large_as_may_be(name: str, large_worker: Measured) -> None:
    data = LARGE[name]()
    before = large_worker.seconds()
    found = large_worker.decode(data)
    assert isinstance(found, frames.Decoded)
    assert found.rgb.shape == (8000, 8000, 3)
    assert large_worker.seconds() - before <= 5.5  # what sending takes is on top
    assert large_worker.peak() - large_worker.idle <= 1024


# Faults


def faulty(code: str) -> str:
    """A process that does as told when a file is `boom`, which of decoding and reading it does.

    It has a second of processor time for what stands around the pixels.
    """
    return (
        "from fakeface.workers import process\n"
        "from fakeface.images import apart, frames\n"
        "from fakeface.evidence import apart as evidence, provenance\n"
        "apart.HEADER = evidence.HEADER = (1, apart.HEADER[1])\n"
        "decode, find = frames.read_header, provenance.find\n"
        f"def fail():\n    {code}\n"
        "def new_decode(data, frame):\n"
        "    if data == b'boom': fail()\n"
        "    return decode(data, frame)\n"
        "def new_find(data, *, trust_list):\n"
        "    if data.endswith(b'boom'): fail()\n"
        "    return find(data, trust_list=trust_list)\n"
        "frames.read_header, provenance.find = new_decode, new_find\n"
    )


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes processes break over the file `boom`."""

    def use(code: str) -> None:
        start = subprocess.Popen

        def popen(command: list[str], **options: object) -> subprocess.Popen[bytes]:
            place, _, main = command[-1].partition("; from fakeface")
            program = f"{place}\n{faulty(code)}from fakeface{main}"
            return start([*command[:-1], program], **options)

        monkeypatch.setattr(workers.subprocess, "Popen", popen)

    return use


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        ("import os; os.kill(os.getpid(), 11)", DamagedImage, "makes its decoder fail"),
        ("import os; os._exit(3)", DamagedImage, "makes its decoder fail"),
        ("while True: pass", ImageTooLarge, "too long to decode"),
        ("held = [bytearray(2**20) for _ in range(3000)]", ImageTooLarge, "too much memory"),
    ],
    ids=["crash", "exit", "endless", "memory"],
)
def test_a_fault_costs_one_answer(
    code: str,
    error: type[ImageError],
    words: str,
    breaking: Callable[[str], None],
    pool: workers._Pool,
) -> None:
    breaking(code)
    wanted = frames.decode_frame(PHOTO).rgb
    assert np.array_equal(apart.decode_frame(PHOTO).rgb, wanted)
    with pytest.raises(error, match=words):
        apart.decode_frame(b"boom")
    assert np.array_equal(apart.decode_frame(PHOTO).rgb, wanted)


def test_one_that_sleeps_is_stopped(
    breaking: Callable[[str], None], pool: workers._Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking("import time; time.sleep(600)")
    apart.decode_frame(PHOTO)
    monkeypatch.setattr(workers, "WALL", 0.5)
    begin = time.monotonic()
    with pytest.raises(ImageTooLarge, match="too long"):
        apart.decode_frame(b"boom")
    assert time.monotonic() - begin < 20
    monkeypatch.setattr(workers, "WALL", 300.0)
    assert apart.decode_frame(PHOTO).rgb.shape == (24, 40, 3)


def test_no_keys_reach_a_decoder(
    breaking: Callable[[str], None], pool: workers._Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    breaking("import os; raise frames.types.DamagedImage(' '.join(os.environ.values()))")
    with pytest.raises(DamagedImage) as caught:
        apart.decode_frame(b"boom")
    assert "hf_secret" not in str(caught.value)


# Evidence, which is read in the same processes

CREDENTIALS = (CASES / "c2pa_partner_model.jpg").read_bytes()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os; os.kill(os.getpid(), 11)", "its reader failed"),
        ("import os; os._exit(3)", "its reader failed"),
        ("while True: pass", "takes too long"),
        ("held = [bytearray(2**20) for _ in range(3000)]", "takes too much memory"),
    ],
    ids=["crash", "exit", "endless", "memory"],
)
def test_a_fault_over_evidence_costs_the_evidence_of_one_file(
    code: str, words: str, breaking: Callable[[str], None], pool: workers._Pool
) -> None:
    breaking(code)
    wanted = provenance.find(CREDENTIALS)
    assert evidence.read_evidence(CREDENTIALS) == wanted != ()
    (found,) = evidence.read_evidence(PHOTO + b"boom")
    assert (found.checked, found.says, found.trust) == ("not_checked", "unknown", "unsigned")
    assert words in found.detail and "judged all the same" in found.detail
    assert evidence.read_evidence(CREDENTIALS) == wanted


@pytest.mark.parametrize("sign", [b"jumb", b""], ids=["credentials", "metadata"])
def test_the_pixels_are_judged_whatever_becomes_of_the_evidence(
    sign: bytes, breaking: Callable[[str], None], pool: workers._Pool
) -> None:
    """A reader that crashes would take the whole program with it, were it not in another."""
    breaking("import os; os.kill(os.getpid(), 11)")
    data = encode(Image.fromarray(grainy()), "JPEG") + sign + b"boom"
    found = analyse(data, models=[Grain()], detector=Found(FACE))
    assert found.status == "ok" and found.p_fake is not None
    assert [one.checked for one in found.provenance] == ["not_checked"]


def test_a_reader_that_sleeps_is_stopped(
    breaking: Callable[[str], None], pool: workers._Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking("import time; time.sleep(600)")
    evidence.read_evidence(PHOTO)
    monkeypatch.setattr(workers, "WALL", 0.5)
    begin = time.monotonic()
    (found,) = evidence.read_evidence(b"boom")
    assert "takes too long" in found.detail and time.monotonic() - begin < 20


@pytest.mark.parametrize("change", [{"trust": "sure"}, {"title": 3}, {"kind": None}, {"scope": []}])
def test_a_hijacked_process_finds_nothing_that_is_no_finding(
    change: dict[str, object], breaking: Callable[[str], None], pool: workers._Pool
) -> None:
    whole = asdict(provenance.find(CREDENTIALS)[0])
    said = json.dumps({"findings": [whole | change]}).encode()
    head = f"process.ANSWER.pack({len(said)}, 0)"
    breaking(f"process.send = lambda link, *_, old=process.send: old(link, {head}, {said!r})")
    (found,) = evidence.read_evidence(b"boom")
    assert "its reader failed" in found.detail


def test_evidence_is_the_same_here_and_there(pool: workers._Pool, tmp_path: Path) -> None:
    for path in sorted(CASES.iterdir()):
        data = path.read_bytes()
        assert evidence.read_evidence(data) == provenance.find(data), path.name


def test_the_trust_list_reaches_the_process(
    pool: workers._Pool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    by = signer()
    data = by.sign(PHOTO, "image/jpeg", actions=[{"action": "c2pa.created"}])
    assert evidence.read_evidence(data)[0].trust == "valid"
    (tmp_path / "trust.pem").write_text(by.root)
    monkeypatch.setenv(TRUST_LIST, str(tmp_path / "trust.pem"))
    assert evidence.read_evidence(data)[0].trust == "trusted"


@pytest.mark.parametrize("name", SLOW)
def test_evidence_made_to_be_slow_stays_within_the_bounds(name: str, pool: workers._Pool) -> None:
    """2 s and 512 MiB, as for a header; a process that passes them does not survive."""
    data = SLOW[name]() + b"jumb"
    found = evidence.read_evidence(data)
    assert not any(one.title.startswith("The evidence in this file") for one in found)


# Ordinary use


def test_the_same_pixels_notes_and_sentences(pool: workers._Pool) -> None:
    film = encode(
        Image.new("RGB", (9, 5)), "GIF", save_all=True, append_images=[Image.new("RGB", (9, 5), 9)]
    )
    odd = encode(Image.fromarray(smooth()), "PNG", icc_profile=b"no profile")
    for data in (PHOTO, film, odd):
        here, there = frames.decode_frame(data), apart.decode_frame(data)
        assert np.array_equal(here.rgb, there.rgb)
        assert (here.frames, here.notes) == (there.frames, there.notes)
        assert there.rgb.flags.writeable
        assert there.rgb.flags.c_contiguous
    for data in (b"", b"x", PHOTO[:300], bytes(33 * MIB), b"%PDF-", png(9, 5)[:44]):
        with pytest.raises(ImageError) as here_error:
            frames.decode_frame(data)
        with pytest.raises(ImageError) as there_error:
            apart.decode_frame(data)
        assert type(here_error.value) is type(there_error.value)
        assert str(here_error.value) == str(there_error.value)


def test_many_threads_share_few_processes(pool: workers._Pool) -> None:
    shades = [encode(Image.new("RGB", (16, 16), (i, i, i)), "PNG") for i in range(40)]
    with ThreadPoolExecutor(12) as threads:
        found = list(threads.map(lambda data: int(apart.decode_frame(data).rgb[0, 0, 0]), shades))
    assert found == list(range(40))
    assert pool._free.qsize() == workers.MOST


def test_a_process_that_died_meanwhile_is_replaced(pool: workers._Pool) -> None:
    apart.decode_frame(PHOTO)
    idle = pool._free.get()
    assert idle is not None
    idle._process.kill()
    idle._process.wait()
    pool._free.put(idle)
    assert apart.decode_frame(PHOTO).rgb.shape == (24, 40, 3)


def test_in_this_process_where_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, pool: workers._Pool
) -> None:
    monkeypatch.setenv(workers.SETTING, "1")
    monkeypatch.setattr(workers, "_Worker", lambda *_: pytest.fail("a process was started"))
    assert read_picture(PHOTO).rgb.shape == (24, 40, 3)


@pytest.mark.parametrize("how", ["none", "dies"])
def test_in_this_process_where_there_can_be_no_other(
    how: str, monkeypatch: pytest.MonkeyPatch, pool: workers._Pool
) -> None:
    if how == "none":

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError("no processes here")

        monkeypatch.setattr(workers.subprocess, "Popen", refuse)
    else:
        monkeypatch.setattr(workers.sys, "executable", "/bin/false")
    assert read_picture(PHOTO).rgb.shape == (24, 40, 3)
    assert not workers._able


def test_bounds_stay_where_a_process_is_missing_for_a_while(
    monkeypatch: pytest.MonkeyPatch, pool: workers._Pool
) -> None:
    assert apart.decode_frame(PHOTO).rgb.shape == (24, 40, 3)
    idle = pool._free.get()
    assert idle is not None
    idle.close()
    pool._free.put(None)
    start = subprocess.Popen

    def refuse(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(workers.subprocess, "Popen", refuse)
    with pytest.raises(ImageError, match="try again"):
        apart.decode_frame(PHOTO)
    monkeypatch.setattr(workers.subprocess, "Popen", start)
    assert apart.decode_frame(PHOTO).rgb.shape == (24, 40, 3)


@pytest.mark.parametrize(
    "said",
    [
        b"no JSON",
        b'{"error": "Picture", "sentence": "x"}',
        b'{"shape": [9, 9, 3], "frames": 1, "notes": []}',
        b'{"frames": 1}',
    ],
)
@pytest.mark.parametrize("size", [0, 3, 2**60])
def test_a_hijacked_process_can_say_nothing_else(
    said: bytes, size: int, breaking: Callable[[str], None], pool: workers._Pool
) -> None:
    head = f"process.ANSWER.pack({len(said)}, {size})"
    breaking(f"process.send = lambda link, *_, old=process.send: old(link, {head}, {said!r})")
    with pytest.raises(DamagedImage, match="decoder fail"):
        apart.decode_frame(b"boom")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="has no fork")
def test_a_forked_process_has_its_own(pool: workers._Pool) -> None:
    """As Spaces with ZeroGPU and data loaders do."""
    program = (
        "import io, os, sys\n"
        "from PIL import Image\n"
        "from fakeface.images import apart\n"
        "from fakeface.workers import pool as workers\n"
        "stream = io.BytesIO(); Image.new('RGB', (8, 8), 'red').save(stream, 'PNG')\n"
        "data = stream.getvalue(); apart.decode_frame(data); mine = workers._pool\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    good = apart.decode_frame(data).rgb[0, 0, 0] == 255 and workers._pool is not mine\n"
        "    workers._pool.close(); os._exit(0 if good else 1)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])"
        " or int(apart.decode_frame(data).rgb[0, 0, 0]) - 255)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=300)


def test_processes_end_with_the_program() -> None:
    program = (
        "import io\nfrom PIL import Image\nfrom fakeface.images import apart\n"
        "from fakeface.workers import pool as workers\n"
        "stream = io.BytesIO(); Image.new('RGB', (8, 8)).save(stream, 'PNG')\n"
        "apart.decode_frame(stream.getvalue())\n"
        "print(workers._pool._free.get()._process.pid, flush=True)\n"
        "import os; os.kill(os.getpid(), 9)\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=300).stdout
    end = time.monotonic() + 60
    while Path(f"/proc/{int(said)}").exists() and time.monotonic() < end:
        state = Path(f"/proc/{int(said)}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        threading.Event().wait(0.1)
    assert not Path(f"/proc/{int(said)}").exists()
