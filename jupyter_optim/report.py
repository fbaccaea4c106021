"""The report: what was measured, as plain data.

Everything that is shown anywhere is drawn from a `Report`, and from it alone. It knows no tensor, no
IPython and no HTML, is immutable, goes to JSON and back without loss, and yields its own JSON Schema.

Conventions: times are milliseconds of wall time (`_ms`), sizes are bytes (`_bytes`), shares are fractions
of 1. A measurement that could not be made is ``None``, and a `reason` beside it says why.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from jupyter_optim.errors import InvalidReport
from jupyter_optim.samples import Samples

SCHEMA_VERSION = 1
MIME_TYPE = "application/vnd.jupyter-optim.report.v1+json"

Status = Literal["measured", "estimated", "unavailable"]
Verdict = Literal["faster", "smaller", "no gain", "slower", "quality lost", "failed"]
Goal = Literal["latency", "memory", "size", "energy"]
Origin = Literal["cell", "call", "expression", "trace"]
Bound = Literal["compute", "memory", "overhead"]
Severity = Literal["high", "medium", "low", "info"]


class _Data(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all report data: immutable, keyword only."""


class Interval(_Data, frozen=True, kw_only=True):
    """A measured value with its 95% confidence interval."""

    low: float
    median: float
    high: float


class Gpu(_Data, frozen=True, kw_only=True):
    """One GPU as its driver describes it; `None` where the driver would not say."""

    index: int
    name: str | None
    uuid: str | None
    memory_bytes: int | None
    driver: str | None


class Environment(_Data, frozen=True, kw_only=True):
    """The machine and the software that the figures belong to. Holds no user or host name."""

    cpu_model: str | None
    physical_cores: int | None
    logical_cores: int | None
    threads: int | None
    """Intra-op threads that torch used (`torch.get_num_threads()`); None in the report of a trace file."""
    interop_threads: int | None
    isa: tuple[str, ...]
    """Instruction set extensions that matter to matrix work, such as ``avx512_vnni``."""
    memory_bytes: int | None
    gpus: tuple[Gpu, ...]
    gpu_reason: str | None
    """Why `gpus` is empty or incomplete, or None."""
    os: str
    python: str
    torch: str
    libraries: dict[str, str]


class InputSpec(_Data, frozen=True, kw_only=True):
    """One leaf of the model's input."""

    name: str
    """Where it sits: ``args[0]``, ``input_ids``, ``batch.mask``."""
    kind: str
    """``tensor`` or the Python type's name."""
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    device: str | None = None


class Signature(_Data, frozen=True, kw_only=True):
    """One combination of input shapes and types that the model was called with."""

    text: str
    calls: int
    total_ms: float
    measured: bool
    """Whether the figures of this report belong to this signature."""


class OtherModel(_Data, frozen=True, kw_only=True):
    """A model that was called too, and is not the one that was measured."""

    model: str
    calls: int
    total_ms: float


class WorkloadInfo(_Data, frozen=True, kw_only=True):
    """What was measured: the model, and how it was called."""

    model: str
    """Class name of the model's root module."""
    origin: Origin
    """``cell``: captured under ``%%optimize``; ``call``: given to `optimize`; ``expression``: ``%optimize EXPR``;
    ``trace``: read from a file."""
    expression: str | None
    device: str
    dtype: str | None
    training: bool
    grad: bool
    """Whether gradients were tracked during the call."""
    autocast: str | None
    """Autocast dtype in force, or None."""
    batch_size: int | None
    inputs: tuple[InputSpec, ...]
    signatures: tuple[Signature, ...]
    calls: int
    """Calls of the root module that were seen (1 for `optimize` with inputs)."""
    cell_ms: float | None
    """Wall time of the cell's own run."""
    model_ms: float | None
    """Wall time of that run which was spent inside this model's calls."""
    others: tuple[OtherModel, ...] = ()
    trains: bool | None = None
    """Whether weights were changed, or gradients left, by the run that was watched; None if none was."""
    replayed: bool
    """False: the model could not be called again, so all figures come from the cell's own run."""
    reason: str | None
    """Why it was not replayed, or what limits the figures; None if nothing does."""


