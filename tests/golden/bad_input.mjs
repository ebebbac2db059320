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
  { args: 'report table --file {file}', good: 'id,Price\n1,2.5\n' },
  { args: 'report kmeans --k 2 --input {file}', good: 'id,Price\n1,2.5\n' },
  { args: 'report rfm --transactions {file}', good: 'id,date,Price\n1,2024-01-01,2.5\n' },
  { args: 'report rfm --customers {file}', good: 'id,orders,revenue,recency_days\n1,2,2.5,7\n' },
  { args: 'report uplift --score s --data {file}', good: 'treatment,outcome,s\n1,0,2.5\n' },
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
  ['k-means: no rows', 'report kmeans --k 2 --input {file}', 'a,b\n', 1, /the file has no rows under its head/],
  ['k-means: one column that is the customer', 'report kmeans --k 1 --input {file}', 'id\n1\n', 1, /there is no column of numbers/],
  ['k-means: wrong delimiter', 'report kmeans --k 1 --input {file} --delimiter ;', 'a,b\n1,2\n', 1, /line 2, column a,b: "1,2" is no number/],
  ['k-means: NaN', 'report kmeans --k 1 --input {file}', 'a,b\n1,2\n3,NaN\n', 1, /line 3, column b/],
  ['k-means: words', 'report kmeans --k 1 --input {file}', 'a,b\n1,x\n', 1, /line 2, column b: "x" is no number\n +Name the columns of numbers to use with --features/],
  ['k-means: too large to square', 'report kmeans --k 1 --input {file}', 'a\n1e200\n', 1, /line 2, column a.*above 1e\+100/],
  ['k-means: no log1p', 'report kmeans --k 1 --log1p --input {file}', 'a\n3\n-1\n', 1, /line 3, column a.*no log1p/],
  ['k-means: fewer rows than k', 'report kmeans --k 3 --input {file}', 'a\n1\n2\n', 1, /k is 3, but there are 2 rows/],
  ['k-means: k of no number', 'report kmeans --k many --input {file}', 'a\n1\n', 1, /--k is a number like 5, or a range like 2\.\.8/],
  ['k-means: k = 0', 'report kmeans --k 0 --input {file}', 'a\n1\n', 1, /k is not within 1 … 1000/],
  ['k-means: a range that falls', 'report kmeans --k 8..2 --input {file}', 'a\n1\n', 1, /k is not within 1 … 1000/],
  ['k-means: a feature that is not there', 'report kmeans --k 1 --features a,z --input {file}', 'a\n1\n', 1, /no column for z; it has: a/],
  ['k-means: a feature twice', 'report kmeans --k 1 --features a,a --input {file}', 'a\n1\n', 1, /feature a is named twice/],
  ['k-means: all rows equal', 'report kmeans --k 2 --standardize zscore --input {file} --json', 'a\n5\n5\n5\n', 0, /"inertia":0,.*"empty_clusters":1/],
  ['RFM: no file', 'report rfm', '', 1, /report rfm needs the option --transactions FILE/],
  ['RFM: both files', 'report rfm --transactions {file} --customers {file}', 'a\n', 1, /--transactions and --customers exclude each other/],
  ['RFM: no rows', 'report rfm --transactions {file}', 'id,date,Price\n', 1, /there is no customer/],
  ['RFM: one column', 'report rfm --transactions {file}', 'id\n1\n', 1, /no column for time; it has: id/],
  ['RFM: NaN', 'report rfm --transactions {file}', 'id,date,Price\n1,2024-01-01,NaN\n', 1, /line 2, column Price/],
  ['RFM: no date', 'report rfm --transactions {file}', 'id,date,Price\n1,soon,3\n', 1, /line 2, column date/],
  ['RFM: a refund counts, and is said', 'report rfm --transactions {file} --json', 'id,date,Price\n1,2024-01-01,9\n1,2024-01-02,-4\n', 0, /"refund_rows":1,.*"revenue":5,/],
  ['RFM: cleaned', 'report rfm --transactions {file} --clean --json', 'id,date,Price\n1,2024-01-01,9\n1,2024-01-02,-4\n', 0, /"revenue":9,.*"left_out":\[\{"reason":"amount_not_positive","rows":1\}\]/],
  ['RFM: a date in the future', 'report rfm --transactions {file} --analysis-date 2024-02-01 --json', 'id,date,Price\n1,2024-01-01,9\n1,2027-01-02,4\n', 0, /"revenue":9,.*"left_out":\[\{"reason":"after_analysis_date","rows":1\}\]/],
  ['RFM: only in the future', 'report rfm --transactions {file} --analysis-date 2020-01-01', 'id,date,Price\n1,2024-01-01,9\n', 1, /there is no customer/],
  ['RFM: nobody bought', 'report rfm --transactions {file} --json', 'id,date,Price\n1,2024-01-01,9\n,2024-01-02,4\n', 0, /"left_out":\[\{"reason":"no_customer","rows":1\}\]/],
  ['RFM: no day', 'report rfm --transactions {file} --analysis-date soon', 'id,date,Price\n1,2024-01-01,9\n', 1, /"soon" is no date/],
  ['RFM: a customer twice', 'report rfm --customers {file}', 'id,orders,revenue,recency_days\na,2,9,7\nb,1,1,1\na,1,1,1\n', 1, /line 4, column id.*earlier line/],
  ['RFM: days below 0', 'report rfm --customers {file}', 'id,orders,revenue,recency_days\na,2,9,-7\n', 1, /line 2, column recency_days/],
  ['RFM: a last day in the future', 'report rfm --customers {file} --analysis-date 2024-01-01', 'id,orders,revenue,last_visit\na,2,9,2024-05-01\n', 1, /line 2, column last_visit.*after the day of the analysis/],
  ['RFM: cuts that fall', 'report rfm --transactions {file} --recency-cuts 4,3,2,1', 'id,date,Price\n1,2024-01-01,9\n', 1, /own cuts must rise/],
  ['RFM: cuts and bins', 'report rfm --transactions {file} --recency-cuts 1,2 --bins 5', 'id,date,Price\n1,2024-01-01,9\n', 1, /2 cuts make 3 bins, not 5/],
  ['RFM: a cut that is no number', 'report rfm --transactions {file} --recency-cuts 1,x', 'id,date,Price\n1,2024-01-01,9\n', 1, /the cut "x" is no number/],
  ['uplift: neither score nor features', 'report uplift --data {file}', 'treatment,outcome\n1,0\n', 1, /one of --score COLUMN and --features A,B is needed/],
  ['uplift: no rows', 'report uplift --data {file} --score s', 'treatment,outcome,s\n', 1, /0 rows are treated, 0 are control/],
  ['uplift: one column', 'report uplift --data {file} --score s', 's\n1\n', 1, /no column for treatment; it has: s/],
  ['uplift: one arm', 'report uplift --data {file} --score s', 'treatment,outcome,s\n1,0,2\n1,1,3\n', 1, /2 rows are treated, 0 are control/],
  ['uplift: an unknown arm', 'report uplift --data {file} --score s', 'treatment,outcome,s\n1,0,2\nB,1,3\n', 1, /line 3, column treatment.*neither treated nor control\n +Say which text is which/],
  ['uplift: a third arm is said', 'report uplift --data {file} --score s --treated A --control B --json', 'treatment,outcome,s\nA,0,2\nB,1,3\nC,1,3\n', 0, /"left_out":\[\{"reason":"other_arm","rows":1\}\]/],
  ['uplift: NaN in the score', 'report uplift --data {file} --score s', 'treatment,outcome,s\n1,0,NaN\n', 1, /line 2, column s/],
  ['uplift: a negative outcome', 'report uplift --data {file} --score s', 'treatment,outcome,s\n1,-1,2\n', 1, /line 2, column outcome/],
  ['uplift: all outcomes zero', 'report uplift --data {file} --score s --json', 'treatment,outcome,s\n1,0,2\n0,0,3\n', 0, /"effect":0,.*"qini":null/],
  ['uplift: nothing to learn from', 'report uplift --data {file} --features s', 'treatment,outcome,s\n1,0,2\n0,0,3\n', 1, /could not learn from the treated rows: .*none have the outcome/],
  ['uplift: the outcome as a feature', 'report uplift --data {file} --features outcome', 'treatment,outcome,s\n1,0,2\n', 1, /outcome is the treatment or the outcome/],
  ['uplift: k above 1', 'report uplift --data {file} --score s --k 30', 'treatment,outcome,s\n1,0,2\n0,0,3\n', 1, /k must be above 0, at most 1/],
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
