// rebuild.mjs - what is known is a function of the journal: the same requests give the same digest, whatever happened.
//
// One run is never killed: its digest is the measure. Others are killed after every 25th answer, or in the middle of a
// request that is then sent again; lose state.db, with and without its snapshots; or lose it when retention has cut the
// journal to 30 days (the virtual clock makes the days go by). `hezou doctor --digest --exact` compares ids and positions
// too; where a request was sent twice positions differ by right, and only people, profiles and rows are compared.
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Server, binary, random } from '../lib/server.mjs';

const failures = [];
const env = { HEZOU_SEGMENT_MB: '1' };
const arguments_ = ['--clock', 'virtual'];
const start_ms = Date.parse('2026-11-01T00:00:00Z');
const PEOPLE = 60;

function event_of(i, next) {
  const pick = () => Math.floor(next() * PEOPLE);
  const identifiers = { user_id: `u${pick()}` };
  if (next() < 0.3) identifiers.email = `e${pick()}@example.com`;
  if (next() < 0.2) identifiers.anonymous_id = `a${pick()}`;
  const event = {
    message_id: `m${i}`,
    time: new Date(start_ms + Math.floor(next() * 86400e3 * 20)).toISOString(),
    identifiers,
  };
  if (i % 11 === 0) return { ...event, type: 'identify', traits: { city: `c${pick()}`, age: pick() } };
  if (i % 37 === 0) return { ...event, type: 'unbind' };
  const name = i % 5 === 0 ? 'Order Completed' : 'Product Viewed';
  return { ...event, name, properties: { order_id: `o${i}`, revenue: pick() + 0.5, currency: 'CNY', text: 'x'.repeat(1500) } };
}

// Batches through our own door; through Segment's, which stores repeats and leaves the decision to the pipeline; events that
// cannot be translated; a separation and an erase. Always the same, in the same order.
function requests() {
  const next = random(7);
  const list = [];
  let number = 0;
  for (let i = 0; i < 240; i++) {
    // A separation is of what is known already: all before it is folded first.
    if (i === 89) list.push(['GET', '/api/v1/doctor/digest']);
    else if (i === 90) list.push(['POST', '/api/v1/identity/unmerge', { identifier: 'email:e7@example.com' }]);
    else if (i === 150) list.push(['POST', '/api/v1/erasures', { identifier: 'user_id:u5' }]);
    else if (i % 10 === 4) {
      const again = i % 20 === 4 ? i - 20 : i;
      list.push(['POST', '/v1/batch', { batch: [{ type: 'track', event: 'Seen', messageId: `s${again}`, userId: `u${i % PEOPLE}`,
        timestamp: new Date(start_ms + i * 1000).toISOString() }] }]);
    } else if (i % 10 === 8) list.push(['POST', '/api/v1/batch', { events: [{ message_id: `b${i}`, type: 'nonsense' }] }]);
    else list.push(['POST', '/api/v1/batch', { events: Array.from({ length: 10 }, () => event_of(number++, next)) }]);
  }
  return list;
}

async function opened(data) {
  return new Server(data).start(arguments_, env);
}

// 2xx, or 404 from a separation or an erase whose answer was cut off the first time.
async function send(server, [method, path, body], again = false) {
  const answer = await server.ask(method, path, body);
  if (answer.code > 299 && !(again && answer.code === 404)) throw new Error(`${method} ${path}: ${answer.code} ${answer.text}`);
}

function digest(data) {
  const text = execFileSync(binary, ['doctor', '--data', data, '--digest', '--exact', ...arguments_], { env: { ...process.env, ...env } });
  return JSON.parse(text);
}

function expect(words, got, wanted, names = Object.keys(wanted)) {
  const differ = names.filter((name) => got[name] !== wanted[name]);
  if (differ.length > 0) failures.push(words);
  console.log(`${differ.length === 0 ? 'equal' : 'VIOLATION: different'} ${words}${differ.length === 0 ? '' :
    `: ${differ.map((name) => `${name} ${got[name]} not ${wanted[name]}`).join(', ')}`}`);
}

function lose_state(data, snapshots_too) {
  for (const name of readdirSync(data)) if (name.startsWith('state.db')) rmSync(join(data, name));
  if (snapshots_too) rmSync(join(data, 'snapshot'), { recursive: true, force: true });
}

async function run_straight(list) {
  const server = await opened();
  for (const request of list) await send(server, request);
  await server.stop();
  return server;
}

// Killed right after an answer: what was acknowledged is in no more than the journal, perhaps.
async function run_killed(list) {
  let server = await opened();
  for (const [i, request] of list.entries()) {
    await send(server, request);
    if (i % 50 === 30) await server.must('GET', '/api/v1/doctor/digest'); // a flush, so that kills come behind one
    if (i % 25 !== 24) continue;
    await server.kill();
    server = await opened(server.data);
  }
  await server.kill();
  return server;
}

// Killed while a request is under way, which is then sent again.
async function run_cut(list) {
  const next = random(11);
  let server = await opened();
  for (const [i, request] of list.entries()) {
    if (i % 25 !== 24) {
      await send(server, request);
      continue;
    }
    const sent = send(server, request).catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, next() * 5));
    await server.kill();
    await sent;
    server = await opened(server.data);
    await send(server, request, true);
  }
  await server.kill();
  return server;
}

const segments = (data) => readdirSync(join(data, 'journal')).filter((name) => name.endsWith('.log')).sort();

// A day's snapshot, then 31 days: the segments of the first half go.
async function run_retained(list) {
  const server = await opened();
  const first = segments(server.data)[0];
  const half = list.length / 2;
  for (const request of list.slice(0, half)) await send(server, request);
  await server.must('GET', '/api/v1/doctor/digest');
  await server.must('POST', '/test/clock', { advance_ms: 31 * 86400e3 });
  for (const request of list.slice(half)) await send(server, request);
  await server.must('GET', '/api/v1/doctor/digest');
  await server.stop();
  if (segments(server.data)[0] === first || existsSync(join(server.data, 'journal', first))) {
    failures.push('retention');
    console.log(`VIOLATION: retention left the journal whole: ${segments(server.data)}`);
  }
  return server;
}

const list = requests();
const started = performance.now();
const straight = await run_straight(list);
const measure = digest(straight.data);
expect('when asked twice', digest(straight.data), measure);
const copy = `${straight.data}-copy`;
cpSync(straight.data, copy, { recursive: true });
lose_state(copy, false);
expect('after the loss of state.db', digest(copy), measure);
lose_state(copy, true);
expect('after the loss of state.db and its snapshots', digest(copy), measure);
lose_state(copy, true);
rmSync(join(copy, 'warehouse'), { recursive: true });
expect('after the loss of all that is folded', digest(copy), measure);
rmSync(copy, { recursive: true });

const killed = await run_killed(list);
expect('after kills between requests', digest(killed.data), measure);
const cut = await run_cut(list);
expect('after kills amid requests', digest(cut.data), measure, ['people', 'profiles', 'rows', 'people_count', 'rows_count']);

const retained = await run_retained(list);
const kept = digest(retained.data);
expect('with days between', kept, measure, ['people', 'profiles', 'rows', 'people_count', 'rows_count']);
lose_state(retained.data, false);
expect('after the loss of state.db with a journal cut by retention', digest(retained.data), kept);

for (const server of [straight, killed, cut, retained]) server.remove();
console.log(`rebuild: ${measure.people_count} people, ${measure.rows_count} rows, ` +
  `${((performance.now() - started) / 1000).toFixed(1)} s, ${failures.length} violations`);
process.exit(failures.length > 0 ? 1 : 0);
