// live_sequence.mjs - the pattern and retention cases of ClickHouse's own tests (00222, 00688, 00938 …) as live reports: each case's
// events through the door of a running server, then the question through the API.
//
// A history is a person of its own (of retention: people), told apart by a property in "where"; times are seconds after a day in the
// past. Each case is asked twice: with its conditions as conditions on any event ("*" where data = 1), and as names of events, which
// is the way of the posting lists and of the search for codes. A name that no event of the case has belongs to somebody else.
// Further cases of our own: equal times, where the journal's order decides, and the people behind each number.
import { Golden, binary, data_text, rows_of } from './lib.mjs';

process.env.HEZOU = binary;
const { Server } = await import('../lib/server.mjs');
const { journal_end } = await import('../lib/story.mjs');

const base = Math.floor(Date.now() / 86400000) * 86400 - 60 * 86400;
const iso = (seconds) => new Date(seconds * 1000).toISOString();
const window = { from: iso(base), to: iso(base + 59 * 86400) };
const batch = [];
const track = (event, userId, time, properties) => batch.push({
  type: 'track', event, userId, messageId: `m-${batch.length}`, timestamp: iso(base + time), properties,
});

// --- the cases -----------------------------------------------------------------------------------

const histories = new Map(); // text of a history → its number
const history_of = (text) => {
  if (!histories.has(text)) {
    histories.set(text, histories.size);
    for (const event of text.split(',')) {
      const [time, data] = event.split(':');
      track(`data ${data}`, `history-${histories.get(text)}`, Number(time), { history: histories.get(text), data: Number(data) });
    }
  }
  return histories.get(text);
};
const patterns = rows_of(data_text('funnel/cases_sequence.tsv'), '\t').map((row) => ({
  ...row, history: history_of(row['events(time:data)']), data: row.conditions.split(', ').map((condition) => Number(condition.split('=')[1])),
}));
for (const data of new Set(patterns.flatMap((one) => one.data))) track(`data ${data}`, 'somebody else', 0, { data });

// "day6: uid 0..79; day7: uid 0..49" as rows [uid, day].
const visits = (setup) => [...setup.matchAll(/day(\d): uid (\d+)\.\.(\d+)/g)]
  .flatMap(([, day, first, last]) => Array.from({ length: Number(last) - first + 1 }, (_, i) => [Number(first) + i, day]));
let setup = '';
const retentions = rows_of(data_text('funnel/cases_retention.tsv'), '\t').map((row) => {
  if (row.setup !== 'same') {
    setup = row.setup;
    for (const [uid, day] of visits(setup)) track(`day${day}`, `${row.source}-${uid}`, day * 86400, { setup: row.source, uid, day: `day${day}`, even: Number(uid % 2 === 0) });
  }
  return { ...row, conditions: row.conditions.split(';') };
});

// Two events of one second, in the journal's order: b, a. And the same times with microseconds that say otherwise.
track('tie b', 'tie', 7, { tie: 1 });
track('tie a', 'tie', 7, { tie: 1 });
track('tie b', 'fraction', 9.002, { tie: 2 });
track('tie a', 'fraction', 9.001, { tie: 2 });

// --- through the door ----------------------------------------------------------------------------

const golden = new Golden('live sequence');
const server = await new Server().start();
const equal = (property, value) => [{ property, op: '=', value }];
const any = (property, value) => ({ event: '*', where: equal(property, value) });
try {
  const { key } = await server.must('POST', '/api/v1/sources', { name: 'cases', channel: 'web' });
  const write = { authorization: `Basic ${Buffer.from(`${key}:`).toString('base64')}` };
  for (let at = 0; at < batch.length; at += 100) {
    const answer = await server.ask('POST', '/v1/batch', { batch: batch.slice(at, at + 100) }, write);
    if (answer.code !== 200) throw new Error(`${answer.code} ${answer.text}`);
  }
  const token = await journal_end(server);
  const ask = (name, question) => server.must('POST', `/api/v1/reports/${name}?after=${encodeURIComponent(token)}`, { ...window, ...question });
  const opens = async (cell) => (await server.must('GET', `/api/v1/reports/people?cell=${cell}`)).total;

  const seconds = (text) => Date.parse(text) / 1000 - base;
  const answers = {
    sequenceMatch: (got) => String(got.people_matching),
    sequenceCount: (got) => String(got.matches),
    sequenceMatchEvents: (got) => `[${(got.examples[0]?.times ?? []).map(seconds)}]`,
  };
  for (const { source, function: name, pattern, history, data, expected } of patterns)
    for (const [way, steps] of [['conditions', data.map((value) => any('data', value))], ['names', data.map((value) => `data ${value}`)]]) {
      const got = await ask('sequence', { steps, pattern, examples: 1, where: equal('history', history) });
      golden.same(`${source}: ${name} ${pattern} by ${way}`, answers[name](got), expected);
    }

  const condition = (text, way) => {
    if (text === 'true') return '*';
    if (text === 'uid%2==0') return any('even', 1);
    return way === 'names' ? text : any('day', text);
  };
  for (const { source, conditions, expected } of retentions)
    for (const way of ['conditions', 'names']) {
      const held = async (where) => (await ask('retention', { conditions: conditions.map((one) => condition(one, way)), where: [...equal('setup', source), ...where] }))
        .rows.map((row) => row.people);
      let got = '';
      if (expected.startsWith('sum')) got = `sum=${await held([])}`;
      for (const [name, first, last = first] of expected.matchAll(/uid(\d)(?:\.\.(\d))?=/g)) {
        const each = new Set();
        for (let uid = Number(first); uid <= Number(last); uid++) each.add(`${await held(equal('uid', uid))}`);
        got += `${got && ' '}${name}[${[...each].join(' or ')}]`;
      }
      golden.same(`${source}: ${conditions.join(';')} by ${way}`, got, expected);
    }

  // Equal times stand as the journal has them; the order inside a second is known, distances are whole seconds.
  for (const [pattern, tie, want] of [['(?1).*(?2)', 1, 0], ['(?2).*(?1)', 1, 1], ['(?2)(?t==0)(?1)', 1, 1], ['(?1)(?2)', 2, 1], ['(?1)(?t<1)(?2)', 2, 1]]) {
    const got = await ask('sequence', { steps: ['tie a', 'tie b'], pattern, where: equal('tie', tie) });
    golden.same(`ties: ${pattern}`, got.people_matching, want);
  }

  // Every number opens its people.
  const day = await ask('sequence', { steps: ['day6', 'day8'], pattern: '(?1)(?t<=172800)(?2)', examples: 2, where: equal('setup', '00688') });
  golden.same('people', [day.entered, day.people_matching, day.missed, day.matches], [80, 60, 20, 60]);
  golden.same('their cells', [await opens(day.entered_cell), await opens(day.cell), await opens(day.missed_cell)], [80, 60, 20]);
  golden.same('the steps', day.rows.map(({ people }) => people), [80, 60]);
  golden.same('their cells', [await opens(day.rows[0].cell), await opens(day.rows[1].cell), await opens(day.rows[1].dropped_cell)], [80, 60, 20]);
  golden.same('an example opens one person', [await opens(day.examples[0].cell), await opens(day.examples[1].cell)], [1, 1]);
  const kept = await ask('retention', { conditions: ['day6', 'day7', 'day8'], where: equal('setup', '00688') });
  golden.same('cells of conditions', await Promise.all(kept.rows.map(({ cell }) => opens(cell))), [80, 50, 60]);
  await server.stop();
} finally {
  await server.kill();
  server.remove();
}
golden.end(`, ${patterns.length + retentions.length} of them published`);
