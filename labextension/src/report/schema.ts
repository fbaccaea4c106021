// Written by scripts/write_schema.py from jupyter_optim/report/: change that, and run the script.

import type { Definitions } from './guard.js';

export const MIME_TYPE = 'application/vnd.jupyter-optim.report.v1+json';

export const SCHEMA_VERSION = 1;

export const LIVE_VERSION = 1;

/** Everything that is known of one workload at one time. */
export interface Report {
  readonly schema_version?: number;
  readonly environment: Environment;
  readonly workload: WorkloadInfo;
  readonly latency: Latency;
  readonly memory: Memory;
  readonly flops: Flops;
  readonly energy: Energy;
  readonly hardware: Hardware;
  readonly trace: Trace;
  readonly ops: ReadonlyArray<Op>;
  readonly modules: ReadonlyArray<ModuleRow>;
  readonly lines: ReadonlyArray<Line>;
  readonly findings: ReadonlyArray<Finding>;
  readonly recommendations: ReadonlyArray<Recommendation>;
  readonly history: ReadonlyArray<StepRecord>;
  readonly line_trace?: LineTrace | null;
  readonly training?: Training | null;
  readonly gpu?: GpuTime | null;
  readonly compiled?: Compiled | null;
  readonly unseen?: Unseen | null;
  readonly peaks?: Peaks | null;
  readonly cell?: string | null;
  readonly partial?: string | null;
}

/** The machine and the software that the figures belong to. Holds no user or host name. */
export interface Environment {
  readonly cpu_model: string | null;
  readonly physical_cores: number | null;
  readonly logical_cores: number | null;
  readonly threads: number | null;
  readonly interop_threads: number | null;
  readonly isa: ReadonlyArray<string>;
  readonly memory_bytes: number | null;
  readonly gpus: ReadonlyArray<Gpu>;
  readonly gpu_reason: string | null;
  readonly os: string;
  readonly python: string;
  readonly torch: string;
  readonly libraries: { readonly [key: string]: string };
}

/** One GPU as its driver describes it; `None` where the driver would not say. */
export interface Gpu {
  readonly index: number;
  readonly name: string | null;
  readonly uuid: string | null;
  readonly memory_bytes: number | null;
  readonly driver: string | null;
}

/** What was measured: the model, and how it was called. */
export interface WorkloadInfo {
  readonly model: string;
  readonly origin: 'call' | 'cell' | 'expression' | 'trace';
  readonly expression: string | null;
  readonly device: string;
  readonly dtype: string | null;
  readonly training: boolean;
  readonly grad: boolean;
  readonly autocast: string | null;
  readonly batch_size: number | null;
  readonly inputs: ReadonlyArray<InputSpec>;
  readonly signatures: ReadonlyArray<Signature>;
  readonly calls: number;
  readonly cell_ms: number | null;
  readonly model_ms: number | null;
  readonly others?: ReadonlyArray<OtherModel>;
  readonly trains?: boolean | null;
  readonly replayed: boolean;
  readonly reason: string | null;
}

/** One leaf of the model's input. */
export interface InputSpec {
  readonly name: string;
  readonly kind: string;
  readonly shape?: ReadonlyArray<number> | null;
  readonly dtype?: string | null;
  readonly device?: string | null;
}

/** One combination of input shapes and types that the model was called with. */
export interface Signature {
  readonly text: string;
  readonly calls: number;
  readonly total_ms: number;
  readonly measured: boolean;
}

/** A model that was called too, and is not the one that was measured. */
export interface OtherModel {
  readonly model: string;
  readonly calls: number;
  readonly total_ms: number;
}

/** Wall time of one call, without a profiler. */
export interface Latency {
  readonly median_ms: number | null;
  readonly low_ms: number | null;
  readonly high_ms: number | null;
  readonly p95_ms: number | null;
  readonly repeats: number;
  readonly warmup_calls: number;
  readonly throughput_per_s: number | null;
  readonly samples_per_s: number | null;
  readonly status: 'estimated' | 'measured' | 'unavailable';
  readonly method: string;
  readonly reason?: string | null;
}

/** Bytes held by tensors during one call. */
export interface Memory {
  readonly peak_bytes: number | null;
  readonly weights_bytes: number | null;
  readonly activations_bytes: number | null;
  readonly parameters: number | null;
  readonly status: 'estimated' | 'measured' | 'unavailable';
  readonly method: string;
  readonly reason?: string | null;
  readonly at_peak?: ReadonlyArray<Holder>;
  readonly holders?: ReadonlyArray<Holder>;
  readonly timeline?: ReadonlyArray<HeldAt>;
}

/** What holds memory at the moment when most is held. */
export interface Holder {
  readonly kind: 'activations' | 'gradients' | 'inputs' | 'optimizer state' | 'other tensors' | 'temporaries' | 'weights';
  readonly bytes: number;
  readonly blocks: number;
  readonly op?: string | null;
  readonly module?: string | null;
  readonly line?: string | null;
}

/** One point of a curve of memory over time. */
export interface HeldAt {
  readonly ms: number;
  readonly bytes: number;
}

/** Floating-point operations of one call. */
export interface Flops {
  readonly total: number | null;
  readonly status: 'estimated' | 'measured' | 'unavailable';
  readonly method: string;
  readonly reason?: string | null;
}

