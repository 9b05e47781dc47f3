# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What `--help` says of a config: each field as a flag sets it, what it means, what it is set to.

The meaning is the field's entry in its dataclass's `Attributes:`.
"""

import dataclasses
import inspect
import re
import textwrap
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from lingshu_jax.common import errors

WIDTH = 100
_LONGEST_TYPE = 32
_MOST_NAMES = 12  # of the parts of a tuple, such as a mixture's sources
_ENTRY = re.compile(r"  (\w+): (.*)")


def attributes(config_class: type) -> dict[str, str]:
    """Field or attribute to its text, of a class's docstring and those it inherits from.

    Args:
      config_class: Its docstrings may have a section `Attributes:` in Google's form.
    """
    found: dict[str, str] = {}
    for ancestor in reversed(config_class.__mro__):
        found |= _own_attributes(ancestor)
    return found


def _own_attributes(config_class: type) -> dict[str, str]:
    """Those of its own docstring; a class has none of another's."""
    doc = inspect.cleandoc(config_class.__doc__ or "")
    _, _, section = doc.partition("\nAttributes:\n")
    found: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        if line and not line.startswith(" "):
            break
        if entry := _ENTRY.fullmatch(line):
            name = entry[1]
            found[name] = entry[2]
        elif line and name:
            found[name] += f" {line.strip()}"
    return found


def describe(config: Any, prefix: str = "--config") -> str:
    """All fields of a config, those of its parts behind dots, as lines of at most 100 columns.

    A class that occurs more than once has the texts of its fields at the first place alone; what
    they are set to stands at each.

    Args:
      config: A dataclass.
      prefix: The flag of the config.
    """
    return "\n".join(_lines(config, prefix, seen={}))


def _lines(config: Any, prefix: str, *, seen: dict[tuple[type, str], str]) -> Iterator[str]:
    docs, values = attributes(type(config)), vars(config)
    names = [field.name for field in dataclasses.fields(config)]
    for name in names:
        if not dataclasses.is_dataclass(values[name]):
            yield from _field(config, name, f"{prefix}.{name}", docs, seen=seen)
    for name in names:
        if dataclasses.is_dataclass(values[name]):
            yield from ("", *_wrap(f"{prefix}.{name}: {docs.get(name, '')}", "  "))
            yield from _lines(values[name], f"{prefix}.{name}", seen=seen)


def _field(
    config: Any,
    name: str,
    path: str,
    docs: Mapping[str, str],
    *,
    seen: dict[tuple[type, str], str],
) -> Iterator[str]:
    hint = typing.get_type_hints(type(config))[name]
    default, part = _shown(getattr(config, name)), _part_of(hint)
    if seen.setdefault((_owner(type(config), name), name), path) != path and part is None:
        yield from _wrap(f"{path} (default: {default})", "  ")
        return
    yield from _wrap(f"{path}: {docs.get(name, '')}", "  ")
    yield from _wrap(f"({_type_name(hint)}; default: {default})", "    ")
    if part is not None:
        yield from _parts(part, path, seen=seen)


def _parts(part: type, path: str, *, seen: dict[tuple[type, str], str]) -> Iterator[str]:
    """The fields of the dataclass that a tuple holds; what they are if the file names none."""
    docs, hints = attributes(part), typing.get_type_hints(part)
    first = next((place for (owner, _), place in seen.items() if issubclass(part, owner)), None)
    if first is not None:
        yield f"    each with the fields of {first.rpartition('.')[0]}"
        return
    for field in dataclasses.fields(part):
        own = f"{path}[N].{field.name}"
        seen[_owner(part, field.name), field.name] = own
        yield from _wrap(f"{own}: {docs.get(field.name, '')}", "    ")
        kind = _type_name(hints[field.name])
        yield from _wrap(f"({kind}; {_class_default(field)})", "      ")


def _class_default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return f"default: {_shown(field.default)}"
    if field.default_factory is not dataclasses.MISSING:
        return f"default: {_shown(field.default_factory())}"
    return "required"


