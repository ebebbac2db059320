// faults.mjs - a disk that fails: the Nth call (F3), no room (F7), a sync (F8). Nothing acknowledged may be lost.
//
//   faults.mjs io [SETTING...]     FULL=1: every N, once and for ever, instead of 40 of them
//   faults.mjs full | sync
//
// F3 and F8 use the test build's switch HEZOU_FAIL_IO; F7 fills a small tmpfs of its own, so it needs root (else it is
// skipped by name). What was acknowledged is known here alone; after a start without faults the rows are compared with it,
// what was not acknowledged is sent again, and all is compared once more.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server } from '../lib/server.mjs';

const failures = [];
const EIO = 5;
const ENOSPC = 28;

function fail(words) {
  failures.push(words);
  console.log(`VIOLATION: ${words}`);
}

const rest = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Longer than any answer may take: after= gives up at 10 s.
const ANSWER_MS = 15000;
const within = (promise, ms) => Promise.race([promise, rest(ms).then(() => 'late')]);

// A client that remembers. Batches have 5 events of 5 KB, so that a hundred of them fill journal segments of 1 MB.
class Client {
  constructor(server) {
    this.server = server;
    this.batches = [];
    this.acked = new Set();
    this.gone = undefined; // when its erase was acknowledged: the batches acknowledged before
    this.gone_maybe = false; // it was asked for
  }

  make() {
    const at = this.batches.length;
    const batch = [];
    for (let i = 0; i < 5; i++)
      batch.push({
        message_id: `m${at}-${i}`,
        name: 'Product Viewed',
        identifiers: { user_id: i === 0 ? 'u-gone' : `u${(at * 5 + i) % 37}` },
        properties: { at, text: String.fromCharCode(97 + (at % 26)).repeat(5000) },
      });
    this.batches.push(batch);
    return at;
  }

  // The answer; its code is 0 when the server ended instead.
  async ask(method, path, body) {
    const asked_at = performance.now();
    const answer = await within(this.server.ask(method, path, body).catch(() => ({ code: 0 })), ANSWER_MS);
    if (answer.code === 0) this.cut_at ??= asked_at;
    if (answer !== 'late') return answer;
    fail(`${method} ${path} has no answer after ${ANSWER_MS} ms: ${this.server.errors}`);
    return { code: 0 };
  }

  // The HTTP code.
  async send(at) {
    const answer = await this.ask('POST', '/api/v1/batch', { events: this.batches[at] });
    if (answer.code === 200) {
      this.acked.add(at);
      if (answer.json.results.some((r) => r.status !== 'stored' && r.status !== 'duplicate'))
        fail(`an event was not taken as it is: ${answer.text}`);
      this.position = answer.json.position;
    } else if (answer.code > 0 && answer.code < 500) fail(`a batch was answered ${answer.code}: ${answer.text}`);
    else if (answer.code === 503 && !answer.headers.get('retry-after')) fail('503 without Retry-After');
    return answer.code;
  }

  async erase() {
    this.gone_maybe = true;
    this.erased_below = this.batches.length;
    const answer = await this.ask('POST', '/api/v1/erasures', { identifier: 'user_id:u-gone' });
    if (answer.code === 200) this.gone = new Set(this.acked); // what comes later is a new person's
    else if (answer.code > 0 && answer.code < 500 && answer.code !== 404) fail(`an erase was answered ${answer.code}: ${answer.text}`);
    return answer.code;
  }

  // Every acknowledged event is there once, every other at most once. The server must be well.
  async compare(when) {
    const last = this.make();
    if ((await this.send(last)) !== 200) throw new Error(`${when}: the server does not take an event`);
    const rows = new Map(await this.server.sql('SELECT message_id, count(*) FROM events GROUP BY 1', this.position));
    for (const [id, count] of rows) if (count !== 1) fail(`${when}: ${id} is there ${count} times`);
    for (const [at, batch] of this.batches.entries())
      for (const { message_id, identifiers } of batch) {
        const erased = identifiers.user_id === 'u-gone' && at < (this.erased_below ?? 0);
        if (erased && this.gone?.has(at) && rows.has(message_id)) fail(`${when}: ${message_id} was erased and is there`);
        if (this.acked.has(at) && !rows.has(message_id) && !(erased && this.gone_maybe))
          fail(`${when}: lost: ${message_id} was acknowledged`);
      }
  }

