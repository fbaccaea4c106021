"""Kernels that behave as they do for users."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock


@contextmanager
def as_for_users() -> Iterator[None]:
    """Processes started meanwhile do not know of pytest: ipykernel would leave out of the cell what C++ code writes."""
    with mock.patch.dict(os.environ):
        os.environ.pop("PYTEST_CURRENT_TEST", None)
        yield