/** Energy of one call. */
export interface Energy {
  readonly energy_j: number | null;
  readonly status: 'estimated' | 'measured' | 'unavailable';
  readonly method: string;
  readonly reason?: string | null;
  readonly power_w?: number | null;
  readonly calls?: number;
  readonly elapsed_s?: number | null;
}

/** What the machine was doing during the clean timing. */
export interface Hardware {
  readonly cpu_percent: number | null;
  readonly rss_bytes: number | null;
  readonly method: string;
  readonly reason?: string | null;
  readonly samples?: Samples | null;
  readonly calls?: number | null;
}

/** What the machine did during a window of time. */
export interface Samples {
  readonly window_s: number;
  readonly interval_s: number;
  readonly count: number;
  readonly process_cpu: Series;
  readonly cpu: Series;
  readonly cores: ReadonlyArray<Series>;
  readonly others_percent: number | null;
  readonly steal: Series;
  readonly rss: Series;
  readonly memory_used: Series;
  readonly frequency: Series;
  readonly temperature: Series;
  readonly process: ProcessCounters;
  readonly gpus: ReadonlyArray<GpuSamples>;
  readonly gpu_reason: string | null;
  readonly overhead_percent: number;
  readonly method: string;
  readonly reason?: string | null;
}

/** One sensor over the window. */
export interface Series {
  readonly unit: string;
  readonly low?: number | null;
  readonly mean?: number | null;
  readonly high?: number | null;
  readonly times_s?: ReadonlyArray<number>;
  readonly values?: ReadonlyArray<number>;
  readonly reason?: string | null;
}

/** What the operating system counted for this process over the window. */
export interface ProcessCounters {
  readonly user_s?: number | null;
  readonly system_s?: number | null;
  readonly system_share?: number | null;
  readonly minor_faults?: number | null;
  readonly major_faults?: number | null;
  readonly preemptions?: number | null;
  readonly reason?: string | null;
}

/** What one GPU did meanwhile. */
export interface GpuSamples {
  readonly index: number;
  readonly name: string | null;
  readonly note: string | null;
  readonly utilisation: Series;
  readonly memory_controller: Series;
  readonly memory_used: Series;
  readonly memory_total_bytes: number | null;
  readonly power: Series;
  readonly sm_clock: Series;
  readonly memory_clock: Series;
  readonly temperature: Series;
  readonly pcie_rx: Series;
  readonly pcie_tx: Series;
  readonly pcie_generation: number | null;
  readonly pcie_width: number | null;
  readonly throttle: { readonly [key: string]: number } | null;
  readonly reasons: { readonly [key: string]: string };
}

/** How ops, modules and lines were attributed. */
export interface Trace {
  readonly events: number;
  readonly calls: number;
  readonly call_ms: number | null;
  readonly unattributed_ms: number | null;
  readonly source: 'cell' | 'file' | 'replay';
  readonly traced_ms?: number | null;
  readonly method: string;
  readonly reason?: string | null;
}

/** One operator of one module, summed over one call of the model. */
export interface Op {
  readonly name: string;
  readonly calls: number;
  readonly self_ms: number;
  readonly total_ms: number;
  readonly share: number;
  readonly flops: number | null;
  readonly bytes: number | null;
  readonly bound: 'compute' | 'memory' | 'overhead' | null;
  readonly module: string | null;
  readonly line: string | null;
  readonly device: string;
  readonly dtype?: string | null;
  readonly of_peak?: number | null;
  readonly host_ms?: number | null;
  readonly kernels?: number | null;
}

/** One module, summed over one call of the model. */
export interface ModuleRow {
  readonly path: string;
  readonly class_name: string;
  readonly calls: number;
  readonly total_ms: number;
  readonly self_ms: number;
  readonly share: number;
  readonly params: number;
  readonly flops: number | null;
  readonly bytes: number | null;
}

/** One line of the user's code: inclusive time of what the line calls. */
export interface Line {
  readonly source: string;
  readonly lineno: number;
  readonly text: string;
  readonly ms: number;
  readonly share: number;
  readonly self_ms?: number | null;
  readonly bytes?: number | null;
  readonly gpu_ms?: number | null;
  readonly estimated?: boolean;
}

/** Something worth knowing, in plain words, with its evidence. */
export interface Finding {
  readonly kind: string;
  readonly title: string;
  readonly text: string;
  readonly share: number | null;
  readonly severity: 'high' | 'info' | 'low' | 'medium';
  readonly evidence?: ReadonlyArray<string>;
  readonly modules?: ReadonlyArray<string>;
}

/** A technique that applies to this model, with what it should bring. */
export interface Recommendation {
  readonly technique: string;
  readonly label: string;
  readonly family: string;
  readonly predicted_speedup: number | null;
  readonly covers_share: number | null;
  readonly predicted_size_ratio: number | null;
  readonly reason: string;
  readonly risk: string;
  readonly method: string;
}

/** One entry of the history: a technique that was tried, and what came of it. */
export interface StepRecord {
  readonly technique: string;
  readonly label: string;
  readonly options: { readonly [key: string]: unknown };
  readonly verdict: 'failed' | 'faster' | 'no gain' | 'quality lost' | 'slower' | 'smaller';
  readonly reason: string;
  readonly accepted: boolean;
  readonly undone: boolean;
  readonly speedup: Interval | null;
  readonly predicted_speedup: number | null;
  readonly size_ratio: number | null;
  readonly quality: Quality | null;
  readonly before_ms: number | null;
  readonly after_ms: number | null;
  readonly took_s: number;
  readonly note?: string;
}

