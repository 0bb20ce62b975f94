"""One HTML page for a run or a sweep, with nothing beside it."""

import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from conftest import ROOT, result

from src.reporting import run_page
from src.runs import result as results


class Page(HTMLParser):
    """The texts of a page, and where its elements point."""

    def __init__(self, path: Path):
        super().__init__()
        self.texts: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.feed(path.read_text())
        self.text = " ".join(self.texts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [str(value) for name, value in attrs if name in ("src", "href", "data", "action")]

    def handle_data(self, data: str) -> None:
        self.texts.append(" ".join(data.split()))


def alone(page: Page) -> None:
    """A page that loads nothing and runs nothing."""
    assert not {"script", "link", "iframe"} & page.tags
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert "url(" not in page.text
    assert "@import" not in page.text
    assert "Traceback" not in page.text


def test_a_run_becomes_a_page(call, train) -> None:
    run = train("logs/run", "model=rnn", "trainer.max_epochs=2")
    status, out, err = call(f"run={run}", entry="page")
    assert (status, err) == (0, "")
    assert out == f"page: {run}/report.html\n"
    page = Page(run / "report.html")
    alone(page)
    told = result(run)
    assert len(page.links) == 3, "learning curves, predictions and residuals"
    for text in ("nyse rnn", f"{told['test']['r2']:.4f}", "0.4150", "model=rnn", "trainer.max_epochs=2", told["git"]):
        assert text in page.text
    for text in (f"torch {told['versions']['torch']}", told["fingerprint"], "RNN", "batch_size: 64", told["command"]):
        assert text in page.text


@pytest.mark.slow
def test_a_sweep_becomes_a_page_that_names_its_failed_jobs(call) -> None:
    call("-m", "model=linear,ols", "data.lags=5,6000", "trainer.max_epochs=2", "hydra.sweep.dir=logs/sweep")
    (Path("logs/sweep/9_begun") / ".hydra").mkdir(parents=True)
    status, _, err = call("runs=logs/sweep", entry="page")
    assert (status, err) == (0, "")
    page = Page(Path("logs/sweep/report.html"))
    alone(page)
    assert "nyse: 5 runs" in page.text
    assert "2 finished, 2 failed, 1 unreadable" in page.text
    assert page.text.count("data.lags=6000: ") >= 2, "the reason of each failed job"
    assert "the run was cut short before it began" in page.text
    assert "5 (2), 6000 (2)" in page.text, "what differed"
    assert f"{result(Path('logs/sweep/2_nyse_ols'))['test']['r2']:.4f}" in page.text
    assert "The best two by validation r2" in page.text


def test_a_run_that_failed_has_its_facts_too(tmp_path: Path) -> None:
    told = results.start(status="failed", error="ValueError: <b>", data="nyse", model="rnn", protocol="documented", seed=0)
    results.write(tmp_path, told)
    assert "ValueError: &lt;b&gt;" in run_page.headline(tmp_path).data
    assert "not honest" in run_page.headline(tmp_path).data
    for part in (run_page.figures, run_page.curves, run_page.pictures):
        assert "There are none" in part(tmp_path).data
    assert "All values are the defaults" in run_page.configuration(tmp_path).data
    assert told["command"] in run_page.environment(tmp_path).data


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "give either run=DIR"),
        (["run=logs/run", "runs=logs"], "give either run=DIR"),
        (["run=nowhere"], "run=nowhere: no run is there"),
        (["run=logs"], "run=logs: no run is there"),
        (["runs=nowhere"], "runs=nowhere: no run is below it"),
        (["runs=empty"], "runs=empty: no run is below it"),
        (["runs=logs/run"], "runs=logs/run: is a single run; give it as run=logs/run"),
        (["rum=logs/run"], "rum: there is no such key; did you mean run?"),
    ],
)
def test_bad_input_gets_one_sentence(call, arguments: list[str], sentence: str) -> None:
    Path("empty").mkdir()
    Path("logs/run").mkdir(parents=True)
    results.write(Path("logs/run"), results.start())
    status, _, err = call(*arguments, entry="page")
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith("error: ")
    assert sentence in err
    assert not list(Path.cwd().rglob("report.html*"))


def test_a_damaged_file_is_named_and_no_page_is_left(call) -> None:
    Path("run").mkdir()
    results.write(Path("run"), results.start(data="nyse"))
    Path("run/metrics.csv").write_text("")
    status, _, err = call("run=run", entry="page")
    assert (status, err.count("\n")) == (2, 1)
    assert re.search(r"error: run: no page can be made of it \(.*metrics.csv: cannot be read", err)
    assert not list(Path("run").glob("report.html*"))


def test_make_report_takes_either_folder() -> None:
    for given, wanted in (("RUN=a b", "\"run='a b'\""), ("SWEEP=logs/s", "\"runs='logs/s'\"")):
        made = subprocess.run(["make", "--dry-run", "report", given], cwd=ROOT, capture_output=True, text=True).stdout
        assert re.search(rf"-m src\.page +{re.escape(wanted)}", made)
