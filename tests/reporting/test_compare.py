"""Runs side by side: pooled runs, runs that do not count, and the verdict on the best two."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, result, shell
from matplotlib.figure import Figure
from scipy import stats
from sklearn import metrics

from src.reporting import collect, comparison, comparison_plots, significance, tables
from src.runs import history
from src.runs import result as results

STORED = ROOT / "tests" / "data" / "runs" / "before_rooms"
ACTUAL = np.random.default_rng(0).normal(size=80)


def leave(
    folder: str, model: str = "rnn", seed: int = 0, noise: float = 1.0, given: tuple[str, ...] = (), **values: Any
) -> Path:
    """Write the folder of a run, whose predictions are off by some noise and whose metrics agree with them."""
    run = Path(folder)
    (run / ".hydra").mkdir(parents=True)
    predicted = ACTUAL + np.random.default_rng(seed + 100).normal(size=len(ACTUAL)) * noise
    table = pd.DataFrame({"prediction": predicted, "actual": ACTUAL}, pd.RangeIndex(len(ACTUAL), name="row"))
    table.to_csv(run / "predictions.csv")
    mae = float(np.abs(predicted - ACTUAL).mean())
    best = {"epoch": 1, "val/loss": noise, "val/mae": values.pop("validation", noise)}
    epochs = pd.DataFrame({"epoch": [0, 1], "val/loss": [2 * noise, noise], "val/mae": [2 * noise, noise]})
    epochs.to_csv(run / "metrics.csv", index=False)
    content = results.start(status="finished", data="hitters", model=model, protocol="honest", seed=seed, split_seed=0)
    content |= {"monitor": "val/loss", "best": best, "last": best, "test": {"mae": mae, "rmse": mae * 1.2}, "parameters": 51}
    content["seconds"] = dict.fromkeys(content["seconds"], 1.5)
    results.write(run, content | values)
    texts = [f"model={model}", f"seed={seed}", *given]
    (run / ".hydra" / "overrides.yaml").write_text("".join(f"- {text}\n" for text in texts))
    return run


def seeds(model: str, noise: float, count: int = 5, **values: Any) -> None:
    for seed in range(count):
        leave(f"logs/{model}_{values.get('protocol', 'honest')}/{seed}", model, seed, noise, **values)


def compared(*folders: str, **options: Any) -> list[comparison.Comparison]:
    return comparison.compare(collect.collect([Path(folder) for folder in folders or ("logs",)]), **options)


def verdict(**options: Any) -> str:
    (one,) = compared(**options)
    return str(significance.best_two(one))


def test_real_runs_are_compared(call, rendered, hitters_sweep: Path) -> None:
    files = ["--csv", "table.csv", "--html", "page.html", "--plots", "plots"]
    status, out, err = call(str(hitters_sweep), str(STORED / "nyse_rnn"), *files, entry="compare")
    assert (status, err) == (0, "")
    runs = history.runs(hitters_sweep)
    linear = runs[runs["model"] == "linear"]["test.mae"]
    assert f"{linear.mean():.2f}±{linear.std():.2f}" in out
    assert re.search(r"^ols +honest +2 +257\.60±0\.00 +261\.40 .* 259\.72 +-2\.1208", out, re.MULTILINE)
    assert "nyse, test r2" in out
    table = pd.read_csv("table.csv")
    assert not any(name.startswith("Unnamed") for name in table), "every column has a name"
    table = table.set_index(["data", "model"])
    assert table.loc[("hitters", "linear"), "mae_mean"] == pytest.approx(linear.mean(), rel=1e-6)
    assert table.loc[("hitters", "linear"), "mae_sd"] == pytest.approx(linear.std(), rel=1e-5)
    assert table.loc[("nyse", "rnn"), "r2_documented"] == 0.415
    assert {"rmse_mean", "mse_mean", "r2_mean", "loss_mean"} <= set(table)
    page = Path("page.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert not re.search(r"https?://|<script|<link", page)
    assert "259.72" in page
    drawn = {path.name for path in Path("plots").iterdir()}
    assert drawn == {f"{name}_{kind}.png" for name in ("hitters_mae", "nyse_r2") for kind in ("curves", "forest")}


def test_seeds_are_pooled_and_other_settings_are_not() -> None:
    seeds("rnn", 1.0)
    for seed in (0, 1):
        leave(f"logs/wide/{seed}", seed=seed, given=("model.hidden_size=99", "callbacks.progress=null"))
    (one,) = compared()
    assert one.metric == "mae"
    assert one.groups["runs"].to_dict() == {"default settings": 5, "hidden_size=99": 2}
    (pooled,) = compared(by=["model"])
    assert pooled.groups["runs"].tolist() == [7]
    assert any("model.hidden_size" in note for note in pooled.notes)
    (split,) = compared(by=["model.hidden_size"])
    assert sorted(split.groups["model.hidden_size"]) == ["99", "default"]


def test_only_the_newest_of_repeated_runs_counts() -> None:
    leave("logs/a", seed=0, noise=1.0, started="2026-01-01T00:00:00+00:00")
    newest = leave("logs/b", seed=0, noise=2.0, started="2026-01-02T00:00:00+00:00")
    leave("logs/c", seed=1)
    (one,) = compared()
    assert one.groups["runs"].tolist() == [2]
    assert str(newest) in one.runs["run"].tolist()
    assert "logs/a" not in one.runs["run"].tolist()


def test_the_same_settings_on_other_data_are_another_experiment() -> None:
    leave("logs/a", seed=0, fingerprint="aaaaaaaa")
    leave("logs/b", seed=0, fingerprint="bbbbbbbb", started="2036-01-02T00:00:00+00:00")
    (one,) = compared()
    assert sorted(one.groups.index) == ["fingerprint=aaaaaa", "fingerprint=bbbbbb"]
    leave("logs/c", seed=0, fingerprint="bbbbbbbb")
    (one,) = compared()
    assert one.groups["runs"].tolist() == [1, 1]


def test_groups_are_ranked_by_validation_and_runs_that_validated_on_test_rows_come_last() -> None:
    seeds("lucky", 0.5, validation=3.0)
    seeds("solid", 1.0, validation=2.0)
    seeds("best", 0.1, validation=0.1, protocol="documented", honest=False)
    (one,) = compared()
    assert [name.split()[0] for name in one.groups.index] == ["solid", "lucky", "best"]
    assert verdict().startswith("The best two by validation mae: solid honest, and lucky honest.")
    assert verdict().endswith("lucky honest is better")


def test_the_direction_of_a_metric_comes_from_the_runs() -> None:
    for seed in (0, 1, 2):
        for model, value in (("good", 0.0164), ("bad", 0.0278)):
            measured = {"best": {"epoch": 0, "val/log_cosh": value}, "test": {"log_cosh": value * (1 + seed / 100)}}
            measured |= {"monitor": "val/log_cosh", "higher_is_better": {"log_cosh": False}}
            leave(f"logs/{model}/{seed}", model, seed, **measured)
    (one,) = compared(metric="log_cosh")
    assert list(one.groups.index) == ["good", "bad"]
    assert verdict(metric="log_cosh").endswith("good is better")


def test_validation_is_that_of_the_tested_weights() -> None:
    run = leave("logs/a", last={"epoch": 9, "val/loss": 5.0, "val/mae": 7.0})
    assert compared()[0].groups["validation"].tolist() == [1.0]
    (run / ".hydra" / "config.yaml").write_text("seed: 0\ntest_weights: last\n")
    assert compared()[0].groups["validation"].tolist() == [7.0]


def test_runs_that_do_not_count_are_listed_with_the_reason(call) -> None:
    leave("logs/good")
    leave("logs/failed", seed=1, status="failed", error="ValueError: no", test=None)
    leave("logs/diverged", seed=2, status="diverged")
    leave("logs/untested", seed=3, test=None)
    leave("logs/debug", seed=4, given=("debug=one_batch",))
    leave("logs/odd", seed=5, test={"mae": "low"})
    leave("logs/wrong", seed=6, seconds=3)
    leave("logs/foreign", seed=12, started=3, monitor=["val/loss"])
    (leave("logs/overrides", seed=7) / ".hydra" / "overrides.yaml").write_text("- [")
    (leave("logs/cut", seed=8) / "result.json").write_text('{"status": "fin')
    (leave("logs/list", seed=9) / "result.json").write_text("[1, 2]")
    (leave("logs/deep", seed=10) / "result.json").write_text("[" * 100_000)
    (leave("logs/begun", seed=11) / "result.json").unlink()
    status, out, err = call("logs", entry="compare")
    assert (status, err) == (0, "")
    assert "Not counted, 12 of 13 runs:" in out
    reasons = dict(re.findall(r"^logs/(\w+): (.*)", out, re.MULTILINE))
    assert reasons["failed"] == "failed: ValueError: no"
    assert reasons["diverged"] == "diverged"
    assert reasons["untested"] == reasons["odd"] == "finished, but without test figures"
    assert reasons["debug"].startswith("debug=one_batch")
    unreadable = {name for name, reason in reasons.items() if reason.startswith("unreadable: ")}
    assert unreadable == {"wrong", "foreign", "overrides", "cut", "list", "deep", "begun"}
    assert re.search(r"^rnn +honest +1 ", out, re.MULTILINE)


def test_seeds_are_paired_by_a_t_test_and_test_rows_by_a_bootstrap() -> None:
    seeds("near", 0.5)
    seeds("far", 0.6)
    (one,) = compared()
    near, far = (one.runs[one.runs["model"] == name].sort_values("seed") for name in ("near", "far"))
    found = significance.difference(near, far, "mae")
    over_seeds, over_rows = found.intervals
    theirs = stats.ttest_rel(near["test.mae"], far["test.mae"])
    assert found.mean == pytest.approx((near["test.mae"].to_numpy() - far["test.mae"].to_numpy()).mean())
    assert (over_seeds.low, over_seeds.high) == pytest.approx(tuple(theirs.confidence_interval(0.95)))
    assert over_rows.low < found.mean < over_rows.high < 0
    assert (found.seeds, found.missing) == (5, [])
    assert verdict().endswith("they differ, near is better")


def test_one_seed_of_each_network_gets_no_verdict_but_commands_for_more() -> None:
    leave("logs/a", "a", noise=0.1, given=("model.dropout=0.5", "hydra.run.dir=logs/a"))
    leave("logs/b", "b", noise=5.0)
    assert "better" not in verdict()
    assert "One seed is not enough for a verdict" in verdict()
    assert "python -m src.train -m model=a model.dropout=0.5 seed=0,1,2,3,4 and python" in verdict()
    leave("logs/c", "a", seed=1, noise=0.1, given=("model.dropout=0.5",))
    assert verdict().endswith("run python -m src.train -m model=b seed=0,1"), "only the side that lacks a seed"
    leave("logs/d", "b", seed=1, noise=5.1)
    assert verdict().endswith("they differ, a dropout=0.5 is better")


def test_two_baselines_get_a_verdict_from_the_test_rows_of_one_seed() -> None:
    for model, noise in (("ols", 0.1), ("train_mean", 5.0)):
        run = leave(f"logs/{model}", model, noise=noise)
        shutil.copy(STORED / "sweep" / "2_hitters_ols" / ".hydra" / "config.yaml", run / ".hydra")
    assert verdict().endswith("they differ, ols is better")
    shutil.copy(STORED / "sweep" / "0_hitters_mlp" / ".hydra" / "config.yaml", "logs/ols/.hydra")
    assert "One seed is not enough" in verdict(), "one of the two is a network"


def test_a_pair_that_cannot_be_compared_says_why() -> None:
    leave("logs/a", "a", seed=0, noise=0.1)
    leave("logs/b", "b", seed=1, noise=0.2)
    assert "they have no seed in common; run python -m src.train -m model=a seed=0,1 and" in verdict()
    leave("logs/c", "b", seed=0, noise=0.2)
    assert "no interval over seeds, because there is one" in verdict()
    path = Path("logs/c/predictions.csv")
    table = pd.read_csv(path)
    path.unlink()
    assert "no bootstrap over test rows" in verdict()
    table.assign(prediction=0.0).to_csv(path, index=False)
    assert "mae cannot be computed from predictions.csv" in verdict()
    table.assign(actual=table["actual"] + 1).to_csv(path, index=False)
    assert "they were tested on different rows" in verdict()
    path.write_text("")
    assert "cannot be read" in verdict()
    leave("logs/d", "b", seed=0, noise=0.3, given=("model.dropout=0.5",))
    assert "several runs of one seed" in verdict(by=["model"])
    shutil.rmtree("logs")
    leave("logs/a")
    assert significance.best_two(compared()[0]) is None


def test_small_values_keep_their_significant_digits() -> None:
    assert (tables.figure(3e-5), tables.figure(-3.14159e-7), tables.figure(0.0)) == ("3.0e-05", "-3.1e-07", "0.0000")
    assert (tables.figure(0.00727), tables.figure(0.41), tables.figure(259.7154)) == ("0.0073", "0.4100", "259.72")
    assert (tables.pm(3e-5, 1.2e-6), tables.signed(3e-5)) == ("3.0e-05±1.2e-06", "+3.0e-05")


def weighted(metric: str, table: pd.DataFrame, counts: np.ndarray) -> float:
    """The metric as scikit-learn has it."""
    actual, prediction, options = table["actual"], table["prediction"], {"sample_weight": counts}
    if metric in ("roc_auc", "pr_auc"):
        score = {"roc_auc": metrics.roc_auc_score, "pr_auc": metrics.average_precision_score}[metric]
        return score(actual == "yes", table["probability_yes"], **options)
    scores = {
        "mae": metrics.mean_absolute_error,
        "mse": metrics.mean_squared_error,
        "rmse": metrics.root_mean_squared_error,
        "r2": metrics.r2_score,
        "accuracy": metrics.accuracy_score,
    }
    return scores[metric](actual, prediction, **options)


@pytest.mark.parametrize("metric", ["mae", "mse", "rmse", "r2", "roc_auc", "pr_auc", "accuracy", "of three"])
def test_resampled_metrics_are_scikit_learns(metric: str) -> None:
    random = np.random.default_rng(1)
    if metric in ("mae", "mse", "rmse", "r2"):
        table = pd.DataFrame({"prediction": random.normal(size=60), "actual": random.normal(size=60) + 100})
    elif metric == "of three":
        names = np.array(["a", "b", "c"])
        table = pd.DataFrame({"prediction": random.choice(names, 60), "actual": random.choice(names, 60)})
        table = table.assign(**{f"probability_{name}": 1 / 3 for name in names})
        metric = "accuracy"
    else:
        scores = random.uniform(size=60).round(1)  # with ties
        table = pd.DataFrame(
            {"prediction": np.where(scores > 0.3, "yes", "no"), "probability_no": 1 - scores, "probability_yes": scores}
        )
        table["actual"] = random.choice(["no", "yes"], 60)
    scorer, *_ = significance.candidates(metric, table)
    counts = np.concatenate(list(significance.draws(60, 5, seed=0)))
    assert counts.sum(1).tolist() == [60] * 5
    assert scorer(counts) == pytest.approx([weighted(metric, table, row) for row in counts])
    assert significance.candidates("calibration_error", table) == []


def test_the_documented_figure_is_a_diamond_and_each_run_a_dot() -> None:
    seeds("near", 0.5, documented={"mae": 0.4})
    seeds("far", 0.6)
    (one,) = compared()
    ax = comparison_plots.metrics_of(one, Figure().add_subplot())
    drawn = {line.get_label(): line for line in ax.get_lines()}
    assert [label.get_text() for label in ax.get_yticklabels()] == ["near", "far"]
    assert list(drawn["documented"].get_xdata()) == [0.4]
    assert sorted(drawn["one run"].get_xdata()) == sorted(one.runs.loc[one.runs["model"] == "near", "test.mae"])
    ax = comparison_plots.curves_of(one, Figure().add_subplot())
    assert {line.get_label(): list(line.get_ydata()) for line in ax.get_lines()} == {"near": [1.0, 0.5], "far": [1.2, 0.6]}


def test_different_metrics_of_a_data_set_have_tables_of_their_own() -> None:
    leave("logs/a", "mlp")
    leave("logs/b", "autoencoder", test={"reconstruction": 0.1})
    assert [(one.metric, len(one.groups)) for one in compared()] == [("mae", 1), ("reconstruction", 1)]
    assert [one.metric for one in compared(metric="rmse")] == ["rmse"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "the following arguments are required: FOLDER"),
        (["nowhere"], "nowhere: there is no such folder"),
        (["file"], "file: is a file"),
        (["empty"], "empty: no run is below it"),
        (["logs", "empty"], "empty: no run is below it"),
        (
            ["logs", "--by", "modle"],
            "--by modle: these runs have no such column, and none sets that key; did you mean model?",
        ),
        (["logs", "--by", "task.optimizer.lrr"], "did you mean task.optimizer.lr?"),
        (["logs", "--by", ","], "--by: names no key"),
        (["logs", "--metric", "maee"], "--metric maee: no run has been tested by it; did you mean mae?"),
        (["logs", "--metric", "bleu"], "choose one of: mae, rmse"),
        (["logs", "--csv", "none/table.csv"], "--csv=none/table.csv: must be a file in a folder that exists"),
        (["logs", "--html", "logs"], "--html=logs: must be a file"),
        (["logs", "--plots", "none/plots"], "--plots=none/plots: must be a folder"),
        (["logs", "--plots", "file"], "--plots=file: must be a folder"),
        (["logs", "--sort"], "unrecognized arguments: --sort"),
    ],
)
def test_bad_input_gets_one_sentence(call, arguments: list[str], sentence: str) -> None:
    leave("logs/a", given=("task.optimizer.lr=0.1",))
    Path("empty/folder").mkdir(parents=True)
    Path("file").write_text("")
    before = sorted(Path.cwd().rglob("*"))
    status, _, err = call(*arguments, entry="compare")
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith("error: ")
    assert sentence in err
    assert sorted(Path.cwd().rglob("*")) == before


def test_torch_is_not_needed_to_compare() -> None:
    for model in ("near", "far"):
        seeds(model, 0.5 if model == "near" else 0.6, count=2)
    program = (
        "import sys; from src.compare import main\n"
        "sys.argv[1:] = ['logs', '--html', 'page.html', '--plots', 'plots']; main()\n"
        "assert not {'torch', 'lightning'} & set(sys.modules)"
    )
    ended = shell("-c", program)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "paired bootstrap of 2 seeds" in ended.stdout


def test_files_and_targets_of_ones_own_have_tables_of_their_own() -> None:
    for number, path in enumerate(("wine.csv", "wine.csv", "more/wine.csv")):
        leave(f"logs/{number}", seed=number, given=(f"data.path={path}", "data.target=quality"))
    assert [(one.data, len(one.runs)) for one in compared()] == [
        ("hitters more/wine.csv quality", 1),
        ("hitters wine.csv quality", 2),
    ]
    comparison_plots.save(compared()[0], Path("plots"))
    assert all("hitters_more_wine.csv_quality_mae" in path.name for path in Path("plots").iterdir())


def test_runs_inside_of_runs_are_not_looked_for() -> None:
    leave("logs/a")
    leave("logs/a/checkpoints/inner", seed=1)
    assert list(history.run_folders("logs")) == ["logs/a"]
    assert json.loads((Path("logs/a") / "result.json").read_text()) == result(Path("logs/a"))


def folds(model: str, noise: float, repeats: int = 1, seeds: int = 1) -> None:
    rows = {"train": 160, "val": 40, "test": 50}
    for number in range(5 * repeats * seeds):
        fold, seed = number // seeds, number % seeds
        given = ("data.folds=5", f"data.fold={fold}", f"data.repeats={repeats}")
        run = leave(f"logs/{model}/{number}", model, seed, noise, given, fold=fold, rows=rows)
        found = result(run)
        mae = found["test"]["mae"] + noise * np.random.default_rng(number).normal() / 20
        results.write(run, found | {"test": {"mae": mae}})


@pytest.mark.parametrize(("repeats", "seeds"), [(1, 1), (2, 1), (1, 3)])
def test_folds_are_paired_by_the_corrected_t_test(repeats: int, seeds: int) -> None:
    folds("near", 0.5, repeats, seeds)
    folds("far", 0.6, repeats, seeds)
    (one,) = compared()
    assert one.groups["seeds"].tolist() == [5 * repeats * seeds] * 2
    near, far = (one.runs[one.runs["model"] == name] for name in ("near", "far"))
    found = significance.difference(near, far, "mae")
    # Nadeau and Bengio (2003), with the mean over the seeds of a fold as its value
    by_fold = near.groupby("fold")["test.mae"].mean() - far.groupby("fold")["test.mae"].mean()
    count = 5 * repeats
    error = by_fold.std() * np.sqrt(1 / count + 50 / 200)
    assert found.mean == pytest.approx(by_fold.mean())
    (interval,) = found.intervals
    margin = stats.t.ppf(0.975, count - 1) * error
    assert (interval.low, interval.high) == pytest.approx((by_fold.mean() - margin, by_fold.mean() + margin))
    p = 2 * stats.t.sf(abs(by_fold.mean()) / error, count - 1)
    assert interval.source == f"over {count} folds (corrected paired t-test, p = {p:.2g})"
    plain = stats.ttest_1samp(by_fold, 0).confidence_interval(0.95)
    assert interval.high - interval.low > 1.3 * (plain.high - plain.low), "a plain test sees too much"


def test_folds_and_runs_without_them_are_not_pooled() -> None:
    folds("near", 0.5)
    leave("logs/whole", "near", noise=0.5)
    (one,) = compared()
    assert sorted(one.groups["runs"]) == [1, 5]
    assert "they have no seed in common; run both with sweep=folds" in verdict()
