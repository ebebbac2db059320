// cancel_story.mjs - a report that runs is seen, and ends when it is told to, when its time is over, or when nobody waits for it
// any more; few run at once, and nothing else waits behind them. Reports are held inside their pass by a file (base/hook.h), so
// each check waits for a state and none for a time.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { Server, binary } from '../lib/server.mjs';
import { Story } from '../lib/story.mjs';
import { connect, post } from '../lib/raw.mjs';

const story = new Story('cancel story');
const server = new Server();
const file = join(server.data, 'hold-the-reports');
const hold = () => writeFileSync(file, '');
const release = () => rmSync(file, { force: true });
await server.start([], { HEZOU_HOLD: `live_pass:${file}` });

const events = Array.from({ length: 40 }, (_, i) => ({ type: 'track', name: 'order', message_id: `m${i}`, channel: 'app',
  time: '2026-10-05T10:00:00Z', identifiers: { user_id: `u${i % 8}` }, properties: { card: `secret-${i}` } }));
const { position } = await server.must('POST', '/api/v1/batch', { events });
const span = { from: '2026-10-01', to: '2026-10-31' };
const question = { ...span, event: { event: 'order', where: [{ property: 'card', value: 'secret-7' }] } };
const ask = (query = '', headers = {}) => server.ask('POST', `/api/v1/reports/trend?${query}`, question, headers);
const list = () => server.ask('GET', '/api/v1/reports/running');
const running = async () => (await list()).json.reports;
const end = (id, headers = {}) => server.ask('DELETE', `/api/v1/reports/running/${id}`, undefined, headers);

// Until `probe` says yes; a minute is the end of all patience, not a measure.
async function until(what, probe) {
  for (const start = Date.now(); Date.now() - start < 60000; await new Promise((go) => setTimeout(go, 10))) {
    const got = await probe();
    if (got) return got;
  }
  throw new Error(`waited a minute for: ${what}`);
}
const runs = (id) => until(`${id} runs`, async () => (await running()).find((one) => one.id === id));
const nothing_runs = () => until('nothing runs', async () => (await running()).length === 0);

const first = await ask(`after=${position}`);
story.is('a report answers', first.code, 200);
story.is('and nothing runs then', await running(), []);
const cell = first.json.totals[0].cell;

// --- seen ------------------------------------------------------------------------------------------------------------

hold();
const two = ask('run=seen');
const seen = await until('its pass begins', async () => (await running()).find((one) => one.id === 'seen' && one.pass > 0));
story.is('a report that runs has a name', [seen.report, seen.yours, seen.ending], ['trend', true, false]);
story.check('and a share, and seconds', seen.share >= 0 && seen.share < 1 && seen.seconds >= 0 && seen.pass >= 1, JSON.stringify(seen));
const keys = (await server.must('GET', '/api/v1/keys')).keys;
story.check('and says which key asked', keys.some((key) => key.id === seen.key), seen.key);
story.check('but not what was asked', !(await list()).text.includes('secret-7'));
story.is('a name is not given twice', (await ask('run=seen')).code, 409);
for (const bad of ['a%20b', '', 'x'.repeat(41), '%22']) story.is(`run=${bad} is no name`, (await ask(`run=${bad}`)).code, 400);
release();
story.is('let go, it answers', (await two).code, 200);

// --- ended by a request ----------------------------------------------------------------------------------------------

const bearer = (key) => ({ authorization: `Bearer ${key}` });
const secret = async (label, scopes) => bearer((await server.must('POST', '/api/v1/keys', { label, scopes })).key);
const anna = await secret('anna', 'read'), ben = await secret('ben', 'read');
hold();
for (const [who, mine, name] of [['its own key', anna, 'a'], ['a key with admin', {}, 'b']]) {
  const asked = ask(`run=${name}`, anna);
  await runs(name);
  story.is('another key may not end it', (await end(name, ben)).code, 403);
  story.is(`${who} may`, (await end(name, mine)).code, 202);
  const answer = await asked;
  story.check('and it says so, as a conflict', answer.code === 409 && answer.json.detail.includes('cancelled'), answer.text);
  story.check('so that nobody asks again by himself', answer.headers.get('retry-after') === null && answer.json.hint !== undefined);
  story.is('it runs no more', (await end(name)).code, 404);
}
for (const [what, method, path, body] of [['people', 'GET', `people?cell=${cell}&run=c`], ['rfm', 'POST', 'rfm?run=c', { order: 'order' }],
  ['kmeans', 'POST', 'kmeans/save?run=c', { order: 'order' }]]) {
  const asked = server.ask(method, `/api/v1/reports/${path}`, body);
  story.is(`${what} is seen`, (await runs('c')).report, what);
  await end('c');
  story.is('and ended', (await asked).code, 409);
}

// --- ended by time ---------------------------------------------------------------------------------------------------

