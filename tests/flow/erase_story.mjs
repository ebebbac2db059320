// erase_story.mjs - one person among a thousand is forgotten: not a byte of them stays, and all of everybody else.
//
// Every field of every event of a person holds the person's own word (or phone number), so that one word stands for all
// that is known of them, whichever way it came in. The scanner must find it everywhere before and nowhere afterwards.
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { Server } from '../lib/server.mjs';
import { Story, command, each, journal_end } from '../lib/story.mjs';
import { scan } from '../lib/scan.mjs';

const story = new Story('erase story');
const people = 1000;
const victim = 617;
const word = (i) => `zq${String(i).padStart(4, '0')}x${createHash('md5').update(`person ${i}`).digest('hex').slice(0, 10)}`;
const phone = (i) => `139${String(70000000 + i * 7919)}`;
const local_phone = (i) => phone(i).replace(/(...)(....)(....)/, '$1 $2-$3');
const day_ms = 86400000;
// Two months of received time, later than any real clock: on the 25th of the next month, and twelve days after that.
const today = new Date();
let now_ms = Date.UTC(today.getUTCFullYear(), today.getUTCMonth() + 1, 25);
const at = (i, minute) => new Date(Date.UTC(today.getUTCFullYear(), today.getUTCMonth() + 1, 1) + i * 60000 + minute * 1000).toISOString();

// --- what one person sends ------------------------------------------------------------------------------------------

const segment_events = (i, w = word(i)) => [
  { type: 'track', messageId: `${w}-1`, anonymousId: `${w}-web`, event: `Viewed ${w}`, timestamp: at(i, 0),
    properties: { title: `鞋 ${w}`, list: [`${w}`, { deep: `${w}` }] },
    context: { userAgent: `Agent ${w}`, page: { url: `https://shop.cn/?q=${w}` }, campaign: { name: `${w} campaign` } } },
  { type: 'identify', messageId: `${w}-2`, anonymousId: `${w}-web`, userId: `${w}-user`, timestamp: at(i, 1),
    traits: { email: `${w}@Example.cn`, phone: phone(i), name: `李 ${w}`, address: { street: `${w} road` } } },
  { type: 'page', messageId: `${w}-3`, userId: `${w}-user`, name: `Page ${w}`, timestamp: at(i, 2), properties: { path: `/${w}` } },
  { type: 'group', messageId: `${w}-4`, userId: `${w}-user`, groupId: `${w}-group`, timestamp: at(i, 3) },
  { type: 'alias', messageId: `${w}-5`, previousId: `${w}-app`, userId: `${w}-user`, timestamp: at(i, 4) },
];

const own_events = (i, w = word(i)) => [
  { type: 'track', name: 'Order Completed', message_id: `${w}-6`, time: at(i, 5), channel: 'pos',
    identifiers: { user_id: `${w}-user`, member_no: `${w}-card`, device_id: `${w}-till`, openid: `${w}-openid`, unionid: `${w}-union` },
    properties: { order_id: `${w}-order`, revenue: 12.5, currency: 'CNY', products: [{ sku: `${w}-sku`, name: `${w} shoe` }] },
    context: { note: `${w}` } },
  { type: 'bind', message_id: `${w}-7`, time: at(i, 6), identifiers: { member_no: `${w}-card`, email: `${w}.two@example.cn` } },
  { type: 'profile', operation: 'append', message_id: `${w}-8`, time: at(i, 7), identifiers: { member_no: `${w}-card` },
    properties: { interests: [`${w} running`] } },
];

const sensors_events = (i, w = word(i)) => [
  { type: 'track', event: 'SensorsView', distinct_id: `${w}-user`, time: Date.parse(at(i, 8)), anonymous_id: `${w}-cookie`,
    login_id: `${w}-user`, identities: { $identity_login_id: `${w}-user`, $identity_cookie_id: `${w}-cookie` },
    lib: { $lib: 'js', $lib_version: '1.27' }, properties: { $title: `${w} title`, $url: `https://shop.cn/${w}` } },
];

