"""The table of configuration keys that mean the same in every run: their range, and what a change of them changes."""

from __future__ import annotations

from typing import Literal, NamedTuple

from src.config.ranges import Range, choice, flag, listed, name, not_negative, optional, positive, whole

# What a data set gives to a network: ``prefixes`` are series of different lengths, padded at their end; ``masked`` series
# hold for each feature its value, whether it was observed, and the time since it was.
INPUTS = ("table", "series", "prefixes", "masked", "tokens", "bag", "image")


class Key(NamedTuple):
    """One key, or with a dot at its end all keys below it.

    Args:
        range: What its values must be.
        changes: What another value makes of a run: ``nothing`` of its figures; ``rounding``, their last digits;
            ``repeat``, a repeat of the experiment, ``precision``, or another ``experiment``.
        resume: A resumed run may change it.
        path: A path, which a run stores as an absolute one.
        loop: Only the training loop reads it: a baseline, which is fitted in closed form, has none.
        open: An argument of another library's class, which may be added with +; the class itself checks it.
        instead: What to do instead of setting it.
    """

    range: Range | None = None
    changes: Literal["nothing", "rounding", "repeat", "precision", "experiment"] = "experiment"
    resume: bool = False
    path: bool = False
    loop: bool = False
    open: bool = False
    instead: str = ""


EXPERIMENT = Key()
SEED = whole(0, 2**32 - 1)
TRAINER = Key(resume=True, loop=True, open=True)
KEYS: dict[str, Key] = {
    "data_dir": Key(changes="nothing", path=True),
    "seed": Key(SEED, changes="repeat"),
    "threads": Key(optional(whole(1)), changes="rounding", resume=True),
    "test_weights": Key(choice("best", "last")),
    "vectors": Key(optional(name), path=True),
    "weights": Key(name),
    "encoder": Key(Range("the folder of a finished autoencoder's run", lambda value: name.holds(value) and value != "???")),
    "resume": Key(changes="nothing", resume=True),
    "trust": Key(flag, changes="nothing", resume=True),
    "on_error": Key(choice("continue", "stop"), changes="nothing"),
    "sweep": Key(changes="nothing"),
    "sweep.": Key(changes="nothing"),
    "sweep.confirm": Key(flag, changes="nothing"),
    "hydra.": Key(changes="nothing"),
    "hydra/launcher": Key(changes="nothing"),
    "hydra/sweeper": Key(changes="nothing"),
    "logger": Key(changes="nothing"),
    "logger.": Key(changes="nothing", open=True),
    "accelerator": Key(changes="rounding", resume=True),
    "data.input": Key(choice(*INPUTS)),
    "data.tasks": Key(listed(name)),
    "data.batch_size": Key(whole(1)),
    "data.eval_batch_size": Key(whole(1), changes="rounding"),
    "data.split_seed": Key(SEED, changes="repeat"),
    "data.path": Key(path=True),
    "data.pickle": Key(path=True),
    "model.accepts": Key(listed(choice(*INPUTS))),
    "model.tasks": Key(listed(name)),
    "model.replicas": Key(whole(1), changes="nothing"),
    "scheduler": Key(loop=True),
    "task.optimizer": Key(loop=True),
    "task.optimizer.": Key(loop=True, open=True),
    "task.optimizer.lr": Key(positive, loop=True, open=True),
    "task.optimizer.weight_decay": Key(not_negative, loop=True, open=True),
    "task.scheduler": Key(loop=True),
    "task.scheduler.": Key(loop=True, open=True),
    "task.gradient_clip": Key(optional(positive), loop=True),
    "task.l1": Key(not_negative, loop=True),
    "task.loss.": Key(open=True),
    "task.metrics.": Key(open=True),
    "callbacks.": Key(loop=True, open=True),
    "callbacks.progress": Key(changes="nothing", resume=True, loop=True, open=True),
    "trainer.": TRAINER,
    "trainer.max_epochs": TRAINER._replace(range=whole(1)),
    "trainer.devices": TRAINER._replace(range=whole(1, 1024)),
    "trainer.num_nodes": TRAINER._replace(range=whole(1, 1024)),
    "trainer.accelerator": TRAINER._replace(changes="rounding"),
    "trainer.precision": TRAINER._replace(range=choice("32-true", "bf16-mixed", "16-mixed"), changes="precision"),
    "trainer.check_val_every_n_epoch": TRAINER._replace(range=whole(1)),
    "trainer.limit_train_batches": TRAINER._replace(range=positive),
    "trainer.limit_val_batches": TRAINER._replace(range=not_negative),
    "trainer.limit_test_batches": TRAINER._replace(range=positive),
    "trainer.accumulate_grad_batches": TRAINER._replace(instead="every batch is a step; take a larger data.batch_size"),
    "trainer.fast_dev_run": TRAINER._replace(instead="use debug=one_batch"),
    "trainer.gradient_clip_val": TRAINER._replace(instead="use task.gradient_clip"),
    "trainer.max_steps": TRAINER._replace(instead="use trainer.max_epochs"),
    "trainer.overfit_batches": TRAINER._replace(instead="use debug=overfit"),
    # of src.reproduce and src.impute
    "repeats": Key(whole(1)),
    "epochs": Key(whole(1)),
    "batch_size": Key(whole(1)),
}


def of(key: str) -> Key:
    """Return the entry of a key, or that of the nearest group of keys above it."""
    if key in KEYS:
        return KEYS[key]
    while key:
        key = key.rpartition(".")[0]
        if f"{key}." in KEYS:
            return KEYS[f"{key}."]
    return EXPERIMENT


def idle(key: str) -> bool:
    """Return whether a key decides where files are and what is shown, and changes no figure."""
    return of(key).changes == "nothing"


def neutral(key: str) -> bool:
    """Return whether runs that differ in a key only are the same experiment, or repeats of it."""
    return of(key).changes in ("nothing", "rounding", "repeat")
