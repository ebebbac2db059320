// live_funnel.mjs - the window funnels of ClickHouse's own tests (00632, 01646 …) as live reports: each case's events through the
// door of a running server, then the question through the API.
//
// A case is a person of its own, told apart by a property in "where". Times are seconds after a day in the past; those of a case
// begin at 0 (one of theirs begins beyond the year 3,000,000, which is no event time). A window above 100 years is 100 years.
// Equal times: these tests want the steps' order ("ties": "steps"); where a case has none, the journal's order must say the same.
import { Golden, binary, data_text, rows_of } from './lib.mjs';

process.env.HEZOU = binary;
const { Server } = await import('../lib/server.mjs');
const { journal_end } = await import('../lib/story.mjs');

const YEARS = 100 * 366 * 86400;
const base = Math.floor(Date.now() / 86400000) * 86400 - 60 * 86400;
const iso = (seconds) => new Date(seconds * 1000).toISOString();

// "=view" is the event of that name; "<=1007" any event whose label is so.
const step_of = (text) => {
  const [, op, label] = /^(<=|>=|!=|<|>|=)(.*)$/.exec(text);
  if (op === '=') return label;
  return { event: '*', where: [{ property: 'label', op, value: Number(label) }] };
};

const cases = rows_of(data_text('funnel/cases_window_funnel.tsv'), '\t').map((row, number) => {
  const events = row['events(time:label)'].split(',').map((event) => {
    const at = event.indexOf(':');
    return { time: Number(event.slice(0, at)), label: event.slice(at + 1) };
  });
  const start = events.reduce((least, event) => Math.min(least, event.time), Infinity);
  events.forEach((event) => { event.time -= start; });
  return {
    number, events, what: `${row.source}: ${row.modes} ${row.steps}`, level: Number(row.expected_level),
    window: Math.min(Number(row.window), YEARS), steps: row.steps.split(';').map(step_of),
    modes: row.modes.split('+').filter(Boolean),
  };
});

const golden = new Golden('live funnel');
const server = await new Server().start();
try {
  const { key } = await server.must('POST', '/api/v1/sources', { name: 'cases', channel: 'web' });
  const write = { authorization: `Basic ${Buffer.from(`${key}:`).toString('base64')}` };
  const batch = cases.flatMap(({ number, events }) => events.map(({ time, label }, i) => ({
    type: 'track', event: label, userId: `case-${number}`, messageId: `case-${number}-${i}`, timestamp: iso(base + time), properties: { case: number, label },
  })));
  for (let at = 0; at < batch.length; at += 100) {
    const answer = await server.ask('POST', '/v1/batch', { batch: batch.slice(at, at + 100) }, write);
    if (answer.code !== 200) throw new Error(`${answer.code} ${answer.text}`);
  }
  const token = await journal_end(server);
  const known = new Set(batch.map(({ event }) => event));
  const level_of = async ({ number, window, steps, modes }, ties) => {
    const question = {
      from: iso(base), to: iso(base + 59 * 86400), steps, window, ties, modes: modes.join(), once: modes.includes('strict_once'),
      where: [{ property: 'case', op: '=', value: number }],
    };
    const { rows } = await server.must('POST', `/api/v1/reports/funnel?after=${encodeURIComponent(token)}`, question);
    return rows.filter(({ people }) => people === 1).length;
  };
  for (const one of cases) {
    const { what, events, steps } = one;
    if (steps.some((step) => typeof step === 'string' && !known.has(step))) throw new Error(`${what}: a step that no event is`);
    golden.near(what, await level_of(one, 'steps'), one.level, 0);
    const sorted = events.every((event, i) => i === 0 || events[i - 1].time < event.time);
    if (sorted) golden.near(`${what}, journal`, await level_of(one, 'journal'), one.level, 0);
  }
  await server.stop();
} finally {
  await server.kill();
  server.remove();
}
golden.end(`, ${cases.length} of them published`);