// Each in a way of its own wrong; the raw bytes are kept.
const bad_own = (i, w = word(i)) => [
  { type: 'nonsense', message_id: `${w}-b1`, identifiers: { email: `${w}@EXAMPLE.CN` }, properties: { k: w } },
  { type: 'track', name: 'Future', message_id: `${w}-b2`, time: '2199-01-01T00:00:00Z', identifiers: { user_id: `${w}-user` },
    properties: { k: w } }, // taken by the door, refused by the fold
  { type: 'identify', message_id: `${w}-b3`, time: 'no time', identifiers: { phone: local_phone(i) }, traits: { name: w } },
];
const bad_line = (i, w = word(i)) => // escaped, so that the identifier does not stand there as such
  `{"type":"nonsense","message_id":"${w}-b4","identifiers":{"user_id":"${[...`${w}-user`]
    .map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')}"}}\n`;
const bad_segment = (i, w = word(i)) => Buffer.from(
  `{"batch":[{"type":"track","event":"Broken \xff","messageId":"${w}-b5","userId":"${w}-user","properties":{"k":"${w}"}}]}`, 'latin1');
const sensors_json = (i, w = word(i)) => Buffer.from(JSON.stringify([{ type: 'track', event: 'Cut', distinct_id: `${w}-cookie`,
  properties: { a: 'x'.repeat(2000), k: w, b: `${w}`.repeat(20) } }]));
const bad_base64 = (i) => `${sensors_json(i).toString('base64')}!!`;
const bad_gzip = (i) => gzipSync(sensors_json(i)).subarray(0, -20).toString('base64');

async function must(name, promise) {
  const answer = await promise;
  story.check(name, answer.code === 200, `${answer.code} ${answer.text}`);
  return answer;
}

const hundreds = Array.from({ length: people / 100 }, (_, h) => Array.from({ length: 100 }, (_, i) => h * 100 + i + 1));

async function send_all(server, key, persons) {
  const write = { authorization: `Basic ${Buffer.from(`${key}:`).toString('base64')}` };
  const form = { 'content-type': 'application/x-www-form-urlencoded' };
  const sensors = (data) => server.ask('POST', `/sa?token=${key}`, data, form);
  for (const some of persons) {
    await must('Segment batch', server.ask('POST', '/v1/batch', { batch: some.flatMap((i) => segment_events(i)) }, write));
    await must('own batch', server.ask('POST', '/api/v1/batch', { events: some.flatMap((i) => own_events(i)) }));
    await must('神策 batch', sensors(`data_list=${encodeURIComponent(Buffer.from(
      JSON.stringify(some.flatMap((i) => sensors_events(i)))).toString('base64'))}`));
  }
  const all = persons.flat();
  await must('a second time', server.ask('POST', '/v1/batch', { batch: all.map((i) => segment_events(i)[0]) }, write));
  await must('bad events', server.ask('POST', '/api/v1/batch', { events: all.slice(0, 800).flatMap((i) => bad_own(i)) }));
  await must('bad events', server.ask('POST', '/api/v1/batch', { events: all.slice(800).flatMap((i) => bad_own(i)) }));
  await must('bad lines', server.ask('POST', '/api/v1/batch', all.map((i) => bad_line(i)).join('')));
  await each(all, 16, async (i) => {
    const answer = await fetch(`${server.url}/v1/batch`, { method: 'POST', headers: write, body: bad_segment(i) });
    await answer.text();
    await sensors(`data_list=${encodeURIComponent(bad_base64(i))}`);
    await sensors(`gzip=1&data_list=${encodeURIComponent(bad_gzip(i))}`);
  });
}

// A file of orders, one line per person.
const work = mkdtempSync(join(process.env.TMPDIR ?? tmpdir(), 'hezou-erase-'));
writeFileSync(join(work, 'orders.csv'), ['No,Card,Day,Total,Note',
  ...hundreds.flat().map((i) => `${word(i)}-csv,${word(i)}-card,${at(i, 9)},10,${word(i)} note`)].join('\n'));
writeFileSync(join(work, 'mapping.json'), JSON.stringify({ version: 1, name: 'orders', key: ['No'],
  event: [{ name: 'Order Completed' }], time: { column: 'Day', zone_offset_s: 0 }, identifiers: { member_no: 'Card' },
  properties: { order_id: 'No', note: 'Note' } }));
const import_file = (server) => command(server, 'import', join(work, 'orders.csv'), '--mapping', join(work, 'mapping.json'));

