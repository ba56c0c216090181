// Start: settings from the environment, one HTTP server, a graceful stop.

import { createServer, ServerResponse } from 'node:http';

import { trimmed } from './fields.js';
import { Service } from './service.js';
import { readSettings } from './settings.js';
import { Sockets } from './sockets.js';
import { Store } from './store.js';

const STOP_DEADLINE = 4_000;
const KEEP_ALIVE = 75_000;

function start(settings) {
  const store = new Store();
  const service = new Service(store, settings);
  const sockets = new Sockets(store, settings);
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE }, (request, response) =>
    service.handle(request, response),
  );
  server.on('upgrade', async (request, socket, head) => {
    socket.on('error', () => socket.destroy());
    const response = new ServerResponse(request); // of a handshake that is refused
    response.shouldKeepAlive = false;
    const upgrade = isWebsocket(request) ? sockets.upgrading(request, socket, head) : undefined;
    await service.handle(request, response, upgrade);
    if (!response.writableEnded) return;
    response.once('finish', () => socket.end());
    response.assignSocket(socket);
  });
  server.listen(settings.PORT, settings.HOST);

  function stop() {
    service.stopping = true;
    server.close(() => process.exit(0));
    sockets.closeAll(1001);
    setTimeout(() => process.exit(0), STOP_DEADLINE).unref();
  }
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

const isWebsocket = ({ headers }) => trimmed(headers.upgrade).toLowerCase() === 'websocket';

try {
  start(readSettings(process.env));
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
