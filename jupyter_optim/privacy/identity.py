"""Whose machine this is: the names that must not be told."""

from __future__ import annotations

import functools
import getpass
import os
import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path

_ACCOUNTS = (
    "root user users admin administrator guest nobody default system service daemon localhost local home ubuntu debian "
    "centos fedora ec2-user azureuser jovyan runner vscode codespace docker container colab kaggle jupyter"
)
_EVERYBODYS = frozenset(_ACCOUNTS.split())
"""Accounts and hosts of this name tell nothing of anybody."""

_OF_TEXTS_AND_NAMES = (
    # words of reports, and of the errors that they quote
    "a an and any are as at batch be bias bound cache call cell channel class cluster code compute conv core cpu cuda "
    "data depth dev device disk dropout embed embedding error eval file find float folder for forward gate gpu grad "
    "graph group guard head heads hidden host idle in index input int is item kernel key label lab layer left light "
    "line linear lines loader loss main mask max mean memory min mini mixed ml mode model module mount net node norm "
    "not of on op open or other output package page param part path peak phase pool power proof python query rank rate "
    "ratio read remote report right run sample score script sdpa seed server session set shape share size skip slow "
    "split stage state step student style sum table tail task temp tensor test text thread time token torch trace "
    "train tree type unit value vector view vision warm weight width work worker write "
    # names of people that are words as well
    "amber angel april art ash august bill bob buck case chance chase chip christian clay cliff crystal dale daisy dawn "
    "dean dick don drew duke earl faith fern frank gene glen grace grant guy hank hazel heather holly hope hunter iris "
    "ivy jack jade jasmine jay jean jewel joy june king lance lane lily major mark mason may melody miles nick norm "
    "olive pat paul pearl penny pierce pink ray reed rich rob rock rod rose ruby sandy sky stone sue summer trinity "
    "trace violet wade ward wayne will wren young"
)
_WORDS = frozenset(_OF_TEXTS_AND_NAMES.split())
"""Where one of these is somebody's name, it is taken out only where it stands as a name: text must stay text."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Names of the user and the machine."""

    users: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    homes: tuple[str, ...] = ()
    """The user's home folder, as it may be written."""
    temporary: tuple[str, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """All of the names that tell something."""
        return frozenset(name for name in self.users | self.hosts if name.lower() not in _EVERYBODYS)

    @staticmethod
    def is_word(name: str) -> bool:
        """Whether `name` is a word as well, so that a text may well mean that."""
        return len(name) < 3 or name.lower() in _WORDS


@functools.cache
def identity() -> Identity:
    """The user and the machine of this process."""
    home = os.path.expanduser("~")  # noqa: PTH111 (unlike `Path.home`, it gives an answer where there is none)
    homes = {home, os.path.realpath(home)} - {"/", "", "~"}
    users = {os.environ.get(name, "") for name in ("USER", "LOGNAME", "USERNAME")} | {Path(home).name}
    try:
        users.add(getpass.getuser())
    except (OSError, KeyError):  # a container may run under a number that no one has named
        users.discard("")
    host = platform.node()
    folder = tempfile.gettempdir()
    return Identity(
        users=frozenset(users - {""}), hosts=frozenset({host, host.partition(".")[0]} - {""}),
        homes=tuple(sorted(homes, key=len, reverse=True)),
        temporary=tuple({folder, os.path.realpath(folder)}),
    )  # fmt: skip