// --- what is known --------------------------------------------------------------------------------------------------

const events_each = async (server) => new Map(await server.sql(
  `SELECT regexp_extract(concat(message_id, properties), 'zq[0-9]{4}x[0-9a-f]{10}') AS word, count(*) FROM events GROUP BY 1`,
  await journal_end(server)));
const quarantined = async (server) => Number((await server.sql(
  `SELECT count(*) FROM records WHERE verdict = 'quarantined'`, await journal_end(server)))[0][0]);
const profile = (server, i) => server.ask('GET', `/api/v1/profiles/member_no:${word(i)}-card`);
const others = hundreds.flat().filter((i) => i !== victim);

const all_profiles = async (server) => new Map(await each(others, 16, async (i) => [i, (await profile(server, i)).text]));

async function others_are_whole(server, when, events_before, profiles_before) {
  const now = await events_each(server);
  story.check(`${when}: nobody else's events are missing`,
    others.every((i) => now.get(word(i)) === events_before.get(word(i))));
  const profiles = await all_profiles(server);
  const changed = others.filter((i) => profiles.get(i) !== profiles_before.get(i));
  story.check(`${when}: everybody else's profile is as before`, changed.length === 0,
    `${changed.length} changed: ${profiles_before.get(changed[0])} ${profiles.get(changed[0])}`);
}

async function victim_is_gone(server, when) {
  const now = await events_each(server);
  story.is(`${when}: no event of theirs`, now.get(word(victim)) ?? 0, 0);
  for (const [type, tail] of [['user_id', 'user'], ['member_no', 'card'], ['anonymous_id', 'web'], ['anonymous_id', 'cookie'],
    ['openid', 'openid'], ['device_id', 'till']])
    story.is(`${when}: ${type} is unknown`, (await server.ask('GET', `/api/v1/profiles/${type}:${word(victim)}-${tail}`)).code, 404);
  story.is(`${when}: phone is unknown`, (await server.ask('GET', `/api/v1/profiles/phone:${phone(victim)}`)).code, 404);
  const rows = await server.sql(`SELECT count(*) FROM people WHERE identifiers::VARCHAR LIKE '%${word(victim)}%' OR traits::VARCHAR LIKE '%${word(victim)}%'`);
  story.is(`${when}: not among people`, Number(rows[0][0]), 0);
}

function bytes_are_gone(server, when) {
  const { hits, files, first } = scan(server.data, [word(victim), phone(victim)]);
  story.check(`${when}: no byte of theirs in the data directory`, hits === 0, `${hits} hits: ${JSON.stringify(files)}: ${first}`);
}

// --- the story ------------------------------------------------------------------------------------------------------

const server = new Server();
async function start() {
  await server.start(['--clock=virtual']);
  await server.must('POST', '/test/clock', { now: new Date(now_ms).toISOString() });
}

await start();
const { key } = await server.must('POST', '/api/v1/sources', { name: 'shop', channel: 'web' });
await send_all(server, key, hundreds);
await server.stop(); // flushed, and the first flush of a directory makes a snapshot
now_ms += 12 * day_ms; // next month's rows stand in a file of their own
await start();
const imported = await import_file(server);
story.check('the file is imported', imported.code === 0, imported.err);
await server.must('POST', `/api/v1/exports?after=${await journal_end(server)}`, {});
await server.stop();

const before_bytes = scan(server.data, [word(victim), phone(victim)]);
const found_in = (part) => Object.keys(before_bytes.files).some((path) => path.startsWith(join(server.data, part)));
for (const part of ['journal', 'state.db', 'snapshot', 'warehouse'])
  story.check(`before: the scanner finds them in ${part}`, found_in(part), JSON.stringify(before_bytes.files));
story.check('before: there is an export', readdirSync(join(server.data, 'export')).length > 0);

await start();
const events_before = await events_each(server);
const quarantined_before = await quarantined(server);
const profiles_before = await all_profiles(server);
story.is('before: events of the one', events_before.get(word(victim)), 10);
story.check('before: everybody has as many', others.every((i) => events_before.get(word(i)) === 10));
story.check('before: the one is one person', JSON.parse((await profile(server, victim)).text).identifiers.length === 11,
  (await profile(server, victim)).text);

