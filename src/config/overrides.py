"""Overrides of a command line (``model.dropout=0.1``, ``+a=1``, ``~b``), read by Hydra's own parser."""

import contextlib
import functools
from collections.abc import Iterable, Sequence

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import OverrideParseException

from src.config import keys
from src.errors import UserError


def parse(overrides: Iterable[str], config_loader: ConfigLoader | None = None) -> list[Override]:
    """Return the parsed overrides.

    Args:
        overrides: Texts such as ``seed=0,1``.
        config_loader: Hydra's loader, which a sweep over ``glob(*)`` needs to list the options of a group.

    Raises:
        UserError: One of them cannot be read.
    """
    return [_parsed(text, config_loader) for text in overrides]


@functools.lru_cache(maxsize=2**15)  # Hydra's parser takes half a millisecond, and the runs of a study share most overrides
def _parsed(text: str, config_loader: ConfigLoader | None = None) -> Override:
    try:
        return OverridesParser.create(config_loader).parse_overrides([text])[0]
    except OverrideParseException as error:
        raise UserError(unreadable(text)) from error


def unreadable(override: str) -> str:
    """Return the sentence for a text that Hydra cannot parse."""
    return f"{override}: cannot be read as key=value; put quotes around odd characters, as in 'key=\"a b\"'"


def given(arguments: Sequence[str]) -> list[str]:
    """Return the overrides among the arguments of a command line; the rest are Hydra's options and their values."""
    return [text for text in arguments if not text.startswith("-") and ("=" in text or text.startswith("~"))]


def key(override: str | Override) -> str:
    """Return the dotted key, or the group, that an override sets."""
    parsed = _parsed(override) if isinstance(override, str) else override
    return parsed.key_or_group if parsed.package is None else f"{parsed.key_or_group}@{parsed.package}"


def text(override: str | Override) -> str:
    """Return the value as text, the same for ``1e-3`` and ``0.001``, ``True`` and ``true``, ``'a'`` and ``a``."""
    parsed = _parsed(override) if isinstance(override, str) else override
    plain = parsed.value()
    if parsed.is_sweep_override():
        return str(parsed.input_line).partition("=")[2]
    if isinstance(plain, str):
        return plain
    return str(plain).lower() if isinstance(plain, bool) else parsed.get_value_element_as_str()


def keyed(overrides: Iterable[str]) -> dict[str, str]:
    """Return the texts of overrides by their keys."""
    return {key(override): text(override) for override in overrides}


def written(key: str, value: str) -> str:
    """Return the override that sets ``key`` to a text, whatever characters the text has."""
    return f"{key}={QuotedString(value, Quote.single).with_quotes()}"


def typed(arguments: Sequence[str], several: bool = False) -> list[str]:
    """Return the arguments with paths and other texts in quotes where Hydra would read anything but what was typed.

    A value stays as it is if it is in Hydra's quotes already, is ``null``, or holds an interpolation (``${...}``).

    Args:
        arguments: Words of a command line.
        several: The command is a sweep, in which commas and ``choice(...)`` list paths where jobs may differ in them.
    """
    return [_typed(text, several) for text in arguments]


def _typed(argument: str, several: bool) -> str:
    key, sign, value = argument.partition("=")
    meaning = keys.of(key.lstrip("+"))
    if not sign or not (meaning.typed or meaning.path) or "${" in value:
        return argument
    several = several and meaning.changes != "nothing"  # the jobs of a sweep do not differ in such a key
    with contextlib.suppress(UserError):  # of a value that is not in Hydra's quotes
        (parsed,) = parse([argument])
        plain = parsed.value()
        as_typed = plain in (value, None) or (isinstance(plain, str) and value[0] in "'\"")
        if several if parsed.is_sweep_override() else as_typed:
            return argument
    if several and "," in value:
        return f"{key}={','.join(_typed(f'{key}={part}', False).partition('=')[2] for part in value.split(','))}"
    return written(key, value)
