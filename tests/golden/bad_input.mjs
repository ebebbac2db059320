// bad_input.mjs - what files and people get wrong, through the real binary: a clear error with line and column, or a right answer
// that says what was left out; never a crash, never a silent cut.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Golden, file, purchases, run, work } from './lib.mjs';

const golden = new Golden();
const folder = join(work, 'a folder');
mkdirSync(folder);

// Every report on files gets the rows of `generic`: its command with {file} for the file, and a file that is right for it.
const commands = [
  { args: 'report experiment --data {file}', good: 'variation,metric\na,1\n' },
  { args: 'report table --file {file}', good: 'id,Price\n1,2.5\n' },
  { args: 'report clv --transactions {file}', good: 'id,date\n1,2024-01-01\n' },
];

// [what, arguments ({file}: the file of `content`; {folder}, {absent}), content, exit code, what stderr or stdout must say]
const rows = [
  ['wrong delimiter', 'report table --file {file} --delimiter ;', 'id,Price\n1,2\n', 0, /columns +1\n/],
  ['one column', 'report table --file {file}', 'id\n1\n2\n', 0, /rows +2\n/],
  ['NaN is an empty cell', 'report table --file {file} --csv', 'id\n1\nNaN\n', 0, /^id,number,1,0,,1,1,1,1$/m],
  ['an odd cell has its line', 'report table --file {file} --csv', 'v\n1\n2\nx\n', 0, /^v,number,0,1,4,/m],
  ['control characters stay off the terminal', 'report table --file {file}', 'v\n\u001b[31mred\n', 0, /^[^\u001b]+$/],
  ['json or csv', 'report table --file {file} --json --csv', 'a\n', 1, /--json and --csv exclude each other/],
  ['no file', 'report table', '', 1, /report table needs the option --file FILE/],
  ['unknown option', 'report table --fil {file}', '', 2, /unknown option --fil\n +did you mean --file\?/],
  ["another command's option", 'report table --file {file} --channel A', '', 2, /report table does not take the option: --channel/],
  ['a word too many', 'report table {file}', '', 2, /report table does not take the word:/],
  ['unknown report', 'report tabel --file {file}', '', 2, /unknown command: report tabel\n +did you mean report table\?/],
  ['no such delimiter', 'report table --file {file} --delimiter ab', 'a\n', 1, /--delimiter: "ab" is not one character/],
  ['a digit as delimiter', 'report table --file {file} --delimiter 5', 'a\n', 1, /'5' parts no cells/],
  ['experiment: one variation', 'report experiment --data {file}', 'variation,metric\na,1\na,2\n', 1, /1 variation, an experiment has two/],
  ['experiment: no rows', 'report experiment --data {file}', 'variation,metric\n', 1, /0 variations, an experiment has two/],
  ['experiment: one column', 'report experiment --data {file}', 'variation\na\nb\n', 1, /metric/],
  ['experiment: NaN has its line', 'report experiment --data {file}', 'variation,metric\na,1\nb,NaN\n', 1, /line 3, column metric/],
  ['experiment: a word for a number', 'report experiment --data {file}', 'variation,metric\na,1\nb,many\n', 1, /line 3, column metric/],
  ['experiment: rows without a variation are counted', 'report experiment --data {file} --json', 'variation,metric\na,1\na,0\nb,1\nb,0\n,1\n', 0, /"left_out":\[\{"reason":"no_variation","rows":1\}\]/],
  ['experiment: zero variance', 'report experiment --data {file} --json', 'variation,metric\na,3\na,3\nb,1\nb,2\n', 0, /"p_value":null,.*"reason":"zero_variance"/],
  ['experiment: nobody converted', 'report experiment --counts a=100:0,b=100:0 --json', '', 0, /"effect":null,.*"reason":"zero_variance"/],
  ['experiment: control mean of zero', 'report experiment --data {file} --json', 'variation,metric\na,-1\na,1\nb,1\nb,2\n', 0, /"effect":null,.*"reason":"control_mean_zero"/],
  ['experiment: control mean of zero is no matter absolutely', 'report experiment --data {file} --json --absolute', 'variation,metric\na,-1\na,1\nb,1\nb,2\n', 0, /"effect":1.5,/],
  ['experiment: a denominator of zero', 'report experiment --data {file} --json', 'variation,metric,denominator\na,1,0\na,2,0\nb,1,2\nb,2,1\n', 0, /"reason":"denominator_zero"/],
  ['experiment: empty variation', 'report experiment --counts a=100:10,b=0:0 --json', '', 0, /"mean":null,.*"reason":"empty_arm"/],
  ['experiment: all variations are empty', 'report experiment --counts a=0:0,b=0:0 --json', '', 0, /"reason":"empty_arm"/],
  ['experiment: one unit each', 'report experiment --data {file} --json', 'variation,metric\na,1.5\nb,2.5\n', 0, /"reason":"zero_variance"/],
  ['experiment: negative counts', 'report experiment --counts a=100:-1,b=100:3', '', 1, /counts are whole and not below 0/],
  ['experiment: half a count', 'report experiment --counts a=100:1.5,b=100:3', '', 1, /counts are whole/],
  ['experiment: more conversions than units', 'report experiment --counts a=100:101,b=100:3', '', 1, /more conversions than units/],
  ['experiment: counts of another form', 'report experiment --counts a=100,b=100:3', '', 1, /not NAME=UNITS:CONVERSIONS/],
  ['experiment: NaN counts', 'report experiment --counts a=nan:nan,b=100:3', '', 1, /not NAME=UNITS:CONVERSIONS/],
  ['experiment: a name twice', 'report experiment --counts a=100:1,a=100:3', '', 1, /variation a is there twice/],
  ['experiment: a thousand variations', 'report experiment --data {file} --json', `variation,metric\n${Array.from({ length: 4000 }, (_, i) => `v${i % 1000},${(i * 7919) % 13}\n`).join('')}`, 0, /"units":4000,.*"best_arm_probability"/],
  ['experiment: more variations than a thousand', 'report experiment --data {file}', `variation,metric\n${Array.from({ length: 1001 }, (_, i) => `v${i},1\n`).join('')}`, 1, /more than 1000 variations/],
  ['experiment: no such control', 'report experiment --counts a=100:1,b=100:3 --control c', '', 1, /--control c: there is no such variation/],
  ['experiment: weights that do not fit', 'report experiment --counts a=100:1,b=100:3 --split 0.5', '', 1, /1 weights for 2 variations/],
  ['experiment: weights of zero', 'report experiment --counts a=100:1,b=100:3 --split 0,0', '', 1, /--split: all weights are 0/],
  ['experiment: a weight for nobody', 'report experiment --counts a=100:1,b=100:3 --split a=1,c=1', '', 1, /there is no such variation/],
  ['experiment: a prior without variance', 'report experiment --counts a=100:1,b=100:3 --test bayes --prior 0,0', '', 1, /not MEAN,VARIANCE/],
  ['experiment: no such test', 'report experiment --counts a=100:1,b=100:3 --test fisher', '', 1, /not one of welch\|sequential\|bayes\|z/],
  ['experiment: alpha of one', 'report experiment --counts a=100:1,b=100:3 --alpha 1', '', 1, /--alpha must lie between/],
  ['experiment: one-sided sequences end at a half', 'report experiment --counts a=100:1,b=100:3 --alpha 0.5 --test sequential --side less', '', 1, /between 0 and 0.5/],
  ['experiment: z for means', 'report experiment --data {file} --test z --absolute', 'variation,metric\na,1\na,2\nb,3\nb,5\n', 1, /--test z is for proportions/],
  ['experiment: CUPED without a covariate', 'report experiment --data {file} --cuped', 'variation,metric\na,1\na,2\nb,3\nb,5\n', 1, /covariate/],
  ['experiment: a covariate that says nothing', 'report experiment --data {file} --cuped --json', 'variation,metric,covariate\na,1,7\na,2,7\nb,3,7\nb,5,7\n', 0, /"theta":0[,}]/],
  ['experiment: relative and absolute', 'report experiment --counts a=100:1,b=100:3 --relative --absolute', '', 1, /exclude each other/],
  ['experiment: sums that no units have', 'report experiment --stats {file}', 'variation,n,sum,sum_squares\na,10,10,5\nb,10,10,20\n', 1, /variation a: metric: sum of squares 5 is less than sum²\/n = 10/],
  ['experiment: sums without a field', 'report experiment --stats {file} --cuped', 'variation,n,sum,sum_squares\na,10,10,20\nb,10,10,20\n', 1, /variation a: covariate_sum is missing/],
  ['experiment: sums below no units', 'report experiment --stats {file}', 'variation,n,sum\na,-10,1\nb,10,1\n', 1, /variation a: n is -10/],
  ['experiment: JSON that is no array of objects', 'report experiment --stats {file}', '[1,2]', 1, /not an array of objects/],
  ['experiment: broken JSON', 'report experiment --stats {file}', '[{"variation":', 1, /JSON|byte|line/],
  ['experiment: a text for a number in JSON', 'report experiment --stats {file}', '[{"variation":"a","n":"many","sum":1},{"variation":"b","n":1,"sum":1}]', 1, /n is no number/],
  ['experiment: no file', 'report experiment', '', 3, /--data FILE, --counts or --stats FILE/],
  ['experiment: far tails', 'report experiment --counts a=100000000:10000000,b=100000000:20000000 --test bayes --json', '', 0, /"chance_to_win":1,"risk_control":1.*,"risk_treatment":0[,}]/],
  ['power: nothing to find', 'report power --baseline 0.2 --effect 0.05 --n 100 --power 0.8', '', 1, /two of n, effect and power must be given, not 3/],
  ['power: too much to find', 'report power --baseline 0.2', '', 1, /two of n, effect and power must be given, not 0/],
  ['power: no effect', 'report power --baseline 0.2 --effect 0 --power 0.8', '', 1, /other than 0/],
  ['power: past certainty', 'report power --baseline 0.9 --effect 0.2 --power 0.8', '', 1, /give a proportion of 1.1/],
  ['power: of one', 'report power --baseline 0.2 --effect 0.1 --power 1', '', 1, /power must lie between 0 and 1/],
  ['power: out of reach', 'report power --baseline 0.99 --n 10 --power 0.99', '', 1, /no effect reaches that power/],
  ['power: more looks than a hundred', 'report power --baseline 0.2 --effect 0.1 --power 0.8 --looks 101', '', 1, /--looks must lie between 1 and 100/],
  ['power: no such boundary', 'report power --baseline 0.2 --effect 0.1 --power 0.8 --looks 3 --boundary haybittle', '', 1, /not one of pocock\|obrien-fleming/],
  ['power: an infinite effect', 'report power --effect inf --power 0.8', '', 2, /--effect/],
  ['clv: fewer customers than parameters', 'report clv --transactions {file}', 'id,date\n1,2024-01-01\n1,2024-02-01\n2,2024-01-01\n', 1,
    /could not fit bgnbd: 2 customers for 4 parameters/],
  ['clv: nobody came back', 'report clv --transactions {file} --model paretonbd', `id,date\n${[1, 2, 3, 4, 5].map((i) => `${i},2024-01-0${i}\n`).join('')}`, 1,
    /could not fit paretonbd: no customer has bought again/],
  ['clv: all on the last day (T = 0)', 'report clv --transactions {file}', `id,date\n${[1, 2, 3, 4, 5].map((i) => `${i},2024-01-05\n`).join('')}`, 1,
    /no customer has bought again/],
  ['clv: no maximum', 'report clv --customers {file}', 'x,t_x,T,weight\n2,30,30,500\n', 1, /could not fit bgnbd: .*\n +Take a longer calibration/],
  ['clv: negative amounts and future days are left out', 'report clv --transactions {file} --json',
    `id,date,price\n${purchases()}7,2024-02-01,-20\n8,2099-01-01,20\n,2024-02-01,3\n`, 0,
    /"left_out":\[\{"reason":"no_customer","rows":1\},\{"reason":"negative_amount","rows":1\},\{"reason":"future_date","rows":1\}\]/],
  ['clv: who first came after the calibration is left out', 'report clv --transactions {file} --calibration-end 2024-06-30 --json',
    `id,date,price\n${purchases()}late,2024-07-05,20\nlate,2024-07-09,20\n`, 0, /"reason":"first_purchase_after_calibration","customers":1\}/],
  ['clv: a calibration that ends in the future', 'report clv --transactions {file} --calibration-end 2999-01-01', 'id,date\n1,2024-01-01\n', 1,
    /the calibration's end 2999-01-01 is in the future/],
  ['clv: a calibration before the first purchase', 'report clv --transactions {file} --calibration-end 2001-01-01', 'id,date\n1,2024-01-01\n', 1,
    /2001-01-01 is before the first purchase/],
  ['clv: a calibration end that is no day', 'report clv --transactions {file} --calibration-end soon', 'id,date\n1,2024-01-01\n', 1, /"soon" is no day like/],
  ['clv: no purchase that counts', 'report clv --transactions {file}', 'id,date,price\n1,2024-01-01,-5\n', 1, /the file has no purchase that counts/],
  ['clv: a wrong century', 'report clv --transactions {file}', 'id,date\n1,0100-01-01\n1,2024-01-01\n', 1, /702726 days between/],
  ['clv: a day that is none', 'report clv --transactions {file}', 'id,date\n1,2024-01-01\n1,soon\n', 1, /line 3, column date: "soon" is no time/],
  ['clv: an amount that is none', 'report clv --transactions {file}', 'id,date,price\n1,2024-01-01,NaN\n', 1, /line 2, column price: "NaN" is no number/],
  ['clv: negative mean amount', 'report clv --customers {file}', 'x,t_x,T,zbar\n2,30,30,-5\n', 1, /line 2, column zbar: -5 is less than 0/],
  ['clv: a last purchase after the end', 'report clv --customers {file}', 'x,t_x,T\n2,30,30\n1,31,30\n', 1, /line 3, column x: the last purchase is after the end/],
  ['clv: half a purchase', 'report clv --customers {file}', 'x,t_x,T\n2.5,30,30\n', 1, /line 2, column x: repeat purchases are no whole number/],
  ['clv: repeats without recency', 'report clv --customers {file}', 'x,t_x,T\n2,0,30\n', 1, /line 2, column x: repeat purchases, but none after the first/],
  ['clv: no whole opportunities', 'report clv --customers {file} --model bgbb', 'x,t_x,T\n1,1.5,3\n', 1, /line 2, column x: no whole numbers with x <= t_x <= n/],
  ['clv: no amounts for gamma-gamma', 'report clv --customers {file} --model gammagamma', 'x,t_x,T\n1,1,3\n', 1, /no column for spend; it has: x, t_x, T/],
  ['clv: no such model', 'report clv --customers {file} --model pareto', 'x,t_x,T\n1,1,3\n', 1, /"pareto" is no model of customer value\n +Models: bgnbd/],
  ['clv: two inputs', 'report clv --customers {file} --transactions {file}', 'x\n', 1, /needs one of --transactions FILE, --customers FILE, --survivors LIST/],
  ['clv: no discount', 'report clv --customers {file} --discount 0', 'x,t_x,T\n1,1,3\n', 1, /the yearly discount 0 is not above 0/],
  ['clv: survivors that are no list', 'report clv --model sbg --survivors 1000,900,x', '', 1, /is no list of numbers like 1000,869,743 \(at place 3\)/],
  ['clv: survivors that rise', 'report clv --model sbg --survivors 1000,900,950', '', 1, /survivors must fall and not be negative, but number 3 is 950/],
  ['clv: nobody left', 'report clv --model sbg --survivors 9,9,9', '', 1, /could not fit sbg: nobody left/],
];

