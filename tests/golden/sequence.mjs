// sequence.mjs - funnel, sequence and retention against the cases of ClickHouse's own tests (00222, 00632, 00688, 00823, 00938,
// 01646), each as a file of events through the real binary.
//
// A case's conditions become steps `* where event OP VALUE`, so that a label which no event has is a step nobody reached. Times
// are plain numbers as in the tests. One window of theirs (6048000000000000) is longer than a duration can be in microseconds;
// it is given as 9000000000000 s, which its events cannot tell apart.
import { Golden, data_text, file, report, rows_of } from './lib.mjs';

const text = (name) => rows_of(data_text(`funnel/${name}`), '\t');
const WINDOW_MAX = 9e12;

const events = (cell) => cell.split(',').map((event) => {
  const at = event.indexOf(':');
  return `u,${event.slice(0, at)},${event.slice(at + 1)}`;
});
const path_of = (lines, head = 'user_id,time,event') => file('events.csv', `${[head, ...lines].join('\n')}\n`);
const steps = (conditions) => conditions.flatMap((condition) => ['--step', `* where event${condition}`]);

function funnel() {
  const golden = new Golden('funnel');
  for (const row of text('cases_window_funnel.tsv')) {
    const got = report('funnel', '--plain-time', '--events', path_of(events(row['events(time:label)'])),
      '--window', `${Math.min(Number(row.window), WINDOW_MAX)}s`, ...steps(row.steps.split(';')),
      ...(row.modes ? ['--mode', row.modes.replaceAll('+', ',')] : []));
    const level = got.rows.filter((step) => step.people === 1).length;
    golden.near(`${row.source}: ${row.modes} ${row.steps}`, level, Number(row.expected_level), 0);
  }
  golden.end();
  return golden.failed;
}

// What each function of the tests is in the report.
const answers = {
  sequenceMatch: (got) => got.people_matching,
  sequenceCount: (got) => got.matches,
  sequenceMatchEvents: (got) => `[${got.rows[0]?.times ?? []}]`,
};

function sequence() {
  const golden = new Golden('sequence');
  for (const row of text('cases_sequence.tsv')) {
    const got = report('sequence', '--plain-time', '--events', path_of(events(row['events(time:data)'])), '--pattern', row.pattern,
      ...steps(row.conditions.split(', ').map((condition) => condition.replace('data', ''))));
    golden.same(`${row.source}: ${row.function} ${row.pattern}`, String(answers[row.function](got)), row.expected);
  }
  golden.end();
  return golden.failed;
}

// 00823: a million events in one history; trying and going back would take hours.
function long_history() {
  const golden = new Golden('sequence, a million events');
  const lines = Array.from({ length: 1000001 }, (_, i) => `u,${i},${i === 0 ? 'A' : i === 1000000 ? 'C' : 'B'}`);
  const path = path_of([...lines, 'u,100000000000000,D']);
  const started = performance.now();
  for (const [pattern, want] of [['(?1).*(?2).*(?3)', 1], ['(?1).*(?2).*(?1)', 0], ['(?1)(?2).*(?2)(?3)', 1],
    ['(?3)(?t>=10000000000000)(?4)', 1], ['(?1)(?t<=5)(?2).*(?t>=10)(?2)(?3)(?t<10000000000000)(?4)', 0]]) {
    const got = report('sequence', '--plain-time', '--events', path, '--pattern', pattern, ...['A', 'B', 'C', 'D'].flatMap((step) => ['--step', step]));
    golden.near(`00823: ${pattern}`, got.people_matching, want, 0);
  }
  golden.end(`; ${((performance.now() - started) / 5000).toFixed(2)} s each`);
  return golden.failed;
}

// "day6: uid 0..79; day7: uid 0..49" as rows [uid, day].
const visits = (setup) => [...setup.matchAll(/day(\d): uid (\d+)\.\.(\d+)/g)]
  .flatMap(([, day, first, last]) => Array.from({ length: Number(last) - first + 1 }, (_, i) => [Number(first) + i, day]));

function retention() {
  const golden = new Golden('retention');
  let setup = '';
  for (const row of text('cases_retention.tsv')) {
    if (row.setup !== 'same') setup = row.setup;
    const conditions = row.conditions.split(';').flatMap((condition) => ['--step',
      { true: '*', 'uid%2==0': '* where even=1' }[condition] ?? condition]);
    const held = (rows) => report('retention', '--plain-time', ...conditions, '--events',
      path_of(rows.map(([uid, day]) => `${uid},${day},day${day},${Number(uid % 2 === 0)}`), 'user_id,time,event,even')).rows.map((step) => step.people);
    const all = visits(setup);
    const got = row.expected.startsWith('sum') ? `sum=${held(all)}`
      : [...row.expected.matchAll(/uid(\d)(?:\.\.(\d))?=/g)].map(([name, first, last = first]) => {
        const each = new Set();
        for (let uid = Number(first); uid <= Number(last); uid++) each.add(`${held(all.filter(([user]) => user === uid))}`);
        return `${name}[${[...each].join(' or ')}]`;
      }).join(' ');
    golden.same(`${row.source}: ${row.conditions}`, got, row.expected);
  }
  golden.end();
  return golden.failed;
}

const failed = [funnel, sequence, long_history, retention].reduce((sum, family) => sum + family(), 0);
process.exitCode = failed === 0 ? 0 : 1;
