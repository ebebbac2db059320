// live_story.mjs - live reports through the API and the command line: numbers against SQL, every number's people, lists and saved
// questions through a merge, an undo and an erase.
import { spawnSync } from 'node:child_process';
import { Server, binary } from '../lib/server.mjs';
import { Story } from '../lib/story.mjs';

const story = new Story('live story');
const server = await new Server().start(['--zone', 'Asia/Shanghai']);
const people = 60;
const event = (i, d) => ({ type: 'track', name: d % 2 ? 'view' : 'order', message_id: `m${i}-${d}`, channel: i % 3 ? 'app' : 'store',
  time: `2026-10-${String(d).padStart(2, '0')}T1${i % 10}:30:00Z`, identifiers: { user_id: `u${i}` },
  properties: { color: i % 5 ? 'red' : 'blue', price: i } });
const events = Array.from({ length: people }, (_, i) => Array.from({ length: 20 }, (_, d) => event(i + 1, d + 1))
  .filter((_, d) => (i + d) % 3)).flat();
events.push({ type: 'track', name: 'order', message_id: 'nobody', channel: 'app', time: '2026-10-03T00:00:00Z', properties: {} });
events.push({ ...events.at(-1), message_id: 'device', identifiers: { anonymous_id: 'd1' } });
const { position } = await server.must('POST', '/api/v1/batch', { events });
const after = `after=${position}`;
const span = { from: '2026-10-01', to: '2026-10-31' };
const ask = (name, question, query = after) => server.ask('POST', `/api/v1/reports/${name}?${query}`, { ...span, ...question });
const open_cell = (cell, query = '') => server.must('GET', `/api/v1/reports/people?cell=${cell}${query}`);
const total = async (cell) => (await open_cell(cell)).total;
const command = (...args) => spawnSync(binary, ['report', ...args, '--data', server.data, '--lang', 'en'], { encoding: 'utf8' });

// Numbers against SQL.
const trend = (await ask('trend', { event: { event: 'order', where: [{ property: 'color', value: 'red' }] },
  breakdown: { by: 'channel' }, where: [{ property: 'price', op: '>', value: 7 }] })).json;
const rows = await server.sql(`SELECT strftime(time + INTERVAL 8 HOUR, '%Y-%m-%d'), channel, count(*), count(DISTINCT person)
  FROM events WHERE name = 'order' AND json_extract_string(properties, '$.color') = 'red' AND CAST(json_extract_string(properties, '$.price') AS INT) > 7 GROUP BY ALL`, position);
const sql = new Map(rows.map(([day, channel, count, who]) => [`${day} ${channel}`, `${count} ${who}`]));
const live = new Map(trend.rows.filter((row) => row.count > 0).map((row) => [`${row.time} ${row.breakdown}`, `${row.count} ${row.people}`]));
story.check('a trend is what SQL says', sql.size > 10 && live.size === sql.size && [...sql].every(([k, v]) => live.get(k) === v),
  `${JSON.stringify([...sql].slice(0, 3))} ${JSON.stringify([...live].slice(0, 3))}`);
let cells_right = true;
for (const row of trend.rows.filter((row) => row.people > 0).slice(0, 12)) cells_right &&= (await total(row.cell)) === row.people;
story.check('a cell opens as many people as its number says', cells_right);
const all = (await ask('trend', { event: 'order', unit: 'month' })).json;
const known = Number((await server.sql(`SELECT count(DISTINCT person) FROM events WHERE name = 'order' AND person <> 0`, position))[0][0]);
story.check('nobody is counted and is no person', all.totals[0].people === known &&
  all.totals[0].count === events.filter((e) => e.name === 'order').length);
for (const [name, question] of [['lifecycle', { unit: 'week' }], ['stickiness', {}]]) {
  const answer = await ask(name, question);
  story.check(`${name} answers`, answer.code === 200 && answer.json.rows.length > 0 && answer.json.as_of !== undefined, answer.text);
}

// Patterns against SQL, which reads each person's events as letters.
const sequence = { steps: ['view', 'order'], pattern: '(?1).*(?2)', breakdown: { by: 'channel' } };
const pattern = (await ask('sequence', sequence)).json;
const [matching, matches, entered] = (await server.sql(`SELECT count(*) FILTER (n > 0), sum(n)::INT, count(*) FILTER (contains(x, 'v')) FROM (SELECT x,
  len(regexp_extract_all(x, 'v.*?o')) AS n FROM (SELECT string_agg(name[1], '' ORDER BY time, position) AS x FROM events WHERE person <> 0 AND
  name IN ('view', 'order') GROUP BY person))`, position))[0].map(Number);
story.check('a pattern is what SQL says', matching > 0 && pattern.people_matching === matching && pattern.matches === matches && pattern.entered === entered,
  `${[matching, matches, entered]} ${JSON.stringify(pattern).slice(0, 300)}`);
