"""HTML pages of runs and sweeps that need no other file."""

import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from conftest import ROOT, result

from src.reporting import pages
from src.runs import result as results


class Page(HTMLParser):
    """The texts of a page, its tags, and the addresses in it."""

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


def check_self_contained(page: Page) -> None:
    """The page loads nothing and runs nothing."""
    assert not {"script", "link", "iframe"} & page.tags
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert "url(" not in page.text
    assert "@import" not in page.text


def test_a_run_becomes_a_page(call, hitters_sweep: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(hitters_sweep / "0_hitters_linear", tmp_path / "run"))
    status, out, err = call(f"run={run}", entry="page")
    assert (status, err) == (0, "")
    assert out == f"page: {run}/report.html\n"
    page = Page(run / "report.html")
    check_self_contained(page)
    content = result(run)
    assert len(page.links) == 3, "learning curves, predictions and residuals"
    for text in ("hitters linear", f"{content['test']['mae']:.2f}", "model=linear", "trainer.max_epochs=2", content["git"]):
        assert text in page.text
    network = " ".join((run / "model.txt").read_text().split())
    environment = [f"torch {content['versions']['torch']}", content["fingerprint"], content["command"]]
    for text in (*environment, network, "batch_size: 32"):
        assert text in page.text


def test_a_sweep_becomes_a_page_with_its_failed_jobs(call, tmp_path: Path) -> None:
    sweep = Path(shutil.copytree(ROOT / "tests" / "data" / "runs" / "before_rooms" / "sweep", tmp_path / "sweep"))
    (sweep / "9_begun" / ".hydra").mkdir(parents=True)
    error = "ValueError: <b>no</b>"
    results.write(sweep / "1_hitters_mlp", result(sweep / "1_hitters_mlp") | {"status": "failed", "error": error})
    status, _, err = call(f"runs={sweep}", entry="page")
    assert (status, err) == (0, "")
    page = Page(sweep / "report.html")
    check_self_contained(page)
    assert len(page.links) == 3, "a forest, learning curves and metrics by setting"
    assert "hitters: 5 runs" in page.text
    assert "3 finished, 1 failed, 1 unreadable" in page.text
    assert f"failed: {error}" in page.text, "texts are escaped"
    assert "the run was cut short before it began" in page.text
    assert all(count in page.text for count in ("mlp (2)", "ols (2)", "default (1)")), "settings that differ"
    assert f"{result(sweep / '2_hitters_ols')['test']['mae']:.2f}" in page.text
    assert "The best two by validation mae" in page.text


def test_a_failed_run_has_a_page(tmp_path: Path) -> None:
    content = results.start(
        status="failed", error="ValueError: <b>", data="nyse", model="rnn", protocol="documented", seed=0
    )
    results.write(tmp_path, content)
    page = pages.run_page(tmp_path)
    assert "ValueError: &lt;b&gt;" in page
    assert "not honest" in page
    assert page.count("There are none") == 3, "no figures, no curves and no plots"
    assert "All values are the defaults" in page
    assert content["command"] in unescape(page)


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
    assert err.startswith("error: run/metrics.csv: cannot be read")
    assert not list(Path("run").glob("report.html*"))


def test_make_report_takes_either_folder() -> None:
    for given, wanted in (("RUN=a b", "\"run='a b'\""), ("SWEEP=logs/s", "\"runs='logs/s'\"")):
        made = subprocess.run(["make", "--dry-run", "report", given], cwd=ROOT, capture_output=True, text=True).stdout
        assert re.search(rf"-m src\.page +{re.escape(wanted)}", made)
