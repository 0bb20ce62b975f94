"""The house of DESIGN.md, section 2: rooms, their budgets, the direction of imports, and state."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT
from omegaconf import OmegaConf

SRC = ROOT / "src"
FILES = sorted(SRC.rglob("*.py"))
ENTRY = "entry points"
# Each room with the rooms that it may import; rooms of one level do not import each other.
LEVELS = [
    {"errors"},
    {"config", "data", "networks", "baselines"},
    {"tasks", "runs"},
    {"reporting"},
    {"training"},
    {"sweeps"},
]
BUDGETS = {
    ENTRY: 900,
    "config": 600,
    "data": 4600,
    "networks": 1400,
    "baselines": 650,
    "tasks": 1200,
    "training": 1300,
    "runs": 700,
    "sweeps": 1400,
    "reporting": 2400,
}
# Modules that a room never imports.
FORBIDDEN = {
    "config": {"torch", "pandas", "lightning"},
    "networks": {"lightning", "hydra", "omegaconf"},
    "runs": {"torch", "lightning"},
    "tasks": {"subprocess", "multiprocessing"},
}
LONGEST, MOST = 300, 12  # lines of a file, files of a folder


def room(path: Path) -> str:
    first = path.relative_to(SRC).parts[0]
    return first if (SRC / first).is_dir() else "errors" if first == "errors.py" else ENTRY


def room_of_module(name: str) -> str:
    """The room of a dotted name below ``src``."""
    part = name.split(".")[1] if "." in name else ""
    return part if (SRC / part).is_dir() and part else "errors" if part == "errors" else ENTRY


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that a file imports or names as a class path, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"src(\.\w+)+", node.value):
            yield node.lineno, node.value


def level(name: str) -> int:
    return next((number for number, rooms in enumerate(LEVELS) if name in rooms), len(LEVELS))


def may_import(upper: str, lower: str) -> bool:
    return upper == lower or level(upper) > level(lower)


def test_the_rooms_are_those_of_the_design() -> None:
    folders = {path.name for path in SRC.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(BUDGETS) - {ENTRY}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_imports_go_down(path: Path) -> None:
    own = room(path)
    if path.name == "moved.py":  # a table of names, old and new; it imports nothing
        return
    wrong = [
        f"line {line}: {own} imports {name}"
        for line, name in imports(path)
        if name.startswith("src.") and name.count(".") > 1 and not may_import(own, room_of_module(name)) and own != ENTRY
    ]
    assert wrong == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_a_room_imports_nothing_that_it_never_contains(path: Path) -> None:
    found = {name.split(".")[0] for _, name in imports(path)}
    assert found & FORBIDDEN.get(room(path), set()) == set()


def test_the_direction_is_checked() -> None:
    assert not may_import("data", "tasks")
    assert not may_import("data", "networks")
    assert may_import("sweeps", "training")
    assert not may_import("training", "sweeps")


def test_class_paths_in_conf_name_the_rooms_that_they_may() -> None:
    """A config group names classes of its own room: data of `data`, a model of `networks` or `baselines`."""
    allowed = {
        "data": {"data"},
        "model": {"networks", "baselines"},
        "task": {"tasks"},
        "scheduler": {"training"},
        "trainer": {"training"},
        "logger": {"training"},
        "callbacks": {"training", "reporting"},
        "sweep": {"sweeps"},
        "hydra": {"training", "sweeps"},
    }
    for path in sorted((ROOT / "conf").rglob("*.yaml")):
        group = path.relative_to(ROOT / "conf").parts[0]
        named = re.findall(r"(?m)^[^#\n]*:\s*(src(?:\.\w+)+)", path.read_text())
        for name in named:
            assert room_of_module(name) in allowed.get(group, set()), f"{path}: {name}"
        OmegaConf.load(path)


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


@pytest.mark.parametrize("name", BUDGETS)
def test_a_room_keeps_its_budget(name: str) -> None:
    own = {ENTRY, "errors"} if name == ENTRY else {name}
    size = sum(lines(path) for path in FILES if room(path) in own)
    assert size <= BUDGETS[name]


def test_no_file_is_too_long_and_no_folder_too_full() -> None:
    assert [path for path in FILES if lines(path) > LONGEST] == []
    folders = {path.parent for path in FILES}
    assert [folder for folder in folders if len(list(folder.glob("*.py"))) - 1 > MOST] == []


@pytest.mark.parametrize("room_name", ["training"])
def test_a_run_knows_nothing_of_sweeps(room_name: str) -> None:
    assert [path for path in (SRC / room_name).rglob("*.py") if re.search(r"sweep", path.read_text(), re.I)] == []


def mutable(node: ast.expr | None) -> bool:
    """True for an empty container, or a call that makes one: module-level state that grows."""
    if isinstance(node, ast.List | ast.Set | ast.Dict):
        return not ast.unparse(node).strip("[]{}")
    called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
    return called in ("list", "dict", "set", "defaultdict", "deque", "threading.Event", "collections.defaultdict")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_no_module_keeps_state(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Global)]
    assigned = [node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)]
    assert not [node.lineno for node in assigned if mutable(node.value)]
