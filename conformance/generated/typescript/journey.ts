// From sign-up to deletion with openapi-fetch, as a page of a browser would do it.
import createClient from 'openapi-fetch';

import type { components, paths } from './schema.js';

declare const process: { argv: string[] };

type ItemWrite = components['schemas']['ItemWrite'];

const client = createClient<paths>({ baseUrl: process.argv[2] });

function present<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`${what} is missing`);
  return value;
}

function expectStatus(response: Response, status: number): void {
  if (response.status !== status) throw new Error(`expected ${status}, got ${response.status}`);
}

const credentials = { email: 'grace@example.com', password: 'correct horse battery' };
const signedUp = await client.POST('/users', { body: { ...credentials, name: 'Grace' } });
const user = present(signedUp.data, 'the user');
const token = present((await client.POST('/tokens', { body: credentials })).data, 'the token');
client.use({
  onRequest({ request }) {
    request.headers.set('Authorization', `Bearer ${token.access_token}`);
    return request;
  },
});

const least: ItemWrite = { name: 'Difference engine', price_cents: 0 };
const created = await client.POST('/items', { body: least });
const item = present(created.data, 'the item');
const path = { item_id: item.id };
const tag = present(created.response.headers.get('ETag') ?? undefined, 'the ETag');

const read = await client.GET('/items/{item_id}', {
  params: { path, header: { 'If-None-Match': tag } },
});
expectStatus(read.response, 304);

const changed = await client.PATCH('/items/{item_id}', {
  params: { path, header: { 'If-Match': tag } },
  body: { status: 'active', tags: ['brass'] },
});
const tags: string[] = present(changed.data, 'the changed item').tags;
if (tags.join() !== 'brass') throw new Error(`tags are ${tags}`);

const stale = await client.PATCH('/items/{item_id}', {
  params: { path, header: { 'If-Match': tag } },
  body: { name: 'Too late' },
});
expectStatus(stale.response, 412);
if (stale.error?.title !== 'Precondition failed') throw new Error(JSON.stringify(stale.error));

const refused = await client.POST('/items', { body: { ...least, price_cents: -1 } });
if (refused.error && 'errors' in refused.error) {
  const [first] = refused.error.errors;
  if (first.pointer !== '/price_cents') throw new Error(JSON.stringify(first));
} else throw new Error('a negative price was taken');

const query = { owner_id: user.id, limit: 1 };
const page = present((await client.GET('/items', { params: { query } })).data, 'the page');
if (page.data.length !== 1 || page.next !== null) throw new Error(JSON.stringify(page));

expectStatus((await client.DELETE('/items/{item_id}', { params: { path } })).response, 204);
const own = { user_id: user.id };
expectStatus((await client.DELETE('/users/{user_id}', { params: { path: own } })).response, 204);
expectStatus((await client.GET('/users/me')).response, 401);
console.log('done');
