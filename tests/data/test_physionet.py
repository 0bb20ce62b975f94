"""PhysioNet-2012: records, stage 1, and the three views, on forty real stays."""

import gzip
import hashlib
import io
import pickle
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import FILES, ROOT, result, shell

from src.config.compose import compose
from src.data.clinical import imputation, records
from src.data.clinical.datamodule import PhysioNet, described, masked, normal_scores, summaries
from src.data.splits import SPLITS
from src.errors import UserError
from src.training.run import documented

SAMPLE = ROOT / "tests" / "data"
N = np.nan


@pytest.fixture
def raw() -> records.Records:
    return records.read(SAMPLE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The sample as a folder of text files that may be changed."""
    with tarfile.open(SAMPLE / "physionet2012" / "set-a.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    shutil.copy(SAMPLE / "physionet2012" / "Outcomes-a.txt", tmp_path)
    return tmp_path


def data(view: str, **options) -> PhysioNet:
    prepared = PhysioNet(folder=str(SAMPLE), view=view, **options)
    prepared.setup()
    return prepared


# records


def test_parsing_equals_pandas_record_by_record(raw, folder: Path) -> None:
    outcomes = pd.read_csv(folder / "Outcomes-a.txt", index_col="RecordID")["In-hospital_death"]
    for place, stay in enumerate(raw.ids):
        frame = pd.read_csv(folder / "set-a" / f"{stay}.txt")
        said = frame.drop_duplicates("Parameter").set_index("Parameter")["Value"]
        expected = said[list(records.DESCRIPTORS)].where(lambda value: value >= 0)
        np.testing.assert_array_equal(raw.descriptors[place], expected.to_numpy(np.float32))
        frame = frame[~((frame["Parameter"] == "Weight") & (frame["Value"] == -1))]
        hour = frame["Time"].str[:2].astype(int).clip(upper=47)
        means = frame.groupby([hour, "Parameter"])["Value"].mean().unstack()
        expected = means.reindex(index=range(48), columns=list(records.VARIABLES)).to_numpy(np.float32)
        np.testing.assert_allclose(raw.values[place], expected, rtol=1e-6)
        assert raw.labels[place] == outcomes[stay]
    assert np.isnan(raw.values).all((1, 2)).sum() == 1, "the stay without any series is kept"


def test_a_folder_of_text_files_reads_as_the_archive(raw, folder: Path) -> None:
    for ours, theirs in zip(raw, records.read(folder), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


FIRST = "set-a/132540.txt"
HARM = {
    "a line short of a field": (lambda f: edit(f / FIRST, "00:00,Age,76", "00:00,Age"), ["132540.txt, line 3", "00:00,Age"]),
    "a line with a field more": (lambda f: edit(f / FIRST, "Age,76", "Age,76,1"), ["132540.txt, line 3", "Age,76,1"]),
    "text for a number": (lambda f: edit(f / FIRST, "Age,76", "Age,old"), ["132540.txt, line 3", "Age,old"]),
    "infinity": (lambda f: edit(f / FIRST, "Age,76", "Age,inf"), ["132540.txt, line 3"]),
    "no time": (lambda f: edit(f / FIRST, "00:00,Age", "late,Age"), ["132540.txt, line 3", "late"]),
    "a time beyond two days": (lambda f: edit(f / FIRST, "00:00,Age", "48:01,Age"), ["line 3", "48:00"]),
    "an empty line": (lambda f: edit(f / FIRST, "00:00,Age,76\n", "\n00:00,Age,76\n"), ["132540.txt, line 3"]),
    "an empty line first": (lambda f: edit(f / FIRST, "Time,", "\nTime,"), ["132540.txt, line 1", "Time,Parameter,Value"]),
    "no header": (lambda f: edit(f / FIRST, "Time,", "Hour,"), ["132540.txt, line 1", "Time,Parameter,Value"]),
    "an unknown variable": (lambda f: edit(f / FIRST, "Age", "Mood"), ["132540.txt, line 3", "Mood", "42"]),
    "no id": (lambda f: edit(f / FIRST, "00:00,RecordID,132540\n", ""), ["132540.txt", "RecordID"]),
    "another id": (lambda f: edit(f / FIRST, "132540", "7"), ["132540.txt", "RecordID is 7"]),
    "an id twice": (lambda f: shutil.copy(f / FIRST, f / "set-a" / "9.txt"), ["132540 is in", "9.txt"]),
    "a record too few": (lambda f: (f / FIRST).unlink(), ["outcomes for 1 records", "132540"]),
    "an outcome too few": (lambda f: edit(f / "Outcomes-a.txt", "132540,", "7,"), ["no outcome for 1 records", "132540"]),
    "an outcome twice": (lambda f: edit(f / "Outcomes-a.txt", "132540,", "132539,"), ["132539 is there twice"]),
    "a label of 2": (lambda f: edit(f / "Outcomes-a.txt", "132540,16,8,8,-1,0", "132540,16,8,8,-1,2"), ["132540", "0 or 1"]),
    "no column of labels": (lambda f: edit(f / "Outcomes-a.txt", "In-hospital_death", "died"), ["In-hospital_death"]),
    "more fields than names": (
        lambda f: edit(f / "Outcomes-a.txt", "132540,16,8,8,-1,0", "132540,16,8,8,-1,0,1"),
        ["line 3 has 7 fields, and the header has 6"],
    ),
    "a column twice": (lambda f: edit(f / "Outcomes-a.txt", "SOFA", "RecordID"), ["columns 1 and 3", "RecordID"]),
    "no records": (lambda f: shutil.rmtree(f / "set-a") or (f / "set-a").mkdir(), ["holds no record"]),
}


@pytest.mark.parametrize("harm", HARM)
def test_what_is_wrong_with_the_files_is_one_sentence(folder: Path, harm: str) -> None:
    change, named = HARM[harm]
    change(folder)
    with pytest.raises(UserError) as told:
        records.read(folder)
    assert all(name in str(told.value) for name in named), told.value
    assert "\n" not in str(told.value)


def test_outcomes_with_trailing_commas_are_read_with_a_note(raw, folder: Path) -> None:
    path = folder / "Outcomes-a.txt"
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([header, *(line + "," for line in lines)]))
    read = records.read(folder)
    np.testing.assert_array_equal(read.labels, raw.labels)
    assert read.notes == ("Outcomes-a.txt: left out: 1 column without a name and without values",)


def archived(folder: Path, *members: tarfile.TarInfo) -> Path:
    """Replaces the records by an archive of odd members."""
    shutil.rmtree(folder / "set-a")
    with tarfile.open(folder / "set-a.tar.gz", "w:gz") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    return folder


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, "/etc/passwd"
    return info


@pytest.mark.parametrize(
    "odd", [member("set-a/1.txt", tarfile.SYMTYPE), member("1.txt", tarfile.LNKTYPE), member("1.txt", size=2**20 + 1)]
)
def test_an_archive_of_anything_but_small_plain_files_is_refused(folder: Path, odd: tarfile.TarInfo) -> None:
    with pytest.raises(UserError, match=r"1\.txt is not a plain file of at most 1 MB"):
        records.read(archived(folder, odd))


def test_a_record_twice_in_an_archive_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match=r"holds the record 1\.txt twice"):
        records.read(archived(folder, member("a/1.txt"), member("b/1.txt")))


@pytest.mark.parametrize("damage", ["short", "flipped", "text"])
def test_a_damaged_archive_is_refused(folder: Path, damage: str) -> None:
    content = bytearray((SAMPLE / "physionet2012" / "set-a.tar.gz").read_bytes())
    content[len(content) // 2] ^= 255
    harmed = {"short": content[: len(content) // 2], "flipped": content, "text": gzip.compress(b"no tar")}
    (folder / "set-a.tar.gz").write_bytes(harmed[damage])
    with pytest.raises(UserError, match=r"set-a.tar.gz: is damaged.*get it again from https://physionet.org"):
        records.read(folder)


def test_missing_files_are_told_before_torch_is_loaded() -> None:
    code = (
        "import sys\nfrom src.train import main\ntry: main()\nexcept SystemExit as stop: assert stop.code == 2\n"
        "sys.exit('torch was imported' if 'torch' in sys.modules else 0)"
    )
    ended = shell("-c", code, "data=physionet2012", "model=lstm", "data_dir=nowhere")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("\n") == 1
    for named in ("nowhere/physionet2012", "https://physionet.org", records.OUTCOMES_SHA256["a"], "data_dir"):
        assert named in ended.stderr
    assert not list(Path.cwd().iterdir())


def test_sets_are_read_together_in_any_order_and_set_a_is_as_ever(raw) -> None:
    both, b = records.read(SAMPLE, ["b", "a"]), records.read(SAMPLE, ["b"])
    for together, first, second in zip(both[:4], raw, b, strict=False):
        np.testing.assert_array_equal(together, np.concatenate([first, second]))
    assert (len(b.ids), b.labels.sum()) == (12, 4)
    digest = hashlib.sha256((SAMPLE / "physionet2012" / "Outcomes-a.txt").read_bytes())
    digest.update(b"set-a.tar.gz" + (SAMPLE / "physionet2012" / "set-a.tar.gz").read_bytes())
    assert records.fingerprint(SAMPLE) == digest.hexdigest()
    assert len({records.fingerprint(SAMPLE, sets) for sets in (["a"], ["b"], ["a", "b"], ["b", "a"])}) == 3
    names = [records.default_pickle("locf", 0, sets) for sets in (["a"], ["b"], ["b", "a"])]
    assert names == [f"data/physionet2012_{name}locf_0.pkl" for name in ("", "b_", "ab_")]
    with pytest.raises(UserError, match=r"set-c\.tar\.gz.*Outcomes-c\.txt are missing"):
        records.read(SAMPLE, ["a", "c"])


def test_a_stay_in_two_sets_is_refused(folder: Path) -> None:
    shutil.copytree(folder / "set-a", folder / "set-b")
    shutil.copy(folder / "Outcomes-a.txt", folder / "Outcomes-b.txt")
    with pytest.raises(UserError, match="132539 is in two sets"):
        records.read(folder, ["a", "b"])


@pytest.mark.parametrize(
    "options",
    [
        {"view": "masked", "transform": "normal_scores", "descriptors": True, "clip": 5.0},
        {"view": "summaries"},
        {"view": "imputed", "descriptors": True, "imputer": "linear"},
    ],
)
def test_stays_of_another_set_are_scaled_as_the_runs_own(options) -> None:
    prepared = data(**options)
    own, _ = prepared.labelled(SAMPLE / "physionet2012" / "set-a.tar.gz")
    for split in prepared.splits.values():
        rows = own.rows.get_indexer(split.rows)
        assert torch.equal(own.x[rows], split.x)
        assert torch.equal(own.y[rows], split.y)
    new, read = prepared.labelled(SAMPLE / "physionet2012" / "set-b.tar.gz")
    assert (read, new.x.shape[1:], int(new.y.sum())) == ("12 stays", prepared.spec.shape, 4)
    x, rows, read = prepared.read_new(SAMPLE / "physionet2012" / "set-b.tar.gz")
    assert torch.equal(x, new.x)
    assert (rows[0], read) == (142688, "of outcome for 12 stays")


def test_new_stays_without_outcomes_are_predicted_and_not_measured(folder: Path) -> None:
    (folder / "Outcomes-a.txt").unlink()
    prepared = data("masked")
    assert len(prepared.read_new(folder / "set-a")[0]) == 40
    with pytest.raises(UserError, match=r"its outcomes, .*Outcomes-a\.txt, are missing"):
        prepared.labelled(folder / "set-a")
    Path("theirs.pkl").write_bytes(pickle.dumps(foreign()))
    theirs = PhysioNet(folder="nowhere", pickle="theirs.pkl")
    theirs.setup()
    with pytest.raises(UserError, match="this run's gaps were filled by others"):
        theirs.labelled(SAMPLE / "physionet2012" / "set-b.tar.gz")


# stage 1

GAPS = np.array([[N, 1, N, N, 4, N], [N, N, N, N, N, N], [2, N, 6, N, N, N]], dtype=np.float32)[:, :, None]
FILLED = {
    "zero": [[0, 1, 0, 0, 4, 0], [0] * 6, [2, 0, 6, 0, 0, 0]],
    "mean": [[2.5, 1, 2.5, 2.5, 4, 2.5], [0] * 6, [2, 4, 6, 4, 4, 4]],
    "locf": [[1, 1, 1, 1, 4, 4], [0] * 6, [2, 2, 6, 6, 6, 6]],
    "linear": [[1, 1, 2, 3, 4, 4], [0] * 6, [2, 4, 6, 6, 6, 6]],
}


@pytest.mark.parametrize("name", FILLED)
def test_an_imputer_fills_the_gaps_by_hand(name: str) -> None:
    filled = imputation.SIMPLE[name](GAPS)
    np.testing.assert_allclose(filled[:, :, 0], FILLED[name], rtol=1e-6)
    assert filled.dtype == np.float32
    twice = imputation.SIMPLE[name](np.concatenate([GAPS, GAPS[::-1]], axis=2))
    np.testing.assert_array_equal(twice[:, :, 1], filled[::-1, :, 0])


def test_the_imputation_error_is_that_of_hidden_values() -> None:
    x = np.random.default_rng(0).normal(size=(20, 48, 3)).astype(np.float32)
    x[:, ::3] = N
    seen = []

    def imputer(masked: np.ndarray) -> np.ndarray:
        seen.append(masked)
        return np.nan_to_num(masked, nan=0.5)

    mae, rmse = imputation.errors(imputer, x, seed=0)
    hidden = np.isnan(seen[0]) & ~np.isnan(x)
    assert hidden.sum() == round(0.1 * (~np.isnan(x)).sum())
    assert mae == pytest.approx(np.abs(x[hidden] - 0.5).mean(), rel=1e-6)
    assert rmse == pytest.approx(np.sqrt(((x[hidden] - 0.5) ** 2).mean()), rel=1e-6)


def test_impute_writes_a_file_that_says_where_it_comes_from(call, raw) -> None:
    status, out, err = call(FILES, "imputer=[zero,mean,locf,linear]", entry="impute")
    assert (status, err) == (0, "")
    assert "40 stays × 48 hours × 37 variables" in out
    assert "1 stays have no series at all" in out
    for name in imputation.SIMPLE:
        assert f"physionet2012_{name}_0.pkl" in out
    content = imputation.read("data/physionet2012_locf_0.pkl")
    assert [len(content[f"{name}_set_labels"]) for name in SPLITS] == [25, 7, 8]
    assert {name: content[name] for name in ("imputer", "split_seed")} == {"imputer": "locf", "split_seed": 0}
    assert content["fingerprint"] == records.fingerprint(SAMPLE)
    rows = np.searchsorted(raw.ids, content["train_set_ids"])
    np.testing.assert_allclose(content["scaler_mean"][14], np.nanmean(raw.values[rows][:, :, 14]), rtol=1e-5)
    observed = ~np.isnan(raw.values[rows])
    back = content["train_set_imputation"] * content["scaler_scale"] + content["scaler_mean"]
    np.testing.assert_allclose(back[observed], raw.values[rows][observed], rtol=1e-3, atol=1e-3)
    assert sorted(path.name for path in Path("data").iterdir()) == sorted(f"physionet2012_{n}_0.pkl" for n in FILLED)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("imputer=median", "imputer=median"),
        ("imputer=[]", "at least one"),
        ("imputer=[locf,mean] output=one.pkl", "output=one.pkl"),
        ("imputer=[locf,saits]", "'.[pypots]'"),
        ("data=nyse", "physionet2012"),
        ("epochs=0", "epochs=0"),
        ("data_dir=nowhere", "nowhere/physionet2012"),
        ("data.sets=[]", "data.sets=[]"),
        ("data.sets=[a,d]", "data.sets=['a', 'd']"),
        ("data.split_seed=-1", "split_seed=-1"),
        ("output=/proc/none/x.pkl", "/proc/none/x.pkl"),
    ],
)
def test_impute_refuses_in_one_sentence(call, monkeypatch: pytest.MonkeyPatch, arguments: str, named: str) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    status, _, err = call(FILES, *arguments.split(), entry="impute")
    assert (status, err.count("\n")) == (2, 1), err
    assert named in err
    assert not list(Path.cwd().iterdir())


# stage 2


def test_splits_are_the_same_in_every_view() -> None:
    rows = [
        {name: list(split.rows) for name, split in data(view).splits.items()} for view in ("imputed", "masked", "summaries")
    ]
    assert rows[0] == rows[1] == rows[2]
    assert {name: len(ids) for name, ids in rows[0].items()} == {"train": 25, "val": 7, "test": 8}
    assert {name: int(split.y.sum()) for name, split in data("masked").splits.items()} == {"train": 8, "val": 2, "test": 2}
    assert [list(data("masked", split_seed=seed).splits["test"].rows) == rows[0]["test"] for seed in (0, 1)] == [True, False]


def test_scaling_is_learnt_from_train_alone(raw) -> None:
    prepared = data("masked")
    train = np.searchsorted(raw.ids, prepared.splits["train"].rows)
    heart = raw.values[train][:, :, records.VARIABLES.index("HR")]
    test = np.searchsorted(raw.ids, prepared.splits["test"].rows)
    expected = (raw.values[test][:, :, records.VARIABLES.index("HR")] - np.nanmean(heart)) / np.nanstd(heart)
    measured = ~np.isnan(expected)
    np.testing.assert_allclose(prepared.splits["test"].x[:, :, 14][measured], expected[measured], rtol=1e-3, atol=1e-4)


def test_normal_scores_are_ranks_among_the_measurements_of_train() -> None:
    values = np.exp(np.random.default_rng(0).normal(size=(50, 8, 1)))
    values[:, ::3] = N
    scores = normal_scores(values[:40])(values)
    there = ~np.isnan(values)
    assert (np.isnan(scores) == ~there).all()
    assert (np.argsort(scores[:40][there[:40]]) == np.argsort(values[:40][there[:40]])).all()
    assert abs(np.mean(scores[:40][there[:40]])) < 0.05
    assert abs(np.median(scores[:40][there[:40]])) < 0.05
    changed = values.copy()
    changed[40:] *= 100
    assert np.array_equal(normal_scores(changed[:40])(changed)[:40], scores[:40], equal_nan=True)


def test_the_masked_view_by_hand() -> None:
    x = masked(np.array([[[N], [3.0], [N], [N]]]), np.array([1.0]), np.array([2.0]))
    np.testing.assert_allclose(x[0].T, [[0, 1, 1, 1], [0, 1, 0, 0], [1, 0, 0.25, 0.5]])


def test_the_summaries_by_hand() -> None:
    rows = summaries(np.array([[[N, N], [3.0, N], [N, N], [5.0, N]]]))
    expected = {"first": 3, "last": 5, "min": 3, "max": 5, "mean": 4, "sd": 1, "count": 2}
    np.testing.assert_allclose(rows[0, ::2], list(expected.values()))
    np.testing.assert_allclose(rows[0, 1::2], [N] * 6 + [0])


def test_descriptors_are_appended_to_every_view() -> None:
    for view, width in (("imputed", 37), ("masked", 111), ("summaries", 259)):
        plain, more = data(view), data(view, descriptors=True)
        assert plain.spec.shape[-1] == width
        assert more.spec.shape[-1] == width + 7
        assert more.spec.columns[-1].startswith("ICUType_4")
        assert len(more.spec.columns) == np.prod(more.spec.shape)
        np.testing.assert_array_equal(more.splits["val"].x[..., :width], plain.splits["val"].x)
    np.testing.assert_array_equal(
        described(np.array([[60, N, 180, 3]]), np.ones(3), np.full(3, 59.0)).round(1), [[1, 0, 3, 0, 0, 1, 0]]
    )


def test_clipping_keeps_outliers_away() -> None:
    assert data("masked").splits["train"].x.max() > 3
    assert data("masked", clip=3.0).splits["train"].x.max() == 3


def test_stage_1_runs_when_its_file_is_absent_or_another(folder: Path) -> None:
    path = Path("data/physionet2012_locf_0.pkl")
    PhysioNet(folder=str(folder)).setup()
    first = path.read_bytes()
    PhysioNet(folder=str(folder)).setup()
    assert path.read_bytes() == first
    PhysioNet(folder=str(folder), validation=0.3).setup()
    assert path.read_bytes() != first, "made anew for another share"
    edit(folder / FIRST, "Age,76", "Age,77")
    PhysioNet(folder=str(folder)).setup()
    assert imputation.read(path)["fingerprint"] == records.fingerprint(folder)
    shutil.rmtree(folder / "set-a")
    PhysioNet(folder=str(folder)).setup()
    with pytest.raises(UserError, match=r"locf_0.pkl: was made with another validation"):
        PhysioNet(folder=str(folder), validation=0.3).setup()


def foreign(**changes) -> dict:
    random = np.random.default_rng(0)
    content = {f"{name}_set_imputation": random.normal(size=(12, 5, 3)) for name in SPLITS}
    content |= {f"{name}_set_labels": np.array([0, 1] * 6) for name in SPLITS}
    return {key: value for key, value in (content | changes).items() if value is not None}


def test_a_pickle_of_others_is_read_with_its_own_splits(train) -> None:
    with open("theirs.pkl", "wb") as file:
        pickle.dump(foreign(test_set_labels=np.array([[0], [1]] * 6)), file)
    told = result(train("run", "data=physionet2012", "model=gru", "data.pickle=theirs.pkl", "trainer.max_epochs=1"))
    assert told["status"] == "finished"
    prepared = PhysioNet(folder="nowhere", pickle="theirs.pkl")
    prepared.setup()
    assert prepared.spec.shape == (5, 3)
    with pytest.raises(UserError, match="holds no descriptors"):
        PhysioNet(folder="nowhere", pickle="theirs.pkl", descriptors=True).setup()


holes = np.zeros((12, 5, 3))
holes[2, 1, 0] = holes[3, 0, 0] = N
BAD_PICKLES = {
    "a list": ([1, 2], ["a list, not a dictionary"]),
    "a missing key": (foreign(val_set_labels=None), ["has no val_set_labels"]),
    "a list of inputs": (foreign(train_set_imputation=[[1.0]]), ["train_set_imputation is a list"]),
    "an array of objects": (foreign(train_set_labels=np.array([1, None])), ["array of objects"]),
    "an array of texts": (foreign(train_set_labels=np.array(["a"])), ["array of dtype U1"]),
    "two axes": (foreign(test_set_imputation=np.zeros((12, 3))), ["test_set_imputation", "(12, 3)"]),
    "other steps": (foreign(test_set_imputation=np.zeros((12, 4, 3))), ["test_set_imputation", "(12, 4, 3)"]),
    "gaps": (foreign(val_set_imputation=holes), ["val_set_imputation holds 2 values", "stay 2, step 1, variable 0"]),
    "too few labels": (foreign(val_set_labels=np.zeros(11)), ["val_set_labels", "(11,)", "12 stays"]),
    "a label of 2": (foreign(val_set_labels=np.full(12, 2)), ["val_set_labels", "0 or 1", "2"]),
}


@pytest.mark.parametrize("harm", BAD_PICKLES)
def test_a_pickle_in_another_layout_is_refused(harm: str) -> None:
    content, named = BAD_PICKLES[harm]
    Path("theirs.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(UserError) as told:
        PhysioNet(folder="nowhere", pickle="theirs.pkl").setup()
    assert all(name in str(told.value) for name in ["theirs.pkl", *named]), told.value


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("data.pickle=none.pkl", "data.pickle=none.pkl"),
        ("data.pickle=harm.pkl", "posix.system"),
        ("data.view=masked data.pickle=harm.pkl", "data.view=masked"),
        ("data.view=raw", "data.view=raw"),
        ("data.imputer=median", "data.imputer=median"),
        ("data.clip=0", "data.clip=0"),
        ("data.outputs=3", "data.outputs=3"),
        ("data.outputs=2", "CrossEntropyLoss"),
    ],
)
def test_refusals_leave_no_run(call, arguments: str, named: str) -> None:
    Path("harm.pkl").write_bytes(b"cposix\nsystem\n(S'touch hacked'\ntR.")
    status, _, err = call("data=physionet2012", "model=gru", FILES, *arguments.split())
    assert (status, err.count("\n")) == (2, 1), err
    assert named in err
    assert not list(Path.cwd().rglob("result.json"))
    assert not Path("hacked").exists()


# runs


def test_f1_comes_again_from_the_stored_threshold(train, call) -> None:
    few = ["data=physionet2012", "model=lstm", FILES, "trainer.max_epochs=2"]
    folder = train("run", *few, "task.class_weights=balanced")
    told = result(folder)
    threshold = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]["threshold"]
    table = pd.read_csv(folder / "predictions.csv")
    assert table["prediction"].eq("died").tolist() == table["probability_died"].gt(float(threshold)).tolist()
    status, out, err = call("run=run", entry="evaluate")
    assert (status, err) == (0, "")
    assert out.count(f"{told['test']['f1']:.4f}") >= 2
    assert call("run=run", "input=run/predictions.csv", "output=out.csv", entry="predict")[0] == 2
    plain, drawn = (result(train(name, *few, *more)) for name, more in (("plain", []), ("drawn", ["data.sampler=balanced"])))
    losses = [each["last"]["train/loss"] for each in (told, plain, drawn)]
    assert losses[0] != pytest.approx(losses[1], rel=1e-3) != losses[2] != pytest.approx(losses[0], rel=1e-3)


def test_the_documented_protocol_is_the_tutorials(train) -> None:
    few = ["data=physionet2012", "model=lstm", FILES, "trainer.max_epochs=1"]
    told = result(train("documented", *few, "protocol=documented"))
    honest = result(train("honest", *few))
    assert (told["honest"], honest["honest"]) == (False, True)
    assert told["parameters"] == honest["parameters"] + 129, "one more output"
    assert told["documented"] is None, "one epoch is not the tutorial's"
    tutorial = ["data=physionet2012", "model=lstm", "protocol=documented"]
    assert documented(compose("train", tutorial), tutorial) == {"roc_auc": 0.6626, "pr_auc": 0.3177}
    weights = torch.load("documented/checkpoints/best.ckpt", weights_only=True)["state_dict"]
    assert weights["network.output.weight"].shape == (2, 128)
    assert told["last"]["train/loss"] >= 0.31, "a softmax of sigmoids cannot fall below"
