"""IMDB: numbered as Keras does, ragged and sparse all the way, and whatever may be wrong with its files."""

import gzip
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import FILES, ROOT, result
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression

from src.baselines.text import NaiveBayesLogistic
from src.data import download
from src.data.datamodule import Batches
from src.data.text import keras_files
from src.data.text.imdb import IMDB, IMDBBags
from src.data.text.words import vocabulary
from src.networks import vectors as word_vectors
from src.training.build import load_run

FOLDER = ROOT / "tests" / "data"
FEW = ["callbacks.progress=null", "model.hidden_size=4", "model.embedding.size=4"]
SEQUENCES = ["data=imdb", "model=lstm", FILES, *FEW]
BAGS = ["data=imdb_bow", FILES]


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    """The arrays of the file, in Keras' order of rows."""
    random, parts = np.random.RandomState(113), {}
    with np.load(FOLDER / "imdb" / "imdb.npz", allow_pickle=True) as archive:
        for split in ("train", "test"):
            order = np.arange(60)
            random.shuffle(order)
            parts |= {f"{name}_{split}": archive[f"{name}_{split}"][order] for name in "xy"}
    return parts


def prepared(kind: type, **options):
    data = kind(folder=str(FOLDER), **options)
    data.setup()
    return data


def test_words_are_numbered_as_keras_does(stored) -> None:
    data = prepared(IMDB, vocabulary=20, pad_to=500)
    for place in (0, 17):
        numbers = [1, *(rank + 3 if rank + 3 < 20 else 2 for rank in stored["x_test"][place])]
        row = data.splits["test"].x[torch.tensor([place])][0].tolist()
        assert row == [0] * (500 - len(numbers)) + numbers
    assert data.splits["test"].y.tolist() == stored["y_test"].tolist()
    assert len(data.spec.words) == 20
    assert data.spec.words[:6] == ("<PAD>", "<START>", "<UNK>", "<UNUSED>", "the", "and")
    taken = {name: set(data.splits[name].rows) for name in ("train", "val")}
    assert (len(taken["val"]), len(taken["train"] | taken["val"])) == (5, 60)


def test_the_last_words_count(stored) -> None:
    row = max(range(60), key=lambda place: len(stored["x_test"][place]))
    data = prepared(IMDB, longest=10, pad_to=4)
    assert data.splits["test"].x[torch.tensor([row])].tolist() == [[rank + 3 for rank in stored["x_test"][row][-10:]]]


def test_a_text_is_padded_no_further_for_the_texts_beside_it(copied) -> None:
    copied("run", *SEQUENCES, "trainer.max_epochs=1")
    _, data, task = load_run(Path("run"))
    own = pd.read_csv("run/predictions.csv", index_col="review")
    assert own.index.tolist() == list(range(60))
    assert own["actual"].tolist() == [data.spec.classes[number] for number in data.splits["test"].y]
    for size in (1, 7):
        batches = Batches(data.splits["test"], size)
        assert {x.shape[1] % 25 for x, _ in batches} == {0}
        one = task.predictions(batches)
        assert one.index.tolist() == own.index.tolist()
        np.testing.assert_allclose(one["probability_positive"], own["probability_positive"], atol=1e-6)


@pytest.mark.slow
def test_a_resumed_run_on_texts_ends_like_one_that_never_stopped(train, call) -> None:
    train("whole", *SEQUENCES, "trainer.max_epochs=2", "data.batch_size=8")
    train("part", *SEQUENCES, "trainer.max_epochs=1", "data.batch_size=8")
    assert call("resume=part", "trainer.max_epochs=2")[0] == 0
    whole, part = (pd.read_csv(f"{name}/metrics.csv").drop(columns="seconds") for name in ("whole", "part"))
    pd.testing.assert_frame_equal(whole, part, check_exact=True)