const late = await ask('timeout=1');
story.check('a time limit ends it with what to do', late.code === 504 && late.json.detail.includes('limit of 1 s') &&
  late.json.hint.includes('timeout='), late.text);
story.is('a limit has a limit', (await ask('timeout=601')).code, 400);

// --- ended by leaving ------------------------------------------------------------------------------------------------

const body = JSON.stringify(question);
const request = (query) => post(`/api/v1/reports/trend?timeout=600&${query}`,
  [`Authorization: Bearer ${server.key}`, 'Content-Type: application/json', `Content-Length: ${body.length}`], body);
for (const how of ['destroy', 'resetAndDestroy']) {
  const socket = connect(server);
  socket.write(request(`run=${how}`));
  await runs(how);
  socket[how]();
  await nothing_runs();
  story.check(`a client that leaves by ${how} takes its report along`, existsSync(file));
}
const { hostname, port } = new URL(server.url);
const half = net.connect({ host: hostname, port: Number(port), allowHalfOpen: true });
half.resume();
const half_closed = once(half, 'end');
half.write(request('run=half'));
await runs('half');
half.end();
await nothing_runs();
await half_closed;
story.check('one that only stops writing is taken for gone, and its connection ends', existsSync(file));
half.destroy();

// --- few at once -----------------------------------------------------------------------------------------------------

const at_once = 2, waiting = 32, too_many = 6;
const asked = Array.from({ length: at_once }, (_, i) => ask(`run=w${i}`));
await until('both workers are taken', async () => (await running()).length === at_once);
const refused = [];
for (let i = 0; i < waiting + too_many; i++)
  asked.push(ask(`timeout=600`).then((answer) => { if (answer.code === 503) refused.push(answer); return answer; }));
await until('the rest is refused', () => refused.length >= too_many);
story.is('two run, no more', (await running()).length, at_once);
story.check('who finds no place is told when to come again', refused.every((answer) => answer.headers.get('retry-after') === '1'));
story.is('SQL does not wait behind reports', (await server.sql('SELECT count(*) FROM events'))[0][0], 40);
story.is('nor does an event', (await server.ask('POST', '/api/v1/batch', { events: [{ ...events[0], message_id: 'late' }] })).code, 200);
release();
const answers = (await Promise.all(asked)).map((answer) => answer.code);
story.is('all others are answered', [answers.filter((code) => code === 200).length, answers.filter((code) => code === 503).length],
  [at_once + waiting, too_many]);

// --- the command line ------------------------------------------------------------------------------------------------

const words = (...more) => ['report', 'trend', '--event', 'order', '--from', '2026-10-01', '--to', '2026-10-31', '--data', server.data, ...more];
function start(command, args) {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  child.said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => { child.said += bytes; });
  child.ended = once(child, 'close').then(([code, signal]) => code ?? signal);
  return child;
}
// A terminal for it: script, of Debian's bsdutils.
const at_terminal = (...more) => start('script', ['-qefc', [binary, ...words(...more)].join(' '), '/dev/null']);
for (const [lang, text] of [['en', 'The report runs ['], ['zh', '报告计算中 [']]) {
  hold();
  const child = at_terminal('--lang', lang);
  await until(`a bar in ${lang}`, () => child.said.includes(text));
  story.check('at a terminal a bar shows how far it is', / \[[#.]{20}\] +\d+ %/.test(child.said), child.said);
  release();
  story.is('and the answer follows', await child.ended, 0);
  story.check('in place of the bar', child.said.lastIndexOf('\r\x1b[K') > child.said.lastIndexOf(text) && /▇|█/.test(child.said), child.said);
}
hold();
const stopped = at_terminal('--lang', 'en', '--timeout', '10m');
await until('a bar', () => stopped.said.includes('The report runs ['));
stopped.stdin.write('\x03');
story.check('Ctrl-C ends the command', (await stopped.ended) !== 0);
await nothing_runs();
story.check('and the report on the server', existsSync(file));

const quiet = start(binary, words('--lang', 'en'));
const [of_quiet] = await until('the command runs', async () => { const all = await running(); return all.length > 0 && all; });
await end(of_quiet.id);
story.is('a cancelled report is exit code 4', await quiet.ended, 4);
story.check('with words and without a bar', quiet.said.includes('cancelled') && !quiet.said.includes('\r'), quiet.said);
const slow = start(binary, words('--lang', 'en', '--timeout', '1s'));
story.is('a late one is exit code 5', await slow.ended, 5);
story.check('that says what to do', slow.said.includes('--timeout'), slow.said);

// --- ended by the end ------------------------------------------------------------------------------------------------

const last = ask('timeout=600&run=last').catch(() => 'closed');
await runs('last');
await server.stop();
story.check('a server that stops does not wait ten minutes for a report', existsSync(file));
await last;
server.remove();
story.end();
