// experiment.mjs - GrowthBook's gbstats (packages/stats, MIT): its published inputs with the figures that it computes (full
// precision, 1e-8) and publishes (5 decimals); R's and textbooks' intervals and z; the same experiment from rows and from sums.
import { Golden, data_text, file, report } from './lib.mjs';

const golden = new Golden();
const cases = JSON.parse(data_text('abtest/ab_cases.json').replace(/-?Infinity/g, 'null'));

// One variation of --stats.
function sums(variation, { type, n, sum, sum_squares, post, pre, post_pre_sum_of_products }) {
  if (type !== 'cuped') return { variation, type, n, sum, sum_squares };
  return {
    variation, type: post.type, n, sum: post.sum, sum_squares: post.sum_squares, covariate_sum: pre.sum,
    covariate_sum_squares: pre.sum_squares, metric_covariate_products: post_pre_sum_of_products,
  };
}

function judged(a, b, ...args) {
  const stats = JSON.stringify([sums('A', a), sums('B', b)]);
  return report('experiment', '--stats', file('stats.json', stats), ...args);
}

function figure(what, got, want, published) {
  if (want === null) golden.same(what, got, null);
  else golden.near(what, got, want, 1e-8);
  if (published !== null && published !== undefined) golden.check(`${what} is ${got}, published ${published}`, Math.abs(got - published) < 5.1e-6);
}

const tests = {
  welch_t_two_sided: ['welch', 'two-sided'], one_sided_greater: ['welch', 'greater'], one_sided_lesser: ['welch', 'less'],
  sequential_two_sided: ['sequential', 'two-sided'], 'sequential_two_sided cuped': ['sequential', 'two-sided'],
  sequential_one_sided_greater: ['sequential', 'greater'], sequential_one_sided_lesser: ['sequential', 'less'],
  bayes_effect: ['bayes', 'two-sided'],
};

let used = 0;
cases.forEach((c, i) => {
  const what = `case ${i + 1}, ${c.test}:`;
  used++;
  if (c.test in tests) {
    const { diff, tuning, prior } = c.config;
    const [test, side] = tests[c.test];
    const args = ['--test', test, '--side', side, `--${diff}`, '--tolerance', '1e-6'];
    if (tuning) args.push('--tuning', String(tuning));
    if (typeof prior === 'object') args.push('--prior', `${prior.mean},${prior.variance}`);
    if (c.a.type === 'cuped') args.push('--cuped');
    const row = judged(c.a, c.b, ...args).rows[0];
    const { expected, ci, uplift, pValue, chanceToWin, risk } = c.result;
    const seen = c.published_5dp ?? {};
    figure(`${what} effect`, row.effect, expected, seen.expected);
    figure(`${what} low`, row.low, ci[0], seen.ci?.[0]);
    figure(`${what} high`, row.high, ci[1], seen.ci?.[1]);
    figure(`${what} standard error`, row.standard_error, uplift.stddev, seen.stddev);
    if (pValue !== undefined) figure(`${what} p`, row.p_value, pValue, seen.p);
    if (chanceToWin !== undefined) figure(`${what} chance to win`, row.chance_to_win, chanceToWin, seen.ctw);
    if (risk !== undefined) [row.risk_control, row.risk_treatment].forEach((r, k) => figure(`${what} risk ${k}`, r, risk[k], seen.risk?.[k]));
  } else if (c.test === 'srm chi2') {
    const counts = c.observed.map((n, k) => `v${k}=${n}:1`).join(',');
    figure(`${what} p`, report('experiment', '--counts', counts, '--split', c.weights.join(',')).srm_p_value, c.p);
  } else if (c.test === 'bayes risk(mu=0.1,sigma=0.05)') {
    // Means 1 and 1.1 with a variance of 0.00125 each.
    const arm = (mean) => ({ type: 'mean', n: 100, sum: 100 * mean, sum_squares: 0.125 * 99 + 100 * mean * mean });
    const row = judged(arm(1), arm(1.1), '--test', 'bayes', '--absolute').rows[0];
    [row.risk_control, row.risk_treatment].forEach((r, k) => figure(`${what} risk ${k}`, r, c.published[k]));
  } else if (c.test === 'scaling factor to 80% power') {
    const args = ['--target', String(c.target_mde), '--power', '0.8', '--tolerance', '1e-5'];
    const factor = (...more) => judged(c.a, c.b, ...args, ...more).rows[0].scaling_factor;
    figure(`${what} welch`, factor(), c.frequentist);
    figure(`${what} sequential`, factor('--test', 'sequential'), c.sequential_tuning5000);
    figure(`${what} bayes`, factor('--test', 'bayes', '--prior', '0.05,0.001'), c.bayes_prior_mean05_var001);
  } else {
    golden.check(`${what} is not known to this script`, false);
  }
});
golden.check(`${used} cases of 24`, used === 24);