class Latency(_Data, frozen=True, kw_only=True):
    """Wall time of one call, without a profiler."""

    median_ms: float | None
    low_ms: float | None
    high_ms: float | None
    """95% confidence interval of the median."""
    p95_ms: float | None
    """None below 20 repeats, where a 95th percentile means nothing."""
    repeats: int
    warmup_calls: int
    throughput_per_s: float | None
    """Calls a second."""
    samples_per_s: float | None
    """Calls a second times the batch size, where a batch size is known."""
    status: Status
    method: str
    reason: str | None = None


HolderKind = Literal[
    "weights", "inputs", "activations", "gradients", "optimizer state", "temporaries", "other tensors"
]


class Holder(_Data, frozen=True, kw_only=True):
    """What holds memory at the moment when most is held."""

    kind: HolderKind
    bytes: int
    blocks: int
    """Number of allocations."""
    op: str | None = None
    """The op that allocated it; None for the sum of a kind."""
    module: str | None = None
    line: str | None = None


class HeldAt(_Data, frozen=True, kw_only=True):
    """One point of a curve of memory over time."""

    ms: float
    """Since the traced call began."""
    bytes: int


class Memory(_Data, frozen=True, kw_only=True):
    """Bytes held by tensors during one call."""

    peak_bytes: int | None
    """Weights, buffers, inputs and the most that was live besides during the call."""
    weights_bytes: int | None
    """Parameters and buffers, each storage counted once."""
    activations_bytes: int | None
    """The most that the call itself held at one time, above what it started with."""
    parameters: int | None
    status: Status
    method: str
    reason: str | None = None
    at_peak: tuple[Holder, ...] = ()
    """What is held at the peak, by kind; the sum is `peak_bytes`."""
    holders: tuple[Holder, ...] = ()
    """The ops that allocated most of what is held then."""
    timeline: tuple[HeldAt, ...] = ()
    """What was held during the traced call, weights and inputs included."""


class Flops(_Data, frozen=True, kw_only=True):
    """Floating-point operations of one call."""

    total: int | None
    status: Status
    method: str
    reason: str | None = None


class Energy(_Data, frozen=True, kw_only=True):
    """Energy of one call."""

    energy_j: float | None
    status: Status
    method: str
    reason: str | None = None
    power_w: float | None = None
    """Mean power of the device meanwhile, other programs' part included."""
    calls: int = 0
    """Calls that were metered."""
    elapsed_s: float | None = None


class Hardware(_Data, frozen=True, kw_only=True):
    """What the machine was doing during the clean timing."""

    cpu_percent: float | None
    """CPU time of this process over wall time; 100 is one core fully used."""
    rss_bytes: int | None
    """Resident memory of this process after the timing."""
    method: str
    reason: str | None = None
    samples: Samples | None = None
    """What was seen of the machine in the meantime."""
    calls: int | None = None
    """Calls of the model that were made meanwhile."""


class Op(_Data, frozen=True, kw_only=True):
    """One operator of one module, summed over one call of the model."""

    name: str
    calls: float
    self_ms: float
    """Time in this op and not in the ops that it calls."""
    total_ms: float
    share: float
    """`self_ms` over the time of the traced call."""
    flops: int | None
    """Operations, a multiply-add being two; None where no formula is known, or the ops that it calls have them."""
    bytes: int | None
    """The least that it must read and write."""
    bound: Bound | None
    """What keeps it from being faster: arithmetic, memory, or the work of launching it."""
    module: str | None
    """Qualified name of the innermost module ("" is the root), or None if outside every module."""
    line: str | None
    """``source:lineno`` of the line that caused it, or None if not traced."""
    device: str
    dtype: str | None = None
    """Element type of its first tensor."""
    of_peak: float | None = None
    """How near it comes to the most that this machine can do: the time that its arithmetic and its data need at the
    machine's peaks, over the time it took."""


class ModuleRow(_Data, frozen=True, kw_only=True):
    """One module, summed over one call of the model."""

    path: str
    """Qualified name; "" is the root. A shared module appears once, under its first name."""
    class_name: str
    calls: float
    total_ms: float
    self_ms: float
    """`total_ms` less the time of the modules that it calls."""
    share: float
    """`self_ms` over the time of the traced call."""
    params: int
    """Parameters of its own, without those of its children."""
    flops: int | None
    """Operations within it, those of its children included."""
    bytes: int | None
    """Bytes of its own parameters and buffers."""


