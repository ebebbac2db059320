// scan.mjs - looks for words in every byte of every file of a folder, however they may be written there: UTF-8 (also in
// capitals), UTF-16, hexadecimal, base64 at each of its three alignments, and all of these inside gzip and zlib streams.
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { inflateSync, gunzipSync, constants } from 'node:zlib';

// The part of the base64 of "…word…" that does not depend on what stands before and after the word.
function base64_inner(word, alignment) {
  const text = Buffer.concat([Buffer.alloc(alignment), Buffer.from(word)]);
  const first = Math.ceil((alignment * 8) / 6);
  const last = Math.floor((text.length * 8) / 6);
  return text.toString('base64').slice(first, last);
}

function forms_of(word) {
  const upper = word.toUpperCase();
  const utf16 = Buffer.from(word, 'utf16le');
  const hex = Buffer.from(word).toString('hex');
  const texts = [word, upper, hex, hex.toUpperCase()];
  for (const text of new Set([word, upper]))
    for (const alignment of [0, 1, 2]) {
      const inner = base64_inner(text, alignment);
      texts.push(inner, inner.replaceAll('+', '-').replaceAll('/', '_'));
    }
  return [...[...new Set(texts)].map((text) => Buffer.from(text)), utf16, Buffer.from(utf16).swap16()];
}

function files_of(folder) {
  return readdirSync(folder, { recursive: true }).map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile());
}

// What a stream gives, even when its end is damaged or missing.
function inflated(bytes, at) {
  const options = { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: 64 << 20 };
  try {
    return bytes[at] === 0x1f ? gunzipSync(bytes.subarray(at), options) : inflateSync(bytes.subarray(at), options);
  } catch {
    return Buffer.alloc(0);
  }
}

function streams_of(bytes) {
  const found = [];
  for (const magic of [[0x1f, 0x8b, 0x08], [0x78, 0x01], [0x78, 0x5e], [0x78, 0x9c], [0x78, 0xda]]) {
    const start = Buffer.from(magic);
    for (let at = bytes.indexOf(start); at >= 0; at = bytes.indexOf(start, at + 1)) {
      const plain = inflated(bytes, at);
      if (plain.length > 0) found.push(plain);
    }
  }
  return found;
}

// How often the words occur, per file, and the first place: { hits, files: { path: hits }, first, bytes, streams }.
export function scan(folder, words) {
  const forms = words.flatMap(forms_of);
  const result = { hits: 0, files: {}, first: '', bytes: 0, streams: 0 };
  const look = (path, bytes, where) => {
    for (const form of forms)
      for (let at = bytes.indexOf(form); at >= 0; at = bytes.indexOf(form, at + 1)) {
        result.hits++;
        result.files[path] = (result.files[path] ?? 0) + 1;
        result.first ||= `${path} ${where} ${at}: ${bytes.subarray(Math.max(0, at - 40), at + 60).toString('latin1')}`;
      }
  };
  for (const path of files_of(folder)) {
    const bytes = readFileSync(path);
    result.bytes += bytes.length;
    look(path, bytes, 'byte');
    for (const plain of streams_of(bytes)) {
      result.streams++;
      look(path, plain, 'inflated');
    }
  }
  return result;
}
