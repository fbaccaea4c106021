"""Measure the bars, each in a process of its own, and write `benchmarks/results/`.

python benchmarks/run.py              # all
python benchmarks/run.py int8 graft   # some
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))


def measure(name: str) -> dict[str, object]:
    """One bar, in a fresh process: what one leaves behind must not help or harm the next."""
    done = subprocess.run(
        [sys.executable, __file__, "--one", name], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        return {"holds": False, "error": done.stderr.strip().splitlines()[-1:]}
    result: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def main() -> None:
    """Print a row for each bar and keep the figures."""
    from benchmarks.bars import BARS
    from jupyter_optim.hardware.environment import environment

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *BARS])
    parser.add_argument("--one", choices=list(BARS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(BARS[args.one]()))
        return
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    here = environment()
    for name in args.names or BARS:
        result = measure(name)
        result["machine"] = {"cpu": here.cpu_model, "threads": here.threads, "torch": here.torch}
        (folder / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
        ratio = result.get("ratio")
        shown = f"{ratio:.3g}" if isinstance(ratio, float) else ""
        print(
            f"{name:14} {'holds' if result.get('holds') else 'MISSED':7} {shown:8} {result.get('bar', '')}",
            flush=True,
        )


if __name__ == "__main__":
    main()