const generic = ({ args, good }) => {
  const [head, first] = good.split('\n');
  return [
    ['empty file', args, '', 1, /it is empty/],
    ['only blank lines', args, '\n\n', 1, /it is empty/],
    ['missing file', args.replace('{file}', '{absent}'), '', 3, /could not open ".*absent\.csv": No such file/],
    ['a folder', args.replace('{file}', '{folder}'), '', 1, /it is no file/],
    ['unclosed quote', args, `${head}\n"${first}\n`, 1, /line 2, column 1 is no CSV/],
    ['a cell too many', args, `${good}${first},9\n`, 1, /line 3 has \d+ cells, the head has \d+/],
    ['GBK', args, Buffer.concat([Buffer.from(`${head}\n`), Buffer.from([0xd6, 0xd0, 0x0a])]), 1, /line 2 is no UTF-8/],
    ['UTF-16', args, Buffer.from(`\ufeff${good}`, 'utf16le'), 1, /it is UTF-16/],
    ['a workbook', args, 'PK\u0003\u0004', 1, /it is a workbook or an archive/],
    ['cut gzip', args, Buffer.from('1f8b0800000000000003', 'hex'), 1, /it is damaged or cut/],
    ['cut Parquet', args, 'PAR1PAR1', 1, /could not read ".*bad\.csv"/],
    ['unknown column', `${args} --columns customer=nobody`, good, 1, /no column for nobody; it has: /],
    ['no role', `${args} --columns nobody`, good, 1, /must be given as role=NAME/],
  ].map(([what, ...row]) => [`${args.split(' ', 2).join(' ')}: ${what}`, ...row]);
};

for (const [what, args, content, code, words] of [...rows, ...commands.flatMap(generic)]) {
  const path = file('bad.csv', content);
  const places = { '{file}': path, '{folder}': folder, '{absent}': join(work, 'absent.csv') };
  const got = run(...args.split(' ').map((word) => places[word] ?? word), '--lang', 'en');
  const text = code === 0 ? got.out : got.err;
  golden.check(`${what}: exit ${got.signal ?? got.code} (want ${code}), said ${JSON.stringify(text.slice(0, 300))}`,
    got.code === code && words.test(text) && (code === 0 || got.out === ''));
}
golden.end();
