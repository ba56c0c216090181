// The contract's environment variables (rule `configuration`).

const LEVELS = ['DEBUG', 'INFO', 'WARNING', 'ERROR'];
const DEVELOPMENT_KEY = 'development-only-key-of-at-least-32-bytes';

const positive = (text) => (/^[1-9][0-9]{0,8}$/.test(text) ? Number(text) : undefined);
const oneOf = (values) => (text) => (values.includes(text) ? text : undefined);
const url = (...schemes) => (text) =>
  schemes.some((scheme) => text.startsWith(`${scheme}://`)) && URL.canParse(text) ? text : undefined;

/** Return the origins of a list; `*` stands alone. */
function origins(text) {
  const listed = text.trim() ? text.split(',').map((each) => each.trim()) : [];
  if (listed.length === 1 && listed[0] === '*') return listed;
  return listed.every((each) => URL.canParse(each) && new URL(each).origin === each)
    ? listed
    : undefined;
}

const VARIABLES = {
  APP_ENV: { fallback: 'development', read: (text) => text },
  CORS_ORIGINS: { fallback: '', read: origins },
  DATABASE_URL: { fallback: 'sqlite:///rosetta.db', read: url('sqlite', 'postgresql') },
  HOST: { fallback: '127.0.0.1', read: (text) => text },
  LOG_LEVEL: { fallback: 'INFO', read: oneOf(LEVELS) },
  PORT: { fallback: '8000', read: positive },
  REDIS_URL: { fallback: '', read: (text) => (text ? url('redis')(text) : text) },
  SECRET_KEY: { fallback: DEVELOPMENT_KEY, read: (text) => text },
  TOKEN_TTL_SECONDS: { fallback: '3600', read: positive },
  WORKERS: { fallback: '1', read: positive },
  WS_MAX_CONNECTIONS: { fallback: '200', read: positive },
  WS_QUEUE_EVENTS: { fallback: '1000', read: positive },
};

/** Return the settings; throw an Error that names every variable that cannot be used. */
export function readSettings(environment) {
  const settings = {};
  const faults = [];
  for (const [name, { fallback, read }] of Object.entries(VARIABLES)) {
    settings[name] = read(environment[name] ?? fallback);
    if (settings[name] === undefined) faults.push(`${name} cannot be read`);
  }
  if (settings.APP_ENV === 'production' && Buffer.byteLength(environment.SECRET_KEY ?? '') < 32) {
    faults.push('SECRET_KEY must have at least 32 bytes in production');
  }
  if (settings.WORKERS > 1) {
    const why = settings.REDIS_URL ? 'must be 1: the store is in memory' : 'over 1 needs REDIS_URL';
    faults.push(`WORKERS ${why}`);
  }
  if (faults.length) throw new Error(faults.join('; '));
  return settings;
}
