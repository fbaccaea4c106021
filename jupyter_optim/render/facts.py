"""What was measured of the call as a whole, each figure with how it was got."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from jupyter_optim.render import format as fmt
from jupyter_optim.render.gpu_facts import gpu_facts
from jupyter_optim.render.headline import gain
from jupyter_optim.report import Environment, Report

_FEW_REPEATS = "fewer than 20 repeats"
_INPUTS_SHOWN = 8
_SIGNATURES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure: what it is, its value, how it was got, and its value at first if the model was changed."""

    topic: str
    name: str
    value: str
    how: str = ""
    at_first: str = ""


def facts(report: Report, baseline: Report | None = None) -> tuple[Fact, ...]:
    """All figures of the call as a whole.

    Args:
        report: what is told.
        baseline: the report before any change; its figures become the facts' `at_first`.
    """
    return (*_time(report, baseline), *_memory(report, baseline), *_work(report, baseline), *_call(report))


def _how(status: str, method: str, reason: str | None) -> str:
    words = [fmt.visible(part).strip().rstrip(".") for part in (method, reason or "") if part.strip()]
    return f"{status}: {'; '.join(words)}" if words else status


def _first(baseline: Report | None, value: Callable[[Report], str]) -> str:
    return value(baseline) if baseline is not None else ""


def _time(report: Report, baseline: Report | None) -> tuple[Fact, ...]:
    latency = report.latency
    how = _how(latency.status, latency.method, latency.reason)

    def median(each: Report) -> str:
        found = each.latency
        return fmt.duration_interval(found.median_ms, found.low_ms, found.high_ms, found.reason)

    def p95(each: Report) -> str:
        found = each.latency
        return fmt.duration(found.p95_ms, _FEW_REPEATS if found.repeats < 20 else found.reason)

    def rate(each: Report) -> str:
        return _rate(each)

    repeats = (
        f"{fmt.plural(latency.repeats, 'repeat')} after {fmt.plural(latency.warmup_calls, 'warm-up call')}"
    )
    method = fmt.visible(latency.method).strip().rstrip(".")
    # a method that has the numbers itself needs no second telling
    timed = method if str(latency.repeats) in method else f"{repeats}, {method}" if method else repeats
    return (
        Fact("Time", "median", median(report), how, _median_at_first(report, baseline)),
        Fact("Time", "p95", p95(report), "95% of the calls took no longer"),
        Fact("Time", "rate", rate(report), "from the median"),
        Fact("Time", "timed", timed),
    )


def _median_at_first(report: Report, baseline: Report | None) -> str:
    """By the steps' own timings, side by side: the machine may have run at another speed when it was first measured."""
    change = gain(report, baseline)
    if baseline is None or change is None or change.before_ms is None:
        return ""
    how = ", by the timing side by side" if change.speedup is not None else ""
    return f"{fmt.duration(change.before_ms)}{how}"


def _rate(report: Report) -> str:
    latency = report.latency
    calls = fmt.known(latency.throughput_per_s)
    if calls is None:
        return fmt.unknown(latency.reason)
    samples = fmt.known(latency.samples_per_s)
    each = "" if samples is None else f", {fmt.significant(samples)} samples/s"
    return f"{fmt.significant(calls)} calls/s{each}"


def _memory(report: Report, baseline: Report | None) -> tuple[Fact, ...]:
    memory = report.memory
    how = _how(memory.status, memory.method, memory.reason)

    def peak(each: Report) -> str:
        return fmt.size(each.memory.peak_bytes, each.memory.reason)

    def weights(each: Report) -> str:
        held, parameters = each.memory.weights_bytes, each.memory.parameters
        if held is None or parameters is None:
            return fmt.unknown(each.memory.reason)
        return f"{fmt.size(held)} ({fmt.plural(parameters, 'parameter')})"

    def activations(each: Report) -> str:
        return fmt.size(each.memory.activations_bytes, each.memory.reason)

    return (
        Fact("Memory", "peak", peak(report), how, _first(baseline, peak)),
        Fact(
            "Memory",
            "weights",
            weights(report),
            "parameters and buffers, shared ones once",
            _first(baseline, weights),
        ),
        Fact(
            "Memory",
            "activations",
            activations(report),
            "the most the call held itself",
            _first(baseline, activations),
        ),
    )


