"""Names of classes that have moved since a run was stored, so that finished runs keep working."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

from src.config.overrides import parse

# Module of the stored name -> module of the class today.
MODULES = {
    "src.checkpoint": "src.training.callbacks",
    "src.data.folder": "src.data.images.folder",
    "src.data.forecast": "src.data.series.csv",
    "src.data.imdb": "src.data.text.imdb",
    "src.data.physionet": "src.data.clinical.datamodule",
    "src.data.pictures": "src.data.images.images",
    "src.data.series": "src.data.series.nyse",
    "src.data.vision": "src.data.images.mnist_cifar",
    "src.data.waveforms": "src.data.series.waveforms",
    "src.devices": "src.training.distributed",
    "src.logger": "src.training.loggers",
    "src.progress": "src.reporting.progress",
    "src.pruning": "src.sweeps.pruning",
    "src.text_baselines": "src.baselines.text",
}
# Stored name -> name today, where a class has left its module.
CLASSES = {
    "src.baselines.ARIMA": "src.baselines.series.ARIMA",
    "src.baselines.Lasso": "src.baselines.linear.Lasso",
    "src.baselines.SeasonalNaive": "src.baselines.series.SeasonalNaive",
    "src.baselines.logistic": "src.baselines.linear.logistic",
    "src.baselines.ridge": "src.baselines.linear.ridge",
    "src.tasks.forecasting.Coverage": "src.tasks.metrics.Coverage",
    "src.tasks.forecasting.ScaledError": "src.tasks.metrics.ScaledError",
}


def current(name: str) -> str:
    """Return the dotted name that a class has today."""
    module, _, last = name.rpartition(".")
    return CLASSES.get(name) or f"{MODULES.get(module, module)}.{last}"


def current_targets(config: Any) -> Any:
    """Return a plain configuration with the names that its classes have today, at every depth."""
    if isinstance(config, dict):
        return {
            key: current(value) if key == "_target_" and isinstance(value, str) else current_targets(value)
            for key, value in config.items()
        }
    return [current_targets(value) for value in config] if isinstance(config, list) else config


def current_override(override: str) -> str:
    """Return an override of a command line, ``key=value``, with the name that a class has today."""
    (parsed,) = parse([override])
    value = parsed.value()
    if isinstance(value, str) and parsed.key_or_group.endswith("_target_"):
        return f"{parsed.get_key_element()}={current(value)}"
    return override


def current_skops(stored: bytes) -> bytes:
    """Return an estimator in skops' format with the names that its classes have today; the same bytes if none has moved.

    The format is a zip archive; ``schema.json`` in it names the module and the class of every object.
    """
    with zipfile.ZipFile(io.BytesIO(stored)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(parts["schema.json"])
    renamed = _with_current_classes(schema)
    if renamed == schema:
        return stored
    parts["schema.json"] = json.dumps(renamed).encode()
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return target.getvalue()


def _with_current_classes(node: Any) -> Any:
    if isinstance(node, list):
        return [_with_current_classes(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _with_current_classes(value) for key, value in node.items()}
    if isinstance(node.get("__module__"), str) and isinstance(node.get("__class__"), str):
        node["__module__"] = current(f"{node['__module__']}.{node['__class__']}").rpartition(".")[0]
    return node
