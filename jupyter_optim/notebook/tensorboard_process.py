"""TensorBoard in a process of its own; started by the name of this file, and it imports nothing of ours.

It ends when its standard input does, however the process that holds the other end came to its end, and takes
the folder with the traces with it.
"""

from __future__ import annotations

import shutil
import signal
import sys
from pathlib import Path


def serve(folder: Path) -> None:
    """Serve the runs in ``folder/runs`` on a free port of the loopback address, and write the address down."""
    try:
        from tensorboard import default, program  # noqa: PLC0415 (its workers run this file too, and need none)

        board = program.TensorBoard(default.get_plugins())
        # the data server would be one more process, for scalars that are not there
        board.configure(logdir=str(folder / "runs"), host="127.0.0.1", port=0, load_fast="false")
        unfinished = folder / "address.unfinished"
        unfinished.write_text(board.launch(), encoding="utf-8")
        unfinished.replace(folder / "address")
        sys.stdin.read()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    serve(Path(sys.argv[1]))
