// access_story.mjs - who may send and ask, what each event of a batch is told, and what is not kept because somebody said no.
import { readFileSync } from 'node:fs';
import { Server } from '../lib/server.mjs';
import { Story, command, journal_end, metrics } from '../lib/story.mjs';
import { exchange, post } from '../lib/raw.mjs';

const story = new Story('access story');
const server = await new Server().start();
const { key } = await server.must('POST', '/api/v1/sources', { name: 'shop', channel: 'web' });
const basic = (k) => ({ authorization: `Basic ${Buffer.from(`${k}:`).toString('base64')}` });
const bearer = (k) => ({ authorization: `Bearer ${k}` });
const event = (name, more = {}) => ({ type: 'track', event: name, anonymousId: 'a', ...more });
const track = (name, headers) => server.ask('POST', '/v1/track', event(name), headers);
const count = async (where) => Number((await server.sql(`SELECT count(*) FROM events WHERE ${where}`, await journal_end(server)))[0][0]);
const secret = async (scopes) => (await server.must('POST', '/api/v1/keys', { label: scopes, scopes })).key;
const none = { authorization: '' };

// --- every route with every kind of key, from the tables that the server itself is made of ---------------------------

const rows_of = (file) => [...readFileSync(new URL(`../../src/${file}`, import.meta.url), 'utf8')
  .matchAll(/^X\("(\w+)",\s*"([^"]+)",\s*(\w+),\s*([\w |]+?),/gm)].map(([, method, path, handler, scope]) => ({ method, path, handler, scope }));
const scopes = ['collect', 'read', 'identity', 'erase', 'admin'];
const keys_with = {}, keys_without = {};
for (const scope of scopes) {
  keys_with[scope] = await secret(scope);
  keys_without[scope] = await secret(scopes.filter((s) => s !== scope).join(','));
}

// Asked with what can do no harm: nobody, nothing, no position.
const harmless = (path) => path.replace('{id}', 'user_id:nobody').replace('{position}', '0:1');
async function code_of({ method, path }, headers) {
  return (await server.ask(method, harmless(path), method === 'POST' ? '{}' : undefined, headers)).code;
}

const rooms = rows_of('api/routes.def');
story.check('the table of routes is read', rooms.length >= 20, `${rooms.length}`);
for (const row of rooms) {
  const name = `${row.method} ${row.path}`;
  if (row.scope === 'SCOPE_NONE') {
    story.is(`${name} is open`, await code_of(row, none), 200);
    continue;
  }
  const wanted = row.scope.split('|').map((scope) => scope.trim().replace('SCOPE_', '').toLowerCase());
  story.is(`${name} without a key`, await code_of(row, none), 401);
  story.is(`${name} with a key that does not exist`, await code_of(row, bearer('hz_sk_0000000000000000000000000000')), 401);
  story.is(`${name} with a write key`, await code_of(row, bearer(key)), 403);
  for (const scope of wanted) story.is(`${name} with all scopes but ${scope}`, await code_of(row, bearer(keys_without[scope])), 403);
  const right = await code_of(row, bearer(wanted.length === 1 ? keys_with[wanted[0]] : await secret(wanted.join(','))));
  story.check(`${name} with ${wanted} alone`, right < 500 && right !== 401 && right !== 403, `${right}`);
}
story.is('the test clock does not exist without --clock=virtual', (await server.ask('POST', '/test/clock', {})).code, 404);

const free = ['collect_discard', 'collect_get_sensors_config'];
for (const row of rows_of('collect/routes.def')) {
  const name = `${row.method} ${row.path}`;
  const path = row.path.replace('{key}', 'wk_wrong').replace('{file}', 'x.conf');
  const ask = (method, extra = {}) => fetch(server.url + path, { method, headers: { origin: 'https://shop.cn', ...extra },
    body: method === 'POST' ? '{}' : undefined }).then(async (answer) => { await answer.text(); return answer; });
  let answer = await ask(row.method);
  story.is(`${name} without a key`, [answer.status, answer.headers.get('access-control-allow-origin')],
    [free.includes(row.handler) ? 200 : 401, 'https://shop.cn']);
  if (row.scope === '0' && !free.includes(row.handler) && row.handler !== 'any_sensors' && row.handler !== 'get_settings') {
    answer = await ask(row.method, basic(keys_without.collect));
    story.check(`${name} with a key that may not collect`, answer.status === 403 || row.handler === 'get_source_config', `${answer.status}`);
  }
  answer = await ask('OPTIONS', { 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization, x-any-thing' });
  story.is(`${name}: preflight`, [answer.status, answer.headers.get('access-control-allow-origin'), answer.headers.get('access-control-allow-headers'),
    answer.headers.get('access-control-allow-credentials')], [204, 'https://shop.cn', 'authorization, x-any-thing', 'true']);
}

// --- all places where a key may stand -------------------------------------------------------------------------------

const body = (more) => JSON.stringify({ ...event('Key form'), ...more });
const text = { 'content-type': 'text/plain', ...none };
story.is('Basic', (await server.ask('POST', '/v1/t', body(), { ...text, ...basic(key) })).code, 200);
story.is('Basic without the colon', (await server.ask('POST', '/v1/t', body(), { ...text, authorization: `Basic ${Buffer.from(key).toString('base64')}` })).code, 200);
story.is('Bearer', (await server.ask('POST', '/v1/t', body(), { ...text, ...bearer(key) })).code, 200);
story.is('in the body', (await server.ask('POST', '/v1/t', body({ writeKey: key }), text)).code, 200);
story.is('in the query', (await server.ask('POST', `/v1/t?writeKey=${key}`, body(), text)).code, 200);
story.is('神策 token', (await server.ask('POST', `/sa?token=${key}`, `data=${encodeURIComponent(Buffer.from(
  JSON.stringify({ type: 'track', event: 'Key form', distinct_id: 'a', properties: {} })).toString('base64'))}`, text)).code, 200);
story.is('all of them are stored', await count(`name = 'Key form'`), 6);

const settings = await server.ask('GET', `/v1/projects/${key}/settings`, undefined, none);
story.is('settings name this server and exactly one integration',
  [settings.code, Object.keys(settings.json?.integrations ?? {}), settings.json?.integrations['Segment.io'].apiHost],
  [200, ['Segment.io'], `${server.url.replace('http://', '')}/v1`]);
story.is('RudderStack\'s too', (await server.ask('GET', `/sourceConfig/?writeKey=${key}`, undefined, none)).json?.source?.writeKey, key);

// --- revoked, rotated -----------------------------------------------------------------------------------------------

const id_of = async (k) => (await server.must('GET', '/api/v1/keys')).keys.find((row) => k.startsWith(row.prefix) && !row.revoked)?.id;
const second = (await server.must('POST', '/api/v1/keys', { source: 'shop' })).key;
story.check('the list shows no key', !(await server.ask('GET', '/api/v1/keys')).text.includes(second));
let sent = 0, refused = 0, stop = false, in_use = key;
const writer = (async () => {
  while (!stop) {
    const answer = await track('Rotation', basic(in_use));
    sent++;
    if (answer.code !== 200) refused++;
  }
})();
const sent_more = async (n) => { for (const goal = sent + n; sent < goal;) await server.ask('GET', '/livez'); };
await sent_more(5);
in_use = second; // the shop changes over while both hold
await sent_more(3);
const old_id = await id_of(key);
story.is('revoke', (await server.ask('DELETE', `/api/v1/keys/${old_id}`)).code, 200);
story.is('the revoked key is refused at once', (await track('Revoked', basic(key))).code, 401);
await sent_more(20);
stop = true;
await writer;
story.is('rotation refuses nobody', refused, 0);
story.is('and loses nothing', await count(`name = 'Rotation'`), sent);
story.is('nothing came by the revoked key', await count(`name = 'Revoked'`), 0);
story.is('a key that is not there cannot be revoked', (await server.ask('DELETE', '/api/v1/keys/nothing')).code, 404);
const bi = await secret('read');
story.is('a secret key works', (await server.ask('GET', '/api/v1/reports/overview', undefined, bearer(bi))).code, 200);
const revoke = await command(server, 'key', 'revoke', String(await id_of(bi)));
story.is('hezou key revoke', [revoke.code, (await server.ask('GET', '/api/v1/reports/overview', undefined, bearer(bi))).code], [0, 401]);

// --- somebody said no -----------------------------------------------------------------------------------------------

const write = basic(second);
const consent = (answer) => ({ context: { consent: { categoryPreferences: { analytics: answer } } } });
const before = await metrics(server);
let answer = await server.ask('POST', '/v1/batch', { batch: [event('Asked', consent(true)), event('Refused', consent(false)), event('Not asked')] }, write);
story.is('one of three refuses', [answer.code, answer.headers.get('x-rejected')], [200, '1']);
answer = await server.ask('POST', '/v1/batch', { batch: [event('Asked', consent(true)), event('Signalled'), { type: 'nonsense', ...consent(false), secret: 'Refused' }] },
  { ...write, 'sec-gpc': '1' });
story.is('Sec-GPC denies what was not asked for', [answer.code, answer.headers.get('x-rejected')], [200, '2']);
await server.ask('POST', '/v1/batch', { batch: [event('Refused')], ...consent(false) }, write);
answer = await server.ask('POST', '/api/v1/batch', { events: [{ name: 'Refused', ...consent(false) }] });
story.is('our own batch says so', answer.json.results, [{ message_id: '', status: 'denied' }]);
story.is('what was granted is kept', [await count(`name = 'Asked'`), await count(`name = 'Not asked'`)], [2, 1]);
story.is('what was denied is nowhere', [await count(`name IN ('Refused', 'Signalled')`),
  Number((await server.sql(`SELECT count(*) FROM records WHERE verdict = 'quarantined' AND reason = 'unknown_type'`))[0][0])], [0, 0]);
const denied = await metrics(server);
story.is('and counted', [denied.hezou_denied_consent_total - before.hezou_denied_consent_total, denied.hezou_denied_gpc_total - before.hezou_denied_gpc_total], [4, 1]);

// --- our own batch tells of each event what became of it ------------------------------------------------------------

const one = { name: 'Viewed', message_id: 'one', identifiers: { user_id: 'u-1' } };
answer = await server.ask('POST', '/api/v1/batch', { events: [one,
  { name: 'Twin', message_id: 'twin' }, { name: 'Twin', message_id: 'twin' },
  { type: 'nonsense', message_id: 'bad' }, { name: 'Future', message_id: 'future', time: '2199-01-01' },
  { name: 'Denied', message_id: 'no', ...consent(false) }, { type: 'track', message_id: 'nameless' }, 'no object'] });
const results = answer.json.results;
story.is('each of a batch', results.map((r) => [r.message_id, r.status, r.reason ?? '']), [['one', 'stored', ''], ['twin', 'stored', ''],
  ['twin', 'stored', ''], ['bad', 'quarantined', 'unknown_type'], ['future', 'stored', ''], ['no', 'denied', ''],
  ['nameless', 'quarantined', 'no_name'], ['', 'quarantined', 'not_json']]);
story.check('whatever is in the journal has its position, in order', results.every((r) => (r.position !== undefined) === (r.status !== 'denied')) &&
  results.filter((r) => r.position).every((r, i, all) => i === 0 || Number(r.position.slice(2)) > Number(all[i - 1].position.slice(2))));
story.is('the batch\'s position is the last one', answer.json.position, results.at(-1).position);
const record = async (r) => (await server.ask('GET', `/api/v1/records/${r.position}?after=${answer.json.position}`)).json;
const records = [];
for (const r of results) if (r.position) records.push(await record(r));
story.is('what was decided later is at its position', records.map((r) => [r.record, r.verdict, r.reason ?? '']), [['event', 'stored', ''],
  ['event', 'stored', ''], ['event', 'duplicate', ''], ['quarantine', 'quarantined', 'unknown_type'], ['event', 'quarantined', 'time_out_of_range'],
  ['quarantine', 'quarantined', 'no_name'], ['quarantine', 'quarantined', 'not_json']]);
story.is('with what was sent', [records[0].event.name, records[3].raw, records[3].path],
  ['Viewed', JSON.stringify({ type: 'nonsense', message_id: 'bad' }), '/api/v1/batch']);
story.is('no record there', [(await server.ask('GET', '/api/v1/records/0:1')).code, (await server.ask('GET', '/api/v1/records/x')).code], [404, 400]);
answer = await server.ask('POST', '/api/v1/batch', { events: [one, { name: 'Fresh', message_id: 'fresh' }] });
story.is('a repeat is answered as one', answer.json.results.map((r) => r.status), ['duplicate', 'stored']);
answer = await server.ask('POST', '/api/v1/batch', { events: [one] });
story.check('a batch of nothing new still has a position to wait for', /^0:\d+$/.test(answer.json.position) &&
  (await server.ask('GET', `/api/v1/profiles/user_id:u-1?after=${answer.json.position}`)).json?.events_total === 1, answer.text);

answer = await server.ask('POST', '/api/v1/batch', '{"name":"Line","message_id":"l1"}\n\n{"name":"Line","message_id":"l2"\n{"name":"Line","message_id":"l3"}',
  { 'content-type': 'application/x-ndjson' });
story.is('one event a line', answer.json.results.map((r) => [r.status, r.reason ?? '']), [['stored', ''], ['quarantined', 'not_json'], ['stored', '']]);
answer = await server.ask('POST', '/api/v1/batch', '{"name":"Line","message_id":"l4"}\n{"name":"Line","message_id":"l5"}\n', { 'content-type': 'text/plain' });
story.is('and without saying so', answer.json.results.map((r) => r.status), ['stored', 'stored']);
answer = await server.ask('POST', '/api/v1/batch', JSON.stringify({ name: 'Line', message_id: 'l6' }));
story.is('and a single one', answer.json.results.map((r) => r.status), ['stored']);
story.is('lines are stored', await count(`name = 'Line'`), 5);
story.is('HEAD is answered like GET, without a body',
  (await exchange(server, `HEAD /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)).text.split('\r\n\r\n')[1], '');
story.is('a method that the path does not take', (await exchange(server, post('/livez', ['Connection: close', 'Content-Length: 0'], ''))).codes, [405]);

await server.stop();
server.remove();
story.end();
