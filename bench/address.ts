/**
 * Rates of the address model next to the same work by ip-address in the same run, and garbage per operation on the hot paths.
 * `node bench/address.ts [milliseconds per measurement]`
 */

import { Address4, Address6 } from 'ip-address';
import {
  type Address,
  addressPlan,
  addressToWords,
  decode,
  decodeInto,
  encode,
  encodeInto,
  formatAddress,
  type Ids,
  parseAddress,
  parseCidr,
  parseInto,
  parseLayout,
} from '#core/address/index.ts';

const budgetMs = Number(process.argv[2] ?? 300);
const COUNT = 1024;
const v4 = addressPlan(parseCidr('10.0.0.0/8'), parseLayout('8/8/4/4'));
const v6 = addressPlan(parseCidr('fd10::/16'), parseLayout('16/16/16/64'));

/** What the loops add up, so that nothing of them is optimized away. Printed at the end. */
let sink = 0;

const ids: Ids[] = Array.from({ length: COUNT }, (_, i) => ({
  host: 1 + (i % 255),
  tenant: 1 + ((i * 7) % 255),
  segment: 1 + (i % 15),
  endpoint: 1 + ((i * 3) % 15),
}));
const addresses4 = ids.map((each) => encode(v4, each));
const addresses6 = ids.map((each) => encode(v6, each));
const texts4 = addresses4.map(formatAddress);
const texts6 = addresses6.map(formatAddress);
const words = new Uint32Array(4);
const out = new Uint32Array(4);
const words4 = addresses4.map(toWords);
const words6 = addresses6.map(toWords);
const others4 = texts4.map((text) => new Address4(text));
const others6 = texts6.map((text) => new Address6(text));

function toWords(a: Address): Uint32Array {
  const result = new Uint32Array(4);
  addressToWords(a, result);
  return result;
}

function encodeWith(plan: typeof v4, i: number): void {
  const { host, tenant, segment, endpoint } = ids[i]!;
  encodeInto(plan, host, tenant, segment, endpoint, words);
  sink ^= words[0]! ^ words[3]!;
}

function decodeWith(plan: typeof v4, source: readonly Uint32Array[], i: number): void {
  if (decodeInto(plan, source[i]!, out)) sink ^= out[3]!;
}

/** The same ids out of ip-address' own number, as a program without this module would do it. */
function bigIntIds(value: bigint, shifts: readonly bigint[], masks: readonly bigint[]): number {
  let sum = 0;
  for (let i = 0; i < 4; i++) sum += Number((value >> shifts[i]!) & masks[i]!);
  return sum;
}

const base4 = v4.cidr.address.w0;
const base6 = 0xfd10n << 112n;
const masks4 = [0xffn, 0xffn, 0xfn, 0xfn];
const masks6 = [0xffffn, 0xffffn, 0xffffn, 0xffffffffn];

interface Work {
  readonly name: string;
  readonly own: (i: number) => void;
  readonly other?: (i: number) => void;
}

