"""Ensembles of decision trees: classifiers where the target is a class, regressors where it is a number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
from sklearn import ensemble
from sklearn.base import BaseEstimator
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.multioutput import MultiOutputRegressor
from sklearn.tree._tree import Tree

from src.errors import UserError, sentence


def gradient_boosting(**arguments: Any) -> Callable[[Any], BaseEstimator]:
    """Return a maker of scikit-learn's ``HistGradientBoosting...`` for a spec, one for each step of a forecast."""
    return partial(made, ensemble.HistGradientBoostingClassifier, ensemble.HistGradientBoostingRegressor, arguments)


def random_forest(**arguments: Any) -> Callable[[Any], BaseEstimator]:
    """Return a function that makes scikit-learn's ``RandomForestClassifier`` or ``RandomForestRegressor`` for a spec."""
    return partial(made, ensemble.RandomForestClassifier, ensemble.RandomForestRegressor, arguments)


def made(classifier: Any, regressor: Any, arguments: dict[str, Any], spec: Any) -> BaseEstimator:
    """Return an estimator of scikit-learn; raise a UserError for an argument that it does not have."""
    try:
        estimator = (classifier if spec.classes else regressor)(**arguments)
    except TypeError as error:
        raise UserError(f"model: {sentence(error)}") from error
    single = spec.outputs > 1 and isinstance(estimator, ensemble.HistGradientBoostingRegressor)
    return MultiOutputRegressor(estimator) if single else estimator


def check(estimator: BaseEstimator, columns: int) -> None:
    """Raise a UserError unless every tree of a stored estimator leads each row to a leaf.

    scikit-learn trusts the indices of children and columns in a tree, so that a forged file could make it read any memory
    (see ``sklearn.tree._tree.Tree`` in skops' ``UNTRUSTED_TYPE_REASONS``).

    Args:
        estimator: Estimator of a run folder, which may come from anyone.
        columns: Number of columns of its inputs.
    """
    for leaf, left, right, column in nodes(estimator):
        inner = np.flatnonzero(~leaf)
        children = np.stack([left[inner], right[inner]])
        # children come after their parent, so that no path is a circle
        follow = (children > inner).all() and (children < len(leaf)).all()
        if not (len(leaf) and follow and (column[inner] >= 0).all() and (column[inner] < columns).all()):
            raise UserError("the checkpoint holds a damaged tree; use a run that Labbook has made")


def nodes(part: Any) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield for every tree in an object whether its nodes are leaves, their children and columns, each (nodes,)."""
    if isinstance(part, Tree):
        yield part.children_left == -1, part.children_left, part.children_right, part.feature
    elif isinstance(part, TreePredictor):
        numbers = (part.nodes[name].astype(np.int64) for name in ("left", "right", "feature_idx"))
        yield part.nodes["is_leaf"].astype(bool), *numbers
    else:
        for item in content(part):
            yield from nodes(item)


def content(part: Any) -> Iterable[Any]:
    """Return the items of a container, or the attributes of another object."""
    if isinstance(part, dict):
        return part.values()
    if isinstance(part, np.ndarray):
        return part.flat if part.dtype.kind == "O" else ()
    if isinstance(part, list | tuple):
        return part
    return () if isinstance(part, type) else getattr(part, "__dict__", {}).values()
