"""Texts of the user's own: read from tables, JSON lines and folders; train alone makes the vocabulary."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import FILES, ROOT, result
from sklearn.linear_model import LogisticRegression

from src.baselines.text import NaiveBayesLogistic
from src.data import splits
from src.data.text import words
from src.data.text.documents import File

CLASSES, NUMBERS = "src.tasks.classification.Classification", "src.tasks.regression.Regression"
MESSAGES = ["data=texts", f"data.path={ROOT}/tests/data/messages.csv", "data.text=message", "data.target=topic"]
TOPICS = {"sport": "match goal team", "money": "bank market share", "weather": "rain wind sun", "film": "actor scene screen"}


def news(rows: int = 200) -> pd.DataFrame:
    """News of four topics: words of the topic among words that all have."""
    random = np.random.default_rng(0)
    labels = [[*TOPICS][number % 4] for number in range(rows)]
    common = [f"word{number}" for number in range(30)]
    texts = [
        " ".join(random.permutation([*random.choice(common, 8), *random.choice(TOPICS[label].split(), 3)]))
        for label in labels
    ]
    return pd.DataFrame({"text": texts, "label": labels})


def made(frame: pd.DataFrame, task: str = CLASSES, **options: Any) -> File:
    frame.to_csv("rows.csv", index=False)
    data = File(path="rows.csv", task=task, target="label", **options)
    data.setup()
    return data


def test_words_of_any_language_are_those_of_keras_where_it_has_them() -> None:
    assert words.split(["It's <b>GREAT</b>; don't (miss) it_all, e-mail 50%!\n'so'"]) == [
        ["it's", "b", "great", "b", "don't", "miss", "it", "all", "e", "mail", "50", "'so'"]
    ]
    assert (words.split(["Мне «очень» понравилось…", "C’est l\u2019été\u00a0!", "हिन्दी में।", "１２３ "])) == [
        ["мне", "очень", "понравилось"],
        ["c'est", "l'été"],
        ["हिन्दी", "में"],
        ["123"],
    ]


def test_the_vocabulary_is_made_of_the_words_of_train() -> None:
    frame = news()
    data = made(frame, vocabulary=20, min_count=3)
    train = frame["text"].iloc[splits.divide(200, 0.2, 0.2, splits.at_random(0, frame["label"].to_numpy()))["train"]]
    counts = train.str.split().explode().value_counts()
    ordered = sorted(counts.index, key=lambda word: (-counts[word], word))
    assert data.words == (*words.RESERVED, *ordered[:16])
    row = data.splits["train"].x[np.arange(1)][0]
    number = {word: place for place, word in enumerate(data.words)}
    first = frame["text"][data.splits["train"].rows[0] - 2].split()
    assert row[-12:].tolist() == [1, *(number.get(word, 2) for word in first)]
    held = frame.copy()
    rows = np.concatenate([data.splits[name].rows for name in ("val", "test")]) - 2
    held.loc[rows, "text"] = "quite other words"
    other = made(held, vocabulary=20, min_count=3)
    assert (other.words, other.index) == (data.words, data.index)


def test_sequences_and_bags_learn_the_topics_of_news(train, call) -> None:
    news().to_csv("news.csv", index=False)
    given = ("data=texts", "data.path=news.csv")
    folder = train(
        "bag",
        *given,
        "data.view=bag",
        "data.weighting=tfidf",
        "model=linear",
        "trainer.max_epochs=5",
        "task.optimizer.lr=0.1",
    )
    assert result(folder)["test"]["accuracy"] > 0.9
    folder = train("run", *given, "model=gru", "trainer.max_epochs=8", "task.optimizer.lr=0.05")
    assert result(folder)["test"]["accuracy"] > 0.9
    assert f"{result(folder)['test']['accuracy']:.4f}" in call("run=run", entry="evaluate")[1]
    status, out, err = call("run=run", "text=a goal of the Team!", entry="predict")
    assert (status, err) == (0, "")
    assert out.startswith("prediction: sport\n")
    assert out.endswith("not in the vocabulary of 46: a, of, the\n")
    new = news(8).assign(date="2024-01-01").drop(columns="label")
    new.loc[3, "text"] = "qwerty"
    new.to_csv("new.csv", index=False)
    status, out, err = call("run=run", "input=new.csv", "output=out.csv", entry="predict")
    assert (status, err) == (0, "")
    assert "texts without a word of the vocabulary: 1, the first on line 5" in out
    assert pd.read_csv("out.csv")["prediction"].eq(news(8)["label"]).sum() >= 7


def test_a_table_json_lines_and_folders_of_the_same_texts_give_the_same_inputs() -> None:
    frame = news(60)
    with gzip.open("rows.jsonl.gz", "wt") as file:
        file.write("\n\n".join(map(json.dumps, frame.assign(id=range(60)).to_dict("records"))))
    for number, (text, label) in enumerate(frame.itertuples(index=False)):
        path = Path("news") / label / "2024" / f"{number:02d}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\ufeff" + text)
    table = made(frame)
    for path in ("rows.jsonl.gz", "news"):
        data = File(path=path, task=CLASSES, target="label", test_path=path if path == "news" else None)
        data.setup()
        if path == "news":  # in another order
            assert sorted(data.splits["test"].rows)[0] == "film/2024/03.txt"
            assert data.spec.classes == table.spec.classes == ("film", "money", "sport", "weather")
        else:
            assert data.splits["train"].rows.tolist() == [2 * row - 3 for row in table.splits["train"].rows]
            assert data.splits["train"].x.words.equal(table.splits["train"].x.words)


def test_rows_without_a_text_or_a_target_are_left_out_and_counted(call) -> None:
    frame = news(80).assign(stars=np.arange(80) / 7)
    frame.loc[[1, 2], "text"] = ["...!", None]
    frame.loc[[2, 5, 6], "stars"] = None
    frame.to_json("rows.jsonl", orient="records", lines=True)
    status, out, err = call(
        *("data=texts", "data.path=rows.jsonl", "data.target=stars", "data.view=bag", "model=train_mean"),
        "hydra.run.dir=run",
    )
    assert (status, err) == (0, "")
    assert "rows.jsonl: rows without text, left out: 2\n" in out
    assert "rows.jsonl: rows without stars, left out: 2\n" in out
    assert "mae" in result(Path("run"))["test"], "the target is a number"


def test_labelled_rows_of_a_finished_run_are_read_like_its_own() -> None:
    data = made(news())
    more = news(20)
    more.loc[[0, 1], "text"], more.loc[2, "label"] = "", None
    more.to_csv("more.csv", index=False)
    split, said = data.labelled(Path("more.csv"))
    assert split.rows.tolist() == list(range(5, 22))
    assert "1 without label left out" in said
    assert "more.csv: rows without text, left out: 2" in data.notes


def test_more_than_two_classes_are_each_told_from_the_others() -> None:
    data = made(news(), view="bag", ngrams=2)
    (x, y), (x_val, y_val) = ((data.splits[name].x.matrix, data.splits[name].y.numpy()) for name in ("train", "val"))
    dense, columns = x.toarray(), []
    for number in range(4):
        own, others = (1 + dense[y == number].sum(0), 1 + dense[y != number].sum(0))
        ratios = np.log(own / own.sum()) - np.log(others / others.sum())
        plain = LogisticRegression(C=0.3, max_iter=1000).fit(dense * ratios, y == number)
        columns.append(plain.predict_proba(x_val.toarray() * ratios)[:, 1])
    expected = np.stack(columns, 1) / np.sum(columns, 0)[:, None]
    model = NaiveBayesLogistic([0.3]).fit(x, y, (x_val, y_val))
    np.testing.assert_allclose(model.predict_proba(x_val), expected, atol=1e-3)
    assert model.coef_.shape == (4, x.shape[1])


def test_reviews_written_out_are_the_reviews(train) -> None:
    keras = train("imdb", "data=imdb_bow", "model=nb_logistic", FILES)
    from src.data.text.imdb import IMDBBags

    data = IMDBBags(folder=str(ROOT / "tests" / "data"), vocabulary=None, view="sequence")
    data.setup()
    rows = []
    for name, (x, y, _, _) in data.splits.items():
        starts = [0, *x.ends[:-1].tolist()]
        rows += [
            {
                "text": " ".join(data.words[n] for n in x.words[start + 1 : end]),
                "label": data.spec.classes[int(label)],
                "part": name,
            }
            for start, end, label in zip(starts, x.ends.tolist(), y, strict=True)
        ]
    pd.DataFrame(rows).to_csv("reviews.csv", index=False)
    own = train(
        "own",
        "data=texts",
        "data.path=reviews.csv",
        "data.split=part",
        "data.view=bag",
        "data.min_count=1",
        "model=nb_logistic",
    )
    assert result(own)["test"]["accuracy"] == pytest.approx(result(keras)["test"]["accuracy"], abs=0.05)


ROWS = "".join(f"some text {number % 3},{'ab'[number % 2]}\n" for number in range(40))
BAD = {
    "empty file": ("rows.csv", b"", "", "data.path=rows.csv: cannot be read as CSV"),
    "header only": ("rows.csv", b"text,label\n", "", "data.target=label: holds no values"),
    "no such column": (
        "rows.csv",
        f"note,label\n{ROWS}".encode(),
        "",
        "data.text=text: rows.csv has no such column; choose",
    ),
    "no such target": ("rows.csv", f"text,kind\n{ROWS}".encode(), "", "data.target=label: rows.csv has no such column"),
    "constant target": ("rows.csv", b"text,label\na,1\nb,1\n", "", "data.target=label: holds the value 1 alone"),
    "missing target": ("rows.csv", b"text,label\na,\nb,NA\n", "", "data.target=label: holds no values"),
    "no texts": ("rows.csv", b"text,label\n,1\n...,2\n,1\n", "", "data.path=rows.csv: column text: no row has a text"),
    "rare words": (
        "rows.csv",
        f"text,label\n{ROWS}".encode(),
        "data.min_count=99",
        "data.min_count=99: no word occurs so often",
    ),
    "not UTF-8": (
        "rows.csv",
        f"text,label\n{ROWS}".encode() + b"\xe9t\xe9,a\n",
        "",
        "data.path=rows.csv: cannot be read as CSV",
    ),
    "broken JSON": (
        "rows.jsonl",
        b'{"text": "a", "label": 1}\n\n{"text": "b", ',
        "",
        "data.path=rows.jsonl: line 3: cannot be",
    ),
    "JSON of lists": (
        "rows.jsonl",
        b'["a", 1]\n',
        "",
        "data.path=rows.jsonl: line 1: cannot be read as JSON ('list' object is not a mapping",
    ),
    "JSON not UTF-8": ("rows.jsonl", b'{"text": "a"}\n{"text": "\xe9"}', "", "data.path=rows.jsonl: line 2: cannot be read"),
    "empty JSON": ("rows.jsonl", b"", "", "data.path=rows.jsonl: has no rows"),
    "one class": (
        "rows/a/1.txt",
        b"a",
        "",
        "data.path=rows: has folders with .txt files for 1 of at least 2 classes; give one folder",
    ),
    "splits": (
        "rows/train/a/1.txt",
        b"a",
        "",
        "data.path=rows: has folders train, which are splits; give them as",
    ),
    "no folder": ("rows/1.txt", b"a", "", "data.path=rows: has folders with .txt files for 0 of"),
    "folder not UTF-8": ("rows/a/1.txt", b"\xe9", "", "data.path=rows: a/1.txt: cannot be read as UTF-8"),
    "many classes": (
        "rows.csv",
        b"text,label\n" + b"".join(b"some text,class %d\n" % number for number in range(10_000)),
        "",
        "data.target=label: 10,000 of 10,000 classes have fewer than 3 rows",
    ),
}


@pytest.mark.parametrize("harm", BAD)
def test_bad_texts_are_one_sentence_and_leave_nothing(call, harm: str) -> None:
    name, content, option, says = BAD[harm]
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_bytes(content)
    path = name.partition("/")[0]
    status, out, err = call("data=texts", f"data.path={path}", *option.split(), "model=gru", "hydra.run.dir=run")
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert says in err
    assert [path.name for path in Path.cwd().iterdir()] == [path]