const work: Work[] = [
  {
    name: 'encode v4 (words)',
    own: (i) => encodeWith(v4, i),
    other: (i) => {
      const { host, tenant, segment, endpoint } = ids[i]!;
      const value = base4 + host * 65536 + tenant * 256 + segment * 16 + endpoint;
      sink ^= Address4.fromInteger(value).addressMinusSuffix.length;
    },
  },
  {
    name: 'encode v6 (words)',
    own: (i) => encodeWith(v6, i),
    other: (i) => {
      const { host, tenant, segment, endpoint } = ids[i]!;
      const value =
        base6 | (BigInt(host) << 96n) | (BigInt(tenant) << 80n) | (BigInt(segment) << 64n) | BigInt(endpoint);
      sink ^= Address6.fromBigInt(value).parsedAddress.length;
    },
  },
  {
    name: 'decode v4 (words)',
    own: (i) => decodeWith(v4, words4, i),
    other: (i) => {
      sink ^= bigIntIds(others4[i]!.bigInt(), [16n, 8n, 4n, 0n], masks4);
    },
  },
  {
    name: 'decode v6 (words)',
    own: (i) => decodeWith(v6, words6, i),
    other: (i) => {
      sink ^= bigIntIds(others6[i]!.bigInt(), [96n, 80n, 64n, 0n], masks6);
    },
  },
  {
    name: 'parse v4 (words)',
    own: (i) => {
      sink ^= parseInto(texts4[i]!, words);
    },
    other: (i) => {
      sink ^= new Address4(texts4[i]!).parsedAddress.length;
    },
  },
  {
    name: 'parse v6 (words)',
    own: (i) => {
      sink ^= parseInto(texts6[i]!, words);
    },
    other: (i) => {
      sink ^= new Address6(texts6[i]!).parsedAddress.length;
    },
  },
  {
    name: 'parse v4 (object)',
    own: (i) => {
      sink ^= parseAddress(texts4[i]!).w0;
    },
    other: (i) => {
      sink ^= new Address4(texts4[i]!).parsedAddress.length;
    },
  },
  {
    name: 'parse v6 (object)',
    own: (i) => {
      sink ^= parseAddress(texts6[i]!).w3;
    },
    other: (i) => {
      sink ^= new Address6(texts6[i]!).parsedAddress.length;
    },
  },
  {
    name: 'format v4',
    own: (i) => {
      sink ^= formatAddress(addresses4[i]!).length;
    },
    other: (i) => {
      sink ^= others4[i]!.correctForm().length;
    },
  },
  {
    name: 'format v6',
    own: (i) => {
      sink ^= formatAddress(addresses6[i]!).length;
    },
    other: (i) => {
      sink ^= others6[i]!.correctForm().length;
    },
  },
  {
    name: 'encode v4 (object)',
    own: (i) => {
      sink ^= encode(v4, ids[i]!).w0;
    },
  },
  {
    name: 'decode v4 (object)',
    own: (i) => {
      sink ^= decode(v4, addresses4[i]!)?.endpoint ?? 0;
    },
  },
];

/** Million operations per second, best of three after a warm-up. */
function rate(operation: (i: number) => void): number {
  let best = 0;
  for (let round = 0; round < 4; round++) {
    let rounds = 0;
    const start = performance.now();
    let elapsed = 0;
    while (elapsed < budgetMs / 3) {
      for (let i = 0; i < COUNT; i++) operation(i);
      rounds++;
      elapsed = performance.now() - start;
    }
    if (round > 0) best = Math.max(best, (rounds * COUNT) / elapsed / 1000);
  }
  return best;
}

/** Heap growth in bytes per operation. The least of some short runs, since a collection in between would hide garbage or add noise. */
function garbage(operation: (i: number) => void): number {
  const per: number[] = [];
  for (let round = 0; round < 9; round++) {
    const before = process.memoryUsage().heapUsed;
    for (let k = 0; k < 16; k++) for (let i = 0; i < COUNT; i++) operation(i);
    const grown = process.memoryUsage().heapUsed - before;
    // A negative number means that a collection ran in between.
    if (grown >= 0) per.push(grown / (16 * COUNT));
  }
  return per.sort((a, b) => a - b)[per.length >> 1] ?? Number.NaN;
}

console.log(
  `${'million operations/s'.padEnd(22)}${'own'.padStart(9)}${'ip-address'.padStart(12)}${'ratio'.padStart(9)}${'garbage B/op'.padStart(14)}`,
);
for (const { name, own, other } of work) {
  const mine = rate(own);
  const bytes = garbage(own);
  const theirs = other === undefined ? undefined : rate(other);
  console.log(
    name.padEnd(22) +
      mine.toFixed(2).padStart(9) +
      (theirs?.toFixed(2) ?? '–').padStart(12) +
      (theirs === undefined ? '–' : `${(mine / theirs).toFixed(1)}×`).padStart(9) +
      bytes.toFixed(1).padStart(14),
  );
}
console.log(`(checksum ${sink >>> 0})`);
