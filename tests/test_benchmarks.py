"""The benchmarks run: with little of each, on any machine. What they measure is not tested."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import bench, cuda, memory
from benchmarks.pictures import fill, megapixel_photo
from fakeface.images import decoder


def test_the_photo_has_a_megapixel() -> None:
    height, width, _ = decoder.decode(megapixel_photo()).shape
    assert width * height == pytest.approx(1.03e6, rel=0.01)


def test_no_two_pictures_are_alike(tmp_path: Path) -> None:
    assert "packaged portrait" in fill(tmp_path, 5, None)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 5


def test_pictures_of_a_data_set_are_those_of_test(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.csv"
    rows = [f"{n}.jpg,{'test' if n % 2 else 'train'},1000,1000" for n in range(6)]
    manifest.write_text("\n".join(["file,split,width,height", *rows]))
    for n in range(6):
        (tmp_path / f"{n}.jpg").write_bytes(b"")
    folder = tmp_path / "chosen"
    folder.mkdir()
    assert fill(folder, 300, manifest).startswith("3 test pictures")
    assert sorted(path.name for path in folder.iterdir()) == ["1.jpg", "3.jpg", "5.jpg"]


def test_few_of_many_files_are_pictures_of_their_own(tmp_path: Path) -> None:
    memory.fill_with_links(tmp_path, 40, different=3, fresh=10, manifest=None)
    files = sorted((tmp_path / "links").iterdir())
    assert len(files) == 40
    assert [n for n, path in enumerate(files) if not path.is_symlink()] == [0, 10, 20, 30]
    assert len({path.read_bytes() for path in files}) == 3 + 4


def test_memory_is_read_while_rows_are_written(tmp_path: Path, monkeypatch) -> None:
    class Scan:
        def poll(self) -> None:
            with table.open("a") as file:
                file.write("row\n" * 4)

    table = tmp_path / "out.csv"
    table.write_text("head\n")
    monkeypatch.setattr(memory, "measure_memory", lambda process: 7.0)
    monkeypatch.setattr(memory.time, "sleep", lambda seconds: None)
    seen = [(rows, held) for rows, held, _ in memory.watch(Scan(), table, 40)]
    assert seen == [(rows, 7.0) for rows in range(4, 44, 4)]


def test_a_ratio_is_of_one_round_and_has_its_spread() -> None:
    found = bench.ratios([4.0, 9.0, 40.0], [2.0, 3.0, 10.0])
    assert f"{found:.1f}" == "3.0 (2.0 to 4.0)"


def test_the_report_keeps_what_people_wrote(tmp_path: Path, monkeypatch) -> None:
    report = tmp_path / "RESULTS.md"
    report.write_text(f"above\n{bench.MARKS[0]}\nold\n{bench.MARKS[1]}\nbelow\n")
    monkeypatch.setattr(bench, "REPORT", report)
    bench.write_report("new\n")
    assert report.read_text() == f"above\n{bench.MARKS[0]}\nnew\n{bench.MARKS[1]}\nbelow\n"


def test_the_script_for_cuda_runs_on_a_cpu(untrained, capsys, monkeypatch) -> None:
    monkeypatch.setattr(cuda.torch.cuda, "is_available", lambda: False)
    assert cuda.main(["--small", "--workers", "2"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^\| untrained \| bfloat16 \| 2 \| \d+ \| [\d.]+ \| [\d.]+% \|$", said, re.M)
    assert re.search(r"^\| the whole scan, .* \| [\d.]+ \|$", said, re.M)
    assert "The bottleneck is: " in said


def test_without_cuda_it_says_so(capsys, monkeypatch) -> None:
    monkeypatch.setattr(cuda.torch.cuda, "is_available", lambda: False)
    assert cuda.main([]) == 1
    assert "no CUDA device" in capsys.readouterr().out
