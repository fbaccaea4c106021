"""What the sampler costs at its default rate, in per cent of one core: idle, and beside a busy process.

python benchmarks/sampler.py              # 7 runs of 3 s each
python benchmarks/sampler.py --runs 3 --seconds 1
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

BAR_PERCENT = 1.0


def idle(seconds: float) -> None:
    """The process waits."""
    time.sleep(seconds)


def multiply(seconds: float) -> None:
    """The process multiplies matrices on all of its threads."""
    import torch

    a = torch.ones(512, 512)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        torch.mm(a, a)


def percent(work: Callable[[float], None], seconds: float) -> tuple[float, int]:
    """CPU time of the sampler's thread over the time that it ran, and its number of samples."""
    from jupyter_optim.hardware.sampler import Sampler

    with Sampler() as sampler:
        work(seconds)
    samples = sampler.stop()
    return samples.overhead_percent, samples.count


def main() -> None:
    """Print a row for each kind of work."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0)
    args = parser.parse_args()
    missed = False
    for work in (idle, multiply):
        work(0.2)
        runs = [percent(work, args.seconds) for _ in range(args.runs)]
        costs = [cost for cost, _ in runs]
        median = statistics.median(costs)
        missed = missed or median >= BAR_PERCENT
        print(
            f"{work.__name__:9} {median:.2f}% of a core (median of {args.runs} runs of {args.seconds:g} s, "
            f"{min(costs):.2f} to {max(costs):.2f}; {statistics.median(count for _, count in runs):g} samples a run)"
        )
    print(f"bar: below {BAR_PERCENT:g}%: {'MISSED' if missed else 'holds'}")


if __name__ == "__main__":
    main()
