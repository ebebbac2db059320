// rfm.mjs - RFM scores and segments: the R package rfm's own example (its output in rfm_orders_expected.csv, its tests' figures
// for segments), and UCI Online Retail cleaned as everybody cleans it.
import { spawnSync } from 'node:child_process';
import { Golden, data, data_text, file, report, rows_of } from './lib.mjs';

const golden = new Golden();
const orders = data('rfm/rfm_orders.csv');
const unquoted = (text) => text.replace(/"/g, '');
const want = rows_of(unquoted(data_text('rfm/rfm_orders_expected.csv')));
const asked = ['rfm', '--transactions', orders, '--analysis-date', '2006-12-31'];

// All columns of all customers; sums of whole numbers are exact.
function compare(what, rows) {
  const got = new Map(rows.map((row) => [row.customer, row]));
  golden.same(`${what}: customers`, got.size, want.length);
  for (const row of want) {
    const ours = got.get(row.customer_id) ?? {};
    golden.same(`${what}: ${row.customer_id}`,
      [ours.recency_days, ours.orders, ours.revenue, ours.recency_score, ours.frequency_score, ours.monetary_score, ours.rfm_score],
      [row.recency_days, row.transaction_count, row.amount, row.recency_score, row.frequency_score, row.monetary_score,
        row.rfm_score].map(Number));
  }
}

compare('orders', report(...asked, '--each').rows);
// The same customers already summed up, by days and by last day.
const summed = want.map((r) => `${r.customer_id},${r.amount},${r.transaction_count},${r.recency_days}`);
const head = 'customer_id,revenue,number_of_orders';
compare('customers by days', report('rfm', '--customers', file('days.csv', `${head},recency_days\n${summed.join('\n')}\n`), '--each').rows);
const last = want.map((r) => new Date(Date.UTC(2006, 11, 31) - r.recency_days * 86400000).toISOString().slice(0, 10));
compare('customers by last day', report('rfm', '--customers', file('visits.csv',
  `${head},most_recent_visit\n${want.map((r, i) => `${r.customer_id},${r.amount},${r.transaction_count},${last[i]}`).join('\n')}\n`),
'--analysis-date', '2006-12-31', '--each').rows);

const all = report(...asked);
const champions = all.rows.find((row) => row.segment === 'champions');
golden.same('orders', all.orders, 4906);
golden.same('champions', [champions.customers, champions.orders, champions.revenue], [158, 1234, 120178]);
golden.same('monetary cuts', all.monetary_cuts, [255.8, 382, 506.4, 666]);
const scores = (name) => all.scores.map((row) => row[`${name}_customers`]).reverse();
golden.same('customers by recency score', scores('recency'), [197, 200, 199, 199, 200]);
golden.same('customers by frequency score', scores('frequency'), [268, 187, 176, 244, 120]);
// The package's test of own cuts; a value equal to a cut lies above it.
const own = report(...asked, '--recency-cuts', '115,181,297,482', '--frequency-cuts', '4,5,6,8', '--monetary-cuts', '256,382,506,666', '--each');
golden.same('own cuts: orders', own.orders, 4906);
const above = (cuts, value) => cuts.filter((cut) => cut <= value).length + 1;
for (const row of own.rows)
  golden.same(`own cuts: ${row.customer}`, [row.recency_score, row.frequency_score, row.monetary_score],
    [6 - above([115, 181, 297, 482], row.recency_days), above([4, 5, 6, 8], row.orders), above([256, 382, 506, 666], row.revenue)]);

// UCI Online Retail: customer known, quantity and price above 0.
const unpacked = spawnSync('xz', ['-dc', data('online_retail/onlineretail.csv.xz')], { maxBuffer: 1 << 30 });
const retail = report('rfm', '--transactions', file('retail.csv', unpacked.stdout), '--clean', '--analysis-date', '2011-12-10', '--each');
golden.same('retail: rows, customers, invoices', [retail.row_count, retail.customers, retail.orders], [397884, 4338, 18532]);
golden.near('retail: revenue', retail.revenue, 8911407.904, 1e-12);
golden.same('retail: rows left out', retail.left_out.reduce((sum, row) => sum + row.rows, 0), 541909 - 397884);
const customers = new Map(retail.rows.map((row) => [Number(row.customer), row]));
for (const row of rows_of(data_text('kmeans/online_retail_rfm.csv.gz'))) {
  const ours = customers.get(Number(row.CustomerID)) ?? {};
  golden.same(`retail: ${row.CustomerID}`, [ours.recency_days, ours.orders], [Number(row.R), Number(row.F)]);
  golden.near(`retail: revenue of ${row.CustomerID}`, ours.revenue, Number(row.M), 0.005 + 1e-9, 'absolute'); // published in cents
}
golden.end();