def _work(report: Report, baseline: Report | None) -> tuple[Fact, ...]:
    flops, energy, hardware = report.flops, report.energy, report.hardware

    def work(each: Report) -> str:
        total, median = fmt.known(each.flops.total), fmt.known(each.latency.median_ms)
        rate = f" ({fmt.flop(total / median * 1e3)}/s)" if total and median else ""
        return f"{fmt.flop(total, each.flops.reason)}{rate}"

    def joules(each: Report) -> str:
        value = fmt.known(each.energy.energy_j)
        if value is None:
            return fmt.unknown(each.energy.reason)
        return f"{'about ' if each.energy.status == 'estimated' else ''}{fmt.significant(value)} J"

    def cpu(each: Report) -> str:
        value = fmt.known(each.hardware.cpu_percent)
        return fmt.unknown(each.hardware.reason) if value is None else f"{value:.0f}% of one core"

    def resident(each: Report) -> str:
        return fmt.size(each.hardware.rss_bytes, each.hardware.reason)

    how = _how("measured", hardware.method, None)
    return (
        Fact(
            "Work",
            "computation",
            work(report),
            _how(flops.status, flops.method, flops.reason),
            _first(baseline, work),
        ),
        Fact(
            "Work",
            "energy",
            joules(report),
            _how(energy.status, energy.method, energy.reason),
            _first(baseline, joules),
        ),
        *_machine(report),
        Fact("Machine", "CPU in use", cpu(report), how, _first(baseline, cpu)),
        Fact("Machine", "process holds", resident(report), how, _first(baseline, resident)),
    )


def _machine(report: Report) -> Iterator[Fact]:
    """What else was seen of the machine while the calls were timed."""
    seen = report.hardware.samples
    if seen is None:
        return
    others, counted = fmt.known(seen.others_percent), seen.process
    if others is not None:
        yield Fact("Machine", "other programs", f"{others:.0f}% of one core", "mean during the timing")
    if counted.system_share is not None and counted.minor_faults is not None and report.hardware.calls:
        faults = counted.minor_faults / report.hardware.calls
        words = f"{fmt.share(counted.system_share)} of the CPU time, {fmt.count(round(faults))} page faults a call"
        yield Fact("Machine", "operating system", words, "getrusage, during the timing")
    for name, series, factor, unit in (
        ("frequency", seen.frequency, 1e-3, "GHz"), ("temperature", seen.temperature, 1.0, "°C"),
    ):  # fmt: skip
        if series.mean is not None:
            yield Fact(
                "Machine", name, f"{fmt.significant(series.mean * factor)} {unit}", "mean during the timing"
            )
    for name, words, how in gpu_facts(report):
        yield Fact("Machine", name, words, how)
    if seen.reason:
        yield Fact("Machine", "sampling", fmt.visible(seen.reason))


def _call(report: Report) -> tuple[Fact, ...]:
    work, trace = report.workload, report.trace
    mode = ", ".join(
        part
        for part in (
            "training mode" if work.training else "eval mode",
            "gradients tracked" if work.grad else "no gradients",
            f"autocast to {work.autocast}" if work.autocast else "",
            work.dtype or "",
            f"batch size {work.batch_size}" if work.batch_size is not None else "",
            f"on {work.device}",
        )
        if part
    )
    source = (
        f"{fmt.count(trace.events)} events, {fmt.plural(trace.calls, 'call')}"
        if trace.events
        else fmt.unknown()
    )
    inside = (
        f", {fmt.duration(trace.call_ms)} a traced call, {fmt.duration(trace.unattributed_ms)} of it in no op"
        if fmt.known(trace.call_ms) is not None and fmt.known(trace.unattributed_ms) is not None
        else ""
    )
    if work.origin == "trace":
        return (Fact("Call", "trace", source + inside, _how("measured", trace.method, trace.reason)),)
    return (
        Fact("Call", "mode", fmt.visible(mode), fmt.visible(work.reason or "")),
        Fact("Call", "inputs", _inputs(report)),
        *([Fact("Call", "cell", _cell(report))] if fmt.known(work.cell_ms) is not None else []),
        *([Fact("Call", "signatures", _signatures(report))] if len(work.signatures) > 1 else []),
        Fact("Call", "trace", source + inside, _how(trace.source, trace.method, trace.reason)),
    )


