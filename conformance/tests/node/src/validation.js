// The schemas of openapi.yaml, and the faults of a body or a query (rule `validation-errors`).

import { Problem } from './problems.js';

const MOST_ID = 999_999_999_999_999_999n;
const CONTROL_FREE = /^[^\x00-\x1f\x7f]*$/;
const NO_NUL = /^[^\x00]*$/;
const TAG = { type: 'string', pattern: /^[a-z0-9][a-z0-9-]{0,29}$/ };
const STATUS = { type: 'string', enum: ['draft', 'active', 'archived'] };

const USER = {
  email: {
    type: 'string',
    maxLength: 254,
    pattern: /^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+$/,
  },
  name: { type: 'string', minLength: 1, maxLength: 100, pattern: CONTROL_FREE },
  password: { type: 'string', minLength: 8, maxLength: 128, pattern: NO_NUL },
};
const ITEM = {
  name: { type: 'string', minLength: 1, maxLength: 200, pattern: CONTROL_FREE },
  description: { type: 'string', nullable: true, maxLength: 2000, pattern: NO_NUL },
  price_cents: { type: 'integer', minimum: 0, maximum: 100_000_000 },
  status: STATUS,
  tags: { type: 'array', maxItems: 10, items: TAG },
};

export const BODIES = {
  userCreate: { properties: USER, required: ['email', 'name', 'password'] },
  userReplace: { properties: USER, required: ['email', 'name'] },
  userPatch: { properties: USER, required: [], minProperties: 1 },
  tokenCreate: {
    properties: { email: USER.email, password: USER.password },
    required: ['email', 'password'],
  },
  itemWrite: { properties: ITEM, required: ['name', 'price_cents'] },
  itemPatch: { properties: ITEM, required: [], minProperties: 1 },
};

const LIMIT = { type: 'integer', minimum: 1n, maximum: 100n, fallback: 20 };
const AFTER = { type: 'integer', minimum: 0n, maximum: MOST_ID, fallback: 0 };
const OWNER = { type: 'integer', minimum: 1n, maximum: MOST_ID };

export const QUERIES = {
  users: { limit: LIMIT, after: AFTER },
  items: { owner_id: OWNER, status: STATUS, tag: TAG, limit: LIMIT, after: AFTER },
  feed: { after: { ...AFTER, fallback: undefined } },
};

// An integer literal of hundreds of digits is Infinity here; `json` refuses such a fraction.
function isInteger(value) {
  if (typeof value === 'bigint') return true;
  return typeof value === 'number' && (Number.isInteger(value) || !Number.isFinite(value));
}

const TYPES = {
  string: (value) => typeof value === 'string',
  integer: isInteger,
  array: Array.isArray,
};
const length = (text) => [...text].length; // in code points

/** Return the keyword that a value fails, the first in the contract's order, or undefined. */
function failing(schema, value) {
  if (schema.nullable && value === null) return undefined;
  if (!TYPES[schema.type](value)) return 'type';
  if (schema.enum && !schema.enum.includes(value)) return 'enum';
  if (schema.maxItems !== undefined && value.length > schema.maxItems) return 'maxItems';
  if (schema.minLength !== undefined && length(value) < schema.minLength) return 'minLength';
  if (schema.maxLength !== undefined && length(value) > schema.maxLength) return 'maxLength';
  if (schema.pattern && !schema.pattern.test(value)) return 'pattern';
  if (schema.minimum !== undefined && value < schema.minimum) return 'minimum';
  if (schema.maximum !== undefined && value > schema.maximum) return 'maximum';
  return undefined;
}

const escaped = (name) => name.replaceAll('~', '~0').replaceAll('/', '~1');
const fault = (where, pointer, code) => ({ in: where, pointer, code });

function* bodyFaults(schema, body) {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    yield fault('body', '', 'type');
  } else if (Object.keys(body).length < (schema.minProperties ?? 0)) {
    yield fault('body', '', 'minProperties');
  } else {
    for (const name of schema.required) {
      if (!Object.hasOwn(body, name)) yield fault('body', `/${name}`, 'required');
    }
    for (const [name, value] of Object.entries(body)) {
      yield* memberFaults(schema.properties, name, value);
    }
  }
}

function* memberFaults(properties, name, value) {
  const pointer = `/${escaped(name)}`;
  if (!Object.hasOwn(properties, name)) {
    yield fault('body', pointer, 'additionalProperties');
    return;
  }
  const schema = properties[name];
  const code = failing(schema, value);
  if (code) yield fault('body', pointer, code);
  else if (schema.items) yield* elementFaults(schema.items, pointer, value);
}

function* elementFaults(schema, pointer, values) {
  const codes = values.map((value) => failing(schema, value));
  for (const [index, code] of codes.entries()) {
    if (code) yield fault('body', `${pointer}/${index}`, code);
  }
  if (!codes.some(Boolean) && new Set(values).size < values.length) {
    yield fault('body', pointer, 'uniqueItems');
  }
}

/** Return [the query's values, its faults]; of a parameter given twice the last counts. */
function readQuery(schemas, text) {
  const given = new URLSearchParams(text);
  const values = {};
  const faults = [];
  for (const [name, schema] of Object.entries(schemas)) {
    const raw = given.getAll(name).at(-1);
    const value = raw !== undefined && schema.type === 'integer' ? integerOf(raw) : raw;
    const code = raw === undefined ? undefined : failing(schema, value);
    if (code) faults.push(fault('query', `/${name}`, code));
    values[name] = raw === undefined ? schema.fallback : value;
  }
  return [values, faults];
}

const integerOf = (text) => (/^-?(0|[1-9][0-9]*)$/.test(text) ? BigInt(text) : text);

const byCodePoint = (one, another) => Buffer.compare(Buffer.from(one), Buffer.from(another));

/** Return the values of the query; throw the problem that lists every fault of body and query. */
export function validate({ bodySchema, body, querySchema = {}, query = '' }) {
  const [values, errors] = readQuery(querySchema, query);
  if (bodySchema) errors.push(...bodyFaults(bodySchema, body));
  errors.sort((a, b) => byCodePoint(a.in, b.in) || byCodePoint(a.pointer, b.pointer));
  if (errors.length) throw new Problem('validation', { errors });
  return values;
}
