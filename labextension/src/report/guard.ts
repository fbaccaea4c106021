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
  const within = checkOf(schema)(value);
  return within === null ? null : path + within;
}

/** Gives the rest of the path to what does not fit: it is put together on the way back, as nearly all values fit. */
type Check = (value: unknown) => string | null;

const CHECKS = new WeakMap<Schema, Check>();

/** A schema is read once, not for each of thousands of rows. */
function checkOf(schema: Schema): Check {
  const made = CHECKS.get(schema);
  if (made !== undefined) {
    return made;
  }
  const check = newCheck(schema);
  CHECKS.set(schema, check);
  return check;
}

function newCheck(schema: Schema): Check {
  if (schema.$ref !== undefined) {
    const target = DEFINITIONS[schema.$ref.slice('#/$defs/'.length)];
    // looked up when it is needed: a definition may hold itself
    return value => (target === undefined ? '' : checkOf(target)(value));
  }
  if (schema.anyOf !== undefined) {
    return anyCheck(schema.anyOf.map(checkOf));
  }
  if (schema.enum !== undefined) {
    const allowed = schema.enum;
    return value => (allowed.includes(value) ? null : '');
  }
  switch (schema.type) {
    case undefined:
      return () => null;
    case 'null':
      return value => (value === null ? null : '');
    case 'integer':
      return value => (Number.isInteger(value) ? null : '');
    case 'number':
      return value => (Number.isFinite(value) ? null : '');
    case 'array':
      return arrayCheck(checkOf(schema.items ?? {}));
    case 'object':
      return objectCheck(schema);
    default: {
      const type = schema.type;
      return value => (typeof value === type ? null : '');
    }
  }
}

function anyCheck(options: ReadonlyArray<Check>): Check {
  return value => {
    // the deepest miss belongs to the option that was meant
    let deepest = '';
    for (const option of options) {
      const miss = option(value);
      if (miss === null) {
        return null;
      }
      deepest = miss.length > deepest.length ? miss : deepest;
    }
    return deepest;
  };
}

function arrayCheck(item: Check): Check {
  return value => {
    if (!Array.isArray(value)) {
      return '';
    }
    for (let i = 0; i < value.length; i++) {
      const miss = item(value[i]);
      if (miss !== null) {
        return `[${i}]${miss}`;
      }
    }
    return null;
  };
}

function objectCheck(schema: Schema): Check {
  const required = schema.required ?? [];
  const known = Object.entries(schema.properties ?? {}).map(
    ([name, of]) => [name, checkOf(of)] as const
  );
  const rest =
    typeof schema.additionalProperties === 'object' ? checkOf(schema.additionalProperties) : null;
  return value => {
    if (!isObject(value)) {
      return '';
    }
    for (const name of required) {
      if (!Object.hasOwn(value, name)) {
        return `.${name}`;
      }
    }
    for (const [name, check] of known) {
      const miss = Object.hasOwn(value, name) ? check(value[name]) : null;
      if (miss !== null) {
        return `.${name}${miss}`;
      }
    }
    for (const name of rest === null ? [] : Object.keys(value)) {
      const miss = rest?.(value[name]) ?? null;
      if (miss !== null) {
        return `.${name}${miss}`;
      }
    }
    return null;
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
