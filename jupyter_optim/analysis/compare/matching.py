"""Which module of the one report is which of the other: by path, below another root, or inside of a former layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jupyter_optim.report import ModuleRow


@dataclass(frozen=True, slots=True)
class Match:
    """For the modules of the two reports, the name that they go by in both."""

    names: tuple[Mapping[str, str], Mapping[str, str]]
    """Of each path: what is only in the one report, and in what was a layer in the other, has that layer's name."""
    rows: tuple[Mapping[str, ModuleRow], Mapping[str, ModuleRow]]
    """The module that a name stands for in each report."""

    @classmethod
    def of(cls, before: Sequence[ModuleRow], after: Sequence[ModuleRow]) -> Match:
        """Match all modules of two reports."""
        # of duplicates the first counts
        first, last = ({row.path: row for row in reversed(rows)} for rows in (before, after))
        outer = _wrapper(last, first)
        inner = _without(outer, first), _without("" if outer else _wrapper(first, last), last)
        known = set(inner[0].values()), set(inner[1].values())
        shared = known[0] & known[1]
        found = []
        for rows, own, other in ((first, inner[0], known[1]), (last, inner[1], known[0])):
            layers = shared & _leaves(other)
            names = {path: _layer(key, shared, layers) for path, key in own.items()}
            # a wrapper and the model in it go by one name, which stands for the model
            deepest_last = sorted((path for path in rows if names[path] == own[path]), key=len)
            found.append((names, {names[path]: rows[path] for path in deepest_last}))
        return cls((found[0][0], found[1][0]), (found[0][1], found[1][1]))

    def name(self, path: str | None, side: int) -> str | None:
        """The name of what is at `path` in one report, 0 or 1; None for what is in no module."""
        return None if path is None else self.names[side].get(path, path)

    def path(self, name: str) -> str:
        """Where the module is in the report after, or before if it is gone."""
        return self.rows[1][name].path if name in self.rows[1] else name

    def classes(self, name: str) -> tuple[str | None, str | None]:
        """The module's class before and after."""
        first, last = (rows[name].class_name if name in rows else None for rows in self.rows)
        return first, last


def _wrapper(inside: Mapping[str, ModuleRow], outside: Mapping[str, ModuleRow]) -> str:
    """``_orig_mod.``, say, if `outside` is the model `inside` under another root; "" if that is not sure.

    Sure is: nine names in ten are found again below one prefix, most of them with their class, and not where
    they were.
    """
    paths = inside.keys() - {""}
    if len(paths) < 2 or 2 * len(paths & outside.keys()) > len(paths):
        return ""
    counts = Counter(
        path[: i + 1] for path in outside for i, char in enumerate(path) if char == "." and path[i + 1 :] in paths
    )  # fmt: skip
    prefix, count = counts.most_common(1)[0] if counts else ("", 0)
    moved = [(inside[path], outside[prefix + path]) for path in paths if prefix + path in outside]
    alike = sum(a.class_name == b.class_name for a, b in moved)
    return prefix if count >= 0.9 * len(paths) and 2 * alike > len(paths) else ""


def _without(prefix: str, rows: Mapping[str, ModuleRow]) -> dict[str, str]:
    return {path: f"{path}.".removeprefix(prefix).removesuffix(".") for path in rows}


def _leaves(paths: set[str]) -> set[str]:
    holders = {path[:at] for path in paths for at, char in enumerate(path) if char == "."}
    return {path for path in paths if path not in holders and (path or len(paths) == 1)}


def _layer(path: str, shared: set[str], layers: set[str]) -> str:
    """`path`, or the one of `layers` that it is inside of, if no other `shared` module lies between."""
    above = path
    while above and above not in shared:
        above = above.rpartition(".")[0]
    return above if above in layers else path
