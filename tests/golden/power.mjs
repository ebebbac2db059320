// power.mjs - sample sizes and power as R's documentation (power.t.test, power.prop.test) and R and statsmodels print them;
// boundaries of Jennison and Turnbull, "Group sequential methods" (2000), tables 2.1 and 2.3. Tolerance 1e-4, and the digits
// that are published.
import { Golden, report } from './lib.mjs';

const golden = new Golden();

// [arguments, field, published figure, its last digit]
const figures = [
  ['--effect 1 --power 0.9', 'n', 22.0211, 1e-5],
  ['--effect 1 --n 20', 'power', 0.8689528, 1e-7],
  ['--effect 0.5 --stddev 2 --power 0.9 --one-sided', 'n', 274.722, 1e-3],
  ['--baseline 0.5 --effect 0.25 --power 0.9', 'n', 76.7, 0.1],
  ['--baseline 0.2 --effect 0.05 --power 0.8', 'n', 1093.739046, 1e-6],
  ['--baseline 0.02 --effect 0.002 --power 0.8', 'n', 80681.38028, 1e-5],
  ['--baseline 0.02 --effect 0.1 --relative --power 0.8', 'n', 80681.38028, 1e-5],
  ['--effect 0.1 --power 0.8 --strict', 'n', 1570.733, 1e-3],
  ['--effect 0.1 --power 0.8', 'n', 1570.737, 1e-3],
  ['--baseline 0.2 --effect 0.05 --power 0.8 --method arcsine --strict', 'n', 1091.896, 1e-3],
  ['--baseline 0.2 --n 1093.739046 --power 0.8', 'effect', 0.05, 1e-8],
  ['--n 22.021098 --power 0.9', 'effect', 1, 1e-6],
];
for (const [args, field, want, digit] of figures) {
  const got = report('power', ...args.split(' '))[field];
  golden.near(`${args}: ${field}`, got, want, 1e-4);
  golden.check(`${args}: ${field} is ${got}, published ${want}`, Math.abs(got - want) <= 0.51 * digit);
}
const boundaries = { pocock: [2.413, 2.413, 2.413, 2.413, 2.413], 'obrien-fleming': [4.562, 3.226, 2.634, 2.281, 2.04] };
for (const [boundary, want] of Object.entries(boundaries)) {
  const { rows } = report('power', '--baseline', '0.2', '--effect', '0.05', '--power', '0.8', '--looks', '5', '--boundary', boundary);
  golden.check(`${boundary} has ${rows.length} looks`, rows.length === 5);
  rows.forEach((row, k) => golden.check(`${boundary} look ${k + 1} is ${row.z}`, Math.abs(row.z - want[k]) <= 5.1e-4));
}
golden.end();
