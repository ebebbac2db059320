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
