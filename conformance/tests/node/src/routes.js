// The operations, in the order of openapi.yaml.
//
// A route says what the checks before its handler need: `signed`, the `resource` of the path, whether
// only its owner may go on, the schemas of body and query. Handlers run without a pause: what a
// check has found still holds when they write.

import { etagOf, isNotModified } from './conditional.js';
import { issueToken, verifyPassword } from './credentials.js';
import { Problem, wrongCredentials } from './problems.js';
import { showItem, showUser } from './store.js';
import { BODIES, QUERIES } from './validation.js';

const ID = '([1-9][0-9]{0,17})';
const ITEM_DEFAULTS = { description: null, status: 'draft', tags: [] };

/** Return the routes of a store: path, and for each method its route. */
export function routesOf(store, settings) {
  const user = (context) => store.users.get(context.id);
  const item = (context) => store.items.get(context.id);
  const self = (row) => row.id;
  const owner = (row) => row.owner_id;
  const oneUser = { signed: true, resource: user };
  const oneItem = { signed: true, resource: item };
  const ownUser = { ...oneUser, owner: self };
  const ownItem = { ...oneItem, owner };

  const readUser = (context) => read(context, context.row, showUser);
  const readItem = (context) => read(context, context.row, showItem);

  function writeUser({ row, body }) {
    return resource(200, store.updateUser(row, userFields(body)), showUser);
  }

  async function createToken({ body }) {
    const found = store.byEmail.get(body.email.toLowerCase());
    if (!(await verifyPassword(body.password, found?.password))) throw wrongCredentials();
    const token = {
      access_token: issueToken(found.id, settings.SECRET_KEY, settings.TOKEN_TTL_SECONDS),
      token_type: 'bearer',
      expires_in: settings.TOKEN_TTL_SECONDS,
      user_id: found.id,
    };
    return { status: 201, headers: { 'Cache-Control': 'no-store' }, body: token };
  }

  const changesUser = { ...ownUser, emailOf: (body) => body.email, run: writeUser };

  return [
    route('/users', {
      POST: {
        body: BODIES.userCreate,
        emailOf: (body) => body.email,
        run: ({ body }) => created('/users', store.createUser(userFields(body)), showUser),
      },
      GET: {
        signed: true,
        query: QUERIES.users,
        run: ({ query }) => page('/users', [...store.users.values()], query, showUser),
      },
    }),
    route('/users/me', {
      GET: { signed: true, run: (context) => read(context, context.caller, showUser) },
    }),
    route(`/users/${ID}`, {
      GET: { ...oneUser, run: readUser },
      PUT: { ...changesUser, body: BODIES.userReplace },
      PATCH: { ...changesUser, body: BODIES.userPatch },
      DELETE: {
        ...ownUser,
        run({ row }) {
          store.deleteUser(row);
          return { status: 204 };
        },
      },
    }),
    route('/tokens', { POST: { body: BODIES.tokenCreate, run: createToken } }),
    route('/items', {
      POST: {
        signed: true,
        body: BODIES.itemWrite,
        run({ caller, body }) {
          const fields = itemFields({ ...ITEM_DEFAULTS, ...body });
          return created('/items', store.createItem(caller.id, fields), showItem);
        },
      },
      GET: {
        signed: true,
        query: QUERIES.items,
        run: ({ query }) => page('/items', filtered(store.items.values(), query), query, showItem),
      },
    }),
    route(`/items/${ID}`, {
      GET: { ...oneItem, run: readItem },
      PUT: {
        ...ownItem,
        body: BODIES.itemWrite,
        run: ({ row, body }) =>
          resource(200, store.updateItem(row, itemFields({ ...ITEM_DEFAULTS, ...body })), showItem),
      },
      PATCH: {
        ...ownItem,
        body: BODIES.itemPatch,
        run: ({ row, body }) => resource(200, store.updateItem(row, itemFields(body)), showItem),
      },
      DELETE: {
        ...ownItem,
        run({ row }) {
          store.deleteItem(row);
          return { status: 204 };
        },
      },
    }),
    route('/healthz', { GET: { run: () => ({ status: 200, body: { status: 'ok' } }) } }),
    route('/readyz', { GET: { run: () => ({ status: 200, body: { status: 'ready' } }) } }),
    route('/ws/echo', { GET: { socket: 'echo' } }),
    route('/ws/events', { GET: { socket: 'feed', query: QUERIES.feed } }),
  ];
}

function route(path, methods) {
  const { GET } = methods;
  const names = [...Object.keys(methods), ...(GET ? ['HEAD'] : []), 'OPTIONS'];
  const all = { ...methods, ...(GET && { HEAD: GET }) };
  return { pattern: new RegExp(`^${path}$`), methods: all, allow: names.join(', ') };
}

// -- what handlers have in common

const CACHE = { 'Cache-Control': 'private, no-cache' };

const userFields = ({ email, ...rest }) => ({
  ...rest,
  ...(email !== undefined && { email: email.toLowerCase() }),
});

const itemFields = ({ tags, price_cents: price, ...rest }) => ({
  ...rest,
  ...(tags && { tags: [...tags].sort() }),
  ...(price !== undefined && { price_cents: price + 0 }), // never -0
});

const resource = (status, row, show, headers = {}) => ({
  status,
  headers: { ETag: etagOf(row), ...headers },
  body: show(row),
});

const created = (path, row, show) => resource(201, row, show, { Location: `${path}/${row.id}` });

function read({ headers }, row, show) {
  if (!isNotModified(headers['if-none-match'], row)) return resource(200, row, show, CACHE);
  return { status: 304, headers: { ETag: etagOf(row), ...CACHE } };
}

function filtered(items, { owner_id: ownerId, status, tag }) {
  return [...items].filter(
    (item) =>
      (ownerId === undefined || BigInt(item.owner_id) === ownerId) &&
      (status === undefined || item.status === status) &&
      (tag === undefined || item.tags.includes(tag)),
  );
}

/** Return the page of rows, which ascend by id, after `after`. */
function page(path, rows, { limit, after, ...filters }, show) {
  const following = rows.filter((row) => row.id > after);
  const shown = following.slice(0, Number(limit));
  const given = Object.entries(filters).filter(([, value]) => value !== undefined);
  const last = [...given, ['limit', limit], ['after', shown.at(-1)?.id]];
  const more = following.length > shown.length;
  const next = more ? `${path}?${last.map((pair) => pair.join('=')).join('&')}` : null;
  const headers = { ...CACHE, ...(more && { Link: `<${next}>; rel="next"` }) };
  return { status: 200, headers, body: { data: shown.map(show), next } };
}

/** Throw the 409 if an address is another user's. */
export function checkEmail(store, email, row) {
  const holder = email === undefined ? undefined : store.byEmail.get(email.toLowerCase());
  if (holder && holder !== row) throw new Problem('email-taken');
}
