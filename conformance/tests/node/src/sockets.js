// The two websockets: an echo, and the feed of events.

import { parseJson } from './json.js';
import { Problem } from './problems.js';
import { BINARY, TEXT, WebSocket } from './websocket.js';

const TOPICS = ['items', 'users'];
const PING_INTERVAL = 20_000;
const SWEEP_INTERVAL = 500;

/** The open sockets of both kinds: their cap, their pings, and their end. */
export class Sockets {
  #open = new Set();

  constructor(store, settings) {
    this.store = store;
    this.settings = settings;
    store.onCommit = (count) => this.#feeds().forEach((feed) => feed.notify(count));
    setInterval(() => this.#open.forEach(({ socket }) => socket.ping()), PING_INTERVAL).unref();
    setInterval(() => this.#feeds().forEach((feed) => feed.closeIfInvalid()), SWEEP_INTERVAL).unref();
  }

  /** Return the functions that open a websocket on an upgrade, or throw the 503. */
  upgrading(request, socket, head) {
    const open = (protocol, make) => {
      if (this.#open.size >= this.settings.WS_MAX_CONNECTIONS) {
        throw new Problem('unavailable', { headers: { 'Retry-After': '1' } });
      }
      const one = make(new WebSocket(socket, request, head, protocol));
      this.#open.add(one);
      one.socket.once('close', () => this.#open.delete(one));
    };
    return {
      echo: (protocol) => open(protocol, (websocket) => new Echo(websocket)),
      feed: (protocol, token, after) =>
        open(protocol, (websocket) => new Feed(websocket, this, token, after)),
    };
  }

  closeAll(code) {
    this.#open.forEach(({ socket }) => socket.close(code));
  }

  #feeds() {
    return [...this.#open].filter((one) => one instanceof Feed);
  }
}

class Echo {
  constructor(socket) {
    this.socket = socket;
    socket.on('message', (opcode, message) => socket.send(opcode, message));
  }
}

class Feed {
  #topics = new Set(TOPICS);
  #sent; // the id of the last event that was sent or left out
  #live = false; // whether it has caught up once
  #waiting = 0; // events that have come while earlier ones were being sent

  constructor(socket, { store, settings }, token, after) {
    this.socket = socket;
    this.store = store;
    this.settings = settings;
    this.token = token;
    const start = after ?? store.events.length;
    this.#sent = Number(start);
    socket.send(TEXT, `{"type":"ready","after":${start}}`); // an id of 18 digits is no double
    socket.on('message', (opcode, message) => this.#command(opcode, message));
    socket.on('drain', () => this.#pump());
    this.#pump();
  }

  /** Take note of the events of a transaction. */
  notify(count) {
    if (this.#live && this.socket.blocked) this.#waiting += count;
    if (this.#waiting >= this.settings.WS_QUEUE_EVENTS) this.socket.close(4408);
    this.#pump();
  }

  closeIfInvalid() {
    const { exp, userId } = this.token;
    if (exp <= Date.now() / 1000 || !this.store.users.has(userId)) this.socket.close(4401);
  }

  /** Send what has not been sent, at the client's pace. */
  #pump() {
    const { events } = this.store;
    while (this.#sent < events.length && !this.socket.blocked && !this.socket.closing) {
      const event = events[this.#sent];
      this.#sent += 1;
      if (this.#topics.has(`${event.event.split('.')[0]}s`)) this.#say(event);
    }
    if (this.#sent >= events.length) {
      this.#live = true;
      this.#waiting = 0;
    }
  }

  #command(opcode, message) {
    if (opcode === BINARY) {
      this.socket.close(1003);
      return;
    }
    const command = readCommand(message);
    if (command?.type === 'subscribe') this.#topics = new Set(command.topics);
    if (!command) this.#say({ type: 'error', code: 'invalid-message' });
    else if (command.type === 'ping') this.#say({ type: 'pong' });
    else this.#say({ type: 'subscribed', topics: [...command.topics].sort() });
  }

  #say(message) {
    this.socket.send(TEXT, JSON.stringify(message));
  }
}

/** Return the command in a text message, or undefined if it is none. */
function readCommand(message) {
  try {
    const command = parseJson(message);
    const members = Object.keys(command).sort().join();
    if (members === 'type' && command.type === 'ping') return command;
    const subscribes = members === 'topics,type' && command.type === 'subscribe';
    return subscribes && areTopics(command.topics) ? command : undefined;
  } catch {
    return undefined;
  }
}

const areTopics = (topics) =>
  Array.isArray(topics) &&
  topics.length > 0 &&
  new Set(topics).size === topics.length &&
  topics.every((topic) => TOPICS.includes(topic));
