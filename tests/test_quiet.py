"""What libraries log while we work."""

from __future__ import annotations

import logging
from contextlib import ExitStack

import pytest

from jupyter_optim.quiet import quiet


@pytest.mark.parametrize("first_to_leave", [0, 1])
def test_the_users_levels_are_back_once_nobody_wants_quiet(first_to_leave: int) -> None:
    # GIVEN a library whose log the user has set up
    logger = logging.getLogger("torchao")
    before = logger.level
    logger.setLevel(logging.INFO)
    try:
        # WHEN two threads work at once, and either of them ends first
        stacks = [ExitStack(), ExitStack()]
        for stack in stacks:
            stack.enter_context(quiet())
        stacks.pop(first_to_leave).close()
        # THEN it is quiet until the other ends, too
        assert logger.level == logging.ERROR
        stacks.pop().close()
        assert logger.level == logging.INFO
    finally:
        logger.setLevel(before)
