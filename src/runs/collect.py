"""Runs as experiments: what each has set, whether it counts, and which are the same but for their seeds."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from src.config import overrides
from src.errors import UserError
from src.runs import history, result
from src.runs.settings import IDLE

BY = ["data", "model", "protocol"]
COLUMNS = [*BY, "error", "seed", "split_seed", "honest", "monitor", "fingerprint", "parameters", "seconds.total"]
HIDDEN = ("run", "error", "settings", "weights", "reason", "repeated")
FIGURES = ("test.", "best.", "last.", "documented.", "parameters", "seconds.")
# What the command line can set without making another experiment of a run.
ASIDE = (*IDLE, "seed", "data.split_seed", "hydra.", "logger", "threads", "accelerator")


def collect(folders: list[Path]) -> pd.DataFrame:
    """All :func:`history.runs` below some folders, with what each has set (``settings``) and why it does not count.

    ``reason`` is empty for a run that came to its end and was tested. Runs with the same settings, seeds and data are
    repeats of one another, and all but the newest are ``repeated``: equal seeds have equal results, and would make the
    spread over seeds look smaller than it is.

    Raises:
        UserError: No run is below one of the folders.
    """
    for folder in folders:
        if next(history.run_folders(folder), None) is None:
            raise UserError(f"{folder}: no run is below it; give the folder of one or many runs, such as logs")
    found = history.runs(*folders, begun=True)
    found = found.reindex(columns=list(dict.fromkeys([*found, *COLUMNS])))
    figures = [name for name in found if name.startswith(FIGURES)]
    found[figures] = found[figures].apply(pd.to_numeric, errors="coerce").astype(float)  # whatever a foreign file has there
    found = found.copy()  # in one piece: so many new columns are scattered
    status, errors = found["status"].tolist(), found["error"].tolist()
    settings: list[dict[str, str]] = []
    weights = []
    for place, run in enumerate(found["run"]):
        settings.append({})
        weights.append(tested_weights(Path(run)))
        if status[place] != "unreadable":
            try:
                settings[-1] = overrides.keyed(result.overrides(run))
            except UserError as error:
                status[place], errors[place] = "unreadable", str(error)
    reason = [name if pd.isna(error) else f"{name}: {error}" for name, error in zip(status, errors, strict=True)]
    tested = found.filter(regex=r"^test\.").notna().any(axis=1)
    for place, name in enumerate(status):
        if name in ("finished", "stopped early"):
            reason[place] = "" if tested[place] else f"{name}, but without test figures"
            if "debug" in settings[place]:
                reason[place] = f"debug={settings[place]['debug']}, which tells nothing of the network"
    honest = found["honest"].astype("boolean").fillna(found["protocol"].eq("honest"))
    more = pd.DataFrame({"settings": settings, "weights": weights, "reason": reason, "repeated": False}, index=found.index)
    runs = pd.concat([found.drop(columns="honest"), more, honest.astype(bool)], axis=1)
    counted = runs[runs["reason"] == ""]
    experiment = [tuple(sorted(changed(own).items())) for own in counted["settings"]]
    same = counted[[*BY, "seed", "split_seed", "fingerprint"]].assign(experiment=experiment)
    runs.loc[counted.index, "repeated"] = same.duplicated(keep="last")  # they are sorted by time
    return runs


def tested_weights(run: Path) -> str:
    """Whether the weights of the ``best`` or of the ``last`` epoch were tested; the best where nothing is known."""
    try:
        # the line is all that is wanted; thousands of whole configurations would take seconds to parse
        said = re.search(r"^test_weights: (\w+)", (run / ".hydra" / "config.yaml").read_text(), re.MULTILINE)
    except (OSError, ValueError):
        return "best"
    return said[1] if said else "best"


def changed(settings: dict[str, str]) -> dict[str, str]:
    """Of what a command line has set, that which makes another experiment, beyond the columns that each table has."""
    return {key: value for key, value in settings.items() if key not in BY and not key.startswith(ASIDE)}


def apart(runs: pd.DataFrame) -> pd.Series:
    """What each run has set that not all of them have, in words: the keys by their last parts, where these are enough.

    Where the same settings have met different data - another file, or another version of it - its fingerprint follows.
    """
    own = [changed(one) for one in runs["settings"]]
    common = set.intersection(*(set(one.items()) for one in own))
    keys = {key for one in own for key in one}
    last = {key: re.sub(r".*\.(?=[^._])|.*\.(?=[^.]+\._)", "", key) for key in keys}  # _target_ says nothing alone
    short = {key: name if list(last.values()).count(name) == 1 else key for key, name in last.items()}
    texts = [" ".join(f"{short[key]}={one[key]}" for key in sorted(one) if (key, one[key]) not in common) for one in own]
    told = pd.Series(texts, runs.index)
    prints = runs["fingerprint"].astype(str)
    several = prints.groupby([runs[key] for key in (*BY, "split_seed")] + [told], dropna=False).transform("nunique") > 1
    return told.where(~several, (told + " fingerprint=" + prints.str[:6]).str.strip())
