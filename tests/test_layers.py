"""The way of the data: a module imports only from those before it; the public API is pinned."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import fakeface

PACKAGE = Path(fakeface.__file__).parent
ORDER = [
    "secrets",
    "types",
    "files",
    "progress",
    "evidence.text",
    "evidence.known",
    "evidence.fields",
    "evidence.xmp",
    "evidence.exif",
    "evidence.iptc",
    "evidence.containers",
    "evidence.metadata",
    "evidence.stealth",
    "evidence.traces",
    "evidence.manifest",
    "evidence.credentials",
    "evidence.provenance",
    "images.metadata",
    "images.decoder",
    "images.fetch",
    "faces",
    "models.backbones",
    "models.preprocess",
    "stability",
    "models.calibrate",
    "quality",
    "models.runtime",
    "models.engine",
    "models.checkpoints",
    "explain",
    "analyse",
    "scan",
    "batch",
    "report.report",
    "models.zoo",
    "report.contract",
    "report.html",
    "cli",
    "__main__",
]


def imports(path: Path) -> set[str]:
    """The modules of fakeface that a file imports, at the top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                package = [*path.parent.relative_to(PACKAGE.parent).parts]
                package = package[: len(package) - node.level + 1]
                module = ".".join([*package, module]).rstrip(".")
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name.removeprefix("fakeface.") for name in found if name.startswith("fakeface.")}


def modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in PACKAGE.rglob("*.py")
        if path.stem != "__init__"
    }


def test_every_module_has_its_place():
    assert sorted(modules()) == sorted(ORDER)


@pytest.mark.parametrize("name", ORDER)
def test_imports_go_downwards_only(name):
    known = imports(modules()[name]) & set(ORDER)
    above = [other for other in known if ORDER.index(other) >= ORDER.index(name)]
    assert not above, f"{name} imports {above}"


@pytest.mark.parametrize("name", ORDER)
def test_the_package_never_imports_training_or_the_page(name):
    for node in ast.walk(ast.parse(modules()[name].read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not {n.split(".")[0] for n in names} & {"train", "app", "gradio", "tests"}


# -- training -------------------------------------------------------------------------------------

TRAIN = PACKAGE.parent / "train"
# Packages and single modules of train, in the order of the data.
TRAIN_ORDER = ["augment", "datasets", "training", "evaluation", "reporting", "export"]
# Commands that stand beside the packages may use all of them.
ENTRANCES = {"__init__", "__main__", "evaluate"}


def train_modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(TRAIN.parent).with_suffix("").parts): path
        for path in sorted(TRAIN.rglob("*.py"))
    }


def imported(path: Path, package: str) -> set[str]:
    """The modules of a package that a file imports, at the top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} has a relative import"
            module = node.module or ""
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name == package or name.startswith(f"{package}.")}


@pytest.mark.parametrize("name", sorted(train_modules()))
def test_training_imports_go_one_way(name):
    part = name.split(".")[1]
    if part in ENTRANCES:
        return
    used = {
        other.split(".")[1] for other in imported(train_modules()[name], "train") if "." in other
    }
    above = [p for p in used if TRAIN_ORDER.index(p) > TRAIN_ORDER.index(part)]
    assert not above, f"{name} imports {above}"


def test_training_has_no_import_cycle():
    known = train_modules()
    graph = {name: imported(path, "train") & set(known) - {name} for name, path in known.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_nothing_imports_the_experiments():
    root = PACKAGE.parent
    files = [*PACKAGE.rglob("*.py"), *TRAIN.rglob("*.py"), root / "app.py"]
    assert not [path for path in files if imported(path, "experiments")]


def test_the_public_api_is_pinned():
    assert sorted(fakeface.__all__) == [
        "Analysis",
        "Box",
        "CheckpointError",
        "Consensus",
        "DetectorError",
        "Face",
        "FaceReport",
        "FakefaceError",
        "Finding",
        "Heatmap",
        "ImageError",
        "Judge",
        "Quality",
        "Score",
        "Status",
        "Variant",
        "Verdict",
        "analyse",
        "analyse_file",
        "decode",
        "default",
        "installed",
        "load",
        "open_detector",
        "overlay",
        "to_dict",
    ]
    for name in fakeface.__all__:
        assert getattr(fakeface, name).__doc__, f"{name} has no docstring"


def test_what_is_not_public_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        _ = fakeface.nonsense