def _inputs(report: Report) -> str:
    inputs = report.workload.inputs
    words = []
    for each in inputs[:_INPUTS_SHOWN]:
        shape = "" if each.shape is None else f"[{', '.join(map(str, each.shape))}]"
        words.append(f"{each.name} {(each.dtype or each.kind).removeprefix('torch.')}{shape}")
    if len(inputs) > _INPUTS_SHOWN:
        words.append(f"and {len(inputs) - _INPUTS_SHOWN} more")
    return fmt.visible(", ".join(words)) or "none"


def _cell(report: Report) -> str:
    work = report.workload
    calls = fmt.plural(work.calls, "call")
    if fmt.known(work.model_ms) is None:
        return f"{fmt.duration(work.cell_ms)} in all, with {calls} of the model"
    return f"{fmt.duration(work.cell_ms)} in all, {fmt.duration(work.model_ms)} of it in {calls} of the model"


def _signatures(report: Report) -> str:
    found = report.workload.signatures
    words = [
        f"{each.text}: {fmt.plural(each.calls, 'call')}, {fmt.duration(each.total_ms)}"
        f"{' (measured here)' if each.measured else ''}"
        for each in found[:_SIGNATURES_SHOWN]
    ]
    if len(found) > _SIGNATURES_SHOWN:
        words.append(f"and {len(found) - _SIGNATURES_SHOWN} more")
    return fmt.visible("; ".join(words))


def environment_facts(environment: Environment) -> tuple[tuple[str, str], ...]:
    """The machine and the software, as pairs of name and words."""
    cores = ", ".join(
        fmt.plural(number, noun)
        for number, noun in (
            (environment.physical_cores, "core"),
            (environment.logical_cores, "logical core"),
        )
        if number is not None
    )
    # a trace of another machine says nothing of it
    silent = None if environment.torch else "the trace does not tell"
    cpu = environment.cpu_model or fmt.unknown(silent or "the system does not name it")
    gpus = "; ".join(
        f"{gpu.name or fmt.unknown('the driver does not name it')}"
        + (f", {fmt.size(gpu.memory_bytes)}" if gpu.memory_bytes is not None else "")
        + (f", driver {gpu.driver}" if gpu.driver else "")
        for gpu in environment.gpus
    )
    threads = (
        fmt.unknown(silent)
        if environment.threads is None
        else f"{environment.threads} intra-op, {environment.interop_threads} inter-op"
    )
    why = f" ({environment.gpu_reason.strip().rstrip('.')})" if environment.gpu_reason else ""
    pairs = (
        ("CPU", f"{cpu}, {cores}" if cores else cpu),
        ("threads", threads),
        ("instructions", ", ".join(environment.isa) or (fmt.unknown(silent) if silent else "none of note")),
        ("memory", fmt.size(environment.memory_bytes, silent or "the system does not tell")),
        # a driver that says nothing may have GPUs all the same
        ("GPU", f"{gpus or ('none seen' if why else 'none')}{why}"),
        ("software", fmt.unknown(silent) if silent else ", ".join((
            f"torch {environment.torch}", f"Python {environment.python}", environment.os,
            *(f"{name} {version}" for name, version in environment.libraries.items()),
        ))),
    )  # fmt: skip
    return tuple((name, fmt.visible(words)) for name, words in pairs)
