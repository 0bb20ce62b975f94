"""Private names of other libraries that Labbook uses: each with its reason, and a check that it is still there.

A new version of a library may change these without notice. If this file fails after an upgrade, look at each use.
"""

import ast
import importlib
import re
from pathlib import Path

from conftest import ROOT

FILES = [path for folder in ("src", "hydra_plugins") for path in (ROOT / folder).rglob("*.py")]

# Private name -> (where to find it, why it is used).
USED = {
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher": "the launcher of stacked jobs runs them as Hydra does",
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper": "splits the overrides of a sweep into jobs as Hydra does",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor": "the trees of a stored run are checked on loading",
    "sklearn.tree._tree.Tree": "likewise",
}


def test_what_is_used_is_there() -> None:
    for name in USED:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), f"{name}: {USED[name]}"


def private_imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("src"):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name for name in names if re.search(r"\._[a-z]", name)}
    return found


def test_no_other_private_module_is_imported() -> None:
    found = set().union(
        *(private_imports(path) for folder in ("src", "hydra_plugins") for path in (ROOT / folder).rglob("*.py"))
    )
    assert found == set(USED)


# Private attributes of objects of other libraries, and why each is used.
ATTRIBUTES = {
    "_target_": "no attribute: Hydra's key for a class, read from a configuration",
}


def private_attributes(path: Path) -> set[str]:
    """Attributes ``x._name`` that no code of the file defines."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute)} - {"_replace", "_fields"}
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return {name for name in used - own if name.startswith("_") and not name.startswith("__")}


def test_private_attributes_are_listed() -> None:
    found = set().union(
        *(private_attributes(path) for folder in ("src", "hydra_plugins") for path in (ROOT / folder).rglob("*.py"))
    )
    assert found == set(ATTRIBUTES)
