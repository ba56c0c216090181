// Users, items and events in memory. A method runs to its end before any other: a transaction.

const PUBLIC_USER = ['id', 'email', 'name', 'created_at', 'updated_at'];
const PUBLIC_ITEM = [
  ...['id', 'owner_id', 'name', 'description', 'price_cents', 'status', 'tags'],
  ...['created_at', 'updated_at'],
];

/** Return the time to the microsecond: Date has milliseconds only, in which two writes fit. */
function now() {
  const milliseconds = performance.timeOrigin + performance.now();
  const micros = String(Math.floor((milliseconds % 1) * 1000)).padStart(3, '0');
  return new Date(milliseconds).toISOString().replace('Z', `${micros}Z`);
}

const pick = (row, names) => Object.fromEntries(names.map((name) => [name, row[name]]));

export const showUser = (row) => pick(row, PUBLIC_USER);
export const showItem = (row) => pick(row, PUBLIC_ITEM);

export class Store {
  users = new Map();
  byEmail = new Map();
  items = new Map();
  events = []; // event n stands at n - 1
  onCommit = () => {};
  #lastId = { user: 0, item: 0 };

  createUser(fields) {
    const user = this.#create('user', this.users, fields);
    this.byEmail.set(user.email, user);
    this.#commit([['user.created', user]]);
    return user;
  }

  createItem(ownerId, fields) {
    const item = this.#create('item', this.items, { owner_id: ownerId, ...fields });
    this.#commit([['item.created', item]]);
    return item;
  }

  updateUser(user, fields) {
    this.byEmail.delete(user.email);
    this.#update(user, fields);
    this.byEmail.set(user.email, user);
    this.#commit([['user.updated', user]]);
    return user;
  }

  updateItem(item, fields) {
    this.#update(item, fields);
    this.#commit([['item.updated', item]]);
    return item;
  }

  deleteItem(item) {
    this.items.delete(item.id);
    this.#commit([['item.deleted', item]]);
  }

  deleteUser(user) {
    const owned = [...this.items.values()].filter((item) => item.owner_id === user.id);
    for (const item of owned) this.items.delete(item.id);
    this.users.delete(user.id);
    this.byEmail.delete(user.email);
    this.#commit([...owned.map((item) => ['item.deleted', item]), ['user.deleted', user]]);
  }

  #create(kind, rows, fields) {
    const [id, moment] = [(this.#lastId[kind] += 1), now()];
    const row = { id, ...fields, version: 1, created_at: moment, updated_at: moment };
    rows.set(id, row);
    return row;
  }

  #update(row, fields) {
    const moment = now();
    Object.assign(row, fields, { version: row.version + 1 });
    if (moment > row.updated_at) row.updated_at = moment; // a clock that went back leaves it
  }

  #commit(changes) {
    for (const [event, row] of changes) {
      const show = event.startsWith('user') ? showUser : showItem;
      this.events.push({
        type: 'event',
        id: this.events.length + 1,
        event,
        resource_id: row.id,
        data: event.endsWith('deleted') ? null : show(row),
        occurred_at: now(),
      });
    }
    this.onCommit(changes.length);
  }
}
