// live_people.mjs - reports on living customers through the real server, on the sample data: RFM and customer value equal the
// reports on files on the same orders, cohort revenue equals a plain sum over the file, every number opens its people, and
// results that are saved become traits once.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Golden, binary, file, report } from './lib.mjs';

process.env.HEZOU = binary;
const { Server } = await import('../lib/server.mjs');
const { command, journal_end } = await import('../lib/story.mjs');
const golden = new Golden('live_people');
const sample = 'examples/online_retail';

// --- the orders, straight from the file -------------------------------------------------------------------------------

// Cells of one line; quotes hold commas and doubled quotes.
function cells(line) {
  const out = [];
  for (let i = 0; i <= line.length; i++) {
    let cell = '';
    if (line[i] === '"') {
      for (i++; line[i] !== '"' || line[i + 1] === '"'; i++) {
        if (line[i] === '"') i++;
        cell += line[i];
      }
      i++;
    } else {
      while (i < line.length && line[i] !== ',') cell += line[i++];
    }
    out.push(cell);
  }
  return out;
}

const invoices = new Map();
const text = execFileSync('zstd', ['-dcq', join(sample, 'onlineretail.csv.zst')], { maxBuffer: 1 << 30 }).toString('utf8');
for (const line of text.split('\n').slice(1)) {
  if (line === '') continue;
  const [number, , , quantity, date, price, customer] = cells(line);
  if (number.startsWith('C')) continue;
  const invoice = invoices.get(number) ?? { number, customer: 'NA', date, micros: 0 };
  if (customer !== 'NA' && customer !== '') invoice.customer = customer;
  invoice.micros += Math.round(Number(quantity) * Math.round(Number(price) * 1e6));
  invoices.set(number, invoice);
}
const orders = [...invoices.values()].filter((o) => o.customer !== 'NA');
const path = file('orders.csv', 'customer,order_id,date,amount\n' +
  orders.map((o) => `${o.customer},${o.number},${o.date},${(o.micros / 1e6).toFixed(6)}\n`).join(''));

// --- the server --------------------------------------------------------------------------------------------------------

const server = await new Server().start();
const imported = await command(server, 'import', join(sample, 'onlineretail.csv.zst'), '--mapping', join(sample, 'mapping.json'),
  '--url', server.url);
golden.check(`the sample is imported: ${imported.err.slice(-300)}`, imported.code === 0);
let after = await journal_end(server);
const live = (name, question) => server.must('POST', `/api/v1/reports/${name}?after=${encodeURIComponent(after)}`, question);
const people = async (cell) => (await server.must('GET', `/api/v1/reports/people?limit=1000&cell=${encodeURIComponent(cell)}`)).total;
const whole = { from: '2010-12-01', to: '2011-12-09', zone: 'UTC' };

// --- RFM ---------------------------------------------------------------------------------------------------------------

const rfm = await live('rfm', whole);
const rfm_file = report('rfm', '--transactions', path);
golden.same('customers', rfm.customers, rfm_file.customers);
for (const cuts of ['recency_cuts', 'frequency_cuts', 'monetary_cuts'])
  rfm_file[cuts].forEach((cut, i) => golden.near(`${cuts} ${i}`, rfm[cuts][i], cut, 1e-9));
golden.same('segments', rfm.rows.map((r) => r.segment), rfm_file.rows.map((r) => r.segment));
for (const [i, want] of rfm_file.rows.entries()) {
  const got = rfm.rows[i];
  golden.same(`${want.segment}: customers`, got.customers, want.customers);
  for (const member of ['orders', 'revenue', 'recency_median', 'orders_median', 'revenue_median'])
    golden.near(`${want.segment}: ${member}`, got[member], want[member], 1e-9);
  golden.same(`${want.segment}: people`, await people(got.cell), want.customers);
}

// --- customer value ----------------------------------------------------------------------------------------------------

const clv = await live('clv', whole);
const clv_file = report('clv', '--transactions', path, '--model', 'bgnbd');
for (const member of ['customers', 'repeat_customers', 'repeat_purchases', 'log_likelihood', 'alive_customers',
  'expected_purchases_all', 'discounted_value_all']) golden.near(`clv: ${member}`, clv[member], clv_file[member], 1e-6);
clv_file.parameters.forEach((want, i) => golden.near(`clv: ${want.parameter}`, clv.parameters[i].estimate, want.estimate, 1e-6));
let tenths = 0;
for (const row of clv.rows) tenths += await people(row.cell);
golden.same('clv: the tenths are everybody', tenths, clv.customers);

// --- clusters ----------------------------------------------------------------------------------------------------------

