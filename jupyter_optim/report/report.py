"""The report: what was measured, as plain data.

Everything that is shown anywhere is drawn from a `Report`, and from it alone. It knows no tensor, no
IPython and no HTML, is immutable, goes to JSON and back without loss, and yields its own JSON Schema.

Conventions: times are milliseconds of wall time (`_ms`), sizes are bytes (`_bytes`), shares are fractions
of 1. A measurement that could not be made is ``None``, and a `reason` beside it says why.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from jupyter_optim.errors import InvalidReport
from jupyter_optim.report.advice import Finding, Recommendation
from jupyter_optim.report.base import Data
from jupyter_optim.report.compiled import Compiled
from jupyter_optim.report.gpu import GpuTime
from jupyter_optim.report.history import StepRecord
from jupyter_optim.report.latency import Flops, Latency
from jupyter_optim.report.machine import Energy, Environment, Hardware, Peaks
from jupyter_optim.report.memory import Memory
from jupyter_optim.report.rows import Line, LineTrace, ModuleRow, Op, Trace
from jupyter_optim.report.training import Training
from jupyter_optim.report.unseen import Unseen
from jupyter_optim.report.workload import WorkloadInfo

SCHEMA_VERSION = 1
MIME_TYPE = "application/vnd.jupyter-optim.report.v1+json"


class Report(Data, frozen=True, kw_only=True):
    """Everything that is known of one workload at one time."""

    schema_version: int = SCHEMA_VERSION
    environment: Environment
    workload: WorkloadInfo
    latency: Latency
    memory: Memory
    flops: Flops
    energy: Energy
    hardware: Hardware
    trace: Trace
    ops: tuple[Op, ...]
    modules: tuple[ModuleRow, ...]
    lines: tuple[Line, ...]
    findings: tuple[Finding, ...]
    recommendations: tuple[Recommendation, ...]
    history: tuple[StepRecord, ...]
    line_trace: LineTrace | None = None
    training: Training | None = None
    """None: the cell trained nothing while it was recorded."""
    gpu: GpuTime | None = None
    """None: no accelerator worked in the trace."""
    compiled: Compiled | None = None
    """None: nothing in the model is compiled."""
    unseen: Unseen | None = None
    """None: the cell's run was not watched."""
    peaks: Peaks | None = None
    """None: they were not measured."""
    cell: str | None = None
    """Text of the cell as the editor shows it, for the listing of hot lines."""
    partial: str | None = None
    """Why the report is incomplete (interrupted, say), or None."""

    def to_json(self) -> str:
        """This report as JSON text, keys in a stable order, measured figures to 6 significant digits."""
        return msgspec.json.encode(_rounded(msgspec.to_builtins(self))).decode()

    @staticmethod
    def from_json(data: str | bytes) -> Report:
        """Read a report back.

        Raises:
            InvalidReport: the text is no JSON, not a report, or one of another schema version.
        """
        try:
            version = msgspec.json.decode(data, type=_Version).schema_version
            if version != SCHEMA_VERSION:
                raise InvalidReport(
                    f"This report has schema version {version}, and this jupyter_optim reads version "
                    f"{SCHEMA_VERSION}. Update jupyter_optim, or measure again."
                )
            return msgspec.json.decode(data, type=Report)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidReport(f"This is not a jupyter_optim report: {error}.") from error

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """The JSON Schema of a report; the TypeScript types are generated from it."""
        return msgspec.json.schema(Report)

    def save(self, path: str | Path) -> Path:
        """Write the report to `path`: a page for ``.html``, data for ``.json``, text for ``.txt``.

        Raises:
            InvalidReport: the ending is none of these.
        """
        from jupyter_optim.render import save  # noqa: PLC0415 (render stands above)

        return save(self, Path(path))

    def __str__(self) -> str:
        from jupyter_optim.render import to_text  # noqa: PLC0415 (render stands above)

        return to_text(self)


class _Version(msgspec.Struct):
    schema_version: int


def _rounded(value: Any) -> Any:
    """`value` with floats cut to 6 significant digits: more is noise, and makes diffs unreadable."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
