"""Plain values as TOML text; the standard library only reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any


def toml_text(table: Mapping[str, Any]) -> str:
    """``table`` as a TOML document: values first, then tables. ``None`` and empty tables are left out."""
    return "\n".join(_lines(table, "")).strip() + "\n"


def _lines(table: Mapping[str, Any], path: str) -> list[str]:
    tables = {key: value for key, value in table.items() if isinstance(value, Mapping) and value}
    lines = [
        f"{_key(key)} = {_value(value)}"
        for key, value in table.items()
        if value is not None and not isinstance(value, Mapping)
    ]
    if lines and path:
        lines = ["", f"[{path}]", *lines]
    for key, value in tables.items():
        lines += _lines(value, f"{path}.{_key(key)}" if path else _key(key))
    return lines


def _key(key: str) -> str:
    return key if re.fullmatch(r"[\w-]+", key, re.ASCII) else json.dumps(key, ensure_ascii=False)


def _value(value: Any) -> str:  # noqa: ANN401 (a boolean, number, text or list of these)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    # JSON writes numbers, truth values and text as TOML does.
    return json.dumps(value, ensure_ascii=False)
