// ETag, If-Match and If-None-Match (rules `etag`, `if-match`, `if-none-match`).

import { trimmed } from './fields.js';
import { Problem } from './problems.js';

const ENTITY_TAG = /^(W\/)?("[\x21\x23-\x7e\x80-\xff]*")$/;

export const etagOf = (row) => `"${row.id}-${row.version}"`;

/** Return whether a field's list holds a tag; elements that are no entity-tag are skipped. */
function holds(field, tag, { weak }) {
  if (trimmed(field) === '*') return true;
  const elements = field.match(/(?:"[^"]*"|[^,"])+/g) ?? [];
  return elements.some((element) => {
    const [, isWeak, opaque] = ENTITY_TAG.exec(trimmed(element)) ?? [];
    return opaque === tag && (weak || !isWeak);
  });
}

/** Throw the 412 unless a write may go on. */
export function checkPreconditions(headers, row) {
  const { 'if-match': match, 'if-none-match': noneMatch } = headers;
  if (match !== undefined && !holds(match, etagOf(row), { weak: false })) {
    throw new Problem('precondition-failed');
  }
  if (isNotModified(noneMatch, row)) throw new Problem('precondition-failed');
}

/** Return whether the client has the current version already. */
export const isNotModified = (noneMatch, row) =>
  noneMatch !== undefined && holds(noneMatch, etagOf(row), { weak: true });
