"""TOML files to frozen dataclasses, strictly.

A configuration is a dataclass whose fields are numbers, strings, booleans, tuples of strings or further dataclasses;
or one of several dataclasses (a union), each with a field `family` whose default is its name: the table's `family`
chooses, the first is meant where it names none. An unknown key or a wrong type is an error that names the known keys;
each dataclass checks its own values.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_type_hints

from songwright.errors import ConfigError

T = TypeVar("T")


def from_mapping(config_type: type[T], values: Mapping[str, Any], *, where: str = "config") -> T:
    """Build a dataclass from a mapping, refusing unknown keys and wrong types.

    Raises
    ------
    ConfigError
        With the place, the value and what is known there.
    """
    types = get_type_hints(config_type)
    known = {field.name for field in dataclasses.fields(config_type)}  # pyright: ignore[reportArgumentType]
    unknown = sorted(set(values) - known)
    if unknown:
        raise ConfigError(f"{where}: unknown key {unknown[0]!r}; known keys: {', '.join(sorted(known))}")
    arguments: dict[str, Any] = {}
    for name, value in values.items():
        expected = types[name]
        if isinstance(expected, UnionType):
            expected = _member(expected, value, where=f"{where}.{name}")
        if dataclasses.is_dataclass(expected):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{where}.{name}: expected a table, got {value!r}")
            arguments[name] = from_mapping(expected, value, where=f"{where}.{name}")  # pyright: ignore[reportArgumentType]
        elif expected is float and isinstance(value, int) and not isinstance(value, bool):
            arguments[name] = float(value)
        elif expected == tuple[str, ...]:
            if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
                raise ConfigError(f"{where}.{name}: expected a list of words, got {value!r}")
            arguments[name] = tuple(value)
        elif type(value) is not expected:
            raise ConfigError(f"{where}.{name}: expected {expected.__name__}, got {value!r}")
        else:
            arguments[name] = value
    try:
        return config_type(**arguments)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from error


def _member(union: UnionType, value: Any, *, where: str) -> Any:
    """Return the dataclass of a union that a table asks for."""
    members: dict[str, Any] = {member.family: member for member in union.__args__}
    family = value.get("family", next(iter(members))) if isinstance(value, Mapping) else next(iter(members))
    if family not in members:
        raise ConfigError(f"{where}.family: unknown family {family!r}; known: {', '.join(members)}")
    return members[family]


def load_config(config_type: type[T], path: Path, *, overrides: Sequence[str] = ()) -> T:
    """Read a TOML file into a dataclass; `overrides` are `section.key=value` with TOML values.

    Raises
    ------
    ConfigError
        If the file cannot be read or does not fit the dataclass.
    """
    values = load_values(path)
    _override(values, overrides)
    return from_mapping(config_type, values, where=str(path))


def load_values(path: Path) -> dict[str, Any]:
    """Read a TOML file as it is.

    Raises
    ------
    ConfigError
        If the file cannot be read or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML ({error})") from error


def from_overrides(config_type: type[T], overrides: Sequence[str]) -> T:
    """Build a dataclass from its defaults and `section.key=value` with TOML values.

    Raises
    ------
    ConfigError
        If an override does not fit the dataclass.
    """
    values: dict[str, Any] = {}
    _override(values, overrides)
    return from_mapping(config_type, values, where="--set")


def _override(values: dict[str, Any], overrides: Sequence[str]) -> None:
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals:
            raise ConfigError(f"--set {override}: write section.key=value")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        table = values
        *sections, key = name.strip().split(".")
        for section in sections:
            table = table.setdefault(section, {})
            if not isinstance(table, dict):
                raise ConfigError(f"--set {override}: {section!r} is not a section")
        table[key] = value