/** A measured value with its 95% confidence interval. */
export interface Interval {
  readonly low: number;
  readonly median: number;
  readonly high: number;
}

/** What a technique did to the model's answers. */
export interface Quality {
  readonly metric: string;
  readonly before: number;
  readonly after: number;
  readonly drop: number;
  readonly max_drop: number;
  readonly details?: { readonly [key: string]: number };
}

/** How `lines` were got. */
export interface LineTrace {
  readonly total_ms: number | null;
  readonly unattributed_ms: number | null;
  readonly status: 'estimated' | 'measured' | 'unavailable';
  readonly method: string;
  readonly reason?: string | null;
}

/** The training steps of a cell, as far as they were recorded. */
export interface Training {
  readonly steps: number;
  readonly step_ms: number;
  readonly phases: ReadonlyArray<Phase>;
  readonly method: string;
  readonly reason?: string | null;
  readonly peak_bytes?: number | null;
  readonly at_peak?: ReadonlyArray<Holder>;
}

/** A part of each training step. */
export interface Phase {
  readonly name: 'backward' | 'data' | 'forward' | 'optimizer' | 'other';
  readonly ms: number;
  readonly share: number;
  readonly ops: number | null;
  readonly top_ops?: ReadonlyArray<PhasePart>;
  readonly top_modules?: ReadonlyArray<PhasePart>;
  readonly top_lines?: ReadonlyArray<PhasePart>;
  readonly peak_bytes?: number | null;
}

/** An op, a module or a line, and what it takes of a phase. */
export interface PhasePart {
  readonly name: string;
  readonly ms: number;
  readonly share: number;
}

/** The accelerator's side of a call. */
export interface GpuTime {
  readonly busy_ms: number;
  readonly idle_ms: number;
  readonly busy_share: number;
  readonly overlap_ms: number;
  readonly launches: number;
  readonly tensor_core_share: number | null;
  readonly occupancy: number | null;
  readonly sm_share: number | null;
  readonly kernels: ReadonlyArray<Kernel>;
  readonly copies: ReadonlyArray<Copy>;
  readonly streams: ReadonlyArray<Stream>;
  readonly idle: ReadonlyArray<Idle>;
  readonly method: string;
  readonly reason?: string | null;
}

/** All launches of one kernel from one op, module and line. */
export interface Kernel {
  readonly name: string;
  readonly calls: number;
  readonly ms: number;
  readonly share: number;
  readonly op: string | null;
  readonly module: string | null;
  readonly line: string | null;
  readonly tensor_cores: boolean | null;
  readonly occupancy: number | null;
  readonly blocks_per_sm: number | null;
  readonly registers: number | null;
  readonly streams: ReadonlyArray<number>;
}

/** Copies of one direction, or fills. */
export interface Copy {
  readonly kind: string;
  readonly calls: number;
  readonly ms: number;
  readonly bytes: number | null;
  readonly pageable: boolean;
}

/** One queue of the accelerator. */
export interface Stream {
  readonly device: number;
  readonly stream: number;
  readonly ms: number;
  readonly kernels: number;
  readonly share: number;
}

/** Time in which no stream worked, by what kept it. */
export interface Idle {
  readonly reason: 'after the last' | 'before the first' | 'between kernels' | 'data loading' | 'launch' | 'synchronisation' | 'unknown';
  readonly ms: number;
  readonly share: number;
  readonly gaps: number;
  readonly op?: string | null;
  readonly line?: string | null;
}

/** The compiled parts of a model. */
export interface Compiled {
  readonly graphs: number | null;
  readonly breaks: ReadonlyArray<GraphBreak>;
  readonly compiled_ms: number | null;
  readonly share: number | null;
  readonly recompiles: number | null;
  readonly kernels: ReadonlyArray<FusedKernel>;
  readonly method: string;
  readonly recompile_reasons?: ReadonlyArray<string>;
  readonly skipped?: ReadonlyArray<GraphBreak>;
  readonly reason?: string | null;
}

/** A place at which a compiled graph ends and Python goes on. */
export interface GraphBreak {
  readonly reason: string;
  readonly line: string | null;
  readonly hint?: string | null;
}

/** One kernel that the compiler wrote. */
export interface FusedKernel {
  readonly name: string;
  readonly ops: ReadonlyArray<string>;
  readonly modules: ReadonlyArray<string>;
  readonly ms: number | null;
  readonly calls: number | null;
}

/** What ops and lines do not show. */
export interface Unseen {
  readonly workers: ReadonlyArray<Worker>;
  readonly cpu_s: number;
  readonly share: number | null;
  readonly method: string;
  readonly reason?: string | null;
}

/** Threads or processes of one name that worked during the cell's run, and are in none of the ops and lines. */
export interface Worker {
  readonly name: string;
  readonly process: boolean;
  readonly cpu_s: number;
  readonly count?: number | null;
}

/** The most that this machine can do, measured. */
export interface Peaks {
  readonly device: string;
  readonly flops_per_s: { readonly [key: string]: number };
  readonly bytes_per_s: number | null;
  readonly overhead_us: number | null;
  readonly threads: number | null;
  readonly method: string;
  readonly reason?: string | null;
}

