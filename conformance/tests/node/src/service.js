// One request from its first check to its answer (rule `precedence`).

import { randomUUID } from 'node:crypto';

import { checkPreconditions } from './conditional.js';
import { authenticate, hashPassword } from './credentials.js';
import { listOf, trimmed } from './fields.js';
import { parseJson } from './json.js';
import { invalidToken, Problem } from './problems.js';
import { checkEmail, routesOf } from './routes.js';
import { validate } from './validation.js';

const MOST_BYTES = 65_536;
const TYPES = ['application/json'];
const PATCH_TYPES = [...TYPES, 'application/merge-patch+json'];
const REQUEST_ID = /^[A-Za-z0-9._-]{1,64}$/;
const EXPOSED = 'ETag, Link, Location, Retry-After, WWW-Authenticate, X-Request-ID';
const ASKABLE = 'Authorization, Content-Type, If-Match, If-None-Match, X-Request-ID';
const UPGRADE_REQUIRED = { Upgrade: 'websocket', Connection: 'Upgrade' };

export class Service {
  stopping = false;

  constructor(store, settings) {
    this.store = store;
    this.settings = settings;
    this.routes = routesOf(store, settings);
  }

  /** Answer one request; `upgrade` opens a websocket where the client asks for one. */
  async handle(request, response, upgrade) {
    const given = request.headers['x-request-id'] ?? '';
    response.setHeader('X-Request-ID', REQUEST_ID.test(given) ? given : randomUUID());
    response.setHeader('X-Content-Type-Options', 'nosniff');
    const cors = corsHeaders(this.settings.CORS_ORIGINS, request.headers);
    Object.entries(cors).forEach(([name, value]) => response.setHeader(name, value));
    response.once('close', () => logRequest(request, response, response.statusCode));
    try {
      const answer = await this.#answer(request, upgrade);
      if (answer) this.#send(response, answer);
      else logRequest(request, response, 101);
    } catch (error) {
      if (!request.errored) this.#send(response, asProblem(error)); // else the client has left
    }
  }

  async #answer(request, upgrade) {
    const [path, query = ''] = splitOnce(request.url, '?');
    const [route, id] = this.#route(path);
    if (request.method === 'OPTIONS') return optionsOf(route, request, this.settings.CORS_ORIGINS);
    const operation = this.#operation(route, request.method);
    const context = { headers: request.headers, id: Number(id) };
    if (operation.socket) return this.#openSocket(request, operation, query, upgrade);
    if (operation.signed) context.userId = this.#readToken(request.headers.authorization).userId;
    this.#find(operation, context);
    if (operation.body) context.body = await readBody(request);
    context.query = validate({
      bodySchema: operation.body,
      body: context.body,
      querySchema: operation.query,
      query,
    });
    return this.#run(operation, context);
  }

  #route(path) {
    for (const route of this.routes) {
      const match = route.pattern.exec(path);
      if (match) return [route, match[1]];
    }
    throw new Problem('not-found');
  }

  #operation(route, method) {
    const operation = route.methods[method];
    if (!operation) throw new Problem('method-not-allowed', { headers: { Allow: route.allow } });
    return operation;
  }

  #readToken(authorization) {
    const token = authenticate(authorization, this.settings.SECRET_KEY);
    if (!this.store.users.has(token.userId)) throw invalidToken();
    return token;
  }

  /** Look at caller, resource and owner: before the body is read, and again before a write. */
  #find(operation, context) {
    if (operation.signed) {
      context.caller = this.store.users.get(context.userId);
      if (!context.caller) throw invalidToken();
    }
    if (operation.resource) {
      context.row = operation.resource(context);
      if (!context.row) throw new Problem('not-found');
    }
    if (operation.owner && operation.owner(context.row) !== context.caller.id) {
      throw new Problem('forbidden');
    }
  }

  async #run(operation, context) {
    const check = () => {
      this.#find(operation, context);
      if (operation.owner) checkPreconditions(context.headers, context.row);
      if (operation.emailOf) checkEmail(this.store, operation.emailOf(context.body), context.row);
    };
    check();
    if (operation.emailOf && context.body.password !== undefined) {
      context.body = { ...context.body, password: await hashPassword(context.body.password) };
      check(); // others have written while the password was being hashed
    }
    return operation.run(context);
  }

  #openSocket(request, { socket, query: querySchema }, query, upgrade) {
    if (!upgrade || request.method !== 'GET') {
      throw new Problem('upgrade-required', { headers: UPGRADE_REQUIRED });
    }
    const [first, second = ''] = listOf(request.headers['sec-websocket-protocol']);
    const protocol = first === 'bearer' ? first : undefined;
    if (socket === 'echo') return upgrade.echo(protocol);
    const token = this.#readToken(
      request.headers.authorization || (protocol && `Bearer ${second}`),
    );
    const { after } = validate({ querySchema, query });
    return upgrade.feed(protocol, token, after);
  }

  #send(response, { status, headers = {}, body, mediaType = 'application/json', without = [] }) {
    without.forEach((name) => response.removeHeader(name));
    const content = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    if (content) {
      response.setHeader('Content-Type', mediaType);
      response.setHeader('Content-Length', content.length);
    }
    if (this.stopping) response.setHeader('Connection', 'close');
    response.writeHead(status, headers);
    response.end(content);
  }
}

