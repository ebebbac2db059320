// audit_story.mjs - who did what is there, whatever ends the server; nobody who was erased is findable in it; and whoever
// changes it afterwards is found out.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Server } from '../lib/server.mjs';
import { Story, command, each, journal_end, metrics } from '../lib/story.mjs';
import { scan } from '../lib/scan.mjs';

const story = new Story('audit story');
const server = new Server();
await server.start(['--clock=virtual']);
const bearer = (k) => ({ authorization: `Bearer ${k}` });
const made = async (label, scopes) => (await server.must('POST', '/api/v1/keys', { label, scopes }));
const reader = await made('bi', 'read');
const owner_id = (await server.must('GET', '/api/v1/keys')).keys.find((k) => k.label === 'owner').id;

// All records that pass a filter, page by page.
async function records(filter = {}) {
  const all = [];
  for (let page; ;) {
    const query = new URLSearchParams({ limit: 50, ...filter, ...(page ? { page } : {}) });
    const answer = await server.must('GET', `/api/v1/audit?${query}`);
    all.push(...answer.records);
    if (answer.next === undefined) return all;
    page = answer.next;
  }
}
const newest = async (filter) => (await records(filter))[0];
const of = (route, kind) => ({ route: `/api/v1/${route}`, ...(kind ? { kind } : {}) });

// --- every audited route, from the table that the server is made of ---------------------------------------------------

