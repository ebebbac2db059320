// attribution.mjs - the figures of ChannelAttribution, eeghor/mta, the exact chain and the hand cases, through the real binary.
import { Golden, data, data_text, file, report, rows_of } from './lib.mjs';

const golden = new Golden();
const paths = data('attribution/pathdata.csv.gz');
const plain = (name) => rows_of(data_text(`attribution/${name}`).replace(/"/g, ''));
const run = (...args) => {
  const got = report('attribution', '--paths', paths, ...args);
  return { ...got, of: Object.fromEntries(got.rows.map((row) => [row.channel, row])) };
};

// The chain, orders 1 to 4, against the exact solution; against the reference program's simulation: L1 below 0.3 % of all.
for (const order of [1, 2, 3, 4]) {
  const got = run('--model', 'markov', '--order', String(order));
  for (const row of plain(`exact_o${order}.csv`)) {
    const ours = got.of[row.channel_name];
    golden.near(`order ${order} ${row.channel_name} conversions`, ours.conversions, Number(row.total_conversions), 1e-9);
    golden.near(`order ${order} ${row.channel_name} value`, ours.value, Number(row.total_conversion_value), 1e-9);
    golden.near(`order ${order} ${row.channel_name} removal`, ours.removal_effect, Number(row.removal_effect_conv), 1e-9);
    golden.near(`order ${order} ${row.channel_name} removal of value`, ours.removal_effect_value, Number(row.removal_effect_value), 1e-9);
  }
  golden.near(`order ${order}: P(conversion)`, got.conversion_rate, 0.22384513559686378, 1e-12);
  golden.near(`order ${order}: E[value]`, got.value / (got.conversions + got.nulls), 0.8463119190289393, 1e-12);
  golden.check(`order ${order}: the solver's bound is ${got.error_max}`, got.error_max < 1e-12);
  if (order === 4) continue;
  for (const [field, column] of [['conversions', 'total_conversions'], ['value', 'total_conversion_value']]) {
    let apart = 0;
    for (const row of plain(`ca_markov_o${order}.csv`)) apart += Math.abs(got.of[row.channel_name][field] - Number(row[column]));
    golden.check(`order ${order}: ${field} are ${apart / got[field]} from the simulation`, apart / got[field] < 0.003);
  }
}

// First, last and linear touch (whole numbers exactly).
const heuristics = run('--model', 'first,last,linear');
for (const row of plain('ca_heur.csv')) {
  for (const model of ['first', 'last', 'linear']) {
    const ours = heuristics.of[row.channel_name];
    golden.near(`${model} ${row.channel_name}`, ours[`${model}_conversions`], Number(row[`${model}_touch_conversions`]), model === 'linear' ? 1e-9 : 0);
    golden.near(`${model} ${row.channel_name} value`, ours[`${model}_value`], Number(row[`${model}_touch_value`]), 1e-9);
  }
}

// eeghor/mta: repeats as one touch, each channel once, or all touches (its "loops").
const collapsed = run('--model', 'first,last,position,shapley,shao', '--touches', 'collapsed');
const unique = run('--model', 'linear,decay', '--touches', 'unique');
const all = run('--model', 'linear,position');
for (const row of plain('mta_ref.csv')) {
  const channel = row[''];
  golden.near(`mta first ${channel}`, collapsed.of[channel].first_conversions, Number(row.first_touch), 0);
  golden.near(`mta last ${channel}`, collapsed.of[channel].last_conversions, Number(row.last_touch), 0);
  golden.near(`mta position ${channel}`, collapsed.of[channel].position_conversions, Number(row.pos_based), 1e-9);
  golden.near(`mta shapley ${channel}`, collapsed.of[channel].shapley_conversions, Number(row.shapley), 1e-9);
  golden.near(`mta linear ${channel}`, unique.of[channel].linear_conversions, Number(row.linear), 1e-9);
  golden.near(`mta decay ${channel}`, unique.of[channel].decay_conversions, Number(row.time_decay), 1e-9);
  // Published as a share of six decimals.
  const share = Math.round(collapsed.of[channel].shao_conversions / collapsed.conversions * 1e6) / 1e6;
  golden.near(`mta shao ${channel}`, share, Number(row.shao), 1e-9);
}
for (const row of plain('mta_ref_loops.csv')) {
  const channel = row[''];
  golden.near(`mta loops linear ${channel}`, all.of[channel].linear_conversions, Number(row.linear), 1e-9);
  golden.near(`mta loops position ${channel}`, all.of[channel].position_conversions, Number(row.pos_based), 1e-9);
  golden.near(`mta loops decay ${channel}`, unique.of[channel].decay_conversions, Number(row.time_decay), 1e-9);
}

// Which order: area and penalised area of eight orders, suggested 4 (choose_order of ChannelAttribution 2.0.7).
const auto = run('--model', 'markov', '--order', 'auto');
const auc = [0.508669664595, 0.517376044983, 0.527847849484, 0.542849142833, 0.553811662450, 0.558917313851, 0.561890763376, 0.563227244333];
const penalized = [0.508602948547, 0.516949756669, 0.525895344624, 0.535678334407, 0.530614839646, 0.487099930299, 0.315393320811, 0];
golden.same('suggested order', auto.order, 4);
golden.same('orders compared', auto.order_choice.length, 8);
auc.forEach((want, i) => golden.near(`AUC of order ${i + 1}`, auto.order_choice[i].auc, want, 1e-9, 'absolute'));
penalized.forEach((want, i) => golden.near(`penalised AUC of order ${i + 1}`, auto.order_choice[i].penalized_auc, want, 1e-9, 'absolute'));

// Hand cases.
const hand = (content, ...args) => {
  const got = report('attribution', '--paths', file('hand.csv', content), ...args);
  return { ...got, of: Object.fromEntries(got.rows.map((row) => [row.channel, row])) };
};
const mta = hand('path,total_conversions\na,4\na > b,6\n', '--model', 'shapley');
golden.near('mta: a', mta.of.a.conversions, 7, 1e-15);
golden.near('mta: b', mta.of.b.conversions, 3, 1e-15);
const puzyrov = hand('path,total_conversions,total_null\nGA,2,1\nM,1,0\nGA > M,1,0\n', '--model', 'markov');
golden.near('Puzyrov: P', puzyrov.conversion_rate, 0.8, 1e-15);
golden.near('Puzyrov: removal of GA', puzyrov.of.GA.removal_effect, 0.75, 1e-15);
golden.near('Puzyrov: removal of M', puzyrov.of.M.removal_effect, 0.5, 1e-15);
golden.near('Puzyrov: GA', puzyrov.of.GA.conversions, 2.4, 1e-15);
golden.near('Puzyrov: M', puzyrov.of.M.conversions, 1.6, 1e-15);

// Zhao's sample, 2,392 journeys over 20 channels: the closed form, and that all is shared out.
const journeys = JSON.parse(data_text('attribution/zhao_sample.json.gz'));
const want = {};
for (const journey of journeys) {
  const set = new Set(journey);
  for (const channel of set) want[channel] = (want[channel] ?? 0) + 1 / set.size;
}
const zhao = hand(`path,conversions\n${journeys.map((j) => `${j.join(' > ')},1`).join('\n')}\n`, '--model', 'shapley');
golden.same('Zhao: journeys', zhao.conversions, 2392);
golden.same('Zhao: channels', zhao.channels, 20);
for (const channel of Object.keys(want)) golden.near(`Zhao: channel ${channel}`, zhao.of[channel].conversions, want[channel], 1e-12);

// A half-life: by times where the file has them, else a day a touch; the weights of a path; costs.
const half = hand('path,conversions,value,touch_times\na > b > c,7,70,2024-01-01 > 2024-01-08 > 2024-01-15\n', '--model', 'decay', '--half-life', '7d');
['a', 'b', 'c'].forEach((channel, i) => golden.near(`half-life ${channel}`, half.of[channel].conversions, 2 ** i, 1e-15));
const steps = hand('path,conversions\na > b > c,7\n', '--model', 'decay', '--half-life', '24h');
['a', 'b', 'c'].forEach((channel, i) => golden.near(`half-life by steps ${channel}`, steps.of[channel].conversions, 2 ** i, 1e-15));
golden.same('example', half.example.map((touch) => [touch.touch, touch.channel]), [[1, 'a'], [2, 'b'], [3, 'c']]);
half.example.forEach((touch, i) => golden.near(`weight ${i}`, touch.decay, 2 ** i / 7, 1e-15));
const paid = report('attribution', '--paths', file('paid.csv', 'path,conversions,value,new_customers\na > b,10,500,4\nb,10,300,6\n'), '--model', 'linear',
  '--cost', file('cost.csv', 'channel,spend\na,50\nb,100\nc,7\n'));
const cost = Object.fromEntries(paid.costs.map((row) => [row.channel, row]));
golden.same('cost of a', [cost.a.spend, cost.a.cpa, cost.a.cac, cost.a.roas, cost.a.roi], [50, 10, 25, 5, 4]);
golden.same('cost of b', [cost.b.spend, cost.b.cpa, cost.b.cac, cost.b.roas, cost.b.roi], [100, 100 / 15, 12.5, 5.5, 4.5]);
golden.same('spend that no path explains', paid.left_out, [{ reason: 'spend_of_unknown_channel', rows: 1, spend: 7 }]);
golden.end();
