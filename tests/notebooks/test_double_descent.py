"""Splines of least norm."""

import double_descent
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy.interpolate import CubicSpline


@pytest.mark.parametrize("degrees", [8, 20, 42])
def test_the_solution_is_that_of_the_pseudoinverse(degrees: int) -> None:
    x, y = double_descent.sample(20, seed=0)
    basis = double_descent.natural_basis(x, double_descent.knots_at(x, degrees))
    assert basis.shape == (20, degrees)
    assert double_descent.minimum_norm(basis, y) == pytest.approx(np.linalg.pinv(basis, rcond=1e-12) @ y, rel=1e-6, abs=1e-8)


def test_the_basis_spans_the_natural_cubic_splines() -> None:
    knots = np.array([-5.0, -3.0, -1.0, 0.5, 2.0, 5.0])
    values = np.array([0.3, -1.0, 2.0, 0.0, 1.0, -0.5])
    weights = np.linalg.solve(double_descent.natural_basis(knots, knots), values)
    grid = np.linspace(-5, 5, 200)
    theirs = CubicSpline(knots, values, bc_type="natural")(grid)
    assert double_descent.natural_basis(grid, knots) @ weights == pytest.approx(theirs, abs=1e-8)


def test_test_error_peaks_where_interpolation_begins_and_falls_beyond() -> None:
    errors = double_descent.errors([4, 8, 16, 21, 42], samples=20)
    assert (errors["train"].loc[[21, 42]] < 1e-20).all()
    assert errors["train"].loc[16] > 1e-3
    assert errors["test"].idxmax() == 21
    assert errors["test"].idxmin() == 8
    assert errors["test"].loc[42] < errors["test"].loc[21] / 5
    assert errors["norm"].idxmax() == 21
    assert errors["ridge"].loc[21] < errors["test"].loc[21] / 5


def test_plots_show_fit_and_errors() -> None:
    x, y = double_descent.sample(20, seed=1)
    ax = double_descent.draw_fit(x, y, 20, Figure().add_subplot())
    spline = next(line for line in ax.get_lines() if line.get_label() == "spline")
    assert np.interp(x, spline.get_xdata(), spline.get_ydata()) == pytest.approx(y, abs=0.1), (
        "20 degrees pass through 20 points"
    )
    errors = pd.DataFrame({"train": [1.0, 0.1], "test": [2.0, 3.0]}, index=pd.Index([1, 10], name="width"))
    ax = double_descent.draw_errors(errors, Figure().add_subplot(), 5, "as many as rows")
    drawn = {line.get_label(): list(line.get_ydata()) for line in ax.get_lines()}
    assert (drawn["train"], drawn["test"]) == ([1.0, 0.1], [2.0, 3.0])
    assert ax.get_xlabel() == "width"
