// Tokens (HS256) and passwords. node:crypto has no argon2 before Node.js 24: scrypt stands in.

import { createHmac, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';

import { trimmed } from './fields.js';
import { invalidToken, noCredentials } from './problems.js';

export const ID = /^[1-9][0-9]{0,17}$/;
const COMPACT = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/;
const KEY_BYTES = 32;

const derive = promisify(scrypt); // in libuv's threads, off the event loop
const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const sign = (text, key) => createHmac('sha256', key).update(text).digest();
// Date has no microseconds, which other servers' tokens may have: the millisecond's end.
const moment = () => (Date.now() + 1) / 1000;
const isMoment = (value) => typeof value === 'number' && Number.isFinite(value);

export async function hashPassword(password) {
  const salt = randomBytes(16);
  return { salt, hash: await derive(password, salt, KEY_BYTES) };
}

const DUMMY = hashPassword(randomBytes(16).toString('hex'));

/** Return whether a password is the one that was hashed; take as long where there is no hash. */
export async function verifyPassword(password, stored) {
  const { salt, hash } = stored ?? (await DUMMY);
  const same = timingSafeEqual(await derive(password, salt, KEY_BYTES), hash);
  return same && stored !== undefined;
}

export function issueToken(userId, key, seconds) {
  const now = Math.floor(Date.now() / 1000);
  const claims = { sub: String(userId), iat: now, exp: now + seconds };
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`;
  return `${signed}.${sign(signed, key).toString('base64url')}`;
}

/** Return the claims of a valid token, else undefined. */
function readToken(token, key) {
  const parts = COMPACT.exec(token);
  if (!parts) return undefined;
  const [, head, payload, signature] = parts;
  const expected = sign(`${head}.${payload}`, key);
  const given = Buffer.from(signature, 'base64url');
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
  try {
    const [header, claims] = [head, payload].map((part) => JSON.parse(Buffer.from(part, 'base64url')));
    return isValid(header, claims, moment()) ? claims : undefined;
  } catch {
    return undefined;
  }
}

function isValid(header, claims, now) {
  const { sub, iat, exp, nbf = iat } = claims;
  return (
    header.alg === 'HS256' &&
    header.crit === undefined &&
    claims.aud === undefined &&
    typeof sub === 'string' &&
    ID.test(sub) &&
    [iat, exp, nbf].every(isMoment) &&
    iat <= now &&
    nbf <= now &&
    exp > now
  );
}

/** Return {userId, exp} for the value of Authorization; throw the 401 (rule `bearer`). */
export function authenticate(authorization, key) {
  const [, scheme = '', rest = ''] = /^([^ ]*)(.*)$/s.exec(trimmed(authorization ?? '')) ?? [];
  if (scheme.toLowerCase() !== 'bearer') throw noCredentials();
  const claims = readToken(rest.replace(/^ +/, ''), key);
  if (!claims) throw invalidToken();
  return { userId: Number(claims.sub), exp: claims.exp };
}
