// clickhouse.mjs - funnels, patterns and retention of one random file, counted by `hezou report` and by a running ClickHouse.
//
// For the nightly run: starts `clickhouse-server` (Debian's 18.16 knows windows, not modes) on a free port of the loopback with
// a folder of its own, and ends it. Not installed: says `skipped` and ends with 77. A person's events have different times, since
// that ClickHouse leaves the order of equal ones open; 00222 and 00632 settle those in tests/golden/sequence.mjs.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Golden, file, report, work } from '../golden/lib.mjs';

if (spawnSync('clickhouse-server', ['--version']).error) {
  console.log('skipped: clickhouse (clickhouse-server is not installed)');
  process.exit(77);
}

const free_port = () => new Promise((done) => {
  const server = createServer().listen(0, '127.0.0.1', () => { const { port } = server.address(); server.close(() => done(port)); });
});
const [http, tcp] = [await free_port(), await free_port()];
for (const name of ['store', 'tmp']) mkdirSync(join(work, name));
const users = file('users.xml', `<yandex><profiles><default></default></profiles><quotas><default></default></quotas><users><default>
  <password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default></users></yandex>`);
const config = file('config.xml', `<yandex><logger><level>error</level><log>${work}/log</log><errorlog>${work}/err</errorlog></logger>
  <listen_host>127.0.0.1</listen_host><http_port>${http}</http_port><tcp_port>${tcp}</tcp_port><path>${work}/store/</path>
  <tmp_path>${work}/tmp/</tmp_path><users_config>${users}</users_config><default_profile>default</default_profile>
  <default_database>default</default_database><mark_cache_size>100000000</mark_cache_size></yandex>`);
const server = spawn('clickhouse-server', [`--config-file=${config}`], { stdio: 'ignore' });
process.on('exit', () => server.kill('SIGKILL'));

async function sql(query) {
  const answer = await fetch(`http://127.0.0.1:${http}/`, { method: 'POST', body: query });
  const text = (await answer.text()).trim();
  if (!answer.ok) throw new Error(`${text}\n${query}`);
  return text;
}
let version;
for (let tries = 0; version === undefined; tries++) {
  version = await sql('SELECT version()').catch((error) => { if (tries === 150) throw error; });
  await new Promise((done) => { setTimeout(done, 100); });
}

let seed = 7n;
function chance(below) {
  seed = (seed * 6364136223846793005n + 1442695040888963407n) & ((1n << 64n) - 1n);
  return Number((seed >> 33n) % BigInt(below));
}
const names = ['a', 'b', 'c', 'd', 'e'];
const lines = [];
for (let user = 0; user < 3000; user++)
  for (let time = 0, left = chance(25); left > 0; left--) lines.push([user, time += 1 + chance(5), names[chance(5)]]);
const events = file('events.csv', `user_id,time,event\n${lines.map((line) => line.join()).join('\n')}\n`);
await sql('CREATE TABLE e (u UInt32, t UInt32, n String) ENGINE = Memory');
await sql(`INSERT INTO e VALUES ${lines.map(([user, time, name]) => `(${user},${time},'${name}')`).join()}`);
const is = (steps) => steps.map((step) => `n = '${step}'`).join(', ');
const asked = (kind, steps, ...more) => report(kind, '--plain-time', '--events', events, ...steps.flatMap((step) => ['--step', step]), ...more);

const golden = new Golden(`clickhouse ${version}`);
for (let round = 0; round < 100; round++) {
  const steps = [...names].sort(() => chance(3) - 1).slice(0, 2 + chance(4)), window = chance(40);
  const reached = steps.map((_, k) => `countIf(l > ${k})`).join();
  const want = await sql(`SELECT ${reached} FROM (SELECT windowFunnel(${window})(t, ${is(steps)}) AS l FROM e GROUP BY u)`);
  const got = asked('funnel', steps, '--window', `${window}s`);
  golden.same(`funnel ${steps} within ${window}`, got.rows.map((step) => step.people).join('\t'), want);
}
for (let round = 0; round < 300; round++) {
  const steps = names.slice(0, 2 + chance(3));
  let pattern = '', after_time = true;
  for (let parts = 2 + chance(5); parts > 0; parts--) {
    const kind = chance(after_time ? 6 : 8);
    pattern += kind < 4 ? `(?${1 + chance(steps.length)})` : ['.', '.*'][kind - 4] ?? `(?t${['<=', '<', '>=', '>'][chance(4)]}${chance(9)})`;
    after_time = kind > 5;
  }
  pattern += '(?1)'; // what that version does with a gap at a pattern's end depends on what lies behind it in memory
  const want = await sql(`SELECT sum(m), sum(c) FROM (SELECT sequenceMatch('${pattern}')(toDateTime(t), ${is(steps)}) AS m,
    sequenceCount('${pattern}')(toDateTime(t), ${is(steps)}) AS c FROM e GROUP BY u)`);
  const got = asked('sequence', steps, '--pattern', pattern, '--examples', '0');
  golden.same(`sequence ${pattern} of ${steps}`, `${got.people_matching}\t${got.matches}`, want);
}
const want = await sql(`SELECT ${names.map((_, k) => `sum(r[${k + 1}])`)} FROM (SELECT retention(${is(names)}) AS r FROM e GROUP BY u)`);
golden.same('retention', asked('retention', names).rows.map((step) => step.people).join('\t'), want);
golden.end();
process.exit(process.exitCode);
