"""From a document to typed structs; what does not fit is an error with a place and a remedy.

msgspec says what is wrong and at which path; this module finds that path in the file, and names
what would have been right.
"""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Sequence
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from detector.document import Document, Key
from detector.errors import DetectorError

T = TypeVar("T")

_AT = re.compile(r" - at `(?P<key>key in )?\$(?P<path>.*)`$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]|(\[\.\.\.\])")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>.*)`")
_EXPECTED = re.compile(r"Expected `(?P<wanted>[^`]*)`, got `(?P<got>[^`]*)`")
_NO_TIME = ("Invalid RFC3339 encoded datetime", "Expected `datetime`")
_WORDS = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}


def convert(document: Document, type_: type[T], error: type[DetectorError]) -> T:
    """Return the document's data as `type_`; raise `error` where it does not fit."""
    try:
        return msgspec.convert(document.data, type_)
    except msgspec.ValidationError as fault:
        raise _located(str(fault), document, type_, error) from fault


def _located(
    text: str, document: Document, type_: type[Any], error: type[DetectorError]
) -> DetectorError:
    at = _AT.search(text)
    message = text[: at.start()] if at else text
    keys = _keys(at.group("path"), type_, document.data) if at else []
    where = _dotted(keys)
    expected, data = _type_at(type_, document.data, keys)
    if unknown := _UNKNOWN.fullmatch(message):
        name = unknown.group("name")
        known = _field_names(expected)
        return error(
            f"unknown key {_dotted([*keys, name])}",
            place=document.key_place([*keys, name]),
            remedy=_suggestion(name, known),
        )
    if missing := _MISSING.fullmatch(message):
        name = _dotted([*keys, missing.group("name")])
        return error(f"{name} is missing", place=document.place(keys), remedy=f"add {name}")
    if message.startswith(_NO_TIME):
        return error(
            f"{where} must be a time and its offset from UTC",
            place=document.place(keys),
            remedy="write it as 2026-12-31T22:00:00Z",
        )
    if wrong := _EXPECTED.fullmatch(message):
        wanted = " or ".join(_WORDS.get(word, word) for word in wrong.group("wanted").split(" | "))
        got = _WORDS.get(wrong.group("got"), wrong.group("got"))
        return error(
            f"{where or 'the document'} must be {wanted}, not {got}", place=document.place(keys)
        )
    allowed = _allowed_values(expected)
    if message.startswith(("Invalid value", "Invalid enum value")) and allowed:
        return error(
            f"{where} has a value that is not known",
            place=document.place(keys),
            remedy=_suggestion(str(data), allowed),
        )
    return error(f"{where}: {message}" if where else message, place=document.place(keys))


def _keys(path: str, type_: Any, data: object) -> list[Key]:
    """Return the keys of msgspec's path, in which `[...]` stands for some key of a mapping."""
    keys: list[Key] = []
    for name, index, anywhere in _STEP.findall(path):
        if anywhere:
            expected, mapping = _type_at(type_, data, keys)
            key = _faulty_key(expected, mapping)
            if key is None:
                break
            keys.append(key)
        else:
            keys.append(int(index) if index else name)
    return keys


def _faulty_key(type_: Any, mapping: object) -> str | None:
    """Return the first key of a mapping whose value is not of the type that its values have."""
    arguments = get_args(type_)
    if not isinstance(mapping, dict) or len(arguments) != 2:  # noqa: PLR2004 - key and value
        return None
    for key, value in mapping.items():
        try:
            msgspec.convert(value, arguments[1])
        except msgspec.ValidationError:
            return str(key)
    return None


def _dotted(keys: Sequence[Key]) -> str:
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
    return text.removeprefix(".")


def _type_at(type_: Any, data: object, keys: Sequence[Key]) -> tuple[Any, object]:
    """Follow keys through types and data together, choosing tagged structs by their tag."""
    for key in keys:
        type_ = _narrowed(type_, data)
        if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
            if key == type_.__struct_config__.tag_field:
                type_ = Literal[type_.__struct_config__.tag]
            else:
                fields = {item.encode_name: item.type for item in msgspec.structs.fields(type_)}
                type_ = fields.get(str(key), Any)
        else:
            arguments = [item for item in get_args(type_) if item is not Ellipsis]
            tags = _tags(arguments)
            if tags and isinstance(key, str):
                type_ = Literal[tuple(tags)]
            else:
                type_ = arguments[-1] if arguments else Any
        if isinstance(data, dict):
            data = data.get(key)
        elif isinstance(data, list) and isinstance(key, int) and key < len(data):
            data = data[key]
        else:
            data = None
    return _narrowed(type_, data), data


def _narrowed(type_: Any, data: object) -> Any:
    if get_origin(type_) not in {Union, types.UnionType}:
        return type_
    options = [item for item in get_args(type_) if item is not type(None)]
    if len(options) == 1:
        return options[0]
    for option in options:
        if isinstance(option, type) and issubclass(option, msgspec.Struct):
            config = option.__struct_config__
            if isinstance(data, dict) and data.get(config.tag_field) == config.tag:
                return option
        if isinstance(data, list) and get_origin(option) in {list, tuple}:
            return option
    return type_


def _tags(options: Sequence[Any]) -> list[str]:
    return [
        str(option.__struct_config__.tag)
        for option in options
        if isinstance(option, type)
        and issubclass(option, msgspec.Struct)
        and option.__struct_config__.tag is not None
    ]


def _field_names(type_: Any) -> list[str]:
    if not (isinstance(type_, type) and issubclass(type_, msgspec.Struct)):
        return []
    names = [item.encode_name for item in msgspec.structs.fields(type_)]
    tag_field = type_.__struct_config__.tag_field
    return [tag_field, *names] if tag_field else names


def _allowed_values(type_: Any) -> list[str]:
    if get_origin(type_) is Literal:
        return [str(value) for value in get_args(type_)]
    return []


def _suggestion(name: str, known: Sequence[str]) -> str | None:
    if not known:
        return None
    nearest = difflib.get_close_matches(name, known, n=1)
    listed = ", ".join(known)
    return f"did you mean {nearest[0]}? Known here: {listed}" if nearest else f"known: {listed}"