const kmeans = await live('kmeans', { ...whole, k: 4 });
const ids = new Map(); // by customer: the person's number, the cluster
for (const row of kmeans.rows) {
  let next = '', count = 0;
  do {
    const page = await server.must('GET', `/api/v1/reports/people?limit=1000&cell=${encodeURIComponent(row.cell)}&page=${next}`);
    for (const { person, identifier } of page.people)
      ids.set(identifier.slice(identifier.indexOf(':') + 1), { id: BigInt(`0x${person.slice(2)}`), cluster: row.cluster });
    count += page.people.length;
    next = page.next ?? '';
  } while (next !== '');
  golden.same(`kmeans: cluster ${row.cluster} opens its people`, count, row.customers);
}
golden.same('kmeans: the clusters are everybody', ids.size, rfm.customers);

// The same customers as a file, in the order of the persons' numbers: seeds are drawn by row.
const features = new Map();
for (const o of orders) {
  const f = features.get(o.customer) ?? { day: '', orders: 0, micros: 0 };
  f.day = f.day > o.date.slice(0, 10) ? f.day : o.date.slice(0, 10);
  f.orders++;
  f.micros += o.micros;
  features.set(o.customer, f);
}
const in_order = [...features].sort(([a], [b]) => (ids.get(a).id < ids.get(b).id ? -1 : 1));
const days_before_end = (day) => (Date.parse('2011-12-10T00:00:00Z') - Date.parse(`${day}T00:00:00Z`)) / 86400e3;
const kmeans_file = report('kmeans', '--input', file('features.csv', 'customer,recency_days,orders,revenue\n' +
  in_order.map(([c, f]) => `${c},${days_before_end(f.day)},${f.orders},${(f.micros / 1e6).toFixed(6)}\n`).join('')),
'--features', 'recency_days,orders,revenue', '--log1p', '--standardize', 'zscore', '--k', '4', '--seed', '42', '--each');
golden.near('kmeans: inertia', kmeans.inertia, kmeans_file.inertia, 1e-9);
golden.near('kmeans: silhouette', kmeans.silhouette, kmeans_file.silhouette, 1e-9);
golden.same('kmeans: sizes', kmeans.rows.map((r) => r.customers), kmeans_file.clusters.map((r) => r.size));
golden.same('kmeans: who is in another cluster', in_order.filter(([c], i) => ids.get(c).cluster !== kmeans_file.rows[i].cluster).length, 0);

// --- cohorts -----------------------------------------------------------------------------------------------------------

const cohort = await live('cohort', { ...whole, periods: 12 });
const month = (o) => (Number(o.date.slice(0, 4)) - 2010) * 12 + Number(o.date.slice(5, 7)) - 12;
const first = new Map();
for (const o of orders) first.set(o.customer, Math.min(first.get(o.customer) ?? 99, month(o)));
const sums = new Map();
for (const o of orders) {
  const key = `${first.get(o.customer)} ${month(o) - first.get(o.customer)}`;
  const sum = sums.get(key) ?? { micros: 0, orders: 0, buyers: new Set() };
  sum.micros += o.micros;
  sum.orders++;
  sum.buyers.add(o.customer);
  sums.set(key, sum);
}
for (const row of cohort.periods) {
  const start = (Number(row.cohort.slice(0, 4)) - 2010) * 12 + Number(row.cohort.slice(5, 7)) - 12;
  const want = sums.get(`${start} ${row.period}`) ?? { micros: 0, orders: 0, buyers: new Set() };
  golden.near(`cohort ${row.cohort} + ${row.period}: revenue`, row.revenue, want.micros / 1e6, 1e-9);
  golden.same(`cohort ${row.cohort} + ${row.period}`, [row.orders, row.buyers], [want.orders, want.buyers.size]);
}
for (const row of cohort.rows) golden.same(`cohort ${row.cohort}: people`, await people(row.cell), row.people);
golden.near('cohorts: all revenue', cohort.revenue, orders.reduce((sum, o) => sum + o.micros, 0) / 1e6, 1e-9);

// --- attribution, the week ---------------------------------------------------------------------------------------------

const attribution = await live('attribution', { ...whole, touches: [{ type: 'visit', event: 'Order Cancelled' }], models: ['last', 'linear'] });
golden.same('attribution: conversions', attribution.conversions, orders.length);
golden.near('attribution: value', attribution.value, cohort.revenue, 1e-9);
const earned = attribution.rows.reduce((sum, row) => sum + row.linear_conversions, 0);
golden.near('attribution: credit is all conversions with a touch', earned, attribution.conversions_with_touch, 1e-9);

const weekly = await live('weekly', { to: '2011-12-09', zone: 'UTC', lang: 'zh' });
golden.check('the week is the last one that ended', weekly.text.startsWith('周报 2011-11-28 至 2011-12-04'));
for (const metric of ['orders', 'revenue']) {
  const change = weekly.rows.find((row) => row.metric === metric).change;
  for (const by of ['channel', 'customer', 'campaign']) {
    const parts = weekly.facts.filter((f) => f.fact === 'contribution' && f.metric === metric && f.by === by);
    golden.near(`weekly: ${metric} by ${by} adds up`, parts.reduce((sum, f) => sum + f.contribution, 0), change, 1e-9);
  }
}