/** All that is known at one moment. Times are seconds on one clock of the kernel. */
export interface LiveFrame {
  readonly at_s: number;
  readonly every_s: number;
  readonly cores: number | null;
  readonly sensors: ReadonlyArray<LiveSensor>;
  readonly gpus: ReadonlyArray<LiveGpu>;
  readonly gpu_reason: string | null;
  readonly cells: ReadonlyArray<CellRun>;
}

/** One sensor now. */
export interface LiveSensor {
  readonly key: 'cpu' | 'gpu_memory' | 'gpu_power' | 'gpu_temperature' | 'gpu_use' | 'memory' | 'power' | 'process_cpu' | 'process_memory' | 'temperature';
  readonly unit: '%' | 'B' | 'W' | '°C';
  readonly gpu: number | null;
  readonly value: number | null;
  readonly full: number | null;
  readonly reason: string | null;
}

/** One GPU as its driver calls it. */
export interface LiveGpu {
  readonly index: number;
  readonly name: string | null;
  readonly note: string | null;
}

/** When a cell ran. */
export interface CellRun {
  readonly number: number | null;
  readonly began_s: number;
  readonly ended_s: number | null;
}

export const DEFINITIONS: Definitions = {
  Report: {
    type: 'object',
    required: ["environment", "workload", "latency", "memory", "flops", "energy", "hardware", "trace", "ops", "modules", "lines", "findings", "recommendations", "history"],
    properties: {
      schema_version: {"type": "integer"},
      environment: {"$ref": "#/$defs/Environment"},
      workload: {"$ref": "#/$defs/WorkloadInfo"},
      latency: {"$ref": "#/$defs/Latency"},
      memory: {"$ref": "#/$defs/Memory"},
      flops: {"$ref": "#/$defs/Flops"},
      energy: {"$ref": "#/$defs/Energy"},
      hardware: {"$ref": "#/$defs/Hardware"},
      trace: {"$ref": "#/$defs/Trace"},
      ops: {"type": "array", "items": {"$ref": "#/$defs/Op"}},
      modules: {"type": "array", "items": {"$ref": "#/$defs/ModuleRow"}},
      lines: {"type": "array", "items": {"$ref": "#/$defs/Line"}},
      findings: {"type": "array", "items": {"$ref": "#/$defs/Finding"}},
      recommendations: {"type": "array", "items": {"$ref": "#/$defs/Recommendation"}},
      history: {"type": "array", "items": {"$ref": "#/$defs/StepRecord"}},
      line_trace: {"anyOf": [{"$ref": "#/$defs/LineTrace"}, {"type": "null"}]},
      training: {"anyOf": [{"$ref": "#/$defs/Training"}, {"type": "null"}]},
      gpu: {"anyOf": [{"$ref": "#/$defs/GpuTime"}, {"type": "null"}]},
      compiled: {"anyOf": [{"$ref": "#/$defs/Compiled"}, {"type": "null"}]},
      unseen: {"anyOf": [{"$ref": "#/$defs/Unseen"}, {"type": "null"}]},
      peaks: {"anyOf": [{"$ref": "#/$defs/Peaks"}, {"type": "null"}]},
      cell: {"anyOf": [{"type": "string"}, {"type": "null"}]},
      partial: {"anyOf": [{"type": "string"}, {"type": "null"}]}
    }
  },
  Environment: {
    type: 'object',
    required: ["cpu_model", "physical_cores", "logical_cores", "threads", "interop_threads", "isa", "memory_bytes", "gpus", "gpu_reason", "os", "python", "torch", "libraries"],
    properties: {
      cpu_model: {"anyOf": [{"type": "string"}, {"type": "null"}]},
      physical_cores: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      logical_cores: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      threads: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      interop_threads: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      isa: {"type": "array", "items": {"type": "string"}},
      memory_bytes: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      gpus: {"type": "array", "items": {"$ref": "#/$defs/Gpu"}},
      gpu_reason: {"anyOf": [{"type": "string"}, {"type": "null"}]},
      os: {"type": "string"},
      python: {"type": "string"},
      torch: {"type": "string"},
      libraries: {"type": "object", "additionalProperties": {"type": "string"}}
    }
  },
  Gpu: {
    type: 'object',
    required: ["index", "name", "uuid", "memory_bytes", "driver"],
    properties: {
      index: {"type": "integer"},
      name: {"anyOf": [{"type": "string"}, {"type": "null"}]},
      uuid: {"anyOf": [{"type": "string"}, {"type": "null"}]},
      memory_bytes: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      driver: {"anyOf": [{"type": "string"}, {"type": "null"}]}
    }
  },
  WorkloadInfo: {
    type: 'object',
    required: ["model", "origin", "expression", "device", "dtype", "training", "grad", "autocast", "batch_size", "inputs", "signatures", "calls", "cell_ms", "model_ms", "replayed", "reason"],
    properties: {
      model: {"type": "string"},
      origin: {"enum": ["call", "cell", "expression", "trace"]},
      expression: {"anyOf": [{"type": "string"}, {"type": "null"}]},
      device: {"type": "string"},
      dtype: {"anyOf": [{"type": "string"}, {"type": "null"}]},
      training: {"type": "boolean"},
      grad: {"type": "boolean"},
      autocast: {"anyOf": [{"type": "string"}, {"type": "null"}]},
      batch_size: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      inputs: {"type": "array", "items": {"$ref": "#/$defs/InputSpec"}},
      signatures: {"type": "array", "items": {"$ref": "#/$defs/Signature"}},
      calls: {"type": "integer"},
      cell_ms: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      model_ms: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      others: {"type": "array", "items": {"$ref": "#/$defs/OtherModel"}},
      trains: {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
      replayed: {"type": "boolean"},
      reason: {"anyOf": [{"type": "string"}, {"type": "null"}]}
    }
  },
  InputSpec: {
    type: 'object',
    required: ["name", "kind"],
    properties: {
      name: {"type": "string"},
      kind: {"type": "string"},
      shape: {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}]},
      dtype: {"anyOf": [{"type": "string"}, {"type": "null"}]},
      device: {"anyOf": [{"type": "string"}, {"type": "null"}]}
    }
  },
  Signature: {
    type: 'object',
    required: ["text", "calls", "total_ms", "measured"],
    properties: {
      text: {"type": "string"},
      calls: {"type": "integer"},
      total_ms: {"type": "number"},
      measured: {"type": "boolean"}
    }
  },
  OtherModel: {
    type: 'object',
    required: ["model", "calls", "total_ms"],
    properties: {
      model: {"type": "string"},
      calls: {"type": "integer"},
      total_ms: {"type": "number"}
    }
  },
  Latency: {
    type: 'object',
    required: ["median_ms", "low_ms", "high_ms", "p95_ms", "repeats", "warmup_calls", "throughput_per_s", "samples_per_s", "status", "method"],
    properties: {
      median_ms: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      low_ms: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      high_ms: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      p95_ms: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      repeats: {"type": "integer"},
      warmup_calls: {"type": "integer"},
      throughput_per_s: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      samples_per_s: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      status: {"enum": ["estimated", "measured", "unavailable"]},
      method: {"type": "string"},
      reason: {"anyOf": [{"type": "string"}, {"type": "null"}]}
    }
  },
  Memory: {
    type: 'object',
    required: ["peak_bytes", "weights_bytes", "activations_bytes", "parameters", "status", "method"],
    properties: {
      peak_bytes: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      weights_bytes: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      activations_bytes: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      parameters: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      status: {"enum": ["estimated", "measured", "unavailable"]},
      method: {"type": "string"},
      reason: {"anyOf": [{"type": "string"}, {"type": "null"}]},
      at_peak: {"type": "array", "items": {"$ref": "#/$defs/Holder"}},
      holders: {"type": "array", "items": {"$ref": "#/$defs/Holder"}},
      timeline: {"type": "array", "items": {"$ref": "#/$defs/HeldAt"}}
    }
  },
  Holder: {
    type: 'object',
    required: ["kind", "bytes", "blocks"],
    properties: {
      kind: {"enum": ["activations", "gradients", "inputs", "optimizer state", "other tensors", "temporaries", "weights"]},
      bytes: {"type": "integer"},
      blocks: {"type": "integer"},
      op: {"anyOf": [{"type": "string"}, {"type": "null"}]},
      module: {"anyOf": [{"type": "string"}, {"type": "null"}]},
      line: {"anyOf": [{"type": "string"}, {"type": "null"}]}
    }
  },
  HeldAt: {
    type: 'object',
    required: ["ms", "bytes"],
    properties: {
      ms: {"type": "number"},
      bytes: {"type": "integer"}
    }
  },
  Flops: {
    type: 'object',
    required: ["total", "status", "method"],
    properties: {
      total: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      status: {"enum": ["estimated", "measured", "unavailable"]},
      method: {"type": "string"},
      reason: {"anyOf": [{"type": "string"}, {"type": "null"}]}
    }
  },
  Energy: {
    type: 'object',
    required: ["energy_j", "status", "method"],
    properties: {
      energy_j: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      status: {"enum": ["estimated", "measured", "unavailable"]},
      method: {"type": "string"},
      reason: {"anyOf": [{"type": "string"}, {"type": "null"}]},
      power_w: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      calls: {"type": "integer"},
      elapsed_s: {"anyOf": [{"type": "number"}, {"type": "null"}]}
    }
  },
  Hardware: {
    type: 'object',
    required: ["cpu_percent", "rss_bytes", "method"],
    properties: {
      cpu_percent: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      rss_bytes: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      method: {"type": "string"},
      reason: {"anyOf": [{"type": "string"}, {"type": "null"}]},
      samples: {"anyOf": [{"$ref": "#/$defs/Samples"}, {"type": "null"}]},
      calls: {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    }
  },
  Samples: {
    type: 'object',
    required: ["window_s", "interval_s", "count", "process_cpu", "cpu", "cores", "others_percent", "steal", "rss", "memory_used", "frequency", "temperature", "process", "gpus", "gpu_reason", "overhead_percent", "method"],
    properties: {
      window_s: {"type": "number"},
      interval_s: {"type": "number"},
      count: {"type": "integer"},
      process_cpu: {"$ref": "#/$defs/Series"},
      cpu: {"$ref": "#/$defs/Series"},
      cores: {"type": "array", "items": {"$ref": "#/$defs/Series"}},
      others_percent: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      steal: {"$ref": "#/$defs/Series"},
      rss: {"$ref": "#/$defs/Series"},
      memory_used: {"$ref": "#/$defs/Series"},
      frequency: {"$ref": "#/$defs/Series"},
      temperature: {"$ref": "#/$defs/Series"},
      process: {"$ref": "#/$defs/ProcessCounters"},
      gpus: {"type": "array", "items": {"$ref": "#/$defs/GpuSamples"}},
      gpu_reason: {"anyOf": [{"type": "string"}, {"type": "null"}]},
      overhead_percent: {"type": "number"},
      method: {"type": "string"},
      reason: {"anyOf": [{"type": "string"}, {"type": "null"}]}
    }
  },
  Series: {
    type: 'object',
    required: ["unit"],
    properties: {
      unit: {"type": "string"},
      low: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      mean: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      high: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      times_s: {"type": "array", "items": {"type": "number"}},
      values: {"type": "array", "items": {"type": "number"}},
      reason: {"anyOf": [{"type": "string"}, {"type": "null"}]}
    }
  },
  ProcessCounters: {
    type: 'object',
    required: [],
    properties: {
      user_s: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      system_s: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      system_share: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      minor_faults: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      major_faults: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      preemptions: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      reason: {"anyOf": [{"type": "string"}, {"type": "null"}]}
    }
  },
  GpuSamples: {
    type: 'object',
    required: ["index", "name", "note", "utilisation", "memory_controller", "memory_used", "memory_total_bytes", "power", "sm_clock", "memory_clock", "temperature", "pcie_rx", "pcie_tx", "pcie_generation", "pcie_width", "throttle", "reasons"],
    properties: {
      index: {"type": "integer"},
      name: {"anyOf": [{"type": "string"}, {"type": "null"}]},
      note: {"anyOf": [{"type": "string"}, {"type": "null"}]},
      utilisation: {"$ref": "#/$defs/Series"},
      memory_controller: {"$ref": "#/$defs/Series"},
      memory_used: {"$ref": "#/$defs/Series"},
      memory_total_bytes: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      power: {"$ref": "#/$defs/Series"},
      sm_clock: {"$ref": "#/$defs/Series"},
      memory_clock: {"$ref": "#/$defs/Series"},
      temperature: {"$ref": "#/$defs/Series"},
      pcie_rx: {"$ref": "#/$defs/Series"},
      pcie_tx: {"$ref": "#/$defs/Series"},
      pcie_generation: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      pcie_width: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      throttle: {"anyOf": [{"type": "object", "additionalProperties": {"type": "number"}}, {"type": "null"}]},
      reasons: {"type": "object", "additionalProperties": {"type": "string"}}
    }
  },
  Trace: {
    type: 'object',
    required: ["events", "calls", "call_ms", "unattributed_ms", "source", "method"],
    properties: {
      events: {"type": "integer"},
      calls: {"type": "integer"},
      call_ms: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      unattributed_ms: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      source: {"enum": ["cell", "file", "replay"]},
      traced_ms: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      method: {"type": "string"},
      reason: {"anyOf": [{"type": "string"}, {"type": "null"}]}
    }
  },
  Op: {
    type: 'object',
    required: ["name", "calls", "self_ms", "total_ms", "share", "flops", "bytes", "bound", "module", "line", "device"],
    properties: {
      name: {"type": "string"},
      calls: {"type": "number"},
      self_ms: {"type": "number"},
      total_ms: {"type": "number"},
      share: {"type": "number"},
      flops: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      bytes: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      bound: {"anyOf": [{"enum": ["compute", "memory", "overhead"]}, {"type": "null"}]},
      module: {"anyOf": [{"type": "string"}, {"type": "null"}]},
      line: {"anyOf": [{"type": "string"}, {"type": "null"}]},
      device: {"type": "string"},
      dtype: {"anyOf": [{"type": "string"}, {"type": "null"}]},
      of_peak: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      host_ms: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      kernels: {"anyOf": [{"type": "number"}, {"type": "null"}]}
    }
  },
  ModuleRow: {
    type: 'object',
    required: ["path", "class_name", "calls", "total_ms", "self_ms", "share", "params", "flops", "bytes"],
    properties: {
      path: {"type": "string"},
      class_name: {"type": "string"},
      calls: {"type": "number"},
      total_ms: {"type": "number"},
      self_ms: {"type": "number"},
      share: {"type": "number"},
      params: {"type": "integer"},
      flops: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      bytes: {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    }
  },
  Line: {
    type: 'object',
    required: ["source", "lineno", "text", "ms", "share"],
    properties: {
      source: {"type": "string"},
      lineno: {"type": "integer"},
      text: {"type": "string"},
      ms: {"type": "number"},
      share: {"type": "number"},
      self_ms: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      bytes: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      gpu_ms: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      estimated: {"type": "boolean"}
    }
  },
  Finding: {
    type: 'object',
    required: ["kind", "title", "text", "share", "severity"],
    properties: {
      kind: {"type": "string"},
      title: {"type": "string"},
      text: {"type": "string"},
      share: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      severity: {"enum": ["high", "info", "low", "medium"]},
      evidence: {"type": "array", "items": {"type": "string"}},
      modules: {"type": "array", "items": {"type": "string"}}
    }
  },
  Recommendation: {
    type: 'object',
    required: ["technique", "label", "family", "predicted_speedup", "covers_share", "predicted_size_ratio", "reason", "risk", "method"],
    properties: {
      technique: {"type": "string"},
      label: {"type": "string"},
      family: {"type": "string"},
      predicted_speedup: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      covers_share: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      predicted_size_ratio: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      reason: {"type": "string"},
      risk: {"type": "string"},
      method: {"type": "string"}
    }
  },
  StepRecord: {
    type: 'object',
    required: ["technique", "label", "options", "verdict", "reason", "accepted", "undone", "speedup", "predicted_speedup", "size_ratio", "quality", "before_ms", "after_ms", "took_s"],
    properties: {
      technique: {"type": "string"},
      label: {"type": "string"},
      options: {"type": "object"},
      verdict: {"enum": ["failed", "faster", "no gain", "quality lost", "slower", "smaller"]},
      reason: {"type": "string"},
      accepted: {"type": "boolean"},
      undone: {"type": "boolean"},
      speedup: {"anyOf": [{"$ref": "#/$defs/Interval"}, {"type": "null"}]},
      predicted_speedup: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      size_ratio: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      quality: {"anyOf": [{"$ref": "#/$defs/Quality"}, {"type": "null"}]},
      before_ms: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      after_ms: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      took_s: {"type": "number"},
      note: {"type": "string"}
    }
  },
  Interval: {
    type: 'object',
    required: ["low", "median", "high"],
    properties: {
      low: {"type": "number"},
      median: {"type": "number"},
      high: {"type": "number"}
    }
  },
  Quality: {
    type: 'object',
    required: ["metric", "before", "after", "drop", "max_drop"],
    properties: {
      metric: {"type": "string"},
      before: {"type": "number"},
      after: {"type": "number"},
      drop: {"type": "number"},
      max_drop: {"type": "number"},
      details: {"type": "object", "additionalProperties": {"type": "number"}}
    }
  },
  LineTrace: {
    type: 'object',
    required: ["total_ms", "unattributed_ms", "status", "method"],
    properties: {
      total_ms: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      unattributed_ms: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      status: {"enum": ["estimated", "measured", "unavailable"]},
      method: {"type": "string"},
      reason: {"anyOf": [{"type": "string"}, {"type": "null"}]}
    }
  },
  Training: {
    type: 'object',
    required: ["steps", "step_ms", "phases", "method"],
    properties: {
      steps: {"type": "integer"},
      step_ms: {"type": "number"},
      phases: {"type": "array", "items": {"$ref": "#/$defs/Phase"}},
      method: {"type": "string"},
      reason: {"anyOf": [{"type": "string"}, {"type": "null"}]},
      peak_bytes: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      at_peak: {"type": "array", "items": {"$ref": "#/$defs/Holder"}}
    }
  },
  Phase: {
    type: 'object',
    required: ["name", "ms", "share", "ops"],
    properties: {
      name: {"enum": ["backward", "data", "forward", "optimizer", "other"]},
      ms: {"type": "number"},
      share: {"type": "number"},
      ops: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      top_ops: {"type": "array", "items": {"$ref": "#/$defs/PhasePart"}},
      top_modules: {"type": "array", "items": {"$ref": "#/$defs/PhasePart"}},
      top_lines: {"type": "array", "items": {"$ref": "#/$defs/PhasePart"}},
      peak_bytes: {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    }
  },
  PhasePart: {
    type: 'object',
    required: ["name", "ms", "share"],
    properties: {
      name: {"type": "string"},
      ms: {"type": "number"},
      share: {"type": "number"}
    }
  },
  GpuTime: {
    type: 'object',
    required: ["busy_ms", "idle_ms", "busy_share", "overlap_ms", "launches", "tensor_core_share", "occupancy", "sm_share", "kernels", "copies", "streams", "idle", "method"],
    properties: {
      busy_ms: {"type": "number"},
      idle_ms: {"type": "number"},
      busy_share: {"type": "number"},
      overlap_ms: {"type": "number"},
      launches: {"type": "number"},
      tensor_core_share: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      occupancy: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      sm_share: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      kernels: {"type": "array", "items": {"$ref": "#/$defs/Kernel"}},
      copies: {"type": "array", "items": {"$ref": "#/$defs/Copy"}},
      streams: {"type": "array", "items": {"$ref": "#/$defs/Stream"}},
      idle: {"type": "array", "items": {"$ref": "#/$defs/Idle"}},
      method: {"type": "string"},
      reason: {"anyOf": [{"type": "string"}, {"type": "null"}]}
    }
  },
  Kernel: {
    type: 'object',
    required: ["name", "calls", "ms", "share", "op", "module", "line", "tensor_cores", "occupancy", "blocks_per_sm", "registers", "streams"],
    properties: {
      name: {"type": "string"},
      calls: {"type": "number"},
      ms: {"type": "number"},
      share: {"type": "number"},
      op: {"anyOf": [{"type": "string"}, {"type": "null"}]},
      module: {"anyOf": [{"type": "string"}, {"type": "null"}]},
      line: {"anyOf": [{"type": "string"}, {"type": "null"}]},
      tensor_cores: {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
      occupancy: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      blocks_per_sm: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      registers: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      streams: {"type": "array", "items": {"type": "integer"}}
    }
  },
  Copy: {
    type: 'object',
    required: ["kind", "calls", "ms", "bytes", "pageable"],
    properties: {
      kind: {"type": "string"},
      calls: {"type": "number"},
      ms: {"type": "number"},
      bytes: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      pageable: {"type": "boolean"}
    }
  },
  Stream: {
    type: 'object',
    required: ["device", "stream", "ms", "kernels", "share"],
    properties: {
      device: {"type": "integer"},
      stream: {"type": "integer"},
      ms: {"type": "number"},
      kernels: {"type": "number"},
      share: {"type": "number"}
    }
  },
  Idle: {
    type: 'object',
    required: ["reason", "ms", "share", "gaps"],
    properties: {
      reason: {"enum": ["after the last", "before the first", "between kernels", "data loading", "launch", "synchronisation", "unknown"]},
      ms: {"type": "number"},
      share: {"type": "number"},
      gaps: {"type": "number"},
      op: {"anyOf": [{"type": "string"}, {"type": "null"}]},
      line: {"anyOf": [{"type": "string"}, {"type": "null"}]}
    }
  },
  Compiled: {
    type: 'object',
    required: ["graphs", "breaks", "compiled_ms", "share", "recompiles", "kernels", "method"],
    properties: {
      graphs: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      breaks: {"type": "array", "items": {"$ref": "#/$defs/GraphBreak"}},
      compiled_ms: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      share: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      recompiles: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      kernels: {"type": "array", "items": {"$ref": "#/$defs/FusedKernel"}},
      method: {"type": "string"},
      recompile_reasons: {"type": "array", "items": {"type": "string"}},
      skipped: {"type": "array", "items": {"$ref": "#/$defs/GraphBreak"}},
      reason: {"anyOf": [{"type": "string"}, {"type": "null"}]}
    }
  },
  GraphBreak: {
    type: 'object',
    required: ["reason", "line"],
    properties: {
      reason: {"type": "string"},
      line: {"anyOf": [{"type": "string"}, {"type": "null"}]},
      hint: {"anyOf": [{"type": "string"}, {"type": "null"}]}
    }
  },
  FusedKernel: {
    type: 'object',
    required: ["name", "ops", "modules", "ms", "calls"],
    properties: {
      name: {"type": "string"},
      ops: {"type": "array", "items": {"type": "string"}},
      modules: {"type": "array", "items": {"type": "string"}},
      ms: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      calls: {"anyOf": [{"type": "number"}, {"type": "null"}]}
    }
  },
  Unseen: {
    type: 'object',
    required: ["workers", "cpu_s", "share", "method"],
    properties: {
      workers: {"type": "array", "items": {"$ref": "#/$defs/Worker"}},
      cpu_s: {"type": "number"},
      share: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      method: {"type": "string"},
      reason: {"anyOf": [{"type": "string"}, {"type": "null"}]}
    }
  },
  Worker: {
    type: 'object',
    required: ["name", "process", "cpu_s"],
    properties: {
      name: {"type": "string"},
      process: {"type": "boolean"},
      cpu_s: {"type": "number"},
      count: {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    }
  },
  Peaks: {
    type: 'object',
    required: ["device", "flops_per_s", "bytes_per_s", "overhead_us", "threads", "method"],
    properties: {
      device: {"type": "string"},
      flops_per_s: {"type": "object", "additionalProperties": {"type": "number"}},
      bytes_per_s: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      overhead_us: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      threads: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      method: {"type": "string"},
      reason: {"anyOf": [{"type": "string"}, {"type": "null"}]}
    }
  },
  LiveFrame: {
    type: 'object',
    required: ["at_s", "every_s", "cores", "sensors", "gpus", "gpu_reason", "cells"],
    properties: {
      at_s: {"type": "number"},
      every_s: {"type": "number"},
      cores: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      sensors: {"type": "array", "items": {"$ref": "#/$defs/LiveSensor"}},
      gpus: {"type": "array", "items": {"$ref": "#/$defs/LiveGpu"}},
      gpu_reason: {"anyOf": [{"type": "string"}, {"type": "null"}]},
      cells: {"type": "array", "items": {"$ref": "#/$defs/CellRun"}}
    }
  },
  LiveSensor: {
    type: 'object',
    required: ["key", "unit", "gpu", "value", "full", "reason"],
    properties: {
      key: {"enum": ["cpu", "gpu_memory", "gpu_power", "gpu_temperature", "gpu_use", "memory", "power", "process_cpu", "process_memory", "temperature"]},
      unit: {"enum": ["%", "B", "W", "\u00b0C"]},
      gpu: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      value: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      full: {"anyOf": [{"type": "number"}, {"type": "null"}]},
      reason: {"anyOf": [{"type": "string"}, {"type": "null"}]}
    }
  },
  LiveGpu: {
    type: 'object',
    required: ["index", "name", "note"],
    properties: {
      index: {"type": "integer"},
      name: {"anyOf": [{"type": "string"}, {"type": "null"}]},
      note: {"anyOf": [{"type": "string"}, {"type": "null"}]}
    }
  },
  CellRun: {
    type: 'object',
    required: ["number", "began_s", "ended_s"],
    properties: {
      number: {"anyOf": [{"type": "integer"}, {"type": "null"}]},
      began_s: {"type": "number"},
      ended_s: {"anyOf": [{"type": "number"}, {"type": "null"}]}
    }
  }
};