def _owner(kind: type, name: str) -> type:
    """The class whose docstring has the field: the nearest one."""
    return next((one for one in kind.__mro__ if name in _own_attributes(one)), kind)


def _part_of(hint: Any) -> type | None:
    """The dataclass of which a tuple holds many; None for every other type."""
    parts: list[Any] = [*typing.get_args(hint)] if typing.get_origin(hint) is tuple else []
    part = parts[0] if len(parts) == 2 and parts[1] is Ellipsis else None
    return part if isinstance(part, type) and dataclasses.is_dataclass(part) else None


def _type_name(hint: Any) -> str:
    name = hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)
    name = re.sub(r"\b(?:typing|collections\.abc|[a-z_]+(?:\.[a-z_]+)+)\.", "", name)
    if len(name) > _LONGEST_TYPE:
        origin = typing.get_origin(hint)
        name = getattr(origin, "__name__", name)
    return name


def _shown(value: Any) -> str:
    """A value as a flag takes it; of a tuple of parts their names."""
    if isinstance(value, tuple) and value and all(map(dataclasses.is_dataclass, value)):
        names = [str(getattr(part, "name", type(part).__name__)) for part in value]
        more = f" and {len(names) - _MOST_NAMES} more" * (len(names) > _MOST_NAMES)
        return f"{len(names)}, named {', '.join(names[:_MOST_NAMES])}{more}"
    if isinstance(value, Mapping):
        return repr(dict(value))
    return repr(value)


def explain_unknown(config: Any, flag: str) -> str | None:
    """What is wrong with a flag that sets no field of a config; None where it names one.

    Args:
      config: A dataclass.
      flag: As typed, `config.optim.warmup_step` or `config.data.sources[0].pth`.
    """
    prefix, *names = flag.split(".")
    held = config
    for name in names:
        plain, *numbers = re.findall(r"\w+", name)
        if not dataclasses.is_dataclass(held):
            return None
        known = [field.name for field in dataclasses.fields(held)]
        if plain not in known:
            elsewhere = [path for path in _paths(config, prefix) if path.endswith(f".{plain}")]
            near = f"; did you mean '--{elsewhere[0]}'?" if elsewhere else ""
            near = near or errors.suggest(plain, known)
            kind = type(held).__name__
            return f"--{flag}: {kind} has no field {plain!r}; it has {', '.join(known)}{near}"
        held = getattr(held, plain)
        for number in numbers:
            if not number.isdigit() or int(number) >= len(held):
                return f"--{flag}: {plain} has {len(held)} entries, the first is [0]"
            held = held[int(number)]
    return None


def explain_value(config: Any, flag: str, value: str) -> str | None:
    """What a field takes that was given something else; None where the flag names no field.

    Args:
      config: A dataclass.
      flag: As typed, without dashes.
      value: As typed.
    """
    _, *names = flag.split(".")
    held, hint = config, None
    for name in names:
        plain, *numbers = re.findall(r"\w+", name)
        if not dataclasses.is_dataclass(held) or not hasattr(held, plain):
            return None
        hint = typing.get_type_hints(type(held))[plain]
        held = getattr(held, plain)
        for number in numbers:
            held, hint = held[int(number)], None
    if dataclasses.is_dataclass(held):
        known = ", ".join(f"--{flag}.{field.name}" for field in dataclasses.fields(held))
        return f"--{flag} is set by its fields, not as a whole: {known}"
    if hint is None:
        return None
    return f"--{flag} must be of type {_type_name(hint)}, as {_shown(held)} is, got {value!r}"


def _paths(config: Any, prefix: str) -> Iterator[str]:
    for field in dataclasses.fields(config):
        value, path = getattr(config, field.name), f"{prefix}.{field.name}"
        yield path
        if dataclasses.is_dataclass(value):
            yield from _paths(value, path)


def _wrap(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