// --- words -------------------------------------------------------------------------------------------------------------

// Every field has a label in both languages.
const labels = new Set([...readFileSync('src/base/text.def', 'utf8').matchAll(/^X\(F_(\w+),/gm)].map(([, id]) => id.toLowerCase()));
const frame = new Set(['report', 'bars', 'rows', 'cell', 'text', 'from', 'to', 'zone', 'as_of', 'position', 'events_read', 'people', 'seconds']);
const missing = new Set();
const walk = (value) => {
  if (Array.isArray(value)) value.forEach(walk);
  else if (value !== null && typeof value === 'object')
    for (const [name, item] of Object.entries(value)) {
      if (!frame.has(name) && !labels.has(name)) missing.add(name);
      walk(item);
    }
};
[rfm, clv, kmeans, cohort, attribution, weekly].forEach(walk);
golden.same('fields without a label', [...missing], []);

// --- results as traits -------------------------------------------------------------------------------------------------

const save = () => server.must('POST', `/api/v1/reports/rfm/save?after=${encodeURIComponent(after)}`, whole);
const saved = await save();
golden.same('everybody is saved', [saved.saved_people, saved.without_identifier], [rfm.customers, 0]);
await save();
after = await journal_end(server);
const events = await server.sql("SELECT count(*), count(DISTINCT person) FROM events WHERE channel = 'hezou'", after);
golden.same('the same question again is a duplicate', events[0].map(Number), [rfm.customers, rfm.customers]);
const one = rfm.rows.find((row) => row.segment === 'champions');
const somebody = (await server.must('GET', `/api/v1/reports/people?limit=1&cell=${encodeURIComponent(one.cell)}`)).people[0];
const profile = await server.must('GET', `/api/v1/profiles/${encodeURIComponent(somebody.identifier)}?after=${encodeURIComponent(after)}`);
golden.check(`the segment is a trait of ${somebody.identifier}: ${JSON.stringify(profile.traits).slice(0, 200)}`,
  JSON.stringify(profile.traits).includes('champions'));
golden.same('and the numbers are as before', (await live('rfm', whole)).rows.map((r) => r.customers), rfm.rows.map((r) => r.customers));

// --- touches by what their properties say ------------------------------------------------------------------------------

const sent = (name, user, properties, campaign) => ({ name, message_id: `${name} ${user} ${JSON.stringify(properties)}`,
  identifiers: { user_id: user }, properties, ...(campaign ? { context: { campaign: { name: campaign } } } : {}) });
await server.must('POST', '/api/v1/batch', { events: [
  sent('Ad Clicked', 'ann', { utm_content: 'red', utm_term: 'shoes' }, 'spring'),
  sent('Ad Clicked', 'ann', { utm_content: 'blue', utm_term: 'shoes' }, 'spring'),
  sent('Trial Started', 'ann', {}),
  sent('Page Seen', 'bob', { utm_content: 'blue' }, 'autumn'), // a visit, for it names a campaign
  sent('Trial Started', 'bob', {}),
] });
after = await journal_end(server);
const by = async (what) => Object.fromEntries((await live('attribution', { conversion: 'Trial Started', by: what, models: ['linear'] }))
  .rows.map((row) => [row[what], row.conversions]).sort());
golden.same('by content', await by('content'), { blue: 1.5, red: 0.5 });
golden.same('by keyword', await by('keyword'), { '(none)': 1, shoes: 1 });
golden.same('by campaign', await by('campaign'), { autumn: 1, spring: 1 });
golden.same('by a property that nobody has', (await server.ask('POST', '/api/v1/reports/attribution',
  { conversion: 'Trial Started', by: 'medium' })).code, 404);

// --- somebody is erased ------------------------------------------------------------------------------------------------

const erased = await command(server, 'erase', somebody.identifier, '--yes', '--url', server.url);
golden.check(`erased: ${erased.err}`, erased.code === 0);
golden.same('who is erased is in no number', (await live('rfm', whole)).customers, rfm.customers - 1);
const left = (await server.must('GET', `/api/v1/reports/people?limit=1000&cell=${encodeURIComponent(one.cell)}`)).people;
golden.check('nor behind one', left.length > 0 && !left.some((who) => who.identifier === somebody.identifier));
golden.same('nor brought back by the next results', (await save()).saved_people, rfm.customers - 1);
after = await journal_end(server);
golden.same('their profile', (await server.ask('GET', `/api/v1/profiles/${encodeURIComponent(somebody.identifier)}?after=${encodeURIComponent(after)}`)).code, 404);

await server.stop();
server.remove();
golden.end();
