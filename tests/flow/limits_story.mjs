// limits_story.mjs - more than the door may hold, and a journal that is full: refused with Retry-After, nothing acknowledged is
// lost, nothing refused is kept, and reading and erasing go on.
import { Server } from '../lib/server.mjs';
import { Story, command, each, journal_end, memory_kb, metrics } from '../lib/story.mjs';

const story = new Story('limits story');
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

// Posts batches under ids of their own and counts what became of each: { stored: [id…], refused: [id…], bad: [answer…] }.
function bookkeeping() {
  return { stored: [], refused: [], bad: [], retry_after: 0 };
}

async function batch(server, book, prefix, events, bytes, person) {
  const ids = Array.from({ length: events }, (_, i) => `${prefix}-${i}`);
  const answer = await server.ask('POST', '/api/v1/batch', { events: ids.map((id) => ({
    name: 'Held', message_id: id, identifiers: { user_id: person ?? id }, properties: { pad: 'x'.repeat(bytes) } })) });
  if (answer.code === 200 && answer.json.results.every((r) => r.status === 'stored' || r.status === 'duplicate')) book.stored.push(...ids);
  else if (answer.code === 503) book.refused.push(...ids);
  else book.bad.push(`${answer.code} ${answer.text.slice(0, 200)}`);
  if (answer.code === 503 && Number(answer.headers.get('retry-after')) >= 1) book.retry_after++;
  return answer.code;
}

// By SQL: every acknowledged event once, no other at all.
async function exactly_once(server, name, book) {
  const acknowledged = new Set(book.stored);
  const rows = await server.sql(`SELECT message_id, count(*) FROM events WHERE name = 'Held' GROUP BY 1`, await journal_end(server));
  const got = new Map(rows.map(([id, n]) => [id, Number(n)]));
  story.check(`${name}: everything acknowledged is stored exactly once`, [...acknowledged].every((id) => got.get(id) === 1),
    `${[...acknowledged].filter((id) => got.get(id) !== 1).slice(0, 3)} of ${acknowledged.size}`);
  story.check(`${name}: and nothing else`, got.size === acknowledged.size, `${got.size} stored, ${acknowledged.size} acknowledged`);
}

// --- too many at the same time --------------------------------------------------------------------------------------

let server = await new Server().start(['--inflight-kb', '32']); // a batch and a half: also where a sanitizer slows the door
const crowd = bookkeeping();
const patience = performance.now() + 120e3;
await each(Array.from({ length: 256 }, (_, w) => w), 256, async (w) => {
  for (let i = 0; i < 3; i++)
    while (await batch(server, crowd, `w${w}-${i}`, 10, 2000) === 503 && performance.now() < patience) await pause(50 + w % 100); // sooner than it was asked to
});
story.check('256 writers: some are refused', crowd.refused.length > 0, `${crowd.stored.length} stored`);
story.check('each with Retry-After', crowd.retry_after === crowd.refused.length / 10, `${crowd.retry_after} of ${crowd.refused.length / 10}`);
story.is('and all who ask again are taken', crowd.stored.length, 256 * 3 * 10);
story.is('no other answer', crowd.bad.slice(0, 3), []);
await exactly_once(server, 'in flight', crowd);
story.is('nothing is in flight any more', [(await metrics(server)).hezou_journal_inflight_bytes, (await metrics(server)).hezou_http_inflight_bytes], [0, 0]);
// Refused for ever it would never get in; when nothing else waits it is taken, and whole.
const huge = bookkeeping();
story.is('a batch larger than the whole limit is taken when nothing else is in flight',
  [await batch(server, huge, 'huge', 100, 20000), huge.stored.length], [200, 100]);
crowd.stored.push(...huge.stored);
await exactly_once(server, 'larger than the limit', crowd);
await server.stop();
server.remove();

// --- a journal that is full -----------------------------------------------------------------------------------------

const small = ['--journal-mb', '4', '--segment-mb', '1'];
server = await new Server().start(small);
const full = bookkeeping();
for (let i = 0; i < 200 && full.refused.length === 0; i++) await batch(server, full, `b${i}`, 20, 2000, `person-${i}`);
story.check('a journal at its limit refuses', full.refused.length === 20 && full.retry_after === 1, `${full.stored.length} stored`);
story.check('but not before', full.stored.length * 2000 > 3 << 20, `${full.stored.length} events stored`);
story.is('no other answer', full.bad, []);
await exactly_once(server, 'full', full);
story.is('a profile is read', (await server.must('GET', '/api/v1/profiles/user_id:person-1')).events_total, 20);
story.is('a report is read', (await server.ask('GET', '/api/v1/reports/overview')).code, 200);
story.is('what is known already is still answered', await batch(server, bookkeeping(), 'b1', 20, 2000, 'person-1'), 200);
const erased = await command(server, 'erase', 'user_id:person-2', '--yes');
story.check('a person is erased', erased.code === 0, erased.err);
story.is('and is gone', (await server.ask('GET', '/api/v1/profiles/user_id:person-2')).code, 404);
full.stored = full.stored.filter((id) => !id.startsWith('b2-'));
await exactly_once(server, 'erased', full);
story.is('still refused', await batch(server, full, 'later', 20, 2000), 503);
await server.kill();
await server.start(small);
story.is('still refused after a crash', await batch(server, full, 'later', 20, 2000), 503);
await exactly_once(server, 'after a crash', full);
await server.stop();
await server.start(['--journal-mb', '64', '--segment-mb', '1']);
story.is('with more room it goes on', await batch(server, full, 'later', 20, 2000), 200);
await exactly_once(server, 'with more room', full);
story.check('memory is bounded', memory_kb(server) < 800 << 10, `${memory_kb(server) >> 10} MB`);
await server.stop();
server.remove();
story.end();