  async resend() {
    for (const at of this.batches.keys())
      if (!this.acked.has(at) && (await this.send(at)) !== 200) fail('a batch was refused after the fault had passed');
  }
}

const small = { HEZOU_SEGMENT_MB: '1' };

// A hundred requests: batches, and what makes the server flush, read and erase. Ends early when the server has ended.
async function script(client) {
  let ended = false;
  client.server.exited.then(() => {
    ended = true;
    client.ended_at = performance.now();
  });
  const codes = new Set();
  for (let i = 0; i < 100 && !ended; i++) {
    let code;
    if (i === 60) code = await client.erase();
    else if (i % 10 === 3) code = (await client.ask('GET', '/api/v1/doctor/digest')).code;
    else if (i % 10 === 6) code = (await client.ask('GET', '/api/v1/reports/overview')).code;
    else code = await client.send(client.make());
    codes.add(code);
    if (!code) await within(client.server.exited, 1000);
  }
  return codes;
}

// One run with a fault; what it counted of calls is in server.errors after a stop.
async function faulty(setting) {
  const server = new Server();
  const client = new Client(server);
  const when = `HEZOU_FAIL_IO=${setting}`;
  server.may_end = true;
  try {
    await server.start([], { ...small, HEZOU_FAIL_IO: setting });
    client.codes = await script(client);
    server.child.kill('SIGTERM');
  } catch (error) {
    if (!/ended before it listened/.test(error)) throw error;
  }
  const end = await within(server.exited, 8000);
  if (end === 'late') {
    fail(`${when}: the server does not stop: ${server.errors}`);
    await server.kill();
  } else if (end.signal) fail(`${when}: the server died of ${end.signal}: ${server.errors}`);
  client.end = end;
  return { server, client, when };
}

async function sound({ server, client, when }) {
  const started = performance.now();
  server.may_end = false;
  try {
    await server.start([], small);
  } catch (error) {
    return fail(`${when}: ${error.message}`); // its directory stays, to be looked at
  }
  const ready_ms = performance.now() - started;
  if (ready_ms > 2000) fail(`${when}: ready after ${ready_ms.toFixed(0)} ms`);
  await client.compare(when);
  await client.resend();
  if (client.gone_maybe && !client.gone) await client.erase();
  await client.compare(`${when}, after the rest was sent again`);
  const ledger = (await server.must('GET', '/api/v1/erasures')).erasures;
  if (ledger.some((one) => one.state !== 'done')) fail(`${when}: an erasure was left unfinished`);
  await server.kill();
  server.remove();
}

async function two_at_a_time(list, work) {
  const left = [...list];
  const worker = async () => {
    while (left.length > 0) await work(left.shift());
  };
  await Promise.all([worker(), worker()]);
}

async function io() {
  const clean = await faulty('0');
  const calls = Number(/(\d+) calls of the disk/.exec(clean.server.errors)[1]);
  await sound(clean);
  const settings = process.argv.slice(3);
  const step = settings.length > 0 ? calls : process.env.FULL ? 1 : Math.max(1, calls / 40);
  for (let i = settings.length > 0 ? 1 : 0; Math.floor(i * step) < calls; i++) {
    const n = Math.floor(i * step) + 1;
    const kinds = process.env.FULL ? [2 * (i % 2), 2 * (i % 2) + 1] : [i % 4];
    for (const k of kinds) settings.push(`${n}:${k & 2 ? ENOSPC : EIO}${k & 1 ? ':forever' : ''}`);
  }
  let exits = 0;
  await two_at_a_time(settings, async (setting) => {
    const run = await faulty(setting);
    exits += run.client.end.code !== 0;
    await sound(run);
  });
  console.log(`F3: ${settings.length} failing calls of ${calls}, ${exits} ended the server, ` +
    `${failures.length} violations`);
}

// F7. A tmpfs of 512 MB (of which the journal spares 32 for erasing) is filled up but for 50.
const DISK = { size: '512m', filler: 430 };

