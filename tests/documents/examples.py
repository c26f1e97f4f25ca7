"""The vectors as examples: what a requirement allows, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from tests.documents.opened import OPENED, Documents
from tests.vectors.profile import __main__ as vectors

#: The vector of each list from which the others differ.
USUAL: Final = ("usual", "HS256", "a usual answer")
#: Longer strings are cut: nobody reads a signature.
_MAX_TEXT: Final = 44
_MAX_VALUE: Final = 300
_ABSENT: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One vector, to be read by people."""

    file: str
    #: The list in the file.
    part: str
    name: str
    requirements: tuple[str, ...]
    #: What it is answered; None for a good one.
    error: str | None
    #: In what it differs from the usual one; all of it if it is the usual one.
    text: str

    @property
    def is_correct(self) -> bool:
        """Whether it is accepted."""
        return self.error is None

    @property
    def is_usual(self) -> bool:
        """Whether others are shown by how they differ from this one."""
        return self.name in USUAL


def examples() -> Iterator[Example]:
    """Yield every vector of the profile, in the order of the files."""
    for file, open_documents in OPENED.items():
        content = json.loads((vectors.FOLDER / f"{file}.json").read_text("utf-8"))
        for name, part in content.items():
            if not _has_vectors(part):
                continue
            opened = [open_documents(vector, content) for vector in part]
            for vector, documents in zip(part, opened, strict=True):
                usual = vector["name"] in USUAL
                text = _whole(documents) if usual else _changes(opened[0], documents)
                yield _example(file, name, vector, text)


def _has_vectors(part: Any) -> bool:
    return (
        isinstance(part, list)
        and isinstance(part[0], dict)
        and part[0].get("name") in USUAL
    )


def _example(file: str, part: str, vector: dict[str, Any], text: str) -> Example:
    answer = [vector[name] for name in ("error", "sym_error") if name in vector]
    if vector.get("result") == "refused":
        answer = ["refused"]
    return Example(
        file=f"{file}.json",
        part=part,
        name=vector["name"],
        requirements=tuple(vector["requirements"]),
        error=" ".join(answer) or None,
        text=text,
    )


def _whole(documents: Documents) -> str:
    return "\n".join(
        f"{name}: {json.dumps(_short(value), indent=2)}"
        for name, value in documents.items()
        if isinstance(value, dict) and value
    )


def _changes(usual: Documents, documents: Documents) -> str:
    """Return a line for each member that is not as usual."""
    lines = []
    for name in usual | documents:
        before, now = usual.get(name), documents.get(name)
        if isinstance(before, dict) and isinstance(now, dict):
            lines += [f"{name}: {line}" for line in _members(before, now)]
        elif now is not None and before != now:
            shown = now if isinstance(now, str) else json.dumps(_short(now))
            lines.append(f"{name}: {_cut(shown, _MAX_VALUE)}")
    # A tag or a key that is wrong is not told from a right one by its looks.
    return "\n".join(lines) or "the same, under another key or with another tag"


def _members(
    before: dict[str, Any], now: dict[str, Any], path: str = ""
) -> Iterator[str]:
    for name in before | now:
        old, new = before.get(name, _ABSENT), now.get(name, _ABSENT)
        if new is _ABSENT:
            yield f"no {path}{name}"
        elif isinstance(old, dict) and isinstance(new, dict):
            yield from _members(old, new, f"{path}{name}.")
        elif _are_lists_of_objects(old, new):
            for number, (item, other) in enumerate(zip(old, new, strict=True)):
                yield from _members(item, other, f"{path}{name}[{number}].")
        elif old != new:
            yield f"{path}{name} = {_cut(json.dumps(_short(new)), _MAX_VALUE)}"


def _are_lists_of_objects(old: Any, new: Any) -> bool:
    if not isinstance(old, list) or not isinstance(new, list) or len(old) != len(new):
        return False
    return all(isinstance(item, dict) for item in [*old, *new])


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return _cut(value, _MAX_TEXT)
    if isinstance(value, list):
        return [_short(item) for item in value]
    if isinstance(value, dict):
        return {name: _short(member) for name, member in value.items()}
    return value


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 20]}..."
