"""What the hardware panel costs while it is open: CPU time of the kernel, and memory of the browser's page.

python benchmarks/hardware_panel.py               # 10 minutes, and the result in benchmarks/results/
python benchmarks/hardware_panel.py --minutes 4   # shorter; the page fills its two minutes of history first
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

BAR_PERCENT = 1.0
BAR_GROWTH = 0.02
"""Of the page's heap after a collection: what two readings of an unchanged page differ by."""

_FILLED_S = 130.0
_QUIET_S = 30.0


def kernel_of(server: int) -> Any:
    """The process of the one kernel that a server has started."""
    import psutil

    children = psutil.Process(server).children(recursive=True)
    found = [each for each in children if "ipykernel_launcher" in " ".join(each.cmdline())]
    if len(found) != 1:
        raise SystemExit(f"{len(found)} kernels run, not one")
    return found[0]


def cpu_percent(kernel: Any, seconds: float, page: Any) -> float:
    """CPU time of the kernel's process over the next `seconds`, in per cent of one core."""
    began_s, before = time.monotonic(), kernel.cpu_times()
    page.wait_for_timeout(seconds * 1e3)
    after = kernel.cpu_times()
    spent_s = after.user + after.system - before.user - before.system
    return 100 * spent_s / (time.monotonic() - began_s)


def heap_bytes(devtools: Any) -> float:
    """The page's heap after a collection."""
    for _ in range(3):
        devtools.send("HeapProfiler.collectGarbage")
    metrics = {each["name"]: each["value"] for each in devtools.send("Performance.getMetrics")["metrics"]}
    return float(metrics["JSHeapUsedSize"])


def dom_nodes(devtools: Any) -> int:
    """Nodes of the page, also those that are in no document any more."""
    return int(devtools.send("Memory.getDOMCounters")["nodes"])


def measure(minutes: float) -> dict[str, object]:
    """Open a notebook, and the panel on it, for so long."""
    from playwright.sync_api import sync_playwright

    from tests.browser.conftest import CHROMIUM, Jupyter

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        notebooks, home = Path(folder, "notebooks"), Path(folder, "home")
        notebooks.mkdir()
        home.mkdir()
        settings = home / ".jupyter/lab/user-settings/jupyter-optim"
        settings.mkdir(parents=True)
        (settings / "hardware.jupyterlab-settings").write_text('{"statusItem": false}')
        server = Jupyter(notebooks, home)
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        try:
            server.wait()
            server.set_theme("JupyterLab Light")
            server.write("panel.ipynb", ["1"])
            page = browser.new_page(viewport={"width": 1400, "height": 1000})
            page.set_default_timeout(180_000)
            page.goto(f"{server.address}/lab/tree/panel.ipynb?reset")
            page.locator(".jp-Notebook .jp-Cell").first.wait_for()
            page.get_by_text("Python 3 (ipykernel)").locator("visible=true").first.wait_for()
            return _watch(page, kernel_of(server._server.pid), minutes)
        finally:
            browser.close()
            server.stop()


def _watch(page: Any, kernel: Any, minutes: float) -> dict[str, object]:
    tab = page.get_by_role("tab", name="Hardware of the kernel's machine")
    tab.click()
    page.get_by_role("region", name="Hardware of the kernel's machine").get_by_role(
        "img", name="Memory, this kernel"
    ).wait_for()
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable")
    filling = cpu_percent(kernel, min(_FILLED_S, 30 * minutes), page)
    heaps, nodes, costs = [heap_bytes(devtools)], [dom_nodes(devtools)], [filling]
    left_s = 60 * minutes - min(_FILLED_S, 30 * minutes)
    parts = max(1, round(left_s / 60))
    for _ in range(parts):
        costs.append(cpu_percent(kernel, left_s / parts, page))
        heaps.append(heap_bytes(devtools))
        nodes.append(dom_nodes(devtools))
    tab.click()
    closed = cpu_percent(kernel, _QUIET_S, page)
    growth = heaps[-1] / heaps[0] - 1
    worst = max(costs)
    return {
        "bar": "kernel at most 1% of a core; no growth of the page", "minutes": minutes,
        "holds": worst <= BAR_PERCENT and growth <= BAR_GROWTH and nodes[-1] <= nodes[0] * (1 + BAR_GROWTH),
        "kernel_percent_closed": round(closed, 3), "kernel_percent_open": round(sum(costs) / len(costs), 3),
        "kernel_percent_worst_minute": round(worst, 3), "heap_growth": round(growth, 4),
        "heap_mb": [round(heap / 1e6, 3) for heap in heaps], "dom_nodes": nodes,
    }  # fmt: skip


def main() -> None:
    """Print the figures and keep them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    from jupyter_optim.hardware.environment import cpu_model

    result = {**measure(parser.parse_args().minutes), "machine": {"cpu": cpu_model()}}
    text = json.dumps(result, indent=1)
    (HERE / "results" / "hardware_panel.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