class Line(_Data, frozen=True, kw_only=True):
    """One line of the user's code: inclusive time of what the line calls."""

    source: str
    lineno: int
    text: str
    ms: float
    share: float
    """`ms` over the time of one execution, `LineTrace.total_ms`."""
    self_ms: float | None = None
    """Time in this line and in no other line of the user's that it calls."""
    bytes: int | None = None
    """The most host memory that it held above what it started with."""
    estimated: bool = False
    """Whether a part of the time was sampled, not traced."""


class LineTrace(_Data, frozen=True, kw_only=True):
    """How `lines` were got."""

    total_ms: float | None
    """Wall time of one execution: of the cell's run, or of one call."""
    unattributed_ms: float | None
    """Time of that in no line of the user's."""
    status: Status
    method: str
    reason: str | None = None


class Trace(_Data, frozen=True, kw_only=True):
    """How ops, modules and lines were attributed."""

    events: int
    calls: int
    """Model calls in the trace."""
    call_ms: float | None
    """Wall time of one call: what `share` is a share of. The clean median, to which all times of a replayed trace are
    scaled, since the profiler slows what it looks at."""
    unattributed_ms: float | None
    """Time of the call in no op: Python, hooks and the profiler itself."""
    source: Literal["replay", "cell", "file"]
    traced_ms: float | None = None
    """Wall time of one call under the profiler."""
    method: str
    reason: str | None = None


PhaseName = Literal["data", "forward", "backward", "optimizer", "other"]


class Phase(_Data, frozen=True, kw_only=True):
    """A part of each training step."""

    name: PhaseName
    ms: float
    """Of one step."""
    share: float
    ops: float | None
    """Ops that it calls in one step."""


class Training(_Data, frozen=True, kw_only=True):
    """The training steps of a cell, as far as they were recorded."""

    steps: int
    step_ms: float
    """Wall time of one step, under the profiler."""
    phases: tuple[Phase, ...]
    method: str
    reason: str | None = None


class Peaks(_Data, frozen=True, kw_only=True):
    """The most that this machine can do, measured."""

    device: str
    flops_per_s: dict[str, float]
    """By element type: multiply-adds count two."""
    bytes_per_s: float | None
    """Memory read and written."""
    overhead_us: float | None
    """Time to launch the smallest op."""
    threads: int | None
    method: str
    reason: str | None = None


class Finding(_Data, frozen=True, kw_only=True):
    """Something worth knowing, in plain words, with its evidence."""

    kind: str
    title: str
    text: str
    share: float | None
    """Fraction of the call's time that it concerns."""
    severity: Severity
    evidence: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()


class Recommendation(_Data, frozen=True, kw_only=True):
    """A technique that applies to this model, with what it should bring."""

    technique: str
    label: str
    family: str
    predicted_speedup: float | None
    covers_share: float | None
    """Fraction of the call's time in the layers that the technique changes."""
    predicted_size_ratio: float | None
    """Predicted weight bytes over present weight bytes."""
    reason: str
    risk: str
    method: str
    """How the prediction was got."""


class Quality(_Data, frozen=True, kw_only=True):
    """What a technique did to the model's answers."""

    metric: str
    """``evaluate``, or ``fidelity`` (cosine similarity to the original's outputs)."""
    before: float
    after: float
    drop: float
    """`before` less `after`; positive is worse."""
    max_drop: float
    """The largest `drop` allowed."""
    details: dict[str, float] = {}


class StepRecord(_Data, frozen=True, kw_only=True):
    """One entry of the history: a technique that was tried, and what came of it."""

    technique: str
    label: str
    options: dict[str, Any]
    verdict: Verdict
    reason: str
    accepted: bool
    undone: bool
    speedup: Interval | None
    predicted_speedup: float | None
    size_ratio: float | None
    quality: Quality | None
    before_ms: float | None
    after_ms: float | None
    took_s: float
    """Wall time of the whole step: transformation, timing, judging."""
    note: str = ""
    """What was done, in the technique's own words."""


class Report(_Data, frozen=True, kw_only=True):
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