// theta of gbstats' test_shared_models.py, from rows: published to 5 decimals.
const metric = [2, 1, 5, 3], covariate = [0.3, 0.5, 0.9, 22];
const rows = ['A', 'B'].flatMap((arm) => metric.map((y, i) => `${arm},${y},${covariate[i]}`));
const theta = report('experiment', '--data', file('theta.csv', `variation,metric,covariate\n${rows.join('\n')}\n`), '--cuped', '--absolute');
golden.check(`theta is ${theta.rows[0].theta}, published 0.01864`, Math.abs(theta.rows[0].theta - 0.01864) < 5.1e-6);

// Intervals of 15 in 100 and z of 120/1000 against 150/1000, to the 10 decimals that are published.
const intervals = {
  wilson: [0.0930598529, 0.232835596], 'agresti-coull': [0.0919142363, 0.2339812125],
  'clopper-pearson': [0.0864543856, 0.2353075001], jeffreys: [0.0903695164, 0.2295306592],
};
for (const [name, [low, high]] of Object.entries(intervals)) {
  const arm = report('experiment', '--counts', 'a=100:15,b=100:20', '--interval', name).arms[0];
  golden.near(`${name} low`, arm.low, low, 1e-4);
  golden.near(`${name} high`, arm.high, high, 1e-4);
  golden.check(`${name} is ${arm.low} to ${arm.high}`, Math.abs(arm.low - low) < 1e-10 && Math.abs(arm.high - high) < 1e-10);
}
const z = report('experiment', '--counts', 'control=1000:150,b=1000:120', '--test', 'z', '--absolute').rows[0];
golden.check(`z is ${z.statistic}`, Math.abs(z.statistic + 1.9630498076) < 1e-10);
golden.check(`its p is ${z.p_value}`, Math.abs(z.p_value - 0.0496403869) < 1e-10);

// A ratio with a covariate, from rows and from the sums of the rows: one answer.
let seed = 7;
const next = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
const names = ['metric', 'denominator', 'covariate', 'covariate_denominator'];
const arms = ['control', 'blue', 'red'].map((variation, k) => ({
  variation, units: Array.from({ length: 400 + 50 * k }, () => {
    const x = 10 * next(), w = 2 + next();
    return [k + x + 3 * next(), w + next(), x, w];
  }),
}));
const csv = ['variation', ...names].join(',') + '\n' +
  arms.flatMap(({ variation, units }) => units.map((u) => [variation, ...u].join(','))).join('\n') + '\n';
const stats = arms.map(({ variation, units }) => {
  const of = (f) => units.reduce((sum, u) => sum + f(u), 0);
  const out = { variation, type: 'mean', n: units.length };
  names.forEach((name, i) => {
    const prefix = i === 0 ? '' : `${name}_`;
    out[`${prefix}sum`] = of((u) => u[i]);
    out[`${prefix}sum_squares`] = of((u) => u[i] * u[i]);
    for (let j = 0; j < i; j++) out[`${names[j]}_${name}_products`] = of((u) => u[i] * u[j]);
  });
  return out;
});
const head = Object.keys(stats[0]);
const stats_csv = file('sums.csv', `${head.join(',')}\n${stats.map((s) => head.map((h) => s[h]).join(',')).join('\n')}\n`);
for (const test of ['welch', 'sequential', 'bayes'])
  for (const more of [[], ['--cuped'], ['--absolute'], ['--absolute', '--cuped']]) {
    const common = ['--test', test, ...more];
    const answers = [
      report('experiment', '--data', file('rows.csv', csv), ...common),
      report('experiment', '--stats', file('sums.json', JSON.stringify(stats)), ...common),
      report('experiment', '--stats', stats_csv, ...common),
    ];
    answers.slice(1).forEach((answer) => answer.rows.forEach((row, i) => Object.entries(row).forEach(([field, value]) => {
      if (typeof value === 'number') golden.near(`${common.join(' ')}: ${field}`, value, answers[0].rows[i][field], 1e-8);
    })));
  }
golden.end();
