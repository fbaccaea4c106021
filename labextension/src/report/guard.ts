// JSON from a notebook file is whatever somebody put there: nothing is drawn before it has passed here.

import { firstExcess } from './limits.js';
import { DEFINITIONS, SCHEMA_VERSION } from './schema.js';
import type { Report } from './schema.js';

/** The part of JSON Schema that reports use; scripts/write_schema.py refuses to write any other keyword. */
export interface Schema {
  readonly $ref?: string;
  readonly anyOf?: ReadonlyArray<Schema>;
  readonly enum?: ReadonlyArray<unknown>;
  readonly type?: string;
  readonly items?: Schema;
  readonly properties?: { readonly [name: string]: Schema };
  readonly required?: ReadonlyArray<string>;
  readonly additionalProperties?: Schema | boolean;
}

export interface Definitions {
  readonly [name: string]: Schema;
}

/** What reading gave: a report, or why there is none. */
export type Reading =
  | { readonly kind: 'report'; readonly report: Report }
  | { readonly kind: 'other-version'; readonly version: number }
  | { readonly kind: 'too-large'; readonly where: string }
  | { readonly kind: 'broken'; readonly where: string };

const REPORT: Schema = { $ref: '#/$defs/Report' };

export function readReport(data: unknown): Reading {
  // the version comes first: a newer report may well fail the checks, and that is not its fault
  const version = isObject(data) ? data['schema_version'] : undefined;
  if (typeof version === 'number' && version !== SCHEMA_VERSION) {
    return { kind: 'other-version', version };
  }
  const excess = firstExcess(data);
  if (excess !== null) {
    return { kind: 'too-large', where: excess };
  }
  const where = firstMismatch(data, REPORT, 'report');
  return where === null
    ? { kind: 'report', report: data as Report }
    : { kind: 'broken', where };
}

/** Path of the first value that does not fit `schema`, or null if all do. Unknown keys are let through. */
export function firstMismatch(
  value: unknown,
  schema: Schema,
  path: string
): string | null {
  if (schema.$ref !== undefined) {
    const target = DEFINITIONS[schema.$ref.replace('#/$defs/', '')];
    return target === undefined ? path : firstMismatch(value, target, path);
  }
  if (schema.anyOf !== undefined) {
    const misses = schema.anyOf.map(option => firstMismatch(value, option, path));
    // the deepest miss belongs to the option that was meant
    return misses.includes(null)
      ? null
      : misses.reduce<string>((deepest, miss) => longer(deepest, miss ?? ''), path);
  }
  if (schema.enum !== undefined) {
    return schema.enum.includes(value) ? null : path;
  }
  switch (schema.type) {
    case undefined:
      return null;
    case 'null':
      return value === null ? null : path;
    case 'integer':
      return Number.isInteger(value) ? null : path;
    case 'number':
      return Number.isFinite(value) ? null : path;
    case 'array':
      return Array.isArray(value)
        ? mismatchInArray(value, schema.items ?? {}, path)
        : path;
    case 'object':
      return isObject(value) ? mismatchInObject(value, schema, path) : path;
    default:
      return typeof value === schema.type ? null : path;
  }
}

function mismatchInObject(
  value: Record<string, unknown>,
  schema: Schema,
  path: string
): string | null {
  const missing = (schema.required ?? []).find(name => !Object.hasOwn(value, name));
  if (missing !== undefined) {
    return `${path}.${missing}`;
  }
  const rest = schema.additionalProperties;
  const known = schema.properties;
  for (const [name, item] of Object.entries(value)) {
    const of = known !== undefined && Object.hasOwn(known, name) ? known[name] : rest;
    const miss = typeof of === 'object' ? firstMismatch(item, of, `${path}.${name}`) : null;
    if (miss !== null) {
      return miss;
    }
  }
  return null;
}

function mismatchInArray(
  items: ReadonlyArray<unknown>,
  schema: Schema,
  path: string
): string | null {
  for (let i = 0; i < items.length; i++) {
    const miss = firstMismatch(items[i], schema, `${path}[${i}]`);
    if (miss !== null) {
      return miss;
    }
  }
  return null;
}

function longer(a: string, b: string): string {
  return b.length > a.length ? b : a;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