const refused = await command(server, 'erase', `user_id:${word(victim)}-user`);
story.check('without --yes nothing happens', refused.code !== 0 && (await profile(server, victim)).code === 200, refused.out + refused.err);
story.check('before: their rows stand in two months', readdirSync(join(server.data, 'warehouse')).filter((f) => f.endsWith('.duckdb')).length >= 2);

// Meanwhile others go on, and an SDK sends the person's own events again and again.
let busy = true, meanwhile = 0;
const write = { authorization: `Basic ${Buffer.from(`${key}:`).toString('base64')}` };
const retrying = (async () => {
  while (busy) {
    await server.ask('POST', '/v1/batch', { batch: segment_events(victim) }, write);
    await server.ask('POST', '/v1/track', { event: 'Meanwhile', messageId: `meanwhile-${meanwhile}`, userId: `meanwhile-${meanwhile++}` }, write);
  }
})();
const erased = await command(server, 'erase', `user_id:${word(victim)}-user`, '--yes');
busy = false;
await retrying;
story.check('hezou erase --yes', erased.code === 0, erased.out + erased.err);
story.is('what others sent meanwhile is there', Number((await server.sql(`SELECT count(*) FROM events WHERE name = 'Meanwhile'`, await journal_end(server)))[0][0]), meanwhile);
await victim_is_gone(server, 'erased');
await others_are_whole(server, 'erased', events_before, profiles_before);
story.is('erased: seven quarantined records went', quarantined_before - await quarantined(server), 7);
story.check('erased: the export is gone', !existsSync(join(server.data, 'export')) || readdirSync(join(server.data, 'export')).length === 0);
const ledger = (await server.must('GET', '/api/v1/erasures')).erasures;
story.check('the ledger says that it was done, without a word about whom', ledger.length === 1 && ledger[0].state === 'done' &&
  ledger[0].identifiers === 11 && ledger[0].records >= 18 && !JSON.stringify(ledger).includes(word(victim)), JSON.stringify(ledger));
story.is('a second erase finds nobody', (await command(server, 'erase', `user_id:${word(victim)}-user`, '--yes')).code !== 0, true);
await server.stop();
bytes_are_gone(server, 'erased');
const other = scan(server.data, [word(victim + 1), phone(victim + 1)]);
story.check('the next person is in journal and state as before', Object.keys(other.files).length >= 3, JSON.stringify(other.files));

// Nothing brings them back: a restart, an SDK's retry, the same file again, a state that is built anew.
await start();
await send_all(server, key, [hundreds.flat().filter((i) => i >= victim - 2 && i <= victim + 2)]);
const again = await import_file(server);
story.check('the same file again', again.code === 0, again.err);
await victim_is_gone(server, 'sent again');
await others_are_whole(server, 'sent again', events_before, profiles_before);
await server.stop();
bytes_are_gone(server, 'sent again');

for (const name of ['state.db', 'state.db-wal', 'state.db-shm']) rmSync(join(server.data, name), { force: true });
await start();
await victim_is_gone(server, 'state.db from the snapshot');
await others_are_whole(server, 'state.db from the snapshot', events_before, profiles_before);
await server.stop();
for (const name of ['state.db', 'state.db-wal', 'state.db-shm', 'snapshot'])
  rmSync(join(server.data, name), { force: true, recursive: true });
await start();
await send_all(server, key, [hundreds.flat().filter((i) => i >= victim - 2 && i <= victim + 2)]);
await victim_is_gone(server, 'rebuilt from the journal');
await others_are_whole(server, 'rebuilt from the journal', events_before, profiles_before);

// Whoever comes again later is somebody new.
await server.must('POST', '/api/v1/batch', { events: [
  { name: 'Viewed', message_id: 'new-1', identifiers: { user_id: `${word(victim)}-user`, email: 'new@example.cn' } }] });
const fresh = (await server.must('GET', `/api/v1/profiles/user_id:${word(victim)}-user?after=${await journal_end(server)}`));
story.is('a new event starts a new person', [fresh.events_total, fresh.identifiers.length, Object.keys(fresh.traits).length], [1, 2, 0]);
await server.stop();
server.remove();
rmSync(work, { recursive: true, force: true });
story.end();
