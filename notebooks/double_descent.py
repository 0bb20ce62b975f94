"""Double descent with splines (ISLP, section 10.8): more basis functions than points, and the fit of least norm.

A natural cubic spline with ``d`` degrees of freedom is fitted to a few noisy points of a sine. As long as ``d`` is at most
the number of points it is the least-squares fit; beyond, many splines pass through all points, and the one whose
coefficients have the least Euclidean norm is taken. Test error peaks where the spline just interpolates, and falls beyond.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import ScalarFormatter
from scipy.interpolate import BSpline
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_squared_error

from src.reporting.plots import BLUE, GREY, ORANGE

RANGE = (-5.0, 5.0)  # of x
NOISE = 0.3  # standard deviation
PENALTY = 0.1


def sample(points: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw points of y = sin x + noise: x (points,), uniform and sorted, and y (points,)."""
    random = np.random.default_rng(seed)
    x = np.sort(random.uniform(*RANGE, points))
    return x, np.sin(x) + random.normal(0, NOISE, points)


def knots_at(x: np.ndarray, degrees: int) -> np.ndarray:
    """Return knots (degrees,): the ends of ``RANGE``, and quantiles of the points between them."""
    return np.concatenate([RANGE[:1], np.quantile(x, np.linspace(0, 1, degrees)[1:-1]), RANGE[1:]])


def natural_basis(x: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Return values (n, knots) of a basis of the natural cubic splines with these knots, one for each degree of freedom.

    A natural spline is a cubic B-spline without curvature at either end. The basis functions have orthonormal B-spline
    coefficients, as those of R's ``ns``.
    """
    padded = np.concatenate([knots[:1].repeat(3), knots, knots[-1:].repeat(3)])
    splines = BSpline(padded, np.eye(len(knots) + 2), 3)
    curvature = splines.derivative(2)(knots[[0, -1]])  # (2, knots + 2)
    flat = np.linalg.svd(curvature)[2][2:].T  # (knots + 2, knots): coefficients without curvature
    return BSpline.design_matrix(x, padded, 3) @ flat


def minimum_norm(basis: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the coefficients (degrees,) of least squared error; of several solutions, the one of least norm."""
    return np.linalg.lstsq(basis, y, rcond=None)[0]


def fit(x: np.ndarray, y: np.ndarray, degrees: int, at: np.ndarray) -> np.ndarray:
    """Return values of the fitted spline at other x."""
    knots = knots_at(x, degrees)
    return natural_basis(at, knots) @ minimum_norm(natural_basis(x, knots), y)


def errors(degrees: list[int], points: int = 20, samples: int = 50) -> pd.DataFrame:
    """Return mean squared errors by ``degrees``: medians over samples of ``points`` points each.

    ``train`` is the error on the noisy points, ``test`` on 1,000 new ones, ``ridge`` the test error of a fit with a penalty
    on the squared norm of the coefficients, and ``norm`` the norm of the coefficients without the penalty.
    """
    rows, ridge = [], Ridge(PENALTY, fit_intercept=False)
    for seed in range(samples):
        x, y = sample(points, seed)
        new_x, new_y = sample(1000, samples + seed)
        for degree in degrees:
            knots = knots_at(x, degree)
            basis, new_basis = natural_basis(x, knots), natural_basis(new_x, knots)
            weights = minimum_norm(basis, y)
            rows.append(
                {
                    "degrees": degree,
                    "train": mean_squared_error(y, basis @ weights),
                    "test": mean_squared_error(new_y, new_basis @ weights),
                    "ridge": mean_squared_error(new_y, new_basis @ ridge.fit(basis, y).coef_),
                    "norm": np.linalg.norm(weights),
                }
            )
    return pd.DataFrame(rows).groupby("degrees").median()


def draw_fit(x: np.ndarray, y: np.ndarray, degrees: int, ax: Axes) -> Axes:
    """Plot the points, the sine without noise, and the fitted spline."""
    grid = np.linspace(*RANGE, 1000)
    ax.plot(grid, np.sin(grid), color=GREY, linewidth=1, label="sin x")
    ax.plot(grid, fit(x, y, degrees, grid), color=ORANGE, label="spline")
    ax.plot(x, y, "o", color=BLUE, markersize=4, label="points")
    ax.set(title=f"{degrees} degrees of freedom", ylim=(-3, 3), xlabel="x")
    return ax


def draw_errors(errors: pd.DataFrame, ax: Axes, threshold: float, label: str) -> Axes:
    """Plot the columns ``train``, ``test`` and, if present, ``ridge`` against the index, on logarithmic axes.

    Args:
        errors: Errors, one row for each size of the model.
        ax: Axes to draw into.
        threshold: Size at which to draw a line.
        label: Label of the line.
    """
    for name, color in (("train", BLUE), ("test", ORANGE), ("ridge", "black")):
        if name in errors:
            ax.plot(errors.index, errors[name], ".-", color=color, label="test, ridge penalty" if name == "ridge" else name)
    ax.axvline(threshold, color=GREY, linestyle="--", linewidth=1, label=label)
    ax.set(xscale="log", yscale="log", xlabel=errors.index.name, ylabel="mean squared error")
    ax.set_ylim(bottom=errors["test"].min() / 30)  # a logarithmic axis cannot show an error of zero
    ticks: list[float] = []
    for size in errors.index:
        if not ticks or size > 1.4 * ticks[-1]:  # labels that do not overlap
            ticks.append(size)
    ax.set_xticks(ticks)
    ax.xaxis.set_major_formatter(ScalarFormatter())
    ax.minorticks_off()
    ax.legend()
    return ax
