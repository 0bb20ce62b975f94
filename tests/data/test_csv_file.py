"""CSV files: no value moves under another header, in any reader."""

import csv
import gzip
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.data import csv_file
from src.data.series.csv import Forecast
from src.data.table import Table
from src.data.text.imdb import IMDB
from src.errors import UserError

NOTE = "left out: 1 column without a name and without values"
cells = st.sampled_from(["1", "2", "3", "7.5", "", "word", "two words", "a, b", 'a "quoted" word', "two\nlines"])


def text(rows: list[list[str]]) -> str:
    """Rows as Python's own module writes them."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()


@settings(max_examples=200, deadline=None)
@given(data=st.data(), columns=st.integers(1, 4), count=st.integers(1, 5))
def test_every_value_stays_under_its_header_or_the_line_is_named(
    data: st.DataObject, columns: int, count: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "rows.csv"
    header = [f"c{number}" for number in range(columns)]
    rows = [[data.draw(st.sampled_from(["1", "x"])), *(data.draw(cells) for _ in header[1:])] for _ in range(count)]
    further = [data.draw(st.sampled_from([[], [""], ["9"], ["", "9"]])) for _ in rows]
    blank = ["\n" * data.draw(st.integers(0, 2)) for _ in rows]
    written = [before + text([row + more]) for before, row, more in zip(blank, rows, further, strict=True)]
    path.write_text(text([header]) + "".join(written))
    lines = [2 + len(blank[at]) + "".join(written[:at]).count("\n") for at in range(count)]
    fault = ""
    try:
        frame, notes = csv_file.read(path, texts=header)
    except UserError as error:
        fault = str(error)
    if not fault:
        assert not any(map(any, further)), "a value would be lost"
        assert frame.to_numpy().tolist() == rows
        assert frame.index.tolist() == lines
        assert notes == ([NOTE] if any(further) else [])
        return
    longer = [index for index, more in enumerate(further) if more]
    at = next((index for index in longer if any(further[index])), longer[0])
    assert fault.startswith(f"line {lines[at]} has {columns + len(further[at])} fields, and the header has {columns};")


@pytest.mark.parametrize("first", [[1, 3, 5], [0, 1, 2], [4, 1, 9]])
def test_numbers_in_the_first_column_are_no_index(tmp_path: Path, first: list[int]) -> None:
    # pandas 3 makes a RangeIndex of evenly spaced numbers, which looks like no index at all
    path = tmp_path / "rows.csv"
    path.write_text("id,units\n" + "".join(f"{number},7,\n" for number in first))
    frame, notes = csv_file.read(path)
    assert (frame["id"].tolist(), frame["units"].tolist(), notes) == (first, [7, 7, 7], [NOTE])


def test_an_unnamed_column_is_left_out_only_if_it_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b,\n1,2,\n3,4,\n")
    assert (list(csv_file.read(path)[0]), csv_file.read(path)[1]) == (["a", "b"], [NOTE])
    path.write_text(",a\nfirst,1\n")  # as pandas writes an index without a name
    assert csv_file.read(path)[0].iloc[0].tolist() == ["first", 1]


def test_texts_stay_under_their_own_header_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b,c\n007,2,NA\n")
    for texts in (["a", "c"], ["c", "a"]):
        assert csv_file.read(path, texts)[0].iloc[0].tolist() == ["007", 2, "NA"]


@pytest.mark.parametrize("header", ["a,b,a", 'a,"b","a"', "\ufeffa,b,a"])
def test_a_name_that_two_columns_have_is_refused(tmp_path: Path, header: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(f"{header}\n1,2,3\n", encoding="utf-8")
    with pytest.raises(UserError, match="columns 1 and 3 are both named a"):
        csv_file.read(path)
    path.write_text("a,b,a.1\n1,2,3\n")
    assert list(csv_file.read(path)[0]) == ["a", "b", "a.1"]


def test_a_compressed_file_is_read_or_refused_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2,\n"))
    assert csv_file.read(path)[0].to_dict("list") == {"a": [1], "b": [2]}
    path.write_bytes(gzip.compress(b"a,b\n\n1,2,3\n"))
    with pytest.raises(UserError, match="line 3 has 3 fields"):
        csv_file.read(path)


def test_a_series_with_trailing_commas_is_learnt_under_its_own_names() -> None:
    random = np.random.default_rng(0).normal(50, 9, (60, 3)).round(2)
    pd.DataFrame(random, columns=["units", "price", "stock"]).to_csv("series.csv", index=False)
    header, *lines = Path("series.csv").read_text().splitlines()
    Path("series.csv").write_text("\n".join([header, *(line + "," for line in lines)]))
    data = Forecast(path="series.csv", target="units", lags=2)
    data.setup()
    assert data.spec.center == pytest.approx(random[:34, 0].mean(), rel=1e-12), "the mean of train: 34 of 60 rows"
    assert data.notes == [f"series.csv: {NOTE}"]
    Path("series.csv").write_text("\n".join([header, *lines[:5], lines[5] + ",7", *lines[6:]]))
    with pytest.raises(UserError, match=r"data\.path=series\.csv: line 7 has 4 fields, and the header has 3"):
        data.load()


@pytest.fixture
def reviews() -> IMDB:
    """Reviews whose inputs are the texts themselves."""

    class Read(IMDB):
        spec = type("Spec", (), {"target": "sentiment"})()

        def encode(self, frame: pd.DataFrame) -> tuple[list[str], pd.Index]:
            return frame["text"].tolist(), frame.index

    return Read(folder=".")


def test_new_rows_with_trailing_commas_are_read_by_their_names(reviews: IMDB) -> None:
    Path("texts.csv").write_text("text,sentiment\n7,positive,\n9,negative,\n")
    texts, lines, _ = reviews.read_new(Path("texts.csv"))
    assert (texts, list(lines), reviews.notes) == (["7", "9"], [2, 3], [NOTE])
    Path("texts.csv").write_text('text,sentiment\n"two\nlines",positive\nA film, good,positive\n')
    with pytest.raises(UserError, match=r"input=texts\.csv: line 4 has 3 fields, and the header has 2"):
        reviews.read_new(Path("texts.csv"))


MISSING = ["NA", "None", "null", "N/A", "nan", "NaN", "n/a", "<NA>", "#N/A", "NULL", "007", "1.0", "True", "1e5"]


def test_every_new_text_is_predicted_whatever_it_says(reviews: IMDB) -> None:
    Path("texts.csv").write_text("text\n" + "\n".join(MISSING) + "\n\n")  # a blank line is no text
    texts, lines, said = reviews.read_new(Path("texts.csv"))
    assert (texts, list(lines)) == (MISSING, list(range(2, 2 + len(MISSING))))
    assert f"{len(MISSING)} rows" in said


def test_categories_of_new_rows_are_those_of_train() -> None:
    class Named(Table):
        def frame(self) -> pd.DataFrame:
            return pd.DataFrame({"kind": MISSING * 4, "size": np.arange(4.0 * len(MISSING))})

    data = Named(target="size", split_seed=1)
    data.setup()
    levels = data.transformer.named_transformers_["kind"].categories_[0]
    assert sorted(levels) == sorted(MISSING)
    pd.DataFrame({"kind": levels}).to_csv("new.csv", index=False)
    x, rows, _ = data.read_new(Path("new.csv"))
    expected = np.eye(len(rows))[:, 1:]  # a column for each level but the first, in the order of the levels
    np.testing.assert_allclose(x.numpy(), data.scaler.transform(expected), rtol=1e-6)