async function soon(words, limit_ms, attempt) {
  const started = performance.now();
  for (let code; (code = await attempt()) !== 200; await rest(20))
    if (performance.now() - started > limit_ms) return fail(`${words}: still ${code} after ${limit_ms} ms`);
  return performance.now() - started;
}

async function fill(client) {
  const refused = async () => {
    for (let times = 0; times < 3; ) {
      const code = await client.send(client.make());
      times += code === 503;
      if (code !== 200 && code !== 503) throw new Error(`a full disk: ${code} ${client.server.errors}`);
    }
  };
  await Promise.all([refused(), refused(), refused(), refused()]);
}

async function full_once(folder, round) {
  const when = `disk full, round ${round}`;
  const filler = join(folder, 'filler');
  writeFileSync(filler, Buffer.alloc(DISK.filler << 20));
  const server = await new Server(join(folder, `data${round}`)).start([], small);
  const client = new Client(server);
  await fill(client);
  const read = async (method, path, body) => (await client.ask(method, path, body)).code;
  for (const [method, path, body] of [
    ['GET', '/api/v1/reports/overview'],
    ['GET', '/api/v1/profiles/user_id:u1'],
    ['POST', '/api/v1/sql', { sql: 'SELECT count(*) FROM events' }],
  ])
    await soon(`${when}: ${method} ${path}`, 1000, () => read(method, path, body));
  if ((await client.ask('GET', '/readyz')).code !== 503) fail(`${when}: it says that it is ready`);
  await soon(`${when}: erase`, 5000, () => client.erase());
  let ready_ms = 0;
  if (round % 3 > 0) {
    await (round % 3 === 1 ? server.stop() : server.kill());
    const started = performance.now();
    await server.start([], small);
    ready_ms = performance.now() - started;
  }
  rmSync(filler);
  const resumed_ms = await soon(`${when}: resuming`, 5000, () => client.send(client.make()));
  await client.compare(when);
  await client.resend();
  await client.compare(`${when}, after the rest was sent again`);
  await server.stop();
  server.remove();
  return { ready_ms, resumed_ms, acked: client.acked.size };
}

async function full() {
  const folder = mkdtempSync(join(process.env.TMPDIR ?? tmpdir(), 'hezou-full-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK.size}`, 'tmpfs', folder], { stdio: 'pipe' });
  } catch {
    rmSync(folder, { recursive: true });
    console.log('skipped: crash F7, a full disk (mounting a tmpfs needs root)');
    return;
  }
  const rounds = [];
  try {
    for (let i = 0; i < (process.env.FULL ? 30 : 3); i++) rounds.push(await full_once(folder, i));
  } finally {
    execFileSync('umount', ['-l', folder]);
    rmSync(folder, { recursive: true });
  }
  const most = (name) => Math.max(...rounds.map((round) => round[name])).toFixed(0);
  console.log(`F7: a full disk ${rounds.length} times, resumed in at most ${most('resumed_ms')} ms, ready in at most ` +
    `${most('ready_ms')} ms, ${failures.length} violations`);
}

// F8. From the Nth sync on all fail.
async function sync() {
  const clean = await faulty('0:5:syncs');
  const calls = Number(/(\d+) calls of the disk/.exec(clean.server.errors)[1]);
  await sound(clean);
  const times = process.env.FULL ? 50 : 5;
  let slowest_ms = 0;
  for (let i = 0; i < times; i++) {
    const run = await faulty(`${Math.floor(((i + 0.5) * calls) / times) + 1}:${EIO}:forever:syncs`);
    if (run.client.end.code !== 1) fail(`${run.when}: exit ${run.client.end.code}, not 1`);
    if (run.client.cut_at) slowest_ms = Math.max(slowest_ms, run.client.ended_at - run.client.cut_at);
    await sound(run);
  }
  if (slowest_ms > 1000) fail(`a server lived ${slowest_ms.toFixed(0)} ms after a failed sync`);
  console.log(`F8: ${times} failed syncs of ${calls}, the server ended within ${slowest_ms.toFixed(0)} ms, ` +
    `${failures.length} violations`);
}

await { io, full, sync }[process.argv[2]]();
process.exit(failures.length > 0 ? 1 : 0);
