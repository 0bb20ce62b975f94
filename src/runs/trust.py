"""Allow-list of the classes that a stored configuration may name: a run folder may come from anyone, and its classes run.

The names are checked before anything is imported (:func:`check`), and what they stand for before it is called
(:func:`check_objects`), since ``torch.nn.functional.torch.hub.load`` begins like a layer of torch.nn.
"""

import functools
import pydoc
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from hydra.utils import get_class
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from omegaconf.grammar_parser import OmegaConfGrammarParser, parse

from src.config import overrides
from src.config.compose import CONF, options
from src.errors import UserError, sentence

# Rooms and entry points hold no part of an experiment, but for the names that a file of conf/ has.
CLOSED = ("config", "runs", "reporting", "sweeps", "training")
# Packages in which libraries' classes may be named, with what these are.
LIBRARIES: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("trusted.yaml").read_text())
# Keys whose values name a class or a function.
CALLS = re.compile(r"(.*\.)?(_target_|present)", re.DOTALL)
# Resolvers that only combine values of the configuration.
RESOLVERS = ("if", "sum", "space", "oc.select")
# What a stored sweep may set of Hydra: where its jobs run and how they are drawn. A launcher's other settings hold commands.
HYDRA = re.compile(
    r"hydra/(launcher|sweeper)=\w+"
    r"|hydra\.(mode|run\.dir|sweep\.\w+|sweeper\.(n_trials|n_jobs|direction|seed))=.*"
    r"|hydra\.sweeper\.sampler\._target_=optuna\.samplers\.[A-Z]\w+"
    r"|hydra\.launcher\.(n_jobs|nodes|timeout_min|cpus_per_task|gpus_per_node|mem_gb|tasks_per_node|array_parallelism)=\d+"
    r"|hydra\.launcher\.(partition|account|qos)=\w+"
)
PARAMS = "hydra.sweeper.params"  # what a sweep or a search draws, as overrides


def check(config: Any, source: Path | str, trust: bool) -> None:
    """Check the names of a stored configuration; nothing is imported.

    Args:
        config: Configuration of a run, with its interpolations.
        source: File that it comes from, for the message.
        trust: Admit names that are not on the list, and print them.

    Raises:
        UserError: A class, a function or a resolver is not on the list, or a value cannot be resolved.
    """
    admit(_foreign_names(config, source), source, trust)


def check_objects(config: Any, source: Path | str, trust: bool) -> None:
    """Check the classes behind the names that :func:`check` admits; their modules are imported."""
    foreign = []
    for key, name in _nodes(OmegaConf.to_container(config, resolve=True)):
        if CALLS.fullmatch(key) and _is_listed(name):
            if (found := pydoc.locate(name)) is None:
                raise UserError(f"{source}: {key}={name}: there is no such class any more; put it back, or train anew")
            foreign += [] if _is_expected(found) else [(key, name)]
    admit(foreign, source, trust)


def check_overrides(texts: Iterable[str], source: Path | str, trust: bool) -> None:
    """Check stored overrides for what changes Hydra itself, which acts before the configuration can be checked."""
    admit(((text, text) for text in texts if not _is_plain(text)), source, trust)


def admit(foreign: Iterable[tuple[str, Any]], source: Path | str, trust: bool) -> None:
    """Print keys with what they name if ``trust`` is true; raise a UserError for the first one otherwise."""
    for key, name in foreign:
        what = key if key == name else f"{key}={name}"
        if trust is not True:
            raise UserError(
                f"{source}: {what}: is not among the classes that a stored run may use, and could run any code; "
                f"if you trust who made this run, add trust=true"
            )
        print(f"trust=true: {source}: admitted {what}")


def _foreign_names(config: Any, source: Path | str) -> Iterator[tuple[str, Any]]:
    """Keys and values of a configuration that :func:`check` refuses."""
    try:
        for key, value in _nodes(OmegaConf.to_container(config)):
            yield from ((key, value) for name in _resolvers(value) if name not in RESOLVERS)
        resolved = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"{source}: cannot be used ({sentence(error)})") from error
    for key, value in _nodes(resolved):
        # an interpolation that was escaped would be resolved when Hydra instantiates the class
        if (CALLS.fullmatch(key) and not _is_listed(value)) or (isinstance(value, str) and "${" in value):
            yield key, value


def _nodes(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values, those of mappings and lists included."""
    yield path, node
    for key, item in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from _nodes(item, f"{path}.{key}" if path else str(key))


def _resolvers(value: Any) -> Iterator[str]:
    """Names of the resolvers in an interpolation, at every depth."""
    nodes: list[Any] = [parse(value)] if isinstance(value, str) and "${" in value else []
    while nodes:
        node = nodes.pop()
        if isinstance(node, OmegaConfGrammarParser.InterpolationResolverContext):
            yield node.resolverName().getText()
        nodes += getattr(node, "children", None) or []


@functools.cache
def _named_in_conf() -> frozenset[str]:
    """Classes and functions of ``src`` that a file of conf/ names."""
    return frozenset(name for path in CONF.rglob("*.yaml") for name in re.findall(r"\bsrc(?:\.\w+)+", path.read_text()))


def _is_listed(name: Any) -> bool:
    """Return whether a class or function of this name may be used, as far as its name tells."""
    if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
        return False
    first, _, rest = name.partition(".")
    if first == "src":
        return name in _named_in_conf() or (bool(rest) and rest.partition(".")[0] not in CLOSED)
    return any(f"{name}.".startswith(f"{package}.") for package in LIBRARIES)


def _is_expected(found: Any) -> bool:
    """Return whether an object is a class of `src`, a function that conf/ names, or a library's class of the right kind."""
    home = f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', '')}"
    if not isinstance(found, type):
        return home in _named_in_conf()
    if home.startswith("src."):
        return _is_listed(home)
    return any(
        home.startswith(tuple(f"{package}." for package in library.get("defined", [name])))
        and issubclass(found, get_class(library["extends"]))
        for name, library in LIBRARIES.items()
    )


def _is_plain(text: str) -> bool:
    """Return whether a stored override only chooses an option of conf/ or sets a value of the experiment."""
    (parsed,) = overrides.parse([text])
    key, value = parsed.key_or_group, parsed.value()
    if parsed.package is not None or ".." in key:
        return False
    if key.startswith(f"{PARAMS}"):
        drawn = value if isinstance(value, dict) else {key.removeprefix(f"{PARAMS}."): overrides.text(parsed)}
        return all(_is_plain(f"{name}={text}") for name, text in drawn.items())
    if key.startswith("hydra"):
        return HYDRA.fullmatch(f"{key}={overrides.text(parsed)}") is not None
    if "/" not in key and (isinstance(value, dict) or not (CONF / key).is_dir()):
        return True
    chosen = getattr(value, "list", []) if parsed.is_sweep_override() else value if isinstance(value, list) else [value]
    return all(name is None or str(name) in options(key) for name in chosen)
