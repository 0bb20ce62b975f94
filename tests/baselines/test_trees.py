"""Ensembles of trees: of classes and of numbers, as stored and as forged."""

from pathlib import Path

import pytest
import torch
from conftest import result
from sklearn.base import BaseEstimator
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.multioutput import MultiOutputRegressor
from threadpoolctl import threadpool_info

from src.baselines.estimator import Estimator
from src.baselines.trees import gradient_boosting, random_forest
from src.data.datamodule import Spec
from src.errors import UserError

SPEC = Spec(shape=(3, 2), outputs=1, columns=tuple("abcdef"), target="y")
CLASSES = SPEC._replace(classes=("low", "middle", "high"), outputs=3)
X = torch.randn(150, 3, 2, generator=torch.Generator().manual_seed(0))
Y = X[:, 0, 0] + X[:, 1, 1] ** 2


def fitted(model: str, spec: Spec = SPEC, y: torch.Tensor = Y) -> Estimator:
    few = {"max_iter": 30, "random_state": 0} if model == "boosting" else {"n_estimators": 20, "random_state": 0}
    estimator = Estimator((gradient_boosting if model == "boosting" else random_forest)(**few), spec)
    estimator.fit(X, y, (X, y))
    return estimator


@pytest.mark.parametrize(
    ("model", "regressor", "of_steps", "classifier"),
    [
        ("boosting", HistGradientBoostingRegressor, MultiOutputRegressor, HistGradientBoostingClassifier),
        ("forest", RandomForestRegressor, RandomForestRegressor, RandomForestClassifier),
    ],
)
def test_the_target_decides_what_is_fitted_and_it_comes_back_from_its_state(
    model: str, regressor: type, of_steps: type, classifier: type
) -> None:
    steps, classes = torch.stack([Y, Y + X[:, 2, 0]], 1), torch.bucketize(Y, torch.tensor([0.0, 1.0]))
    cases = [(SPEC, Y, regressor), (SPEC._replace(outputs=2), steps, of_steps), (CLASSES, classes, classifier)]
    for spec, y, kind in cases:
        estimator = fitted(model, spec, y)
        assert type(estimator.estimator) is kind
        output = estimator(X)
        assert output.shape == (150, spec.outputs)
        if spec.classes:
            assert (output.argmax(1) == y).float().mean() > 0.9
        else:
            assert ((output - y.reshape(150, -1)) ** 2).mean() < 0.5 * y.var()
        loaded = Estimator(gradient_boosting(), spec)
        loaded.load_state_dict(estimator.state_dict())
        assert torch.equal(loaded(X), output)


def test_a_run_of_an_earlier_version_is_evaluated_to_its_logged_metrics(copied, call) -> None:
    small = ["data=waveforms", "data.samples=60", "data.steps=24", "model=gradient_boosting", "model.max_iter=5"]
    run = copied("old", *small)
    config = run / ".hydra" / "config.yaml"
    text, old = config.read_text(), "sklearn.ensemble.HistGradientBoostingClassifier"
    assert "_target_: src.baselines.trees.gradient_boosting" in text
    config.write_text(text.replace("src.baselines.trees.gradient_boosting", old))
    status, _, err = call("run=old", entry="evaluate")
    assert (status, err) == (0, "")
    from src.config.compose import compose
    from src.evaluate import evaluate

    assert evaluate(compose("evaluate", ["run=old"])) == result(run)["test"]


def test_arguments_are_scikit_learns(call, train) -> None:
    folder = train("run", "data=hitters", "model=random_forest", "model.n_estimators=2", "+model.max_depth=3")
    assert "RandomForestRegressor(max_depth=3, max_features=0.3, n_estimators=2" in (folder / "model.txt").read_text()
    for argument, sentence in {
        "+model.max_depths=3": "RandomForestRegressor.__init__() got an unexpected keyword argument 'max_depths'",
        "+model.class_weight=balanced": "RandomForestRegressor.__init__() got an unexpected keyword argument 'class_weight'",
        "model.max_features=1.5": "model.max_features=1.5: max_features must be a number above 0, at most 1",
    }.items():
        status, _, err = call("data=hitters", "model=random_forest", argument, "hydra.run.dir=refused")
        assert (status, err.count("\n")) == (2, 1), err
        assert sentence in err
        assert not Path("refused").exists()


def test_a_forged_tree_is_refused_before_it_is_followed() -> None:
    boosting, forest = fitted("boosting"), fitted("forest")
    boosting.estimator._predictors[7][0].nodes["left"][0] = 10**6
    tree = forest.estimator.estimators_[7].tree_
    forged = []
    for field, value in (("left_child", 10**6), ("right_child", 0), ("feature", 6)):
        state = tree.__getstate__()
        state["nodes"] = state["nodes"].copy()
        state["nodes"][field][0] = value
        tree.__setstate__(state)
        forged.append(forest.state_dict())
    for state in (boosting.state_dict(), *forged):
        with pytest.raises(UserError, match="a damaged tree; use a run that Labbook has made"):
            Estimator(random_forest(), SPEC).load_state_dict(state)


class Counted(BaseEstimator):
    """Notes the threads of OpenMP that it is fitted on."""

    def fit(self, X: object, y: object) -> "Counted":
        self.threads = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "openmp"}
        return self


def test_trees_grow_on_as_many_threads_as_torch_has() -> None:
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            estimator = Estimator(Counted(), SPEC)
            estimator.fit(X, Y, (X, Y))
            assert estimator.estimator.threads == {threads}
    finally:
        torch.set_num_threads(before)
