// door_story.mjs - bad input at the real door: refused or put aside, counted, never in anybody's way.
import { gzipSync } from 'node:zlib';
import { Server } from '../lib/server.mjs';
import { Story, each, journal_end, memory_kb, metrics } from '../lib/story.mjs';
import { exchange, post } from '../lib/raw.mjs';

const story = new Story('door story');
const MB = 1 << 20;
// A sanitizer keeps freed memory for a while; with little of that its figures mean the same as everybody's.
const env = { ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:quarantine_size_mb=4` };
const server = await new Server().start([], env);
const { key } = await server.must('POST', '/api/v1/sources', { name: 'shop', channel: 'web' });
const basic = `Basic ${Buffer.from(`${key}:`).toString('base64')}`;
const write = { authorization: basic };
const send = (path, body, headers = {}) => server.ask('POST', path, body, { ...write, ...headers });
const own = (events) => server.ask('POST', '/api/v1/batch', { events });
const count = async (where) => Number((await server.sql(`SELECT count(*) FROM events WHERE ${where}`, await journal_end(server)))[0][0]);
const verdicts = async () => Object.fromEntries((await server.sql(
  `SELECT coalesce(reason, verdict), count(*) FROM records GROUP BY 1`, await journal_end(server))).map(([r, n]) => [r, Number(n)]));

// --- too long -------------------------------------------------------------------------------------------------------

const event = (name, more = {}) => ({ type: 'track', event: name, anonymousId: 'a', ...more });
const padded = (n) => { // one good event in a body of exactly n bytes
  const body = JSON.stringify({ batch: [event('Padded')] });
  return body + ' '.repeat(n - body.length);
};
story.is('a body of exactly 4 MB is taken', (await send('/v1/batch', padded(4 * MB))).code, 200);
story.is('one byte more is 413', (await send('/v1/batch', padded(4 * MB + 1))).code, 413);
story.is('413 as soon as a length says so, before the body',
  (await exchange(server, post('/v1/batch', [`Authorization: ${basic}`, 'Content-Length: 99999999'], ''))).codes, [413]);
const chunk = `10000\r\n${'x'.repeat(65536)}\r\n`;
const chunks = Array.from({ length: 100 }, () => chunk);
const head = post('/v1/batch', [`Authorization: ${basic}`, 'Transfer-Encoding: chunked'], '');
story.is('413 for chunks without end', (await exchange(server, [head, ...chunks])).codes, [413]);
story.is('each route has its own limit', (await server.ask('POST', '/api/v1/sql', `{"sql":"${' '.repeat(70000)}"}`)).code, 413);
story.is('a head without end', (await exchange(server, [`GET /livez HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(100000)}`])).codes
  .every((code) => code === 431 || code === 413 || code === 400), true);
story.is('one event of 40 KB is put aside', (await send('/v1/track', event('Long', { properties: { t: 'x'.repeat(40000) } }))).headers.get('x-rejected'), '1');
const many = (await server.ask('POST', '/api/v1/batch', { events: Array.from({ length: 2600 }, (_, i) => ({ name: 'Many', message_id: `many-${i}` })) })).json.results;
story.is('of 2,600 events of a batch 2,500 are stored and the rest is put aside as one',
  [many.filter((r) => r.status === 'stored').length, many.filter((r) => r.reason === 'too_large').length], [2500, 1]);

// --- who sent it ----------------------------------------------------------------------------------------------------------

const js = { library: { name: 'analytics.js', version: '1' } };
const ip_of = async (id) => (await server.sql(`SELECT json_extract_string(context, '$.ip') FROM events WHERE message_id = '${id}'`, await journal_end(server)))[0]?.[0];
const sent = async (id, context, headers) => {
  await send('/v1/track', event('Seen', { messageId: id, context }), headers);
  return ip_of(id);
};
story.is('a browser behind our proxy', await sent('ip-1', js, { 'x-forwarded-for': '198.51.100.7, 203.0.113.77' }), '203.0.113.0');
story.is('an IPv6 one', await sent('ip-2', js, { forwarded: 'for="[2001:db8:1:2::3]:443";proto=https' }), '2001:db8:1::');
story.is('a proxy that does not tell', (await sent('ip-3', js, { 'x-forwarded-for': 'unknown' })) ?? null, null);
story.is('a server that sends for others', (await sent('ip-4', { library: { name: '@segment/analytics-node' } }, { 'x-forwarded-for': '203.0.113.77' })) ?? null, null);
story.is('the address that the client sent', await sent('ip-5', { ...js, ip: '198.51.100.9' }, { 'x-forwarded-for': '203.0.113.77' }), '198.51.100.0');
await send('/v1/track', event('Seen', { messageId: 'ip-1', context: js }), { 'x-forwarded-for': '192.0.2.1' });
story.is('a retry from another network is the same event', [await count(`message_id = 'ip-1'`), await ip_of('ip-1')], [1, '203.0.113.0']);
const twice = Buffer.from(JSON.stringify({ type: 'track', event: 'Twice', distinct_id: 'd-1', time: Date.now(), lib: { $lib: 'js' }, properties: {} })).toString('base64');
for (const from of ['203.0.113.77', '192.0.2.1'])
  await server.ask('POST', `/sa?token=${key}`, `data=${encodeURIComponent(twice)}`, { 'content-type': 'application/x-www-form-urlencoded', 'x-forwarded-for': from });
story.is('of 神策, too', await server.sql(`SELECT count(*), min(json_extract_string(context, '$.ip')) FROM events WHERE name = 'Twice'`, await journal_end(server)).then((rows) => rows.map(([n, ip]) => [Number(n), ip])), [[1, '203.0.113.0']]);
await own([{ name: 'Seen', message_id: 'ip-6', context: { direct: true } }]);
story.is('of a secret key nothing is filled', (await ip_of('ip-6')) ?? null, null);

// --- not what it says -----------------------------------------------------------------------------------------------

const deep = (n) => `${'{"a":'.repeat(n)}1${'}'.repeat(n)}`;
let answer = await send('/v1/batch', `{"batch":[${JSON.stringify(event('Shallow'))},{"type":"track","event":"Deep","anonymousId":"a","properties":${deep(3000)}}]}`);
story.is('of a batch with one deep event the other is stored', [answer.code, answer.headers.get('x-rejected')], [200, '1']);
answer = await send('/v1/batch', '['.repeat(4 * MB));
story.check('a body that is only depth is refused', answer.code === 400, `${answer.code}`);
answer = await send('/v1/track', deep(500000));
story.check('an event that is only depth is put aside or refused', answer.code === 200 || answer.code === 400, `${answer.code}`);
answer = await fetch(`${server.url}/v1/batch`, { method: 'POST', headers: write, body: Buffer.from(
  `{"batch":[${JSON.stringify(event('Clean'))},{"type":"track","event":"Not \xff UTF-8","anonymousId":"a"}]}`, 'latin1') });
story.is('of a batch with bytes that are no UTF-8 the other is stored', [answer.status, answer.headers.get('x-rejected')], [200, '1']);
await answer.text();
for (const body of ['', '{', 'null', '"text"', '42', '{"batch":{}}x', '\u0000', '{"batch":"x"}'])
  story.check(`a body that is no event: ${JSON.stringify(body)}`, [200, 400].includes((await send('/v1/batch', body)).code));
const reasons = await verdicts();
story.is('each has its reason', [reasons.too_deep >= 1, reasons.bad_utf8, reasons.too_large], [true, 1, 2]);
story.is('the good ones are there', await count(`name IN ('Padded', 'Shallow', 'Clean')`), 3);

// --- larger than it looks -------------------------------------------------------------------------------------------

const member = gzipSync(Buffer.alloc(64 * MB)); // 64 KB
const bombs = { 'gzip bomb of 1 GB': Buffer.concat(Array.from({ length: 16 }, () => member)),
  'gzip of 9 MB of good JSON': gzipSync(padded(9 * MB)) };
for (const [name, bomb] of Object.entries(bombs)) {
  const before = memory_kb(server, 'VmRSS');
  const codes = await each(Array.from({ length: 24 }), 12, async () => (await fetch(`${server.url}/v1/batch`, {
    method: 'POST', headers: { ...write, 'content-encoding': 'gzip' }, body: bomb })).status);
  story.check(`${name}: 413`, codes.every((code) => code === 413), codes.join(' '));
  const grown = (memory_kb(server) - before) / 1024;
  story.check(`${name}: 24 of them, 12 at a time, take less than 160 MB`, grown < 160, `${grown.toFixed(0)} MB`);
}
story.is('gzip of 7 MB is taken', (await fetch(`${server.url}/v1/batch`, { method: 'POST', headers: write, body: gzipSync(padded(7 * MB)) })).status, 200);
story.check('a damaged gzip is 400', [400].includes((await fetch(`${server.url}/v1/batch`, { method: 'POST', headers: write, body: member.subarray(0, 5000) })).status));

// --- at impossible times --------------------------------------------------------------------------------------------

const times = ['9999-12-31T23:59:59Z', '10000-01-01T00:00:00Z', '0000-00-00', '1969-12-31T23:59:59Z', '-1', '0', -62135596800000,
  1e300, 99999999999999999999, '2026-02-30', '2026-13-01', '2026-11-24T25:61:61Z', '24:00', 'yesterday', '', ' ', '١٢٣', '292277026596-12-04',
  '-271821-04-20', '0001-01-01', 253402300799999, 9007199254740993, '1e999', 'NaN', true, [], {}];
answer = await own(times.map((time, i) => ({ name: 'Absurd', message_id: `absurd-${i}`, time })));
story.check('absurd dates are answered one by one', answer.json?.results.length === times.length &&
  answer.json.results.every((r) => r.status === 'stored' || r.status === 'quarantined'), answer.text);
story.is('none of them is stored before 1970 or after tomorrow',
  await count(`name = 'Absurd' AND (time < '1970-01-01' OR time > now() + INTERVAL 1 DAY)`), 0);
answer = await send('/v1/batch', { sentAt: '9999-12-31T00:00:00Z', batch: [event('Clock', { timestamp: '9999-12-31T00:00:00Z' })] });
story.is('a clock of the year 9999 is corrected', [answer.code, await count(`name = 'Clock' AND abs(epoch(time) - epoch(received)) < 60`)], [200, 1]);

// --- names and keys without end -------------------------------------------------------------------------------------

// 17 times "Aa" or "BB": equal under the string hash of Java and of many others.
const colliding = (n) => Array.from({ length: 17 }, (_, bit) => ((n >> bit) & 1 ? 'BB' : 'Aa')).join('');
const object_of = (from, n) => Object.fromEntries(Array.from({ length: n }, (_, i) => [colliding(from + i), 1]));
const timed = async (work) => { const start = performance.now(); await work(); return performance.now() - start; };
const bound_ms = 10000;
let ms = await timed(async () => { answer = await send('/v1/track', event('Keys', { properties: object_of(0, 75000) })); });
story.check('75,000 colliding keys in one event: put aside at once', answer.headers.get('x-rejected') === '1' && ms < bound_ms, `${answer.code} ${ms} ms`);
ms = await timed(async () => {
  for (let i = 0; i < 10; i++) // a secret key's events may be larger
    answer = await own(Array.from({ length: 10 }, (_, j) => ({ type: 'identify', identifiers: { user_id: `keys-${i}` },
      message_id: `keys-${i}-${j}`, traits: object_of(10000 * i + 1000 * j, 1000) })));
  await journal_end(server).then((after) => server.sql('SELECT 1', after));
});
story.check('100,000 colliding traits are folded', answer.code === 200 && ms < bound_ms, `${answer.code} ${ms} ms`);
ms = await timed(async () => {
  for (let i = 0; i < 10; i++)
    answer = await own(Array.from({ length: 2000 }, (_, j) => ({ name: 'Collide', message_id: colliding(2000 * i + j),
      identifiers: { user_id: colliding(2000 * i + j) } })));
  await journal_end(server).then((after) => server.sql('SELECT 1', after));
});
story.check('20,000 colliding people', ms < bound_ms && await count(`name = 'Collide'`) === 20000, `${ms} ms`);

const before_names = memory_kb(server, 'VmRSS');
for (let i = 0; i < 10; i++)
  await own(Array.from({ length: 2000 }, (_, j) => ({ name: `order ${2000 * i + j} ${'名'.repeat(50)}`, message_id: `name-${2000 * i + j}` })));
await server.sql('SELECT 1', await journal_end(server));
const shown = await metrics(server);
story.check('20,000 distinct names: 10,000 are known, the rest is counted as overflow',
  shown.hezou_event_names === 10000 && shown.hezou_event_names_overflow_total >= 10000,
  `${shown.hezou_event_names} ${shown.hezou_event_names_overflow_total}`);
story.is('no name is lost by it', await count(`name LIKE 'order %'`), 20000);
const grown = (memory_kb(server, 'VmRSS') - before_names) / 1024;
story.check('and memory is bounded', grown < 200, `${grown.toFixed(0)} MB more`);

// --- two requests in one --------------------------------------------------------------------------------------------

// Each form hides a whole second request, which stores an event if any handler ever sees it.
const hidden = post('/v1/track', [`Authorization: ${basic}`, 'Content-Length: 50'], '{"event":"Smuggled","anonymousId":"s","type":"tr"}');
const auth = `Authorization: ${basic}`;
const n = hidden.length;
const last_chunk = '0\r\n\r\n';
const smuggling = {
  'two lengths': post('/v1/track', [auth, 'Content-Length: 0', `Content-Length: ${n}`], hidden),
  'two equal lengths': post('/v1/track', [auth, 'Content-Length: 2', 'Content-Length: 2'], `{}${hidden}`),
  'lengths in a list': post('/v1/track', [auth, `Content-Length: 0, ${n}`], hidden),
  'a length with a sign': post('/v1/track', [auth, `Content-Length: +${n}`], hidden),
  'a negative length': post('/v1/track', [auth, 'Content-Length: -1'], hidden),
  'a length in hexadecimal': post('/v1/track', [auth, 'Content-Length: 0x2'], `{}${hidden}`),
  'a length beyond 64 bits': post('/v1/track', [auth, 'Content-Length: 18446744073709551616'], hidden),
  'a blank before the colon': post('/v1/track', [auth, `Content-Length : ${n}`], hidden),
  'a folded header': post('/v1/track', [auth, 'X: y', ` Content-Length: ${n}`], hidden),
  'a length behind a bare LF': post('/v1/track', [auth, `X: y\nContent-Length: ${n}`], hidden),
  'a length behind a bare CR': post('/v1/track', [auth, `X: y\rContent-Length: ${n}`], hidden),
  'a length in a name with NUL': post('/v1/track', [auth, `Content-Length\0: ${n}`], hidden),
  'length and chunks': post('/v1/track', [auth, `Content-Length: ${n + 5}`, 'Transfer-Encoding: chunked'], last_chunk + hidden),
  'chunks and length': post('/v1/track', [auth, 'Transfer-Encoding: chunked', 'Content-Length: 5'], last_chunk + hidden),
  'chunked twice': post('/v1/track', [auth, 'Transfer-Encoding: chunked', 'Transfer-Encoding: identity'], last_chunk + hidden),
  'an encoding that is not chunked': post('/v1/track', [auth, 'Transfer-Encoding: xchunked'], last_chunk + hidden),
  'chunked in a list': post('/v1/track', [auth, 'Transfer-Encoding: gzip, chunked'], last_chunk + hidden),
  'chunked behind a tab': post('/v1/track', [auth, 'Transfer-Encoding:\x0bchunked'], last_chunk + hidden),
  'an encoding with a blank before the colon': post('/v1/track', [auth, 'Transfer-Encoding : chunked'], last_chunk + hidden),
  'a chunk size with a sign': post('/v1/track', [auth, 'Transfer-Encoding: chunked'], `+0\r\n\r\n${hidden}`),
  'a chunk size in 0x': post('/v1/track', [auth, 'Transfer-Encoding: chunked'], `0x0\r\n\r\n${hidden}`),
  'a chunk that wraps around': post('/v1/track', [auth, 'Transfer-Encoding: chunked'], `10000000000000000\r\n${hidden}`),
  'a name that is no token': post('/v1/track', [auth, `Content Length: ${n}`], hidden),
  'HTTP/1.0 with chunks': post('/v1/track', [auth, 'Transfer-Encoding: chunked'], last_chunk + hidden).replace('HTTP/1.1', 'HTTP/1.0'),
};
await each(Object.entries(smuggling), 8, async ([name, bytes]) => {
  const { codes, closed } = await exchange(server, Buffer.from(bytes, 'latin1'));
  story.check(`smuggling, ${name}: one refusal, and closed`,
    closed && codes.length === 1 && codes[0] >= 400 && codes[0] < 500, `${codes} ${closed ? '' : 'open'}`);
});
story.is('no hidden request was ever seen', await count(`name = 'Smuggled'`), 0);
const good = post('/v1/track', [auth, 'Content-Length: 46'], '{"event":"Pipelined","anonymousId":"s","k":1}  ').slice(0, -1);
const pipelined = await exchange(server, good + good, { enough: (text) => text.split('HTTP/1.1 200').length === 3 });
story.is('two honest requests in one packet are two', [pipelined.codes, await count(`name = 'Pipelined'`)], [[200, 200], 2]);

const figures = (await server.ask('GET', '/metrics')).text;
const parts = Object.fromEntries([...figures.matchAll(/^hezou_memory_bytes\{part="(\w+)"\} (\d+)$/gm)].map(([, part, n]) => [part, Number(n)]));
story.check('the metrics say where the memory is', ['message_ids', 'timeline', 'warehouse'].every((part) => parts[part] > 0) && parts.objects >= 0 &&
  Object.values(parts).reduce((sum, n) => sum + n) < Number(/^hezou_resident_bytes (\d+)$/m.exec(figures)[1]), JSON.stringify(parts));
story.is('still ready', (await server.ask('GET', '/readyz')).code, 200);
await server.stop();
server.remove();
story.end();
