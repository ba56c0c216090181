// Strict JSON (rule `json`): JSON.parse, and what it lets through.

import { isUtf8 } from 'node:buffer';

const MOST_LEVELS = 20_000;
const MOST_DIGITS = 4_300;
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|[[\]{}]/g;

/** Return the value of a JSON text in bytes; throw a SyntaxError if it is none. */
export function parseJson(bytes) {
  if (!isUtf8(bytes)) throw new SyntaxError('not UTF-8');
  const text = bytes.toString('utf8'); // it keeps a byte order mark, which JSON.parse refuses
  const value = JSON.parse(text);
  checkTokens(text); // also members that a later one of the same name overrides
  return value;
}

function checkTokens(text) {
  let level = 0;
  for (const [token] of text.matchAll(TOKENS)) {
    if (token === '[' || token === '{') level += 1;
    else if (token === ']' || token === '}') level -= 1;
    else if (token[0] === '"' ? !isPaired(token) : !isNumber(token)) {
      throw new SyntaxError('a value that cannot be kept');
    }
    if (level > MOST_LEVELS) throw new SyntaxError('nested too deep');
  }
}

const isPaired = (token) => !token.includes('\\u') || JSON.parse(token).isWellFormed();

const isNumber = (token) =>
  /[.eE]/.test(token)
    ? Number.isFinite(Number(token))
    : token.replace('-', '').length <= MOST_DIGITS;