/** Return the fields that let a page of another origin read an answer (rule `cors`). */
function corsHeaders(allowed, { origin }) {
  if (!allowed.includes('*') && !allowed.includes(origin)) return {};
  if (origin === undefined) return {};
  const vary = allowed.includes('*') ? {} : { Vary: 'Origin' };
  return {
    'Access-Control-Allow-Origin': allowed.includes('*') ? '*' : origin,
    'Access-Control-Expose-Headers': EXPOSED,
    ...vary,
  };
}

/** Return the answer to OPTIONS, a preflight of an allowed origin among them. */
function optionsOf({ allow }, { headers }, allowed) {
  const { 'Access-Control-Expose-Headers': exposed } = corsHeaders(allowed, headers);
  if (!exposed || headers['access-control-request-method'] === undefined) {
    return { status: 204, headers: { Allow: allow } };
  }
  return {
    status: 204,
    headers: {
      Allow: allow,
      'Access-Control-Allow-Methods': allow,
      'Access-Control-Allow-Headers': ASKABLE,
      'Access-Control-Max-Age': '600',
    },
    without: ['Access-Control-Expose-Headers'],
  };
}

function asProblem(error) {
  const expected = error instanceof Problem;
  if (!expected) console.error(error);
  const { status, headers, body } = expected ? error : new Problem('internal-error');
  return { status, headers, body, mediaType: 'application/problem+json' };
}

/** Return the body as JSON; throw 413, 415 or 400, in this order. */
async function readBody(request) {
  const tooLarge = new Problem('content-too-large', { headers: { Connection: 'close' } });
  if (Number(request.headers['content-length'] ?? 0) > MOST_BYTES) throw tooLarge;
  const [type] = splitOnce(request.headers['content-type'] ?? '', ';');
  const accepted = request.method === 'PATCH' ? PATCH_TYPES : TYPES;
  if (!accepted.includes(trimmed(type).toLowerCase())) throw new Problem('unsupported-media-type');
  const chunks = [];
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    size += chunk.length;
    if (size > MOST_BYTES) throw tooLarge;
    chunks.push(chunk);
  }
  try {
    return parseJson(Buffer.concat(chunks));
  } catch {
    throw new Problem('malformed-json');
  }
}

function splitOnce(text, separator) {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

/** Write a line of the access log, in JSON: nothing that a client sends can break it. */
function logRequest({ method, url }, response, status) {
  const [path] = splitOnce(url, '?');
  const line = { method, path, status, request_id: response.getHeader('x-request-id') };
  console.log(JSON.stringify(line));
}
