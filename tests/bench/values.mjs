// values.mjs - a property with a million different values through the real server: imported from a file, asked for as a
// breakdown, as a condition and as what must stay the same in a funnel; and by a server with too little memory for it.
//
//   HEZOU=… node tests/bench/values.mjs [VALUES]     1,000,000 orders of 100,000 people, one in seven pays somebody else's
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Server } from '../lib/server.mjs';
import { Story, command, journal_end } from '../lib/story.mjs';

const values = Number(process.argv[2] ?? 1000000);
const story = new Story('values');
const people = values / 10;
const server = await new Server().start();
const lines = ['id,time,name,user,order'];
const time = (second) => new Date(Date.UTC(2026, 10, 20) + second * 1000).toISOString();
const id = (order) => `o-${String(order).padStart(7, '0')}`;
for (let order = 0; order < values; order++) {
  const person = Math.floor(order / 10);
  lines.push(`a${order},${time(order % 86000)},buy,u${person},${id(order)}`);
  if (order % 10 !== 0) continue;
  lines.push(`b${order},${time((order % 86000) + 60)},settle,u${person},${id(person % 7 === 0 ? (order + 10) % values : order)}`);
}
for (const [order, times] of [[7, 3], [5, 2], [3, 1]])
  for (let i = 0; i < times; i++) lines.push(`c${order}-${i},${time(86100 + i)},buy,u0,${id(order)}`);
const path = join(server.data, 'values.csv');
writeFileSync(path, `${lines.join('\n')}\n`);
const mapping = join(server.data, 'values.json');
writeFileSync(mapping, JSON.stringify({
  version: 1, name: 'values', key: ['id'], event: [{ from_column: 'name' }], channel: 'web',
  time: { column: 'time' }, identifiers: { user_id: 'user' }, properties: { order_no: 'order' },
}));
const imported = await command(server, 'import', path, '--mapping', mapping, '--url', server.url);
if (!story.check('the file is imported', imported.code === 0, imported.err.slice(-300))) {
  await server.kill(); // nothing to ask
  process.exit(1);
}
const after = encodeURIComponent(await journal_end(server));
const window = { from: '2026-11-20', to: '2026-11-21', zone: 'UTC' };
const ask = (name, question) => server.must('POST', `/api/v1/reports/${name}?after=${after}`, { ...window, ...question });

async function timed(what, name, question) {
  const answer = await ask(name, question);
  console.log(`values: ${what}: ${answer.seconds.toFixed(2)} s`);
  return answer;
}

const top = await timed('breakdown', 'trend', { event: 'buy', unit: 'month', breakdown: { by: 'property', property: 'order_no', top: 3 } });
story.is('the three most frequent', top.totals.slice(0, 3).map((r) => [r.breakdown, r.count]), [[id(7), 4], [id(5), 3], [id(3), 2]]);
story.is('the rest', [top.totals[3].other, top.totals[3].values, top.totals[3].count], [true, values - 3, values - 3]);
const cell = await server.must('GET', `/api/v1/reports/people?limit=1&cell=${encodeURIComponent(top.totals[3].cell)}`);
story.is('the people of the rest', cell.total, top.totals[3].people);
const one = await timed('condition', 'trend', { event: 'buy', unit: 'month', where: [{ property: 'order_no', op: '=', value: id(42) }] });
story.is('one value', one.totals[0].count, 1);
const held = await timed('hold', 'funnel', { steps: ['buy', 'settle'], window: '2d', hold: 'order_no' });
story.is('the same order in both steps', held.rows.map((r) => r.people), [people, people - Math.ceil(people / 7)]);

await server.stop();
await server.start(['--timeline-mb', String(Math.ceil(values / 20000))]);
while ((await server.ask('POST', '/api/v1/reports/trend', { ...window, event: 'buy' })).code === 503); // it is being rebuilt
const refused = await server.ask('POST', '/api/v1/reports/trend', { ...window, event: 'buy', breakdown: { by: 'property', property: 'order_no' } });
story.check('too little memory is said, and what to do', refused.code >= 400 && refused.text.includes('--timeline-mb'), `${refused.code} ${refused.text.slice(0, 300)}`);
await server.stop();
server.remove();
story.end();