const rooms = [...readFileSync(new URL('../../src/api/routes.def', import.meta.url), 'utf8')
  .matchAll(/^X\("(\w+)",\s*"([^"]+)",\s*\w+,\s*([\w |]+?),\s*(\w+),/gm)].map(([, method, path, scope, audit]) => ({ method, path, scope, audit }));
const audited = rooms.filter((row) => row.audit !== 'AUDIT_NONE');
story.check('the table of routes is read', audited.length >= 15 && rooms.some((row) => row.audit === 'AUDIT_NONE'), `${audited.length}`);
const harmless = (path) => path.replace('{id}', 'user_id:nobody').replace('{position}', '0:1').replace('{name}', 'nothing');
for (const row of audited) {
  const name = `${row.method} ${row.path}`;
  const body = row.method === 'POST' ? '{}' : undefined;
  const { code, headers } = await server.ask(row.method, harmless(row.path), body);
  const record = await newest({ route: row.path, kind: row.audit === 'AUDIT_READ' ? 'read' : 'change' });
  story.is(`${name} by the owner`, [record?.key, record?.key_name, record?.method, record?.status], [owner_id, 'owner', row.method, code]);
  if (row.audit === 'AUDIT_WRITE') story.is(`${name}: its record's number`, headers.get('hezou-audit'), `${record?.id}`);
  await server.ask(row.method, harmless(row.path), body, { authorization: '' });
  const refusal = await newest({ route: row.path, kind: 'refusal' });
  story.is(`${name} by nobody`, [refusal?.key, refusal?.status], [undefined, 401]);
}
for (const row of rooms.filter((r) => r.audit === 'AUDIT_NONE' && r.scope === 'SCOPE_READ')) {
  await server.ask(row.method, harmless(row.path), row.method === 'POST' ? '{}' : undefined);
  story.is(`${row.method} ${row.path} leaves none`, (await records({ route: row.path })).filter((r) => r.method === row.method).length, 0);
}

// --- who, what, whom, with which answer ---------------------------------------------------------------------------------

const canary = 'zqcanary17';
const email = `${canary}@shop.cn`, phone = '+8613987654321';
const { position } = await server.must('POST', '/api/v1/batch', { events: [{ name: 'Viewed', message_id: 'm1',
  identifiers: { user_id: `${canary}-user`, email, phone } }] });
const end = await journal_end(server);
const by_reader = (method, path, body) => server.ask(method, path, body, bearer(reader.key));

const scoped = await made('writer', 'collect');
story.is('a key that was made', [(await newest(of('keys', 'change'))).object, (await newest(of('keys', 'change'))).status], [scoped.id, 201]);
await server.must('DELETE', `/api/v1/keys/${scoped.id}`);
story.is('a key that was revoked', [(await newest(of('keys/{id}', 'change'))).object, (await newest(of('keys/{id}', 'change'))).status], [scoped.id, 200]);
story.is('a key that may not', (await by_reader('POST', '/api/v1/keys', { label: 'x', scopes: 'admin' })).code, 403);
const refused = await newest(of('keys', 'refusal'));
story.is('… is named', [refused.key, refused.key_name, refused.status], [reader.id, 'bi', 403]);
const rule = await server.must('POST', '/api/v1/identity/rules', { block: [{ type: 'phone', value: '+8613800000000' }] });
story.is('a rule has its position', (await newest(of('identity/rules'))).position, rule.position);

story.is('a profile is read', (await by_reader('GET', `/api/v1/profiles/email:${email}?after=${end}`)).code, 200);
story.is('the same person by phone', (await by_reader('GET', `/api/v1/profiles/phone:${encodeURIComponent(phone)}`)).code, 200);
story.is('a stranger', (await by_reader('GET', '/api/v1/profiles/email:stranger@shop.cn')).code, 404);
// (Asking the audit log about somebody is a read of its own.)
const profiles = { route: '/api/v1/profiles/{id}' };
const found = await records({ subject: `email:${email.toUpperCase()}`, ...profiles });
story.is('who asked for this identifier', found.map((r) => [r.kind, r.key, r.route, r.status]), [['read', reader.id, '/api/v1/profiles/{id}', 200]]);
story.check('it stands there as a hash', /^[0-9a-f]{32}$/.test(found[0].subject), found[0].subject);
story.is('by another key', (await records({ subject: `email:${email}`, ...profiles, key: owner_id })).length, 0);
story.is('SQL', (await by_reader('POST', '/api/v1/sql', { sql: `SELECT count(*) AS sightings FROM events WHERE name = '${canary}' AND name <> '13987654321' -- ${canary}` })).code, 200);
story.is('is kept without what it asked for', (await newest(of('sql'))).detail, 'SELECT count(*) AS sightings FROM events WHERE name = ? AND name <> ? ?');
story.check('SQL that fails', (await by_reader('POST', '/api/v1/sql', { sql: `SELECT ${canary} FROM events` })).code >= 400);
story.is('is not kept', [(await newest(of('sql'))).detail, (await newest(of('sql'))).status >= 400], [undefined, true]);
await server.must('POST', '/api/v1/exports', { from: '2026-01-01', to: '2026-01-31' });
story.is('an export has its days', (await newest(of('exports'))).object, '2026-01-01..2026-01-31');
await by_reader('GET', `/api/v1/records/${position}`);
story.is('a record has its position', (await newest(of('records/{position}'))).object, position);
for (const path of [`lists/${canary}/people`, 'lists/13987654321/people', `records/${canary}`, `identity/email:${canary}%20x`])
  story.check(`${path}: nothing`, (await by_reader('GET', `/api/v1/${path}`)).code >= 400);
for (const path of [`keys/${canary}`, `keys/${phone}`, 'lists/13987654321'])
  story.check(`DELETE ${path}: nothing`, (await server.ask('DELETE', `/api/v1/${path}`)).code >= 400);

const many = Array.from({ length: 300 }, (_, i) => i);
await each(many, 16, () => by_reader('GET', `/api/v1/profiles/user_id:${canary}-user`));
const often = await records({ subject: `user_id:${canary}-user` });
story.is('equal reads are counted, none is lost', often.reduce((sum, r) => sum + r.times, 0), 300);
story.check('… in few records', often.length < 100, `${often.length}`);

const log = await command(server, 'audit', '--kind', 'change', '--limit', '3');
story.check('hezou audit', log.code === 0 && /^time\s+key\s+kind\s+call\s+about\s+answer\s+times/.test(log.out) && log.out.includes(`owner ${owner_id}`) &&
  log.out.trim().split('\n').length >= 4 && /--page \d+/.test(log.err), log.out + log.err);
const filtered = JSON.parse((await command(server, 'audit', '--json', '--subject', `email:${email}`, '--route', profiles.route)).out);
story.is('hezou audit --subject --json', filtered.records.length, 1);
story.is('a key may only read it with the scope', (await by_reader('GET', '/api/v1/audit')).code, 403);
for (const query of ['kind=x', 'from=x', 'limit=1001', 'page=x', 'subject=x', 'subject=x:y'])
  story.is(`?${query}`, (await server.ask('GET', `/api/v1/audit?${query}`)).code, 400);

// --- somebody is erased ---------------------------------------------------------------------------------------------------

const erased = await server.must('POST', '/api/v1/erasures', { identifier: `email:${email}` });
const erasure = await newest(of('erasures', 'change'));
story.is('an erase is there', [erasure.status, erasure.object, erasure.subject], [200, `${erased.erasure}`, found[0].subject]);
story.is('and who had looked', (await records({ subject: `email:${email}`, ...profiles })).length, 1);
story.is('the metric of what waits', typeof (await metrics(server)).hezou_audit_waiting, 'number');
await server.stop();
const left = scan(server.data, [canary, '13987654321']);
story.check('no byte of theirs is in the data directory', left.hits === 0, `${left.first}`);
const keys = scan(server.data, [reader.key, scoped.key]);
story.check('nor a secret key', keys.hits === 0, `${keys.first}`);

// --- is it whole? -----------------------------------------------------------------------------------------------------------

const whole = await command(server, 'doctor', '--audit');
story.check('hezou doctor --audit, without a server', whole.code === 0 && JSON.parse(whole.out).records > 50, whole.out + whole.err);
const path = join(server.data, 'facts.db');
story.check('all of it is in the file', !existsSync(`${path}-wal`) || readFileSync(`${path}-wal`).length === 0);
const bytes = readFileSync(path), at = bytes.indexOf('sightings');
story.check('a record to change', at > 0);
const changed = Buffer.from(bytes);
changed.write('something', at);
writeFileSync(path, changed);
const broken = await command(server, 'doctor', '--audit');
story.check('a changed record is found', broken.code === 1 && /audit log was changed after it was written: chain "read", at record \d+/.test(broken.err), broken.out + broken.err);
await server.start(['--clock=virtual']);
story.is('by the server, too', (await server.ask('GET', '/api/v1/doctor/audit')).code, 500);
await server.stop();
const now = readFileSync(path);
now.write('sightings', now.indexOf('something'));
writeFileSync(path, now);

// --- kill -9: what was answered is recorded, and nothing was done that is not ---------------------------------------------------

for (let round = 0; round < 5; round++) {
  await server.start(['--clock=virtual']);
  story.is(`round ${round}: it is whole`, (await server.ask('GET', '/api/v1/doctor/audit')).code, 200);
  const answered = [];
  let count = 0, stopped = false;
  const adding = each(many, 8, async (i) => {
    if (stopped) return;
    try {
      const key = await made(`round ${round}, ${i}`, 'read');
      answered.push(key.id);
      if (++count === 20 + 10 * round) {
        stopped = true;
        await server.kill();
      }
    } catch (failure) {
      if (!stopped) throw failure; // the server is gone, and others may have been on their way
    }
  });
  await adding;
  await server.start(['--clock=virtual']);
  const changes = await records(of('keys', 'change'));
  const by_object = new Map(changes.map((r) => [r.object, r]));
  story.check(`round ${round}: every acknowledged change is there with its answer`, answered.every((id) => by_object.get(id)?.status === 201),
    `${answered.filter((id) => by_object.get(id)?.status !== 201)}`);
  const known = (await server.must('GET', '/api/v1/keys')).keys.filter((k) => k.label.startsWith(`round ${round},`));
  const silent = known.filter((k) => !by_object.has(k.id));
  story.check(`round ${round}: what was made and not acknowledged was begun`, silent.length <= changes.filter((r) => r.status === null).length,
    `${silent.length} of ${known.length}`);
  await server.stop();
}

for (const [point, is_made, status] of [['audit_begun', false, null], ['audit_answered', true, 201]]) {
  server.may_end = true;
  await server.start(['--clock=virtual'], { CRASH_AT: point });
  const lost = await made(point, 'read').then(() => false, () => true);
  await server.exited;
  server.may_end = false;
  await server.start(['--clock=virtual']);
  const record = await newest(of('keys', 'change'));
  const is_there = (await server.must('GET', '/api/v1/keys')).keys.some((k) => k.label === point);
  story.is(`${point}: the change, and its record`, [lost, is_there, record.status], [true, is_made, status]);
  await server.stop();
}

// --- it ends, too -----------------------------------------------------------------------------------------------------------

await server.start(['--clock=virtual']);
const before = (await records({ kind: 'change' })).length;
for (let i = 0; i < 2; i++) await server.must('POST', '/test/clock', { advance_ms: 201 * 86400000 });
story.check('after 400 days nobody sees it', before > 100 && (await records({ kind: 'change' })).length === 0, `${before}`);
await server.stop();
server.remove();
const strict = await new Server().start(['--audit-records', '10']);
for (let i = 0; i < 40; i++) await strict.ask('GET', `/api/v1/profiles/user_id:x-${i}`);
await strict.stop();
await strict.start(['--audit-records', '10']); // a start shortens it
let page = await strict.must('GET', '/api/v1/audit?kind=read');
for (let tries = 0; page.records.length > 12 && tries < 600; tries++) page = await strict.must('GET', '/api/v1/audit?kind=read');
story.check('no more reads than allowed, but for the newest', page.records.length <= 12, `${page.records.length}`);
story.is('and what is left is whole', (await strict.ask('GET', '/api/v1/doctor/audit')).code, 200);
await strict.stop();
strict.remove();
story.end();
