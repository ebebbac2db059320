// bestarm.mjs - the probability of each variation to be the best: exact quadratures of nine scenarios (bandit tests of
// GrowthBook's packages/stats-ts, MIT), within 1e-6, through the real binary.
import { Golden, data_text, file, report } from './lib.mjs';

const golden = new Golden();
for (const c of JSON.parse(data_text('abtest/bestarm_cases.json'))) {
  if (c.A) {
    // Beta(1 + conversions, 1 + others)
    const counts = ['A', 'B'].map((arm) => `${arm}=${c[arm][0] + c[arm][1] - 2}:${c[arm][0] - 1}`).join(',');
    golden.near(`${c.name} ${c.A}`, report('experiment', '--counts', counts).arms[1].best_arm_probability, c.p, 1e-6, 'absolute');
    continue;
  }
  // 100 units with the mean, and a hundred times the variance of the mean.
  const stats = c.means.map((mean, i) => ({
    variation: `v${i}`, n: 100, sum: 100 * mean, sum_squares: 9900 * c.sigmas[i] ** 2 + 100 * mean * mean,
  }));
  const { arms } = report('experiment', '--stats', file('arms.json', JSON.stringify(stats)), '--absolute');
  const sum = arms.reduce((all, arm) => all + arm.best_arm_probability, 0);
  const worst = Math.max(...arms.map((arm, i) => Math.abs(arm.best_arm_probability - c.best_arm_prob[i])));
  golden.near(`${c.name}, the worst of ${arms.length} arms`, worst, 0, 1e-6, 'absolute');
  golden.check(`${c.name} sums to ${sum}`, Math.abs(sum - 1) < 1e-12);
}
golden.end();
