// Errors are thrown where they are found and become RFC 9457 problems in one place.

const PROBLEMS = {
  'malformed-json': [400, 'Malformed JSON'],
  unauthorized: [401, 'Unauthorized'],
  'invalid-credentials': [401, 'Invalid credentials'],
  forbidden: [403, 'Forbidden'],
  'not-found': [404, 'Not found'],
  'method-not-allowed': [405, 'Method not allowed'],
  'email-taken': [409, 'Email already taken'],
  'precondition-failed': [412, 'Precondition failed'],
  'content-too-large': [413, 'Content too large'],
  'unsupported-media-type': [415, 'Unsupported media type'],
  validation: [422, 'Validation failed'],
  'upgrade-required': [426, 'Upgrade required'],
  'internal-error': [500, 'Internal error'],
  unavailable: [503, 'Service unavailable'],
};
const CHALLENGE = 'Bearer realm="api"';

export class Problem extends Error {
  constructor(slug, { headers = {}, errors } = {}) {
    super(slug);
    const [status, title] = PROBLEMS[slug];
    this.status = status;
    this.headers = headers;
    this.body = { type: `/problems/${slug}`, title, status, ...(errors && { errors }) };
  }
}

export const noCredentials = () =>
  new Problem('unauthorized', { headers: { 'WWW-Authenticate': CHALLENGE } });

export const invalidToken = () =>
  new Problem('unauthorized', {
    headers: { 'WWW-Authenticate': `${CHALLENGE}, error="invalid_token"` },
  });

export const wrongCredentials = () =>
  new Problem('invalid-credentials', { headers: { 'WWW-Authenticate': CHALLENGE } });
