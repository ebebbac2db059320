// bad_input.mjs - what files and people get wrong, through the real binary: a clear error with line and column, or a right answer
// that says what was left out; never a crash, never a silent cut.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Golden, file, run, work } from './lib.mjs';

const golden = new Golden();
const folder = join(work, 'a folder');
mkdirSync(folder);

// Every report on files gets the rows of `generic`: its command with {file} for the file, and a file that is right for it.
const commands = [
  { args: 'report experiment --data {file}', good: 'variation,metric\na,1\n' },
  { args: 'report table --file {file}', good: 'id,Price\n1,2.5\n' },
  { args: 'report funnel --events {file} --step a', good: 'user_id,time,event\nu,2026-11-24,a\n' },
  { args: 'report retention --events {file}', good: 'user_id,time,event\nu,2026-11-24,a\n' },
  { args: 'report sequence --events {file} --pattern (?1) --step a', good: 'user_id,time,event\nu,2026-11-24,a\n' },
];

const visits = 'user_id,time,event,amount\nu,2026-11-24 10:00,view,\nu,2026-11-24 10:00,cart,5\n,2026-11-24,cart,1\nv,2026-11-25,view,x\n';
const funnel = (...steps) => `report funnel --events {file}${steps.map((step) => ` --step ${step}`).join('')}`;

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
  ['funnel without steps', funnel(), visits, 1, /needs --step NAME/],
  ['a step twice', `${funnel('view', 'view')} --mode strict_once --csv`, visits, 0, /^1,view,2,.*\n2,view,0,/m],
  ['a window of 0 is one instant', `${funnel('view', 'cart')} --window 0s --csv`, visits, 0, /^2,cart,1,0\.5,0\.5,0,0$/m],
  ['a window of 100 years', `${funnel('view', 'cart')} --window 36525d --csv`, visits, 0, /^2,cart,1,/m],
  ['a window of what', `${funnel('view')} --window 7`, visits, 2, /--window is not a duration/],
  ['a window without end', `${funnel('view')} --window 999999999999999d`, visits, 2, /--window is not a duration/],
  ['50 steps', funnel(...Array(50).fill('view')), visits, 1, /50 steps were given, 32 is the most/],
  ['an event that is not there', funnel('view', 'crat'), visits, 3, /has no event "crat"\n +nearest: cart, view/],
  ['an empty step', [...funnel().split(' '), '--step', ''], visits, 1, /a step is empty/],
  ['an unknown mode', `${funnel('view')} --mode strict_ordr`, visits, 1, /unknown funnel mode: strict_ordr\n +modes: strict_order,/],
  ['a mode alone', `${funnel('view')} --mode allow_reentry`, visits, 1, /allow_reentry needs strict_order/],
  ['nobody is left out, and said', funnel('view'), visits, 0, /no user +1\n/],
  ['no number to compare', [...funnel().split(' '), '--step', 'view where amount > 1'], visits, 0, /no number to compare.* 2\n/],
  ['a condition without operator', [...funnel().split(' '), '--step', 'view where amount'], visits, 1, /COLUMN =, !=, </],
  ['a condition on no column', [...funnel().split(' '), '--step', 'view where prize > 1'], visits, 3, /has no column "prize"/],
  ['a condition that needs a number', [...funnel().split(' '), '--step', 'view where amount < x'], visits, 1, /"x" is no number, < needs one/],
  ['a time that is none', funnel('view'), `${visits}w,soon,view,\n`, 1, /line 6, column time: "soon" is no time/],
  ['a plain time that is none', `${funnel('view')} --plain-time`, visits, 1, /line 2, column time: --plain-time needs a whole number/],
  ['no column of times', funnel('a'), 'user_id,event\nu,a\n', 1, /time/],
  ['only a head', funnel('a'), 'user_id,time,event\n', 3, /has no event "a"/],
  ['a pattern that is none', 'report sequence --events {file} --step view --pattern (?1', visits, 1, /the pattern has no \) at position 4/],
  ['a step that was not given', 'report sequence --events {file} --step view --pattern (?2)', visits, 1, /a step that was not given at position 4/],
  ['a pattern without end', `report sequence --events {file} --step view --pattern ${'.'.repeat(100)}`, visits, 1, /more than 62 parts/],
  ['an unknown period', 'report retention --events {file} --period year', visits, 1, /--period is day, week or month, not year/],
  ['no periods', 'report retention --events {file} --periods 0', visits, 1, /--periods is from 1 to 365/],
  ['cohorts of plain times', 'report retention --events {file} --plain-time', 'user_id,time,event\nu,1,a\n', 1, /plain times have no calendar/],
  ['a date in the far future', 'report retention --events {file}', `${visits}w,9999-01-01,view,\n`, 1, /more than 40000 periods apart/],
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
  const list = Array.isArray(args) ? args : args.split(' '); // a list when a word has blanks
  const got = run(...list.map((word) => places[word] ?? word), '--lang', 'en');
  const text = code === 0 ? got.out : got.err;
  golden.check(`${what}: exit ${got.signal ?? got.code} (want ${code}), said ${JSON.stringify(text.slice(0, 300))}`,
    got.code === code && words.test(text) && (code === 0 || got.out === ''));
}
golden.end();
