"""What all tests need."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c() -> None:
    """Ctrl-C is heard, also where a job in the background was started with it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The machine's peaks are measured once for all tests, and the user's own cache is left alone."""
    before = os.environ.get("JUPYTER_OPTIM_CACHE")
    os.environ.setdefault("JUPYTER_OPTIM_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    if before is None:
        del os.environ["JUPYTER_OPTIM_CACHE"]
