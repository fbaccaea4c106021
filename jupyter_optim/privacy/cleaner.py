"""Text without paths, user names and host names: what an exception says may hold any of them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from jupyter_optim.privacy import identity as names
from jupyter_optim.privacy.identity import Identity
from jupyter_optim.privacy.paths import short_path

CellName = Callable[[str], str | None]
"""What the cell is called that was compiled under a file name; None if none was."""

_OF_THE_SYSTEM = ("/proc/", "/sys/", "/dev/")
"""The same on every machine; what they say is which sensor is meant."""

_ROOTS = "home|Users|root|tmp|var|usr|opt|mnt|data|scratch|work|workspace|srv|media|private|Volumes|content|nix|etc"
_WORD = r"[^\s/\\'\"`<>|:;,*?()\[\]{}]+"
_PATH = re.compile(
    rf"""
    (?P<url>\b(?!file:)[A-Za-z][A-Za-z0-9+.-]+://[^\s'"<>]+)
  | (?P<cell><ipython-input-(?P<number>\d+)-[0-9a-f]+>)
  | (?P<address>\sat\s0x[0-9a-fA-F]{{6,}})
  | (?P<quote>['"`]) (?P<quoted>
        (?:/(?=[^/'"`\n]+/|(?:{_ROOTS})\b) | [A-Za-z]:[\\/] | \\\\(?=[\w.])) [^'"`\n]*
    ) (?P=quote)
  | (?P<windows>
        (?<!\w)[A-Za-z]:[\\/]+ (?:(?:Users|Documents\ and\ Settings)[\\/]+[^\\/'"<>|:*?\n]+(?=[\\/]))?
            (?:[\\/]*{_WORD})*
      | (?<![\w\\])(?:\\\\){{1,2}}[\w.-]{{2,}}\\+[\w.$-]+(?:\\+{_WORD})+
    )
  | (?P<posix>
        (?: file:// | (?<![\w.~/<\\]) | (?<=-[IL]) )
        / (?: {_WORD} (?:/+{_WORD})+ | (?:{_ROOTS})(?![\w-]) ) /?
    )
  | (?P<tilde> (?<![\w/~])~[A-Za-z_][\w.-]*(?=/) )
    """,
    re.VERBOSE,
)
_SENTENCE_END = re.compile(r"[.!]+$")
_CODE = re.compile(r"`[^`\n]*`")


class Cleaner:
    """Takes out of texts what tells of the user and the machine.

    Args:
        identity: the names to take out; by default this process's.
        here: the notebook's folder, relative to which files are told; by default the working folder.
        cell_name: says which file names are notebook cells.
    """

    def __init__(
        self, identity: Identity | None = None, here: str | None = None, cell_name: CellName | None = None
    ) -> None:
        self._identity = identity or names.identity()
        folder = here or _working_folder()
        # a notebook in the home folder: what lies in it is told relative to it as well
        self._here = tuple({folder, os.path.realpath(folder)} - {"/", ""})
        self._own = (str(Path(__file__).parents[2]),)
        self._cell_name = cell_name or (lambda _: None)
        told = sorted(self._identity.names, key=len, reverse=True)
        self._names = [(name, _pattern(name, is_word=Identity.is_word(name))) for name in told]
        holds = "|".join(map(re.escape, told))
        self._suspicious = re.compile(rf"[/\\]|~\w|<ipython-input|\sat\s0x{'|' if holds else ''}{holds}")

    def text(self, text: str, *, prose: bool = True) -> str:
        """`text` without paths and names.

        Args:
            text: what may hold them.
            prose: False for a name in code, in which a user's name is no user's name.
        """
        if not self._suspicious.search(text):
            return text
        text = _PATH.sub(self._shortened, text)
        return self._without_names(text) if prose else text

    def path(self, path: str) -> str:
        """An absolute path, shortened."""
        return self._cell_name(path) or self._unnamed_cell(path) or short_path(
            path, self._identity, self._here, self._own
        )  # fmt: skip

    def _shortened(self, match: re.Match[str]) -> str:
        kind = match.lastgroup
        if match["url"]:
            return match[0]
        if match["cell"]:
            return f"cell [{match['number']}]"
        if match["address"]:
            return ""
        if match["tilde"]:
            return "~"
        if match["quoted"]:
            return f"{match['quote']}{self._short(match['quoted'])}{match['quote']}"
        assert kind is not None
        return self._short(match[0])

    def _short(self, path: str) -> str:
        end = _SENTENCE_END.search(path)
        tail = "" if end is None else end[0]
        plain = path.removesuffix(tail).removeprefix("file://")
        if plain.startswith(_OF_THE_SYSTEM):
            return path
        return self.path(plain) + tail

    @staticmethod
    def _unnamed_cell(path: str) -> str | None:
        return "a cell" if re.search(r"[\\/]ipykernel_\d+[\\/]+\d+\.py$", path) else None

    def _without_names(self, text: str) -> str:
        parts, at = [], 0
        for code in _CODE.finditer(text):
            parts += [self._renamed(text[at : code.start()]), code[0]]
            at = code.end()
        return "".join((*parts, self._renamed(text[at:])))

    def _renamed(self, text: str) -> str:
        for name, pattern in self._names:
            if text == name:
                return "host" if name in self._identity.hosts else "user"
            text = pattern.sub("host" if name in self._identity.hosts else "user", text)
        return text


def _pattern(name: str, *, is_word: bool) -> re.Pattern[str]:
    """Where `name` stands for the user or the machine."""
    itself = re.escape(name)
    whole = rf"(?<![\w]){itself}(?![\w])"
    if not is_word:
        return re.compile(whole)
    said = "user|username|login|account|owner|logname|host|hostname|node|machine|for user"
    before = "|".join(
        rf"(?<=\b{word}{gap})" for each in said.split("|") for word in {each, each.upper(), each.capitalize()}
        for gap in (" ", "=", ": ", ":", " '", "='", ": '", ' "', '="', " is ")
    )  # fmt: skip
    return re.compile(rf"(?:(?:{before}){itself}(?!\w)|(?<!\w){itself}(?=@[\w-])|(?<=\w@){itself}(?!\w))")


def _working_folder() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # it was removed meanwhile
        return ""
