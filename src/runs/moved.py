"""Names of classes that have moved since a run was stored, so that finished runs keep working."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import yaml

from src.config.overrides import parse

# Names of today by the stored names of modules, and of classes that have left their module.
MOVED: dict[str, str] = yaml.safe_load(Path(__file__).with_name("moved.yaml").read_text())


def current(name: str) -> str:
    """Return the dotted name that a class has today."""
    module, _, last = name.rpartition(".")
    return MOVED.get(name) or f"{MOVED.get(module, module)}.{last}"


def current_names(stored: Any) -> Any:
    """Return a plain configuration, or skops' description of an object, with the names that classes have today."""
    if isinstance(stored, list):
        return [current_names(item) for item in stored]
    if not isinstance(stored, dict):
        return stored
    renamed = {key: current_names(value) for key, value in stored.items()}
    match stored:
        case {"_target_": str(name)}:
            renamed["_target_"] = current(name)
        case {"__module__": str(module), "__class__": str(name)}:
            renamed["__module__"] = current(f"{module}.{name}").rpartition(".")[0]
    return renamed


def current_override(override: str) -> str:
    """Return an override of a command line, ``key=value``, with the name that a class has today."""
    (parsed,) = parse([override])
    value = parsed.value()
    if isinstance(value, str) and parsed.key_or_group.endswith("_target_"):
        return f"{parsed.get_key_element()}={current(value)}"
    return override


def current_skops(stored: bytes) -> bytes:
    """Return an estimator in skops' format with the names that its classes have today.

    The format is a zip archive; ``schema.json`` in it names the module and the class of every object.
    """
    renewed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(stored)) as archive, zipfile.ZipFile(renewed, "w") as target:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "schema.json":
                content = json.dumps(current_names(json.loads(content))).encode()
            target.writestr(name, content)
    return renewed.getvalue()
