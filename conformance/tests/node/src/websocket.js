// RFC 6455 on the socket of an upgrade: frames in, frames out, and how a connection ends.

import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { EventEmitter } from 'node:events';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const MOST_BYTES = 65_536;
const CLOSE_DEADLINE = 30_000;
const EXTENDED = { 126: 2, 127: 8 }; // bytes of a longer length
const CONTINUATION = 0x0;
export const TEXT = 0x1;
export const BINARY = 0x2;
const CLOSE = 0x8;
const PING = 0x9;
const PONG = 0xa;

/** The end of a connection, as the close code that it is answered with. */
class CloseError extends Error {
  constructor(code) {
    super(`close ${code}`);
    this.code = code;
  }
}

/** Emits `message` (opcode, bytes), `drain` and `close`. */
export class WebSocket extends EventEmitter {
  blocked = false; // what was sent waits for the client
  closing = false;
  #socket;
  #input = Buffer.alloc(0);
  #fragments = [];
  #opcode = CONTINUATION;

  constructor(socket, request, head, protocol) {
    super();
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (data) => this.#receive(data));
    socket.on('drain', () => this.#onDrain());
    socket.on('error', () => socket.destroy());
    socket.on('end', () => socket.end());
    socket.on('close', () => {
      this.closing = true;
      this.emit('close');
    });
    socket.write(handshake(request.headers['sec-websocket-key'], protocol));
    if (head.length) setImmediate(() => this.#receive(head));
  }

  send(opcode, payload) {
    if (this.closing) return;
    this.#write(opcode, Buffer.from(payload));
  }

  ping() {
    this.send(PING, '');
  }

  /** Send a Close and end; the rest of what the client sends is read and dropped. */
  close(code) {
    if (this.closing) return;
    const payload = Buffer.alloc(code === undefined ? 0 : 2);
    if (code !== undefined) payload.writeUInt16BE(code);
    this.#write(CLOSE, payload);
    this.closing = true;
    this.#socket.resume();
    this.#socket.end();
    setTimeout(() => this.#socket.destroy(), CLOSE_DEADLINE).unref();
  }

  #write(opcode, payload) {
    const ready = this.#socket.write(Buffer.concat([header(opcode, payload.length), payload]));
    if (ready || this.closing) return;
    this.blocked = true;
    this.#socket.pause(); // who does not read is not listened to either
  }

  #onDrain() {
    this.blocked = false;
    this.#socket.resume();
    this.emit('drain');
  }

  #receive(data) {
    if (this.closing) return;
    this.#input = Buffer.concat([this.#input, data]);
    try {
      for (let frame = this.#next(); frame && !this.closing; frame = this.#next()) this.#take(frame);
    } catch (error) {
      if (!(error instanceof CloseError)) console.error(error);
      this.close(error.code ?? 1011);
    }
  }

  /** Take the next whole frame from the input, or return undefined until more has come. */
  #next() {
    const input = this.#input;
    if (input.length < 2) return undefined;
    const [fin, reserved, opcode] = [input[0] >> 7, input[0] & 0x70, input[0] & 0x0f];
    const short = input[1] & 0x7f;
    const start = 2 + (EXTENDED[short] ?? 0);
    if (reserved || !(input[1] & 0x80) || (opcode >= CLOSE && (short > 125 || !fin))) {
      throw new CloseError(1002);
    }
    if (input.length < start) return undefined;
    const length = lengthOf(input, short);
    const before = this.#fragments.reduce((sum, part) => sum + part.length, 0);
    if (opcode < CLOSE && before + length > MOST_BYTES) throw new CloseError(1009);
    const end = start + 4 + length;
    if (input.length < end) return undefined;
    this.#input = input.subarray(end);
    const mask = input.subarray(start, start + 4);
    return { fin, opcode, payload: input.subarray(start + 4, end).map((byte, i) => byte ^ mask[i & 3]) };
  }

  #take({ fin, opcode, payload }) {
    if (opcode === PING) this.send(PONG, payload);
    else if (opcode === CLOSE) this.close(answerTo(payload));
    else if (opcode <= BINARY) this.#takePart(fin, opcode, payload);
    else if (opcode !== PONG) throw new CloseError(1002);
  }

  #takePart(fin, opcode, payload) {
    const first = opcode !== CONTINUATION;
    if (first === (this.#opcode !== CONTINUATION)) throw new CloseError(1002);
    if (first) this.#opcode = opcode;
    this.#fragments.push(payload);
    if (!fin) return;
    const [kind, message] = [this.#opcode, Buffer.concat(this.#fragments)];
    this.#fragments = [];
    this.#opcode = CONTINUATION;
    if (kind === TEXT && !isUtf8(message)) throw new CloseError(1007);
    this.emit('message', kind, message);
  }
}

function handshake(key, protocol) {
  const accept = createHash('sha1').update(key + GUID).digest('base64');
  const lines = ['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade'];
  lines.push(`Sec-WebSocket-Accept: ${accept}`);
  if (protocol) lines.push(`Sec-WebSocket-Protocol: ${protocol}`);
  return `${lines.join('\r\n')}\r\n\r\n`;
}

function header(opcode, length) {
  const first = 0x80 | opcode;
  if (length < 126) return Buffer.from([first, length]);
  if (length < 0x1_0000) return Buffer.from([first, 126, length >> 8, length & 0xff]);
  const long = Buffer.alloc(10);
  long.set([first, 127]);
  long.writeBigUInt64BE(BigInt(length), 2);
  return long;
}

function lengthOf(input, short) {
  if (short < 126) return short;
  return short === 126 ? input.readUInt16BE(2) : Number(input.readBigUInt64BE(2));
}

/** Return the code that answers a client's Close: its own, if it may be sent. */
function answerTo(payload) {
  if (!payload.length) return undefined;
  const code = payload.length > 1 ? Buffer.from(payload).readUInt16BE() : 0;
  const valid = (code >= 1000 && code < 1015 && ![1004, 1005, 1006].includes(code)) ||
    (code >= 3000 && code < 5000);
  return valid ? code : 1002;
}