story.check('its people open', (await total(pattern.cell)) === matching && (await total(pattern.missed_cell)) === entered - matching &&
  (await total(pattern.matching[0].cell)) === pattern.matching[0].people_matching);
const both = (await ask('retention', { conditions: ['view', 'order'] })).json.rows;
story.check('retention by conditions: of those who viewed, who ordered', both[0].people === entered && both[1].people <= entered && both[1].people >= matching &&
  (await total(both[1].cell)) === both[1].people, JSON.stringify(both));
const asked = await server.must('POST', '/api/v1/reports/saved', { name: 'pattern', report: 'sequence', question: { ...span, ...sequence } });
story.check('a pattern is saved and asked again', (await server.must('POST', `/api/v1/reports/saved/${asked.id}/run`)).matches === matches &&
  (await server.ask('DELETE', `/api/v1/reports/saved/${asked.id}`)).code === 200);

// Pages.
const cell = all.totals[0].cell;
const seen = new Set();
for (let page = ''; page !== undefined;) {
  const some = await open_cell(cell, `&limit=7&page=${page}`);
  for (const who of some.people) seen.add(who.person);
  page = some.next;
}
story.check('pages hold everybody once', seen.size === all.totals[0].people, `${seen.size}`);

// Refused.
for (const [what, name, question, code, words] of [
  ['an unknown report', 'trent', {}, 404, 'trend'],
  ['a pattern that is none', 'sequence', { steps: ['view'], pattern: '(?1)(?t5)' }, 400, 'position'],
  ['a pattern of a step too many', 'sequence', { steps: ['view'], pattern: '(?2)' }, 400, 'not given'],
  ['an unknown event', 'trend', { event: 'ordr' }, 404, 'order'],
  ['an unknown property', 'trend', { where: [{ property: 'colr', value: 1 }] }, 404, 'color'],
  ['an unknown channel', 'trend', { where: [{ channel: 'ap' }] }, 404, 'app'],
  ['an unknown member', 'trend', { evnt: 'order' }, 400, 'event'],
  ['an empty window', 'trend', { from: '2026-10-02', to: '2026-10-01' }, 400, 'empty'],
  ['a hundred years of hours', 'trend', { from: '2000-01-01', to: '2100-01-01', unit: 'hour' }, 400, 'periods'],
  ['a zone of nowhere', 'trend', { zone: 'Mars' }, 400, 'zone'],
]) {
  const answer = await ask(name, question);
  story.check(`${what} is refused in words`, answer.code === code && answer.text.includes(words), `${answer.code} ${answer.text}`);
}
story.check('a broken cell is refused', (await server.ask('GET', `/api/v1/reports/people?cell=${cell.slice(3)}`)).code === 400);

// Lists and saved questions.
const list = await server.ask('POST', '/api/v1/lists', { name: '十月下单', cell });
story.check('a list is made of a cell', list.code === 201 && list.json.people === known, list.text);
story.check('a name is given once', (await server.ask('POST', '/api/v1/lists', { name: '十月下单', cell })).code === 409);
const members = () => server.must('GET', `/api/v1/lists/${list.json.list}/people?limit=1000`);
const save = (name, value) => server.ask('POST', '/api/v1/reports/saved',
  { name, report: 'trend', question: { ...span, event: 'order', where: [{ property: 'color', op: '!=', value }] } });
const kept = await save('kept', 'green'), named = await save('names somebody', 'u4');
story.check('questions are saved', kept.code === 201 && named.code === 201, kept.text);
story.check('a saved question is asked', (await server.must('POST', `/api/v1/reports/saved/${kept.json.id}/run`)).totals[0].people === known);
story.check('a saved name is given once', (await save('kept', 'x')).code === 409);

const merged = await server.must('POST', '/api/v1/batch', { events: [{ type: 'bind', message_id: 'b1', time: '2026-10-30T00:00:00Z',
  identifiers: { user_id: 'u1', member_no: 'card' } }, { type: 'bind', message_id: 'b2', time: '2026-10-30T00:00:01Z',
  identifiers: { anonymous_id: 'd1', member_no: 'card' } }, { type: 'bind', message_id: 'b3', time: '2026-10-30T00:00:01Z',
  identifiers: { user_id: 'u1', email: 'one@example.cn' } }] });
const person = async (id) => (await server.must('GET', `/api/v1/profiles/${id}?after=${merged.position}`)).person;
const are_one = (await person('user_id:u1')) === (await person('anonymous_id:d1'));
await server.sql('SELECT 1', merged.position);
const sql_people = async () => Number((await server.sql(`SELECT count(DISTINCT person) FROM events WHERE name = 'order' AND person <> 0`,
  merged.position))[0][0]);
story.check('a list follows a merge', are_one && (await members()).total === known - 1 && (await sql_people()) === known - 1, `${(await members()).total}`);
story.check('a cell follows a merge', (await total(cell)) === (await sql_people()));