def test_bags_are_the_counts_that_scikit_learn_makes(stored) -> None:
    data = prepared(IMDBBags, ngrams=3, min_count=3, weighting="counts", vocabulary=60)
    rows = data.splits["train"].rows
    texts = [" ".join(data.words[n if n < 60 else 2] for n in [1, *np.add(words, 3)]) for words in stored["x_train"]]
    usual = CountVectorizer(ngram_range=(1, 3), token_pattern=r"\S+", lowercase=False)
    counts = pd.DataFrame(usual.fit_transform([texts[row] for row in rows]).toarray(), columns=usual.get_feature_names_out())
    ours = pd.DataFrame(data.splits["train"].x.matrix.toarray(), columns=data.spec.columns)
    runs = [name for name in counts if " " in name and counts[name].sum() >= 3]
    assert sorted(name for name in ours if " " in name) == sorted(runs)
    assert list(ours.columns[:60]) == list(data.spec.words[:60])
    for name in [*runs, *(word for word in data.words if word in counts)]:
        assert (ours[name] == counts[name]).all()
    binary = prepared(IMDBBags, ngrams=3, min_count=3, vocabulary=60).splits["train"].x.matrix
    assert ((ours > 0) == binary.toarray()).all(axis=None)
    tfidf = prepared(IMDBBags, ngrams=3, min_count=3, weighting="tfidf", vocabulary=60).splits["test"].x.matrix
    expected = TfidfTransformer().fit(ours.to_numpy()).transform(data.splits["test"].x.matrix)
    np.testing.assert_allclose(tfidf.toarray(), expected.toarray(), atol=1e-6)


def test_a_network_reads_sparse_bags_as_it_would_dense_ones(copied) -> None:
    copied("run", *BAGS, "model=mlp", "data.weighting=tfidf", "trainer.max_epochs=1")
    _, data, task = load_run(Path("run"))
    bags = data.splits["test"].x
    dense = torch.from_numpy(bags.matrix.toarray()).float()
    torch.testing.assert_close(task.network(bags[slice(None)]), task.network(dense), atol=1e-5, rtol=0)


def test_the_l1_path_is_chosen_on_validation(train, call) -> None:
    folder = train("run", *BAGS, "model=l1_path", "model.lambdas=6")
    path, metrics = pd.read_csv(folder / "path.csv"), pd.read_csv(folder / "metrics.csv")
    _, data, _ = load_run(folder)
    (x, y), (x_val, y_val) = ((data.splits[name].x.matrix, data.splits[name].y.numpy()) for name in ("train", "val"))
    largest = abs(x.T @ (y - y.mean())).max()
    np.testing.assert_allclose(path["lambda"], np.geomspace(largest, largest / 1e4, 6), rtol=1e-5)
    np.testing.assert_allclose(path["-log(lambda/n)"], -np.log(path["lambda"] / 55), rtol=1e-5)
    fits = [
        LogisticRegression(C=1 / penalty, l1_ratio=1, solver="liblinear", max_iter=1000, random_state=0).fit(x, y)
        for penalty in np.geomspace(largest, largest / 1e4, 6)
    ]
    losses = [-np.log(fit.predict_proba(x_val)[range(5), y_val]).mean() for fit in fits]
    assert path["chosen"].tolist() == [place == np.argmin(losses) for place in range(6)]
    assert path["words"].tolist() == [(fit.coef_ != 0).sum() for fit in fits]
    chosen = path[path["chosen"]].iloc[0]
    assert metrics["val/loss"][0] == pytest.approx(min(losses), rel=1e-4)  # the other way is in single precision
    assert result(folder)["test"]["accuracy"] == pytest.approx(chosen["test/accuracy"])
    assert (folder / "plots" / "path.png").is_file()
    assert call("run=run", entry="evaluate")[0] == 0


def test_words_are_weighted_by_their_log_count_ratios() -> None:
    data = prepared(IMDBBags, ngrams=2)
    (x, y), (x_val, y_val) = ((data.splits[name].x.matrix, data.splits[name].y.numpy()) for name in ("train", "val"))
    dense = x.toarray()
    shares = [(1 + dense[y == k].sum(0)) / (1 + dense[y == k].sum(0)).sum() for k in (0, 1)]
    ratios = np.log(shares[1] / shares[0])
    plain = LogisticRegression(C=0.3, max_iter=1000).fit(dense * ratios, y)
    model = NaiveBayesLogistic([0.3]).fit(x, y, (x_val, y_val))
    np.testing.assert_allclose(model.predict_proba(x_val), plain.predict_proba(x_val.toarray() * ratios), atol=1e-3)


