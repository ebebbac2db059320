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
  ['a payload that is no JSON', 'feature {file}', '{"features":', 1, /bad\.csv: invalid JSON at byte/],
  ['an empty payload', 'feature {file}', '', 1, /the JSON text is empty/],
  ['a payload that is a list', 'feature {file}', '[]', 1, /it is no JSON object/],
  ['a payload nested without end', 'feature {file}', '{"a":'.repeat(5000), 1, /nested deeper than 64/],
  ['a payload that does not decrypt', 'feature {file} --decryption-key x', '{"encryptedFeatures":"a.b"}', 1, /encryptedFeatures: could not decrypt/],
  ['no payload', 'feature {absent}', '', 3, /absent\.csv/],
  ['attributes that are no object', 'feature {file} --attributes 5', '{}', 1, /--attributes: not a JSON object/],
  ['an experiment without variations', 'feature {file}', '{"experiments":[{"key":"k"}]}', 1, /experiment 1: .*no variations/],
  ['a feature that is not there', 'feature {file} --feature f', '{}', 0, /unknownFeature/],
  ['an expression without end', 'feature {file} --csv', JSON.stringify({ attributes: { a: `${'a'.repeat(60)}!` },
    features: { f: { rules: [{ force: 1, condition: { a: { $regex: '^(a+)+$' } } }] } } }), 0, /^f,,defaultValue/m],
  ['no value to hash', 'bucket', '', 1, /bucket needs the option --value/],
  ['a hash version', 'bucket --value 1 --hash-version 3', '', 1, /--hash-version must be 1 or 2/],
  ['weights that do not add up', 'bucket --value 1 --weights .5,.6', '', 1, /--weights: 2 weights that add up to 1\.1/],
  ['a coverage above one', 'bucket --value 1 --coverage 1.5', '', 1, /--coverage must be from 0 to 1/],
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
