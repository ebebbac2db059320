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