// An undo of a merge that was before the list: both are on it. Who gets the card that tied them is not.
const link = (type, message_id, identifiers) => ({ type, message_id, time: `2026-10-30T00:00:0${message_id.slice(1)}Z`, identifiers });
const late = await server.ask('POST', `/api/v1/lists?after=${merged.position}`, { name: 'after the merge', cell });
const undone = await server.must('POST', '/api/v1/batch', { events: [link('unbind', 'b4', { anonymous_id: 'd1', member_no: 'card' }),
  link('unbind', 'b5', { user_id: 'u1', member_no: 'card' }), link('bind', 'b6', { user_id: 'stranger', member_no: 'card' })] });
const now_of = async (id) => (await server.must('GET', `/api/v1/profiles/${id}?after=${undone.position}`)).person;
const [u1, d1, stranger, card] = await Promise.all(['user_id:u1', 'anonymous_id:d1', 'user_id:stranger', 'member_no:card'].map(now_of));
await server.sql('SELECT 1', undone.position);
story.check('a merge is undone and its card is a stranger\'s', new Set([u1, d1, stranger]).size === 3 && card === stranger);
for (const [what, id, people] of [['before', list.json.list, known], ['after', late.json.list, known - 1]]) {
  const on = await server.must('GET', `/api/v1/lists/${id}/people?limit=1000`);
  const has = (who) => on.people.some((one) => one.person === who);
  const counted = (await server.must('GET', '/api/v1/lists')).lists.find((one) => one.list === id).people;
  story.check(`a list made ${what} a merge has both after its undo`, on.total === known && has(u1) && has(d1) && !has(stranger) &&
    counted === people, `${on.total} of ${known}, ${counted} then`);
}

const before = await members();
const gone = before.people.find((who) => who.identifier === 'user_id:u4');
const erased = await server.ask('POST', '/api/v1/erasures', { identifier: 'user_id:u4' });
const now = await members();
story.check('the erased was on the list', gone !== undefined && erased.code === 200, erased.text);
story.check('an erased person is on no list', now.total === before.total - 1 && !now.people.some((who) => who.person === gone.person));
story.check('and in no number', (await total(cell)) === now.total);
const saved = (await server.must('GET', '/api/v1/reports/saved')).reports.map((one) => one.name);
story.check('a question that names the erased is gone, others stay', saved.join() === 'kept', saved.join());

// The command line.
const shown = command('trend', '--event', 'order where price>=10 and color=red', '--unit', 'week', '--breakdown', 'channel',
  '--from', '2026-10-01', '--to', '2026-10-31');
story.check('the terminal shows bars and a line over time', shown.status === 0 && /▇/.test(shown.stdout) && /over time/.test(shown.stdout) &&
  !/eyJ/.test(shown.stdout), shown.stdout + shown.stderr);
const json = JSON.parse(command('trend', '--event', 'order', '--question', JSON.stringify({ ...span, unit: 'month' }), '--json').stdout);
story.check('--question and options make one question', json.totals[0].people === now.total);
const told = command('sequence', '--step', 'view', '--step', 'order where price>=10', '--pattern', '(?1)(?t<=172800)(?2)', '--examples', '2',
  '--from', '2026-10-01', '--to', '2026-10-31');
story.check('a pattern has a picture and examples', told.status === 0 && /people with a match/.test(told.stdout) && /▇/.test(told.stdout) &&
  /Examples[^]*2026-10-\d\dT\d\d:/.test(told.stdout) && !/eyJ/.test(told.stdout), told.stdout + told.stderr);
const kinds = command('retention', '--step', 'view', '--step', 'order', '--from', '2026-10-01', '--to', '2026-10-31', '--json');
story.check('--step of retention are conditions', kinds.status === 0 && JSON.parse(kinds.stdout).rows.length === 2, kinds.stdout + kinds.stderr);
story.check('--people opens a cell', /people in all/.test(command('trend', '--people', json.totals[0].cell, '--limit', '3').stdout));
story.check('a typing error is exit code 3 with a hint', (({ status, stderr }) => status === 3 && /order/.test(stderr))(command('trend', '--event', 'ordr')));

// A restart keeps what was decided.
await server.stop();
await server.start(['--zone', 'Asia/Shanghai']);
story.check('lists and questions survive a restart', (await server.must('GET', '/api/v1/lists')).lists.length === 2 &&
  (await server.must('GET', '/api/v1/reports/saved')).reports.length === 1);
story.check('a list goes', (await server.ask('DELETE', `/api/v1/lists/${list.json.list}`)).code === 200 &&
  (await server.ask('DELETE', `/api/v1/lists/${list.json.list}`)).code === 404);
story.check('a saved question goes', (await server.ask('DELETE', `/api/v1/reports/saved/${kept.json.id}`)).code === 200 &&
  (await server.ask('GET', `/api/v1/reports/saved/${kept.json.id}`)).code === 404);
await server.stop();
server.remove();
story.end();
