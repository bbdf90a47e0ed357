"""The way of the data: each part imports only from those before it; the public API is pinned."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from graphlib import CycleError, TopologicalSorter
from importlib.util import find_spec
from pathlib import Path

import pytest

import fakeface
import train

ROOT = Path(fakeface.__file__).parents[1]
# The modules and packages of each package, in the order of the data.
ORDER = {
    "fakeface": [
        "types", "fields", "contract", "secrets", "files", "names", "progress", "programs",
        "workers", "images", "evidence", "faces", "models", "stability", "quality", "crowd",
        "explain", "analysis", "batch", "scan", "report", "page", "cli", "__main__",
    ],
    "train": [
        "augment", "datasets", "training", "evaluation", "reporting", "formats", "convert",
        "recalibrate", "export", "evaluate", "__main__",
    ],
}  # fmt: skip
PARTS = [f"{package}.{part}" for package, parts in ORDER.items() for part in parts]


def name_of(path: Path) -> str:
    """The name that a file is imported by; of a package, with `__init__`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def read_imports(path: Path) -> set[str]:
    """What a file of ours imports, at the top or inside functions, as whole names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:  # in the package of the file itself
                package = name_of(path).split(".")[: -node.level]
                module = ".".join([*package, module]).rstrip(".")
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def files_of(part: str) -> list[Path]:
    path = ROOT.joinpath(*part.split("."))
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


@pytest.mark.parametrize("package", ORDER)
def test_every_part_has_its_place(package):
    found = {path.stem for path in (ROOT / package).glob("*.py")}
    found |= {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
    assert found - {"__init__"} == set(ORDER[package])


@pytest.mark.parametrize("part", PARTS)
def test_imports_go_one_way(part):
    package, _, own = part.partition(".")
    order = ORDER[package]
    for path in files_of(part):
        used = {name.split(".")[1] for name in read_imports(path) if name.startswith(f"{package}.")}
        later = [other for other in used & set(order) if order.index(other) > order.index(own)]
        assert not later, f"{name_of(path)} imports {later}"


@pytest.mark.parametrize("package", ORDER)
def test_no_imports_go_round(package):
    files = {name_of(path): path for path in (ROOT / package).rglob("*.py")}
    inner = {name: path for name, path in files.items() if not name.endswith("__init__")}
    graph = {name: read_imports(path) & set(inner) - {name} for name, path in inner.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("part", PARTS)
def test_who_may_import_whom(part):
    refused = {"experiments", "tests", "app", "web"}
    if part.startswith("fakeface."):
        refused |= {"train"}
    if part != "fakeface.page":
        refused |= {"gradio", "starlette", "fakeface.page"}
    for path in files_of(part):
        names = [name.split(".") for name in read_imports(path)]
        used = {".".join(name[:length]) for name in names for length in (1, 2)}
        assert not used & refused, f"{name_of(path)} imports {used & refused}"


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
        "Picture",
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
        "open_picture",
        "overlay",
        "read_picture",
        "to_dict",
    ]
    for name in fakeface.__all__:
        assert getattr(fakeface, name).__doc__, f"{name} has no docstring"


def test_a_public_name_stays_what_it_is():
    """Importing a module sets an attribute of its package, which must not hide a public name."""
    for module in pkgutil.iter_modules(fakeface.__path__):
        if module.name != "__main__":
            importlib.import_module(f"fakeface.{module.name}")
    for name in fakeface.__all__:
        found = getattr(fakeface, name)
        assert not inspect.ismodule(found), name
        assert getattr(fakeface, name) is found


def test_what_is_not_public_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        _ = fakeface.nonsense


@pytest.mark.parametrize(
    "name",
    [
        "average", "baseline", "eigenfaces", "evaluate", "export", "finetune", "lofo", "matrix",
        "pointing", "probe", "reference", "results", "sources", "together", "widen",
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:train:UserWarning")
def test_every_training_command_of_0_8_0_is_found(name):
    assert find_spec(f"train.{name}") is not None


def test_an_old_command_says_the_new_one():
    with pytest.warns(
        UserWarning, match=r"`python -m train leave-one-group-out`.*train\.evaluation"
    ):
        find_spec("train.lofo")


@pytest.mark.parametrize("command", train.COMMANDS)
def test_every_command_has_its_module(command):
    module, _ = train.COMMANDS[command]
    path = ROOT.joinpath("train", *module.split(".")).with_suffix(".py")
    assert "\ndef main(argv: list[str] | None = None) -> None:" in path.read_text(encoding="utf-8")