@pytest.mark.parametrize("model", ["nb_logistic", "naive_bayes"])
def test_a_stored_baseline_on_words_gives_its_figures_again(train, call, model: str) -> None:
    folder = train("run", *BAGS, f"model={model}", "data.ngrams=2", "data.vocabulary=null")
    _, out, err = call("run=run", entry="evaluate")
    assert err == ""
    assert f"{result(folder)['test']['accuracy']:.4f}" in out
    assert result(folder)["test"]["accuracy"] > 0.6


# word vectors


def vectors(*lines: str) -> str:
    with gzip.open("vectors.txt.gz", "wt") as file:
        file.write("".join(line + "\n" for line in lines))
    return "vectors=vectors.txt.gz"


def test_vectors_begin_the_embedding(call, tmp_path: Path) -> None:
    given = vectors("great 0.1 0.2 0.3 0.4", "film 1 2 3 4", "zorro 5 6 7 8")
    frozen = ["model.embedding.frozen=true", "trainer.max_epochs=1", "hydra.run.dir=run"]
    status, out, err = call(*SEQUENCES, given, *frozen)
    assert (status, err) == (0, "")
    assert "vectors: 1.9% of the vocabulary have one" in out
    assert result(Path("run"))["coverage"] == 2 / 106
    Path("vectors.txt.gz").unlink()  # the weights have them
    _, data, task = load_run(Path("run"))
    weights, places = task.network.steps.embedding.weight, {word: place for place, word in enumerate(data.spec.words)}
    torch.testing.assert_close(weights[places["great"]], torch.tensor([0.1, 0.2, 0.3, 0.4]))
    torch.testing.assert_close(weights[places["film"]], torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert not weights.requires_grad
    status, _, err = call("resume=run", "trainer.max_epochs=2")
    assert (status, err) == (0, "")
    assert result(Path("run"))["coverage"] == 2 / 106


LAYOUTS = {
    "word2vec": "3 2\nthe 0.5 -1e-2\nfilm 1 2\nzorro 3 4\n",
    "fastText": "3 2\nthe 0.5 -0.01 \nfilm 1 2 \nzorro 3 4 \n",
    "GloVe": "the 0.5 -0.01\nfilm 1 2",
    "words with blanks": ". . . 7 8\nthe 0.5 -0.01\nto name@domain.com 7 8\nfilm 1 2\n5 7 8\n\u00a0 7 8\n  7 8\n",
    "tabs": "the\t0.5\t-0.01\nfilm\t1 2\n",
    "BOM and line ends of Windows": "\ufeffthe 0.5 -0.01\r\nfilm 1 2\r\n\r\n",
    "empty lines": "the 0.5 -0.01\n\nfilm 1 2\n \n\n",
    "a line twice": "the 0.5 -0.01\nfilm 1 2\nthe 0.50 -0.01\n",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_vectors_are_read_as_people_publish_them(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "vectors.txt"
    path.write_bytes(LAYOUTS[layout].encode())
    expected = [("the", [0.5, -0.01]), ("film", [1.0, 2.0])]
    assert list(word_vectors.read(path, 2, {"the", "film"})) == expected
    if ". . ." in LAYOUTS[layout]:
        words = [word for word, _ in word_vectors.read(path, 2, {". . .", "to name@domain.com", "5", "\u00a0"})]
        assert words == [". . .", "to name@domain.com", "5", "\u00a0"]


BAD_VECTORS = {
    "two vectors of a word": (
        SEQUENCES,
        ["the 1 2 3 4", "and 1 2 3 4", "the 1 2 3 5"],
        "lines 1 and 3 are two vectors of the",
    ),
    "too many numbers": (SEQUENCES, ["the 1 2 3 4", "", "and 1 2 3 4 5"], "line 3 has 5 numbers after its word, not 4"),
    "a header of another width": (SEQUENCES, ["2 300", "the 1 2 3 4"], "set model.embedding.size=300"),
    "longer vectors": (SEQUENCES, ["the 1 2 3 4 5"], "set model.embedding.size=5"),
    "ragged": (SEQUENCES, ["the 1 2 3 4", "and 1 2 3"], "line 2 has 3 numbers"),
    "another width": (SEQUENCES, ["the 1 2 3"], "set model.embedding.size=3"),
    "no numbers": (SEQUENCES, ["and 1 2 3 4", "the 1 2 3 x"], "cannot be read (line 2: could not"),
    "not finite": (SEQUENCES, ["the 1 2 3 nan"], "line 1 holds NaN"),
    "of other words": (SEQUENCES, ["zorro 1 2 3 4"], "none of the 110 words"),
    "no words": (["data=nyse", "model=lstm"], [], "have no words"),
    "no embedding": ([*BAGS, "model=mlp"], [], "has no embedding"),
}


@pytest.mark.parametrize("harm", BAD_VECTORS)
def test_vectors_that_cannot_be_used_are_refused(call, harm: str) -> None:
    options, lines, says = BAD_VECTORS[harm]
    status, _, err = call(*options, vectors(*lines), "hydra.run.dir=run")
    assert status == 2
    assert says in err
    assert err.count("\n") == 1
    assert not Path("run").exists()


def test_vectors_that_are_not_there_or_cut_off_are_refused(call) -> None:
    assert "no such file" in call(*SEQUENCES, "vectors=none.txt")[2]
    vectors("the 1 2 3 4")
    Path("vectors.txt.gz").write_bytes(Path("vectors.txt.gz").read_bytes()[:20])
    assert "cannot be read" in call(*SEQUENCES, "vectors=vectors.txt.gz")[2]
    assert "has no words" in call("model.embedding.size=4")[2]


# new texts


@pytest.mark.parametrize(
    "options", [SEQUENCES, [*BAGS, "model=mlp"], [*BAGS, "model=naive_bayes", "data.ngrams=2"]], ids=["lstm", "mlp", "bayes"]
)
def test_a_text_is_scored_like_the_review_that_it_is(copied, call, stored, options: list[str]) -> None:
    copied("run", *options, *([] if "model=naive_bayes" in options else ["trainer.max_epochs=1"]))
    own = pd.read_csv("run/predictions.csv", index_col="review")
    words = vocabulary(keras_files.read_index(FOLDER / "imdb" / "imdb_word_index.json"), None)
    texts = [" ".join(words[rank + 3] for rank in ranks) for ranks in stored["x_test"][:2]]
    status, out, err = call("run=run", f"text={texts[0].upper()} !", entry="predict")
    assert (status, err) == (0, "")
    told = dict(line.split(": ") for line in out.splitlines())
    assert told["prediction"] == own["prediction"][0]
    assert float(told["probability_positive"]) == pytest.approx(own["probability_positive"][0], abs=1e-4)
    assert "not in the vocabulary of 110: b, zorro's\n" in call("run=run", "text=<b>The zorro's great!", entry="predict")[1]
    pd.DataFrame({"text": texts}).to_csv("new.csv", index=False)
    assert call("run=run", "input=new.csv", "output=out.csv", entry="predict")[0] == 0
    new = pd.read_csv("out.csv", index_col="line")
    np.testing.assert_allclose(new["probability_positive"], own["probability_positive"][:2], atol=1e-6)


def test_texts_that_cannot_be_scored_are_refused(copied, call) -> None:
    copied("run", *SEQUENCES, "trainer.max_epochs=1")
    copied("days", "trainer.max_epochs=1")
    pd.DataFrame({"text": ["great, don't miss it", " "]}).to_csv("new.csv", index=False)
    pd.DataFrame({"review": ["great"]}).to_csv("other.csv", index=False)
    for arguments, says in {
        ("run=run", "text="): "is empty",
        ("run=run", "text=...!"): "is empty",
        ("run=run", "text=zorro ${x}, 'qwerty'"): "no word of the vocabulary",
        ("run=run", "text=great", "input=new.csv"): "leave input=",
        ("run=run", "text=great", "output=out.csv"): "leave input=",
        ("run=days", "text=great"): "has not learnt from texts",
        ("run=run", "input=new.csv", "output=out.csv"): "line 3: the text is empty",
        ("run=run", "input=other.csv", "output=out.csv"): "missing column text",
    }.items():
        status, _, err = call(*arguments, entry="predict")
        assert (status, err.count("\n")) == (2, 1)
        assert says in err


# files


def test_files_that_are_not_there_are_told(call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "reachable", lambda url: False)
    status, _, err = call("data=imdb", "model=lstm", "data_dir=none")
    assert (status, err.count("\n")) == (2, 1)
    for part in ("none/imdb/imdb.npz", keras_files.REVIEWS.url, keras_files.REVIEWS.digest, "data_dir"):
        assert part in err
    (Path("none")).mkdir()
    shutil.copy(FOLDER / "imdb" / "imdb.npz", "none/imdb.npz")  # without a folder of its own
    assert keras_files.INDEX.url in call("data=imdb", "model=lstm", "data_dir=none")[2]


def test_a_copy_with_another_checksum_is_used_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    path = FOLDER / "imdb" / "imdb.npz"
    (note,) = download.unpublished(path, keras_files.REVIEWS.digest)
    assert download.checksum(path, "sha256:") in note
    assert keras_files.REVIEWS.digest in note
    assert download.unpublished(path, download.checksum(path, "sha256:")) == []


class Harm:
    """Touches a file when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch hacked",)


def objects(*items: object) -> np.ndarray:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


GOOD = {
    f"{name}_{split}": values for split in ("train", "test") for name, values in (("x", objects([1, 2], [3])), ("y", [0, 1]))
}
BAD = {
    "code": ({"x_train": objects([1], Harm())}, "posix.system"),
    "no lists": ({"x_train": objects({1: 2}, [1])}, "not an array of lists"),
    "a matrix": ({"x_train": np.ones((2, 3), int)}, "not an array of lists"),
    "other things": ({"x_test": objects([1.5], [2])}, "other than whole numbers"),
    "no ranks": ({"x_test": objects([0], [2])}, "not ranks of words"),
    "labels of three": ({"y_train": [0, 2]}, "other than 0 and 1"),
    "labels of objects": ({"y_train": objects(0, 1)}, "other than 0 and 1"),
    "another number of labels": ({"y_train": [0, 1, 1]}, "2 reviews in x_train and 3 classes"),
}


@pytest.mark.parametrize("harm", BAD)
def test_a_file_of_something_else_is_refused(harm: str) -> None:
    change, says = BAD[harm]
    np.savez_compressed("imdb.npz", **(GOOD | change))
    assert says in refused()
    assert not Path("hacked").exists()


def refused() -> str:
    with pytest.raises(keras_files.UserError) as told:
        keras_files.read(Path("imdb.npz"))
    assert "imdb.npz: " in str(told.value)
    assert keras_files.REVIEWS.digest in str(told.value)
    return str(told.value)


def test_a_damaged_file_or_a_bomb_is_refused(call, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = (FOLDER / "imdb" / "imdb.npz").read_bytes()
    for content in (whole[:1000], whole[:-500], whole[:300] + b"\0" * 50 + whole[350:], b"", b"PK\3\4"):
        Path("imdb.npz").write_bytes(content)
        assert "is damaged" in refused()
    np.savez_compressed("imdb.npz", **{name: values for name, values in GOOD.items() if name != "y_test"})
    assert "it holds no y_test" in refused()
    with zipfile.ZipFile("imdb.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x_train.npy", "w") as member:
        for _ in range(2**5 + 1):
            member.write(b"\0" * 2**20)
    assert "would take" in refused()
    monkeypatch.setattr(keras_files, "WORDS", 1000)  # one list, referred to again and again
    np.savez_compressed("imdb.npz", **(GOOD | {"x_train": objects(*[[1] * 100] * 20)}))
    assert "more than 1,000 words" in refused()
    shutil.copy(FOLDER / "imdb" / "imdb_word_index.json", ".")
    status, _, err = call("data=imdb", "model=lstm", "data_dir=.", "hydra.run.dir=run")
    assert (status, err.count("\n")) == (2, 1)
    assert not Path("run").exists()


@pytest.mark.parametrize("content", ["", "[1]", '{"a": "b"}', '{"a": 0}', "[" * 100_000], ids=range(5))
def test_an_index_of_something_else_is_refused(content: str) -> None:
    Path("index.json").write_text(content)
    with pytest.raises(keras_files.UserError, match=r"index\.json: cannot be read"):
        keras_files.read_index(Path("index.json"))


def test_lists_in_an_array_of_objects_are_all_that_lists_admits() -> None:
    from src.data import unpickle

    Path("a.pkl").write_bytes(pickle.dumps(objects([1, 2], [3])))
    with open("a.pkl", "rb") as file:
        assert unpickle.lists(file) == [[1, 2], [3]]
    with pytest.raises(keras_files.UserError, match="objects"):  # without being asked for, no objects at all
        unpickle.load("a.pkl")
